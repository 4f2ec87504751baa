//! How far a long run is, on one line of standard error that is written over.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use crate::cli::text::number;

/// A bar, where there is a terminal to show it.
pub(super) struct Progress {
    is_shown: bool,
    /// Bytes in all; 0 if nobody knows.
    total: u64,
    done: u64,
    began: Instant,
    shown: Option<Instant>,
}

const CELLS: u64 = 24;

impl Progress {
    /// It is shown unless it is unwanted, standard error is no terminal, or the texts themselves go to the same terminal.
    pub(super) fn new(total: u64, is_unwanted: bool, to_stdout: bool) -> Self {
        let is_mixed = to_stdout && std::io::stdout().is_terminal();
        Self {
            is_shown: !is_unwanted && !is_mixed && std::io::stderr().is_terminal(),
            total,
            done: 0,
            began: Instant::now(),
            shown: None,
        }
    }

    /// So many bytes more are done, and so many texts in all.
    pub(super) fn add(&mut self, bytes: u64, texts: Option<u64>) {
        self.done = self.done.saturating_add(bytes);
        let (bytes, texts) = (self.done, texts.unwrap_or_default());
        let is_time = self
            .shown
            .is_none_or(|last| last.elapsed() > Duration::from_millis(100));
        if !self.is_shown || !is_time {
            return;
        }
        self.shown = Some(Instant::now());
        let rate = bytes * 1000
            / u64::try_from(self.began.elapsed().as_millis())
                .unwrap_or(1)
                .max(1);
        let line = line(bytes, self.total, texts, rate);
        // Where standard error is gone, nobody looks.
        drop(write!(std::io::stderr().lock(), "\r\x1b[K{line}"));
    }

    /// Takes the line away.
    pub(super) fn end(&self) {
        if self.shown.is_some() {
            drop(write!(std::io::stderr().lock(), "\r\x1b[K"));
        }
    }
}

fn line(bytes: u64, total: u64, texts: u64, rate: u64) -> String {
    let done = match total {
        0 => String::new(),
        total => {
            let bytes = bytes.min(total);
            let full = bytes.saturating_mul(CELLS) / total;
            let cells: String = (0..CELLS)
                .map(|cell| if cell < full { '#' } else { '-' })
                .collect();
            format!("[{cells}] {:3} %  ", bytes.saturating_mul(100) / total)
        }
    };
    format!(
        "{done}{} KB, {} texts, {} KB/s",
        number(bytes / 1000),
        number(texts),
        number(rate / 1000)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_and_how_fast() {
        assert_eq!(
            line(500_000, 1_000_000, 7, 4_000_000),
            "[############------------]  50 %  500 KB, 7 texts, 4,000 KB/s"
        );
        assert_eq!(line(1_500, 0, 1, 0), "1 KB, 1 texts, 0 KB/s");
    }
}
