//! Labelled notes with other names in them, and texts written otherwise: in lower case, in capitals, misread.

use crate::Labelled;
use crate::lists::Lists;
use crate::random::Random;

/// The note with other people and places, a stretch of it at times.
pub(crate) fn rewrite(note: &Labelled, lists: &Lists, random: &mut Random) -> Labelled {
    let mut other = Labelled::default();
    let mut at = 0;
    // A name that comes again stays the same.
    let mut known: Vec<(String, String)> = Vec::new();
    let keep_names = random.chance(25);
    for (start, end, tag) in &note.spans {
        if *start < at {
            continue;
        }
        other.push(&note.text[at..*start], Some(0));
        let old = &note.text[*start..*end];
        let new = known
            .iter()
            .find(|(from, _)| from == old)
            .map(|(_, to)| to.clone());
        let new = new.unwrap_or_else(|| match tag {
            Some(1) if !keep_names => name(old, lists, random),
            Some(2) if !keep_names && !old.contains(|c: char| c.is_ascii_digit() || c == ',') => {
                place(old, lists, random)
            }
            _ => old.to_owned(),
        });
        other.push(&new, *tag);
        known.push((old.to_owned(), new));
        at = *end;
    }
    other.push(&note.text[at..], Some(0));
    other
}

fn name(old: &str, lists: &Lists, random: &mut Random) -> String {
    let capitals = !old.contains(char::is_lowercase);
    let words = old.split(' ').count();
    let new = if old.contains(',') {
        format!("{}, {}", lists.family(random), lists.given(random))
    } else if words > 1 && old.chars().nth(1) == Some('.') {
        format!(
            "{}. {}",
            old.chars().next().unwrap_or('A'),
            lists.family(random)
        )
    } else if words > 1 {
        format!("{} {}", lists.given(random), lists.family(random))
    } else if random.chance(50) {
        lists.given(random)
    } else {
        lists.family(random)
    };
    if capitals && old.chars().count() > 2 {
        new.to_uppercase()
    } else {
        new
    }
}

fn place(old: &str, lists: &Lists, random: &mut Random) -> String {
    const FACILITIES: [&str; 14] = [
        "Hospital",
        "Clinic",
        "Center",
        "Centre",
        "Home",
        "Unit",
        "Residence",
        "Service",
        "Pavilion",
        "Care",
        "Health",
        "Institute",
        "Practice",
        "Infirmary",
    ];
    if !FACILITIES.iter().any(|kind| old.contains(kind)) {
        return lists.place(random);
    }
    if random.chance(50) {
        return lists.facility(random);
    }
    let last = old.split_once(' ').map_or(old, |(_, last)| last);
    format!("{} {last}", lists.place(random))
}

/// The text as others would write it.
pub(crate) fn write_otherwise(text: Labelled, random: &mut Random) -> Labelled {
    match random.below(100) {
        0..=17 => map(&text, |c, _| c.to_lowercase().collect()),
        18..=31 => map(&text, |c, _| c.to_uppercase().collect()),
        32..=36 => map(&text, |c, chance: &mut Random| {
            let misread = match c {
                'o' | 'O' => "0",
                'l' | 'I' | 'i' => "1",
                's' | 'S' => "5",
                _ => return c.to_string(),
            };
            if chance.chance(20) {
                misread.to_owned()
            } else {
                c.to_string()
            }
        }),
        37..=41 => map(&text, |c, chance: &mut Random| {
            // Letters lost and doubled.
            match chance.below(60) {
                0 if c.is_alphabetic() => String::new(),
                1 if c.is_alphabetic() => format!("{c}{c}"),
                _ => c.to_string(),
            }
        }),
        _ => text,
    }
}

fn map(text: &Labelled, change: impl Fn(char, &mut Random) -> String) -> Labelled {
    let mut random = Random::new(text.text.len() as u64);
    let mut other = Labelled::default();
    let mut at = 0;
    let mut part = |other: &mut Labelled, part: &str, tag| {
        let changed: String = part.chars().map(|c| change(c, &mut random)).collect();
        other.push(&changed, tag);
    };
    for (start, end, tag) in &text.spans {
        if *start < at {
            continue;
        }
        part(&mut other, &text.text[at..*start], Some(0));
        part(&mut other, &text.text[*start..*end], *tag);
        at = *end;
    }
    part(&mut other, &text.text[at..], Some(0));
    other
}
