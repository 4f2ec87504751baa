//! Runs a script of the component model's tests. `json-from-wast` reads it; what stands here only asks wasmtime.

use std::collections::{BTreeMap, HashMap};

use json_from_wast::{Action, Command, ComponentConst, Const, WasmFile, WasmFileType, Wast};
use wasmtime::component::{Component, Instance, Linker, Val};
use wasmtime::{Engine, Store};

/// What was instantiated last, which the script speaks to.
struct Current {
    store: Store<()>,
    instance: Instance,
}

/// One script under way.
pub(super) struct Script {
    engine: Engine,
    linker: Linker<()>,
    files: HashMap<String, Vec<u8>>,
    defined: HashMap<String, Component>,
    current: Option<Current>,
}

/// A definition that was refused, or that there is not.
const NO_SUCH: &str = "no component of that name";

type Outcome<T> = Result<T, String>;

fn told(error: impl std::fmt::Debug + std::fmt::Display) -> String {
    format!("{error}\n{error:?}")
}

/// What came of scripts.
#[derive(Default)]
pub(super) struct Came {
    /// Commands that held.
    pub(super) held: usize,
    /// Commands that failed, with place and reason.
    pub(super) failed: Vec<String>,
    /// Components that were refused for one of the reasons that may be.
    pub(super) refused: BTreeMap<&'static str, usize>,
    /// Commands about what was refused.
    pub(super) passed_over: usize,
}

impl Came {
    pub(super) fn add(&mut self, more: Self) {
        self.held += more.held;
        self.passed_over += more.passed_over;
        self.failed.extend(more.failed);
        for (reason, times) in more.refused {
            *self.refused.entry(reason).or_default() += times;
        }
    }
}

/// Runs the script of that name, whose components may be refused for these reasons.
pub(super) async fn run(
    engine: &Engine,
    name: &str,
    text: &str,
    reasons: &[&'static str],
) -> Outcome<Came> {
    let buffer = wast::parser::ParseBuffer::new(text).map_err(told)?;
    let parsed = wast::parser::parse::<wast::Wast<'_>>(&buffer).map_err(told)?;
    let mut wast = Wast::from_ast(name, text, parsed).map_err(told)?;
    let mut linker = Linker::new(engine);
    linker.allow_shadowing(true);
    let mut script = Script {
        engine: engine.clone(),
        linker,
        files: wast.wasms.drain(..).collect(),
        defined: HashMap::new(),
        current: None,
    };
    let mut came = Came::default();
    let mut is_refused = false;
    for command in &wast.commands {
        let speaks = matches!(
            command,
            Command::Action { .. } | Command::AssertReturn { .. } | Command::AssertTrap { .. }
        );
        let begins = matches!(
            command,
            Command::Module { .. } | Command::ModuleInstance { .. }
        );
        if is_refused && speaks {
            came.passed_over += 1;
            continue;
        }
        let Err(error) = script.command(command).await else {
            came.held += 1;
            is_refused &= !begins;
            continue;
        };
        if !came.refused.is_empty() && error == NO_SUCH {
            came.passed_over += 1;
            is_refused = true;
            continue;
        }
        match reasons.iter().find(|reason| error.contains(**reason)) {
            Some(reason) => {
                *came.refused.entry(reason).or_default() += 1;
                is_refused = true;
            }
            None => came
                .failed
                .push(format!("{name}:{}: {error}", command.line())),
        }
    }
    Ok(came)
}

impl Script {
    async fn command(&mut self, command: &Command<'_>) -> Outcome<()> {
        match command {
            Command::Module { name, file, .. } => {
                let component = self.component(file)?;
                self.instantiate(name.as_deref(), &component).await
            }
            Command::ModuleDefinition { name, file, .. } => {
                let component = self.component(file)?;
                let name = name.as_deref().unwrap_or_default();
                self.defined.insert(name.to_owned(), component);
                Ok(())
            }
            Command::ModuleInstance {
                instance, module, ..
            } => {
                let name = module.as_deref().unwrap_or_default();
                let component = self.defined.get(name).cloned();
                let component = component.ok_or(NO_SUCH)?;
                self.instantiate(instance.as_deref(), &component).await
            }
            Command::Action { action, .. } => self.invoke(action).await.map(drop),
            Command::AssertReturn {
                action, expected, ..
            } => {
                let expected: Vec<Val> = expected.iter().map(value).collect::<Outcome<_>>()?;
                let found = self.invoke(action).await?;
                matches(&found, &expected)
            }
            Command::AssertTrap { action, text, .. }
            | Command::AssertExhaustion { action, text, .. } => {
                refused(self.invoke(action).await, text)
            }
            Command::AssertUninstantiable { file, text, .. } => {
                let component = self.component(file)?;
                refused(self.instantiate(None, &component).await, text)
            }
            Command::AssertUnlinkable { file, text, .. } => {
                let component = self.component(file)?;
                refused(self.instantiate(None, &component).await, text)
            }
            Command::AssertInvalid { file, text, .. }
            | Command::AssertMalformed { file, text, .. } => {
                refused(self.component(file).map(drop), text)
            }
            Command::AssertMalformedCustom { .. }
            | Command::AssertInvalidCustom { .. }
            | Command::Register { .. }
            | Command::AssertException { .. }
            | Command::AssertSuspension { .. }
            | Command::Thread { .. }
            | Command::Wait { .. } => Err("a command that no script for components has".to_owned()),
        }
    }

    /// Compiled as a plugin's bytes are.
    fn component(&self, file: &WasmFile<'_>) -> Outcome<Component> {
        let name = match file.module_type {
            WasmFileType::Text => file.binary_filename.as_ref().unwrap_or(&file.filename),
            WasmFileType::Binary => &file.filename,
        };
        let bytes = wat::parse_bytes(&self.files[name.as_ref()]).map_err(told)?;
        Component::new(&self.engine, &bytes).map_err(told)
    }

    async fn instantiate(&mut self, name: Option<&str>, component: &Component) -> Outcome<()> {
        let mut store = Store::new(&self.engine, ());
        store.set_fuel(u64::MAX).map_err(told)?;
        store.set_epoch_deadline(u64::MAX / 2);
        let instance = self.linker.instantiate_async(&mut store, component).await;
        let instance = instance.map_err(told)?;
        if let Some(name) = name {
            // What another component may import by that name: modules and resources.
            let types = component.component_type();
            let mut linker = self.linker.instance(name).map_err(told)?;
            for (export, _) in types.exports(&self.engine) {
                if let Some(module) = instance.get_module(&mut store, export) {
                    linker.module(export, &module).map_err(told)?;
                } else if let Some(resource) = instance.get_resource(&mut store, export) {
                    let dropped = linker.resource(export, resource, |_, _| Ok(()));
                    dropped.map_err(told)?;
                }
            }
        }
        self.current = Some(Current { store, instance });
        Ok(())
    }

    async fn invoke(&mut self, action: &Action<'_>) -> Outcome<Vec<Val>> {
        let Action::Invoke {
            module: None,
            field,
            args,
        } = action
        else {
            return Err("an action that no script for components has".to_owned());
        };
        let current = self.current.as_mut().ok_or("nothing is instantiated")?;
        let function = current.instance.get_func(&mut current.store, &**field);
        let function = function.ok_or_else(|| format!("no function `{field}`"))?;
        let arguments: Vec<Val> = args.iter().map(value).collect::<Outcome<_>>()?;
        let mut results = vec![Val::Bool(false); function.ty(&current.store).results().len()];
        let called = function.call_async(&mut current.store, &arguments, &mut results);
        called.await.map_err(told)?;
        Ok(results)
    }
}

/// That it failed, and for the reason that the script gives.
fn refused<T>(outcome: Outcome<T>, reason: &str) -> Outcome<()> {
    let error = outcome.err().ok_or("it was not refused")?;
    // Where a text cannot be read or written, scripts and wasmtime name other things.
    let same = ["cannot write", "cannot read"]
        .iter()
        .any(|word| reason.contains(word) && error.contains(word));
    if same || error.contains(reason) {
        Ok(())
    } else {
        Err(format!(
            "refused for another reason than `{reason}`: {error}"
        ))
    }
}

fn matches(found: &[Val], expected: &[Val]) -> Outcome<()> {
    if found == expected {
        Ok(())
    } else {
        Err(format!("{found:?}, not {expected:?}"))
    }
}

fn value(given: &Const<'_>) -> Outcome<Val> {
    match given {
        Const::Component(given) => Ok(of_component(given)),
        Const::Core(_) => Err("a value that no component has".to_owned()),
    }
}

fn of_component(given: &ComponentConst<'_>) -> Val {
    let all = |values: &[ComponentConst<'_>]| values.iter().map(of_component).collect();
    let boxed = |value: &Option<Box<ComponentConst<'_>>>| {
        value.as_deref().map(|value| Box::new(of_component(value)))
    };
    match given {
        ComponentConst::Bool(value) => Val::Bool(*value),
        ComponentConst::U8(value) => Val::U8(value.0),
        ComponentConst::S8(value) => Val::S8(value.0),
        ComponentConst::U16(value) => Val::U16(value.0),
        ComponentConst::S16(value) => Val::S16(value.0),
        ComponentConst::U32(value) => Val::U32(value.0),
        ComponentConst::S32(value) => Val::S32(value.0),
        ComponentConst::U64(value) => Val::U64(value.0),
        ComponentConst::S64(value) => Val::S64(value.0),
        ComponentConst::F32(value) => Val::Float32(f32::from_bits(value.0)),
        ComponentConst::F64(value) => Val::Float64(f64::from_bits(value.0)),
        ComponentConst::Char(value) => Val::Char(*value),
        ComponentConst::String(value) => Val::String(value.to_string()),
        ComponentConst::List(values) => Val::List(all(values)),
        ComponentConst::Tuple(values) => Val::Tuple(all(values)),
        ComponentConst::Record(fields) => {
            let field = |(name, value): &(_, ComponentConst<'_>)| -> (String, Val) {
                let name: &std::borrow::Cow<'_, str> = name;
                (name.to_string(), of_component(value))
            };
            Val::Record(fields.iter().map(field).collect())
        }
        ComponentConst::Enum(name) => Val::Enum(name.to_string()),
        ComponentConst::Variant { case, payload } => Val::Variant(case.to_string(), boxed(payload)),
        ComponentConst::Option(value) => Val::Option(boxed(value)),
        ComponentConst::Result(Ok(value)) => Val::Result(Ok(boxed(value))),
        ComponentConst::Result(Err(value)) => Val::Result(Err(boxed(value))),
        ComponentConst::Flags(names) => Val::Flags(names.iter().map(ToString::to_string).collect()),
    }
}
