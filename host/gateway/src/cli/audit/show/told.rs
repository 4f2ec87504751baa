//! One event whole: who asked and why, what was decided, what the model saw and returned, and who let it happen.

use std::io::{self, BufWriter, Write};
use std::path::Path;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nephron_audit::{Header, Reader};
use nephron_engine::Judgement;
use nephron_engine::contract::Part;
use nephron_model::{EntryKind, EventId, Phi};
use serde::Serialize;
use serde_json::value::RawValue;

use super::{Args, outcome, to_the_millisecond};
use crate::case::kind_name;
use crate::chain::connect::{RECEIVED, SENT};
use crate::chain::reidentify::{RESTORATION, Restoration};
use crate::cli::Failure;
use crate::cli::audit::{Which, whole};
use crate::cli::custody::{inquire, misunderstood};
use crate::cli::style::{self, Look};
use crate::cli::table::{Align, Cell, Table};
use crate::cli::text::{plural, visible, visible_lines};
use crate::inquiry::{Opened, Payload, Told, Wanted, Withheld};
use crate::origin::{ORIGIN, Origin};

/// An entry of the event, and what it seals if that was asked for.
struct Shown {
    header: Header,
    header_bytes: Vec<u8>,
    payload: Option<Payload>,
}

pub(super) async fn run(
    event: EventId,
    which: &Which,
    folder: &Path,
    args: &Args,
) -> Result<(), Failure> {
    let opened = match args.asker.is_named() {
        false => Vec::new(),
        true => {
            let inquiry = args.asker.inquiry(which, Wanted::Event(event))?;
            let config = which.config.as_deref().unwrap_or_else(|| "".as_ref());
            match inquire(config, inquiry).await? {
                Told::Event(opened) => opened,
                Told::Patient(_) | Told::Field { .. } => return Err(misunderstood()),
            }
        }
    };
    // After that, so that it is shown who was shown it.
    let mut entries = Vec::new();
    let survey = Reader::survey(folder, |met| {
        if met.header.request == Some(event) {
            entries.push(Shown {
                header: met.header.clone(),
                header_bytes: met.header_bytes.to_vec(),
                payload: None,
            });
        }
    });
    let reader = survey.context("the log cannot be read")?;
    if entries.is_empty() {
        whole(&reader, folder)?;
        let tenant = reader.tenant().map(ToString::to_string).unwrap_or_default();
        return Err(Failure::check(anyhow::anyhow!(
            "the log of tenant `{tenant}` holds no event {event}"
        )));
    }
    let is_opened = !opened.is_empty();
    place(opened, &mut entries);
    let told = Event { event, entries };
    let written = if args.json {
        told.json(&mut BufWriter::new(io::stdout().lock()))
    } else {
        let mut out = BufWriter::new(anstream::stdout().lock());
        told.page(is_opened, Look::of_stdout(), &mut out)
    };
    written.map_err(Failure::output)?;
    whole(&reader, folder)
}

/// Puts each payload to its entry.
fn place(opened: Vec<Opened>, entries: &mut [Shown]) {
    for Opened { sequence, payload } in opened {
        let of = entries
            .iter_mut()
            .find(|shown| shown.header.sequence == sequence);
        if let Some(shown) = of {
            shown.payload = payload;
        }
    }
}

struct Event {
    event: EventId,
    /// In order; never empty.
    entries: Vec<Shown>,
}

/// The event as JSON has it.
#[derive(Serialize)]
struct EventJson<'a> {
    event: EventId,
    entries: Vec<EntryJson<'a>>,
}

#[derive(Serialize)]
struct EntryJson<'a> {
    /// In the very bytes that the entry's hash covers.
    header: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<PayloadJson<'a>>,
}

#[derive(Serialize)]
struct PayloadJson<'a> {
    name: &'a str,
    #[serde(flatten)]
    content: ContentJson<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
enum ContentJson<'a> {
    /// What is JSON of ours, in the bytes that were sealed.
    Json(&'a RawValue),
    Text(&'a str),
    /// RFC 4648, section 4.
    Base64(String),
    Withheld(Withheld),
}

impl<'a> PayloadJson<'a> {
    fn of(payload: &'a Payload) -> Self {
        let name = payload.name.as_str();
        let content = match &payload.found {
            Err(why) => ContentJson::Withheld(*why),
            Ok(bytes) => match std::str::from_utf8(bytes) {
                Err(_) => ContentJson::Base64(STANDARD.encode(bytes)),
                // What came from elsewhere is text, whatever it looks like.
                Ok(text) if [SENT, RECEIVED].contains(&name) => ContentJson::Text(text),
                Ok(text) => {
                    serde_json::from_str(text).map_or(ContentJson::Text(text), ContentJson::Json)
                }
            },
        };
        Self { name, content }
    }
}

impl Event {
    fn json(&self, out: &mut impl Write) -> io::Result<()> {
        let entry = |shown: &'_ Shown| -> io::Result<Box<RawValue>> {
            let header = String::from_utf8(shown.header_bytes.clone());
            let header = header.map_err(io::Error::other)?;
            Ok(RawValue::from_string(header)?)
        };
        let headers: Vec<Box<RawValue>> =
            self.entries.iter().map(entry).collect::<Result<_, _>>()?;
        let entries = headers
            .iter()
            .zip(&self.entries)
            .map(|(header, shown)| EntryJson {
                header,
                payload: shown.payload.as_ref().map(PayloadJson::of),
            });
        let whole = EventJson {
            event: self.event,
            entries: entries.collect(),
        };
        serde_json::to_writer(&mut *out, &whole)?;
        writeln!(out)?;
        out.flush()
    }

    fn page(&self, is_opened: bool, look: Look, out: &mut impl Write) -> io::Result<()> {
        self.summary(look, out)?;
        heading("What was decided and done", "", look, out)?;
        self.table(look, out)?;
        if is_opened {
            self.texts(look, out)?;
        } else if self
            .entries
            .iter()
            .any(|shown| shown.header.payload.is_some())
        {
            let quiet = look.style(style::QUIET);
            writeln!(
                out,
                "\n{quiet}What these entries seal, among it what the model saw and returned, is shown with `--by NAME --reason TEXT`.{quiet:#}"
            )?;
        }
        out.flush()
    }

    fn summary(&self, look: Look, out: &mut impl Write) -> io::Result<()> {
        let headers = || self.entries.iter().map(|shown| &shown.header);
        let fact = |name: &str| headers().find_map(|header| header.facts.get(name)).cloned();
        let of_first = |what: &dyn Fn(&Header) -> Option<String>| headers().find_map(what);
        let tenant = of_first(&|header| Some(header.tenant.to_string())).unwrap_or_default();
        heading(
            &format!("Event {}", self.event),
            &format!("tenant {tenant}"),
            look,
            out,
        )?;
        let origin: Option<Phi<Origin>> = self
            .found(ORIGIN)
            .find_map(|(_, bytes)| Some(Phi::new(serde_json::from_slice(bytes).ok()?)));
        let origin = origin.as_ref().map(Phi::expose);
        let times = || headers().map(|header| header.time);
        let closed = headers().rfind(|header| {
            matches!(
                header.kind,
                EntryKind::RequestClosed | EntryKind::RequestRefused
            )
        });
        let came_to = closed.map_or_else(
            || "not known: the log has no end of it".to_owned(),
            |closed| match closed.reasons.as_slice() {
                [] => closed.outcome.clone(),
                reasons => format!("{} ({})", closed.outcome, reasons.join(", ")),
            },
        );
        let began = times().next();
        let took = closed
            .zip(began)
            .map(|(closed, began)| closed.time.since(began));
        let when = began.map(|time| match took {
            Some(took) => format!("{time}, for {:.1} ms", took.as_secs_f64() * 1e3),
            None => time.to_string(),
        });
        let from = origin.and_then(|origin| origin.source.map(|source| source.to_string()));
        let program = origin.and_then(|origin| origin.user_agent.clone());
        let patients = origin.map(|origin| origin.patients.join(", "));
        let context = origin.map(|origin| origin.context.join(", "));
        for (name, value) in [
            ("who", of_first(&|header| header.caller.clone())),
            ("from", from.or_else(|| fact("source"))),
            ("program", program.or_else(|| fact("user-agent"))),
            ("session", origin.and_then(|origin| origin.session.clone())),
            (
                "why",
                of_first(&|header| header.purpose.as_ref().map(ToString::to_string)),
            ),
            ("patient", patients.or_else(|| fact("patient"))),
            ("context", context),
            ("when", when),
            ("came to", Some(came_to)),
            (
                "generation",
                of_first(&|header| header.generation.map(|it| it.to_string())),
            ),
        ] {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                let quiet = look.style(style::QUIET);
                writeln!(out, "  {quiet}{name:<10}{quiet:#}  {}", visible(&value))?;
            }
        }
        Ok(())
    }

    fn table(&self, look: Look, out: &mut impl Write) -> io::Result<()> {
        let columns = [
            ("#", Align::Right),
            ("time", Align::Left),
            ("kind", Align::Left),
            ("point", Align::Left),
            ("plugin", Align::Left),
            ("outcome", Align::Left),
            ("of it", Align::Left),
        ];
        let mut table = Table::new(2, &columns);
        for Shown { header, .. } in &self.entries {
            let plugin = header.plugin.as_ref().map(|plugin| {
                let digest = plugin.digest.to_string();
                let digest = digest.get(..DIGEST).unwrap_or(&digest);
                format!("{} {} ({digest}…)", plugin.name, plugin.version)
            });
            let time = to_the_millisecond(header.time);
            let row = vec![
                Cell::new(header.sequence.to_string()),
                // The day stands above.
                Cell::styled(
                    time.split_once('T').map_or("", |(_, time)| time),
                    style::QUIET,
                ),
                Cell::new(kind_name(header.kind)),
                Cell::new(header.point.map(|point| point.as_str()).unwrap_or_default()),
                Cell::new(plugin.unwrap_or_default()),
                outcome(header),
                Cell::styled(of_it(header), style::QUIET),
            ];
            table.push(row, look, out)?;
        }
        table.finish(look, out)
    }

    /// The payloads that are told, with their entries.
    fn found<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a Header, &'a [u8])> {
        self.entries.iter().filter_map(move |shown| {
            let payload = shown
                .payload
                .as_ref()
                .filter(|payload| payload.name == name)?;
            Some((&shown.header, payload.found.as_deref().ok()?))
        })
    }

    fn texts(&self, look: Look, out: &mut impl Write) -> io::Result<()> {
        let came = self
            .found(crate::case::JUDGEMENT)
            .find_map(|(header, bytes)| Some((header.sequence, asked(bytes)?)));
        if let Some((sequence, text)) = came {
            heading(
                "The text as it came",
                &format!("entry {sequence}"),
                look,
                out,
            )?;
            verbatim(text.expose(), out)?;
        }
        for shown in &self.entries {
            let Some(Payload { name, found }) = &shown.payload else {
                continue;
            };
            let header = &shown.header;
            let fact = |name: &str| header.facts.get(name).map(String::as_str);
            let found = match found {
                Ok(found) => found,
                Err(why) => {
                    let why = match why {
                        Withheld::Pruned => "it was kept long enough, and is pruned",
                        Withheld::Destroyed => "its key is destroyed",
                        Withheld::Altered => "it is not what was sealed there: verify the log",
                        Withheld::Unknown => "it was written by a later version: use that",
                    };
                    let place = format!("entry {}, {}", header.sequence, kind_name(header.kind));
                    heading("Not shown", &format!("{place}: {why}"), look, out)?;
                    continue;
                }
            };
            let place = |more: &str| {
                let bytes = plural(found.len(), "byte");
                format!("entry {}{more}, {bytes}", header.sequence)
            };
            match name.as_str() {
                SENT => {
                    let to = fact("endpoint").map(|to| format!(", to `{to}`"));
                    let of = fact("associate").map(|of| format!(" of `{of}`"));
                    let to = to.unwrap_or_default() + &of.unwrap_or_default();
                    heading("What the model saw, byte for byte", &place(&to), look, out)?;
                    verbatim(&String::from_utf8_lossy(found), out)?;
                }
                RECEIVED => {
                    heading("What it returned, byte for byte", &place(""), look, out)?;
                    verbatim(&String::from_utf8_lossy(found), out)?;
                }
                RESTORATION => {
                    let read = serde_json::from_slice(found).map(Phi::<Restoration>::new);
                    if let Ok(both) = read {
                        let place = format!("entry {}", header.sequence);
                        heading("What the caller was given", &place, look, out)?;
                        verbatim(&both.expose().restored, out)?;
                    }
                }
                _ => {}
            }
        }
        let judgements = self.found(crate::case::JUDGEMENT).count();
        let quiet = look.style(style::QUIET);
        let judgements = plural(judgements, "judgement");
        writeln!(
            out,
            "\n{quiet}The questions and answers of {judgements} are in `--json`, byte for byte; `nephron audit replay {}` asks them again.{quiet:#}",
            self.event
        )
    }
}

/// Characters of a component's digest that the table shows: `sha256:` and eight hex digits.
const DIGEST: usize = 15;

/// What else the header says that a reader of the table wants: facts but commitments and digests, and counts.
fn of_it(header: &Header) -> String {
    let facts = header
        .facts
        .iter()
        .filter(|(name, value)| !name.starts_with("commitment/") && !value.contains("sha256:"));
    let facts = facts.map(|(name, value)| format!("{name} {value}"));
    let counts = header
        .counts
        .iter()
        .map(|(name, count)| format!("{name} {count}"));
    facts.chain(counts).collect::<Vec<_>>().join(", ")
}

/// The texts of a detector's question, which are those of the caller.
fn asked(judgement: &[u8]) -> Option<Phi<String>> {
    #[derive(serde::Deserialize)]
    struct Asked<'a> {
        #[serde(borrow)]
        input: &'a RawValue,
    }
    let asked: Asked<'_> = serde_json::from_slice(judgement).ok()?;
    let judgement = Judgement::from_bytes(asked.input.get().as_bytes()).ok()?;
    let Judgement::Detect { messages, .. } = &judgement else {
        return None;
    };
    let parts = messages.iter().flat_map(|message| &message.parts);
    let texts = parts.filter_map(|part| match part {
        Part::Text(text) | Part::Json(text) => Some(text.as_str()),
        Part::Blob(_) => None,
    });
    Some(Phi::new(texts.collect::<Vec<_>>().join("\n\n")))
}

fn heading(title: &str, more: &str, look: Look, out: &mut impl Write) -> io::Result<()> {
    let (bold, quiet) = (look.style(style::HEADING), look.style(style::QUIET));
    writeln!(
        out,
        "\n{bold}{title}{bold:#}  {quiet}{}{quiet:#}",
        visible(more)
    )
}

/// A text with its lines, set in; nothing in it reaches the terminal as anything but text.
fn verbatim(text: &str, out: &mut impl Write) -> io::Result<()> {
    visible_lines(text)
        .lines()
        .try_for_each(|line| writeln!(out, "  {line}"))
}
