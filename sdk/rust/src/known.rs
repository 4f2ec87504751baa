//! What the application itself said of the patient and of those around: a message of role `known`, beside the texts.

use serde::Deserialize;

use crate::Error;
use crate::types::{Message, Part};

/// The role of the message that holds it. No client can choose it.
pub const ROLE: &str = "known";

/// One thing that is known of somebody.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fact {
    /// A Safe Harbor kind, as spans name it: `name`, `date`, `mrn`, ...
    pub kind: String,
    /// Whose it is: `patient`, `relative`, `staff` or `encounter`.
    pub of: String,
    /// As the application has it. A name with a comma has the family name before it; a date is by ISO 8601, or as people write it.
    pub value: String,
}

/// Takes that message out of `messages`, if there is one; it is the last, so that spans keep their indexes. Nothing in it
/// is to be reported: the host drops spans there.
///
/// # Errors
/// [`Error::InvalidInput`] when it is not as the contract has it.
pub fn take(messages: &mut Vec<Message>) -> Result<Vec<Fact>, Error> {
    if messages.last().is_none_or(|last| last.role != ROLE) {
        return Ok(Vec::new());
    }
    let mut facts = Vec::new();
    for part in messages.pop().into_iter().flat_map(|known| known.parts) {
        let read: Vec<Fact> = match part {
            Part::Json(text) => serde_json::from_str(&text).ok(),
            Part::Text(_) | Part::Blob(_) => None,
        }
        // Serde's own words could quote a value.
        .ok_or_else(|| Error::InvalidInput("what is known is no list of facts".to_owned()))?;
        facts.extend(read);
    }
    Ok(facts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(role: &str, part: Part) -> Message {
        Message {
            role: role.to_owned(),
            name: None,
            parts: vec![part],
        }
    }

    #[test]
    fn what_is_known_is_taken_out_of_the_messages() {
        let text = || message("user", Part::Text("a".to_owned()));
        let known = |json: &str| vec![text(), message(ROLE, Part::Json(json.to_owned()))];
        let mut messages = known(r#"[{"kind":"mrn","of":"patient","value":"483920"}]"#);
        let facts = take(&mut messages).unwrap();
        assert_eq!((messages.len(), facts.len()), (1, 1));
        assert_eq!(facts[0].value, "483920");
        assert!(take(&mut messages).unwrap().is_empty() && messages.len() == 1);
        let wrong = take(&mut known(r#"{"Quackenbush":1}"#)).err().unwrap();
        assert!(!format!("{wrong:?}").contains("Quackenbush"));
    }
}
