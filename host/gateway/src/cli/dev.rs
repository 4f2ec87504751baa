//! `nephron dev`: builds a project and asks it its cases, on each save.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use notify::{EventKind, RecursiveMode, Watcher as _};
use tokio::sync::Notify;

use super::plugin::{Report, Subject, report};
use super::style::{self, Look};
use super::text::{plural, visible_lines};
use super::{Failure, Globals};

/// Build a plugin and ask it its cases, now and whenever a file of the project is saved: one line a round.
///
/// What failed stands below the line. Ctrl-C ends it.
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    subject: Subject,
}

/// For which nothing may change before a round: editors write a file in pieces.
const QUIET: Duration = Duration::from_millis(150);

pub(super) async fn run(args: Args, _: &Globals) -> Result<(), Failure> {
    let folder = args.subject.folder().map_err(Failure::usage)?;
    let saved = Arc::new(Notify::new());
    let heard = Arc::clone(&saved);
    let root = folder.clone();
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Without the event something may have been saved.
        if event.map_or(true, |event| is_save(&event, &root)) {
            heard.notify_one();
        }
    });
    let watching = watcher.as_mut().map_err(|error| anyhow::anyhow!("{error}"));
    let watching = watching.and_then(|watcher| {
        let watched = watcher.watch(&folder, RecursiveMode::Recursive);
        watched.map_err(|error| anyhow::anyhow!("{error}"))
    });
    watching.context("the project cannot be watched; raise the limit `fs.inotify.max_user_watches`, or build by hand")?;
    loop {
        round(&args.subject).await?;
        saved.notified().await;
        while tokio::time::timeout(QUIET, saved.notified()).await.is_ok() {}
    }
}

/// Whether a file of the project's own was written, made, moved or removed.
fn is_save(event: &notify::Event, root: &Path) -> bool {
    let changes = match event.kind {
        EventKind::Create(_) | EventKind::Modify(_) | EventKind::Remove(_) => true,
        EventKind::Access(_) | EventKind::Any | EventKind::Other => false,
    };
    changes && event.paths.iter().any(|path| is_own(path, root))
}

/// Whether a path is of what people write, and not of what tools leave.
fn is_own(path: &Path, root: &Path) -> bool {
    let inside = path.strip_prefix(root).unwrap_or(path);
    inside.components().all(|part| {
        let name = part.as_os_str().to_string_lossy();
        !name.starts_with('.')
            && !["target", "node_modules", "__pycache__", "Cargo.lock"].contains(&&*name)
    })
}

/// Builds and asks once. Whatever is wrong with the plugin is told, and no reason to end.
async fn round(subject: &Subject) -> Result<(), Failure> {
    let begun = Instant::now();
    let outcome = async { report(subject.open().await?, false).await }.await;
    let took = begun.elapsed();
    let mut out = anstream::stdout().lock();
    write(&outcome, took, Look::of_stdout(), &mut out).map_err(Failure::output)
}

fn write(
    outcome: &Result<Report, Failure>,
    took: Duration,
    look: Look,
    out: &mut impl std::io::Write,
) -> std::io::Result<()> {
    let (good, bad) = (look.style(style::GOOD), look.style(style::BAD));
    let seconds = format!("{}.{} s", took.as_secs(), took.subsec_millis() / 100);
    match outcome {
        Ok(report) if report.failed() == 0 => {
            let cases = plural(report.passed(), "case");
            writeln!(out, "{good}kept{good:#}    {cases} in {seconds}")
        }
        Ok(report) => {
            let cases = plural(report.failed(), "case");
            writeln!(out, "{bad}failed{bad:#}  {cases} in {seconds}")?;
            report.write_faults(look, out)
        }
        Err(failure) => {
            let causes = visible_lines(&failure.causes());
            writeln!(out, "{bad}broken{bad:#}  in {seconds}: {causes}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tools_leave_is_no_save() {
        let root = Path::new("/p");
        for own in ["/p/plugin.py", "/p/cases/a.json", "/p/src/lib.rs", "/p"] {
            assert!(is_own(Path::new(own), root), "{own}");
        }
        for tools in [
            "/p/target/x",
            "/p/.plugin.py.swp",
            "/p/tests/__pycache__/a.pyc",
            "/p/node_modules/a/b.js",
        ] {
            assert!(!is_own(Path::new(tools), root), "{tools}");
        }
    }
}
