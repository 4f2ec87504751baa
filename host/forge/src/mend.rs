//! What componentize-qjs 0.4.5 does wrong with resources, mended by modules that each stand before one function of the plugin.
//!
//! A function that takes a resource of the plugin's own is called with a handle to it, by the canonical ABI; the tool takes that
//! for the resource's representation, and traps. The module before it asks `resource.rep` ([`Mend::AsksFirst`]).
//!
//! A function that is lent a resource must have let go of it when it returns; the tool does so in the function that is called after
//! the host has read the answer, which is too late. The module before it lets go ([`Mend::LetsGo`]); what would be called afterwards
//! goes, for it would let go again. That function frees the answer beside that, which ends with its instance anyway: each serves one call.

use std::collections::BTreeSet;
use std::path::Path;

use wasm_encoder::{
    CodeSection, EntityType, ExportKind, ExportSection, Function, FunctionSection, ImportSection,
    MemArg, MemoryType, Module, TypeSection, ValType,
};
use wit_bindgen_core::wit_parser::abi::AbiVariant;
use wit_bindgen_core::wit_parser::{
    Handle, InterfaceId, Resolve, SizeAlign, Type, TypeDefKind, TypeOwner, WorldId, WorldItem,
};

/// How the core function of the contract's `finish: static func(this: decoder)` is named.
pub(crate) const FINISH: &str = "#[static]decoder.finish";

/// An exported function that is lent a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lent {
    /// As its core function is named.
    pub(crate) function: String,
    /// The resource's name.
    pub(crate) resource: String,
    /// Where its handle lies in the parameters, which lie in memory: in bytes from their first.
    pub(crate) offset: u64,
}

/// The contract in the folder `wit`, and one of its worlds.
pub(crate) fn contract(wit: &Path, world: &str) -> anyhow::Result<(Resolve, WorldId)> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(wit)?;
    let world = resolve.select_world(&[package], Some(world))?;
    Ok((resolve, world))
}

/// The functions of a world that are lent something, by the contract in `wit`.
pub(crate) fn lent(wit: &Path, world: &str) -> anyhow::Result<Vec<Lent>> {
    let (resolve, world) = contract(wit, world)?;
    let mut sizes = SizeAlign::default();
    sizes.fill(&resolve);
    let mut found = Vec::new();
    let exports = resolve.worlds.get(world).map(|world| &world.exports);
    for (key, item) in exports.into_iter().flatten() {
        let WorldItem::Interface { id, .. } = item else {
            continue;
        };
        let functions = resolve.interfaces.get(*id).map(|it| &it.functions);
        for function in functions.into_iter().flat_map(|them| them.values()) {
            let parameters = sizes.field_offsets(function.params.iter().map(|it| &it.ty));
            let mut lent = parameters
                .into_iter()
                .filter_map(|(at, ty)| Some((at, borrowed(&resolve, *id, ty)?)));
            let Some((at, resource)) = lent.next() else {
                continue;
            };
            let name = format!("{}#{}", resolve.name_world_key(key), function.name);
            let in_memory = resolve
                .wasm_signature(AbiVariant::GuestExport, function)
                .indirect_params;
            anyhow::ensure!(
                in_memory && lent.next().is_none(),
                "`{name}` is lent `{resource}` among so few parameters, or with so many others, as is not known here"
            );
            found.push(Lent {
                function: name,
                resource,
                offset: u64::try_from(at.size_wasm32())?,
            });
        }
    }
    Ok(found)
}

/// What the host calls of a plugin for a world of the contract in `wit`: functions and resources, by their names in it.
pub(crate) fn called(wit: &Path, world: &str) -> anyhow::Result<BTreeSet<String>> {
    let (resolve, world) = contract(wit, world)?;
    let exports = resolve.worlds.get(world).map(|world| &world.exports);
    let interfaces = exports
        .into_iter()
        .flat_map(|exports| exports.values())
        .filter_map(|item| match item {
            WorldItem::Interface { id, .. } => resolve.interfaces.get(*id),
            WorldItem::Function(_) | WorldItem::Type { .. } => None,
        });
    // `[method]decoder.push` is two names.
    let functions = interfaces.flat_map(|interface| interface.functions.keys());
    let names = functions.flat_map(|name| name.split([']', '.']));
    Ok(names
        .filter(|name| !name.starts_with('['))
        .map(str::to_owned)
        .collect())
}

/// The name of the resource that a parameter of that type borrows, if it is not one of `own`: that one is the plugin's, and lent
/// by nobody.
fn borrowed(resolve: &Resolve, own: InterfaceId, ty: &Type) -> Option<String> {
    let Type::Id(id) = ty else {
        return None;
    };
    let TypeDefKind::Handle(Handle::Borrow(resource)) = resolve.types.get(*id)?.kind else {
        return None;
    };
    let mut resource = resolve.types.get(resource)?;
    // `use` gives it another index.
    while let TypeDefKind::Type(Type::Id(same)) = resource.kind {
        resource = resolve.types.get(same)?;
    }
    if resource.owner == TypeOwner::Interface(own) {
        return None;
    }
    resource.name.clone()
}

/// What the module before a function does. The function has a number as its one parameter, and one as its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mend {
    /// Asks which representation the handle has.
    AsksFirst,
    /// Lets go of the handle that lies there in the parameters.
    LetsGo {
        /// In bytes from their first.
        offset: u64,
    },
}

impl Mend {
    /// The module: it imports the function from `own`, and exports one of the same name.
    pub(crate) fn module(self, name: &str) -> Module {
        let mut types = TypeSection::new();
        types.ty().function([ValType::I32], [ValType::I32]);
        types.ty().function([ValType::I32], []);
        let mut imports = ImportSection::new();
        imports.import("own", name, EntityType::Function(0));
        let mut body;
        match self {
            Self::AsksFirst => {
                imports.import("resource", "rep", EntityType::Function(0));
                body = Function::new([]);
                body.instructions().local_get(0).call(1).call(0).end();
            }
            Self::LetsGo { offset } => {
                imports.import("resource", "drop", EntityType::Function(1));
                let memory = MemoryType {
                    minimum: 0,
                    maximum: None,
                    memory64: false,
                    shared: false,
                    page_size_log2: None,
                };
                imports.import("resource", "memory", EntityType::Memory(memory));
                let handle = MemArg {
                    offset,
                    align: 2,
                    memory_index: 0,
                };
                body = Function::new([(1, ValType::I32)]);
                // The parameters are the function's: it may free them.
                let mut code = body.instructions();
                code.local_get(0).i32_load(handle).local_set(1);
                code.local_get(0).call(0).local_get(1).call(1).end();
            }
        }
        let mut functions = FunctionSection::new();
        functions.function(0);
        let mut exports = ExportSection::new();
        exports.export(name, ExportKind::Func, 2);
        let mut code = CodeSection::new();
        code.function(&body);
        let mut module = Module::new();
        module.section(&types).section(&imports);
        module.section(&functions).section(&exports).section(&code);
        module
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_contract_lends_is_found_where_the_canonical_abi_lays_it() {
        let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sdk/js/wit");
        let keyed = |function: &str, offset| Lent {
            function: format!("nephron:plugin/{function}"),
            resource: "key".to_owned(),
            offset,
        };
        // `request-info` is 80 bytes long, `http-request` 44, a list or a text 8.
        let expected = [
            keyed("transformer@0.1.0#deidentify", 96),
            keyed("transformer@0.1.0#reidentify", 88),
        ];
        assert_eq!(lent(&wit, "keyed-deidentifier").unwrap(), expected);
        let expected = [keyed("signer@0.1.0#sign", 132)];
        assert_eq!(lent(&wit, "signing-llm-connector").unwrap(), expected);
        // Its decoder's methods take a decoder.
        assert_eq!(lent(&wit, "llm-connector").unwrap(), []);
        assert!(lent(&wit, "no-such-world").is_err());
    }

    #[test]
    fn what_the_host_calls_is_named_as_in_the_contract() {
        let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sdk/js/wit");
        let called = |world| called(&wit, world).unwrap().into_iter().collect::<Vec<_>>();
        assert_eq!(called("access-policy"), ["configure", "decide", "describe"]);
        let connector = [
            "configure",
            "decoder",
            "describe",
            "encode",
            "finish",
            "push",
        ];
        assert_eq!(called("llm-connector"), connector);
    }

    #[test]
    fn what_lies_elsewhere_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let wit = "package nephron:plugin@0.1.0;
            interface keys { resource key; }
            interface taker { use keys.{key}; take: func(key: borrow<key>); }
            world takes { import keys; export taker; }";
        std::fs::write(folder.path().join("all.wit"), wit).unwrap();
        let error = lent(folder.path(), "takes").unwrap_err().to_string();
        assert!(
            error.starts_with("`nephron:plugin/taker@0.1.0#take` is lent `key`"),
            "{error}"
        );
    }
}
