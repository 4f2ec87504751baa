//! Every code that the host can say is listed, and no other: what gives one is read out of the sources.

use std::collections::BTreeSet;

use super::{read, sources};

/// What the first text behind is a code, or an outcome.
const GIVES: [&str; 31] = [
    "Trapped(",
    "BadAnswer(",
    "NotRun(",
    "not_run(",
    "bad(",
    "Later(",
    "Refused(",
    "Withheld(",
    "reasons: vec![",
    "reasons.push(",
    "obligation: ",
    "KeyError::NotPermitted.code().to_owned(), ",
    "about(",
    "about_kek(",
    " draft(",
    "without_reply(status, Class::NotFound, ",
    "keeping(",
    "parcel.record(",
    "cut_off(",
    "note_received(&exchanged, ",
    ".received(",
    "host().count(",
    "host.count(",
    "refuse_connection(from, None, ",
    "refuse_connection(from, event, ",
    "Self::Failures => ",
    "Self::Time => ",
    "self.diverges(now) => ",
    "end_canary(&canary, ",
    "tell(tenant, ",
    "change_hold(",
];

/// Functions whose texts, where one of them is what comes out, are codes.
const TELLS: [&str; 4] = ["code", "effect", "summarise", "as_code"];

/// The codes that a source gives, of which `constants` have names.
fn codes(source: &str, constants: &[(String, String)]) -> BTreeSet<String> {
    let text = one_line(source);
    let mut found = BTreeSet::new();
    for gives in GIVES {
        for behind in text.split(gives).skip(1) {
            found.extend(value(behind, constants));
        }
    }
    // An entry: its kind, and what came of it.
    let begun =
        ["Draft::new(", "draft(", "told(", "about("].map(|name| format!("{name}EntryKind::"));
    for behind in begun.iter().flat_map(|begun| text.split(begun).skip(1)) {
        let rest = behind.trim_start_matches(|c: char| c.is_ascii_alphanumeric());
        if let Some(rest) = rest.strip_prefix(", ") {
            found.extend(value(rest, constants));
        }
    }
    // A kind that comes from elsewhere.
    for behind in text.split("Draft::new(").skip(1) {
        if let Some((_, rest)) = behind.split_once(", ") {
            found.extend(value(rest, constants));
        }
    }
    for opening in ["outcome = ", "let code = ", "let why = "] {
        for behind in text.split(opening).skip(1) {
            let statement = statement(behind);
            found.extend(tails(statement));
            found.extend(value(statement, constants));
        }
    }
    for name in TELLS {
        for behind in text.split(&format!("fn {name}(")).skip(1) {
            found.extend(tails(body(behind)));
        }
    }
    found
}

/// Without comments, tests and line ends, in one form however it was broken.
fn one_line(source: &str) -> String {
    let source = source
        .split("#[cfg(test)]\nmod tests")
        .next()
        .unwrap_or_default();
    let lines = source.lines().map(str::trim);
    let lines: Vec<_> = lines.filter(|line| !line.starts_with("//")).collect();
    let text = lines.join(" ");
    text.replace("( ", "(").replace("[ ", "[")
}

fn is_code(text: &str) -> bool {
    let holds = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    text.len() > 1 && text.bytes().all(holds) && text.starts_with(|c: char| c.is_ascii_lowercase())
}

/// What the text, or the constants of that name, say with which `behind` begins, as far as they are codes.
fn value(behind: &str, constants: &[(String, String)]) -> Vec<String> {
    if let Some(literal) = behind.strip_prefix('"') {
        let text = literal.split('"').next().unwrap_or_default();
        return Vec::from_iter(is_code(text).then(|| text.to_owned()));
    }
    let behind = behind.strip_prefix("crate::serve::").unwrap_or(behind);
    let end = behind.find(|c: char| !(c.is_ascii_uppercase() || c == '_'));
    let (name, rest) = behind.split_at(end.unwrap_or(behind.len()));
    let is_whole = rest.is_empty() || rest.starts_with([',', ')', ';', ' ']);
    // Two files may call two codes by one name.
    let named = constants.iter().filter(|_| is_whole);
    let named = named.filter(|(constant, _)| constant == name);
    named.map(|(_, text)| text.clone()).collect()
}

/// Texts that are what a block, an arm or an alternative comes to.
fn tails(text: &str) -> BTreeSet<String> {
    let pieces: Vec<_> = text.split('"').collect();
    let literals = pieces.windows(3).step_by(2).filter(|window| {
        let [before, literal, behind] = window else {
            return false;
        };
        let is_last = behind.starts_with(',')
            || behind.starts_with(" }")
            || behind.starts_with(';')
            || behind.is_empty();
        let comes_out = before.ends_with("=> ")
            || before.ends_with("{ ")
            || before.ends_with("; ")
            || before.ends_with(", ") && before.contains("=> (");
        is_code(literal) && is_last && comes_out
    });
    literals.map(|window| window[1].to_owned()).collect()
}

/// As far as the braces that open in it close.
fn body(behind: &str) -> &str {
    let mut depth = 0_usize;
    for (place, c) in behind.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => return &behind[..place],
            '}' => depth -= 1,
            _ => {}
        }
    }
    behind
}

/// As far as the semicolon that ends it.
fn statement(behind: &str) -> &str {
    let mut depth = 0_usize;
    for (place, c) in behind.char_indices() {
        match c {
            '{' | '(' | '[' => depth += 1,
            '}' | ')' | ']' if depth == 0 => return &behind[..place],
            '}' | ')' | ']' => depth -= 1,
            ';' if depth == 0 => return &behind[..place],
            _ => {}
        }
    }
    behind
}

fn constants(source: &str) -> Vec<(String, String)> {
    let text = one_line(source);
    let named = text.split("const ").skip(1).filter_map(|behind| {
        let (name, rest) = behind.split_once(": &str = \"")?;
        let text = rest.split('"').next()?;
        (name.len() < 40 && is_code(text)).then(|| (name.to_owned(), text.to_owned()))
    });
    named.collect()
}

#[test]
fn a_code_is_found_however_it_is_given() {
    let source = r#"
        const LOST: &str = "lost-it";
        // Trapped("in-a-comment")
        fn code(&self) -> &'static str {
            match self { Self::One => "one-arm", Self::Two(none) => { if none { "no-two" } else { "two" } } }
        }
        fn said() {
            let a = BadAnswer(
                "broken-over-lines",
            );
            let b = Draft::new(EntryKind::Sending, LOST).fact("a-fact", "no code").sealed("a-name");
            let outcome = match a { Ok(()) => "went-well", Err(_) => "went-ill" };
            Err(anyhow("a sentence")).not_run("Upper-Case")
        }
        #[cfg(test)]
mod tests { fn it() { NotRun("in-a-test") } }
    "#;
    let found = codes(source, &constants(source));
    let found: Vec<_> = found.iter().map(String::as_str).collect();
    let expected = [
        "broken-over-lines",
        "lost-it",
        "no-two",
        "one-arm",
        "two",
        "went-ill",
        "went-well",
    ];
    assert_eq!(found, expected);
}

#[test]
fn every_reason_code_is_listed() {
    let sources: Vec<String> = sources("host")
        .into_iter()
        .filter(|(path, _)| path.components().any(|part| part.as_os_str() == "src"))
        .filter(|(path, _)| !ELSEWHERE.iter().any(|place| path.starts_with(place)))
        .filter(|(path, _)| !path.ends_with("tests.rs"))
        .map(|(_, text)| text)
        .collect();
    for gives in GIVES {
        let given = sources.iter().any(|text| one_line(text).contains(gives));
        assert!(given, "nothing says `{gives}` any more: what does now?");
    }
    let constants: Vec<_> = sources.iter().flat_map(|text| constants(text)).collect();
    let said: BTreeSet<String> = sources
        .iter()
        .flat_map(|text| codes(text, &constants))
        .collect();
    assert!(said.len() > 250, "{}", said.len());
    let document = read("docs/reason-codes.md");
    let rows = document.lines().filter(|line| line.starts_with("| `"));
    let listed: BTreeSet<String> = rows
        .filter_map(|row| row.split('|').nth(1))
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .map(str::to_owned)
        .collect();
    let absent: Vec<_> = said.difference(&listed).collect();
    let nobodys: Vec<_> = listed.difference(&said).collect();
    assert!(absent.is_empty(), "not in docs/reason-codes.md: {absent:?}");
    assert!(nobodys.is_empty(), "no code says: {nobodys:?}");
}

/// What there is said is in no answer, no entry and no status.
const ELSEWHERE: [&str; 1] = ["host/forge"];
