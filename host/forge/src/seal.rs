//! Sealing a component that a language's tool made: what it imports beside its world becomes functions that trap.
//!
//! The tools can do that themselves, by composing the plugin with a component of stubs; but a composition holds its
//! modules two levels deep, where the engine cannot freeze them. Here the plugin stays one component with its modules
//! at the top, and the functions that it would have had from WASI come from one module of ours, each an `unreachable`.
//!
//! What the tool does wrong with resources is mended on the way, by modules that stand before single functions ([`crate::mend`]).

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::ops::Range;

use wasm_encoder::reencode::{Error as Reencoding, Reencode, ReencodeComponent};
use wasm_encoder::{
    Alias, CanonicalFunctionSection, CodeSection, Component, ComponentAliasSection,
    ComponentExportSection, ComponentImportSection, ComponentTypeSection, ExportKind,
    ExportSection, Function, FunctionSection, InstanceSection, Module, ModuleArg, ModuleSection,
    RawSection, TypeSection,
};
use wasmparser::{
    CanonicalFunction, CanonicalOption, ComponentAlias, ComponentExternalKind, ComponentTypeRef,
    CompositeInnerType, Encoding, Parser, Payload, Validator,
};

use crate::fuse::outermost;
use crate::mend::{FINISH, Lent, Mend};

/// A component that cannot be sealed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// The bytes are no component.
    #[error("this is no component")]
    Invalid(#[source] wasmparser::BinaryReaderError),
    /// No component in it has modules of its own.
    #[error("no component in it has a module")]
    NoPlugin,
    /// It imports something else than instances, or in a way that is not known here.
    #[error("{what} cannot be stood in for")]
    Unknown {
        /// What.
        what: String,
    },
    /// It could not be written anew.
    #[error("it could not be written anew: {0}")]
    Encode(String),
}

/// The plugin in `bytes`, importing nothing that does not begin with `kept`, and exporting nothing else. What `lent` names lets
/// go of what it is lent.
pub(crate) fn seal(bytes: &[u8], kept: &str, lent: &[Lent]) -> Result<Vec<u8>, SealError> {
    let plugin = bytes
        .get(innermost(bytes)?)
        .ok_or(SealError::NoPlugin)?
        .to_vec();
    let (lowered, mended) = signatures(&plugin, kept, lent)?;
    let mut sealed = Component::new();
    let (mut modules, mut instances) = (0, 0);
    if !lowered.is_empty() {
        sealed.section(&ModuleSection(&traps(&lowered)));
        let mut section = InstanceSection::new();
        section.instantiate(0, std::iter::empty::<(&str, ModuleArg)>());
        sealed.section(&section);
        (modules, instances) = (1, 1);
    }
    let mending = modules;
    for (name, mend) in &mended {
        sealed.section(&ModuleSection(&mend.module(name)));
        modules += 1;
    }
    let mut sealing = Sealing {
        spaces: Spaces::new(kept, lent),
        depth: 0,
        modules,
        instances,
        mending: mending..modules,
        mended_at: Vec::new(),
        let_go: BTreeSet::new(),
        named_gone: false,
        unknown: None,
    };
    sealing
        .parse_component(&mut sealed, Parser::new(0), &plugin)
        .map_err(|error| SealError::Encode(error.to_string()))?;
    if let Some(what) = sealing.unknown {
        return Err(SealError::Unknown { what });
    }
    let sealed = sealed.finish();
    Validator::new()
        .validate_all(&sealed)
        .map_err(|error| SealError::Encode(error.to_string()))?;
    Ok(sealed)
}

/// Where the component lies that has modules: the whole, or the first of those that a composition holds.
fn innermost(bytes: &[u8]) -> Result<Range<usize>, SealError> {
    let (mut open, mut whole) = (Vec::new(), None);
    for payload in Parser::new(0).parse_all(bytes) {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "no other section opens or fills a space that is counted here"
        )]
        match payload.map_err(SealError::Invalid)? {
            Payload::Version {
                encoding: Encoding::Component,
                ..
            } if whole.is_none() => {
                whole = Some(0..bytes.len());
                open.push(0..bytes.len());
            }
            Payload::ComponentSection {
                unchecked_range, ..
            } => open.push(unchecked_range),
            Payload::ModuleSection { .. } => return open.pop().ok_or(SealError::NoPlugin),
            Payload::End(_) => {
                open.pop();
            }
            _ => {}
        }
    }
    Err(SealError::NoPlugin)
}

/// Parameters and results of a core function.
type Signature = (Vec<wasmparser::ValType>, Vec<wasmparser::ValType>);

/// Functions that are mended, by name.
type Mended = Vec<(String, Mend)>;

/// The core functions that stand for what is not kept, by their index; and the names of those that are mended, in order.
fn signatures(
    plugin: &[u8],
    kept: &str,
    lent: &[Lent],
) -> Result<(BTreeMap<u32, Signature>, Mended), SealError> {
    let types = Validator::new()
        .validate_all(plugin)
        .map_err(SealError::Invalid)?;
    let types = types.as_ref();
    let mut spaces = Spaces::new(kept, lent);
    let mut found = BTreeMap::new();
    let mut mended = Mended::new();
    // A nested component's own spaces are nobody's business here.
    for payload in outermost(plugin) {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "no other section fills a space that is counted here"
        )]
        match payload.map_err(SealError::Invalid)? {
            Payload::ComponentImportSection(section) => {
                for import in section {
                    let import = import.map_err(SealError::Invalid)?;
                    spaces.import(import.name.name, &import.ty);
                }
            }
            Payload::ComponentTypeSection(section) => {
                for _ in section {
                    spaces.types += 1;
                }
            }
            Payload::ComponentInstanceSection(section) => {
                spaces.instances += section.count();
            }
            Payload::ComponentExportSection(section) => {
                for export in section {
                    let export = export.map_err(SealError::Invalid)?;
                    spaces.count(export.kind);
                }
            }
            Payload::ComponentAliasSection(section) => {
                for alias in section {
                    let alias = alias.map_err(SealError::Invalid)?;
                    if let Some(needed) = spaces.mend(&alias) {
                        let name = needed.name;
                        if mended.iter().any(|(other, _)| other == name) {
                            let what = format!("a second `{name}`");
                            return Err(SealError::Unknown { what });
                        }
                        mended.push((name.to_owned(), needed.mend));
                    }
                    spaces.alias(&alias);
                }
            }
            Payload::ComponentCanonicalSection(section) => {
                for function in section {
                    let function = function.map_err(SealError::Invalid)?;
                    let at = spaces.core_functions;
                    if spaces.canonical(&function) {
                        let ty = types.get(types.core_function_at(at));
                        let ty = ty.map(|ty| &ty.composite_type.inner);
                        let Some(CompositeInnerType::Func(ty)) = ty else {
                            return Err(SealError::NoPlugin);
                        };
                        found.insert(at, (ty.params().to_vec(), ty.results().to_vec()));
                    }
                }
            }
            _ => {}
        }
    }
    let asks = mended.iter().any(|(_, mend)| *mend == Mend::AsksFirst);
    if asks && spaces.represented.len() > 1 {
        let what = "a second resource of its own".to_owned();
        return Err(SealError::Unknown { what });
    }
    let is_mended = |lent: &&Lent| mended.iter().any(|(name, _)| *name == lent.function);
    if let Some(Lent {
        function, resource, ..
    }) = lent.iter().find(|lent| !is_mended(lent))
    {
        let what = format!("`{function}`, which must let go of its `{resource}`,");
        return Err(SealError::Unknown { what });
    }
    Ok((found, mended))
}

/// One exported function for each signature, named by its index, that traps.
fn traps(signatures: &BTreeMap<u32, Signature>) -> Module {
    let (mut types, mut functions) = (TypeSection::new(), FunctionSection::new());
    let (mut exports, mut code) = (ExportSection::new(), CodeSection::new());
    for (place, (index, (parameters, results))) in (0..).zip(signatures) {
        let plain = |types: &[wasmparser::ValType]| -> Vec<wasm_encoder::ValType> {
            types.iter().copied().filter_map(numeric).collect()
        };
        types.ty().function(plain(parameters), plain(results));
        functions.function(place);
        exports.export(&index.to_string(), ExportKind::Func, place);
        let mut body = Function::new([]);
        body.instructions().unreachable().end();
        code.function(&body);
    }
    let mut module = Module::new();
    module.section(&types).section(&functions);
    module.section(&exports).section(&code);
    module
}

/// Flat signatures of the canonical ABI hold numbers only.
fn numeric(ty: wasmparser::ValType) -> Option<wasm_encoder::ValType> {
    match ty {
        wasmparser::ValType::I32 => Some(wasm_encoder::ValType::I32),
        wasmparser::ValType::I64 => Some(wasm_encoder::ValType::I64),
        wasmparser::ValType::F32 => Some(wasm_encoder::ValType::F32),
        wasmparser::ValType::F64 => Some(wasm_encoder::ValType::F64),
        wasmparser::ValType::V128 | wasmparser::ValType::Ref(_) => None,
    }
}

/// A module of ours that must stand before a core function.
struct Needed<'n> {
    /// The instance that has the function.
    own: u32,
    /// The function's name.
    name: &'n str,
    mend: Mend,
    /// What the module is given beside the function.
    given: Vec<(&'static str, ExportKind, u32)>,
}

/// Whether it names what is called when the host has read the answer.
const fn is_afterwards(option: CanonicalOption) -> bool {
    match option {
        CanonicalOption::PostReturn(_) => true,
        CanonicalOption::UTF8
        | CanonicalOption::UTF16
        | CanonicalOption::CompactUTF16
        | CanonicalOption::Memory(_)
        | CanonicalOption::Realloc(_)
        | CanonicalOption::Async
        | CanonicalOption::Callback(_)
        | CanonicalOption::CoreType(_)
        | CanonicalOption::Gc => false,
    }
}

/// How many of each kind there are so far, and which of them go.
struct Spaces<'a> {
    kept: &'a str,
    lent: &'a [Lent],
    types: u32,
    instances: u32,
    functions: u32,
    core_functions: u32,
    core_instances: u32,
    core_memories: u32,
    /// The core function that gives the representation of a resource of the plugin's own, by that resource.
    represented: BTreeMap<u32, u32>,
    imported: BTreeSet<u32>,
    /// Names of imported resources, or of other types that are imported.
    names: BTreeMap<u32, String>,
    /// The core function that lets go of an imported resource, by that resource's name.
    dropped: BTreeMap<String, u32>,
    gone_types: BTreeSet<u32>,
    gone_instances: BTreeSet<u32>,
    gone_functions: BTreeSet<u32>,
}

impl<'a> Spaces<'a> {
    const fn new(kept: &'a str, lent: &'a [Lent]) -> Self {
        Self {
            kept,
            lent,
            types: 0,
            instances: 0,
            functions: 0,
            core_functions: 0,
            core_instances: 0,
            core_memories: 0,
            represented: BTreeMap::new(),
            imported: BTreeSet::new(),
            names: BTreeMap::new(),
            dropped: BTreeMap::new(),
            gone_types: BTreeSet::new(),
            gone_instances: BTreeSet::new(),
            gone_functions: BTreeSet::new(),
        }
    }

    fn count(&mut self, kind: ComponentExternalKind) {
        match kind {
            ComponentExternalKind::Type => self.types += 1,
            ComponentExternalKind::Instance => self.instances += 1,
            ComponentExternalKind::Func => self.functions += 1,
            ComponentExternalKind::Module
            | ComponentExternalKind::Component
            | ComponentExternalKind::Value => {}
        }
    }

    /// Whether the import stays.
    fn import(&mut self, name: &str, ty: &ComponentTypeRef) -> bool {
        let stays = name.starts_with(self.kept);
        if let ComponentTypeRef::Instance(_) = ty {
            let instances = if stays {
                &mut self.imported
            } else {
                &mut self.gone_instances
            };
            instances.insert(self.instances);
        }
        self.count(ty.kind());
        stays
    }

    /// Whether the alias stays.
    fn alias(&mut self, alias: &ComponentAlias<'_>) -> bool {
        match alias {
            ComponentAlias::InstanceExport {
                kind,
                instance_index,
                name,
            } => {
                if let (ComponentExternalKind::Type, true) =
                    (kind, self.imported.contains(instance_index))
                {
                    self.names.insert(self.types, (*name).to_owned());
                }
                let goes = self.gone_instances.contains(instance_index);
                if goes {
                    self.go(*kind);
                }
                self.count(*kind);
                !goes
            }
            ComponentAlias::CoreInstanceExport { kind, .. } => {
                self.core_functions += u32::from(matches!(kind, wasmparser::ExternalKind::Func));
                self.core_memories += u32::from(matches!(kind, wasmparser::ExternalKind::Memory));
                true
            }
            ComponentAlias::Outer { kind, .. } => {
                self.types += u32::from(matches!(kind, wasmparser::ComponentOuterAliasKind::Type));
                true
            }
        }
    }

    /// What must be mended where the alias is of a core function, if there is what that takes.
    fn mend<'n>(&self, alias: &ComponentAlias<'n>) -> Option<Needed<'n>> {
        let ComponentAlias::CoreInstanceExport {
            kind: wasmparser::ExternalKind::Func,
            instance_index: own,
            name,
        } = *alias
        else {
            return None;
        };
        if name.starts_with(self.kept) && name.ends_with(FINISH) {
            let representation = *self.represented.values().next()?;
            return Some(Needed {
                own,
                name,
                mend: Mend::AsksFirst,
                given: vec![("rep", ExportKind::Func, representation)],
            });
        }
        let lent = self.lent.iter().find(|lent| lent.function == name)?;
        let dropped = *self.dropped.get(&lent.resource)?;
        Some(Needed {
            own,
            name,
            mend: Mend::LetsGo {
                offset: lent.offset,
            },
            given: vec![
                ("drop", ExportKind::Func, dropped),
                // There is one alone, so the parameters lie there.
                (
                    "memory",
                    ExportKind::Memory,
                    self.core_memories.checked_sub(1).filter(|&at| at == 0)?,
                ),
            ],
        })
    }

    /// The next of that kind goes. Gives whether that is known here.
    fn go(&mut self, kind: ComponentExternalKind) -> bool {
        match kind {
            ComponentExternalKind::Type => self.gone_types.insert(self.types),
            ComponentExternalKind::Instance => self.gone_instances.insert(self.instances),
            ComponentExternalKind::Func => self.gone_functions.insert(self.functions),
            ComponentExternalKind::Module
            | ComponentExternalKind::Component
            | ComponentExternalKind::Value => false,
        }
    }

    /// Whether the function goes.
    fn canonical(&mut self, function: &CanonicalFunction) -> bool {
        if let CanonicalFunction::Lift { .. } = function {
            self.functions += 1;
            return false;
        }
        if let CanonicalFunction::ResourceRep { resource } = function {
            self.represented.insert(*resource, self.core_functions);
        }
        if let CanonicalFunction::ResourceDrop { resource } = function
            && let Some(name) = self.names.get(resource)
        {
            self.dropped.insert(name.clone(), self.core_functions);
        }
        self.core_functions += 1;
        if let CanonicalFunction::Lower { func_index, .. } = function {
            return self.gone_functions.contains(func_index);
        }
        if let CanonicalFunction::ResourceDrop { resource } = function {
            return self.gone_types.contains(resource);
        }
        false
    }
}

/// Writes the component anew without what goes.
struct Sealing<'a> {
    spaces: Spaces<'a>,
    depth: u32,
    /// Modules that stand before all others.
    modules: u32,
    /// Instances of these, which do too.
    instances: u32,
    /// Those of them that stand before functions, and are not placed yet.
    mending: Range<u32>,
    /// Before which instances two were put for each that is.
    mended_at: Vec<u32>,
    /// Functions that have let go of what they were lent when they return.
    let_go: BTreeSet<u32>,
    /// Whether what was just written named something that goes.
    named_gone: bool,
    unknown: Option<String>,
}

impl Sealing<'_> {
    fn without(&mut self, kind: ComponentExternalKind, index: u32) -> u32 {
        if self.depth > 0 {
            return index;
        }
        let gone = match kind {
            ComponentExternalKind::Type => &self.spaces.gone_types,
            ComponentExternalKind::Instance => &self.spaces.gone_instances,
            ComponentExternalKind::Func => &self.spaces.gone_functions,
            ComponentExternalKind::Module
            | ComponentExternalKind::Component
            | ComponentExternalKind::Value => return index,
        };
        self.named_gone |= gone.contains(&index);
        let before = gone.range(..index).count();
        index - u32::try_from(before).unwrap_or_default()
    }

    /// Each function in a section of its own: what is lowered from what goes comes from the module of traps instead, in
    /// the same place.
    fn canonical(
        &mut self,
        component: &mut Component,
        section: wasmparser::ComponentCanonicalSectionReader<'_>,
    ) -> Result<(), Reencoding<Infallible>> {
        for function in section {
            let mut function = function?;
            if let CanonicalFunction::Lift {
                core_func_index,
                options,
                ..
            } = &mut function
                && self.let_go.contains(core_func_index)
            {
                let stays = |option: &CanonicalOption| !is_afterwards(*option);
                *options = options.iter().copied().filter(stays).collect();
            }
            let at = self.spaces.core_functions;
            if self.spaces.canonical(&function) {
                let mut aliases = ComponentAliasSection::new();
                aliases.alias(Alias::CoreInstanceExport {
                    instance: 0,
                    kind: ExportKind::Func,
                    name: &at.to_string(),
                });
                component.section(&aliases);
            } else {
                let mut functions = CanonicalFunctionSection::new();
                self.parse_component_canonical(&mut functions, function)?;
                component.section(&functions);
            }
        }
        Ok(())
    }

    /// What is kept; before what is mended stands a module of ours, and its alias is of that.
    fn aliases(
        &mut self,
        component: &mut Component,
        section: wasmparser::ComponentAliasSectionReader<'_>,
    ) -> Result<(), Reencoding<Infallible>> {
        let mut aliases = ComponentAliasSection::new();
        for alias in section {
            let alias = alias?;
            let needed = self.spaces.mend(&alias);
            let needed = needed.and_then(|needed| Some((self.mending.next()?, needed)));
            let at = self.spaces.core_functions;
            if !self.spaces.alias(&alias) {
                continue;
            }
            let Some((module, needed)) = needed else {
                let alias = self.component_alias(alias)?;
                aliases.alias(alias);
                continue;
            };
            if let Mend::LetsGo { .. } = needed.mend {
                self.let_go.insert(at);
            }
            let (own, next) = (
                self.instance_index(needed.own),
                self.instance_index(self.spaces.core_instances),
            );
            self.mended_at.push(self.spaces.core_instances);
            let mut instances = InstanceSection::new();
            instances.export_items(needed.given);
            let given = [
                ("resource", ModuleArg::Instance(next)),
                ("own", ModuleArg::Instance(own)),
            ];
            instances.instantiate(module, given);
            component.section(&std::mem::take(&mut aliases));
            component.section(&instances);
            aliases.alias(Alias::CoreInstanceExport {
                instance: next + 1,
                kind: ExportKind::Func,
                name: needed.name,
            });
        }
        component.section(&aliases);
        Ok(())
    }
}

impl Reencode for Sealing<'_> {
    type Error = Infallible;
}

impl ReencodeComponent for Sealing<'_> {
    fn push_depth(&mut self) {
        self.depth += 1;
    }

    fn pop_depth(&mut self) {
        self.depth -= 1;
    }

    fn component_type_index(&mut self, index: u32) -> u32 {
        self.without(ComponentExternalKind::Type, index)
    }

    fn component_instance_index(&mut self, index: u32) -> u32 {
        self.without(ComponentExternalKind::Instance, index)
    }

    fn component_func_index(&mut self, index: u32) -> u32 {
        self.without(ComponentExternalKind::Func, index)
    }

    fn outer_component_type_index(&mut self, count: u32, index: u32) -> u32 {
        if count != self.depth {
            return index;
        }
        let depth = std::mem::take(&mut self.depth);
        let index = self.component_type_index(index);
        self.depth = depth;
        index
    }

    fn module_index(&mut self, index: u32) -> u32 {
        index + if self.depth == 0 { self.modules } else { 0 }
    }

    fn instance_index(&mut self, index: u32) -> u32 {
        if self.depth > 0 {
            return index;
        }
        let before = self.mended_at.iter().filter(|&&at| at <= index).count();
        index + self.instances + 2 * u32::try_from(before).unwrap_or_default()
    }

    fn parse_component_payload(
        &mut self,
        component: &mut Component,
        payload: Payload<'_>,
        whole: &[u8],
    ) -> Result<(), Reencoding<Infallible>> {
        // Modules and nested components keep their bytes: the latter only tie exports to functions that they are given.
        let nested = matches!(
            payload,
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. }
        );
        if let Payload::ComponentCanonicalSection(section) = payload {
            return self.canonical(component, section);
        }
        if let Payload::ComponentAliasSection(section) = payload {
            return self.aliases(component, section);
        }
        if let Payload::InstanceSection(section) = &payload {
            // An instance names those before it alone.
            self.spaces.core_instances += section.count();
        }
        match payload.as_section() {
            Some((id, range)) if nested => {
                let data = whole.get(range).unwrap_or_default();
                component.section(&RawSection { id, data });
                Ok(())
            }
            // Names are by index, and would be others'.
            Some((0, _)) => Ok(()),
            Some(_) | None => wasm_encoder::reencode::component_utils::parse_component_payload(
                self, component, payload, whole,
            ),
        }
    }

    fn parse_component_type_section(
        &mut self,
        types: &mut ComponentTypeSection,
        section: wasmparser::ComponentTypeSectionReader<'_>,
    ) -> Result<(), Reencoding<Infallible>> {
        for ty in section {
            let ty = ty?;
            self.named_gone = false;
            let mut tried = ComponentTypeSection::new();
            self.parse_component_type(tried.ty(), ty.clone())?;
            if std::mem::take(&mut self.named_gone) {
                self.spaces.gone_types.insert(self.spaces.types);
            } else {
                self.parse_component_type(types.ty(), ty)?;
            }
            self.spaces.types += 1;
        }
        Ok(())
    }

    fn parse_component_import_section(
        &mut self,
        imports: &mut ComponentImportSection,
        section: wasmparser::ComponentImportSectionReader<'_>,
    ) -> Result<(), Reencoding<Infallible>> {
        for import in section {
            let import = import?;
            let is_instance = matches!(import.ty, ComponentTypeRef::Instance(_));
            if self.spaces.import(import.name.name, &import.ty) {
                let ty = self.component_type_ref(import.ty)?;
                imports.import(import.name, ty);
            } else if !is_instance {
                self.unknown = Some(format!("the import `{}`", import.name.name));
            }
        }
        Ok(())
    }

    fn parse_component_instance_section(
        &mut self,
        instances: &mut wasm_encoder::ComponentInstanceSection,
        section: wasmparser::ComponentInstanceSectionReader<'_>,
    ) -> Result<(), Reencoding<Infallible>> {
        self.spaces.instances += section.count();
        wasm_encoder::reencode::component_utils::parse_component_instance_section(
            self, instances, section,
        )
    }

    fn parse_component_export_section(
        &mut self,
        exports: &mut ComponentExportSection,
        section: wasmparser::ComponentExportSectionReader<'_>,
    ) -> Result<(), Reencoding<Infallible>> {
        for export in section {
            let export = export?;
            let kind = export.kind;
            if export.name.name.starts_with(self.spaces.kept) {
                self.parse_component_export(exports, export)?;
            } else {
                // An export is another index of the same; what nobody sees, nobody names.
                let name = export.name.name;
                if !self.spaces.go(kind) {
                    self.unknown = Some(format!("the export `{name}`"));
                }
            }
            self.spaces.count(kind);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A component as a tool makes it: it wants a clock with a resource, and exports a function beside its interface.
    const MADE: &str = r#"(component
        (import "wasi:clocks/clock@0.2.0" (instance $clock
            (export "tick" (type (sub resource)))
            (export "now" (func (result u64)))))
        (alias export $clock "tick" (type $tick))
        (type $wants (instance (alias outer 1 $tick (type $t)) (export "tick" (type (eq $t)))))
        (import "wasi:clocks/other@0.2.0" (instance (type $wants)))
        (import "nephron:plugin/diagnostics@0.1.0" (instance $said (export "log" (func (param "x" u32)))))
        (core func $now (canon lower (func $clock "now")))
        (core func $drop (canon resource.drop $tick))
        (core func $log (canon lower (func $said "log")))
        (core module $m
            (import "w" "now" (func (result i64)))
            (import "w" "drop" (func (param i32)))
            (import "w" "log" (func $log (param i32)))
            (func (export "answer") (result i32) (call $log (i32.const 7)) (i32.const 42)))
        (core instance $i (instantiate $m (with "w" (instance
            (export "now" (func $now)) (export "drop" (func $drop)) (export "log" (func $log))))))
        (func $answer (result u32) (canon lift (core func $i "answer")))
        (export "init" (func $answer))
        (instance $out (export "answer" (func $answer)))
        (export "nephron:plugin/plugin@0.1.0" (instance $out)))"#;

    fn imports_and_exports(sealed: &[u8]) -> (Vec<String>, Vec<String>) {
        Validator::new().validate_all(sealed).unwrap();
        let (mut imports, mut exports, mut depth) = (Vec::new(), Vec::new(), 0);
        for payload in Parser::new(0).parse_all(sealed) {
            let payload = payload.unwrap();
            if let Payload::ModuleSection { .. } | Payload::ComponentSection { .. } = payload {
                depth += 1;
            } else if let Payload::End(_) = payload {
                depth -= 1;
            } else if depth > 0 {
                continue;
            } else if let Payload::ComponentImportSection(section) = payload {
                imports.extend(section.into_iter().map(|i| i.unwrap().name.name.to_owned()));
            } else if let Payload::ComponentExportSection(section) = payload {
                exports.extend(section.into_iter().map(|e| e.unwrap().name.name.to_owned()));
            }
        }
        (imports, exports)
    }

    #[test]
    fn what_is_beside_the_world_goes_and_the_rest_is_valid() {
        let made = wat::parse_str(MADE).unwrap();
        let sealed = seal(&made, "nephron:plugin/", &[]).unwrap();
        let (imports, exports) = imports_and_exports(&sealed);
        assert_eq!(imports, ["nephron:plugin/diagnostics@0.1.0"]);
        assert_eq!(exports, ["nephron:plugin/plugin@0.1.0"]);
    }

    #[test]
    fn of_a_composition_the_component_with_the_modules_is_taken() {
        let whole = format!(
            "(component {})",
            MADE.replacen("(component", "(component $inner", 1)
        );
        let sealed = seal(&wat::parse_str(whole).unwrap(), "nephron:plugin/", &[]).unwrap();
        let alone = seal(&wat::parse_str(MADE).unwrap(), "nephron:plugin/", &[]).unwrap();
        assert_eq!(sealed, alone);
    }

    #[test]
    fn before_what_takes_the_plugins_own_resource_stands_a_module_that_asks_for_it() {
        let finish = "nephron:plugin/connector@0.1.0#[static]decoder.finish";
        let made = format!(
            r#"(component
                (import "wasi:clocks/clock@0.2.0" (instance $clock (export "now" (func (result u64)))))
                (core func $now (canon lower (func $clock "now")))
                (type $decoder (resource (rep i32)))
                (core func $rep (canon resource.rep $decoder))
                (core module $m
                    (import "w" "now" (func (result i64)))
                    (import "w" "rep" (func (param i32) (result i32)))
                    (func (export "{finish}") (param i32) (result i32) (local.get 0))
                    (func (export "other") (result i32) (i32.const 7)))
                (core instance $w (export "now" (func $now)) (export "rep" (func $rep)))
                (core instance $i (instantiate $m (with "w" (instance $w))))
                (alias core export $i "other" (core func $other))
                (alias core export $i "{finish}" (core func $finish))
                (core instance $last (export "again" (func $finish)))
                (alias core export $last "again" (core func $again))
                (type $own (own $decoder))
                (func $lifted (param "this" $own) (result u32) (canon lift (core func $again)))
                (component $c
                    (import "d" (type $d (sub resource)))
                    (import "f" (func $f (param "this" (own $d)) (result u32)))
                    (export $e "decoder" (type $d))
                    (export "[static]decoder.finish" (func $f) (func (param "this" (own $e)) (result u32))))
                (instance $out (instantiate $c (with "d" (type $decoder)) (with "f" (func $lifted))))
                (export "nephron:plugin/connector@0.1.0" (instance $out)))"#
        );
        let sealed = seal(&wat::parse_str(made).unwrap(), "nephron:plugin/", &[]).unwrap();
        let mut aliased = Vec::new();
        for payload in Parser::new(0).parse_all(&sealed) {
            if let Payload::ComponentAliasSection(section) = payload.unwrap() {
                for alias in section {
                    if let ComponentAlias::CoreInstanceExport {
                        instance_index,
                        name,
                        ..
                    } = alias.unwrap()
                    {
                        aliased.push((instance_index, name));
                    }
                }
            }
        }
        // Instances: the traps, `w`, `i`, what `resource` gives, the module that asks, `last`.
        let expected = [(0, "0"), (2, "other"), (4, finish), (5, "again")];
        assert_eq!(aliased, expected);
    }

    const DEIDENTIFY: &str = "nephron:plugin/transformer@0.1.0#deidentify";

    /// A function that takes a key last of many parameters, and lets go of it when its answer was read.
    fn takes_key() -> String {
        let texts = ["string"; 8].iter().enumerate();
        let texts: String = texts
            .map(|(at, ty)| format!("(param \"t{at}\" {ty})"))
            .collect();
        format!(
            r#"(component
                (import "nephron:plugin/keys@0.1.0" (instance $keys (export "key" (type (sub resource)))))
                (alias export $keys "key" (type $key))
                (core func $drop (canon resource.drop $key))
                (core module $m
                    (import "keys" "drop" (func $drop (param i32)))
                    (memory (export "memory") 1)
                    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 64))
                    (func (export "{DEIDENTIFY}") (param i32) (result i32) (i32.const 0))
                    (func (export "after") (param i32) (call $drop (i32.const 1))))
                (core instance $keys (export "drop" (func $drop)))
                (core instance $i (instantiate $m (with "keys" (instance $keys))))
                (alias core export $i "memory" (core memory $memory))
                (alias core export $i "realloc" (core func $realloc))
                (alias core export $i "{DEIDENTIFY}" (core func $deidentify))
                (alias core export $i "after" (core func $after))
                (type $taking (func {texts} (param "key" (borrow $key)) (result string)))
                (func $lifted (type $taking) (canon lift (core func $deidentify)
                    (memory $memory) (realloc $realloc) (post-return $after)))
                (func $again (type $taking) (canon lift (core func $deidentify)
                    (memory $memory) (realloc $realloc) (post-return $after)))
                (instance $out (export "deidentify" (func $lifted)) (export "again" (func $again)))
                (export "nephron:plugin/transformer@0.1.0" (instance $out)))"#
        )
    }

    #[test]
    fn what_is_lent_a_key_lets_go_of_it_once_and_before_it_returns() {
        let made = wat::parse_str(takes_key()).unwrap();
        let lent = |function: &str| Lent {
            function: function.to_owned(),
            resource: "key".to_owned(),
            offset: 64,
        };
        let sealed = seal(&made, "nephron:plugin/", &[lent(DEIDENTIFY)]).unwrap();
        let (mut aliased, mut afterwards) = (Vec::new(), 0);
        for payload in Parser::new(0).parse_all(&sealed) {
            let payload = payload.unwrap();
            if let Payload::ComponentAliasSection(section) = payload {
                for alias in section {
                    if let ComponentAlias::CoreInstanceExport {
                        instance_index,
                        name,
                        ..
                    } = alias.unwrap()
                    {
                        aliased.push((instance_index, name));
                    }
                }
            } else if let Payload::ComponentCanonicalSection(section) = payload {
                for function in section {
                    if let CanonicalFunction::Lift { options, .. } = function.unwrap() {
                        afterwards += options.iter().filter(|it| is_afterwards(**it)).count();
                    }
                }
            }
        }
        // Instances: `keys`, `i`, what `resource` gives, the module that lets go.
        let expected = [(1, "memory"), (1, "realloc"), (3, DEIDENTIFY), (1, "after")];
        assert_eq!((aliased.as_slice(), afterwards), (&expected[..], 0));

        let other = seal(&made, "nephron:plugin/", &[lent("other")]).unwrap_err();
        assert_eq!(
            other.to_string(),
            "`other`, which must let go of its `key`, cannot be stood in for"
        );
    }

    #[test]
    fn what_cannot_be_stood_in_for_is_named() {
        let asks = MADE.replacen(
            "(core func $now",
            "(import \"sole\" (func)) (core func $now",
            1,
        );
        let error = seal(&wat::parse_str(asks).unwrap(), "nephron:plugin/", &[]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the import `sole` cannot be stood in for"
        );
        assert!(matches!(
            seal(b"\0asm\x01\0\0\0", "x", &[]).unwrap_err(),
            SealError::NoPlugin
        ));
        assert!(matches!(
            seal(b"no", "x", &[]).unwrap_err(),
            SealError::Invalid(_)
        ));
    }
}
