//! Ages and places as coarse as Safe Harbor leaves them.

/// 3-digit ZIP areas with 20,000 people or fewer (2000 Census), in order: HHS OCR, "Guidance Regarding Methods for De-identification"
/// (2012), page 20.
const RESTRICTED: [&str; 17] = [
    "036", "059", "063", "102", "203", "556", "692", "790", "821", "823", "830", "831", "878",
    "879", "884", "890", "893",
];

/// The States, the District of Columbia and Puerto Rico, as the Postal Service writes them, in order.
const STATES: [&str; 52] = [
    "AK", "AL", "AR", "AZ", "CA", "CO", "CT", "DC", "DE", "FL", "GA", "HI", "IA", "ID", "IL", "IN",
    "KS", "KY", "LA", "MA", "MD", "ME", "MI", "MN", "MO", "MS", "MT", "NC", "ND", "NE", "NH", "NJ",
    "NM", "NV", "NY", "OH", "OK", "OR", "PA", "PR", "RI", "SC", "SD", "TN", "TX", "UT", "VA", "VT",
    "WA", "WI", "WV", "WY",
];

/// An age over 89 as the one category of 90 and older (45 CFR 164.514(b)(2)(i)(C)). What stands around its number stays.
pub(crate) fn age(value: &str) -> Option<String> {
    let start = value.find(|c: char| c.is_ascii_digit())?;
    let tail = value.get(start..)?;
    let end = tail
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(tail.len());
    let (number, rest) = tail.split_at_checked(end)?;
    let is_over = number.parse::<u8>().is_ok_and(|age| age > 89);
    // Two numbers are more than an age.
    let is_alone = !rest.contains(|c: char| c.is_ascii_digit());
    (is_over && is_alone).then(|| format!("{}90+{rest}", value.get(..start).unwrap_or_default()))
}

/// The State, if one is named, and the first three digits of the ZIP code that a place ends with; `000` where few people live there
/// (45 CFR 164.514(b)(2)(i)(B)).
pub(crate) fn place(value: &str) -> Option<String> {
    let value = value.trim_end();
    let code = match value.rsplit_once('-') {
        Some((code, four)) if is_digits(four, 4) => code,
        Some(_) | None => value,
    };
    let at = code.len().checked_sub(5)?;
    let (before, zip) = code.split_at_checked(at)?;
    if !is_digits(zip, 5) || before.ends_with(|c: char| c.is_alphanumeric() || c == '-') {
        return None;
    }
    let prefix = zip.get(..3)?;
    let prefix = if RESTRICTED.contains(&prefix) {
        "000"
    } else {
        prefix
    };
    // Five digits behind something else may be another country's.
    match before.trim_end().rsplit([' ', ',', '\n']).next() {
        None | Some("") => Some(prefix.to_owned()),
        Some(word) => STATES.contains(&word).then(|| format!("{word} {prefix}")),
    }
}

fn is_digits(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_and_places_are_as_coarse_as_the_rule_has_them() {
        for (value, coarse) in [
            ("92", Some("90+")),
            ("97-year-old", Some("90+-year-old")),
            ("age 104", Some("age 90+")),
            ("89", None),
            ("92 of 94", None),
            ("ninety-two", None),
        ] {
            assert_eq!(age(value).as_deref(), coarse, "{value}");
        }
        for (value, coarse) in [
            ("12 Elm Street, Boston, MA 02139", Some("MA 021")),
            ("02139-4307", Some("021")),
            ("VT 05901", Some("VT 000")),
            ("Burlington VT 05401-1234", Some("VT 054")),
            ("Boston", None),
            ("1202139", None),
            ("Berlin 10115", None),
            ("straße", None),
        ] {
            assert_eq!(place(value).as_deref(), coarse, "{value}");
        }
        assert!(STATES.is_sorted() && RESTRICTED.is_sorted());
    }
}
