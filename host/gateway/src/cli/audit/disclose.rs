//! `nephron audit disclose`: one field of one entry, shown alone, with what proves it.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use nephron_audit::{FieldDisclosure, Reader};
use nephron_model::{EventId, Phi, TenantId};

use super::export::new_file;
use super::patient::Asker;
use super::{Which, whole};
use crate::cli::Failure;
use crate::cli::custody::{inquire, misunderstood};
use crate::inquiry::{Inquiry, Told, Wanted};

/// Disclose one field of an event, and nothing else: its value, the salt of the commitment that an entry holds, and the proof of that
/// entry. `audit-verify --disclosure FILE --vkey KEY` checks it without the log.
///
/// The payload is opened under a grant for health care operations, and the log says by whom and why. The file holds the value in the
/// open: hand it to nobody else.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The event, as the reply and the log name it
    event: EventId,
    /// The field: `patient` (others `patient-2` and so on), `session`, `context`, `sent`, `received`, `answered` or `restored`
    field: String,
    /// The entry, where several of the event have that field
    #[arg(long, value_name = "N")]
    entry: Option<u64>,
    /// The configuration
    #[arg(long, short, default_value = "gateway.toml", value_name = "FILE")]
    config: PathBuf,
    /// The tenant, where the configuration has several
    #[arg(long, short)]
    tenant: Option<TenantId>,
    #[command(flatten)]
    asker: Asker,
    /// Write to this new file and not to standard output
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let which = Which {
        folder: None,
        config: Some(args.config.clone()),
        tenant: args.tenant.clone(),
    };
    let wanted = Wanted::Field {
        event: args.event,
        field: args.field.clone(),
        entry: args.entry,
    };
    let inquiry = args.asker.inquiry(&which, wanted)?;
    let folder = which.folder("asked")?;
    let Some(path) = &args.out else {
        return disclose(&args, inquiry, &folder, &mut io::stdout().lock()).await;
    };
    // Made first: a value that is told and cannot be written was told for nothing.
    let cannot = || format!("`{}` cannot be written", path.display());
    let mut file = new_file(path).with_context(cannot)?;
    let done = disclose(&args, inquiry, &folder, &mut file).await;
    if done.is_err() {
        // The failure is what there is to tell.
        drop(std::fs::remove_file(path));
    }
    done
}

async fn disclose(
    args: &Args,
    inquiry: Inquiry,
    folder: &Path,
    out: &mut dyn io::Write,
) -> Result<(), Failure> {
    let told = inquire(&args.config, inquiry).await?;
    let Told::Field {
        sequence,
        value,
        salt,
    } = told
    else {
        return Err(misunderstood());
    };
    let value = Phi::new(value);
    let reader = Reader::open(folder).context("the log cannot be read")?;
    whole(&reader, folder)?;
    let proof = reader.prove(sequence);
    let proof = proof.context("the entry cannot be proved")?;
    let disclosure = FieldDisclosure::new(&args.field, value.expose(), salt, &proof);
    serde_json::to_writer_pretty(&mut *out, &disclosure)
        .map_err(io::Error::from)
        .and_then(|()| out.write_all(b"\n"))
        .and_then(|()| out.flush())
        .map_err(Failure::output)
}
