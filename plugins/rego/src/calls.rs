//! Which functions there are. `regorus` notices only when it is asked that a function is missing; the operator is told when the
//! plugin is configured.

use std::collections::{BTreeMap, BTreeSet};

use nephron_sdk::Problem;
use regorus::Engine;
use regorus::unstable::{BUILTINS, Expr, Lexer, Module, Rule, RuleHead, Token, TokenKind};
use serde_json::{Map, Value as Json};

use crate::builtins;
use crate::fault::{self, Place};

/// Words that may stand before a parenthesis and call nothing.
const KEYWORDS: [&str; 13] = [
    "as", "contains", "default", "else", "every", "if", "import", "in", "not", "package", "set",
    "some", "with",
];

/// Names every call of a function that neither modules nor builtins have, and every rule in whose place data lie.
pub(crate) fn check(engine: &mut Engine, data: &Map<String, Json>, problems: &mut Vec<Problem>) {
    let mut declared = BTreeMap::new();
    for module in engine.get_modules() {
        declared.extend(rules(module));
    }
    let functions: BTreeSet<&String> = declared
        .iter()
        .filter_map(|(path, kind)| matches!(kind, Kind::Function).then_some(path))
        .collect();
    for module in engine.get_modules() {
        for call in calls(module) {
            if !call.is_known(module, &functions) {
                problems.push(call.problem(module));
            }
        }
    }
    for path in declared.keys() {
        let mut names = path.split('.').skip(1);
        let first = names.next().and_then(|name| data.get(name));
        let found = names.try_fold(first, |found, name| {
            Some(found.and_then(|found| found.get(name)))
        });
        if found.flatten().is_some() {
            problems.push(Problem::at(
                "data",
                format!("`{path}` is a rule, and data lie there too; keep one of them"),
            ));
        }
    }
}

/// Whether a module has the rule `path`.
pub(crate) fn is_declared(engine: &mut Engine, path: &str) -> bool {
    let mut modules = engine.get_modules().iter();
    modules.any(|module| rules(module).any(|(declared, _)| declared == path))
}

/// That no module has the rule that decides, and which rules there are.
pub(crate) fn undeclared(engine: &mut Engine, path: &str) -> Problem {
    let mut known: Vec<String> = Vec::new();
    for module in engine.get_modules() {
        let rules = rules(module).filter(|(_, kind)| matches!(kind, Kind::Value));
        known.extend(rules.map(|(path, _)| path));
    }
    known.sort();
    known.dedup();
    known.truncate(8);
    let message = format!(
        "no module has the rule `{path}`; there are {}",
        known.join(", ")
    );
    Problem::at("decision", message)
}

/// What a rule gives.
#[derive(Clone, Copy)]
enum Kind {
    Value,
    Function,
}

/// The rules of a module by their paths, such as `data.nephron.decision`.
fn rules(module: &Module) -> impl Iterator<Item = (String, Kind)> + '_ {
    let package = path(&module.package.refr).unwrap_or_default();
    module.policy.iter().filter_map(move |rule| {
        let (refr, kind) = match rule.as_ref() {
            Rule::Spec { head, .. } => match head {
                RuleHead::Compr { refr, .. } | RuleHead::Set { refr, .. } => (refr, Kind::Value),
                RuleHead::Func { refr, .. } => (refr, Kind::Function),
            },
            Rule::Default { refr, args, .. } if args.is_empty() => (refr, Kind::Value),
            Rule::Default { refr, .. } => (refr, Kind::Function),
        };
        Some((format!("data.{package}.{}", path(refr)?), kind))
    })
}

/// A reference of names alone: `a.b["c"]` is `a.b.c`.
fn path(refr: &Expr) -> Option<String> {
    if let Expr::Var { span, .. } = refr {
        return Some(span.text().to_owned());
    }
    if let Expr::RefDot { refr, field, .. } = refr {
        let (name, _) = field;
        return Some(format!("{}.{}", path(refr)?, name.text()));
    }
    if let Expr::RefBrack { refr, index, .. } = refr {
        let head = path(refr)?;
        if let Expr::String { span, .. } = index.as_ref() {
            return Some(format!("{head}.{}", span.text()));
        }
        return Some(head);
    }
    None
}

/// A call in a module's text.
struct Call {
    name: String,
    line: u32,
    column: u32,
}

impl Call {
    fn is_known(&self, module: &Module, functions: &BTreeSet<&String>) -> bool {
        let name = self.name.as_str();
        if name == "print" || BUILTINS.contains_key(name) || builtins::NAMES.contains(&name) {
            return true;
        }
        let package = path(&module.package.refr).unwrap_or_default();
        let (first, rest) = name.split_once('.').unwrap_or((name, ""));
        let imported = module.imports.iter().filter_map(|import| {
            let path = path(&import.refr)?;
            let alias = match &import.r#as {
                Some(alias) => alias.text().to_owned(),
                None => path.rsplit('.').next().map(str::to_owned)?,
            };
            (alias == first).then(|| match rest {
                "" => path,
                rest => format!("{path}.{rest}"),
            })
        });
        [name.to_owned(), format!("data.{package}.{name}")]
            .into_iter()
            .chain(imported)
            .any(|path| functions.contains(&path))
    }

    fn problem(&self, module: &Module) -> Problem {
        let name = &self.name;
        let path = module.package.span.source.file().clone();
        let (line, column) = (self.line.to_string(), self.column.to_string());
        let place = Place {
            path: &path,
            line: &line,
            column: &column,
        };
        let message = format!(
            "there is no function `{name}`: no module declares it, and it is none of the builtins that the plugin's README lists (none reaches the network, a clock or random numbers)"
        );
        Problem::at(fault::key(&path), place.told(&message))
    }
}

/// Each name before a parenthesis.
fn calls(module: &Module) -> Vec<Call> {
    let source = &module.package.span.source;
    let mut lexer = Lexer::new(source);
    let mut found = Vec::new();
    // The name that is being read, and where it ended; and whether something other than a name leads to it.
    let mut name: Option<Call> = None;
    let mut end = 0;
    let mut is_led_to = false;
    while let Ok(Token(kind, span)) = lexer.next_token() {
        match (kind, span.text()) {
            (TokenKind::Eof, _) => break,
            (TokenKind::Ident, text) => {
                match &mut name {
                    Some(call) if call.name.ends_with('.') && span.start == end => {
                        call.name.push_str(text);
                    }
                    _ if is_led_to && span.start == end => name = None,
                    _ => {
                        name = Some(Call {
                            name: text.to_owned(),
                            line: span.line,
                            column: span.col,
                        });
                    }
                }
                is_led_to = false;
            }
            (TokenKind::Symbol, ".") if span.start == end => match &mut name {
                Some(call) => call.name.push('.'),
                None => is_led_to = true,
            },
            (TokenKind::Symbol, "(") if span.start == end => {
                let called = name.take();
                found.extend(called.filter(|call| !KEYWORDS.contains(&call.name.as_str())));
                is_led_to = false;
            }
            (
                TokenKind::Symbol | TokenKind::String | TokenKind::RawString | TokenKind::Number,
                _,
            ) => {
                name = None;
                is_led_to = false;
            }
        }
        end = span.end;
    }
    found
}
