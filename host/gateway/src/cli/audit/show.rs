//! `nephron audit show`: entries, one a row; or one event, whole.

mod told;

use std::collections::VecDeque;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use nephron_audit::{Header, Reader};
use nephron_model::{EntryKind, EventId, TenantId, Timestamp};

use super::patient::Asker;
use super::{Which, whole};
use crate::case::kind_name;
use crate::cli::style::{self, Look};
use crate::cli::table::{Align, Cell, Table};
use crate::cli::text::number;
use crate::cli::{Failure, Globals};

/// Show the entries of a log, which may be a copy, on read-only media, or in use; or one event whole.
///
/// Of an EVENT it tells who asked and why, each plugin's decision, each use of a key, and, with `--by` and `--reason`, what the entries
/// seal: what the model saw and returned byte for byte, each question and answer of a plugin, what was restored. The log then says
/// who was shown it and why. Exit code 3 when the log is damaged; what stands before the damage is shown.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The log's folder, the one that holds `journal`; or the event, as the reply and the log name it
    #[arg(value_name = "LOG|EVENT", required_unless_present = "config")]
    about: Option<PathBuf>,
    /// A configuration, whose tenant's log is meant; with an event it is `gateway.toml` unless another is named
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The tenant, where the configuration has several; `host` is the host's own log
    #[arg(long, short)]
    tenant: Option<TenantId>,
    #[command(flatten)]
    asker: Asker,
    #[command(flatten)]
    filter: Filter,
    /// Only the last N of them
    #[arg(long, value_name = "N")]
    tail: Option<usize>,
    /// Print each header as one JSON object, in the very bytes that its hash covers; of an event, one object with all there is
    #[arg(long)]
    json: bool,
}

impl Args {
    /// The event that is meant, if one is.
    fn event(&self) -> Option<EventId> {
        let about = self.about.as_deref()?;
        let text = about.to_str()?;
        // The id of an answer, as OpenAI's clients hold it.
        let text = text.strip_prefix("chatcmpl-").unwrap_or(text);
        text.parse().ok().filter(|_| !about.exists())
    }

    /// The log that is meant, where it is named.
    fn which(&self) -> Result<Which, Failure> {
        if self.event().is_some() {
            let config = self.config.clone();
            return Ok(Which {
                folder: None,
                config: Some(config.unwrap_or_else(|| "gateway.toml".into())),
                tenant: self.tenant.clone(),
            });
        }
        if self.about.is_some() && (self.config.is_some() || self.tenant.is_some()) {
            return Err(Failure::usage(anyhow::anyhow!(
                "name a log's folder, or a configuration and its tenant, not both"
            )));
        }
        if self.asker.is_named() {
            return Err(Failure::usage(anyhow::anyhow!(
                "`--by` and `--reason` are for what one event seals: name the event"
            )));
        }
        Ok(Which {
            folder: self.about.clone(),
            config: self.config.clone(),
            tenant: self.tenant.clone(),
        })
    }
}

/// Which entries are meant: those for which everything given holds.
#[derive(clap::Args, Default, PartialEq)]
struct Filter {
    /// Of one request: its event id, or the ending that the table shows
    #[arg(long, value_name = "EVENT")]
    request: Option<Request>,
    /// Of one kind, such as `decision` or `key-used`
    #[arg(long, value_parser = kind)]
    kind: Option<EntryKind>,
    /// Of the plugin of this name
    #[arg(long, value_name = "NAME")]
    plugin: Option<String>,
    /// From this sequence on, counted from 0
    #[arg(long, value_name = "N")]
    from: Option<u64>,
    /// Up to this sequence, which is included
    #[arg(long, value_name = "N")]
    to: Option<u64>,
}

pub(super) async fn run(args: &Args, _: &Globals) -> Result<(), Failure> {
    let which = args.which()?;
    let folder = which.folder("shown")?;
    if let Some(event) = args.event() {
        if args.tail.is_some() || args.filter != Filter::default() {
            return Err(Failure::usage(anyhow::anyhow!(
                "an event is shown whole; to choose among its entries name the log, and the event with `--request`"
            )));
        }
        return told::run(event, &which, &folder, args).await;
    }
    if args.json {
        // Not through anstream, which takes more than escape sequences out of what is no terminal's.
        return show(
            &folder,
            args,
            Look::of_stdout(),
            &mut BufWriter::new(io::stdout().lock()),
        );
    }
    let mut out = BufWriter::new(anstream::stdout().lock());
    show(&folder, args, Look::of_stdout(), &mut out)
}

fn show(folder: &Path, args: &Args, look: Look, out: &mut impl Write) -> Result<(), Failure> {
    let reader = Reader::open(folder).context("the log cannot be read")?;
    let shown = if args.json {
        lines(&reader, args, out)
    } else {
        table(&reader, args, look, out)
    };
    match shown.and_then(|()| Ok(out.flush()?)) {
        Ok(()) => {}
        Err(Stop::Output(error)) => return Err(Failure::output(error)),
        Err(Stop::Read(error)) => return Err(error.into()),
    }
    whole(&reader, folder)
}

/// Part of an event id, or the whole.
#[derive(Clone, PartialEq)]
struct Request(String);

impl std::str::FromStr for Request {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // The id of an answer, as OpenAI's clients hold it.
        let text = text.strip_prefix("chatcmpl-").unwrap_or(text);
        let is_ending = (4..26).contains(&text.len())
            && text
                .chars()
                .all(|c| c.is_ascii_digit() || c.is_ascii_uppercase());
        if is_ending || text.parse::<EventId>().is_ok() {
            Ok(Self(text.to_owned()))
        } else {
            Err("expected an event id of 26 characters, or at least the last 4 of one".to_owned())
        }
    }
}

/// Characters of an event id that the table shows. They are of its random part: no two requests share them by accident.
const SHORT_EVENT: usize = 8;

pub(super) fn kind(text: &str) -> Result<EntryKind, String> {
    use serde::Deserialize as _;
    use serde::de::IntoDeserializer as _;
    use serde::de::value::{Error, StrDeserializer};
    let text: StrDeserializer<'_, Error> = text.into_deserializer();
    EntryKind::deserialize(text).map_err(|error| error.to_string())
}

impl Filter {
    fn passes(&self, header: &Header) -> bool {
        let is_of = |request: &Request| {
            header
                .request
                .is_some_and(|event| event.to_string().ends_with(&request.0))
        };
        let is_by = |name: &String| {
            header
                .plugin
                .as_ref()
                .is_some_and(|plugin| plugin.name == *name)
        };
        self.request.as_ref().is_none_or(is_of)
            && self.kind.is_none_or(|kind| header.kind == kind)
            && self.plugin.as_ref().is_none_or(is_by)
    }
}

/// Why showing ended before the end.
enum Stop {
    Output(io::Error),
    Read(anyhow::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

/// Calls `show` with each header that is meant, and its exact bytes.
fn each(
    reader: &Reader,
    args: &Args,
    mut show: impl FnMut(&Header, &[u8]) -> io::Result<()>,
) -> Result<(), Stop> {
    let filter = &args.filter;
    let end = filter.to.map_or(u64::MAX, |last| last.saturating_add(1));
    let mut last: VecDeque<(Header, Vec<u8>)> = VecDeque::new();
    for entry in reader.entries(filter.from.unwrap_or(0)..end) {
        let entry = entry
            .context("the log cannot be read further")
            .map_err(Stop::Read)?;
        if !filter.passes(&entry.header) {
            continue;
        }
        let Some(tail) = args.tail else {
            show(&entry.header, &entry.header_bytes)?;
            continue;
        };
        last.push_back((entry.header, entry.header_bytes));
        if last.len() > tail {
            last.pop_front();
        }
    }
    last.into_iter()
        .try_for_each(|(header, bytes)| show(&header, &bytes))?;
    Ok(())
}

fn lines(reader: &Reader, args: &Args, out: &mut impl Write) -> Result<(), Stop> {
    each(reader, args, |_, bytes| {
        out.write_all(bytes)?;
        out.write_all(b"\n")
    })
}

fn table(reader: &Reader, args: &Args, look: Look, out: &mut impl Write) -> Result<(), Stop> {
    let mut table = Table::new(
        0,
        &[
            ("#", Align::Right),
            ("time", Align::Left),
            ("kind", Align::Left),
            ("point", Align::Left),
            ("plugin", Align::Left),
            ("fuel", Align::Right),
            ("µs", Align::Right),
            ("event", Align::Left),
            ("outcome", Align::Left),
        ],
    );
    each(reader, args, |header, _| table.push(row(header), look, out))?;
    table.finish(look, out)?;
    Ok(())
}

fn row(header: &Header) -> Vec<Cell> {
    let optional = |figure: Option<u64>| figure.map(number).unwrap_or_default();
    vec![
        Cell::new(header.sequence.to_string()),
        Cell::styled(to_the_millisecond(header.time), style::QUIET),
        Cell::new(kind_name(header.kind)),
        Cell::new(header.point.map(|point| point.as_str()).unwrap_or_default()),
        Cell::new(
            header
                .plugin
                .as_ref()
                .map(|plugin| plugin.name.as_str())
                .unwrap_or_default(),
        ),
        Cell::new(optional(header.fuel)),
        Cell::new(optional(header.micros)),
        event(header),
        outcome(header),
    ]
}

pub(super) fn event(header: &Header) -> Cell {
    let event = header
        .request
        .map(|event| event.to_string())
        .unwrap_or_default();
    let short = event.get(event.len().saturating_sub(SHORT_EVENT)..);
    Cell::styled(short.unwrap_or_default(), style::QUIET)
}

pub(super) fn outcome(header: &Header) -> Cell {
    let outcome = if header.reasons.is_empty() {
        header.outcome.clone()
    } else {
        format!("{} ({})", header.outcome, header.reasons.join(", "))
    };
    Cell::styled(outcome, style::of_outcome(&header.outcome))
}

/// RFC 3339, cut to three decimals.
pub(super) fn to_the_millisecond(time: Timestamp) -> String {
    let text = time.to_string();
    text.get(..23)
        .map_or_else(|| text.clone(), |cut| format!("{cut}Z"))
}

#[cfg(test)]
mod tests;
