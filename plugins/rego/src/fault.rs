//! What `regorus` says of a module, as a problem with its place.

use nephron_sdk::Problem;

/// A fault of the module at `path`, or of the one that the error names. Settings are the operator's own words and hold no PHI.
pub(crate) fn of(path: &str, error: &anyhow::Error) -> Problem {
    let text = error.to_string();
    let Some((place, message)) = located(&text) else {
        return Problem::at(key(path), text.trim().replace('\n', " "));
    };
    Problem::at(key(place.path), place.told(message))
}

/// Where something stands in a module, lines and columns counted from 1.
pub(crate) struct Place<'t> {
    pub(crate) path: &'t str,
    pub(crate) line: &'t str,
    pub(crate) column: &'t str,
}

impl Place<'_> {
    pub(crate) fn told(&self, message: &str) -> String {
        format!("line {}, column {}: {message}", self.line, self.column)
    }
}

/// The setting that the module at `path` is.
pub(crate) fn key(path: &str) -> String {
    if path == crate::bundle::SINGLE {
        path.to_owned()
    } else {
        format!("bundle[\"{path}\"]")
    }
}

/// Reads `--> path:line:column`, a picture of the line, and `error: message`.
fn located(text: &str) -> Option<(Place<'_>, &str)> {
    let (place, rest) = text.split_once("--> ")?.1.split_once('\n')?;
    let mut parts = place.rsplitn(3, ':');
    let (column, line, path) = (parts.next()?, parts.next()?, parts.next()?);
    let message = rest.rsplit_once("error: ").map_or(rest, |(_, said)| said);
    Some((Place { path, line, column }, message.trim()))
}
