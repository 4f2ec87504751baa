//! Configure once, then freeze: the memory that `configure` leaves behind becomes the image every call starts from.

use wasmtime::Store;
use wasmtime::component::{Component, HasSelf, Instance, Lift, Linker, WasmList};
use wasmtime_wizer::{ComponentInstanceState, Wizer};

use crate::bindings::v0_1::base::Vocabulary;
use crate::bindings::v0_1::configurable;
use crate::bindings::v0_1::lent::Lent;
use crate::capability::Guest;
use crate::compile::{Descriptor, PrepareError, Problem};
use crate::{Limits, PluginFailure};

/// A component whose memory already holds its settings.
pub(crate) struct Frozen {
    pub(crate) component: Vec<u8>,
    pub(crate) descriptor: Descriptor,
}

/// Instantiates `component` in a throw-away store of `engine`, configures it, and freezes its memory.
pub(crate) async fn freeze(
    engine: &wasmtime::Engine,
    component: &[u8],
    settings: &str,
    limits: &Limits,
) -> Result<Frozen, PrepareError> {
    let wizer = Wizer::new();
    let (context, instrumented) = wizer
        .instrument_component(component)
        .map_err(PrepareError::snapshot)?;
    let compiled = Component::new(engine, &instrumented).map_err(PrepareError::compile)?;
    let mut linker = Linker::new(engine);
    Vocabulary::add_to_linker::<_, HasSelf<Guest>>(&mut linker, |guest| guest)
        .map_err(PrepareError::link)?;
    Lent::add_to_linker::<_, HasSelf<Guest>>(&mut linker, |guest| guest)
        .map_err(PrepareError::link)?;
    crate::capability::null_wasi::link(&mut linker, engine, &compiled)
        .map_err(PrepareError::link)?;

    let mut store = crate::instance::new_store(
        engine,
        limits,
        crate::capability::null_wasi::NullWasi::default(),
    );
    store
        .set_fuel(limits.configure_fuel)
        .map_err(PrepareError::compile)?;
    // The draft engine has no ticker; fuel bounds it.
    store.set_epoch_deadline(u64::MAX / 2);
    let failed = |error: &wasmtime::Error, store: &Store<Guest>| {
        PrepareError::Failed(PluginFailure::from_wasmtime(
            error,
            store.data().limiter.refused_memory,
        ))
    };
    let instance = linker
        .instantiate_async(&mut store, &compiled)
        .await
        .map_err(PrepareError::link)?;
    let exports =
        configurable::Configurable::new(&mut store, &instance).map_err(PrepareError::link)?;
    let plugin = exports.nephron_plugin_plugin();
    let described = plugin.call_describe(&mut store).await;
    let described = described.map_err(|error| failed(&error, &store))?;
    let configured = plugin.call_configure(&mut store, settings).await;
    configured
        .map_err(|error| failed(&error, &store))?
        .map_err(|problems| {
            PrepareError::Settings(
                problems
                    .into_iter()
                    .map(|p| Problem {
                        key: p.key,
                        message: p.message,
                    })
                    .collect(),
            )
        })?;

    // Reading the state out runs instrumented getters, which are the host's own.
    store.set_fuel(u64::MAX).map_err(PrepareError::compile)?;
    store.set_hostcall_fuel(usize::MAX);
    let mut state = State {
        store: &mut store,
        instance,
        failed: None,
    };
    let frozen = wizer.snapshot_component(&context, &mut state).await;
    if let Some(error) = state.failed {
        return Err(PrepareError::snapshot(error));
    }
    Ok(Frozen {
        component: frozen.map_err(PrepareError::snapshot)?,
        descriptor: Descriptor {
            name: described.name,
            version: described.version,
        },
    })
}

/// How wizer reads an instance. Its own implementation needs a third of wasmtime's features that nothing else here
/// does, and panics where this one keeps the error.
struct State<'a> {
    store: &'a mut Store<Guest>,
    instance: Instance,
    failed: Option<wasmtime::Error>,
}

impl State<'_> {
    async fn call<R: Lift + 'static>(&mut self, instance: &str, function: &str) -> Option<R> {
        let called = async {
            let missing =
                || wasmtime::format_err!("instrumented export `{instance}#{function}` is missing");
            let (_, outer) = self
                .instance
                .get_export(&mut *self.store, None, instance)
                .ok_or_else(missing)?;
            let (_, inner) = self
                .instance
                .get_export(&mut *self.store, Some(&outer), function)
                .ok_or_else(missing)?;
            let function = self
                .instance
                .get_typed_func::<(), (R,)>(&mut *self.store, inner)?;
            wasmtime::Result::Ok(function.call_async(&mut *self.store, ()).await?.0)
        };
        let called = called.await;
        called.map_err(|error| self.failed = Some(error)).ok()
    }
}

impl ComponentInstanceState for State<'_> {
    async fn call_func_ret_list_u8(
        &mut self,
        instance: &str,
        function: &str,
        contents: impl FnOnce(&[u8]) + Send,
    ) {
        if let Some(list) = self.call::<WasmList<u8>>(instance, function).await {
            contents(list.as_le_slice(&self.store));
        }
    }

    async fn call_func_ret_s32(&mut self, instance: &str, function: &str) -> i32 {
        self.call(instance, function).await.unwrap_or_default()
    }

    async fn call_func_ret_s64(&mut self, instance: &str, function: &str) -> i64 {
        self.call(instance, function).await.unwrap_or_default()
    }

    async fn call_func_ret_f32(&mut self, instance: &str, function: &str) -> u32 {
        self.call::<f32>(instance, function)
            .await
            .unwrap_or_default()
            .to_bits()
    }

    async fn call_func_ret_f64(&mut self, instance: &str, function: &str) -> u64 {
        self.call::<f64>(instance, function)
            .await
            .unwrap_or_default()
            .to_bits()
    }
}
