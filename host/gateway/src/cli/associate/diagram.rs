//! `nephron associate diagram`: the chain from the covered entity to the last subprocessor, as a graph.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;

use super::{Associates, Failure, Opened, Register, mermaid, svg};
use crate::associates::Standing;
use crate::config::Associate;

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    register: Register,
    /// How it is drawn; `svg` where `--out` ends in `.svg`, else `mermaid`
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<Format>,
    /// The file to write; standard output without this
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Format {
    Svg,
    Mermaid,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let graph = Graph::of(&args.register.open()?);
    let is_svg = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "svg");
    let drawn = match (args.format, &args.out) {
        (Some(Format::Svg), _) => svg::draw(&graph),
        (None, Some(path)) if is_svg(path) => svg::draw(&graph),
        (Some(Format::Mermaid) | None, _) => mermaid::draw(&graph),
    };
    match &args.out {
        None => std::io::stdout()
            .lock()
            .write_all(drawn.as_bytes())
            .map_err(Failure::output),
        Some(path) => Ok(std::fs::write(path, drawn)
            .with_context(|| format!("`{}` cannot be written", path.display()))?),
    }
}

/// Who sends to whom.
pub(super) struct Graph {
    /// The day it shows.
    pub(super) at: String,
    /// By how far they are from the covered entity, which is the first; an edge leads at most one layer on.
    pub(super) layers: Vec<Vec<Node>>,
    /// From and to, each as its layer and its place in it.
    pub(super) edges: Vec<(Place, Place)>,
}

/// Layer and place in it.
pub(super) type Place = (usize, usize);

/// One of them.
pub(super) struct Node {
    pub(super) name: String,
    /// What it is, and what else there is to say of it, a line each.
    pub(super) lines: Vec<String>,
    /// How the agreement with it stands, where there is to be one.
    pub(super) standing: Option<Standing>,
}

impl Graph {
    pub(super) fn of(opened: &Opened) -> Self {
        let tenants: Vec<&str> = opened.config.tenants.iter().map(|id| id.as_str()).collect();
        let entity = Node {
            name: "Covered entity".to_owned(),
            lines: vec![tenants.join(", ")],
            standing: None,
        };
        let endpoints = || opened.config.endpoints.iter();
        let inside = endpoints().filter(|endpoint| endpoint.upstream.is_none());
        let inside: Vec<&str> = inside.map(|endpoint| endpoint.name.as_str()).collect();
        let mut gateway = Node {
            name: "Nephron gateway".to_owned(),
            lines: Vec::new(),
            standing: None,
        };
        if !inside.is_empty() {
            gateway
                .lines
                .push(format!("in the sandbox: {}", inside.join(", ")));
        }

        // Those who run endpoints are nearest, then layer by layer those whom they name.
        let runs = |associate: &Associate| {
            endpoints().any(|endpoint| endpoint.associate.as_ref() == Some(&associate.name))
        };
        let all = opened.associates.all();
        let mut layers: Vec<Vec<&Associate>> = vec![all.iter().filter(|one| runs(one)).collect()];
        let mut edges: Vec<(Place, Place)> = vec![((0, 0), (1, 0))];
        edges.extend((0..layers.iter().map(Vec::len).sum()).map(|place| ((1, 0), (2, place))));
        let mut layer = 0;
        while let Some(from) = layers.get(layer).cloned() {
            let mut next: Vec<&Associate> = Vec::new();
            for (place, associate) in from.into_iter().enumerate() {
                let named = associate.subprocessors.iter();
                for one in named.filter_map(|name| opened.associates.associate(name)) {
                    let known = layers.iter().map(Vec::as_slice).chain([next.as_slice()]);
                    let known = known.enumerate().find_map(|(layer, nodes)| {
                        let place = nodes.iter().position(|known| known.name == one.name)?;
                        Some((layer + 2, place))
                    });
                    let to = known.unwrap_or_else(|| {
                        next.push(one);
                        (layers.len() + 2, next.len() - 1)
                    });
                    edges.push(((layer + 2, place), to));
                }
            }
            if !next.is_empty() {
                layers.push(next);
            }
            layer += 1;
        }
        let node = |associate: &Associate| Node::of(associate, opened);
        let nodes = |layer: Vec<&Associate>| layer.into_iter().map(node).collect();
        let ours = [vec![entity], vec![gateway]];
        let layers = layers.into_iter().filter(|layer| !layer.is_empty());
        Self {
            at: opened.now.day(),
            layers: ours.into_iter().chain(layers.map(nodes)).collect(),
            edges,
        }
    }

    /// Every node with its place.
    pub(super) fn nodes(&self) -> impl Iterator<Item = (Place, &Node)> {
        let layers = self.layers.iter().enumerate();
        layers.flat_map(|(layer, nodes)| {
            let nodes = nodes.iter().enumerate();
            nodes.map(move |(place, node)| ((layer, place), node))
        })
    }
}

impl Node {
    fn of(associate: &Associate, opened: &Opened) -> Self {
        let mut lines = vec![associate.role.as_str().to_owned()];
        let endpoints = opened.config.endpoints.iter();
        let run = endpoints.filter(|endpoint| endpoint.associate.as_ref() == Some(&associate.name));
        let run: Vec<String> = run
            .map(|endpoint| match &endpoint.region {
                None => endpoint.name.clone(),
                Some(region) => format!("{} ({region})", endpoint.name),
            })
            .collect();
        if !run.is_empty() {
            lines.push(format!("endpoints: {}", run.join(", ")));
        }
        if !associate.residency.is_empty() {
            lines.push(format!("keeps in: {}", associate.residency.join(", ")));
        }
        if let Some(agreement) = &associate.agreement {
            lines.push(format!("agreement: {}", agreement.id));
        }
        Self {
            name: associate.name.clone(),
            lines,
            standing: Some(Associates::standing(associate, opened.now, opened.within)),
        }
    }
}

/// The sign of a standing, for whoever sees no colours.
pub(super) const fn sign(standing: Standing) -> &'static str {
    match standing {
        Standing::InForce(_) => "✓",
        Standing::Lapsing(_) => "⚠",
        Standing::NotYet(_) => "…",
        Standing::Lapsed(_) | Standing::Unsigned | Standing::Terminated | Standing::Missing => "✗",
        Standing::NotNeeded => "–",
    }
}
