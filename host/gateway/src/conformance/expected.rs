//! What a case expects of one answer.

use nephron_engine::PluginFailure;

use super::same;

/// One of what a case can expect.
pub(super) enum Expected<T> {
    /// This answer.
    Answer(T),
    /// An error of the plugin's own, of this case of the contract's `error`.
    Refused(String),
    /// Any answer, and any error of its own.
    Any,
    /// The case says none of them, or several.
    Unsaid,
}

impl<T> Expected<T> {
    pub(super) fn new(answer: Option<T>, refused: Option<String>, any: bool) -> Self {
        match (answer, refused, any) {
            (Some(answer), None, false) => Self::Answer(answer),
            (None, Some(error), false) => Self::Refused(error),
            (None, None, true) => Self::Any,
            _ => Self::Unsaid,
        }
    }

    /// What is left to compare: the answer beside what it should be. `field` is the case's for an answer.
    pub(super) fn against<A>(
        self,
        field: &str,
        answer: Result<A, PluginFailure>,
    ) -> Result<Option<(A, T)>, String> {
        match (self, answer) {
            (Self::Unsaid, _) => Err(format!(
                "the case itself is faulty: it has one of `{field}`, `refused` and `any`"
            )),
            (Self::Any, _) => Ok(None),
            (Self::Answer(expected), Ok(answer)) => Ok(Some((answer, expected))),
            (Self::Answer(_), Err(failure)) => Err(format!("the plugin {failure}")),
            (Self::Refused(expected), Err(failure)) => {
                refuses(&failure, &expected, None).map(|()| None)
            }
            (Self::Refused(expected), Ok(_)) => Err(format!(
                "the plugin answered, and should report the error `{expected}`"
            )),
        }
    }
}

/// Holds a reported error to the one that a case expects.
pub(super) fn refuses(
    failure: &PluginFailure,
    expected: &str,
    expected_about: Option<&str>,
) -> Result<(), String> {
    let PluginFailure::Reported { code, about, .. } = failure else {
        return Err(format!("the plugin {failure}"));
    };
    same("error", code, &expected)?;
    same(
        "what the error is about",
        &about.as_deref(),
        &expected_about,
    )
}
