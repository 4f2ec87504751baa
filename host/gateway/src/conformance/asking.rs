//! One case's questions: each that needs no key is asked twice, for a judgement that cannot be run again proves nothing (I8).

use std::time::Duration;

use nephron_engine::contract::{Event, HttpRequest, RequestInfo};
use nephron_engine::{Answer, Engine, Judgement, Plugin, PluginFailure, Rehearsed, Said, Verdict};
use nephron_keys::Grant;

use super::{Case, Outcome};

/// Asks a plugin and counts what that took.
pub(super) struct Asking<'a> {
    engine: &'a Engine,
    plugin: &'a Plugin,
    calls: u64,
    fuel: u64,
    elapsed: Duration,
    /// What the plugin said in the last call.
    said: Vec<Said>,
    /// Code and text of its error, if that call came to one.
    error: Option<String>,
}

impl<'a> Asking<'a> {
    pub(super) const fn new(engine: &'a Engine, plugin: &'a Plugin) -> Self {
        Self {
            engine,
            plugin,
            calls: 0,
            fuel: 0,
            elapsed: Duration::ZERO,
            said: Vec::new(),
            error: None,
        }
    }

    /// The plugin that is asked.
    pub(super) const fn plugin(&self) -> &Plugin {
        self.plugin
    }

    /// All that the plugin said in the last call, its error's text with it.
    pub(super) fn words(&self) -> impl Iterator<Item = String> {
        let said = self.said.iter();
        let said = said.map(|said| format!("{} {:?}", said.event, said.attributes));
        said.chain(self.error.clone())
    }

    /// Asks twice, on fresh instances. The outer error is a fault whatever the case expects.
    pub(super) async fn ask(
        &mut self,
        judgement: &Judgement,
    ) -> Result<Result<Answer, PluginFailure>, String> {
        let first = self.call(judgement, None).await;
        let again = self.call(judgement, None).await;
        agree(&first, &again)?;
        answered(first)
    }

    /// Decodes a response that is cut like this, twice too.
    pub(super) async fn decode(
        &mut self,
        judgement: &Judgement,
    ) -> Result<Result<Vec<Event>, PluginFailure>, String> {
        let answer = self.ask(judgement).await?;
        Ok(answer.and_then(|answer| match answer {
            Answer::Decoded(Ok(events)) => Ok(events),
            Answer::Decoded(Err(_))
            | Answer::Decided(_)
            | Answer::Detected(_)
            | Answer::Transformed(_)
            | Answer::Planned(_)
            | Answer::Signed(_)
            | Answer::Exported(_)
            | Answer::Judged(_)
            | Answer::Confirming(_) => Err(PluginFailure::BadAnswer("to-another-question")),
        }))
    }

    /// Has a request signed with a lent key, and then twice with what that key said, which must come to the same.
    pub(super) async fn sign(
        &mut self,
        info: RequestInfo,
        request: HttpRequest,
        host: &str,
        key: Grant,
    ) -> Result<Result<HttpRequest, PluginFailure>, String> {
        let signing = self
            .engine
            .sign(self.plugin, info, request, host.to_owned(), key);
        let (judgement, first) = signing.await;
        self.count(&first);
        let again = self.call(&judgement, None).await;
        agree(&first, &again)?;
        Ok(self.ask(&judgement).await?.and_then(Answer::signed))
    }

    /// Lends a key for one call.
    pub(super) async fn lend(
        &mut self,
        judgement: &Judgement,
        key: Grant,
    ) -> Result<Result<Answer, PluginFailure>, String> {
        answered(self.call(judgement, Some(key)).await)
    }

    /// What came of it all.
    pub(super) fn outcome(
        self,
        case: &Case,
        name: String,
        description: &str,
        checked: Result<(), String>,
    ) -> Outcome {
        let fault = checked.err();
        Outcome {
            name,
            case: case.digest,
            settings: self.plugin.reference().settings,
            description: description.to_owned(),
            said: fault.as_ref().map_or_else(Vec::new, |_| self.said),
            fault,
            calls: self.calls,
            fuel: self.fuel,
            elapsed: self.elapsed,
        }
    }

    async fn call(&mut self, judgement: &Judgement, key: Option<Grant>) -> Verdict {
        let rehearsed = self.engine.rehearse(self.plugin, judgement, key).await;
        let Rehearsed {
            verdict,
            said,
            error,
        } = rehearsed;
        (self.said, self.error) = (said, error);
        self.count(&verdict);
        verdict
    }

    fn count(&mut self, verdict: &Verdict) {
        self.calls += 1;
        self.fuel = self.fuel.saturating_add(verdict.fuel);
        self.elapsed += verdict.elapsed;
    }
}

/// Two answers to one question, of fresh instances.
pub(super) fn agree(first: &Verdict, again: &Verdict) -> Result<(), String> {
    if first.to_bytes().expose() != again.to_bytes().expose() {
        return Err("two fresh instances give two answers to one question".to_owned());
    }
    if first.fuel != again.fuel {
        let (one, other) = (first.fuel, again.fuel);
        return Err(format!(
            "two fresh instances burn {one} and {other} fuel for one question"
        ));
    }
    Ok(())
}

/// An answer, or the error that the plugin reported; whatever else keeps a plugin from answering is a fault.
fn answered(verdict: Verdict) -> Result<Result<Answer, PluginFailure>, String> {
    match verdict.answer {
        Err(failure @ PluginFailure::Reported { .. }) => Ok(Err(failure)),
        Err(failure) => Err(format!("the plugin {failure}")),
        Ok(answer) => Ok(Ok(answer)),
    }
}
