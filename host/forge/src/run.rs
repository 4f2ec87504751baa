//! Runs one child process to its end, handing over its lines as they come.

use std::io::{self, Read};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

/// A child that could not be run to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// No such program on the `PATH`.
    #[error("`{program}` is not installed, or not on the PATH")]
    NotFound {
        /// Its name.
        program: String,
    },
    /// It could not be started or waited for.
    #[error("cannot run `{program}`")]
    Io {
        /// Its name.
        program: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It took longer than it may and was stopped.
    #[error("`{program}` was stopped after {} seconds", limit.as_secs())]
    TimedOut {
        /// Its name.
        program: String,
        /// What it may take.
        limit: Duration,
    },
    /// It ended with a failure.
    #[error("`{command}` failed ({status}){}", indented(said))]
    Failed {
        /// The program and its arguments.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// Its last lines.
        said: Vec<String>,
    },
}

/// One line of a child's output, without its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Line {
    /// From its standard output.
    Out(String),
    /// From its standard error; a carriage return ends a line too, so that progress bars arrive piece by piece.
    Err(String),
}

/// Runs `command`, calling `on_line` for each line, and stops it after `limit`.
pub(crate) fn run(
    command: &mut Command,
    limit: Duration,
    mut on_line: impl FnMut(Line),
) -> Result<ExitStatus, RunError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let mut child = match command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
    {
        Ok(child) => child,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(RunError::NotFound { program });
        }
        Err(source) => return Err(RunError::Io { program, source }),
    };
    let (sender, lines) = mpsc::channel();
    if let Some(out) = child.stdout.take() {
        let sender = sender.clone();
        std::thread::spawn(move || read_lines(out, b"\n", Line::Out, &sender));
    }
    if let Some(err) = child.stderr.take() {
        std::thread::spawn(move || read_lines(err, b"\r\n", Line::Err, &sender));
    }
    let deadline = Instant::now() + limit;
    loop {
        match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => on_line(line),
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                let stopped = child.kill().and_then(|()| child.wait());
                return Err(match stopped {
                    Ok(_) => RunError::TimedOut { program, limit },
                    Err(source) => RunError::Io { program, source },
                });
            }
        }
    }
    child
        .wait()
        .map_err(|source| RunError::Io { program, source })
}

/// Runs `command` and gives what it wrote to standard output; a failure holds the last lines of both.
pub(crate) fn output_of(command: &mut Command, limit: Duration) -> Result<String, RunError> {
    let (mut out, mut said) = (String::new(), Vec::new());
    let status = run(command, limit, |line| match line {
        Line::Out(line) => {
            out.push_str(&line);
            out.push('\n');
        }
        Line::Err(line) => said.push(line),
    })?;
    if status.success() {
        return Ok(out);
    }
    if said.is_empty() {
        said.extend(out.lines().map(str::to_owned));
    }
    Err(failed(command, status, &said))
}

/// The error for a `command` that ended with a failing `status`, with the last of what it `said`.
pub(crate) fn failed(command: &Command, status: ExitStatus, said: &[String]) -> RunError {
    const SHOWN: usize = 8;
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    let kept = said
        .iter()
        .filter(|line| !line.trim().is_empty())
        .cloned()
        .collect::<Vec<_>>();
    let said = kept
        .get(kept.len().saturating_sub(SHOWN)..)
        .unwrap_or_default()
        .to_vec();
    RunError::Failed {
        command: words.join(" "),
        status,
        said,
    }
}

pub(crate) fn indented(lines: &[String]) -> String {
    lines.iter().map(|line| format!("\n    {line}")).collect()
}

fn read_lines(mut from: impl Read, ends: &[u8], which: fn(String) -> Line, to: &Sender<Line>) {
    let (mut buffer, mut line) = ([0; 8192], Vec::new());
    loop {
        let read = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => buffer.get(..read).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        for byte in read {
            if !ends.contains(byte) {
                line.push(*byte);
            } else if !line.is_empty() {
                let text = String::from_utf8_lossy(&line).into_owned();
                line.clear();
                // The other side has stopped listening only when the child is being given up.
                if to.send(which(text)).is_err() {
                    return;
                }
            }
        }
    }
    if !line.is_empty() {
        let _given_up = to.send(which(String::from_utf8_lossy(&line).into_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdin(Stdio::null());
        command
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn both_outputs_arrive_in_lines_and_a_carriage_return_ends_one_of_stderr() {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let status = run(
            &mut sh(r"printf 'a\nb\r'; printf '1\r2\n3' >&2"),
            LONG,
            |line| match line {
                Line::Out(line) => out.push(line),
                Line::Err(line) => err.push(line),
            },
        );
        assert!(status.unwrap().success());
        assert_eq!(
            (out, err),
            (
                vec!["a".to_owned(), "b\r".to_owned()],
                vec!["1".into(), "2".into(), "3".into()]
            )
        );
    }

    #[test]
    fn a_child_that_takes_too_long_is_stopped() {
        let started = Instant::now();
        let error = run(
            &mut sh("read line < /dev/tty || while :; do :; done"),
            Duration::from_millis(50),
            |_| {},
        );
        assert!(matches!(error, Err(RunError::TimedOut { .. })), "{error:?}");
        assert!(started.elapsed() < LONG);
    }

    #[test]
    fn a_failure_says_the_command_and_its_last_words() {
        let error = output_of(&mut sh("echo alas >&2; exit 3"), LONG)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("exit status: 3") && error.ends_with("\n    alas"),
            "{error}"
        );
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = output_of(&mut Command::new("nephron-no-such-program"), LONG)
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            "`nephron-no-such-program` is not installed, or not on the PATH"
        );
    }
}
