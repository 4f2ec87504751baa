//! The part of FHIRPath that cases of `generalize` are written in: literals, `$this`, `|`, `in`, `contains`, comparisons,
//! `and`, `or`, `+`, `startsWith`, `endsWith`, `substring`, `toString`.

/// What an expression gives: some strings, or whether something is so. Numbers are their digits.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Given {
    Texts(Vec<String>),
    Is(bool),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expression {
    Literal(String),
    Is(bool),
    This,
    Union(Vec<Self>),
    Two(Operator, Box<Self>, Box<Self>),
    Call(Box<Self>, Function, Vec<Self>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    Or,
    And,
    In,
    Contains,
    Equal,
    Unequal,
    AtMost,
    AtLeast,
    Less,
    More,
    Plus,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Function {
    StartsWith,
    EndsWith,
    Substring,
    ToText,
}

impl Expression {
    /// # Errors
    /// What cannot be read.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let tokens = tokens(text)?;
        let mut parser = Parser {
            tokens: &tokens,
            at: 0,
        };
        let expression = parser.level(0)?;
        match parser.tokens.get(parser.at) {
            None => Ok(expression),
            Some(token) => Err(format!("`{token}` is not expected there")),
        }
    }

    /// Whether it is so of `this`.
    pub(crate) fn holds(&self, this: &str) -> bool {
        self.of(this) == Some(Given::Is(true))
    }

    /// The text that it gives for `this`.
    pub(crate) fn text(&self, this: &str) -> Option<String> {
        match self.of(this)? {
            Given::Texts(texts) => texts.into_iter().next(),
            Given::Is(value) => Some(value.to_string()),
        }
    }

    fn texts(&self, this: &str) -> Option<Vec<String>> {
        match self.of(this)? {
            Given::Texts(texts) => Some(texts),
            Given::Is(_) => None,
        }
    }

    fn of(&self, this: &str) -> Option<Given> {
        Some(match self {
            Self::Literal(text) => Given::Texts(vec![text.clone()]),
            Self::Is(value) => Given::Is(*value),
            Self::This => Given::Texts(vec![this.to_owned()]),
            Self::Union(all) => {
                let all: Option<Vec<_>> = all.iter().map(|one| one.texts(this)).collect();
                Given::Texts(all?.concat())
            }
            Self::Two(Operator::Or, one, other) => Given::Is(one.holds(this) || other.holds(this)),
            Self::Two(Operator::And, one, other) => Given::Is(one.holds(this) && other.holds(this)),
            Self::Two(operator, one, other) => {
                let (some, others) = (one.texts(this)?, other.texts(this)?);
                let (first, second) = (some.first()?, others.first()?);
                Given::Is(match operator {
                    Operator::In => others.contains(first),
                    Operator::Contains => some.contains(second),
                    Operator::Equal => first == second,
                    Operator::Unequal => first != second,
                    Operator::AtMost => ordered(first, second)?.is_le(),
                    Operator::AtLeast => ordered(first, second)?.is_ge(),
                    Operator::Less => ordered(first, second)?.is_lt(),
                    Operator::More => ordered(first, second)?.is_gt(),
                    Operator::Plus => return Some(Given::Texts(vec![format!("{first}{second}")])),
                    Operator::Or | Operator::And => return None,
                })
            }
            Self::Call(of, function, arguments) => {
                let of = of.text(this)?;
                let argument = |place: usize| arguments.get(place)?.text(this);
                let number = |place: usize| argument(place)?.parse::<usize>().ok();
                match function {
                    Function::StartsWith => Given::Is(of.starts_with(&argument(0)?)),
                    Function::EndsWith => Given::Is(of.ends_with(&argument(0)?)),
                    Function::ToText => Given::Texts(vec![of]),
                    Function::Substring => {
                        let rest = of.chars().skip(number(0)?);
                        Given::Texts(vec![match arguments.len() {
                            1 => rest.collect(),
                            _ => rest.take(number(1)?).collect(),
                        }])
                    }
                }
            }
        })
    }
}

/// Numbers by their size, all else by its letters: so dates are in order as far as both go.
fn ordered(one: &str, other: &str) -> Option<std::cmp::Ordering> {
    match (one.parse::<f64>(), other.parse::<f64>()) {
        (Ok(one), Ok(other)) => one.partial_cmp(&other),
        _ => Some(one.cmp(other)),
    }
}

/// From the loosest to the tightest.
const LEVELS: [&[(&str, Operator)]; 5] = [
    &[("or", Operator::Or)],
    &[("and", Operator::And)],
    &[("in", Operator::In), ("contains", Operator::Contains)],
    &[
        ("=", Operator::Equal),
        ("!=", Operator::Unequal),
        ("<=", Operator::AtMost),
        (">=", Operator::AtLeast),
        ("<", Operator::Less),
        (">", Operator::More),
    ],
    &[("+", Operator::Plus)],
];

struct Parser<'t> {
    tokens: &'t [String],
    at: usize,
}

impl Parser<'_> {
    fn take(&mut self, wanted: &str) -> bool {
        let is_it = self
            .tokens
            .get(self.at)
            .is_some_and(|token| token == wanted);
        self.at += usize::from(is_it);
        is_it
    }

    fn level(&mut self, level: usize) -> Result<Expression, String> {
        let Some(operators) = LEVELS.get(level) else {
            return self.term();
        };
        let mut expression = self.level(level + 1)?;
        while let Some((_, operator)) = operators.iter().find(|(word, _)| self.take(word)) {
            let other = self.level(level + 1)?;
            expression = Expression::Two(*operator, Box::new(expression), Box::new(other));
        }
        Ok(expression)
    }

    fn term(&mut self) -> Result<Expression, String> {
        let token = self.tokens.get(self.at).ok_or("it ends too early")?.clone();
        self.at += 1;
        let mut expression = match token.as_str() {
            "(" => {
                let mut all = vec![self.level(0)?];
                while self.take("|") {
                    all.push(self.level(0)?);
                }
                if !self.take(")") {
                    return Err("a parenthesis is not closed".to_owned());
                }
                if all.len() == 1 {
                    all.remove(0)
                } else {
                    Expression::Union(all)
                }
            }
            "$this" => Expression::This,
            "true" | "false" => Expression::Is(token == "true"),
            literal => match literal.strip_prefix(['\'', '@']) {
                Some(text) => Expression::Literal(text.to_owned()),
                None if literal.starts_with(|c: char| c.is_ascii_digit() || c == '-') => {
                    Expression::Literal(literal.to_owned())
                }
                None => return Err(format!("`{literal}` is not known")),
            },
        };
        while self.take(".") {
            let name = self.tokens.get(self.at).cloned().unwrap_or_default();
            self.at += 1;
            let function = match name.as_str() {
                "startsWith" => Function::StartsWith,
                "endsWith" => Function::EndsWith,
                "substring" => Function::Substring,
                "toString" => Function::ToText,
                _ => return Err(format!("`{name}` is not known")),
            };
            let mut arguments = Vec::new();
            if !self.take("(") {
                return Err(format!("`{name}` is called with parentheses"));
            }
            while !self.take(")") {
                arguments.push(self.level(0)?);
                self.take(",");
            }
            expression = Expression::Call(Box::new(expression), function, arguments);
        }
        Ok(expression)
    }
}

/// Strings keep their first quote, dates their `@`.
fn tokens(text: &str) -> Result<Vec<String>, String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '\'' => {
                let end = rest
                    .get(1..)
                    .and_then(|rest| rest.find('\''))
                    .ok_or("a string is not closed")?;
                tokens.push(rest.get(..=end).unwrap_or_default().to_owned());
                rest = rest.get(end + 2..).unwrap_or_default().trim_start();
                continue;
            }
            '@' => rest.find([' ', ')', ',']).unwrap_or(rest.len()),
            '0'..='9' | '-' => rest
                .find(|c: char| !c.is_ascii_digit() && !matches!(c, '.' | '-'))
                .unwrap_or(rest.len()),
            '$' | 'a'..='z' | 'A'..='Z' => rest
                .get(1..)
                .and_then(|rest| rest.find(|c: char| !c.is_alphanumeric()))
                .map_or(rest.len(), |end| end + 1),
            '<' | '>' | '!' if rest.get(1..2) == Some("=") => 2,
            other => other.len_utf8(),
        };
        let (token, after) = rest.split_at_checked(length).ok_or("a character is cut")?;
        tokens.push(token.to_owned());
        rest = after.trim_start();
    }
    Ok(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_of_the_published_configurations_are_read() {
        let holds = |text: &str, this: &str| Expression::parse(text).unwrap().holds(this);
        let english = "$this in ('en-AU' | 'en-US')";
        assert!(holds(english, "en-US") && !holds(english, "es-ES"));
        assert!(holds("('es-AR' | 'es-ES') contains $this", "es-ES"));
        let years = "$this <= @2020-01-01 and $this >= @1990-01-01";
        assert!(
            holds(years, "2001-03-04")
                && !holds(years, "1989-12-31")
                && !holds(years, "2020-01-02")
        );
        assert!(
            holds("true", "x")
                && holds("$this.startsWith('123')", "12345")
                && holds("$this > 9.5", "10")
        );
        let text = Expression::parse("$this.substring(0,3)+'****'").unwrap();
        assert_eq!(text.text("12345").as_deref(), Some("123****"));
        for wrong in [
            "",
            "$this in",
            "$this.matches('a')",
            "('a'",
            "'a",
            "x",
            "1 2",
        ] {
            assert!(Expression::parse(wrong).is_err(), "{wrong}");
        }
    }
}
