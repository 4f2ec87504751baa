//! Checks of what the patterns match. A validator (Luhn, checksum, range) makes a finding surer and never refuses it:
//! a number with a typing error still names a person. Only the surroundings refuse.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::found::{Found, Kind};

/// 3-digit ZIP areas with 20,000 people or fewer (2000 Census), in order. All other prefixes may be kept:
/// 45 CFR 164.514(b)(2)(i)(B), HHS OCR "Guidance Regarding Methods for De-identification" (2012), page 20.
pub(crate) const RESTRICTED_PREFIXES: [&str; 17] = [
    "036", "059", "063", "102", "203", "556", "692", "790", "821", "823", "830", "831", "878",
    "879", "884", "890", "893",
];

/// Takes the match as it is.
pub(crate) fn plain(_: &str, one: Found) -> Option<Found> {
    Some(one)
}

/// Refuses the match, and hides what it covers.
pub(crate) fn never(_: &str, _: Found) -> Option<Found> {
    None
}

fn part(text: &str, one: Found) -> &str {
    text.get(one.start..one.end).unwrap_or_default()
}

/// What stands before the match: at most `length` bytes, of one line, in lower case.
fn lead(text: &str, one: Found, length: usize) -> String {
    let from = (one.start.saturating_sub(length)..=one.start).find(|at| text.is_char_boundary(*at));
    let before = text
        .get(from.unwrap_or(one.start)..one.start)
        .unwrap_or_default();
    before
        .rsplit(['\n', '\r'])
        .next()
        .unwrap_or_default()
        .to_lowercase()
}

/// What stands after the match, of one line, without leading blanks: at most as much as the cues here look at.
fn trail(text: &str, one: Found) -> &str {
    const LENGTH: usize = 24;
    let after = text
        .get(one.end..)
        .unwrap_or_default()
        .trim_start_matches(|c: char| c.is_whitespace() && !matches!(c, '\n' | '\r'));
    let end = (0..=after.len().min(LENGTH))
        .rev()
        .find(|at| after.is_char_boundary(*at));
    after
        .get(..end.unwrap_or(0))
        .unwrap_or_default()
        .split(['\n', '\r'])
        .next()
        .unwrap_or_default()
}

fn digits(text: &str) -> impl Iterator<Item = u32> {
    text.chars().filter_map(|c| c.to_digit(10))
}

/// From the first digit on.
pub(crate) fn from_digit(text: &str, one: Found) -> Option<Found> {
    let at = part(text, one).find(|c: char| c.is_ascii_digit())?;
    Some(Found {
        start: one.start + at,
        ..one
    })
}

/// The number after a glued-in `mrn`, with its letter; cues that stand alone are for the code rules.
pub(crate) fn after_mrn(text: &str, one: Found) -> Option<Found> {
    let written = part(text, one).to_ascii_lowercase();
    let after = written.rfind("mrn")? + 3;
    let value = written.get(after..)?;
    let skipped = value.len() - value.trim_start_matches([':', '#', '_', '-']).len();
    Some(Found {
        start: one.start + after + skipped,
        ..one
    })
}

/// A web or mail address without the punctuation of the sentence around it.
pub(crate) fn address(text: &str, one: Found) -> Option<Found> {
    let mut address = part(text, one);
    loop {
        let trimmed = address.trim_end_matches([
            '.', ',', ';', ':', '!', '?', '\'', '"', '’', '”', '»', '|', '*', '>', ']', '}',
        ]);
        let trimmed = match trimmed.strip_suffix(')') {
            Some(inside) if !inside.contains('(') => inside,
            _ => trimmed,
        };
        if trimmed.len() == address.len() {
            break;
        }
        address = trimmed;
    }
    // Two addresses that a bar parts are two addresses; the second is found again behind the first.
    let address = address.split('|').next().unwrap_or(address);
    (address.len() > 4).then(|| Found {
        end: one.start + address.len(),
        ..one
    })
}

/// A bare domain: not the end of one sentence and the start of the next, nor a file of code.
pub(crate) fn domain(text: &str, one: Found) -> Option<Found> {
    let name = part(text, one);
    let letters = name
        .split('.')
        .next()?
        .chars()
        .filter(|c| c.is_ascii_alphabetic())
        .count();
    (letters >= 2).then_some(())?;
    address(text, one)
}

/// Four numbers with dots.
pub(crate) fn ip4(text: &str, one: Found) -> Option<Found> {
    let version = ["version ", "v.", " v", "section ", "build "];
    let before = lead(text, one, 9);
    if version.iter().any(|cue| before.ends_with(cue)) {
        return None;
    }
    let host = part(text, one).split('/').next().unwrap_or_default();
    let sure = host.parse::<Ipv4Addr>().is_ok();
    Some(Found {
        confidence: if sure { 0.97 } else { 0.5 },
        ..one
    })
}

/// Hexadecimal groups with colons: a time of day is not one.
pub(crate) fn ip6(text: &str, one: Found) -> Option<Found> {
    let before = text
        .get(..one.start)
        .and_then(|before| before.chars().next_back());
    if before.is_some_and(char::is_alphanumeric) {
        return None;
    }
    part(text, one).parse::<Ipv6Addr>().is_ok().then_some(one)
}

/// Three, two and four digits.
pub(crate) fn ssn(text: &str, one: Found) -> Option<Found> {
    let number: Vec<u32> = digits(part(text, one)).collect();
    let area = number.iter().take(3).fold(0, |sum, digit| sum * 10 + digit);
    let valid = area != 0 && area != 666 && area < 900;
    Some(Found {
        confidence: if valid {
            one.confidence
        } else {
            one.confidence - 0.2
        },
        ..one
    })
}

/// Day, month and year as numbers.
pub(crate) fn numeric_date(text: &str, one: Found) -> Option<Found> {
    let numbers: Vec<u32> = part(text, one)
        .split(['/', '-', '.'])
        .filter_map(|number| number.parse().ok())
        .collect();
    let [first, second, _] = numbers.as_slice() else {
        return None;
    };
    // Dots part versions and section numbers as well.
    let dotted = part(text, one).contains('.');
    if *first > 12 && *second > 12 {
        return None;
    }
    if dotted
        && ["version ", "section ", "v", "icd ", "grade "]
            .iter()
            .any(|cue| lead(text, one, 8).ends_with(cue))
    {
        return None;
    }
    Some(one)
}

/// A month as a word with a day: `may` is also a verb, and amounts follow verbs.
pub(crate) fn month_date(text: &str, one: Found) -> Option<Found> {
    let written = part(text, one);
    let day = digits_of_day(written);
    if !(1..=31).contains(&day) {
        return None;
    }
    let verb = ["may", "march", "mar", "sep", "dec"];
    let word: String = written.chars().filter(char::is_ascii_alphabetic).collect();
    let doubtful = verb.iter().any(|verb| word == *verb);
    let unit = trail(text, one).to_lowercase();
    // "over 12 may receive", "a score of 3, may I": a number before a verb in lower case, and no year.
    let is_verb = word == "may"
        && written.ends_with("may")
        && text.as_bytes().get(one.end) == Some(&b' ')
        && ![
            "at", "in", "for", "by", "with", "w/", "to ", "and", "on", "@", "from", "through",
            "until",
        ]
        .iter()
        .any(|word| unit.starts_with(word))
        && unit.starts_with(|c: char| c.is_ascii_lowercase());
    if is_verb {
        return None;
    }
    let amount = [
        "mg", "mcg", "ml", "g ", "%", "units", "tab", "cap", "times", "days", "hours", "weeks",
        "be ", "not ", "have ", "also ",
    ];
    let spaced = text
        .as_bytes()
        .get(one.end)
        .is_some_and(u8::is_ascii_whitespace)
        || unit.starts_with('%');
    (!(doubtful && spaced && amount.iter().any(|amount| unit.starts_with(amount)))).then_some(one)
}

fn digits_of_day(written: &str) -> u32 {
    let number: String = written
        .chars()
        .skip_while(|c| !c.is_ascii_digit())
        .take_while(char::is_ascii_digit)
        .collect();
    number.parse().unwrap_or(0)
}

/// A month alone is finer than a year, when it is meant as a month.
pub(crate) fn month(text: &str, one: Found) -> Option<Found> {
    const CUES: [&str; 24] = [
        "in", "since", "last", "next", "until", "till", "by", "early", "late", "mid", "mid-",
        "this", "of", "from", "through", "before", "after", "during", "for", "past", "every",
        "around", "and", "to",
    ];
    let written = part(text, one);
    let before = lead(text, one, 12);
    let cue = before
        .trim_end()
        .rsplit(|c: char| c.is_whitespace())
        .next()
        .unwrap_or_default();
    let cued = CUES.binary_search(&cue).is_ok() || CUES.contains(&cue);
    let capital = written.starts_with(|c: char| c.is_ascii_uppercase());
    let ambiguous = matches!(
        written.to_ascii_lowercase().as_str(),
        "may" | "march" | "mar" | "jan" | "june" | "april" | "august" | "dec" | "sep" | "oct"
    );
    let whole = !text
        .as_bytes()
        .get(one.end)
        .is_some_and(|next| matches!(next, b'\'' | b'-'));
    // Optical coherence tomography.
    if written == "OCT" {
        return None;
    }
    let sure = capital && cued && whole || !ambiguous && written.len() > 4 && (capital || cued);
    sure.then_some(one)
}

/// A day of the week in short: as a name of its own, or in lower case behind what dates follow. `sat` and `sun` are words.
pub(crate) fn weekday(text: &str, one: Found) -> Option<Found> {
    let written = part(text, one);
    let before = lead(text, one, 10);
    let cue = before
        .trim_end()
        .rsplit(char::is_whitespace)
        .next()
        .unwrap_or_default();
    let cued = matches!(
        cue,
        "on" | "since"
            | "by"
            | "until"
            | "till"
            | "next"
            | "last"
            | "this"
            | "from"
            | "before"
            | "after"
            | "every"
            | "due"
            | "f/u"
            | "home"
    );
    let word = matches!(
        written.to_ascii_lowercase().as_str(),
        "sat" | "sun" | "mon" | "wed"
    );
    let capital = written.starts_with(|c: char| c.is_ascii_uppercase())
        && written.bytes().skip(1).all(|c| c.is_ascii_lowercase());
    let timed = trail(text, one)
        .trim_start()
        .starts_with(|c: char| c.is_ascii_digit());
    let joined = text
        .as_bytes()
        .get(one.end)
        .is_some_and(|next| matches!(next, b'-' | b'\''));
    const NO_DAY: [&str; 9] = [
        "exposure",
        "burn",
        "damage",
        "protection",
        "screen",
        "until",
        ">",
        "<",
        "%",
    ];
    let tail = trail(text, one);
    let is_word = NO_DAY.iter().any(|word| tail.starts_with(word));
    (!joined && !is_word && (cued || timed && !word || capital && !word)).then_some(one)
}

/// An extension alone, as in "x5521": no multiple of something.
pub(crate) fn extension(text: &str, one: Found) -> Option<Found> {
    let one = from_digit(text, one)?;
    let units = ["mg", "ml", "mcg", "units", "cc", "iu", "day", "week", "g"];
    let tail = trail(text, one).to_lowercase();
    (!units.iter().any(|unit| tail.trim_start().starts_with(unit))).then_some(one)
}

/// `m/d`: a date when it can be one and does not read as a fraction, a grade or a score.
pub(crate) fn slash_date(text: &str, one: Found) -> Option<Found> {
    let (left, right) = part(text, one).split_once('/')?;
    let (month, day): (u32, u32) = (left.parse().ok()?, right.parse().ok()?);
    // Where the day comes first, and can be nothing else.
    let day_first = (13..=31).contains(&month) && (1..=12).contains(&day);
    if !day_first && (!(1..=12).contains(&month) || !(1..=31).contains(&day)) {
        return None;
    }
    let bytes = text.as_bytes();
    let joined = |at: Option<usize>| {
        at.and_then(|at| bytes.get(at)).is_some_and(|c| {
            matches!(c, b'/' | b'.' | b'-' | b'%') && at != Some(one.end) || *c == b'/'
        })
    };
    // "3/14-3/18", "labs 3/2, 3/4": behind another, it is what that is.
    let before = lead(text, one, 24);
    let another = before
        .strip_suffix('-')
        .or_else(|| before.strip_suffix(", "))
        .or_else(|| before.strip_suffix(" & "))
        .and_then(|before| {
            before
                .rsplit(|c: char| !c.is_ascii_digit() && c != '/')
                .next()
        })
        .is_some_and(|part| {
            part.split_once('/').is_some_and(|(left, right)| {
                let is_day = |part: &str, most: u32| {
                    part.parse()
                        .is_ok_and(|part: u32| (1..=most).contains(&part))
                };
                is_day(left, 12) && is_day(right, 31)
            })
        });
    let joined_before = joined(one.start.checked_sub(1)) && !(another && before.ends_with('-'));
    if joined_before
        || joined(Some(one.end))
        || bytes.get(one.end) == Some(&b'.')
            && bytes.get(one.end + 1).is_some_and(u8::is_ascii_digit)
    {
        return None;
    }
    const SCORE: [&str; 29] = [
        "lymph",
        "node",
        "nodes",
        "cores",
        "criteria",
        "joints",
        "quadrants",
        "strength",
        "murmur",
        "pain",
        "systolic",
        "diastolic",
        "tab",
        "cup",
        "normal saline",
        "ns",
        "of",
        "score",
        "in",
        "hpf",
        "positive",
        "throughout",
        "bilateral",
        "on the",
        "mg",
        "pulses",
        "reflex",
        "bottles",
        "sirs",
    ];
    let after = trail(text, one).to_lowercase();
    let trimmed = before.trim_end();
    let last = trimmed
        .rsplit(|c: char| c.is_whitespace() || c == '(')
        .next()
        .unwrap_or_default();
    const CUES: [&str; 112] = [
        "angio",
        "biopsy",
        "bx",
        "colonoscopy",
        "culture",
        "cultures",
        "cx",
        "dexa",
        "egd",
        "el",
        "eval",
        "hd",
        "holter",
        "labs:",
        "lands",
        "ot",
        "pet",
        "pm,",
        "pt",
        "read",
        "returns",
        "scope",
        "starting",
        "tee",
        "tte",
        "uds",
        "us",
        "weds",
        "on",
        "since",
        "by",
        "from",
        "until",
        "till",
        "dated",
        "date",
        "date:",
        "~",
        "to",
        "through",
        "before",
        "after",
        "for",
        "due",
        "due:",
        "seen",
        "monday",
        "tuesday",
        "wednesday",
        "thursday",
        "friday",
        "saturday",
        "sunday",
        "f/u",
        "fu",
        "s/p",
        "d/c",
        "dc",
        "d/c'd",
        "labs",
        "lab",
        "mri",
        "ct",
        "cxr",
        "xray",
        "x-ray",
        "echo",
        "cath",
        "ekg",
        "last",
        "next",
        "again",
        "again,",
        "then",
        "visit",
        "appt",
        "appointment",
        "adm",
        "admit",
        "admitted",
        "discharged",
        "run",
        "surgery",
        "started",
        "stopped",
        "recheck",
        "collected",
        "drawn",
        "born",
        "tomorrow",
        "today",
        "yesterday",
        "this",
        "the",
        "call",
        "called",
        "effective",
        "exp",
        "expires",
        "arrived",
        "seen:",
        "tka",
        "tha",
        "cabg",
        "orif",
        "procedure",
        "clinic",
        "w/u",
        "pm",
        "am",
        "and",
        "of:",
    ];
    let weekday = [
        "mon", "tue", "tues", "wed", "thu", "thurs", "fri", "sat", "sun",
    ];
    // "last drink 2/2", "due to see him on or about 5/8".
    let near = trimmed
        .rsplit(|c: char| c.is_whitespace())
        .skip(1)
        .take(2)
        .any(|word| {
            matches!(
                word,
                "last"
                    | "since"
                    | "next"
                    | "dated"
                    | "until"
                    | "due"
                    | "f/u"
                    | "returned"
                    | "started"
                    | "seen"
            )
        });
    let cued = near
        || another
        || CUES.contains(&last)
        || weekday.contains(&last.trim_end_matches([',', '.']));
    const SCORE_BEFORE: [&str; 36] = [
        "bipap", "cpap", "gad-7", "phq-2", "phq-9", "ratio", "acuity", "vent", "aims", "cage",
        "nihss", "stage", "braden", "mini-cog", "fetal", "bpp", "pain", "score", "strength",
        "murmur", "grade", "rated", "rates", "rating", "scale", "gcs", "mmse", "moca", "phq",
        "gad", "apgar", "apgars", "motor", "power", "reflexes", "bp",
    ];
    // Right before the fraction, or anywhere before it when nothing there speaks of a date.
    let scored = |text: &str| SCORE_BEFORE.iter().any(|cue| text.ends_with(cue));
    if scored(trimmed) || !cued && before.rsplit(' ').skip(1).any(scored) {
        return None;
    }
    if SCORE.iter().any(|word| after.starts_with(word)) && !(cued && after.starts_with("in")) {
        return None;
    }
    if day_first {
        // "20/12": how sharply an eye sees.
        let sure = cued && month != 20 && !scored(trimmed);
        return sure.then_some(Found {
            confidence: 0.6,
            ..one
        });
    }
    // "6/9": the same in metres.
    if left == "6" && matches!(day, 6 | 7 | 9 | 12 | 18 | 24) && !cued {
        return None;
    }
    let padded =
        left.len() == 2 && left.starts_with('0') || right.len() == 2 && right.starts_with('0');
    let colon = after.starts_with(':') && trimmed.is_empty()
        || after.starts_with("at ")
        || after.starts_with("@");
    // A part is no greater than the whole, and whole scores of more than ten points are named.
    let scale = matches!(day, 2 | 3 | 4 | 5 | 6 | 8 | 10) && month <= day;
    match (cued || padded || colon, scale) {
        (true, _) => Some(Found {
            confidence: 0.85,
            ..one
        }),
        (false, false) => Some(Found {
            confidence: 0.5,
            ..one
        }),
        (false, true) => None,
    }
}

/// `the 14th`, behind what dates follow and before nothing that is counted.
pub(crate) fn bare_day(text: &str, one: Found) -> Option<Found> {
    const CUES: [&str; 14] = [
        "after", "around", "before", "by", "for", "from", "of", "on", "since", "starting",
        "through", "till", "to", "until",
    ];
    const COUNTED: [&str; 24] = [
        "anniversary",
        "birthday",
        "century",
        "cranial",
        "day",
        "digit",
        "dose",
        "edition",
        "floor",
        "finger",
        "grade",
        "hour",
        "intercostal",
        "metatarsal",
        "month",
        "nerve",
        "percentile",
        "rib",
        "street",
        "time",
        "toe",
        "trimester",
        "week",
        "year",
    ];
    let before = lead(text, one, 12);
    let cue = before.split_whitespace().next_back().unwrap_or_default();
    let after = trail(text, one).to_lowercase();
    let counted = COUNTED.iter().any(|word| after.starts_with(word));
    let day = digits_of_day(part(text, one));
    let found = (CUES.contains(&cue) && !counted && (1..=31).contains(&day)).then_some(one)?;
    from_digit(text, found)
}

/// `3-14`: a date where the word before it says so, or where both parts are written with two digits and no unit follows.
pub(crate) fn dash_date(text: &str, one: Found) -> Option<Found> {
    const CUES: [&str; 24] = [
        "adm",
        "admit",
        "admitted",
        "appt",
        "d/c",
        "dated",
        "dc",
        "discharged",
        "dos",
        "due",
        "exam",
        "f/u",
        "fu",
        "labs",
        "next",
        "on",
        "seen",
        "since",
        "starting",
        "surgery",
        "until",
        "visit",
        "from",
        "->",
    ];
    let (left, right) = part(text, one).split_once('-')?;
    let (month, day): (u32, u32) = (left.parse().ok()?, right.parse().ok()?);
    let bytes = text.as_bytes();
    let joined = |at: Option<usize>| {
        at.and_then(|at| bytes.get(at))
            .is_some_and(|c| matches!(c, b'-' | b'.' | b'/' | b'%' | b'+'))
    };
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || joined(Some(one.end)) {
        return None;
    }
    let before = lead(text, one, 16);
    let arrow = before.ends_with("->");
    if joined(one.start.checked_sub(1)) && !arrow {
        return None;
    }
    let cue = before.split_whitespace().next_back().unwrap_or_default();
    let cued = arrow || CUES.contains(&cue.trim_end_matches([':', ',']));
    let padded = left.len() == 2 && right.len() == 2 && left.starts_with('0');
    const UNITS: [&str; 13] = [
        "day", "week", "month", "year", "hour", "h ", "min", "mg", "ml", "cm", "mm", "times", "%",
    ];
    let after = trail(text, one).to_lowercase();
    let amount = UNITS.iter().any(|unit| after.starts_with(unit));
    ((cued || padded) && !amount).then_some(one)
}

/// `14.03.`: both parts with two digits, and no further number.
pub(crate) fn dotted_date(text: &str, one: Found) -> Option<Found> {
    let bytes = text.as_bytes();
    let joined = |at: Option<usize>| {
        at.and_then(|at| bytes.get(at))
            .is_some_and(|c| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'-'))
    };
    (!joined(one.start.checked_sub(1)) && !joined(Some(one.end))).then_some(one)
}

/// Six digits behind a cue, when they can be a date: month, day and year, or year, month and day.
pub(crate) fn short_date(text: &str, one: Found) -> Option<Found> {
    let one = from_digit(text, one)?;
    let pair = |at: usize| -> Option<u32> { part(text, one).get(at..at + 2)?.parse().ok() };
    let (first, second, third) = (pair(0)?, pair(2)?, pair(4)?);
    let is_date = |month: u32, day: u32| (1..=12).contains(&month) && (1..=31).contains(&day);
    (is_date(first, second) || is_date(second, third) || is_date(second, first)).then_some(one)
}

/// `98 F`: an age, where no temperature and no distance is spoken of.
pub(crate) fn age_and_sex(text: &str, one: Found) -> Option<Found> {
    const OTHER: [&str; 11] = [
        "temp", "fever", "febrile", "degrees", "ambulat", "walk", "meter", "tmax", "afebrile",
        "t ", "swam",
    ];
    let before = lead(text, one, 24);
    let letter = part(text, one).ends_with(['m', 'f', 'M', 'F']);
    (!letter || !OTHER.iter().any(|word| before.contains(word))).then_some(one)
}

/// `turned 90`: unless degrees follow.
pub(crate) fn turned(text: &str, one: Found) -> Option<Found> {
    let tail = trail(text, one);
    let angle = tail.starts_with("degree") || tail.starts_with('°');
    from_digit(text, one).filter(|_| !angle)
}

/// A telephone number, or a fax number where the words before it say so.
pub(crate) fn phone(text: &str, one: Found) -> Option<Found> {
    let count = digits(part(text, one)).count();
    if !(7..=22).contains(&count) {
        return None;
    }
    let before = text
        .get(..one.start)
        .and_then(|before| before.chars().next_back());
    if before
        .is_some_and(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '/') && one.rule != "phone")
    {
        return None;
    }
    let after = text.get(one.end..).and_then(|after| after.chars().next());
    // "0800 1200 1600 2000": hours of the day.
    let hours = |group: &str| group.len() == 4 && group.parse().is_ok_and(|hour: u32| hour <= 2400);
    if part(text, one).split(' ').all(hours) {
        return None;
    }
    let units = ["mg", "ml", "mcg", "units", "iu", "cells", "kcal"];
    let goes_on = after == Some('-')
        && text
            .as_bytes()
            .get(one.end + 1)
            .is_some_and(u8::is_ascii_digit);
    if goes_on
        || one.rule == "phone-local" && units.iter().any(|unit| trail(text, one).starts_with(unit))
    {
        return None;
    }
    let lead = lead(text, one, 28);
    const CUES: [(&str, Kind); 9] = [
        ("fax", Kind::Fax),
        ("f:", Kind::Fax),
        ("facsimile", Kind::Fax),
        ("phone", Kind::Phone),
        ("tel", Kind::Phone),
        ("p:", Kind::Phone),
        ("cell", Kind::Phone),
        ("mobile", Kind::Phone),
        ("call", Kind::Phone),
    ];
    // The nearest cue tells: from the number backwards.
    let nearest = lead.char_indices().rev().find_map(|(at, c)| {
        if !matches!(c, 'f' | 'p' | 't' | 'c' | 'm') {
            return None;
        }
        let from = lead.get(at..)?;
        CUES.iter()
            .find(|(cue, _)| from.starts_with(cue))
            .map(|(_, kind)| *kind)
    });
    let kind = nearest.unwrap_or(Kind::Phone);
    let tail = trail(text, one).to_lowercase();
    let kind = if tail.starts_with("(fax") || tail.starts_with("fax)") {
        Kind::Fax
    } else {
        kind
    };
    Some(Found { kind, ..one })
}

/// A 3-digit ZIP prefix of an area with 20,000 people or fewer; the others may be kept.
pub(crate) fn restricted_prefix(text: &str, one: Found) -> Option<Found> {
    let found = from_digit(text, one)?;
    let rest = text.get(found.start..).unwrap_or_default();
    let at = if rest.starts_with("3-digit") || rest.starts_with("3 ") {
        rest.get(1..)?.find(|c: char| c.is_ascii_digit())? + 1
    } else {
        0
    };
    let prefix = rest.get(at..at + 3)?;
    RESTRICTED_PREFIXES.contains(&prefix).then(|| Found {
        start: found.start + at,
        ..found
    })
}

/// Only when written in capitals.
pub(crate) fn capitals(text: &str, one: Found) -> Option<Found> {
    (!part(text, one).contains(|c: char| c.is_ascii_lowercase())).then_some(one)
}

/// A vehicle identification number has digits and letters; its ninth place checks the others (49 CFR 565.15).
pub(crate) fn vin(text: &str, one: Found) -> Option<Found> {
    const WEIGHTS: [u32; 17] = [8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2];
    let number = part(text, one).to_ascii_uppercase();
    let (letters, numerals) = (
        number.bytes().filter(u8::is_ascii_alphabetic).count(),
        number.bytes().filter(u8::is_ascii_digit).count(),
    );
    if letters < 2 || numerals < 4 {
        return None;
    }
    let value = |c: char| match c {
        'A' | 'J' => 1,
        'B' | 'K' | 'S' => 2,
        'C' | 'L' | 'T' => 3,
        'D' | 'M' | 'U' => 4,
        'E' | 'N' | 'V' => 5,
        'F' | 'W' => 6,
        'G' | 'P' | 'X' => 7,
        'H' | 'Y' => 8,
        'R' | 'Z' => 9,
        other => other.to_digit(10).unwrap_or(0),
    };
    let sum: u32 = number
        .chars()
        .zip(WEIGHTS)
        .map(|(c, weight)| value(c) * weight)
        .sum();
    let expected = if sum % 11 == 10 {
        Some('X')
    } else {
        char::from_digit(sum % 11, 10)
    };
    let valid = number.chars().nth(8) == expected;
    Some(Found {
        confidence: if valid { 0.97 } else { one.confidence },
        ..one
    })
}

/// Whether the digits pass the Luhn check (ISO/IEC 7812-1, annex B).
pub(crate) fn passes_luhn(number: &str) -> bool {
    let digits: Vec<u32> = digits(number).collect();
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| match (place % 2, digit * 2) {
            (0, _) => *digit,
            (_, twice) if twice > 9 => twice - 9,
            (_, twice) => twice,
        })
        .sum();
    !digits.is_empty() && sum.is_multiple_of(10)
}

/// A payment card.
pub(crate) fn card(text: &str, one: Found) -> Option<Found> {
    let sure = passes_luhn(part(text, one));
    Some(Found {
        confidence: if sure { 0.95 } else { one.confidence },
        ..one
    })
}

/// A bank account number: its check is the remainder 1 of a division by 97 (ISO 13616).
pub(crate) fn iban(text: &str, one: Found) -> Option<Found> {
    let number: String = part(text, one)
        .chars()
        .filter(|c| !c.is_whitespace())
        .collect();
    if number.chars().any(|c| c.is_ascii_lowercase()) || !(15..=34).contains(&number.len()) {
        return None;
    }
    let (head, tail) = number.split_at_checked(4)?;
    let remainder = tail.chars().chain(head.chars()).fold(0u32, |rest, c| {
        let value = c.to_digit(36).unwrap_or(0);
        (rest * if value > 9 { 100 } else { 10 } + value) % 97
    });
    Some(Found {
        confidence: if remainder == 1 { 0.97 } else { 0.5 },
        ..one
    })
}

/// A DEA registration: the sum of digits 1, 3, 5 and twice the sum of digits 2, 4, 6 end in digit 7.
pub(crate) fn dea(text: &str, one: Found) -> Option<Found> {
    let number: Vec<u32> = digits(part(text, one)).collect();
    let [a, b, c, d, e, f, last] = number.as_slice() else {
        return None;
    };
    let valid = (a + c + e + 2 * (b + d + f)) % 10 == *last;
    let cued = lead(text, one, 16).contains("dea");
    let kind = if valid || cued {
        Kind::License
    } else {
        Kind::Id
    };
    Some(Found {
        kind,
        confidence: if valid { 0.95 } else { one.confidence },
        ..one
    })
}

/// Whether a number of ten digits passes the check of the national provider identifier (45 CFR 162.406).
pub(crate) fn passes_npi(number: &str) -> bool {
    number.len() == 10 && passes_luhn(&format!("80840{number}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn validators_know_their_own_examples() {
        assert!(passes_luhn("4111 1111 1111 1111") && !passes_luhn("4111 1111 1111 1112"));
        assert!(passes_npi("1234567893") && !passes_npi("1234567890"));
        assert!(RESTRICTED_PREFIXES.is_sorted());
    }
}
