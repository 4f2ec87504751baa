//! One call: a fresh store, a fresh instance from the frozen image, one judgement, within limits.

use std::sync::Arc;
use std::time::{Duration, Instant};

use nephron_keys::Grant;
use nephron_model::Phi;
use wasmtime::component::{HasSelf, Linker, Resource, ResourceAny};
use wasmtime::{Store, UpdateDeadline};

use crate::bindings::v0_1 as wit;
use crate::capability::Guest;
use crate::capability::diagnostics::{Said, Saying};
use crate::capability::key::Lent;
use crate::capability::null_wasi::NullWasi;
use crate::contract::{Event, HttpRequest, RequestInfo, Value};
use crate::failure::Stop;
use crate::load::Pre;
use crate::vet::World;
use crate::{Answer, Judgement, KeyPlayed, Limits, Plugin, PluginFailure};

/// The sandbox. One for a process; cheap to share behind an `Arc`.
pub struct Engine {
    pub(crate) inner: wasmtime::Engine,
}

/// The sandbox could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Wasmtime refused its configuration, or the machine lacks address space for the pool.
    #[error("the sandbox cannot be set up: {0}")]
    Setup(String),
    /// The thread that interrupts guests could not be started.
    #[error("the thread that interrupts guests cannot be started")]
    Ticker(#[source] std::io::Error),
}

/// What came of a call.
pub struct Verdict {
    /// The answer, or why there is none.
    pub answer: Result<Answer, PluginFailure>,
    /// Fuel burnt: the same for the same component, settings and question.
    pub fuel: u64,
    /// Wall-clock time, instantiation included.
    pub elapsed: Duration,
}

impl Verdict {
    /// [`Verdict::elapsed`] in microseconds, as entries have it.
    #[must_use]
    pub fn micros(&self) -> u64 {
        u64::try_from(self.elapsed.as_micros()).unwrap_or(u64::MAX)
    }

    /// Of a plugin that was not asked: `why`, as a code.
    #[must_use]
    pub const fn not_run(why: &'static str) -> Self {
        Self {
            answer: Err(PluginFailure::NotRun(why)),
            fuel: 0,
            elapsed: Duration::ZERO,
        }
    }

    /// The bytes that are recorded and that replay compares: the answer, or the code of the failure.
    #[must_use]
    pub fn to_bytes(&self) -> Phi<Vec<u8>> {
        match &self.answer {
            Ok(answer) => answer.to_bytes(),
            Err(failure) => {
                let failed = Failed {
                    detail: failure.detail(),
                    failed: failure.code(),
                };
                Phi::new(serde_json::to_vec(&failed).unwrap_or_default())
            }
        }
    }
}

/// A judgement that nothing follows from, with what the plugin said.
pub struct Rehearsed {
    /// What came of it.
    pub verdict: Verdict,
    /// What it said of itself.
    pub said: Vec<Said>,
    /// Code and text of its own error, if it answered with one.
    pub error: Option<String>,
}

impl Rehearsed {
    fn new(verdict: Verdict, saying: Option<Saying>) -> Self {
        let Saying { said, error, .. } = saying.unwrap_or_default();
        Self {
            verdict,
            said,
            error,
        }
    }
}

/// The recorded form of a failure. A struct and not a map, whose order depends on serde_json's features.
#[derive(serde::Serialize)]
struct Failed {
    detail: Option<&'static str>,
    failed: &'static str,
}

impl Engine {
    /// Calls that can run at the same time.
    pub const CONCURRENT: u32 = 256;

    /// Sets up the sandbox and starts the thread that interrupts guests.
    ///
    /// # Errors
    /// [`EngineError`].
    pub fn new() -> Result<Self, EngineError> {
        let setup = |error: wasmtime::Error| EngineError::Setup(format!("{error:#}"));
        let inner =
            wasmtime::Engine::new(&crate::compile::pooled(Self::CONCURRENT)).map_err(setup)?;
        crate::ticker::start(&inner).map_err(EngineError::Ticker)?;
        Ok(Self { inner })
    }

    /// A linker that holds what `world` names and nothing else (I3).
    pub(crate) fn linker(&self, world: World) -> wasmtime::Result<Linker<Guest>> {
        let mut linker = Linker::new(&self.inner);
        wit::types::add_to_linker::<_, HasSelf<Guest>>(&mut linker, |guest| guest)?;
        wit::diagnostics::add_to_linker::<_, HasSelf<Guest>>(&mut linker, |guest| guest)?;
        match world {
            World::AccessPolicy | World::Deidentifier => {}
            World::KeyedDeidentifier => {
                wit::keys::add_to_linker::<_, HasSelf<Guest>>(&mut linker, |guest| guest)?;
            }
            World::LlmConnector | World::AuditExporter | World::ConfirmingAuditExporter => {
                wit::exchange::add_to_linker::<_, HasSelf<Guest>>(&mut linker, |guest| guest)?;
            }
            World::SigningLlmConnector | World::SigningAuditExporter => {
                wit::exchange::add_to_linker::<_, HasSelf<Guest>>(&mut linker, |guest| guest)?;
                wit::keys::add_to_linker::<_, HasSelf<Guest>>(&mut linker, |guest| guest)?;
            }
        }
        Ok(linker)
    }

    /// Has a connector or an exporter sign what it encoded, with a lent key. Gives the judgement with what the key said and gave in it.
    pub async fn sign(
        &self,
        plugin: &Plugin,
        info: RequestInfo,
        request: HttpRequest,
        host: String,
        key: Grant,
    ) -> (Judgement, Verdict) {
        let lent = key.info();
        let key_played = KeyPlayed {
            id: lent.id,
            version: lent.version,
            macs: Vec::new(),
        };
        let mut judgement = Judgement::Sign {
            info,
            request,
            host,
            key: key_played,
        };
        let (verdict, macs) = self.asked(plugin, &judgement, Some(key)).await;
        if let Judgement::Sign { key, .. } = &mut judgement {
            key.macs = macs;
        }
        (judgement, verdict)
    }

    /// Asks `plugin` in a fresh instance. `key` is lent to a transformer for this call and to nobody else.
    pub async fn call(
        &self,
        plugin: &Plugin,
        judgement: &Judgement,
        key: Option<Grant>,
    ) -> Verdict {
        if let Judgement::Decode {
            info,
            status,
            headers,
            chunks,
            is_cut_off,
        } = judgement
        {
            let mut decoding = self.decode(plugin, info, *status, headers).await;
            let events = decoding.whole(chunks, *is_cut_off).await;
            return decoding.verdict(events);
        }
        self.asked(plugin, judgement, key).await.0
    }

    /// The same, with what the plugin says of itself, and the text of its error, whole: for its author, on invented data. What a
    /// plugin says while it serves is only counted, because it has seen PHI (I9).
    pub async fn rehearse(
        &self,
        plugin: &Plugin,
        judgement: &Judgement,
        key: Option<Grant>,
    ) -> Rehearsed {
        let mut store = self.store(plugin, judgement.info());
        store.data_mut().saying = Some(Saying::default());
        if let Judgement::Decode {
            status,
            headers,
            chunks,
            is_cut_off,
            ..
        } = judgement
        {
            let mut decoding = start(store, plugin, *status, headers).await;
            let events = decoding.whole(chunks, *is_cut_off).await;
            let saying = decoding.store.data_mut().saying.take();
            return Rehearsed::new(decoding.verdict(events), saying);
        }
        let verdict = self.asked_in(&mut store, plugin, judgement, key).await;
        let saying = store.data_mut().saying.take();
        Rehearsed::new(verdict, saying)
    }

    /// The verdict, and what a lent key authenticated.
    async fn asked(
        &self,
        plugin: &Plugin,
        judgement: &Judgement,
        key: Option<Grant>,
    ) -> (Verdict, Vec<(Vec<u8>, Vec<u8>)>) {
        let mut store = self.store(plugin, judgement.info());
        let verdict = self.asked_in(&mut store, plugin, judgement, key).await;
        (verdict, std::mem::take(&mut store.data_mut().macs))
    }

    async fn asked_in(
        &self,
        store: &mut Store<Guest>,
        plugin: &Plugin,
        judgement: &Judgement,
        key: Option<Grant>,
    ) -> Verdict {
        let started = Instant::now();
        let asked = ask(store, &plugin.pre, judgement, key).await;
        let answer = match asked {
            Ok(answer) => {
                if let (Some(error), Some(saying)) = (answer.error(), &mut store.data_mut().saying)
                {
                    saying.hear(error);
                }
                answer.checked_against(judgement)
            }
            Err(error) => Err(PluginFailure::from_wasmtime(
                &error,
                store.data().limiter.refused_memory,
            )),
        };
        Verdict {
            answer,
            fuel: burnt(plugin, store),
            elapsed: started.elapsed(),
        }
    }

    /// Starts decoding a response as it arrives.
    pub async fn decode(
        &self,
        plugin: &Plugin,
        info: &RequestInfo,
        status: u16,
        headers: &[(String, String)],
    ) -> Decoding {
        let store = self.store(plugin, Some(info));
        start(store, plugin, status, headers).await
    }

    fn store(&self, plugin: &Plugin, info: Option<&RequestInfo>) -> Store<Guest> {
        new_store(
            &self.inner,
            &plugin.limits,
            info.map(NullWasi::for_request).unwrap_or_default(),
        )
    }
}

async fn start(
    mut store: Store<Guest>,
    plugin: &Plugin,
    status: u16,
    headers: &[(String, String)],
) -> Decoding {
    let started = Instant::now();
    let decoder = start_decoding(&mut store, &plugin.pre, status, headers).await;
    let mut decoding = Decoding {
        decoder: None,
        failed: None,
        limit: plugin.limits.fuel,
        deadline: plugin.limits.deadline,
        elapsed: started.elapsed(),
        room: MOST_DECODED,
        store,
    };
    match decoder {
        Ok(decoder) => decoding.decoder = Some(decoder),
        Err(error) => decoding.fail(&error),
    }
    decoding
}

fn burnt(plugin: &Plugin, store: &Store<Guest>) -> u64 {
    plugin
        .limits
        .fuel
        .saturating_sub(store.get_fuel().unwrap_or_default())
}

/// A store held to `limits`.
pub(crate) fn new_store(
    engine: &wasmtime::Engine,
    limits: &Limits,
    wasi: NullWasi,
) -> Store<Guest> {
    let mut store = Store::new(engine, Guest::new(limits, wasi));
    store.limiter(|guest| &mut guest.limiter);
    store.set_hostcall_fuel(limits.copied);
    // Fuel is always configured, so this cannot fail; if it did, the call would stop at once for want of it.
    let _fuelled = store.set_fuel(limits.fuel);
    expire_after(&mut store, limits.deadline);
    store
}

/// Yields to other tasks at each tick, and stops the guest once `time` has passed from now.
pub(crate) fn expire_after(store: &mut Store<Guest>, time: Duration) {
    let deadline = Instant::now() + time;
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(move |_| {
        if Instant::now() >= deadline {
            Err(Stop::Deadline.into())
        } else {
            Ok(UpdateDeadline::Yield(1))
        }
    });
}

async fn ask(
    store: &mut Store<Guest>,
    pre: &Pre,
    judgement: &Judgement,
    key: Option<Grant>,
) -> wasmtime::Result<Answer> {
    let wrong_world = || wasmtime::format_err!("asked a plugin of another world");
    Ok(match (pre, judgement) {
        (Pre::AccessPolicy(pre), Judgement::Decide(query)) => {
            let guest = pre.instantiate_async(&mut *store).await?;
            Answer::Decided(
                guest
                    .nephron_plugin_decider()
                    .call_decide(store, query)
                    .await?,
            )
        }
        (Pre::Deidentifier(pre), Judgement::Detect { info, messages }) => {
            let guest = pre.instantiate_async(&mut *store).await?;
            Answer::Detected(
                guest
                    .nephron_plugin_detector()
                    .call_detect(store, info, messages)
                    .await?,
            )
        }
        (Pre::KeyedDeidentifier(pre), Judgement::Detect { info, messages }) => {
            let guest = pre.instantiate_async(&mut *store).await?;
            Answer::Detected(
                guest
                    .nephron_plugin_detector()
                    .call_detect(store, info, messages)
                    .await?,
            )
        }
        (
            Pre::KeyedDeidentifier(pre),
            Judgement::Deidentify {
                info,
                messages,
                found,
            },
        ) => {
            let guest = pre.instantiate_async(&mut *store).await?;
            let key = lend(store, key)?;
            let transformer = guest.nephron_plugin_transformer();
            Answer::Transformed(
                transformer
                    .call_deidentify(store, info, messages, found, key)
                    .await?,
            )
        }
        (Pre::KeyedDeidentifier(pre), Judgement::Reidentify { info, messages }) => {
            let guest = pre.instantiate_async(&mut *store).await?;
            let key = lend(store, key)?;
            let transformer = guest.nephron_plugin_transformer();
            Answer::Transformed(
                transformer
                    .call_reidentify(store, info, messages, key)
                    .await?,
            )
        }
        (
            Pre::LlmConnector(pre) | Pre::SigningLlmConnector(pre, _),
            Judgement::Encode { info, call },
        ) => {
            let guest = pre.instantiate_async(&mut *store).await?;
            Answer::Planned(
                guest
                    .nephron_plugin_connector()
                    .call_encode(store, info, call)
                    .await?,
            )
        }
        (
            Pre::SigningLlmConnector(_, pre) | Pre::SigningAuditExporter(_, pre),
            Judgement::Sign {
                info,
                request,
                host,
                key: played,
            },
        ) => {
            let guest = pre.instantiate_async(&mut *store).await?;
            let key = match key {
                Some(grant) => Lent::Live(Arc::new(grant)),
                None => Lent::Played(played.clone(), 0),
            };
            let key = lent(store, key)?;
            let signer = guest.nephron_plugin_signer();
            Answer::Signed(signer.call_sign(store, info, request, host, key).await?)
        }
        (
            Pre::AuditExporter(pre)
            | Pre::SigningAuditExporter(pre, _)
            | Pre::ConfirmingAuditExporter(pre, _),
            Judgement::Export(batch),
        ) => {
            let guest = pre.instantiate_async(&mut *store).await?;
            Answer::Exported(
                guest
                    .nephron_plugin_exporter()
                    .call_encode(store, batch)
                    .await?,
            )
        }
        (
            Pre::ConfirmingAuditExporter(_, pre),
            Judgement::Confirm {
                status,
                headers,
                body,
            },
        ) => {
            let guest = pre.instantiate_async(&mut *store).await?;
            let confirmer = guest.nephron_plugin_confirmer();
            Answer::Confirming(
                confirmer
                    .call_confirm(store, *status, headers, body)
                    .await?,
            )
        }
        (
            Pre::AuditExporter(pre)
            | Pre::SigningAuditExporter(pre, _)
            | Pre::ConfirmingAuditExporter(pre, _),
            Judgement::Judge {
                status,
                headers,
                body,
            },
        ) => {
            let guest = pre.instantiate_async(&mut *store).await?;
            Answer::Judged(
                guest
                    .nephron_plugin_exporter()
                    .call_judge(store, *status, headers, body)
                    .await?,
            )
        }
        (
            Pre::AccessPolicy(_)
            | Pre::Deidentifier(_)
            | Pre::KeyedDeidentifier(_)
            | Pre::LlmConnector(_)
            | Pre::SigningLlmConnector(..)
            | Pre::AuditExporter(_)
            | Pre::SigningAuditExporter(..)
            | Pre::ConfirmingAuditExporter(..),
            _,
        ) => return Err(wrong_world()),
    })
}

/// Puts the grant where the guest's handle points for the length of this call. The store dies with the call, and the
/// grant with it (I4).
fn lend(store: &mut Store<Guest>, key: Option<Grant>) -> wasmtime::Result<Resource<Lent>> {
    let key = key.ok_or_else(|| wasmtime::format_err!("a transformer was asked without a key"))?;
    lent(store, Lent::Live(Arc::new(key)))
}

fn lent(store: &mut Store<Guest>, key: Lent) -> wasmtime::Result<Resource<Lent>> {
    let lent = store.data_mut().keys.push(key)?;
    Ok(Resource::new_borrow(lent.rep()))
}

type Decoder = (wit::llm_connector::LlmConnector, ResourceAny);

async fn start_decoding(
    store: &mut Store<Guest>,
    pre: &Pre,
    status: u16,
    headers: &[(String, String)],
) -> wasmtime::Result<Decoder> {
    let (Pre::LlmConnector(pre) | Pre::SigningLlmConnector(pre, _)) = pre else {
        wasmtime::bail!("asked a plugin of another world")
    };
    let guest = pre.instantiate_async(&mut *store).await?;
    let decoder = guest.nephron_plugin_connector().decoder();
    let decoder = decoder
        .call_constructor(&mut *store, status, headers)
        .await?;
    Ok((guest, decoder))
}

/// Bytes of all events of one response: each push may copy as much as any call, and a hostile decoder has many.
const MOST_DECODED: usize = 16 << 20;

/// Bytes that the host keeps for an event, about.
fn size(event: &Event) -> usize {
    let text = match event {
        Event::Text(text) | Event::Stopped(text) | Event::Model(text) => text.len(),
        Event::ToolCall(delta) => {
            let named = [&delta.id, &delta.name];
            delta.arguments.len() + named.into_iter().flatten().map(String::len).sum::<usize>()
        }
        Event::Other(attribute) => {
            attribute.name.len()
                + match &attribute.value {
                    Value::Text(text) | Value::Json(text) => text.len(),
                    Value::Texts(texts) => texts
                        .iter()
                        .map(|text| text.len() + size_of::<String>())
                        .sum(),
                    Value::Number(_) | Value::Boolean(_) => 0,
                }
        }
        Event::Used(_) => 0,
    };
    text + size_of::<Event>()
}

/// A response being decoded. Fuel is for the whole of it; the deadline is for each push, since a model takes its time.
pub struct Decoding {
    store: Store<Guest>,
    decoder: Option<Decoder>,
    failed: Option<PluginFailure>,
    limit: u64,
    deadline: Duration,
    elapsed: Duration,
    /// Bytes of events that it may still hand over.
    room: usize,
}

impl Decoding {
    /// Hands over the next bytes and gives the events that are complete.
    ///
    /// # Errors
    /// The guest's failure; every later push fails the same way.
    pub async fn push(&mut self, chunk: &[u8]) -> Result<Vec<Event>, PluginFailure> {
        let started = Instant::now();
        expire_after(&mut self.store, self.deadline);
        let pushed = match &self.decoder {
            Some((guest, decoder)) => {
                let decoding = guest.nephron_plugin_connector().decoder();
                Some(decoding.call_push(&mut self.store, *decoder, chunk).await)
            }
            None => None,
        };
        self.took(started, pushed)
    }

    /// The response has ended.
    ///
    /// # Errors
    /// The guest's failure.
    pub async fn finish(&mut self) -> Result<Vec<Event>, PluginFailure> {
        let started = Instant::now();
        expire_after(&mut self.store, self.deadline);
        let finished = match self.decoder.take() {
            Some((guest, decoder)) => {
                let decoding = guest.nephron_plugin_connector().decoder();
                Some(decoding.call_finish(&mut self.store, decoder).await)
            }
            None => None,
        };
        self.took(started, finished)
    }

    /// Decodes a whole response, cut as it was when it came: the same calls, and so the same answer and fuel.
    async fn whole(
        &mut self,
        chunks: &[Vec<u8>],
        is_cut_off: bool,
    ) -> Result<Vec<Event>, PluginFailure> {
        let mut events = Vec::new();
        for chunk in chunks {
            events.extend(self.push(chunk).await?);
        }
        if !is_cut_off {
            events.extend(self.finish().await?);
        }
        Ok(events)
    }

    /// What came of it, with the events of every push and of the end.
    #[must_use]
    pub fn verdict(&self, events: Result<Vec<Event>, PluginFailure>) -> Verdict {
        Verdict {
            answer: events.map(|events| Answer::Decoded(Ok(events))),
            fuel: self.fuel(),
            elapsed: self.elapsed(),
        }
    }

    /// Fuel burnt so far.
    #[must_use]
    pub fn fuel(&self) -> u64 {
        self.limit
            .saturating_sub(self.store.get_fuel().unwrap_or_default())
    }

    /// Time spent inside the guest so far.
    #[must_use]
    pub const fn elapsed(&self) -> Duration {
        self.elapsed
    }

    fn took(
        &mut self,
        started: Instant,
        result: Option<wasmtime::Result<Result<Vec<Event>, crate::contract::Error>>>,
    ) -> Result<Vec<Event>, PluginFailure> {
        self.elapsed += started.elapsed();
        match result {
            Some(Ok(Ok(events))) => match self.room.checked_sub(events.iter().map(size).sum()) {
                Some(room) => {
                    self.room = room;
                    return Ok(events);
                }
                None => self.failed = Some(PluginFailure::TooLarge),
            },
            Some(Ok(Err(error))) => {
                if let Some(saying) = &mut self.store.data_mut().saying {
                    saying.hear(&error);
                }
                self.failed = Some(error.reported());
            }
            Some(Err(error)) => self.fail(&error),
            None => {}
        }
        self.decoder = None;
        Err(self
            .failed
            .clone()
            .unwrap_or(PluginFailure::NotRun("finished")))
    }

    fn fail(&mut self, error: &wasmtime::Error) {
        self.failed = Some(PluginFailure::from_wasmtime(
            error,
            self.store.data().limiter.refused_memory,
        ));
        self.decoder = None;
    }
}
