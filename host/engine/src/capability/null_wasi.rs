//! A WASI that grants nothing, for guests whose language cannot do without one (I3).
//!
//! No files (there are no pre-opened folders, and so no descriptor can ever exist), no sockets, no environment, no
//! arguments; standard output goes nowhere and standard input is at its end; the clocks stand at the request's time and
//! randomness is a stream seeded from the request's id, so that a judgement can be run again (I8).
//!
//! Functions are linked by name as the component asks for them. One that is not listed here traps when it is called:
//! it can be reached only through a handle that nothing gives out.

use sha2::{Digest as _, Sha256};
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Linker, ResourceAny, ResourceType, Val};
use wasmtime::{AsContextMut as _, StoreContextMut};

use crate::capability::Guest;
use crate::contract::RequestInfo;
use crate::failure::Stop;

/// Interfaces that can be stood in for, in any 0.2 version. Sockets and HTTP are not among them, on purpose.
const INTERFACES: [&str; 5] = [
    "wasi:cli/",
    "wasi:clocks/",
    "wasi:filesystem/",
    "wasi:io/",
    "wasi:random/",
];

/// Whether `import` is an interface of WASI that this one can stand in for.
pub(crate) fn can_stand_in_for(import: &str) -> bool {
    INTERFACES.iter().any(|prefix| import.starts_with(prefix))
        && import
            .split_once('@')
            .is_some_and(|(_, version)| version.starts_with("0.2."))
}

/// What clocks and randomness are made of: the request, and nothing else.
#[derive(Clone, Debug, Default)]
pub(crate) struct NullWasi {
    seconds: u64,
    nanoseconds: u32,
    seed: [u8; 32],
    drawn: u64,
}

/// Every resource of this WASI is a number that stands for nothing.
struct Nothing;

impl NullWasi {
    pub(crate) fn for_request(info: &RequestInfo) -> Self {
        Self {
            seconds: info.received_at.seconds,
            nanoseconds: info.received_at.nanoseconds,
            seed: Sha256::digest(info.id.as_bytes()).into(),
            drawn: 0,
        }
    }

    fn random(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length + 32);
        while bytes.len() < length {
            let block = Sha256::new()
                .chain_update(self.seed)
                .chain_update(self.drawn.to_le_bytes())
                .finalize();
            bytes.extend_from_slice(&block);
            self.drawn += 1;
        }
        bytes.truncate(length);
        bytes
    }

    fn random_u64(&mut self) -> u64 {
        let bytes = self.random(8);
        bytes
            .iter()
            .fold(0, |number, byte| (number << 8) | u64::from(*byte))
    }

    fn now(&self) -> Val {
        Val::Record(vec![
            ("seconds".to_owned(), Val::U64(self.seconds)),
            ("nanoseconds".to_owned(), Val::U32(self.nanoseconds)),
        ])
    }

    fn monotonic(&self) -> u64 {
        self.seconds
            .saturating_mul(1_000_000_000)
            .saturating_add(u64::from(self.nanoseconds))
    }
}

/// Links every WASI interface that `component` imports. Only for a plugin that was granted it.
pub(crate) fn link(
    linker: &mut Linker<Guest>,
    engine: &wasmtime::Engine,
    component: &Component,
) -> wasmtime::Result<()> {
    for (name, item) in component.component_type().imports(engine) {
        let ComponentItem::ComponentInstance(interface) = item.ty else {
            continue;
        };
        if !can_stand_in_for(name) {
            continue;
        }
        let short = name.split('@').next().unwrap_or(name).to_owned();
        let mut instance = linker.instance(name)?;
        for (function, item) in interface.exports(engine) {
            #[expect(clippy::wildcard_enum_match_arm, reason = "types need no linking")]
            match item.ty {
                ComponentItem::Resource(_) => {
                    instance.resource(function, ResourceType::host::<Nothing>(), |_, _| Ok(()))?;
                }
                ComponentItem::ComponentFunc(_) => {
                    let called = format!("{short}#{function}");
                    instance.func_new(function, move |store, _, arguments, results| {
                        answer(&called, store, arguments, results)
                    })?;
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// Random bytes that one host call gives. WASI knows no short answer, so who asks for more is stopped.
const MOST_RANDOM: usize = 64 << 10;

/// A handle that stands for nothing.
fn nothing(mut store: StoreContextMut<'_, Guest>) -> wasmtime::Result<Val> {
    let resource = wasmtime::component::Resource::<Nothing>::new_own(0);
    Ok(Val::Resource(ResourceAny::try_from_resource(
        resource,
        store.as_context_mut(),
    )?))
}

fn answer(
    called: &str,
    mut store: StoreContextMut<'_, Guest>,
    arguments: &[Val],
    results: &mut [Val],
) -> wasmtime::Result<()> {
    store.data_mut().budget.spend()?;
    let started = std::time::Instant::now();
    let length = match arguments.last() {
        Some(Val::U64(length)) => usize::try_from(*length).unwrap_or(usize::MAX),
        _ => 0,
    };
    let bytes = |bytes: Vec<u8>| Val::List(bytes.into_iter().map(Val::U8).collect());
    let ok = |value: Option<Val>| Val::Result(Ok(value.map(Box::new)));
    let closed = || Val::Result(Err(Some(Box::new(Val::Variant("closed".to_owned(), None)))));
    let value = match called {
        "wasi:cli/environment#get-environment"
        | "wasi:cli/environment#get-arguments"
        | "wasi:filesystem/preopens#get-directories" => Val::List(Vec::new()),
        "wasi:cli/environment#initial-cwd" => Val::Option(None),
        "wasi:cli/stdin#get-stdin"
        | "wasi:cli/stdout#get-stdout"
        | "wasi:cli/stderr#get-stderr" => nothing(store.as_context_mut())?,
        "wasi:cli/terminal-stdin#get-terminal-stdin"
        | "wasi:cli/terminal-stdout#get-terminal-stdout"
        | "wasi:cli/terminal-stderr#get-terminal-stderr" => Val::Option(None),
        "wasi:io/streams#[method]input-stream.read"
        | "wasi:io/streams#[method]input-stream.blocking-read" => closed(),
        "wasi:io/streams#[method]output-stream.check-write" => ok(Some(Val::U64(4096))),
        "wasi:io/streams#[method]output-stream.write"
        | "wasi:io/streams#[method]output-stream.blocking-write-and-flush"
        | "wasi:io/streams#[method]output-stream.flush"
        | "wasi:io/streams#[method]output-stream.blocking-flush" => ok(None),
        "wasi:clocks/wall-clock#now" => store.data().wasi.now(),
        "wasi:clocks/monotonic-clock#now" => Val::U64(store.data().wasi.monotonic()),
        "wasi:clocks/wall-clock#resolution" => Val::Record(vec![
            ("seconds".to_owned(), Val::U64(0)),
            ("nanoseconds".to_owned(), Val::U32(1)),
        ]),
        "wasi:clocks/monotonic-clock#resolution" => Val::U64(1),
        "wasi:random/random#get-random-bytes"
        | "wasi:random/insecure#get-insecure-random-bytes" => {
            if length > MOST_RANDOM {
                return Err(Stop::HostCalls.into());
            }
            bytes(store.data_mut().wasi.random(length))
        }
        "wasi:random/random#get-random-u64" | "wasi:random/insecure#get-insecure-random-u64" => {
            Val::U64(store.data_mut().wasi.random_u64())
        }
        "wasi:random/insecure-seed#insecure-seed" => {
            let wasi = &mut store.data_mut().wasi;
            Val::Tuple(vec![
                Val::U64(wasi.random_u64()),
                Val::U64(wasi.random_u64()),
            ])
        }
        _ => wasmtime::bail!("the null WASI does not do `{called}`"),
    };
    if let Some(result) = results.first_mut() {
        *result = value;
    }
    store.data_mut().budget.charge(started.elapsed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i8_randomness_is_a_function_of_the_seed() {
        let draw = |id: &str| {
            let mut wasi = NullWasi {
                seed: Sha256::digest(id).into(),
                ..NullWasi::default()
            };
            (wasi.random(40), wasi.random_u64())
        };
        assert_eq!(draw("a"), draw("a"));
        assert_ne!(draw("a"), draw("b"));
        assert_eq!(draw("a").0.len(), 40);
    }

    #[test]
    fn i3_no_socket_is_stood_in_for() {
        for import in [
            "wasi:sockets/tcp@0.2.0",
            "wasi:http/types@0.2.0",
            "wasi:clocks/wall-clock@0.3.0",
            "wasi:io/x",
        ] {
            assert!(!can_stand_in_for(import), "{import}");
        }
        assert!(can_stand_in_for("wasi:io/streams@0.2.6"));
    }
}
