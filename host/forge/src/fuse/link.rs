//! Core modules that are linked to one another, written as one.
//!
//! What can be known is settled: a global that nobody sets becomes its value, and a function that nobody reaches goes. So the
//! places at which modules lay their functions in a shared table become numbers, and the engine fills such a table as it is used.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use wasm_encoder::reencode::{Error as Reencoding, Reencode, utils};
use wasm_encoder::{
    CodeSection, CustomSection, DataCountSection, DataSection, ElementSection, EntityType,
    ExportKind, ExportSection, FunctionSection, GlobalSection, ImportSection, Instruction,
    MemorySection, Module, TableSection, TypeSection,
};
use wasmparser::{
    Data, Element, ElementItems, ExternalKind, FuncType, FunctionBody, Global, Import, MemoryType,
    Operator, Parser, Payload, Table, TypeRef, ValType,
};

use super::FuseError;

/// One module of those that become one.
#[derive(Default)]
pub(super) struct Part<'a> {
    types: Vec<FuncType>,
    pub(super) imports: Vec<Import<'a>>,
    functions: Vec<u32>,
    code: Vec<FunctionBody<'a>>,
    tables: Vec<Table<'a>>,
    memories: Vec<MemoryType>,
    globals: Vec<Global<'a>>,
    exports: BTreeMap<&'a str, (Kind, u32)>,
    elements: Vec<Element<'a>>,
    data: Vec<Data<'a>>,
    /// What the module says of itself: who made it, and of what.
    says: Vec<(&'a str, &'a [u8])>,
}

/// Custom sections that mean nothing once modules are linked.
const SPENT: [&str; 3] = ["dylink.0", "name", "target_features"];

impl<'a> Part<'a> {
    /// Reads a module that `validated`.
    pub(super) fn read(module: &'a [u8]) -> Result<Self, FuseError> {
        let mut part = Part::default();
        for payload in Parser::new(0).parse_all(module) {
            #[expect(
                clippy::wildcard_enum_match_arm,
                reason = "a module has no other section that is code or data"
            )]
            match payload? {
                Payload::TypeSection(section) => {
                    for ty in section.into_iter_err_on_gc_types() {
                        let ty = ty?;
                        // Its index would be another module's.
                        let is_foreign = |value: &ValType| matches!(value, ValType::Ref(it) if it.is_concrete_type_ref());
                        if ty.params().iter().chain(ty.results()).any(is_foreign) {
                            return Err(FuseError::unknown("a reference to one type of function"));
                        }
                        part.types.push(ty);
                    }
                }
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        part.imports.push(import?);
                    }
                }
                Payload::FunctionSection(section) => read(section, &mut part.functions)?,
                Payload::TableSection(section) => read(section, &mut part.tables)?,
                Payload::MemorySection(section) => read(section, &mut part.memories)?,
                Payload::GlobalSection(section) => read(section, &mut part.globals)?,
                Payload::ElementSection(section) => read(section, &mut part.elements)?,
                Payload::DataSection(section) => read(section, &mut part.data)?,
                Payload::CodeSectionEntry(body) => part.code.push(body),
                Payload::ExportSection(section) => {
                    for export in section {
                        let export = export?;
                        let kind = Kind::of(export.kind)?;
                        part.exports.insert(export.name, (kind, export.index));
                    }
                }
                Payload::StartSection { .. } => {
                    return Err(FuseError::unknown("a module that starts by itself"));
                }
                Payload::CustomSection(section) if !SPENT.contains(&section.name()) => {
                    part.says.push((section.name(), section.data()));
                }
                Payload::TagSection(_) => return Err(FuseError::unknown("a tag")),
                _ => {}
            }
        }
        Ok(part)
    }

    /// Whether it is a module that wit-component puts before all others: functions which call what will be in a table.
    pub(super) fn is_shim(&self) -> bool {
        self.imports.is_empty() && self.memories.is_empty() && !self.tables.is_empty()
    }

    /// How many of each kind the module defines.
    pub(super) fn own(&self, kind: Kind) -> u32 {
        match kind {
            Kind::Func => super::count(&self.functions),
            Kind::Table => super::count(&self.tables),
            Kind::Memory => super::count(&self.memories),
            Kind::Global => super::count(&self.globals),
        }
    }

    /// What the module exports by that name.
    pub(super) fn export(&self, name: &str) -> Option<(Kind, u32)> {
        self.exports.get(name).copied()
    }
}

fn read<'a, T: wasmparser::FromReader<'a>>(
    section: wasmparser::SectionLimited<'a, T>,
    into: &mut Vec<T>,
) -> Result<(), FuseError> {
    for item in section {
        into.push(item?);
    }
    Ok(())
}

/// What modules share with one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Func,
    Table,
    Memory,
    Global,
}

impl Kind {
    pub(super) fn of(kind: ExternalKind) -> Result<Self, FuseError> {
        match kind {
            ExternalKind::Func => Ok(Self::Func),
            ExternalKind::Table => Ok(Self::Table),
            ExternalKind::Memory => Ok(Self::Memory),
            ExternalKind::Global => Ok(Self::Global),
            ExternalKind::Tag | ExternalKind::FuncExact => Err(FuseError::unknown(
                "what is neither function, table, memory nor global",
            )),
        }
    }

    /// Of an import.
    pub(super) fn of_import(import: &Import<'_>) -> Result<Self, FuseError> {
        match import.ty {
            TypeRef::Func(_) => Ok(Self::Func),
            TypeRef::Table(_) => Ok(Self::Table),
            TypeRef::Memory(_) => Ok(Self::Memory),
            TypeRef::Global(_) => Ok(Self::Global),
            TypeRef::Tag(_) | TypeRef::FuncExact(_) => Self::of(ExternalKind::Tag),
        }
    }
}

impl From<Kind> for ExportKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Func => Self::Func,
            Kind::Table => Self::Table,
            Kind::Memory => Self::Memory,
            Kind::Global => Self::Global,
        }
    }
}

/// One of each kind.
#[derive(Default)]
pub(super) struct ByKind<T> {
    pub(super) functions: T,
    pub(super) tables: T,
    pub(super) memories: T,
    pub(super) globals: T,
}

impl<T> ByKind<T> {
    pub(super) const fn get(&self, kind: Kind) -> &T {
        match kind {
            Kind::Func => &self.functions,
            Kind::Table => &self.tables,
            Kind::Memory => &self.memories,
            Kind::Global => &self.globals,
        }
    }

    pub(super) const fn get_mut(&mut self, kind: Kind) -> &mut T {
        match kind {
            Kind::Func => &mut self.functions,
            Kind::Table => &mut self.tables,
            Kind::Memory => &mut self.memories,
            Kind::Global => &mut self.globals,
        }
    }
}

/// Where something comes from, seen from the module that is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// A function that is imported, by its number.
    Outside(usize),
    /// Of a part: the nth that it defines.
    Of { part: usize, index: u32 },
}

/// Modules, and what each index of each means.
#[derive(Default)]
pub(super) struct Linked<'a> {
    pub(super) parts: Vec<Part<'a>>,
    pub(super) places: Vec<ByKind<Vec<Place>>>,
}

/// The module that was made.
pub(super) struct Fused {
    pub(super) module: Module,
    /// The functions that it imports, each from `""` by its number.
    pub(super) outside: Vec<usize>,
}

/// The name by which the module exports something.
pub(super) fn exported(kind: Kind, place: Place) -> String {
    let kind = match kind {
        Kind::Func => "func",
        Kind::Table => "table",
        Kind::Memory => "memory",
        Kind::Global => "global",
    };
    match place {
        Place::Outside(index) => format!("{kind}-{index}"),
        Place::Of { part, index } => format!("{kind}-{part}-{index}"),
    }
}

impl<'a> Linked<'a> {
    /// What a part means by an index.
    pub(super) fn place(&self, part: usize, kind: Kind, index: u32) -> Result<Place, FuseError> {
        let places = self.places.get(part).map(|places| places.get(kind));
        places
            .zip(usize::try_from(index).ok())
            .and_then(|(places, index)| places.get(index).copied())
            .ok_or_else(|| FuseError::unknown("an index out of its space"))
    }

    /// The one module that exports `wanted`.
    pub(super) fn write(&self, wanted: &BTreeSet<(Kind, Place)>) -> Result<Fused, FuseError> {
        let mut live = Live::default();
        live.walk(self, wanted)?;
        let constants = self.constants(wanted, &live)?;

        let mut writer = Writer {
            linked: self,
            constants,
            functions: BTreeMap::new(),
            globals: BTreeMap::new(),
            types: TypeSection::new(),
            known_types: HashMap::new(),
            part: 0,
        };
        let outside: Vec<usize> = live
            .functions
            .iter()
            .filter_map(|place| match place {
                Place::Outside(index) => Some(*index),
                Place::Of { .. } => None,
            })
            .collect();
        // `Outside` sorts first, as imports stand first.
        writer.functions = (0..).zip(&live.functions).map(|(n, f)| (*f, n)).collect();
        let globals = (0..).zip(&self.parts).flat_map(|(part, of)| {
            (0..of.own(Kind::Global)).map(move |index| Place::Of { part, index })
        });
        let kept = globals.filter(|place| !writer.constants.contains_key(place));
        writer.globals = kept.zip(0..).collect();
        let module = writer.sections(&live, &outside, wanted)?;
        Ok(Fused { module, outside })
    }

    /// The globals that nobody sets, and whose value is known.
    fn constants(
        &self,
        wanted: &BTreeSet<(Kind, Place)>,
        live: &Live,
    ) -> Result<BTreeMap<Place, Constant>, FuseError> {
        let mut known = BTreeMap::new();
        for (part, of) in (0..).zip(&self.parts) {
            for (index, global) in (0..).zip(&of.globals) {
                let place = Place::Of { part, index };
                let is_wanted = wanted.contains(&(Kind::Global, place));
                if is_wanted || live.set.contains(&place) {
                    continue;
                }
                let mut operators = global.init_expr.get_operators_reader();
                let first = operators.read()?;
                if !operators.is_end_then_eof() {
                    continue;
                }
                #[expect(
                    clippy::wildcard_enum_match_arm,
                    reason = "every other operator stays as it is"
                )]
                let value = match first {
                    Operator::I32Const { value } => Some(Constant::I32(value)),
                    Operator::I64Const { value } => Some(Constant::I64(value)),
                    Operator::GlobalGet { global_index } => known
                        .get(&self.place(part, Kind::Global, global_index)?)
                        .copied(),
                    _ => None,
                };
                known.extend(value.map(|value| (place, value)));
            }
        }
        Ok(known)
    }
}

/// The value of a global.
#[derive(Clone, Copy)]
enum Constant {
    I32(i32),
    I64(i64),
}

/// What is reached from what is exported and from what lies in tables.
#[derive(Default)]
struct Live {
    functions: BTreeSet<Place>,
    /// Globals that a function among them sets.
    set: BTreeSet<Place>,
}

impl Live {
    fn walk(
        &mut self,
        linked: &Linked<'_>,
        wanted: &BTreeSet<(Kind, Place)>,
    ) -> Result<(), FuseError> {
        let mut open: Vec<Place> = wanted
            .iter()
            .filter(|(kind, _)| *kind == Kind::Func)
            .map(|(_, place)| *place)
            .collect();
        for (at, part) in linked.parts.iter().enumerate() {
            for element in &part.elements {
                match &element.items {
                    ElementItems::Functions(functions) => {
                        for function in functions.clone() {
                            open.push(linked.place(at, Kind::Func, function?)?);
                        }
                    }
                    ElementItems::Expressions(_, expressions) => {
                        for expression in expressions.clone() {
                            self.operators(
                                linked,
                                at,
                                expression?.get_operators_reader(),
                                &mut open,
                            )?;
                        }
                    }
                }
            }
            for global in &part.globals {
                self.operators(
                    linked,
                    at,
                    global.init_expr.get_operators_reader(),
                    &mut open,
                )?;
            }
        }
        while let Some(place) = open.pop() {
            if !self.functions.insert(place) {
                continue;
            }
            if let Place::Of { part, index } = place {
                let body = linked.parts.get(part).zip(usize::try_from(index).ok());
                let body = body
                    .and_then(|(part, index)| part.code.get(index))
                    .ok_or_else(|| FuseError::unknown("a function without a body"))?;
                self.operators(linked, part, body.get_operators_reader()?, &mut open)?;
            }
        }
        Ok(())
    }

    fn operators(
        &mut self,
        linked: &Linked<'_>,
        part: usize,
        mut operators: wasmparser::OperatorsReader<'_>,
        open: &mut Vec<Place>,
    ) -> Result<(), FuseError> {
        while !operators.eof() {
            #[expect(
                clippy::wildcard_enum_match_arm,
                reason = "no other operator names a function, or sets a global"
            )]
            match operators.read()? {
                Operator::Call { function_index }
                | Operator::ReturnCall { function_index }
                | Operator::RefFunc { function_index } => {
                    open.push(linked.place(part, Kind::Func, function_index)?);
                }
                Operator::GlobalSet { global_index } => {
                    let place = linked.place(part, Kind::Global, global_index)?;
                    self.set.insert(place);
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Writes each part in the indices of the one module.
struct Writer<'w, 'a> {
    linked: &'w Linked<'a>,
    constants: BTreeMap<Place, Constant>,
    functions: BTreeMap<Place, u32>,
    globals: BTreeMap<Place, u32>,
    types: TypeSection,
    known_types: HashMap<FuncType, u32>,
    /// The part that is being written.
    part: usize,
}

/// What the encoder says of what it cannot write.
type Encoding<T> = Result<T, Reencoding<FuseError>>;

impl Writer<'_, '_> {
    fn sections(
        &mut self,
        live: &Live,
        outside: &[usize],
        wanted: &BTreeSet<(Kind, Place)>,
    ) -> Encoding<Module> {
        let linked = self.linked;
        let (mut functions, mut code) = (FunctionSection::new(), CodeSection::new());
        let (mut tables, mut memories) = (TableSection::new(), MemorySection::new());
        let (mut globals, mut elements) = (GlobalSection::new(), ElementSection::new());
        let mut data = DataSection::new();
        for (at, part) in linked.parts.iter().enumerate() {
            self.part = at;
            for table in &part.tables {
                self.parse_table(&mut tables, table.clone())?;
            }
            for memory in &part.memories {
                memories.memory(self.memory_type(*memory)?);
            }
            for (index, global) in (0..).zip(&part.globals) {
                if self.globals.contains_key(&Place::Of { part: at, index }) {
                    self.parse_global(&mut globals, global.clone())?;
                }
            }
            for element in &part.elements {
                self.parse_element(&mut elements, element.clone())?;
            }
            for segment in &part.data {
                self.parse_data(&mut data, segment.clone())?;
            }
            for ((index, ty), body) in (0..).zip(&part.functions).zip(&part.code) {
                if live.functions.contains(&Place::Of { part: at, index }) {
                    functions.function(self.type_index(*ty)?);
                    self.parse_function_body(&mut code, body.clone())?;
                }
            }
        }
        let mut imports = ImportSection::new();
        for index in outside {
            let ty = self.outside(*index)?;
            imports.import("", &index.to_string(), EntityType::Function(ty));
        }
        let mut exports = ExportSection::new();
        for (kind, place) in wanted {
            let index = self.index(*kind, *place).map_err(Reencoding::UserError)?;
            exports.export(&exported(*kind, *place), ExportKind::from(*kind), index);
        }
        let mut module = Module::new();
        module.section(&self.types).section(&imports);
        module.section(&functions).section(&tables);
        module.section(&memories).section(&globals);
        module.section(&exports).section(&elements);
        let count = data.len();
        module.section(&DataCountSection { count });
        module.section(&code).section(&data);
        let says: BTreeSet<_> = linked.parts.iter().flat_map(|part| &part.says).collect();
        for (name, data) in says {
            let (name, data) = (Cow::Borrowed(*name), Cow::Borrowed(*data));
            module.section(&CustomSection { name, data });
        }
        Ok(module)
    }

    /// The type of an imported function, as the first part that imports it has it.
    fn outside(&mut self, function: usize) -> Encoding<u32> {
        let linked = self.linked;
        for (at, part) in linked.parts.iter().enumerate() {
            let imports = part
                .imports
                .iter()
                .filter(|import| matches!(import.ty, TypeRef::Func(_)));
            let places = linked.places.get(at);
            let places = places.into_iter().flat_map(|places| &places.functions);
            for (import, place) in imports.zip(places) {
                if let (TypeRef::Func(ty), Place::Outside(index)) = (import.ty, place)
                    && *index == function
                {
                    self.part = at;
                    return self.type_index(ty);
                }
            }
        }
        Err(Reencoding::UserError(FuseError::unknown(
            "a function of no known type",
        )))
    }

    /// The index in the one module.
    fn index(&self, kind: Kind, place: Place) -> Result<u32, FuseError> {
        let found = match kind {
            Kind::Func => self.functions.get(&place).copied(),
            Kind::Global => self.globals.get(&place).copied(),
            Kind::Table => self.counted(place, |part| part.tables.len()),
            Kind::Memory => self.counted(place, |part| part.memories.len()),
        };
        found.ok_or_else(|| FuseError::unknown("something that no module defines"))
    }

    /// Of a kind of which everything stays: how many stand before `place`.
    fn counted(&self, place: Place, count: impl Fn(&Part<'_>) -> usize) -> Option<u32> {
        let Place::Of { part, index } = place else {
            return None;
        };
        let before: usize = self.linked.parts.iter().take(part).map(count).sum();
        u32::try_from(before).ok()?.checked_add(index)
    }

    fn local(&self, kind: Kind, index: u32) -> Encoding<u32> {
        let place = self.linked.place(self.part, kind, index);
        let index = place.and_then(|place| self.index(kind, place));
        index.map_err(Reencoding::UserError)
    }

    fn segment(&self, index: u32, count: impl Fn(&Part<'_>) -> usize) -> Encoding<u32> {
        let place = Place::Of {
            part: self.part,
            index,
        };
        self.counted(place, count)
            .ok_or_else(|| Reencoding::UserError(FuseError::unknown("a segment out of its space")))
    }
}

impl Reencode for Writer<'_, '_> {
    type Error = FuseError;

    fn type_index(&mut self, index: u32) -> Encoding<u32> {
        let types = self.linked.parts.get(self.part).map(|part| &part.types);
        let ty = types.zip(usize::try_from(index).ok());
        let ty = ty.and_then(|(types, index)| types.get(index));
        let ty = ty.ok_or_else(|| {
            Reencoding::UserError(FuseError::unknown("a type that is none of a function"))
        })?;
        if let Some(known) = self.known_types.get(ty) {
            return Ok(*known);
        }
        let next = self.types.len();
        let encoded = self.func_type(ty.clone())?;
        self.types.ty().func_type(&encoded);
        self.known_types.insert(ty.clone(), next);
        Ok(next)
    }

    fn function_index(&mut self, index: u32) -> Encoding<u32> {
        self.local(Kind::Func, index)
    }

    fn table_index(&mut self, index: u32) -> Encoding<u32> {
        self.local(Kind::Table, index)
    }

    fn memory_index(&mut self, index: u32) -> Encoding<u32> {
        self.local(Kind::Memory, index)
    }

    fn global_index(&mut self, index: u32) -> Encoding<u32> {
        self.local(Kind::Global, index)
    }

    fn data_index(&mut self, index: u32) -> Encoding<u32> {
        self.segment(index, |part| part.data.len())
    }

    fn element_index(&mut self, index: u32) -> Encoding<u32> {
        self.segment(index, |part| part.elements.len())
    }

    fn instruction<'i>(&mut self, operator: Operator<'i>) -> Encoding<Instruction<'i>> {
        if let Operator::GlobalGet { global_index } = operator {
            let place = self.linked.place(self.part, Kind::Global, global_index);
            let place = place.map_err(Reencoding::UserError)?;
            match self.constants.get(&place) {
                Some(Constant::I32(value)) => return Ok(Instruction::I32Const(*value)),
                Some(Constant::I64(value)) => return Ok(Instruction::I64Const(*value)),
                None => {}
            }
        }
        utils::instruction(self, operator)
    }
}
