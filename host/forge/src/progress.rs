//! What a build says while it works.

use std::fmt;
use std::io::{self, IsTerminal as _, Write as _};

/// A step of a build. Its `Display` is a sentence for people; nothing of it is for programs to parse.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress {
    /// Another process builds plugins into the same folder; this one waits for it.
    Waiting,
    /// The wasm standard library is sought in another place; this is done once for a toolchain.
    Seeking(String),
    /// Cargo has compiled `done` of `total` units and is at `package`.
    Compiling {
        /// Units finished.
        done: usize,
        /// Units in all.
        total: usize,
        /// One of those being compiled.
        package: String,
    },
    /// A language's tool is fetched, once for each target folder.
    Fetching(String),
    /// A language's tool turns a plugin's source into a module or a component.
    Making {
        /// The plugin.
        name: String,
        /// The tool.
        tool: &'static str,
    },
    /// A plugin's module is wrapped as a component.
    Wrapping(String),
    /// A program that works for us says something a person should see: a warning, or what it waits for.
    Said(String),
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Waiting => f.write_str("building plugins: waiting for another build to end"),
            Self::Seeking(place) => write!(f, "preparing the wasm target: {place}"),
            Self::Compiling {
                done,
                total,
                package,
            } => write!(f, "building plugins: {done}/{total} {package}"),
            Self::Fetching(tool) => write!(f, "fetching {tool}, once"),
            Self::Making { name, tool } => write!(f, "building plugins: {tool} on {name}"),
            Self::Wrapping(name) => write!(f, "building plugins: wrapping {name}"),
            Self::Said(line) => f.write_str(line),
        }
    }
}

impl Progress {
    /// From a line of cargo's progress bar, such as `Building [==>   ] 57/112: cedar-policy-core, serde_json`.
    pub(crate) fn from_cargo(line: &str) -> Option<Self> {
        let (_, counts) = line
            .trim_start()
            .strip_prefix("Building [")?
            .split_once("] ")?;
        let (counts, packages) = counts.split_once(':').unwrap_or((counts, ""));
        let (done, total) = counts.split_once('/')?;
        let package = packages
            .split(',')
            .next()
            .unwrap_or_default()
            .trim()
            .trim_end_matches("...");
        Some(Self::Compiling {
            done: done.trim().parse().ok()?,
            total: total.trim().parse().ok()?,
            package: package.to_owned(),
        })
    }
}

/// Writes each step to standard error: on a terminal in one line that is overwritten, else a line each.
///
/// It is silent until there is something to do, and leaves no half line behind when dropped.
pub fn report_to_stderr() -> impl FnMut(Progress) {
    let mut line = StatusLine {
        on_terminal: io::stderr().is_terminal(),
        shown: false,
        last: String::new(),
    };
    move |progress| line.show(&progress)
}

struct StatusLine {
    on_terminal: bool,
    shown: bool,
    last: String,
}

impl StatusLine {
    fn show(&mut self, progress: &Progress) {
        let text = progress.to_string();
        let mut stderr = io::stderr().lock();
        // Standard error that cannot be written is no reason to fail a build.
        let _unwritten = if let Progress::Said(_) = progress {
            let clear = if std::mem::take(&mut self.shown) {
                "\r\x1b[K"
            } else {
                ""
            };
            writeln!(stderr, "{clear}{text}")
        } else if text == self.last {
            Ok(())
        } else if self.on_terminal {
            self.shown = true;
            let short: String = text.chars().take(78).collect();
            write!(stderr, "\r\x1b[K{short}").and_then(|()| stderr.flush())
        } else {
            writeln!(stderr, "{text}")
        };
        self.last = text;
    }
}

impl Drop for StatusLine {
    fn drop(&mut self) {
        if self.shown {
            let _unwritten = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargos_bar_is_read() {
        let read = |line| Progress::from_cargo(line).map(|progress| progress.to_string());
        assert_eq!(
            read("    Building [====>      ] 57/112: cedar-policy-core, serde(build.rs)")
                .as_deref(),
            Some("building plugins: 57/112 cedar-policy-core")
        );
        assert_eq!(
            read("    Building [>          ] 0/3: nephron-sd...").as_deref(),
            Some("building plugins: 0/3 nephron-sd")
        );
        assert_eq!(read("   Compiling serde v1.0.228"), None);
        assert_eq!(read("    Building [====>      ] soon"), None);
    }
}
