//! One automaton for many patterns, built whole in `configure` and laid out to be walked in a fresh copy of memory.
//!
//! A lazy automaton would have to find in every call the states that no warm-up text met: that cost more than all
//! else together. `regex-automata` builds the whole of it; here its states are numbered anew, in the order in which a
//! walk from the start meets them, and take two bytes each. So a text touches few pages, most of them side by side.

use std::collections::VecDeque;
use std::fmt;

use regex_automata::Anchored;
use regex_automata::dfa::dense::{self, BuildError};
use regex_automata::dfa::{Automaton as _, StartError, StartKind};
use regex_automata::nfa::thompson;
use regex_automata::util::primitives::StateID;
use regex_automata::util::{start, syntax};

/// The state that nothing leads out of.
const DEAD: u16 = 0;

/// Why an automaton cannot be built.
#[derive(Debug)]
pub(crate) enum Unbuildable {
    /// A pattern does not compile.
    Patterns(Box<BuildError>),
    /// The automaton does not say where to start.
    Start(StartError),
    /// It has more states than two bytes can number.
    TooLarge,
}

impl fmt::Display for Unbuildable {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Patterns(error) => error.fmt(to),
            Self::Start(error) => error.fmt(to),
            Self::TooLarge => to.write_str("it has more than 65,535 states"),
        }
    }
}

/// A match: which pattern, and one past its last byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Match {
    pub(crate) pattern: usize,
    pub(crate) end: usize,
}

/// The automaton. State 0 is dead, those that tell a match come next, all others behind them.
pub(crate) struct Automaton {
    /// The column of each byte; bytes that no pattern tells apart share one.
    columns: [u8; 256],
    /// Columns in a row. The last is for the end of the text.
    width: usize,
    /// A row for each state: the state that each column leads to.
    rows: Vec<u16>,
    /// The pattern that each state tells a match of, from state 1 on.
    matching: Vec<u16>,
    /// The first state, by the byte before it, and at the start of the text.
    after: [u16; 256],
    first: u16,
}

impl Automaton {
    /// Builds the automaton of `expressions`, which read bytes, in any case, without Unicode's tables.
    ///
    /// # Errors
    /// [`Unbuildable`], which a test rules out for the patterns of this plugin.
    pub(crate) fn new(expressions: &[String]) -> Result<Self, Unbuildable> {
        let whole = dense::Builder::new()
            .configure(dense::Config::new().start_kind(StartKind::Anchored))
            .syntax(
                syntax::Config::new()
                    .unicode(false)
                    .utf8(false)
                    .case_insensitive(true),
            )
            .thompson(thompson::Config::new().utf8(false))
            .build_many(expressions)
            .map_err(|error| Unbuildable::Patterns(Box::new(error)))?;
        let start = |before: Option<u8>| {
            let at = start::Config::new()
                .anchored(Anchored::Yes)
                .look_behind(before);
            whole.start_state(&at).map_err(Unbuildable::Start)
        };
        let first = start(None)?;
        let after = (0..=u8::MAX)
            .map(|byte| start(Some(byte)))
            .collect::<Result<Vec<_>, _>>()?;

        let classes = whole.byte_classes();
        let columns =
            std::array::from_fn(|byte| u8::try_from(byte).map_or(0, |byte| classes.get(byte)));
        // A byte of each class, in the order of the columns.
        let bytes: Vec<u8> = classes
            .representatives(0..=u8::MAX)
            .filter_map(|unit| unit.as_u8())
            .collect();
        let whole = &whole;
        let row = |state| {
            bytes
                .iter()
                .map(move |byte| whole.next_state(state, *byte))
                .chain([whole.next_eoi_state(state)])
        };

        let starts = std::iter::once(first).chain(after.iter().copied());
        let (matching, others) = in_order(starts, row, whole);
        let place = |state: StateID| state.as_usize() >> whole.stride2();
        let mut numbers = Vec::new();
        for (state, number) in matching.iter().chain(&others).zip(1..) {
            let number = u16::try_from(number).map_err(|_| Unbuildable::TooLarge)?;
            let place = place(*state);
            numbers.resize(numbers.len().max(place + 1), DEAD);
            if let Some(cell) = numbers.get_mut(place) {
                *cell = number;
            }
        }
        let number = |state| numbers.get(place(state)).copied().unwrap_or(DEAD);
        let width = bytes.len() + 1;
        let mut rows = vec![DEAD; width];
        rows.reserve_exact((matching.len() + others.len()) * width);
        for state in matching.iter().chain(&others) {
            rows.extend(row(*state).map(number));
        }
        let pattern = |state: &StateID| u16::try_from(whole.match_pattern(*state, 0).as_usize());
        Ok(Self {
            columns,
            width,
            rows,
            matching: matching
                .iter()
                .map(pattern)
                .collect::<Result<_, _>>()
                .map_err(|_| Unbuildable::TooLarge)?,
            after: std::array::from_fn(|byte| after.get(byte).copied().map_or(DEAD, number)),
            first: number(first),
        })
    }

    /// The match that begins at byte `from` of `text`. Of two the pattern that stands first wins, then the longer.
    #[must_use]
    pub(crate) fn match_at(&self, text: &[u8], from: usize) -> Option<Match> {
        let before = from.checked_sub(1).and_then(|before| text.get(before));
        let mut state = match before {
            Some(byte) => self.after.get(usize::from(*byte)).copied()?,
            None => self.first,
        };
        let mut found = None;
        let mut rest = text.get(from..)?.iter();
        while let Some(byte) = rest.next() {
            let column = self.columns.get(usize::from(*byte)).copied()?;
            state = self.next(state, usize::from(column));
            if usize::from(state) <= self.matching.len() {
                if state == DEAD {
                    return found;
                }
                // A state tells of a match one byte after its end: only then is it known that `\b` holds.
                found = self.matched(state, text.len() - rest.as_slice().len() - 1);
            }
        }
        let end = self.next(state, self.width - 1);
        self.matched(end, text.len()).or(found)
    }

    fn next(&self, state: u16, column: usize) -> u16 {
        // The table has fewer cells than a `usize` can number, and `get` checks what comes out.
        let cell = usize::from(state)
            .wrapping_mul(self.width)
            .wrapping_add(column);
        self.rows.get(cell).copied().unwrap_or(DEAD)
    }

    fn matched(&self, state: u16, end: usize) -> Option<Match> {
        let place = usize::from(state).checked_sub(1)?;
        let pattern = usize::from(*self.matching.get(place)?);
        Some(Match { pattern, end })
    }
}

/// All states that are not dead, in the order in which a walk meets them: those that tell a match, and the others.
fn in_order<Row: Iterator<Item = StateID>>(
    starts: impl Iterator<Item = StateID>,
    row: impl Fn(StateID) -> Row,
    whole: &dense::DFA<Vec<u32>>,
) -> (Vec<StateID>, Vec<StateID>) {
    let (mut matching, mut others) = (Vec::new(), Vec::new());
    let mut met = Vec::new();
    let mut ahead = VecDeque::new();
    let mut meet = |state: StateID, ahead: &mut VecDeque<StateID>| {
        let place = state.as_usize() >> whole.stride2();
        met.resize(met.len().max(place + 1), false);
        if let Some(met) = met.get_mut(place)
            && !*met
        {
            *met = true;
            ahead.push_back(state);
        }
    };
    for state in starts {
        meet(state, &mut ahead);
    }
    while let Some(state) = ahead.pop_front() {
        if whole.is_dead_state(state) {
            continue;
        }
        if whole.is_match_state(state) {
            matching.push(state);
        } else {
            others.push(state);
        }
        for next in row(state) {
            meet(next, &mut ahead);
        }
    }
    (matching, others)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_pattern_wins_and_borders_hold() {
        let expressions = [r"\bab+\b", r"\babc", r"c?\d{2,3}"].map(str::to_owned);
        let automaton = Automaton::new(&expressions).unwrap();
        let check = |text: &str, from, expected: Option<(usize, usize)>| {
            let found = automaton.match_at(text.as_bytes(), from);
            let found = found.map(|one| (one.pattern, one.end));
            assert_eq!(found, expected, "{text} from {from}");
        };
        check("abb", 0, Some((0, 3)));
        check("ABB x", 0, Some((0, 3)));
        check("abbc", 0, None);
        check("abc", 0, Some((1, 3)));
        check("xab", 1, None);
        check(" ab", 1, Some((0, 3)));
        check("c1234", 0, Some((2, 4)));
        check("12", 0, Some((2, 2)));
        check("", 0, None);
        check("12", 3, None);
    }
}
