use std::path::Path;

use super::super::style::Look;
use super::diagram::Graph;
use super::*;

const LOOK: Look = Look {
    in_colour: false,
    width: 100,
};

/// Invented associates, one of each kind of standing; on 2026-11-22.
fn opened(more: &str) -> Opened {
    let associate = |name: &str, rest: &str| format!("[[associate]]\nname = \"{name}\"\n{rest}\n");
    let agreement = |id: &str, from: &str, until: &str| {
        format!(
            "agreement = {{ id = '{id}', services = [\"cloud\"], from = {from}, until = {until}, status = 'signed' }}\n"
        )
    };
    let toml = [
        include_str!("../../../../../examples/quickstart/gateway.toml").to_owned(),
        associate(
            "example-ai",
            &format!(
                "subprocessors = [\"gpu-farm\", \"mail-house\", \"old-disks\"]\nresidency = [\"US\"]\nsoc2-report = 2026-06-30\n{}",
                agreement("BAA <1> & \"2\"", "2026-01-01", "2028-01-01")
            ),
        ),
        associate(
            "gpu-farm",
            &format!(
                "role = \"subcontractor\"\nsubprocessors = [\"example-ai\", \"racks\"]\n{}",
                agreement("SUB-1", "2026-01-01", "2026-12-15")
            ),
        ),
        associate("mail-house", &agreement("SUB-2", "2025-01-01", "2026-11-01")),
        associate("old-disks", "role = \"none\""),
        associate("racks", ""),
        "[[plugin]]\nname = \"openai\"\nkind = \"connector\"\ncomponent = \"openai-compatible\"\n\
         [[endpoint]]\nname = \"cloud\"\nconnector = \"openai\"\nurl = \"https://models.ai.example\"\n\
         associate = \"example-ai\"\nregion = \"US-VA\"\n\
         [[route]]\nmodel = \"cloud\"\nendpoint = \"cloud\"\n"
            .to_owned(),
        more.to_owned(),
    ]
    .concat();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/quickstart");
    let files = |path: &Path| std::fs::read_to_string(path);
    let config = Config::parse(&toml, &folder.join("gateway.toml"), &files)
        .unwrap_or_else(|faults| panic!("{faults}"));
    Opened {
        associates: Associates::of(&config),
        now: day("2026-11-22").unwrap(),
        vouched: BTreeMap::new(),
        within: config.egress.warn_before,
        config,
    }
}

const STANDINGS: [(&str, &str); 5] = [
    ("example-ai", "in force until 2028-01-01"),
    ("gpu-farm", "lapses on 2026-12-15"),
    ("mail-house", "lapsed on 2026-11-01"),
    ("old-disks", "none needed"),
    ("racks", "no agreement"),
];

#[test]
fn the_list_has_every_associate_with_its_standing() {
    let opened = opened("");
    let mut out = Vec::new();
    list::table(&opened, LOOK, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    for (name, standing) in STANDINGS {
        let row = text.lines().find(|line| line.starts_with(name));
        assert!(row.unwrap().contains(standing), "{name}: {text}");
    }
    let report = list::report(&opened);
    let first = &report["associates"][0];
    assert_eq!(first["standing"], "in-force");
    assert_eq!(first["agreement"]["until"], "2028-01-01");
    assert_eq!(first["endpoints"], serde_json::json!(["cloud"]));
}

fn checked(opened: &Opened, json: bool) -> (String, u8) {
    let mut out = Vec::new();
    let result = check::check(opened, json, LOOK, &mut out);
    let code = result.err().map_or(0, |failure| failure.code());
    (String::from_utf8(out).unwrap(), code)
}

#[test]
fn a_check_says_what_may_go_where_and_why_not_and_what_lapses() {
    let opened = opened("[egress]\ncleared-without-baa = \"safe-harbor\"\n");
    let (text, code) = checked(&opened, false);
    assert_eq!(code, 3, "{text}");
    for line in [
        "cloud     example-ai  US-VA   identifiable          no      the subprocessor `mail-house` may not see it: the agreement has lapsed",
        "                              safe-harbor           yes     cleared-without-baa; the subprocessor `mail-house` may not see it: the agreement has lapsed",
        "gpu-farm    SUB-1      lapses on 2026-12-15",
        "mail-house  SUB-2      lapsed on 2026-11-01",
    ] {
        assert!(
            text.lines().any(|found| found == line),
            "{line:?} in\n{text}"
        );
    }
    let (text, _) = checked(&opened, true);
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    let cloud = &report["endpoints"][3];
    assert_eq!(
        (&cloud["endpoint"], &cloud["may-go"], &cloud["reasons"]),
        (
            &"cloud".into(),
            &false.into(),
            &serde_json::json!(["subprocessor-uncovered", "agreement-lapsed"])
        )
    );
    assert_eq!(report["alerts"].as_array().unwrap().len(), 2);
}

#[test]
fn a_register_in_order_is_no_fault() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/gateway.toml");
    let on = |at: &str, asks: bool| {
        let register = Register {
            config: path.clone(),
            at: Some(day(at).unwrap()),
            within: Some(Duration::from_secs(86_400)),
        };
        let mut opened = register.open().ok().unwrap();
        if !asks {
            opened.config.trust = None;
            opened.associates = Associates::of(&opened.config);
        }
        checked(&opened, false)
    };
    // The example asks for certificates of its connectors, and none lies beside them.
    let (text, code) = on("2026-11-22", true);
    assert!(code == 3 && text.contains("no live certificate"), "{text}");
    let (text, code) = on("2026-11-22", false);
    assert_eq!(code, 0, "{text}");
    // The day on which it lapses is near, and then past.
    for at in ["2026-12-31", "2027-01-01"] {
        assert_eq!(on(at, false).1, 3);
    }
}

#[test]
fn the_diagram_has_every_node_with_its_standing_and_is_xml() {
    let graph = Graph::of(&opened(""));
    let (svg, mermaid) = (svg::draw(&graph), mermaid::draw(&graph));
    let document = roxmltree::Document::parse(&svg).unwrap();
    let titles: Vec<&str> = document
        .descendants()
        .filter(|node| node.has_tag_name("title"))
        .filter_map(|node| node.text())
        .collect();
    for (name, standing) in STANDINGS {
        let title = titles.iter().find(|title| title.starts_with(name));
        assert!(title.unwrap().contains(standing), "{name} in {titles:?}");
        let node = mermaid
            .lines()
            .find(|line| line.contains(&format!("<b>{name}</b>")));
        assert!(node.unwrap().contains(standing), "{name} in {mermaid}");
    }
    let whole = titles.iter().any(|title| title.contains("BAA <1> & \"2\""));
    assert!(whole, "what could be markup is text: {titles:?}");
    assert!(
        mermaid.contains("BAA #60;1#62; #38; #34;2#34;"),
        "{mermaid}"
    );
    // From the last but one to the first: the way back is drawn too.
    assert!(mermaid.contains("  n3_0 --> n2_0\n") && mermaid.contains("  n3_0 --> n4_0\n"));
}

#[test]
fn no_two_nodes_of_a_diagram_touch() {
    let many: String = (0..40)
        .map(|n| {
            format!(
                "[[associate]]\nname = \"provider-with-a-long-name-{n}\"\nsubprocessors = [\"racks\"]\n\
                 [[endpoint]]\nname = \"e{n}\"\nconnector = \"openai\"\nurl = \"https://{n}.ai.example\"\n\
                 associate = \"provider-with-a-long-name-{n}\"\n\
                 [[route]]\nmodel = \"m{n}\"\nendpoint = \"e{n}\"\n"
            )
        })
        .collect();
    let svg = svg::draw(&Graph::of(&opened(&many)));
    let document = roxmltree::Document::parse(&svg).unwrap();
    let number = |node: &roxmltree::Node<'_, '_>, name: &str| -> usize {
        node.attribute(name).unwrap_or("0").parse().unwrap()
    };
    let boxes: Vec<[usize; 4]> = document
        .descendants()
        .filter(|node| node.attribute("rx") == Some("9"))
        .map(|node| ["x", "y", "width", "height"].map(|name| number(&node, name)))
        .collect();
    assert_eq!(boxes.len(), 2 + 5 + 40);
    let root = document.root_element();
    let apart = |a: usize, long: usize, b: usize| a + long < b;
    for (place, [x, y, w, h]) in boxes.iter().copied().enumerate() {
        assert!(x + w < number(&root, "width") && y + h < number(&root, "height"));
        for [x2, y2, w2, h2] in boxes.iter().skip(place + 1).copied() {
            assert!(apart(x, w, x2) || apart(x2, w2, x) || apart(y, h, y2) || apart(y2, h2, y));
        }
    }
}
