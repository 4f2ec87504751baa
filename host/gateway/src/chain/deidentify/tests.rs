use super::*;

fn messages(texts: &[&str]) -> Messages {
    let message = |text: &&str| Message {
        role: "user".to_owned(),
        name: None,
        parts: vec![Part::Text((*text).to_owned())],
    };
    Messages(texts.iter().map(message).collect())
}

fn span(message: u32, start: u32, end: u32, kind: &str, confidence: f32) -> Span {
    Span {
        message,
        part: 0,
        start,
        end,
        kind: kind.to_owned(),
        confidence,
        rule: None,
    }
}

/// What of these texts is replaced, if nothing in them was issued before.
fn found_in(messages: &Messages, spans: &[Span]) -> Vec<Found> {
    let (exact, _) = tokens_in(messages).unwrap();
    merge(spans, exact).unwrap()
}

fn places(texts: &[&str], spans: &[Span]) -> Vec<(usize, usize, usize, String)> {
    found_in(&messages(texts), spans)
        .into_iter()
        .map(|Found { place, .. }| {
            (
                place.message,
                place.start,
                place.end,
                place.kind.to_string(),
            )
        })
        .collect()
}

#[test]
fn overlapping_finds_are_replaced_as_one() {
    let found = places(
        &["John Smith Jr."],
        &[span(0, 0, 10, "name", 0.6), span(0, 5, 14, "id", 0.9)],
    );
    assert_eq!(found, [(0, 0, 14, "id".to_owned())]);
    // Touching is not overlapping.
    let found = places(
        &["John Smith"],
        &[span(0, 0, 4, "name", 0.6), span(0, 4, 10, "id", 0.9)],
    );
    assert_eq!(found.len(), 2);
}

#[test]
fn the_most_confident_find_gives_its_rule_and_a_rule_is_a_code() {
    let with_rule = |mut span: Span, rule: &str| {
        span.rule = Some(rule.to_owned());
        span
    };
    let spans = [
        with_rule(span(0, 0, 10, "name", 0.6), "name.cue"),
        with_rule(span(0, 5, 14, "id", 0.9), "John Smith"),
    ];
    let merged = found_in(&messages(&["John Smith Jr."]), &spans);
    let told = |found: &Found| (found.confidence(), found.rule.clone());
    let told: Vec<_> = merged.iter().map(told).collect();
    assert_eq!(told, [(0.9, Some("withheld".to_owned()))]);
    let literal = found_in(&messages(&["[NAME_7KQ2M]"]), &[]);
    assert_eq!(literal[0].confidence(), 1.0);
}

#[test]
fn text_in_the_form_of_a_token_is_a_literal() {
    let found = places(&["see [NAME_7KQ2M] now"], &[span(0, 5, 9, "name", 1.0)]);
    assert_eq!(found, [(0, 4, 16, "literal".to_owned())]);
}

#[test]
fn text_that_reads_like_a_token_is_one_only_if_it_was_issued() {
    let messages = messages(&["Name Smith, [NAME_7KQ2M], `name_7kq2m`"]);
    let (exact, like) = tokens_in(&messages).unwrap();
    let at = |place: &Place| (place.start, place.end, place.kind.to_string());
    assert_eq!(
        exact.iter().map(at).collect::<Vec<_>>(),
        [(12, 24, "literal".to_owned())]
    );
    let like: Vec<_> = like
        .iter()
        .map(|(place, token)| (place.start, place.end, token.to_string()))
        .collect();
    let expected = [(0, 10, "[NAME_SM1TH]"), (27, 37, "[NAME_7KQ2M]")];
    assert_eq!(like, expected.map(|(a, b, token)| (a, b, token.to_owned())));
}

#[test]
fn i2_bytes_outside_places_are_unchanged() {
    let original = messages(&["a Ann b Bo c", "Cy"]);
    let spans = [
        span(0, 2, 5, "name", 1.0),
        span(0, 8, 10, "name", 1.0),
        span(1, 0, 2, "name", 1.0),
    ];
    let places = found_in(&original, &spans);
    let tokens: Vec<Token> = ["[NAME_00001]", "[NAME_00002]", "[NAME_00003]"]
        .iter()
        .map(|token| token.parse().unwrap())
        .collect();
    let rewritten = rewrite(&original, &places, &tokens);
    assert!(
        rewritten.expose().clone()
            == messages(&["a [NAME_00001] b [NAME_00002] c", "[NAME_00003]"])
    );
}

#[test]
fn i9_a_kind_of_a_detectors_own_choosing_does_not_come_through() {
    let found = places(
        &["John Smith"],
        &[
            span(0, 0, 4, "zebulon", 1.0),
            span(0, 5, 10, "n90210557", 1.0),
        ],
    );
    assert!(found.iter().all(|(.., kind)| kind == "other"), "{found:?}");
}

#[test]
fn kinds_that_callers_name_are_known_ones() {
    for name in KINDS.iter().copied().chain(["other"]) {
        assert_eq!(known_kind(name).unwrap().as_str(), name);
    }
    // Each has the form of a kind.
    for name in ["quackenbush", "mrn-90210557", "names", ""] {
        assert!(known_kind(name).is_none(), "{name}");
    }
}
