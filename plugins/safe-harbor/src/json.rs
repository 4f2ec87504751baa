//! The strings of a JSON text, unescaped, each with the way back to the bytes as they were given.

use crate::found::Kind;

/// One string of a JSON text, no key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Leaf {
    /// The nearest key before it, as words: `birthDate` reads `birth Date`. Empty at the top.
    pub(crate) key: String,
    /// The string, unescaped.
    pub(crate) text: String,
    /// For each byte of `text`, and for its end, the byte of the JSON text where its character begins.
    offsets: Vec<usize>,
}

impl Leaf {
    /// The bytes of the JSON text that hold `start..end` of the string.
    #[must_use]
    pub(crate) fn outside(&self, start: usize, end: usize) -> Option<(usize, usize)> {
        Some((*self.offsets.get(start)?, *self.offsets.get(end)?))
    }

    /// What the key alone says of the whole string, as in FHIR's `HumanName`, `Address` and `Patient`.
    #[must_use]
    pub(crate) fn kind(&self) -> Option<Kind> {
        let key: String = self
            .key
            .chars()
            .filter(|c| c.is_alphanumeric())
            .collect::<String>()
            .to_lowercase();
        Some(match key.as_str() {
            "family" | "familyname" | "fname" | "lname" | "mname" | "nok" | "provider"
            | "username" | "firstname" | "fullname" | "given" | "givenname" | "lastname"
            | "maidenname" | "middlename" | "patientname" | "surname" => Kind::Name,
            "address" | "addressline1" | "addressline2" | "city" | "county" | "district"
            | "line" | "postalcode" | "street" | "streetaddress" | "zip" | "zipcode" => Kind::Geo,
            "birthdate" | "dateofbirth" | "deceaseddatetime" | "dob" => Kind::Date,
            "ssn" | "socialsecuritynumber" => Kind::Ssn,
            "mrn" | "medicalrecordnumber" => Kind::Mrn,
            _ => return None,
        })
    }
}

/// The strings of `json`, in order. `None` when it does not read as JSON: then it is scanned as plain text.
#[must_use]
pub(crate) fn leaves(json: &str) -> Option<Vec<Leaf>> {
    let mut leaves = Vec::new();
    let mut key = String::new();
    let mut rest = json.char_indices().peekable();
    while let Some((at, c)) = rest.next() {
        if c != '"' {
            continue;
        }
        let mut text = String::new();
        let mut offsets = Vec::new();
        let mut put = |text: &mut String, at: usize, c: char| {
            text.push(c);
            offsets.extend(std::iter::repeat_n(at, c.len_utf8()));
        };
        let end = loop {
            let (at, c) = rest.next()?;
            match c {
                '"' => break at,
                '\\' => {
                    let escaped = match rest.next()?.1 {
                        'b' => '\u{8}',
                        'f' => '\u{c}',
                        'n' => '\n',
                        'r' => '\r',
                        't' => '\t',
                        'u' => unicode(&mut rest)?,
                        other => other,
                    };
                    put(&mut text, at, escaped);
                }
                c => put(&mut text, at, c),
            }
        };
        offsets.push(end);
        let is_key = json
            .get(end + 1..)
            .is_some_and(|after| after.trim_start().starts_with(':'));
        if is_key {
            key = words(&text);
        } else {
            leaves.push(Leaf {
                key: key.clone(),
                text,
                offsets,
            });
        }
        debug_assert!(at < end);
    }
    Some(leaves)
}

/// The character of a `\u` escape, of two when it is a surrogate pair (RFC 8259 §7).
fn unicode(rest: &mut std::iter::Peekable<std::str::CharIndices<'_>>) -> Option<char> {
    let unit = |rest: &mut std::iter::Peekable<std::str::CharIndices<'_>>| {
        (0..4).try_fold(0u32, |unit, _| {
            Some(unit * 16 + rest.next()?.1.to_digit(16)?)
        })
    };
    let high = unit(rest)?;
    if !(0xd800..0xdc00).contains(&high) {
        return Some(char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER));
    }
    let mut ahead = rest.clone();
    if ahead.next().is_some_and(|(_, c)| c == '\\') && ahead.next().is_some_and(|(_, c)| c == 'u') {
        let low = unit(&mut ahead)?;
        if (0xdc00..0xe000).contains(&low) {
            *rest = ahead;
            return char::from_u32(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00));
        }
    }
    Some(char::REPLACEMENT_CHARACTER)
}

/// `birthDate` and `birth_date` as words.
fn words(key: &str) -> String {
    let mut words = String::with_capacity(key.len() + 4);
    let mut lower = false;
    for c in key.chars() {
        if c.is_uppercase() && lower {
            words.push(' ');
        }
        words.push(if matches!(c, '_' | '-' | '.') { ' ' } else { c });
        lower = c.is_lowercase();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_lead_back_through_escapes() {
        let json = r#"{"birthDate": "a\n\u00e9\ud83d\ude00b", "list": ["x"], "n": 5}"#;
        let leaves = leaves(json).unwrap();
        let first = &leaves[0];
        assert_eq!(
            (first.key.as_str(), first.text.as_str()),
            ("birth Date", "a\né😀b")
        );
        let (start, end) = first.outside(2, 8).unwrap();
        assert_eq!(json.get(start..end).unwrap(), r"\u00e9\ud83d\ude00");
        assert_eq!(leaves[1].text, "x");
        assert_eq!(leaves.len(), 2);
        assert!(super::leaves(r#"{"open": "#.trim_end()).is_some());
        assert!(super::leaves(r#"{"open": "x"#).is_none());
    }
}
