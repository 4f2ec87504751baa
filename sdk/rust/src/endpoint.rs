//! Settings that connectors and exporters to HTTP APIs share.

use crate::Problem;

/// Every fault in these settings: paths on the endpoint by their keys, the model to ask for, the name of the credential.
#[must_use]
pub fn problems(
    paths: &[(&str, &str)],
    model: Option<&str>,
    credential: Option<&str>,
) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (key, path) in paths {
        if !path.starts_with('/') || path.starts_with("//") {
            problems.push(Problem::at(
                *key,
                "must start with one `/`: the host knows the endpoint, the plugin its path",
            ));
        }
        if path.len() > 1024
            || !path
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && byte != b'#')
        {
            problems.push(Problem::at(
                *key,
                "must be at most 1024 printable ASCII characters without `#`",
            ));
        }
    }
    if model.is_some_and(|model| model.trim().is_empty()) {
        problems.push(Problem::at(
            "model",
            "is empty; leave it out to ask for the model that the caller named",
        ));
    }
    if credential.is_some_and(|name| !is_name(name)) {
        problems.push(Problem::at(
            "credential",
            "must be the name of a credential, 1 to 64 of letters, digits, `-`, `_` and `.`, never the secret",
        ));
    }
    problems
}

fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}
