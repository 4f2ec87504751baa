//! The chain in Mermaid (<https://mermaid.js.org/syntax/flowchart.html>), which many wikis and forges draw.

use super::diagram::{Graph, Place, sign};
use crate::associates::Standing;

pub(super) fn draw(graph: &Graph) -> String {
    let mut text = format!(
        "---\ntitle: Business associates as of {}\n---\nflowchart LR\n",
        graph.at
    );
    for (place, node) in graph.nodes() {
        let standing = node.standing.map(|one| format!("{} {one}", sign(one)));
        let lines = standing.iter().chain(&node.lines).map(|line| escape(line));
        let lines: Vec<String> = [format!("<b>{}</b>", escape(&node.name))]
            .into_iter()
            .chain(lines)
            .collect();
        let class = node.standing.map_or("ours", class);
        let name = name(place);
        text.push_str(&format!(
            "  {name}[\"{}\"]:::{class}\n",
            lines.join("<br/>")
        ));
    }
    for (from, to) in &graph.edges {
        text.push_str(&format!("  {} --> {}\n", name(*from), name(*to)));
    }
    for (class, style) in [
        ("ours", "fill:#eef3fb,stroke:#2f5597,color:#1a1a1a"),
        ("good", "fill:#e6f4ea,stroke:#1e7e34,color:#1a1a1a"),
        (
            "soon",
            "fill:#fff4d6,stroke:#b7791f,color:#1a1a1a,stroke-dasharray:8 3",
        ),
        (
            "bad",
            "fill:#fde8e8,stroke:#c0392b,color:#1a1a1a,stroke-width:3px",
        ),
        (
            "none",
            "fill:#f2f2f2,stroke:#767676,color:#1a1a1a,stroke-dasharray:2 3",
        ),
    ] {
        text.push_str(&format!("  classDef {class} {style}\n"));
    }
    text
}

fn name((layer, place): Place) -> String {
    format!("n{layer}_{place}")
}

const fn class(standing: Standing) -> &'static str {
    match standing {
        Standing::InForce(_) => "good",
        Standing::Lapsing(_) | Standing::NotYet(_) => "soon",
        Standing::Lapsed(_) | Standing::Unsigned | Standing::Terminated | Standing::Missing => {
            "bad"
        }
        Standing::NotNeeded => "none",
    }
}

/// Text within a label: whatever could end it, or be read as markup, by its number.
fn escape(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || " .,:-–()/✓⚠…✗".contains(c);
    text.chars()
        .map(|c| {
            if plain(c) {
                c.to_string()
            } else {
                format!("#{};", u32::from(c))
            }
        })
        .collect()
}
