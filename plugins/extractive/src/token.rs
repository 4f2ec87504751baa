//! The host's tokens for identifiers, such as `[NAME_7KQ2M]`.

/// One token in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    /// Its first byte.
    pub(crate) start: usize,
    /// The token itself, with its brackets.
    pub(crate) text: &'a str,
    /// The kind that it names, in capitals.
    pub(crate) kind: &'a str,
}

/// The longest token: a kind of sixteen letters, a code of five, an underscore and the brackets.
const LONGEST: usize = 24;

/// The tokens of `text`, in order.
pub(crate) fn tokens(text: &str) -> impl Iterator<Item = Token<'_>> {
    text.match_indices('[').filter_map(move |(start, _)| {
        let rest = text.as_bytes().get(start..)?;
        let end = rest.iter().take(LONGEST).position(|c| *c == b']')?;
        let (kind, code) = text.get(start + 1..start + end)?.rsplit_once('_')?;
        let holds = (1..=16).contains(&kind.len())
            && kind.bytes().all(|c| c.is_ascii_uppercase() || c == b'-')
            && code.len() == 5
            && code
                .bytes()
                .all(|c| c.is_ascii_digit() || c.is_ascii_uppercase());
        holds.then_some(Token {
            start,
            text: text.get(start..=start + end)?,
            kind,
        })
    })
}

/// The token of the person that a note is about: the first name on a line that says so, else the first name.
pub(crate) fn patient(text: &str) -> Option<&str> {
    let names = |line| tokens(line).filter(|token| token.kind == "NAME");
    let first = names(text).next()?;
    let lines = text.split('\n').flat_map(|line| line.split('\r'));
    let cued = lines
        .filter(|line| names(line).next().is_some())
        .find_map(|line| {
            let cue = cue(&line.to_lowercase())?;
            names(line)
                .find(|token| token.start > cue)
                .map(|token| token.text)
        });
    cued.or(Some(first.text))
}

/// Where a line in lower case first says that it names the patient.
fn cue(line: &str) -> Option<usize> {
    line.bytes().enumerate().map(|(at, _)| at).find(|at| {
        let rest = line.as_bytes().get(*at..).unwrap_or_default();
        let cues: &[&str] = match rest.first() {
            Some(b'p') => &["patient", "pt:", "pid|"],
            Some(b'n') => &["name:"],
            Some(b'r') => &["re:", "resident:"],
            Some(b'c') => &["client"],
            Some(b'm') => &["my name is"],
            _ => &[],
        };
        cues.iter().any(|cue| rest.starts_with(cue.as_bytes()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_patient_is_named_by_the_label() {
        let text = "Dear Dr. [NAME_AAAAA],\nRE: [NAME_BBBBB], DOB [DATE_CCCCC]";
        assert_eq!(patient(text), Some("[NAME_BBBBB]"));
        assert_eq!(patient("Seen by [NAME_AAAAA]."), Some("[NAME_AAAAA]"));
        assert_eq!(
            patient("[NAME_AA] and [x] [_12345] [HEALTH-PLAN_12345]"),
            None
        );
        assert_eq!(tokens("[HEALTH-PLAN_12345]").count(), 1);
    }
}
