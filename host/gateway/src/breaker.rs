//! Plugins that break down again and again are left alone for a while, and what broke one twice is not asked of it again.
//!
//! Each tenant has its own: what one of them asks takes no plugin from another (I5). Whatever is not asked is refused (I6).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nephron_engine::PluginFailure;
use nephron_model::{Digest, Fingerprint, PluginRef, Timestamp};

/// Traps and time-outs in a row, of one kind of judgement, after which a plugin is not asked.
const FAILURES: u32 = 5;
/// For how long. Then one judgement is tried.
pub(crate) const REST: Duration = Duration::from_secs(30);
/// For how long a question that broke a plugin is remembered.
const QUARANTINE: Duration = Duration::from_secs(60 * 60);
/// How many such questions are.
const REMEMBERED: usize = 1_024;

/// Why a plugin is not asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotAsked {
    /// Its breaker is open.
    Resting,
    /// The same broke it twice.
    Quarantined,
}

impl NotAsked {
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::Resting => "breaker-open",
            Self::Quarantined => "quarantined",
        }
    }
}

/// A breaker has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Changed {
    Opened,
    Closed,
}

impl Changed {
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Closed => "closed",
        }
    }
}

/// Of one tenant.
#[derive(Default)]
pub(crate) struct Breakers(Mutex<State>);

#[derive(Default)]
struct State {
    plugins: BTreeMap<Configured, Plugin>,
    broken: VecDeque<Broken>,
}

/// Component and settings: another version begins anew.
pub(crate) type Configured = (Digest, Digest);

#[derive(Default)]
struct Plugin {
    name: String,
    /// By the kind of judgement: a connector that encodes well may break down at each answer.
    breakers: BTreeMap<&'static str, Breaker>,
}

#[derive(Default)]
struct Breaker {
    in_a_row: u32,
    /// Until when nothing is asked, once it is open.
    rests: Option<Timestamp>,
}

/// A question that broke a plugin.
struct Broken {
    question: Fingerprint,
    times: u32,
    since: Timestamp,
}

impl Breakers {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a plugin may be asked. Where it has rested, this is the one judgement that is tried.
    pub(crate) fn may_ask(&self, plugin: &PluginRef, now: Timestamp) -> bool {
        let mut state = self.state();
        let Some(plugin) = state.plugins.get_mut(&configured(plugin)) else {
            return true;
        };
        let mut open = plugin.breakers.values().filter_map(|one| one.rests);
        if open.any(|rests| rests > now) {
            return false;
        }
        let rested = plugin
            .breakers
            .values_mut()
            .filter_map(|one| one.rests.as_mut());
        for rests in rested {
            // Whatever becomes of this one, others wait for as long again.
            *rests = now.plus(REST);
        }
        true
    }

    /// What came of a judgement of this kind. Gives what that changed.
    pub(crate) fn heard(
        &self,
        plugin: &PluginRef,
        kind: &'static str,
        failure: Option<&PluginFailure>,
        now: Timestamp,
    ) -> Option<Changed> {
        let has_failed = match failure {
            Some(PluginFailure::NotRun(_)) => return None,
            Some(PluginFailure::Trapped(_) | PluginFailure::TimedOut) => true,
            // It answered, or ran into what this question alone costs.
            Some(
                PluginFailure::OutOfFuel
                | PluginFailure::OutOfMemory
                | PluginFailure::TooManyHostCalls
                | PluginFailure::TooLarge
                | PluginFailure::BadAnswer(_)
                | PluginFailure::KeptKey
                | PluginFailure::Reported { .. },
            )
            | None => false,
        };
        let mut state = self.state();
        if !has_failed && !state.plugins.contains_key(&configured(plugin)) {
            return None;
        }
        let one = state.plugins.entry(configured(plugin)).or_default();
        one.name.clone_from(&plugin.name);
        let breaker = one.breakers.entry(kind).or_default();
        if has_failed {
            breaker.in_a_row = breaker.in_a_row.saturating_add(1);
            if breaker.in_a_row < FAILURES {
                return None;
            }
            let was_open = breaker.rests;
            breaker.rests = was_open.max(Some(now.plus(REST)));
            return was_open.is_none().then_some(Changed::Opened);
        }
        let was_open = breaker.rests.is_some();
        one.breakers.remove(kind);
        if one.breakers.is_empty() {
            state.plugins.remove(&configured(plugin));
        }
        was_open.then_some(Changed::Closed)
    }

    /// Whether any question is remembered: most tenants have none, and none of theirs is looked at.
    pub(crate) fn remembers(&self) -> bool {
        !self.state().broken.is_empty()
    }

    /// Whether this question broke its plugin twice.
    pub(crate) fn is_quarantined(&self, question: Fingerprint, now: Timestamp) -> bool {
        let mut state = self.state();
        state.broken.retain(|one| now.since(one.since) < QUARANTINE);
        let mut broken = state.broken.iter();
        broken.any(|one| one.question == question && one.times > 1)
    }

    /// A question broke its plugin. Gives whether that was the second time.
    pub(crate) fn broke(&self, question: Fingerprint, now: Timestamp) -> bool {
        let mut state = self.state();
        let known = state.broken.iter_mut().find(|one| one.question == question);
        if let Some(known) = known {
            known.times = known.times.saturating_add(1);
            return known.times == 2;
        }
        if state.broken.len() >= REMEMBERED {
            state.broken.pop_front();
        }
        state.broken.push_back(Broken {
            question,
            times: 1,
            since: now,
        });
        false
    }

    /// Forgets plugins that nothing serves or tries any more.
    pub(crate) fn retain(&self, held: &BTreeSet<Configured>) {
        let mut state = self.state();
        state.plugins.retain(|plugin, _| held.contains(plugin));
    }

    /// The plugins that are not asked now, by the operator's names.
    pub(crate) fn open(&self) -> Vec<String> {
        let state = self.state();
        let is_open = |plugin: &&Plugin| plugin.breakers.values().any(|one| one.rests.is_some());
        let open = state.plugins.values().filter(is_open);
        open.map(|plugin| plugin.name.clone()).collect()
    }
}

pub(crate) const fn configured(plugin: &PluginRef) -> Configured {
    (plugin.digest, plugin.settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp {
        seconds: 1_795_305_802,
        nanoseconds: 0,
    };

    fn plugin(settings: &str) -> PluginRef {
        PluginRef {
            digest: Digest::of(b"component"),
            name: "finder".to_owned(),
            settings: Digest::of(settings.as_bytes()),
            version: "0.1.0".to_owned(),
        }
    }

    fn at(seconds: u64) -> Timestamp {
        NOW.plus(Duration::from_secs(seconds))
    }

    #[test]
    fn a_plugin_that_breaks_down_again_and_again_rests_and_is_tried_once() {
        let breakers = Breakers::default();
        let (one, other) = (plugin("{}"), plugin("{\"other\":1}"));
        let (trapped, slow) = (
            PluginFailure::Trapped("unreachable"),
            PluginFailure::TimedOut,
        );
        for _ in 1..FAILURES {
            assert_eq!(breakers.heard(&one, "detect", Some(&trapped), NOW), None);
            assert!(breakers.may_ask(&one, NOW));
        }
        // An answer in between, and it begins anew.
        assert_eq!(breakers.heard(&one, "detect", None, NOW), None);
        for _ in 1..FAILURES {
            assert_eq!(breakers.heard(&one, "detect", Some(&slow), NOW), None);
            // Another kind of judgement is not this one's excuse.
            assert_eq!(breakers.heard(&one, "decide", None, NOW), None);
        }
        let opened = breakers.heard(&one, "detect", Some(&slow), NOW);
        assert_eq!(opened, Some(Changed::Opened));
        assert_eq!(breakers.open(), ["finder"]);
        assert!(!breakers.may_ask(&one, at(29)));
        assert!(breakers.may_ask(&other, NOW), "other settings are another");
        assert!(breakers.may_ask(&one, at(30)), "one is tried");
        assert!(!breakers.may_ask(&one, at(31)), "and one alone");
        assert_eq!(breakers.heard(&one, "detect", Some(&trapped), at(31)), None);
        assert!(!breakers.may_ask(&one, at(60)));
        assert!(breakers.may_ask(&one, at(61)));
        let closed = breakers.heard(&one, "detect", None, at(61));
        assert_eq!(closed, Some(Changed::Closed));
        assert!(breakers.open().is_empty());
        assert!(breakers.may_ask(&one, at(61)));
    }

    #[test]
    fn what_serves_no_more_is_forgotten() {
        let breakers = Breakers::default();
        let (gone, serving) = (plugin("{}"), plugin("{\"other\":1}"));
        for one in [&gone, &serving] {
            for _ in 0..FAILURES {
                let _changed = breakers.heard(one, "detect", Some(&PluginFailure::TimedOut), NOW);
            }
        }
        assert_eq!(breakers.open(), ["finder", "finder"]);
        breakers.retain(&BTreeSet::from([configured(&serving)]));
        assert_eq!(breakers.open(), ["finder"]);
        assert!(breakers.may_ask(&gone, NOW));
        assert!(!breakers.may_ask(&serving, NOW));
    }

    #[test]
    fn what_says_nothing_of_a_plugin_opens_no_breaker() {
        let breakers = Breakers::default();
        for failure in [
            PluginFailure::OutOfFuel,
            PluginFailure::NotRun("pool-exhausted"),
            PluginFailure::BadAnswer("does-not-lift"),
        ] {
            for _ in 0..2 * FAILURES {
                let heard = breakers.heard(&plugin("{}"), "detect", Some(&failure), NOW);
                assert_eq!(heard, None);
            }
        }
        assert!(breakers.may_ask(&plugin("{}"), NOW));
    }

    #[test]
    fn a_question_is_quarantined_when_it_broke_its_plugin_twice_and_for_an_hour() {
        let breakers = Breakers::default();
        let question = |number: u8| Fingerprint([number; 32]);
        assert!(!breakers.remembers());
        assert!(!breakers.broke(question(1), NOW));
        assert!(breakers.remembers());
        assert!(!breakers.is_quarantined(question(1), NOW));
        assert!(breakers.broke(question(1), NOW));
        assert!(!breakers.broke(question(1), NOW), "told once");
        assert!(breakers.is_quarantined(question(1), at(3_599)));
        assert!(!breakers.is_quarantined(question(2), NOW));
        assert!(!breakers.is_quarantined(question(1), at(3_600)));
        assert!(!breakers.remembers());
        for number in 0..=REMEMBERED {
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&number.to_le_bytes());
            breakers.broke(Fingerprint(bytes), NOW);
        }
        assert_eq!(breakers.state().broken.len(), REMEMBERED);
    }
}
