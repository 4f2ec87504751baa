//! `nephron audit search`: the entries about somebody or something, the newest last.

use std::collections::VecDeque;
use std::io::{self, BufWriter, Write};

use anyhow::Context as _;
use nephron_audit::{Header, Reader};
use nephron_model::{Digest, EntryKind};

use super::patient::{About, Asker, digest};
use super::period::Period;
use super::show::{event, kind, outcome, to_the_millisecond};
use super::{Which, whole};
use crate::case::kind_name;
use crate::cli::Failure;
use crate::cli::style::{self, Look};
use crate::cli::table::{Align, Cell, Table};
use crate::cli::text;

/// Search a log: entries for which everything given holds, the newest last. It may be a copy, on read-only media, or in use.
///
/// A patient's entries are found by a keyed digest of the medical record number, in requests that said what is known of the patient
/// (`known.mrn`). The tenant's key makes it; the log says so first. With the digest itself, a copy of the log can be searched
/// too. Exit code 3 when the log is damaged; what could be read is shown.
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    which: Which,
    /// About the patient with this record number (`-`: read it from standard input, so that no list of processes shows it), or with this digest
    #[arg(long, value_name = "NUMBER")]
    patient: Option<String>,
    #[command(flatten)]
    asker: Asker,
    #[command(flatten)]
    wanted: Wanted,
    /// Only the newest N of them
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Print each header as one JSON object, in the very bytes that its hash covers
    #[arg(long)]
    json: bool,
}

/// What is asked for beside the patient.
#[derive(clap::Args)]
struct Wanted {
    #[command(flatten)]
    period: Period,
    /// Of this caller
    #[arg(long, value_name = "ID")]
    caller: Option<String>,
    /// Of the plugin of this name, or of this component by its digest
    #[arg(long, value_name = "NAME")]
    plugin: Option<String>,
    /// With this outcome, or this reason, such as `deny`
    #[arg(long, value_name = "CODE")]
    outcome: Option<String>,
    /// Of this kind, such as `decision` or `key-used`
    #[arg(long, value_parser = kind)]
    kind: Option<EntryKind>,
}

impl Wanted {
    fn is_met(&self, header: &Header) -> bool {
        let by = |caller: &String| header.caller.as_ref() == Some(caller);
        let came_to =
            |code: &String| header.outcome == *code || header.reasons.iter().any(|it| it == code);
        self.period.holds(header)
            && self.caller.as_ref().is_none_or(by)
            && self.plugin.as_ref().is_none_or(|name| is_of(header, name))
            && self.outcome.as_ref().is_none_or(came_to)
            && self.kind.is_none_or(|kind| header.kind == kind)
    }
}

/// Whether an entry is of the plugin of this name, or of this digest.
pub(super) fn is_of(header: &Header, plugin: &str) -> bool {
    let digest: Option<Digest> = plugin.parse().ok();
    header
        .plugin
        .as_ref()
        .is_some_and(|by| by.name == plugin || digest == Some(by.digest))
}

pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let about = match &args.patient {
        Some(patient) => Some(digest(patient, &args.which, &args.asker).await?),
        None => None,
    };
    let about = about.map(About::new);
    if args.json {
        // Not through anstream, which takes more than escape sequences out of what is no terminal's.
        return search(&args, about, &mut BufWriter::new(io::stdout().lock()));
    }
    search(&args, about, &mut BufWriter::new(anstream::stdout().lock()))
}

/// An entry that is to be shown.
struct Found {
    header: Header,
    bytes: Vec<u8>,
}

fn search(args: &Args, mut about: Option<About>, out: &mut impl Write) -> Result<(), Failure> {
    let folder = args.which.folder("searched")?;
    let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let (mut found, mut count) = (VecDeque::new(), 0_u64);
    let reader = Reader::survey(&folder, |met| {
        // Each entry is looked at, also one before the period: it may begin a request that ends within.
        let is_about = about.as_mut().is_none_or(|about| about.is_met(met.header));
        if !is_about || !args.wanted.is_met(met.header) {
            return;
        }
        count += 1;
        if found.len() == limit {
            found.pop_front();
        }
        found.push_back(Found {
            header: met.header.clone(),
            bytes: met.header_bytes.to_vec(),
        });
    })
    .context("the log cannot be read")?;
    let shown = text::count(found.len());
    let written = if args.json {
        lines(found, out)
    } else {
        table(found, Look::of_stdout(), out)
    };
    written
        .and_then(|()| out.flush())
        .and_then(|()| match count > shown {
            true => writeln!(
                anstream::stderr(),
                "{} entries match; the newest {} are shown: give a larger `--limit`, or a shorter period",
                text::number(count),
                text::number(shown)
            ),
            false => Ok(()),
        })
        .map_err(Failure::output)?;
    whole(&reader, &folder)
}

fn lines(found: VecDeque<Found>, out: &mut impl Write) -> io::Result<()> {
    found.into_iter().try_for_each(|one| {
        out.write_all(&one.bytes)?;
        out.write_all(b"\n")
    })
}

fn table(found: VecDeque<Found>, look: Look, out: &mut impl Write) -> io::Result<()> {
    let mut table = Table::new(
        0,
        &[
            ("#", Align::Right),
            ("time", Align::Left),
            ("kind", Align::Left),
            ("caller", Align::Left),
            ("purpose", Align::Left),
            ("plugin", Align::Left),
            ("event", Align::Left),
            ("outcome", Align::Left),
        ],
    );
    for Found { header, .. } in found {
        table.push(row(&header), look, out)?;
    }
    table.finish(look, out)
}

fn row(header: &Header) -> Vec<Cell> {
    let plugin = header.plugin.as_ref().map(|plugin| plugin.name.as_str());
    let purpose = header.purpose.as_ref().map(ToString::to_string);
    vec![
        Cell::new(header.sequence.to_string()),
        Cell::styled(to_the_millisecond(header.time), style::QUIET),
        Cell::new(kind_name(header.kind)),
        Cell::new(header.caller.as_deref().unwrap_or_default()),
        Cell::new(purpose.unwrap_or_default()),
        Cell::new(plugin.unwrap_or_default()),
        event(header),
        outcome(header),
    ]
}

#[cfg(test)]
mod tests;
