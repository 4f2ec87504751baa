//! Telephone numbers and street addresses as other countries write them, by their groups of digits and by the words
//! for streets in other languages.

use crate::found::{Found, Kind};
use crate::lexicon::{role, within};
use crate::token::{Document, Gap, Shape, Token};

/// Words that say that a telephone number follows (sorted).
const PHONES: [&str; 27] = [
    "answering",
    "bellen",
    "belt",
    "call",
    "callback",
    "called",
    "calling",
    "cell",
    "contact",
    "dial",
    "fax",
    "handy",
    "messages",
    "mob",
    "mobil",
    "mobile",
    "movil",
    "móvil",
    "phone",
    "reach",
    "ring",
    "tel",
    "telefon",
    "telefono",
    "telephone",
    "teléfono",
    "tél",
];

/// Words before the name of a street (sorted).
pub(crate) const BEFORE: &[&str] = &[
    "allée",
    "avda",
    "avenida",
    "avenue",
    "boulevard",
    "calle",
    "carrer",
    "chemin",
    "corso",
    "impasse",
    "largo",
    "paseo",
    "piazza",
    "place",
    "plaza",
    "praça",
    "quai",
    "rua",
    "rue",
    "travessa",
    "ul",
    "ulica",
    "ulice",
    "via",
    "viale",
];

/// Those of them that English has as well: an article must follow (sorted).
const ENGLISH: [&str; 6] = ["avenue", "boulevard", "largo", "place", "plaza", "via"];

/// Ends of words that are streets.
const ENDS: [&str; 22] = [
    "straße", "strasse", "straat", "gasse", "platz", "weg", "allee", "laan", "gracht", "plein",
    "vej", "gade", "gata", "gatan", "vägen", "veien", "katu", "kuja", "utca", "tänav", "gatve",
    "ulica",
];

/// Words inside the name of a street (sorted).
const INSIDE: [&str; 16] = [
    "d", "da", "das", "de", "del", "della", "der", "des", "di", "do", "dos", "du", "la", "las",
    "les", "los",
];

/// Finds numbers and addresses.
pub(crate) fn abroad(document: &Document<'_>, out: &mut Vec<Found>) {
    for (at, token) in document.tokens().iter().enumerate() {
        if token.shape == Shape::Number {
            phone(document, at, out);
            postcode(document, at, out);
        } else if token.is_word() && token.letters > 1 {
            street(document, at, token, out);
        }
    }
}

/// Groups of digits that a call, or their form, makes a telephone number: `04 72 55 50 12`, `call 612 555 018`.
fn phone(document: &Document<'_>, at: usize, out: &mut Vec<Found>) -> Option<()> {
    let first = document.get(at)?;
    let before = document.before(at, 1);
    let glued = first.gap == Gap::None && before.is_some_and(|before| !before.is('('));
    let continued =
        before.is_some_and(|before| before.shape == Shape::Number && first.gap != Gap::Line);
    if glued || continued || first.digits > 5 {
        return None;
    }
    let mut groups = vec![first.digits];
    let mut last = at;
    while let Some(next) = groups_on(document, last) {
        groups.push(document.get(next)?.digits);
        last = next;
    }
    let all: usize = groups.iter().sum();
    let amount = document.get(last + 1).is_some_and(|next| {
        next.flags.any(role::MEASURE)
            || matches!(next.shape, Shape::Mark('%' | '/')) && next.gap == Gap::None
    });
    if groups.len() < 2 || amount {
        return None;
    }
    // "(37) 788-063-Office"
    let use_behind = (last + 1..last + 3).find(|next| {
        matches!(
            document.lower(*next),
            "office" | "fax" | "home" | "work" | "cell" | "mobile"
        )
    });
    let cue = (1..=4).find(|back| {
        document
            .before(at, *back)
            .is_some_and(|word| within(&word.lower, &PHONES))
    });
    let trunk = first.lower.starts_with('0') && groups.len() > 2;
    let even = groups.len() == 3 && groups.iter().all(|digits| *digits == 3);
    let formed = (9..=12).contains(&all)
        && (trunk || even)
        && groups.iter().all(|digits| (2..6).contains(digits));
    let confidence = match cue {
        Some(_) if (7..=13).contains(&all) => 0.85,
        None if use_behind.is_some() && (7..=13).contains(&all) => 0.75,
        _ if formed => 0.6,
        _ => return None,
    };
    let fax = cue.is_some_and(|back| document.lower_before(at, back) == "fax")
        || use_behind.is_some_and(|next| document.lower(next) == "fax");
    let from = before.filter(|before| before.is('(')).unwrap_or(first);
    out.push(Found {
        start: from.start,
        end: document.get(last)?.end,
        kind: if fax { Kind::Fax } else { Kind::Phone },
        confidence,
        rule: "phone-by-groups",
    });
    Some(())
}

/// The next group of digits behind the one at `at`.
fn groups_on(document: &Document<'_>, at: usize) -> Option<usize> {
    let next = document.get(at + 1)?;
    let group = |at: usize, gap: Gap| {
        document
            .get(at)
            .filter(|token| {
                token.shape == Shape::Number && (2..=8).contains(&token.digits) && token.gap == gap
            })
            .map(|_| at)
    };
    match next.shape {
        Shape::Number => group(at + 1, Gap::Space),
        Shape::Mark('-' | '.') if next.gap == Gap::None => group(at + 2, Gap::None),
        Shape::Mark(')') if next.gap == Gap::None => {
            group(at + 2, Gap::Space).or_else(|| group(at + 2, Gap::None))
        }
        Shape::Lower
        | Shape::Title
        | Shape::Upper
        | Shape::Initial
        | Shape::Code
        | Shape::Possessive
        | Shape::Mark(_) => None,
    }
}

/// "Lindenstraße 27", "18 rue des Lilas", "ul. Miodowa 14/3", with the postcode and the town behind it.
fn street(
    document: &Document<'_>,
    at: usize,
    token: &Token<'_>,
    out: &mut Vec<Found>,
) -> Option<()> {
    let is_number = |token: &&Token<'_>| {
        matches!(token.shape, Shape::Number | Shape::Code)
            && (1..=4).contains(&token.digits)
            && token.letters < 2
    };
    let number = |at: usize| {
        document
            .get(at)
            .filter(is_number)
            .is_some_and(|token| token.gap != Gap::Line)
    };
    let ended = || token.letters > 5 && ENDS.iter().any(|end| token.lower.ends_with(end));
    let (first, mut end) = if number(at + 1) && ended() {
        (at, at + 2)
    } else if token.flags.any(role::STREET_ABROAD)
        && (!within(&token.lower, &ENGLISH) || within(document.lower(at + 1), &INSIDE))
    {
        let dot = usize::from(document.get(at + 1).is_some_and(|next| next.is('.')));
        let mut end = at + 1 + dot;
        let mut named = false;
        while let Some(word) = document.get(end)
            && word.gap != Gap::Line
            && end < at + 7
            && (matches!(word.shape, Shape::Title | Shape::Upper)
                || within(&word.lower, &INSIDE)
                || matches!(word.shape, Shape::Mark('\'' | '’' | '-')) && word.gap == Gap::None)
        {
            named |= matches!(word.shape, Shape::Title | Shape::Upper);
            end += 1;
        }
        let before = at
            .checked_sub(1)
            .filter(|before| document.get(*before).filter(is_number).is_some());
        // "via PEG 5 ml" is no street.
        let amount = document.flags(end + 1).any(role::MEASURE);
        match (named, before, number(end) && !amount) {
            (true, Some(before), _) => (before, end),
            (true, None, true) => (at, end + 1),
            _ => return None,
        }
    } else {
        return None;
    };
    // "14/3", "25 Apt. 3"
    while document
        .get(end)
        .is_some_and(|mark| matches!(mark.shape, Shape::Mark('/' | '-')) && mark.gap == Gap::None)
        && number(end + 1)
    {
        end += 2;
    }
    let comma = usize::from(document.get(end).is_some_and(|mark| mark.is(',')));
    if let Some(town) = town(document, end + comma) {
        end = town;
    }
    out.push(Found {
        start: document.get(first)?.start,
        end: document.before(end, 1)?.end,
        kind: Kind::Geo,
        confidence: 0.85,
        rule: "street-abroad",
    });
    Some(())
}

/// The end of a postcode and a town that begin at `at`: "69003 Lyon", "00-246 Warszawa", "1012 AB Amsterdam".
fn town(document: &Document<'_>, at: usize) -> Option<usize> {
    let code = document
        .get(at)
        .filter(|code| code.shape == Shape::Number)?;
    let mut end = at + 1;
    if code.digits == 2 && document.get(end)?.is('-') && document.get(end + 1)?.digits == 3 {
        end += 2;
    } else if !(4..=5).contains(&code.digits) {
        return None;
    }
    let name = end;
    while document.get(end).is_some_and(|word| {
        matches!(word.shape, Shape::Title | Shape::Upper)
            && word.gap == Gap::Space
            && end < name + 4
    }) {
        end += 1;
    }
    (end > name).then_some(end)
}

/// "69003 Lyon": a number of five digits before a place of the list.
fn postcode(document: &Document<'_>, at: usize, out: &mut Vec<Found>) -> Option<()> {
    let code = document.get(at).filter(|code| code.digits == 5)?;
    let listed = document.get(at + 1).is_some_and(|word| {
        word.shape == Shape::Title && word.gap == Gap::Space && word.flags.any(role::PLACE)
    });
    if !listed {
        return None;
    }
    out.push(Found {
        start: code.start,
        end: document.before(town(document, at)?, 1)?.end,
        kind: Kind::Geo,
        confidence: 0.8,
        rule: "postcode-town",
    });
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lexicon::Lexicon;

    #[test]
    fn numbers_and_streets_of_other_countries_are_found() {
        let lexicon = Lexicon::new(&[]);
        let cases: [(&str, &[&str]); 17] = [
            ("tél 04 72 55 50 12", &["04 72 55 50 12"]),
            ("Móvil 612 555 018.", &["612 555 018"]),
            ("stop messages to 699 956 915 please", &["699 956 915"]),
            ("at 01.84.17.61.18?", &["01.84.17.61.18"]),
            ("call (37) 788-063", &["(37) 788-063"]),
            ("07700 063 966-Fax", &["07700 063 966"]),
            ("Mobile: 0341 8387176", &["0341 8387176"]),
            ("BP 120 80 pulse 72 88", &[]),
            ("250 000 000 units", &[]),
            (
                "wohnhaft Lindenstraße 27, 50674 Köln.",
                &["Lindenstraße 27, 50674 Köln", "50674 Köln"],
            ),
            (
                "18 rue des Lilas, 69003 Lyon",
                &["18 rue des Lilas, 69003 Lyon", "69003 Lyon"],
            ),
            (
                "ul. Miodowa 14/3, 00-246 Warszawa",
                &["ul. Miodowa 14/3, 00-246 Warszawa"],
            ),
            ("Calle Mayor 5", &["Calle Mayor 5"]),
            ("given via PEG 5 ml", &[]),
            ("en route 5 km", &[]),
            ("half-way 12", &[]),
            ("4 place settings, 5", &[]),
        ];
        for (text, expected) in cases {
            let lower = text.to_ascii_lowercase();
            let document = Document::new(text, &lower, &lexicon);
            let mut out = Vec::new();
            abroad(&document, &mut out);
            let found: Vec<_> = out
                .iter()
                .filter_map(|one| text.get(one.start..one.end))
                .collect();
            assert_eq!(found, expected, "{text}");
        }
        assert!(PHONES.is_sorted() && BEFORE.is_sorted() && INSIDE.is_sorted());
    }
}
