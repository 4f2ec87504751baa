//! The chain as a picture: SVG 1.1, a layer a column, from left to right. A standing is told by colour, by the form of
//! the border, by a sign and in words.

use super::super::text::{visible, width};
use super::diagram::{Graph, Node, Place, sign};
use crate::associates::Standing;

const MARGIN: usize = 32;
/// Between two layers, and between two nodes of one.
const BETWEEN_LAYERS: usize = 84;
const BETWEEN_NODES: usize = 22;
/// Within a node.
const PADDING: usize = 16;
const NAME_HEIGHT: usize = 24;
const LINE_HEIGHT: usize = 18;
/// Columns of text; what is longer ends in `…`, and the node's title has it whole.
const LONGEST: usize = 40;
/// Of what stands above the nodes, and below them.
const HEADER: usize = 72;
const LEGEND: usize = 64;

/// How a standing looks.
struct Look {
    fill: &'static str,
    line: &'static str,
    ink: &'static str,
    border: &'static str,
}

const OURS: Look = Look {
    fill: "#eef3fb",
    line: "#2f5597",
    ink: "#1f3a68",
    border: "stroke-width=\"1.5\"",
};
const GOOD: Look = Look {
    fill: "#e8f5ec",
    line: "#1e7e34",
    ink: "#14592a",
    border: "stroke-width=\"1.5\"",
};
const SOON: Look = Look {
    fill: "#fff6dd",
    line: "#b7791f",
    ink: "#7a4d0b",
    border: "stroke-width=\"2\" stroke-dasharray=\"9 4\"",
};
const BAD: Look = Look {
    fill: "#fdeaea",
    line: "#c0392b",
    ink: "#8e2419",
    border: "stroke-width=\"3.5\"",
};
const NONE: Look = Look {
    fill: "#f4f4f5",
    line: "#71717a",
    ink: "#3f3f46",
    border: "stroke-width=\"1.5\" stroke-dasharray=\"2 4\"",
};

const fn look(standing: Option<Standing>) -> &'static Look {
    match standing {
        None => &OURS,
        Some(Standing::InForce(_)) => &GOOD,
        Some(Standing::Lapsing(_) | Standing::NotYet(_)) => &SOON,
        Some(
            Standing::Lapsed(_) | Standing::Unsigned | Standing::Terminated | Standing::Missing,
        ) => &BAD,
        Some(Standing::NotNeeded) => &NONE,
    }
}

/// A node and the rectangle that it takes.
struct Placed<'g> {
    place: Place,
    node: &'g Node,
    left: usize,
    top: usize,
    width: usize,
    height: usize,
}

impl Placed<'_> {
    const fn right(&self) -> usize {
        self.left + self.width
    }

    const fn middle(&self) -> usize {
        self.top + self.height / 2
    }
}

pub(super) fn draw(graph: &Graph) -> String {
    let placed = place(graph);
    let right = placed.iter().map(Placed::right).max().unwrap_or(0);
    let bottom = placed.iter().map(|node| node.top + node.height);
    let bottom = bottom.max().unwrap_or(0);
    let returns = graph
        .edges
        .iter()
        .filter(|(from, to)| from.0 >= to.0)
        .count();
    let lanes = bottom + returns * 12;
    let legend = legend(MARGIN, lanes + 36);
    let width = (right + BETWEEN_LAYERS / 2).max(legend.1) + MARGIN;
    let height = lanes + LEGEND + MARGIN;
    let title = format!("Business associates as of {}", graph.at);

    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
         role=\"img\" aria-labelledby=\"title summary\" font-family=\"Helvetica, Arial, 'DejaVu Sans', sans-serif\">\n\
         <title id=\"title\">{title}</title>\n<desc id=\"summary\">{}</desc>\n\
         <defs><marker id=\"arrow\" viewBox=\"0 0 10 10\" refX=\"9\" refY=\"5\" markerWidth=\"7\" markerHeight=\"7\" \
         orient=\"auto-start-reverse\"><path d=\"M0 0 L10 5 L0 10 z\" fill=\"#64748b\"/></marker></defs>\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n",
        summary(graph),
    );
    svg.push_str(&format!(
        "<text x=\"{MARGIN}\" y=\"{}\" font-size=\"20\" font-weight=\"bold\" fill=\"#0f172a\">{title}</text>\n",
        MARGIN + 10,
    ));
    svg.push_str(
        "<g fill=\"none\" stroke=\"#64748b\" stroke-width=\"1.6\" marker-end=\"url(#arrow)\">\n",
    );
    let mut turn = 0;
    for (from, to) in &graph.edges {
        let end = |place: &Place| placed.iter().find(|node| node.place == *place);
        if let (Some(from), Some(to)) = (end(from), end(to)) {
            turn += usize::from(from.place.0 >= to.place.0);
            svg.push_str(&edge(from, to, turn, bottom));
        }
    }
    svg.push_str("</g>\n");
    placed.iter().for_each(|node| svg.push_str(&boxed(node)));
    svg.push_str(&legend.0);
    svg.push_str("</svg>\n");
    svg
}

/// Layers from left to right, each in the middle of the height, so that no two nodes touch.
fn place(graph: &Graph) -> Vec<Placed<'_>> {
    let height = |node: &Node| {
        let lines = node.lines.len() + usize::from(node.standing.is_some());
        NAME_HEIGHT + lines * LINE_HEIGHT + PADDING
    };
    let heights = |nodes: &[Node]| {
        nodes.iter().map(height).sum::<usize>() + nodes.len().saturating_sub(1) * BETWEEN_NODES
    };
    let tallest = graph.layers.iter().map(|nodes| heights(nodes)).max();
    let tallest = tallest.unwrap_or(0);
    let mut placed = Vec::new();
    let mut left = MARGIN;
    for (layer, nodes) in graph.layers.iter().enumerate() {
        let width = nodes.iter().map(width_of).max().unwrap_or(0);
        let mut top = HEADER + (tallest - heights(nodes)) / 2;
        for (place, node) in nodes.iter().enumerate() {
            let height = height(node);
            placed.push(Placed {
                place: (layer, place),
                node,
                left,
                top,
                width,
                height,
            });
            top += height + BETWEEN_NODES;
        }
        left += width + BETWEEN_LAYERS;
    }
    placed
}

/// Wide enough for the widest of usual fonts: 0.67 and 0.64 of the size for a character.
fn width_of(node: &Node) -> usize {
    let standing = node.standing.map(|one| width(&one.to_string()) + 3);
    let lines = node.lines.iter().map(|line| width(line)).chain(standing);
    let lines = lines.max().unwrap_or(0).min(LONGEST) * 8;
    let name = width(&node.name).min(LONGEST) * 10;
    lines.max(name).max(120) + 2 * PADDING
}

/// To the next layer a curve. Any other way leads around the nodes: out on the right, along the bottom where it goes
/// back, and in on the right; `turn` keeps one such way apart from the others.
fn edge(from: &Placed<'_>, to: &Placed<'_>, turn: usize, bottom: usize) -> String {
    let (x, y) = (from.right(), from.middle());
    if from.place.0 < to.place.0 {
        let (end, across) = (to.left, to.middle());
        let bend = usize::midpoint(x, end);
        return format!("<path d=\"M{x} {y} C{bend} {y} {bend} {across} {end} {across}\"/>\n");
    }
    let (end, across) = (to.right(), to.middle() + 8);
    let out = x + 18 + turn % 5 * 5;
    let back = if from.place.0 == to.place.0 {
        String::new()
    } else {
        format!("V{} H{} ", bottom + 12 * turn, end + 14 + turn % 5 * 5)
    };
    format!("<path stroke-dasharray=\"5 4\" d=\"M{x} {y} H{out} {back}V{across} H{end}\"/>\n")
}

fn boxed(placed: &Placed<'_>) -> String {
    let Placed {
        node,
        left,
        top,
        width,
        height,
        ..
    } = placed;
    let Look {
        fill,
        line,
        ink,
        border,
    } = look(node.standing);
    let standing = node.standing.map(|one| format!("{} {one}", sign(one)));
    let whole = [&node.name].into_iter().chain(&standing).chain(&node.lines);
    let whole: Vec<String> = whole.map(|line| escape(line)).collect();
    let mut svg = format!(
        "<g><title>{}</title>\n<rect x=\"{left}\" y=\"{top}\" width=\"{width}\" height=\"{height}\" rx=\"9\" \
         fill=\"{fill}\" stroke=\"{line}\" {border}/>\n",
        whole.join("; ")
    );
    let x = left + PADDING;
    let mut y = top + NAME_HEIGHT + 2;
    svg.push_str(&format!(
        "<text x=\"{x}\" y=\"{y}\" font-size=\"15\" font-weight=\"bold\" fill=\"#0f172a\">{}</text>\n",
        short(&node.name)
    ));
    if let Some(standing) = &standing {
        y += LINE_HEIGHT;
        svg.push_str(&format!(
            "<text x=\"{x}\" y=\"{y}\" font-size=\"12.5\" font-weight=\"bold\" fill=\"{ink}\">{}</text>\n",
            short(standing)
        ));
    }
    for line in &node.lines {
        y += LINE_HEIGHT;
        svg.push_str(&format!(
            "<text x=\"{x}\" y=\"{y}\" font-size=\"12.5\" fill=\"#334155\">{}</text>\n",
            short(line)
        ));
    }
    svg.push_str("</g>\n");
    svg
}

/// What the looks mean, and how far to the right that reaches.
fn legend(left: usize, top: usize) -> (String, usize) {
    let mut svg = format!(
        "<g font-size=\"12.5\" fill=\"#334155\">\n<text x=\"{left}\" y=\"{}\" font-weight=\"bold\">Agreement</text>\n",
        top + 13
    );
    let mut x = left + 92;
    for (look, words) in [
        (&GOOD, "✓ in force"),
        (&SOON, "⚠ lapses soon, … not begun"),
        (&BAD, "✗ lapsed, terminated, unsigned or missing"),
        (&NONE, "– none needed"),
    ] {
        let Look {
            fill, line, border, ..
        } = look;
        svg.push_str(&format!(
            "<rect x=\"{x}\" y=\"{top}\" width=\"30\" height=\"18\" rx=\"4\" fill=\"{fill}\" stroke=\"{line}\" {border}/>\n\
             <text x=\"{}\" y=\"{}\">{words}</text>\n",
            x + 40,
            top + 13
        ));
        x += 40 + width(words) * 7 + 28;
    }
    svg.push_str("</g>\n");
    (svg, x)
}

/// The same in one sentence for whoever does not see it.
fn summary(graph: &Graph) -> String {
    let told = graph.nodes().filter_map(|(_, node)| {
        let standing = node.standing?;
        Some(format!("{}: {standing}", escape(&node.name)))
    });
    told.collect::<Vec<_>>().join("; ")
}

/// Text of at most [`LONGEST`] columns.
fn short(text: &str) -> String {
    if width(text) <= LONGEST {
        return escape(text);
    }
    let mut taken = 0;
    let fits = |c: &char| {
        taken += width(&c.to_string());
        taken < LONGEST
    };
    let begin: String = text.chars().take_while(fits).collect();
    format!("{}…", escape(begin.trim_end()))
}

/// Text within XML 1.0, where some characters cannot stand at all.
fn escape(text: &str) -> String {
    visible(text)
        .chars()
        .map(|c| match c {
            '&' => "&amp;".to_owned(),
            '<' => "&lt;".to_owned(),
            '>' => "&gt;".to_owned(),
            '"' => "&quot;".to_owned(),
            '\'' => "&#39;".to_owned(),
            '\u{fffe}' | '\u{ffff}' => '\u{fffd}'.to_string(),
            c => c.to_string(),
        })
        .collect()
}
