//! What a panic says: where, and never what, since its message could hold PHI (I9).

use std::panic::{Location, PanicHookInfo};

/// Installs the hook for the whole process.
pub(super) fn install() {
    std::panic::set_hook(Box::new(say_where));
}

fn say_where(panic: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    if is_expected(panic.location(), thread) {
        tracing::debug!(
            thread,
            "the log's view panicked, and is built again from the journal"
        );
        return;
    }
    // Standard error may be what is broken.
    let _unwritten = write_to(&mut anstream::stderr().lock(), panic.location(), thread);
}

fn write_to(
    out: &mut impl std::io::Write,
    at: Option<&Location<'_>>,
    thread: &str,
) -> std::io::Result<()> {
    let at = at.map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
    writeln!(
        out,
        "nephron {} panicked at {at} in thread `{thread}`",
        env!("CARGO_PKG_VERSION")
    )?;
    writeln!(
        out,
        "this is a fault in nephron: please report the line above; the panic's message is withheld, since it could \
         hold PHI"
    )
}

/// sled panics on damage that it should report. The log calls it under `catch_unwind`, takes the panic for an
/// unreadable view and answers from the journal, so it is no fault of nephron's and nobody need see it.
fn is_expected(at: Option<&Location<'_>>, thread: &str) -> bool {
    thread == "log-view-open" || at.is_some_and(|at| at.file().contains("/sled-0.34"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_names_its_place_and_thread() {
        let here = Location::caller();
        let mut out = Vec::new();
        write_to(&mut out, Some(here), "worker").unwrap();
        let said = String::from_utf8(out).unwrap();
        let place = format!("{}:{}:{}", here.file(), here.line(), here.column());
        assert!(
            said.contains(&place) && said.contains("`worker`") && said.contains("please report"),
            "{said}"
        );
    }

    #[test]
    fn only_the_view_may_panic_in_silence() {
        assert!(!is_expected(Some(Location::caller()), "main"));
        assert!(!is_expected(None, "log-writer"));
        assert!(is_expected(None, "log-view-open"));
    }
}
