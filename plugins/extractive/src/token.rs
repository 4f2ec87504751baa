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

/// The tokens of `text`, in order.
pub(crate) fn tokens(text: &str) -> impl Iterator<Item = Token<'_>> {
    text.match_indices('[').filter_map(move |(start, _)| {
        let rest = text.get(start..)?;
        let end = rest.find(']')?;
        let whole = rest.get(..=end)?;
        let (kind, code) = rest.get(1..end)?.rsplit_once('_')?;
        let holds = (1..=16).contains(&kind.len())
            && kind.bytes().all(|c| c.is_ascii_uppercase() || c == b'-')
            && code.len() == 5
            && code
                .bytes()
                .all(|c| c.is_ascii_digit() || c.is_ascii_uppercase());
        holds.then_some(Token {
            start,
            text: whole,
            kind,
        })
    })
}

/// The token of the person that a note is about: the first name on a line that says so, else the first name.
pub(crate) fn patient(text: &str) -> Option<&str> {
    const CUES: [&str; 8] = [
        "patient",
        "pt:",
        "name:",
        "re:",
        "client",
        "pid|",
        "resident:",
        "my name is",
    ];
    let names = |line| tokens(line).filter(|token| token.kind == "NAME");
    let cued = text.split(['\n', '\r']).find_map(|line| {
        let lower = line.to_lowercase();
        let cue = CUES.iter().filter_map(|cue| lower.find(cue)).min()?;
        names(line)
            .find(|token| token.start > cue)
            .map(|token| token.text)
    });
    cued.or_else(|| names(text).next().map(|token| token.text))
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
