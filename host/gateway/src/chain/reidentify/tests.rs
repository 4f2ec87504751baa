use std::time::Duration;

use nephron_engine::contract::{Attribute, ToolCallDelta};
use proptest::prelude::*;

use super::*;
use crate::reply::Piece;
use crate::wire::Api;
use crate::wire::tests::{id, written};

#[test]
fn an_unknown_token_stays_and_a_value_is_not_looked_at_again() {
    let text = "a [NAME_7KQ2M] b [NAME_00000] c";
    let values = values(&[
        ("[NAME_7KQ2M]", Some("[NAME_00000]")),
        ("[NAME_00000]", None),
    ]);
    let restored = whole(text, &values, Channel::Text, false);
    assert_eq!(restored.expose(), "a [NAME_00000] b [NAME_00000] c");
}

fn whole(text: &str, values: &Values, channel: Channel, wants_json: bool) -> Phi<String> {
    let mut escaping = Escaping::of(channel, wants_json);
    let tokens = seeker().scan(text);
    let room = &mut LARGEST_ANSWER.clone();
    put_back(text, &tokens, values, &mut escaping, room).unwrap()
}

fn values(known: &[(&str, Option<&str>)]) -> Values {
    let value = |(token, value): &(&str, Option<&str>)| {
        (
            token.parse().unwrap(),
            value.map(|value| Phi::new(value.to_owned())),
        )
    };
    Values {
        known: known.iter().map(value).collect(),
        later: 0,
    }
}

/// The text restored piece by piece, cut at these bytes.
fn in_pieces(text: &str, cuts: &[usize], values: &Values) -> String {
    let mut held = Held::new(Escaping::of(Channel::Arguments(0), false));
    let (mut restored, mut from) = (String::new(), 0);
    for cut in cuts.iter().copied().chain([text.len()]) {
        let piece = text.get(from..cut).unwrap();
        restored += &taken(&mut held, piece, false, values);
        from = cut;
    }
    restored + &taken(&mut held, "", true, values)
}

fn taken(held: &mut Held, piece: &str, is_last: bool, values: &Values) -> String {
    let (ready, found) = held.take(piece, is_last, &seeker());
    let room = &mut LARGEST_ANSWER.clone();
    let put = put_back(ready.expose(), &found, values, &mut held.escaping, room);
    put.unwrap().into_inner()
}

#[test]
fn any_cutting_of_an_answer_gives_the_same_text() {
    let values = values(&[
        ("[NAME_7KQ2M]", Some("Ann [NAME_00000] Lee")),
        ("[NAME_00000]", None),
    ]);
    let text =
        "é[NAME_7KQ2M][NAME_7KQ2M]] [[NAME_7KQ2M] [NAME_00000] [NAME_7KQ2 [mrn_7KQ2M] [NAME_7K";
    for text in [text, LOOSE] {
        any_cutting(text, &values);
    }
}

/// All that models do to tokens.
const LOOSE: &str = r#"[name_7kq2m]&#91;NAME&lowbar;7KQ2M&#93;\[NAME\_7KQ2M\] NAME 7KQ2Ms [NAME-7kq2m's] name_7KQ2M"#;

#[test]
fn a_token_is_restored_in_every_form_that_models_give_it() {
    let values = values(&[("[NAME_7KQ2M]", Some("Ann")), ("[NAME_00000]", None)]);
    for (text, restored) in [
        (LOOSE, "AnnAnnAnn Anns Ann's Ann"),
        ("[name_o0OO0] NAME_00000", "[name_o0OO0] NAME_00000"),
        ("[name_7kq2x] name smith", "[name_7kq2x] name smith"),
    ] {
        let whole = whole(text, &values, Channel::Text, false);
        assert_eq!(whole.expose(), restored);
    }
}

fn any_cutting(text: &str, values: &Values) {
    let whole = whole(text, values, Channel::Arguments(0), false);
    let places: Vec<usize> = (0..=text.len())
        .filter(|at| text.is_char_boundary(*at))
        .collect();
    for first in &places {
        for second in places.iter().filter(|second| *second >= first) {
            let cut = in_pieces(text, &[*first, *second], values);
            assert_eq!(&cut, whole.expose(), "cut at {first} and {second}");
        }
    }
    assert_eq!(&in_pieces(text, &places, values), whole.expose());
}

#[test]
fn no_more_is_held_back_than_may_become_a_token() {
    let mut held = Held::new(Escaping::of(Channel::Text, false));
    let mut ready = |piece| held.take(piece, false, &seeker()).0.into_inner();
    assert_eq!(ready("about [NAME_"), "about ");
    assert_eq!(ready("7KQ2"), "");
    assert_eq!(ready("x] and "), "[NAME_7KQ2x] and ");
    assert_eq!(ready("the name "), "the ");
    assert_eq!(ready("of "), "name of ");
}

#[test]
fn in_the_arguments_of_a_tool_call_a_value_is_escaped() {
    let values = values(&[("[NAME_7KQ2M]", Some("Ann \"Al\" O\\Neil\n"))]);
    let name = "Ann \"Al\" O\\Neil\n";
    let text = r#"{"who":"[NAME_7KQ2M]","body":"{\"who\":\"[NAME_7KQ2M]\"}"}"#;
    for (channel, wants_json) in [(Channel::Arguments(0), false), (Channel::Text, true)] {
        let restored = whole(text, &values, channel, wants_json);
        let read: serde_json::Value = serde_json::from_str(restored.expose()).unwrap();
        assert_eq!(read["who"], name);
        let inner: serde_json::Value =
            serde_json::from_str(read["body"].as_str().unwrap()).unwrap();
        assert_eq!(inner["who"], name);
    }
    let restored = whole("[NAME_7KQ2M]", &values, Channel::Text, false);
    assert_eq!(restored.expose(), name);
}

#[test]
fn an_answer_of_a_few_tokens_cannot_fill_the_memory() {
    let text = "[URL_7KQ2M]".repeat(20_000);
    let values = values(&[("[URL_7KQ2M]", Some(&"x".repeat(100_000)))]);
    assert!(matches!(
        put_back(
            &text,
            &seeker().scan(&text),
            &values,
            &mut Escaping::of(Channel::Text, false),
            &mut LARGEST_ANSWER.clone()
        ),
        Err(Refusal::AnswerTooLarge { .. })
    ));
}

#[test]
fn what_reaches_beyond_a_token_is_masked_beside_it() {
    let text = "see https://portal.example/[MRN_7KQ2M]/quackenbush now";
    let tokens = seeker().scan(text);
    let pieces = outside(4..50, &tokens);
    assert_eq!(
        mask(text, &pieces).expose(),
        "see [WITHHELD][MRN_7KQ2M][WITHHELD] now"
    );
    assert!(outside(tokens[0].range.clone(), &tokens).is_empty());
    assert_eq!(outside(0..3, &tokens), std::slice::from_ref(&(0..3)));
}

#[test]
fn identifiers_of_the_models_own_are_masked() {
    assert_eq!(
        mask("see Ann Lee, 42", &[4..7, 4..11, 13..15]).expose(),
        "see [WITHHELD], [WITHHELD]"
    );
}

/// A vault that holds these values, and counts how often it is asked.
struct Vaulted {
    values: BTreeMap<Token, &'static str>,
    looks: std::cell::Cell<usize>,
}

impl Vaulted {
    fn of(values: &[(&str, &'static str)]) -> Self {
        let value = |(token, value): &(&str, &'static str)| (token.parse().unwrap(), *value);
        Self {
            values: values.iter().map(value).collect(),
            looks: 0.into(),
        }
    }
}

impl Vault for Vaulted {
    async fn values(&self, asked: &[Token]) -> Result<Vec<Option<Phi<String>>>, Refusal> {
        self.looks.set(self.looks.get() + 1);
        let value = |token: &Token| {
            let value = self.values.get(token);
            value.map(|value| Phi::new((*value).to_owned()))
        };
        Ok(asked.iter().map(value).collect())
    }

    fn issued(&self, tokens: &[Token]) -> Result<Vec<bool>, Refusal> {
        let is_one = |token: &Token| self.values.contains_key(token);
        Ok(tokens.iter().map(is_one).collect())
    }
}

fn kinds(tokens: &[&str]) -> BTreeSet<Kind> {
    let kind = |token: &&str| token.parse::<Token>().unwrap().kind().clone();
    tokens.iter().map(kind).collect()
}

/// What goes out while these events come, and how the answer ends.
fn passed(events: Vec<Event>, vault: &Vaulted, kinds: &BTreeSet<Kind>) -> (Vec<Piece>, Said) {
    let (outlet, mut pieces) = Outlet::new(Duration::from_secs(60));
    let passing = async move {
        let mut streamed = Streamed::default();
        let mut passing = Passing {
            vault,
            event: id(),
            seeker: Seeker::new(kinds.iter().cloned()),
            kinds,
            wants_json: false,
            held: BTreeMap::new(),
            room: LARGEST_ANSWER,
            outlet: &outlet,
        };
        for event in events {
            passing.take(event, &mut streamed).await.unwrap();
        }
        passing.end(&mut streamed).await.unwrap();
        streamed.ending()
    };
    let arriving = async {
        let mut all = Vec::new();
        while let Some(piece) = pieces.recv().await {
            all.push(piece);
        }
        all
    };
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().build().unwrap();
    let (ending, pieces) = runtime.block_on(async { tokio::join!(passing, arriving) });
    (pieces, ending)
}

/// What went out for a channel.
fn of_channel(pieces: &[Piece], wanted: Channel) -> String {
    let texts = pieces.iter().filter_map(|piece| match piece {
        Piece::Text(channel, text) if *channel == wanted => Some(text.expose().as_str()),
        Piece::Opened(_)
        | Piece::Call { .. }
        | Piece::Text(..)
        | Piece::Done(_)
        | Piece::Refused(_) => None,
    });
    texts.collect()
}

const CHANNELS: [Channel; 4] = [
    Channel::Text,
    Channel::Refusal,
    Channel::Arguments(0),
    Channel::Arguments(7),
];

/// One piece that a model says in a channel. Of a call, the first has its id, if the model gives one, and `named` its name.
fn said_in(channel: Channel, piece: String, nth: usize, has_id: bool, named: usize) -> Event {
    match channel {
        Channel::Text => Event::Text(piece),
        Channel::Refusal => Event::Other(Attribute {
            name: "refusal".to_owned(),
            value: Value::Text(piece),
        }),
        Channel::Arguments(index) => Event::ToolCall(ToolCallDelta {
            index,
            id: (nth == 0 && has_id).then(|| format!("m{index}")),
            name: (nth == named).then(|| "find".to_owned()),
            arguments: piece,
        }),
    }
}

/// The texts of the channels, cut and mixed as `cuts` says: which channel is next, of those that have something to say, and how
/// many characters come of it. What is left at the end comes whole.
fn mixed(
    texts: &[String; 4],
    cuts: &[(usize, usize)],
    has_id: bool,
    named: usize,
) -> (Vec<Event>, [usize; 4]) {
    let mut rest: [&str; 4] = [0, 1, 2, 3].map(|place| texts[place].as_str());
    let mut counts = [0; 4];
    let mut events = Vec::new();
    let mut cuts = cuts.iter().copied();
    loop {
        let talking: Vec<usize> = (0..4).filter(|place| !rest[*place].is_empty()).collect();
        if talking.is_empty() {
            return (events, counts);
        }
        let (which, length) = cuts.next().unwrap_or((0, usize::MAX));
        let place = talking[which % talking.len()];
        let cut = rest[place].char_indices().nth(length);
        let (piece, behind) = rest[place].split_at(cut.map_or(rest[place].len(), |(at, _)| at));
        rest[place] = behind;
        events.push(said_in(
            CHANNELS[place],
            piece.to_owned(),
            counts[place],
            has_id,
            named,
        ));
        counts[place] += 1;
    }
}

fn a_text() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "[NAME_7KQ2M]",
        "[NAME_7KQ2M]",
        "[MRN_00AB9]",
        "[NAME_00000]",
        "[DATE_ZZZZZ]",
        "[NAME_7K",
        "[",
        "]",
        "é",
        " and ",
        "\"",
        "\\\"",
        "\\",
    ]);
    prop::collection::vec(word, 0..8).prop_map(|words| words.concat())
}

proptest! {
    #[test]
    fn however_an_answer_is_cut_and_its_channels_are_mixed_a_client_of_each_api_gets_the_same(
        texts in [a_text(), a_text(), a_text(), a_text()],
        cuts in prop::collection::vec((0_usize..4, 0_usize..6), 0..60),
        has_id: bool,
        named in 0_usize..4,
    ) {
        let vault = Vaulted::of(&[
            ("[NAME_7KQ2M]", "Ann \"Al\" O\\Neil [MRN_00AB9]"),
            ("[MRN_00AB9]", "483920"),
            ("[DATE_ZZZZZ]", "of a kind about which nobody was asked"),
        ]);
        let kinds = kinds(&["[NAME_7KQ2M]", "[MRN_00AB9]"]);
        let (events, counts) = mixed(&texts, &cuts, has_id, named);
        let (pieces, ending) = passed(events, &vault, &kinds);

        let values = values(&[
            ("[NAME_7KQ2M]", Some("Ann \"Al\" O\\Neil [MRN_00AB9]")),
            ("[MRN_00AB9]", Some("483920")),
        ]);
        let expected = [0, 1, 2, 3].map(|place| {
            whole(&texts[place], &values, CHANNELS[place], false).into_inner()
        });
        for (channel, expected) in CHANNELS.into_iter().zip(&expected) {
            prop_assert_eq!(&of_channel(&pieces, channel), expected, "{:?}", channel);
        }
        let mut calls = BTreeMap::new();
        for (place, index) in [(2, 0), (3, 7)] {
            if counts[place] > 0 {
                let ours = format!("call_{}_{index}", id());
                let call_id = if has_id { format!("m{index}") } else { ours };
                let name = if named < counts[place] { "find" } else { "" };
                calls.insert(call_id, (name.to_owned(), expected[place].clone()));
            }
        }
        for api in [Api::Chat, Api::Responses, Api::Messages] {
            let read = written(api, &pieces, ending.clone());
            prop_assert!(read.is_ended, "{:?}", api);
            prop_assert_eq!(&read.calls, &calls, "{:?}", api);
            if api == Api::Messages {
                // It has no channel for a refusal: its words are text, in the order in which they came.
                let words = pieces.iter().filter_map(|piece| match piece {
                    Piece::Text(Channel::Text | Channel::Refusal, text) => Some(text.expose().as_str()),
                    Piece::Opened(_)
                    | Piece::Call { .. }
                    | Piece::Text(..)
                    | Piece::Done(_)
                    | Piece::Refused(_) => None,
                });
                prop_assert_eq!(read.text, words.collect::<String>());
            } else {
                prop_assert_eq!(&read.text, &expected[0], "{:?}", api);
                prop_assert_eq!(&read.refusal, &expected[1], "{:?}", api);
            }
        }
    }
}

#[test]
fn how_many_tokens_are_looked_for_does_not_hang_on_how_the_answer_is_cut() {
    const LETTERS: &[u8] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let token = |number: usize| {
        let [high, low] = [number / 32, number % 32].map(|at| char::from(LETTERS[at]));
        format!("[NAME_ZZZ{high}{low}]")
    };
    // Each twice; of the first and the last that may be looked for, and of the next, there are values.
    let (first, last, next) = (token(0), token(MOST_LATER - 1), token(MOST_LATER));
    let vault = Vaulted::of(&[(&first, "Ann"), (&last, "Bo"), (&next, "Cy")]);
    let kinds = kinds(&[&first]);
    let text: String = (0..MOST_LATER + 8)
        .flat_map(|number| [token(number), token(number)])
        .collect();
    let expected = text.replace(&first, "Ann").replace(&last, "Bo");
    for piece in [1, 5, 11, 12, 13, 100, text.len()] {
        let pieces = text.as_bytes().chunks(piece);
        let events = pieces.map(|piece| Event::Text(String::from_utf8(piece.to_vec()).unwrap()));
        let looks = vault.looks.replace(0);
        assert!(looks <= MOST_LATER, "{looks} looks");
        let (pieces, _) = passed(events.collect(), &vault, &kinds);
        let restored = of_channel(&pieces, Channel::Text);
        assert_eq!(restored, expected, "in pieces of {piece}");
    }
}
