//! Fusing a component: core modules that are linked to one another become one.
//!
//! Tools that link an interpreter from several modules have these share a table of functions. Whoever makes an instance must fill
//! such a table function by function, thousands of them for Python, in each call; a module's own table is filled as it is used. So
//! everything that is linked within a component becomes one module ([`link`]), but for modules that need it to exist first.
//!
//! What the component imports and exports, and what it computes, stays.

mod link;

use std::collections::{BTreeMap, BTreeSet};

use wasm_encoder::reencode::{Error as Reencoding, Reencode, ReencodeComponent};
use wasm_encoder::{
    Alias, CanonicalFunctionSection, Component, ComponentAliasSection, ComponentTypeSection,
    ExportKind, InstanceSection, ModuleArg, ModuleSection, RawSection,
};
use wasmparser::{
    CanonicalFunction, CanonicalOption, ComponentAlias, ComponentExternalKind, ComponentInstance,
    ComponentOuterAliasKind, ComponentType, ExternalKind, Instance, Parser, Payload, Validator,
};

use link::{ByKind, Kind, Linked, Part, Place, exported};

/// A component whose modules cannot become one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FuseError {
    /// The bytes are no component.
    #[error("this is no component")]
    Invalid(#[from] wasmparser::BinaryReaderError),
    /// Its modules are linked in a way that is not known here.
    #[error("{what} cannot be fused")]
    Unknown {
        /// What.
        what: String,
    },
    /// It could not be written anew.
    #[error("it could not be written anew: {0}")]
    Encode(String),
}

impl FuseError {
    fn unknown(what: &str) -> Self {
        Self::Unknown {
            what: what.to_owned(),
        }
    }
}

impl From<Reencoding<Self>> for FuseError {
    fn from(error: Reencoding<Self>) -> Self {
        match error {
            Reencoding::UserError(error) => error,
            Reencoding::ParseError(error) => Self::Invalid(error),
            Reencoding::CanonicalizedHeapTypeReference
            | Reencoding::InvalidConstExpr
            | Reencoding::InvalidCodeSectionSize
            | Reencoding::UnexpectedNonCoreModuleSection
            | Reencoding::UnexpectedNonComponentSection
            | Reencoding::UnsupportedCoreTypeInComponent => Self::Encode(error.to_string()),
        }
    }
}

/// `component`, with the modules that are linked to one another as one.
pub(crate) fn fuse(component: &[u8]) -> Result<Vec<u8>, FuseError> {
    Validator::new().validate_all(component)?;
    refuse_foreign_modules(component)?;
    let survey = Survey::of(component)?;
    if survey.linked.parts.len() < 2 {
        return Ok(component.to_vec());
    }
    let fused = survey.linked.write(&survey.wanted()?)?;
    let fused = Fusing::new(&survey, fused).component(component)?;
    Validator::new()
        .validate_all(&fused)
        .map_err(|error| FuseError::Encode(error.to_string()))?;
    Ok(fused)
}

/// A core instance of the component.
enum Core<'a> {
    /// It belongs to what becomes one module.
    Part(usize),
    /// It stays beside them.
    Apart {
        module: u32,
        given: Given<'a>,
        /// They need it. Otherwise it needs them, or something that the component makes of them.
        is_first: bool,
    },
    /// It names what others have.
    Names(BTreeMap<&'a str, (Kind, u32)>),
}

/// What a module imports, by the name of whom it is from.
type Given<'a> = BTreeMap<&'a str, BTreeMap<&'a str, (Kind, Origin<'a>)>>;

/// What a core index of the component stands for.
enum Source<'a> {
    /// What an instance exports.
    Export(u32, &'a str),
    /// A function that the component makes: one of its own core functions.
    Made,
}

/// Where something comes from, at the end.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Origin<'a> {
    /// A core function that the component makes.
    Made(u32),
    /// Of an instance that stays.
    Apart(u32, &'a str),
    /// Of the modules that become one.
    Part(Place),
}

/// A component's core instances and what is named among them.
#[derive(Default)]
struct Survey<'a> {
    linked: Linked<'a>,
    /// The functions that the one module imports.
    outside: Vec<Origin<'a>>,
    modules: Vec<&'a [u8]>,
    /// The modules that become one, and those that stay.
    fused: BTreeSet<u32>,
    apart: BTreeSet<u32>,
    instances: Vec<Core<'a>>,
    items: ByKind<Vec<Source<'a>>>,
    /// Functions that the component makes of others, or of a memory.
    leaning: BTreeSet<u32>,
    /// What the component itself names.
    named: Vec<(Kind, u32)>,
}

impl<'a> Survey<'a> {
    fn of(component: &'a [u8]) -> Result<Self, FuseError> {
        let mut survey = Self::default();
        for payload in outermost(component) {
            survey.section(component, payload?)?;
        }
        Ok(survey)
    }

    fn section(&mut self, component: &'a [u8], payload: Payload<'a>) -> Result<(), FuseError> {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "no other section knows of core items"
        )]
        match payload {
            Payload::ModuleSection {
                unchecked_range, ..
            } => {
                let module = component.get(unchecked_range).unwrap_or_default();
                self.modules.push(module);
            }
            Payload::CoreTypeSection(_) => return Err(FuseError::unknown("a core type")),
            Payload::InstanceSection(section) => {
                for instance in section {
                    let instance = self.instance(instance?)?;
                    self.instances.push(instance);
                }
            }
            Payload::ComponentAliasSection(section) => {
                for alias in section {
                    if let ComponentAlias::CoreInstanceExport {
                        kind,
                        instance_index,
                        name,
                    } = alias?
                    {
                        let source = Source::Export(instance_index, name);
                        self.items.get_mut(Kind::of(kind)?).push(source);
                    }
                }
            }
            Payload::ComponentTypeSection(section) => {
                for ty in section {
                    self.named.extend(destructor(&ty?));
                }
            }
            Payload::ComponentCanonicalSection(section) => {
                for function in section {
                    let function = function?;
                    let before = self.named.len();
                    self.named.extend(named(&function)?);
                    if is_core(&function) {
                        if self.named.len() > before {
                            self.leaning.insert(count(&self.items.functions));
                        }
                        self.items.functions.push(Source::Made);
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn instance(&mut self, instance: Instance<'a>) -> Result<Core<'a>, FuseError> {
        let (module, args) = match instance {
            Instance::FromExports(exports) => {
                let names = exports
                    .iter()
                    .map(|it| Ok((it.name, (Kind::of(it.kind)?, it.index))));
                return Ok(Core::Names(names.collect::<Result<_, FuseError>>()?));
            }
            Instance::Instantiate { module_index, args } => (module_index, args),
        };
        let bytes = usize::try_from(module).ok();
        let bytes = bytes.and_then(|at| self.modules.get(at).copied());
        let part = Part::read(bytes.ok_or_else(|| FuseError::unknown("a module from elsewhere"))?)?;

        let mut places = ByKind::<Vec<Place>>::default();
        let (mut given, mut waits) = (Given::new(), false);
        for import in &part.imports {
            let from = args.iter().find(|arg| arg.name == import.module);
            let from = from.ok_or_else(|| FuseError::unknown("an import from nowhere"))?;
            let (kind, origin) = (
                Kind::of_import(import)?,
                self.export(from.index, import.name)?,
            );
            let imports = given.entry(import.module).or_default();
            imports.insert(import.name, (kind, origin));
            match origin {
                Origin::Part(place) => places.get_mut(kind).push(place),
                Origin::Made(_) | Origin::Apart(..)
                    if kind == Kind::Func && !self.waits(origin)? =>
                {
                    places.functions.push(self.outside(origin));
                }
                Origin::Made(_) | Origin::Apart(..) => waits = true,
            }
        }
        // What fills in such a table comes last, and so the table has to come first.
        let is_first = part.is_shim();
        if waits || is_first {
            self.apart.insert(module);
            return Ok(Core::Apart {
                module,
                given,
                is_first,
            });
        }
        // Of a module with two instances there would have to be two.
        if !self.fused.insert(module) {
            return Err(FuseError::unknown("a module with two instances"));
        }
        let at = self.linked.parts.len();
        for kind in [Kind::Func, Kind::Table, Kind::Memory, Kind::Global] {
            let own = (0..part.own(kind)).map(|index| Place::Of { part: at, index });
            places.get_mut(kind).extend(own);
        }
        self.linked.parts.push(part);
        self.linked.places.push(places);
        Ok(Core::Part(at))
    }

    /// Whether something comes after the one module.
    fn waits(&self, origin: Origin<'a>) -> Result<bool, FuseError> {
        Ok(match origin {
            Origin::Made(function) => self.leaning.contains(&function),
            Origin::Apart(instance, _) => {
                !matches!(self.core(instance)?, Core::Apart { is_first: true, .. })
            }
            Origin::Part(_) => false,
        })
    }

    /// Of what the one module imports: its place.
    fn outside(&mut self, origin: Origin<'a>) -> Place {
        let known = self.outside.iter().position(|one| *one == origin);
        let at = known.unwrap_or_else(|| {
            self.outside.push(origin);
            self.outside.len() - 1
        });
        Place::Outside(at)
    }

    fn core(&self, instance: u32) -> Result<&Core<'a>, FuseError> {
        let at = usize::try_from(instance).ok();
        at.and_then(|at| self.instances.get(at))
            .ok_or_else(|| FuseError::unknown("an instance from elsewhere"))
    }

    fn export(&self, instance: u32, name: &'a str) -> Result<Origin<'a>, FuseError> {
        let missing = || FuseError::Unknown {
            what: format!("`{name}`, which no instance exports,"),
        };
        match self.core(instance)? {
            Core::Apart { .. } => Ok(Origin::Apart(instance, name)),
            Core::Names(names) => {
                let (kind, index) = names.get(name).ok_or_else(missing)?;
                self.origin(*kind, *index)
            }
            Core::Part(part) => {
                let of = self.linked.parts.get(*part).ok_or_else(missing)?;
                let (kind, index) = of.export(name).ok_or_else(missing)?;
                match self.linked.place(*part, kind, index)? {
                    Place::Outside(at) => self.outside.get(at).copied().ok_or_else(missing),
                    place @ Place::Of { .. } => Ok(Origin::Part(place)),
                }
            }
        }
    }

    /// What a core index of the component means.
    fn origin(&self, kind: Kind, index: u32) -> Result<Origin<'a>, FuseError> {
        let at = usize::try_from(index).unwrap_or(usize::MAX);
        match self.items.get(kind).get(at) {
            Some(Source::Export(instance, name)) => self.export(*instance, name),
            Some(Source::Made) => Ok(Origin::Made(index)),
            None => Err(FuseError::unknown("an index out of its space")),
        }
    }

    /// What others than the modules that become one need of them.
    fn wanted(&self) -> Result<BTreeSet<(Kind, Place)>, FuseError> {
        let mut wanted = BTreeSet::new();
        let mut want = |kind, origin| {
            if let Origin::Part(place) = origin {
                wanted.insert((kind, place));
            }
        };
        for (kind, index) in &self.named {
            want(*kind, self.origin(*kind, *index)?);
        }
        for instance in &self.instances {
            if let Core::Apart { given, .. } = instance {
                for (kind, origin) in given.values().flat_map(BTreeMap::values) {
                    want(*kind, *origin);
                }
            }
        }
        Ok(wanted)
    }
}

/// Refuses what names a core module otherwise than to make its instance, at any depth: modules get other numbers here.
fn refuse_foreign_modules(component: &[u8]) -> Result<(), FuseError> {
    let is_module = |kind| kind == ComponentExternalKind::Module;
    for payload in Parser::new(0).parse_all(component) {
        let mut named = false;
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "no other section can name a module beside its instances"
        )]
        match payload? {
            Payload::ComponentImportSection(section) => {
                for import in section {
                    named |= is_module(import?.ty.kind());
                }
            }
            Payload::ComponentExportSection(section) => {
                for export in section {
                    named |= is_module(export?.kind);
                }
            }
            Payload::ComponentInstanceSection(section) => {
                for instance in section {
                    named |= match instance? {
                        ComponentInstance::Instantiate { args, .. } => {
                            args.iter().any(|arg| is_module(arg.kind))
                        }
                        ComponentInstance::FromExports(exports) => {
                            exports.iter().any(|export| is_module(export.kind))
                        }
                    };
                }
            }
            Payload::ComponentAliasSection(section) => {
                for alias in section {
                    named |= match alias? {
                        ComponentAlias::Outer { kind, .. } => {
                            kind == ComponentOuterAliasKind::CoreModule
                        }
                        ComponentAlias::InstanceExport { kind, .. } => is_module(kind),
                        ComponentAlias::CoreInstanceExport { .. } => false,
                    };
                }
            }
            _ => {}
        }
        if named {
            return Err(FuseError::unknown("a module from elsewhere"));
        }
    }
    Ok(())
}

/// The sections of the component itself, and of none that lies in it.
pub(crate) fn outermost(
    component: &[u8],
) -> impl Iterator<Item = Result<Payload<'_>, wasmparser::BinaryReaderError>> {
    let mut depth = 0_usize;
    Parser::new(0)
        .parse_all(component)
        .filter(move |payload| match payload {
            Ok(Payload::ModuleSection { .. } | Payload::ComponentSection { .. }) => {
                depth += 1;
                depth == 1
            }
            Ok(Payload::End(_)) => {
                depth = depth.saturating_sub(1);
                false
            }
            Ok(Payload::Version { .. }) => false,
            _ => depth == 0,
        })
}

fn count<T>(items: &[T]) -> u32 {
    u32::try_from(items.len()).unwrap_or(u32::MAX)
}

/// The core items that a canonical function names.
fn named(function: &CanonicalFunction) -> Result<Vec<(Kind, u32)>, FuseError> {
    let mut named = Vec::new();
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the others are of components that the engine does not load"
    )]
    let options = match function {
        CanonicalFunction::Lift {
            core_func_index,
            options,
            ..
        } => {
            named.push((Kind::Func, *core_func_index));
            options
        }
        CanonicalFunction::Lower { options, .. } => options,
        CanonicalFunction::ResourceNew { .. }
        | CanonicalFunction::ResourceDrop { .. }
        | CanonicalFunction::ResourceRep { .. } => return Ok(named),
        _ => return Err(FuseError::unknown("an asynchronous function")),
    };
    for option in options {
        match *option {
            CanonicalOption::Memory(index) => named.push((Kind::Memory, index)),
            CanonicalOption::Realloc(index)
            | CanonicalOption::PostReturn(index)
            | CanonicalOption::Callback(index) => named.push((Kind::Func, index)),
            CanonicalOption::UTF8 | CanonicalOption::UTF16 | CanonicalOption::CompactUTF16 => {}
            CanonicalOption::Async | CanonicalOption::CoreType(_) | CanonicalOption::Gc => {
                return Err(FuseError::unknown("an asynchronous function"));
            }
        }
    }
    Ok(named)
}

/// The core function that ends a resource of that type.
const fn destructor(ty: &ComponentType<'_>) -> Option<(Kind, u32)> {
    match ty {
        ComponentType::Resource {
            dtor: Some(index), ..
        } => Some((Kind::Func, *index)),
        ComponentType::Resource { dtor: None, .. }
        | ComponentType::Defined(_)
        | ComponentType::Func(_)
        | ComponentType::Component(_)
        | ComponentType::Instance(_) => None,
    }
}

/// Whether it is a core function, and not one of the component's.
const fn is_core(function: &CanonicalFunction) -> bool {
    !matches!(function, CanonicalFunction::Lift { .. })
}

/// Writes the component anew.
struct Fusing<'s, 'a> {
    survey: &'s Survey<'a>,
    /// Until it is written.
    fused: Option<link::Fused>,
    component: Component,
    /// How many core items, modules and instances are written.
    written: ByKind<u32>,
    modules: u32,
    instances: u32,
    /// The instance of what became one.
    whole: u32,
    /// Of what is written: its index.
    there: BTreeMap<(Kind, Origin<'a>), u32>,
    modules_there: BTreeMap<u32, u32>,
    instances_there: BTreeMap<u32, u32>,
}

impl<'s, 'a> Fusing<'s, 'a> {
    fn new(survey: &'s Survey<'a>, fused: link::Fused) -> Self {
        Self {
            survey,
            fused: Some(fused),
            component: Component::new(),
            written: ByKind::default(),
            modules: 0,
            instances: 0,
            whole: 0,
            there: BTreeMap::new(),
            modules_there: BTreeMap::new(),
            instances_there: BTreeMap::new(),
        }
    }

    fn component(mut self, whole: &'a [u8]) -> Result<Vec<u8>, FuseError> {
        let (mut modules, mut instances) = (0_u32.., 0_u32..);
        let mut functions = 0;
        for payload in outermost(whole) {
            let payload = payload?;
            #[expect(
                clippy::wildcard_enum_match_arm,
                reason = "no other section names a core item"
            )]
            match payload {
                Payload::ModuleSection {
                    unchecked_range, ..
                } => {
                    let module = modules.next().unwrap_or_default();
                    if self.survey.apart.contains(&module) {
                        let data = whole.get(unchecked_range).unwrap_or_default();
                        let id = wasm_encoder::ComponentSectionId::CoreModule.into();
                        self.component.section(&RawSection { id, data });
                        self.modules_there.insert(module, self.modules);
                        self.modules += 1;
                    }
                }
                Payload::InstanceSection(section) => {
                    for instance in instances.by_ref().take(section.count() as usize) {
                        self.apart(instance)?;
                    }
                }
                Payload::ComponentAliasSection(section) => {
                    let mut aliases = ComponentAliasSection::new();
                    for alias in section {
                        let alias = alias?;
                        if let ComponentAlias::CoreInstanceExport { kind, .. } = alias {
                            functions += u32::from(kind == ExternalKind::Func);
                        } else {
                            aliases.alias(self.component_alias(alias)?);
                        }
                    }
                    if !aliases.is_empty() {
                        self.component.section(&aliases);
                    }
                }
                Payload::ComponentTypeSection(section) => {
                    for ty in section {
                        let ty = ty?;
                        if let Some((kind, index)) = destructor(&ty) {
                            self.have(kind, self.survey.origin(kind, index)?)?;
                        }
                        let mut types = ComponentTypeSection::new();
                        self.parse_component_type(types.ty(), ty)?;
                        self.component.section(&types);
                    }
                }
                Payload::ComponentCanonicalSection(section) => {
                    for function in section {
                        let function = function?;
                        let is_core = is_core(&function);
                        self.canonical(function)?;
                        if is_core {
                            self.place(Kind::Func, Origin::Made(functions));
                            functions += 1;
                        }
                    }
                }
                // Its names are by index, and would be others'.
                Payload::CustomSection(section) if section.name() == "component-name" => {}
                payload => {
                    if let Some((id, range)) = payload.as_section() {
                        let data = whole.get(range).unwrap_or_default();
                        self.component.section(&RawSection { id, data });
                    }
                }
            }
        }
        Ok(self.component.finish())
    }

    /// A function that the component makes, or lifts.
    fn canonical(&mut self, function: CanonicalFunction) -> Result<(), FuseError> {
        for (kind, index) in named(&function)? {
            self.have(kind, self.survey.origin(kind, index)?)?;
        }
        let mut section = CanonicalFunctionSection::new();
        self.parse_component_canonical(&mut section, function)?;
        self.component.section(&section);
        Ok(())
    }

    /// The instance, if it is one that stays.
    fn apart(&mut self, instance: u32) -> Result<(), FuseError> {
        let survey = self.survey;
        let Core::Apart { module, given, .. } = survey.core(instance)? else {
            return Ok(());
        };
        let mut args = Vec::new();
        for (from, imports) in given {
            let mut names = Vec::new();
            for (name, (kind, origin)) in imports {
                names.push((*name, ExportKind::from(*kind), self.have(*kind, *origin)?));
            }
            let mut section = InstanceSection::new();
            section.export_items(names);
            self.component.section(&section);
            args.push((*from, ModuleArg::Instance(self.instances)));
            self.instances += 1;
        }
        let module = self.modules_there.get(module).copied();
        let module = module.ok_or_else(|| FuseError::unknown("a module from elsewhere"))?;
        let mut section = InstanceSection::new();
        section.instantiate(module, args);
        self.component.section(&section);
        self.instances_there.insert(instance, self.instances);
        self.instances += 1;
        Ok(())
    }

    /// Sees to it that something is in the component. Gives its index.
    fn have(&mut self, kind: Kind, origin: Origin<'a>) -> Result<u32, FuseError> {
        if let Some(there) = self.there.get(&(kind, origin)) {
            return Ok(*there);
        }
        let early = || FuseError::unknown("a function that is used before it is made");
        let (instance, name) = match origin {
            Origin::Made(_) => return Err(early()),
            Origin::Part(place) => {
                if let Some(fused) = self.fused.take() {
                    self.whole(&fused)?;
                }
                (self.whole, exported(kind, place))
            }
            Origin::Apart(instance, name) => {
                let instance = self.instances_there.get(&instance).copied();
                (instance.ok_or_else(early)?, name.to_owned())
            }
        };
        let mut aliases = ComponentAliasSection::new();
        aliases.alias(Alias::CoreInstanceExport {
            instance,
            kind: ExportKind::from(kind),
            name: &name,
        });
        self.component.section(&aliases);
        Ok(self.place(kind, origin))
    }

    /// Notes that the next of its kind was written. Gives its index.
    fn place(&mut self, kind: Kind, origin: Origin<'a>) -> u32 {
        let written = self.written.get_mut(kind);
        let at = *written;
        *written += 1;
        self.there.insert((kind, origin), at);
        at
    }

    /// The one module, and its instance.
    fn whole(&mut self, fused: &link::Fused) -> Result<(), FuseError> {
        let mut names = Vec::new();
        for at in &fused.outside {
            let origin = self.survey.outside.get(*at).copied();
            let origin = origin.ok_or_else(|| FuseError::unknown("an index out of its space"))?;
            let index = self.have(Kind::Func, origin)?;
            names.push((at.to_string(), ExportKind::Func, index));
        }
        self.component.section(&ModuleSection(&fused.module));
        let mut section = InstanceSection::new();
        section.export_items(
            names
                .iter()
                .map(|(name, kind, at)| (name.as_str(), *kind, *at)),
        );
        section.instantiate(self.modules, [("", ModuleArg::Instance(self.instances))]);
        self.component.section(&section);
        self.modules += 1;
        self.instances += 2;
        self.whole = self.instances - 1;
        Ok(())
    }

    fn index(&self, kind: Kind, index: u32) -> Result<u32, Reencoding<FuseError>> {
        let found = self.survey.origin(kind, index).and_then(|origin| {
            let there = self.there.get(&(kind, origin)).copied();
            there.ok_or_else(|| FuseError::unknown("a function that is used before it is made"))
        });
        found.map_err(Reencoding::UserError)
    }
}

impl Reencode for Fusing<'_, '_> {
    type Error = FuseError;

    fn function_index(&mut self, index: u32) -> Result<u32, Reencoding<FuseError>> {
        self.index(Kind::Func, index)
    }

    fn memory_index(&mut self, index: u32) -> Result<u32, Reencoding<FuseError>> {
        self.index(Kind::Memory, index)
    }
}

impl ReencodeComponent for Fusing<'_, '_> {}

#[cfg(test)]
mod tests {
    use super::*;

    /// A component as a linker makes it of two libraries: a module that brings the memory, the table and the places, a shim for what
    /// needs the memory to exist, the libraries, and a module that fills the shim in.
    fn linked(library: &str) -> Vec<u8> {
        let text = format!(
            r#"(component
                (import "nephron:plugin/diagnostics@0.1.0" (instance $said (export "log" (func (param "x" string)))))
                (import "nephron:plugin/keys@0.1.0" (instance $keys (export "key" (type (sub resource)))))
                (core module $shim
                    (table (export "$imports") 2 2 funcref)
                    (type $log (func (param i32 i32)))
                    (type $end (func (param i32)))
                    (func (export "1") (param i32)
                        (call_indirect (type $end) (local.get 0) (i32.const 1)))
                    (func (export "0") (param i32 i32)
                        (call_indirect (type $log) (local.get 0) (local.get 1) (i32.const 0))))
                (core module $main
                    (memory (export "memory") 1)
                    (table (export "table") 6 funcref)
                    (global (export "one:base") i32 (i32.const 2))
                    (global (export "two:base") i32 (i32.const 4))
                    (global (export "two:data") (mut i32) (i32.const 64))
                    (global (export "stack") (mut i32) (i32.const 1024))
                    (data (i32.const 64) "told"))
                (core module $one
                    (import "env" "memory" (memory 1))
                    (import "env" "table" (table 1 funcref))
                    (import "env" "base" (global $base i32))
                    (import "env" "stack" (global $stack (mut i32)))
                    (type $binary (func (param i32 i32) (result i32)))
                    (func $add (export "add") (type $binary)
                        (global.set $stack (i32.add (local.get 0) (local.get 1)))
                        (global.get $stack))
                    (func (export "nobody's") (result i32) (global.get $base))
                    (elem (global.get $base) func $add))
                (core module $two
                    (import "env" "memory" (memory 1))
                    (import "env" "table" (table 1 funcref))
                    (import "env" "base" (global $base i32))
                    (import "env" "data" (global $data (mut i32)))
                    (import "said" "log" (func $log (param i32 i32)))
                    (import "keys" "drop" (func $drop (param i32)))
                    (import "own" "new" (func $new (param i32) (result i32)))
                    (import "one" "add" (func $add (param i32 i32) (result i32)))
                    (type $unary (func (param i32)))
                    (type $binary (func (param i32 i32) (result i32)))
                    (func $let_go (call $drop (call $new (i32.const 1))))
                    (func (export "end") (param i32))
                    (func (export "answer") (param i32) (result i32)
                        (call $log (global.get $data) (i32.const 4))
                        (call_indirect (type $binary) (local.get 0) (call $add (i32.const 1) (i32.const 2)) (i32.const 2)))
                    (elem (global.get $base) func $let_go)
                    {library})
                (core module $fixups
                    (import "" "$imports" (table 2 2 funcref))
                    (import "" "0" (func $log (param i32 i32)))
                    (import "" "1" (func $end (param i32)))
                    (elem (i32.const 0) func $log $end))
                (core instance $shims (instantiate $shim))
                (core instance $m (instantiate $main))
                (alias core export $m "memory" (core memory $memory))
                (core instance $env1 (export "memory" (memory $memory)) (export "table" (table $m "table"))
                    (export "base" (global $m "one:base")) (export "stack" (global $m "stack")))
                (core instance $i1 (instantiate $one (with "env" (instance $env1))))
                (alias export $keys "key" (type $key))
                (core func $drop (canon resource.drop $key))
                (type $own (resource (rep i32) (dtor (func $shims "1"))))
                (core func $new (canon resource.new $own))
                (core instance $env2 (export "memory" (memory $memory)) (export "table" (table $m "table"))
                    (export "base" (global $m "two:base")) (export "data" (global $m "two:data")))
                (core instance $i2 (instantiate $two (with "env" (instance $env2)) (with "one" (instance $i1))
                    (with "said" (instance (export "log" (func $shims "0"))))
                    (with "keys" (instance (export "drop" (func $drop))))
                    (with "own" (instance (export "new" (func $new))))))
                (core func $log (canon lower (func $said "log") (memory $memory)))
                (core instance (instantiate $fixups (with "" (instance
                    (export "$imports" (table $shims "$imports")) (export "0" (func $log))
                    (export "1" (func $i2 "end"))))))
                (func $answer (param "x" u32) (result u32) (canon lift (core func $i2 "answer")))
                (instance $out (export "answer" (func $answer)))
                (export "nephron:plugin/plugin@0.1.0" (instance $out)))"#
        );
        wat::parse_str(text).unwrap()
    }

    fn modules(component: &[u8]) -> Vec<&[u8]> {
        let mut modules = Vec::new();
        for payload in outermost(component) {
            if let Payload::ModuleSection {
                unchecked_range, ..
            } = payload.unwrap()
            {
                modules.push(&component[unchecked_range]);
            }
        }
        modules
    }

    #[test]
    fn what_is_linked_is_one_module_whose_table_is_known_beforehand() {
        let fused = fuse(&linked("")).unwrap();
        let [shim, fixups, whole] = modules(&fused)[..] else {
            panic!("there are {} modules", modules(&fused).len());
        };
        assert!(imports_of(shim).is_empty());
        assert_eq!(
            imports_of(fixups),
            ["$imports", "0", "1"],
            "what needs the memory stays"
        );
        assert_eq!(
            imports_of(whole),
            ["0", "1", "2"],
            "what is promised, the end of a key and the beginning of a resource"
        );

        let (mut offsets, mut functions, mut globals, mut tables) = (Vec::new(), 0, 0, 0);
        for payload in Parser::new(0).parse_all(whole) {
            let payload = payload.unwrap();
            if let Payload::ElementSection(section) = payload {
                for element in section {
                    if let wasmparser::ElementKind::Active { offset_expr, .. } =
                        element.unwrap().kind
                    {
                        let mut operators = offset_expr.get_operators_reader();
                        offsets.push(format!("{:?}", operators.read().unwrap()));
                    }
                }
            } else if let Payload::FunctionSection(section) = payload {
                functions = section.count();
            } else if let Payload::GlobalSection(section) = payload {
                globals = section.count();
            } else if let Payload::TableSection(section) = payload {
                tables = section.count();
            }
        }
        assert_eq!(
            offsets,
            ["I32Const { value: 2 }", "I32Const { value: 4 }"],
            "the engine can fill this table as it is used"
        );
        assert_eq!(
            (functions, globals, tables),
            (4, 1, 1),
            "`nobody's` goes, and all globals but the one that is set"
        );
    }

    fn imports_of(module: &[u8]) -> Vec<String> {
        let mut names = Vec::new();
        for payload in Parser::new(0).parse_all(module) {
            if let Payload::ImportSection(section) = payload.unwrap() {
                let imports = section.into_imports();
                names.extend(imports.map(|import| import.unwrap().name.to_owned()));
            }
        }
        names
    }

    #[test]
    fn the_component_imports_and_exports_what_it_did() {
        let linked = linked("");
        let outside = |component: &[u8]| {
            let mut names = Vec::new();
            for payload in outermost(component) {
                let payload = payload.unwrap();
                if let Payload::ComponentImportSection(section) = payload {
                    names.extend(
                        section
                            .into_iter()
                            .map(|it| it.unwrap().name.name.to_owned()),
                    );
                } else if let Payload::ComponentExportSection(section) = payload {
                    names.extend(
                        section
                            .into_iter()
                            .map(|it| it.unwrap().name.name.to_owned()),
                    );
                }
            }
            names
        };
        let fused = fuse(&linked).unwrap();
        assert_eq!(outside(&fused), outside(&linked));
        // What is one module already stays as it is.
        assert_eq!(fuse(&fused).unwrap(), fused);
    }

    #[test]
    fn what_cannot_be_fused_is_named() {
        let starts = linked("(start $let_go)");
        assert_eq!(
            fuse(&starts).unwrap_err().to_string(),
            "a module that starts by itself cannot be fused"
        );
        let twice = "(component (core module $m) (core instance (instantiate $m)) (core instance (instantiate $m)))";
        assert_eq!(
            fuse(&wat::parse_str(twice).unwrap())
                .unwrap_err()
                .to_string(),
            "a module with two instances cannot be fused"
        );
        let outer = "(component (core module $m) (component (alias outer 1 $m (core module $n))))";
        assert_eq!(
            fuse(&wat::parse_str(outer).unwrap())
                .unwrap_err()
                .to_string(),
            "a module from elsewhere cannot be fused"
        );
        assert!(matches!(fuse(b"no").unwrap_err(), FuseError::Invalid(_)));
    }
}
