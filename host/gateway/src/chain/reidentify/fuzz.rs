//! An answer on its way to the caller, for any text that is cut anywhere.

#![expect(
    clippy::missing_panics_doc,
    reason = "it panics where its property does not hold, and is there for that"
)]

use super::*;
use crate::fuzz::bytes::Bytes;

/// Streamed answers: however a text is cut, the same comes out as of the whole, nothing is sent that may yet become a token, and
/// no more is held back. A token that is not known stays. Where the text is JSON, it is JSON with its values too. What is masked
/// is what was found, and no token.
pub fn stream(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let tokens = [
        "[NAME_7KQ2M]",
        "[NAME_00000]",
        "[HEALTH-PLAN_ZZZZZ]",
        "[A234567890123456_00000]",
    ];
    let mut values = Values::default();
    for token in tokens
        .iter()
        .filter_map(|token| token.parse::<Token>().ok())
    {
        let value = bytes.flag().then(|| Phi::new(bytes.text()));
        values.known.insert(token, value);
    }
    let channel = match bytes.below(3) {
        0 => Channel::Text,
        1 => Channel::Refusal,
        _ => Channel::Arguments(0),
    };
    let wants_json = bytes.flag();
    let cuts = bytes.piece();
    let found: Vec<Range<usize>> = (0..bytes.below(4))
        .map(|_| {
            let start = bytes.below(200);
            start..start + 1 + bytes.below(60)
        })
        .collect();
    let mut text = String::from_utf8_lossy(bytes.rest()).into_owned();
    // A control character stands for a token, which is long to guess.
    for (sign, token) in ["\u{1}", "\u{2}", "\u{3}", "\u{4}"].iter().zip(tokens) {
        text = text.replace(sign, token);
    }
    // Others for what a model makes of one.
    for (sign, token) in ["\u{5}", "\u{6}", "\u{7}", "\u{e}"].iter().zip([
        "[name_7kq2m]",
        r"\\[NAME\\_7KQ2M\\]",
        "&#91;Health&lowbar;Plan-ZZZZZ's&rsqb;",
        "Name 7KQ2M",
    ]) {
        text = text.replace(sign, token);
    }
    if text.len() > 4096 {
        return;
    }
    let whole = restored(&text, &values, &mut Escaping::of(channel, wants_json));
    assert_eq!(
        pieces(&text, cuts, &values, Escaping::of(channel, wants_json)),
        whole
    );
    let unknown = Values::default();
    let unchanged = restored(&text, &unknown, &mut Escaping::of(channel, wants_json));
    assert_eq!(unchanged, text, "an unknown token does not stay");
    let is_json = |text: &str| serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
    if Escaping::of(channel, wants_json).is_json && is_json(&text) {
        assert!(is_json(&whole), "a value breaks the JSON");
    }
    is_masked(&text, &found);
}

fn restored(text: &str, values: &Values, escaping: &mut Escaping) -> String {
    let tokens = seeker().scan(text);
    put(text, &tokens, values, escaping)
}

fn put(text: &str, tokens: &[Written], values: &Values, escaping: &mut Escaping) -> String {
    let room = &mut LARGEST_ANSWER.clone();
    let put = put_back(text, tokens, values, escaping, room);
    assert!(put.is_ok(), "a short answer is too large");
    put.map(Phi::into_inner).unwrap_or_default()
}

/// Passes the text on piece by piece, as long as `cuts` says.
fn pieces(text: &str, cuts: &[u8], values: &Values, escaping: Escaping) -> String {
    let (mut held, mut out, mut rest) = (Held::new(escaping), String::new(), text);
    let mut cuts = cuts.iter().copied();
    let mut said = Said::default();
    while !rest.is_empty() {
        let length = cuts.next().map_or(rest.len(), usize::from).min(rest.len());
        let cut = (length..=rest.len()).find(|at| rest.is_char_boundary(*at));
        let (piece, behind) = rest
            .split_at_checked(cut.unwrap_or(rest.len()))
            .unwrap_or((rest, ""));
        rest = behind;
        said.take(Event::Text(piece.to_owned()));
        let (before, was_held) = (held.before, held.text.expose().len());
        let (ready, found) = held.take(piece, false, &seeker());
        let kept = held.text.expose();
        assert!(kept.len() < Seeker::LONGEST);
        // Each byte of what is kept waits for the next, and none that was sent does.
        let again = seeker().read(held.before, kept, false);
        assert_eq!((again.settled, again.found.len()), (0, 0), "kept too long");
        assert!(ready.expose().len() <= was_held + piece.len());
        let sent = seeker().read(before, ready.expose(), true);
        assert_eq!(sent.found, found, "sent too early");
        out += &put(ready.expose(), &found, values, &mut held.escaping);
    }
    assert_eq!(said.text, text);
    let (ready, found) = held.take("", true, &seeker());
    out + &put(ready.expose(), &found, values, &mut held.escaping)
}

fn is_masked(text: &str, found: &[Range<usize>]) {
    let tokens = seeker().scan(text);
    let on_boundaries = |range: &&Range<usize>| text.get((*range).clone()).is_some();
    let found: Vec<&Range<usize>> = found.iter().filter(on_boundaries).collect();
    let mut masked_pieces: Vec<Range<usize>> = found
        .iter()
        .flat_map(|range| outside((*range).clone(), &tokens))
        .collect();
    masked_pieces.sort_unstable_by_key(|range| (range.start, range.end));
    let masked = mask(text, &masked_pieces);
    // What is masked within a word can end it, and then what is left reads like a token.
    let exact = |tokens: &[Written]| -> Vec<Token> {
        let exact = tokens.iter().filter(|written| written.is_exact);
        exact.map(|written| written.token.clone()).collect()
    };
    let left = exact(&seeker().scan(masked.expose()));
    let all = exact(&tokens);
    assert_eq!(left, all, "a token is masked, or made");
    if !text.contains(MASK) {
        let is_hidden = |at: usize| {
            found.iter().any(|range| range.contains(&at))
                && !tokens.iter().any(|written| written.range.contains(&at))
        };
        let shown: String = text
            .char_indices()
            .filter_map(|(at, letter)| (!is_hidden(at)).then_some(letter))
            .collect();
        assert_eq!(masked.expose().replace(MASK, ""), shown);
    }
}
