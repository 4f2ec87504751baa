//! Cuts clinical text into sentences: headings, lists, hard line ends, abbreviations and HL7 lines are its daily bread.

/// One sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sentence {
    /// Its text, with single blanks. Tokens such as `[NAME_7KQ2M]` hold no blank, so they stay as they are.
    pub(crate) text: String,
    /// The heading it stands under, in lower case; empty at the top.
    pub(crate) section: String,
}

/// Words that end with a dot inside a sentence (sorted).
const ABBREVIATIONS: [&str; 48] = [
    "approx", "appt", "apt", "ave", "b.i.d", "blvd", "cf", "dept", "dr", "drs", "e.g", "est",
    "etc", "ext", "fig", "hosp", "hr", "hx", "i.e", "inc", "jr", "lab", "mr", "mrs", "ms", "mt",
    "no", "p.m", "p.o", "pcp", "ph", "prof", "pt", "q.d", "q.i.d", "rd", "resp", "rev", "sr", "st",
    "ste", "t.i.d", "tab", "tel", "temp", "vs", "wt", "yo",
];

/// Cuts `text` into its sentences, in order.
pub(crate) fn sentences(text: &str) -> Vec<Sentence> {
    let mut out = Vec::new();
    let mut section = String::new();
    let mut paragraph = String::new();
    for line in text.split(['\n', '\r']) {
        let line = line.trim();
        let entry = without_bullet(line);
        let begins = line.is_empty() || entry.len() < line.len() || ends_sentence(&paragraph);
        if begins {
            flush(&mut paragraph, &section, &mut out);
        }
        if let Some(fields) = segment(line) {
            flush(&mut paragraph, &section, &mut out);
            paragraph.push_str(fields);
            flush(&mut paragraph, &section, &mut out);
            continue;
        }
        match heading(entry) {
            Some((name, rest)) => {
                flush(&mut paragraph, &section, &mut out);
                section = name.to_lowercase();
                paragraph.push_str(rest);
            }
            None => {
                if !paragraph.is_empty() {
                    paragraph.push(' ');
                }
                paragraph.push_str(entry);
            }
        }
    }
    flush(&mut paragraph, &section, &mut out);
    out
}

/// The comment of an HL7 `NTE` segment, nothing for any other segment, `None` for what is no segment.
fn segment(line: &str) -> Option<&str> {
    let (name, rest) = line.split_once('|')?;
    let named = name.len() == 3
        && name.starts_with(|c: char| c.is_ascii_uppercase())
        && name
            .bytes()
            .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit());
    named.then(|| {
        if name == "NTE" {
            rest.split('|').nth(2).unwrap_or_default()
        } else {
            ""
        }
    })
}

/// The line without its list mark: `-`, `*`, `•`, `1.` or `1)`.
fn without_bullet(line: &str) -> &str {
    for mark in ["- ", "* ", "• ", "– "] {
        if let Some(rest) = line.strip_prefix(mark) {
            return rest.trim_start();
        }
    }
    let rest = line.trim_start_matches(|c: char| c.is_ascii_digit());
    match rest.strip_prefix(". ").or_else(|| rest.strip_prefix(") ")) {
        Some(rest) if line.len() - rest.len() <= 5 => rest.trim_start(),
        _ => line,
    }
}

/// A heading and what follows it on its line: `PLAN`, `Assessment and plan:`, `Impression: no change`.
fn heading(line: &str) -> Option<(&str, &str)> {
    let words = |text: &str| text.split_whitespace().count();
    let wordy = |text: &str| {
        text.chars().all(|c| {
            c.is_alphabetic() || c.is_whitespace() || matches!(c, '/' | '&' | '-' | '\'' | ',')
        })
    };
    if let Some((name, rest)) = line.split_once(':')
        && (1..=5).contains(&words(name))
        && wordy(name)
        && name.starts_with(char::is_uppercase)
        && (rest.is_empty() || rest.starts_with(char::is_whitespace))
    {
        return Some((name, rest.trim_start()));
    }
    let capitals = line.chars().any(char::is_alphabetic) && !line.chars().any(char::is_lowercase);
    (capitals && words(line) <= 6 && wordy(line)).then_some((line, ""))
}

fn ends_sentence(text: &str) -> bool {
    text.ends_with(['.', '!', '?', ':', ';'])
}

fn flush(paragraph: &mut String, section: &str, out: &mut Vec<Sentence>) {
    let whole = std::mem::take(paragraph);
    let words: Vec<&str> = whole.split_whitespace().collect();
    let mut sentence: Vec<&str> = Vec::new();
    for (place, word) in words.iter().enumerate() {
        sentence.push(word);
        if ends_here(word, words.get(place + 1).copied()) {
            push(&mut sentence, section, out);
        }
    }
    push(&mut sentence, section, out);
}

fn push(words: &mut Vec<&str>, section: &str, out: &mut Vec<Sentence>) {
    let text = std::mem::take(words).join(" ");
    if text.contains(char::is_alphabetic) {
        out.push(Sentence {
            text,
            section: section.to_owned(),
        });
    }
}

/// Whether a sentence ends with `word`, given the one after it.
fn ends_here(word: &str, next: Option<&str>) -> bool {
    let closed = word.trim_end_matches(['"', '\'', ')', '”', '’']);
    let Some(bare) = closed.strip_suffix(['.', '!', '?']) else {
        return false;
    };
    let Some(next) = next else { return true };
    if closed.ends_with(['!', '?']) {
        return true;
    }
    let begins = next
        .trim_start_matches(['"', '\'', '(', '“', '‘'])
        .starts_with(|c: char| c.is_uppercase() || c.is_ascii_digit() || c == '[');
    let bare = bare.trim_start_matches(['(', '"', '“']).to_lowercase();
    let initial = bare.chars().count() == 1 && bare.starts_with(char::is_alphabetic);
    begins && !initial && ABBREVIATIONS.binary_search(&bare.as_str()).is_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(&str, &str)]) {
        let found = sentences(text);
        let found: Vec<_> = found
            .iter()
            .map(|one| (one.section.as_str(), one.text.as_str()))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn abbreviations_are_sorted_for_lookup() {
        assert!(ABBREVIATIONS.is_sorted());
    }

    #[test]
    fn abbreviations_and_decimals_end_no_sentence() {
        check(
            "Seen by Dr. [NAME_7KQ2M] at 8 p.m. Potassium was 4.1. J. Smith agrees.",
            &[
                ("", "Seen by Dr. [NAME_7KQ2M] at 8 p.m. Potassium was 4.1."),
                ("", "J. Smith agrees."),
            ],
        );
    }

    #[test]
    fn headings_lists_and_wrapped_lines_are_understood() {
        check(
            "PLAN\n1. Start aspirin\n2. Return in\n   two weeks\n\nImpression: stable.\nNo change\nsince June.",
            &[
                ("plan", "Start aspirin"),
                ("plan", "Return in two weeks"),
                ("impression", "stable."),
                ("impression", "No change since June."),
            ],
        );
    }

    #[test]
    fn hl7_lines_are_no_sentences_but_comments_are() {
        check(
            "MSH|^~\\&|A|B\rPID|1||[MRN_00000]\rNTE|1||Seen today. Doing well.\r",
            &[("", "Seen today."), ("", "Doing well.")],
        );
    }
}
