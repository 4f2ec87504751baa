//! `nephron demo`: a clinical note through the whole chain, offline, and the log that proves it.
//!
//! Everything that is shown about the request comes out of the log afterwards, through a grant that the log records:
//! what the model saw is what the log says it saw.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use nephron_audit::{Entry, VerifyOptions, verify};
use nephron_keys::{Cost, Grant, GrantRequest, Operations, Subject};
use nephron_model::{EntryKind, EventId, Phi, Purpose, TenantId};
use serde::Serialize;
use serde_json::json;

use super::{Failure, Globals, embedded};
use crate::config::Config;
use crate::{
    Gateway, REPLACEMENTS, RESTORATION, Replacement, Restoration, RootAccess, SENT, Tenant,
};

mod show;

/// Take a clinical note through the whole chain, offline, and prove it with the log
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Your own note: a text file, or `-` for standard input
    #[arg(long, value_name = "FILE")]
    note: Option<PathBuf>,
    /// Send the cleared text to this OpenAI-compatible server instead of the model in the sandbox
    #[arg(long, value_name = "URL", requires = "model")]
    upstream: Option<String>,
    /// The model to ask for at the upstream
    #[arg(long, value_name = "NAME", requires = "upstream")]
    model: Option<String>,
    /// Environment variable that holds the upstream's API key
    #[arg(long, value_name = "VARIABLE", requires = "upstream")]
    api_key_env: Option<String>,
    /// Keep tenant, keys and log in this folder, and add to what is there; otherwise they go when the demo ends
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
pub(super) struct Report {
    pub(super) event: String,
    pub(super) model: String,
    pub(super) sent: String,
    pub(super) seen_by_model: String,
    pub(super) answered: String,
    pub(super) restored: String,
    pub(super) spans: Vec<SpanRow>,
    pub(super) decisions: Vec<DecisionRow>,
    pub(super) log: LogRow,
    pub(super) tampered: TamperedRow,
    pub(super) folder: String,
}

/// A replaced stretch: bytes of `sent`, half-open.
#[derive(Serialize)]
pub(super) struct SpanRow {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) kind: String,
    pub(super) token: String,
}

#[derive(Serialize)]
pub(super) struct DecisionRow {
    pub(super) point: String,
    pub(super) plugin: String,
    pub(super) version: String,
    pub(super) digest: String,
    pub(super) outcome: String,
    pub(super) fuel: u64,
    pub(super) micros: u64,
}

#[derive(Serialize)]
pub(super) struct LogRow {
    pub(super) entries: u64,
    pub(super) head: String,
    pub(super) verified: bool,
}

/// What verification says of a copy in which one byte was changed.
#[derive(Serialize)]
pub(super) struct TamperedRow {
    pub(super) verified: bool,
    pub(super) entry: Option<u64>,
    pub(super) file: String,
    pub(super) offset: u64,
    pub(super) what: String,
}

const NOTE: &str = include_str!("../../../../examples/quickstart/notes/discharge-summary.txt");
/// What a real model is asked to do. The one in the sandbox knows nothing else.
const INSTRUCTION: &str = "Summarise this clinical note in a few sentences for the next clinician. \
    Copy every tag in square brackets, such as [NAME_7KQ2M], exactly as it stands.";
/// The model that answers inside the sandbox.
const SANDBOX_MODEL: &str = "extractive-1";

pub(crate) async fn run(args: Args, _: &Globals) -> Result<(), Failure> {
    let (title, note) = read_note(args.note.as_deref())?;
    let (scratch, data) = data_folder(args.data.as_deref())?;
    let config = configuration(&args, &data)?;
    let components = embedded::build_plugins(&config)?;
    let model = args.model.as_deref().unwrap_or(SANDBOX_MODEL);

    let passphrase = embedded::passphrase(&data, args.data.is_some())?;
    let root = RootAccess::Passphrase(passphrase, Cost::RECOMMENDED);
    let surroundings = super::around::surroundings(root, components)?;
    let gateway = Gateway::open(&config, surroundings)
        .await
        .context("the gateway cannot be opened")?;
    let tenant = config
        .tenants
        .first()
        .context("the demo's configuration names no tenant")?
        .clone();
    let reply = gateway
        .handle(&request(&tenant, model, args.upstream.is_some(), &note))
        .await;
    if let Some(refusal) = reply.refusal() {
        let refused = super::run::refused(refusal, &event_of(reply.event()));
        gateway.close().context("the log cannot be closed")?;
        return Err(refused);
    }
    let event = reply.event().context("the reply names no event")?;
    gateway
        .export()
        .await
        .context("the entries could not be exported")?;
    let open = gateway.tenant(&tenant).context("the tenant is not open")?;
    let account = account(&open, event, usize::from(args.upstream.is_some())).await?;
    let folder = open.log_folder();
    drop(open);
    gateway.close().context("the log cannot be closed")?;

    let (log, tampered) = prove(&folder, &account.tampered)?;
    let report = Report {
        event: event.to_string(),
        model: model.to_owned(),
        sent: note,
        seen_by_model: account.seen,
        answered: account.restoration.expose().answered.clone(),
        restored: account.restoration.expose().restored.clone(),
        spans: account.spans,
        decisions: account.decisions,
        log,
        tampered,
        folder: if scratch.is_some() {
            String::new()
        } else {
            folder.display().to_string()
        },
    };
    if args.json {
        // Past anstream, which would take control characters out.
        let mut out = std::io::stdout().lock();
        serde_json::to_writer(&mut out, &report).context("standard output")?;
        writeln!(out).context("standard output")?;
    } else {
        show::show(&report, &title, &mut anstream::stdout().lock()).context("standard output")?;
    }
    if report.log.verified && !report.tampered.verified {
        Ok(())
    } else {
        Err(Failure::check(anyhow::anyhow!(
            "the log did not verify as it should; please report this"
        )))
    }
}

fn event_of(event: Option<EventId>) -> String {
    event
        .map(|event| format!(" (event {event})"))
        .unwrap_or_default()
}

fn read_note(path: Option<&Path>) -> anyhow::Result<(String, String)> {
    let Some(path) = path else {
        return Ok(("discharge summary".to_owned(), NOTE.to_owned()));
    };
    let (title, bytes) = if path.as_os_str() == "-" {
        let mut bytes = Vec::new();
        std::io::stdin()
            .lock()
            .read_to_end(&mut bytes)
            .context("standard input cannot be read")?;
        ("standard input".to_owned(), bytes)
    } else {
        let bytes = std::fs::read(path)
            .with_context(|| format!("the note `{}` cannot be read", path.display()))?;
        (path.display().to_string(), bytes)
    };
    let note = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        anyhow::anyhow!("the note {title} is not UTF-8 text: byte {at} begins no character; convert it with `iconv`")
    })?;
    anyhow::ensure!(
        !note.trim().is_empty(),
        "the note {title} is empty; give it a text"
    );
    Ok((title, note))
}

/// A scratch folder that goes when it is dropped, or the one that was named.
fn data_folder(named: Option<&Path>) -> anyhow::Result<(Option<tempfile::TempDir>, PathBuf)> {
    match named {
        Some(path) => {
            crate::gateway::make_private(path)
                .with_context(|| format!("the data folder `{}` cannot be made", path.display()))?;
            Ok((None, path.to_owned()))
        }
        None => {
            let scratch = tempfile::Builder::new().prefix("nephron-demo-").tempdir();
            let scratch =
                scratch.context("no temporary folder can be made; name one with --data")?;
            let path = scratch.path().to_owned();
            Ok((Some(scratch), path))
        }
    }
}

fn configuration(args: &Args, data: &Path) -> Result<Config, Failure> {
    let mut text = embedded::CONFIGURATION.to_owned();
    if let (Some(url), Some(model)) = (&args.upstream, &args.model) {
        // A JSON string is a TOML string.
        let (url, model) = (json!(url), json!(model));
        text.push_str(
            "\n[[plugin]]\nname = \"openai\"\nkind = \"connector\"\ncomponent = \"openai-compatible\"\n",
        );
        if args.api_key_env.is_some() {
            text.push_str("[plugin.settings]\ncredential = \"upstream\"\n");
        }
        text.push_str(&format!(
            "\n[egress]\ncleared-without-baa = \"safe-harbor\"\n\n[[associate]]\nname = \"upstream\"\n\n[[route]]\nmodel = {model}\nendpoint = \"upstream\"\n\
             \n[[endpoint]]\nname = \"upstream\"\nconnector = \"openai\"\nassociate = \"upstream\"\nurl = {url}\nprivate-addresses = true\n"
        ));
        if let Some(variable) = &args.api_key_env {
            let variable = json!(variable);
            text.push_str(&format!(
                "[endpoint.credential]\nname = \"upstream\"\nsecret = {{ environment = {variable} }}\n"
            ));
        }
    }
    embedded::parse(&text, "demo.toml", data)
}

fn request(tenant: &TenantId, model: &str, upstream: bool, note: &str) -> Vec<u8> {
    let mut messages = vec![json!({ "role": "user", "content": note })];
    if upstream {
        messages.insert(0, json!({ "role": "system", "content": INSTRUCTION }));
    }
    let request = json!({
        "tenant": tenant,
        "caller": { "id": "dr.okafor", "roles": ["physician"] },
        "purpose": "TREAT",
        "model": model,
        "messages": messages,
    });
    request.to_string().into_bytes()
}

/// What the log has to say about one request.
struct Account {
    seen: String,
    restoration: Phi<Restoration>,
    spans: Vec<SpanRow>,
    decisions: Vec<DecisionRow>,
    /// The entry to change a byte of in a copy: the one that says what left.
    tampered: Entry,
}

/// `note` is the index of the message that is the note.
async fn account(tenant: &Tenant, event: EventId, note: usize) -> anyhow::Result<Account> {
    let purpose: Purpose = "HOPERAT".parse()?;
    let subject = Subject::Caller("auditor".to_owned());
    let lifetime = std::time::Duration::from_secs(60);
    let grant = tenant.keys().mint(GrantRequest::new(
        subject,
        Operations::OPEN_PAYLOAD,
        purpose,
        lifetime,
    ))?;
    let mut entries = Vec::new();
    for sequence in tenant.log().of_request(event)? {
        entries.push(
            tenant
                .log()
                .entry(sequence)?
                .context("the log lost an entry")?,
        );
    }
    let of_kind = |kind: EntryKind| {
        let found = entries.iter().rev().find(|entry| entry.header.kind == kind);
        found.with_context(|| format!("the log has no entry `{kind:?}` about the request"))
    };
    let sending = of_kind(EntryKind::Sending)?;
    let seen = opened(&grant, sending, SENT).await?;
    let replacements = opened(&grant, of_kind(EntryKind::Deidentified)?, REPLACEMENTS).await?;
    let replacements: Vec<Replacement> = serde_json::from_slice(replacements.expose())?;
    let restoration = opened(&grant, of_kind(EntryKind::Reidentified)?, RESTORATION).await?;
    let in_note = replacements
        .into_iter()
        .filter(|replacement| replacement.message == note);
    let span = |Replacement {
                    start,
                    end,
                    kind,
                    token,
                    ..
                }| SpanRow {
        start,
        end,
        kind,
        token,
    };
    Ok(Account {
        seen: String::from_utf8_lossy(seen.expose()).into_owned(),
        restoration: Phi::new(serde_json::from_slice(restoration.expose())?),
        spans: in_note.map(span).collect(),
        decisions: entries.iter().filter_map(decision).collect(),
        tampered: sending.clone(),
    })
}

async fn opened(grant: &Grant, entry: &Entry, what: &str) -> anyhow::Result<Phi<Vec<u8>>> {
    let payload = entry.payload.as_ref().context("the entry has no payload")?;
    Ok(grant
        .open_payload(payload, entry.header.request, what)
        .await?)
}

fn decision(entry: &Entry) -> Option<DecisionRow> {
    let header = &entry.header;
    let plugin = header
        .plugin
        .as_ref()
        .filter(|_| header.kind == EntryKind::Decision)?;
    Some(DecisionRow {
        point: header.point?.as_str().to_owned(),
        plugin: plugin.name.clone(),
        version: plugin.version.clone(),
        digest: plugin.digest.to_string(),
        outcome: header.outcome.clone(),
        fuel: header.fuel?,
        micros: header.micros?,
    })
}

/// Reads the whole log back, then a copy of it in which one byte of `entry` was changed.
fn prove(folder: &Path, entry: &Entry) -> anyhow::Result<(LogRow, TamperedRow)> {
    let verdict = verify(folder, VerifyOptions::default()).context("the log cannot be verified")?;
    let log = LogRow {
        entries: verdict.entries,
        head: verdict.head.to_string(),
        verified: verdict.verified,
    };
    let copy = tempfile::tempdir().context("no temporary folder can be made")?;
    copy_folder(folder, copy.path())?;
    let (file, offset) = flip_a_byte(&copy.path().join("journal"), entry)?;
    let verdict =
        verify(copy.path(), VerifyOptions::default()).context("the copy cannot be verified")?;
    let fault = verdict
        .faults
        .iter()
        .find(|fault| fault.entry.is_some())
        .or_else(|| verdict.faults.first());
    Ok((
        log,
        TamperedRow {
            verified: verdict.verified,
            entry: fault.and_then(|fault| fault.entry),
            file,
            offset,
            what: fault
                .map(|fault| fault.what.to_string())
                .unwrap_or_default(),
        },
    ))
}

fn copy_folder(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(to)?;
    for item in std::fs::read_dir(from)? {
        let item = item?;
        let target = to.join(item.file_name());
        if item.file_type()?.is_dir() {
            copy_folder(&item.path(), &target)?;
        } else {
            std::fs::copy(item.path(), target)?;
        }
    }
    Ok(())
}

/// Changes one bit in the middle of the header of `entry`, wherever in `journal` it lies.
fn flip_a_byte(journal: &Path, entry: &Entry) -> anyhow::Result<(String, u64)> {
    for item in std::fs::read_dir(journal)? {
        let path = item?.path();
        let mut bytes = std::fs::read(&path)?;
        let wanted = entry.header_bytes.as_slice();
        let Some(start) = bytes
            .windows(wanted.len())
            .position(|window| window == wanted)
        else {
            continue;
        };
        let offset = start + wanted.len() / 2;
        if let Some(byte) = bytes.get_mut(offset) {
            *byte ^= 1;
        }
        std::fs::write(&path, bytes)?;
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        return Ok((name, u64::try_from(offset)?));
    }
    anyhow::bail!("the entry stands nowhere in the journal")
}
