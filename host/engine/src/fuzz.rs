//! What holds for any component and any answer of a guest. Each function is a target of `cargo fuzz` (`tests/fuzz`), and panics
//! where its property does not hold; the tests replay the corpus. Nothing here is compiled or run.

#![expect(
    clippy::missing_panics_doc,
    reason = "each panics where its property does not hold, and is there for that"
)]

mod answering;
#[path = "../../../tests/fuzz/bytes.rs"]
pub mod bytes;

pub use answering::answers;

use nephron_model::Digest;
use wasmparser::{Validator, WasmFeatures};

use crate::about::about;
use crate::vet::{Grants, VetError, Vetted, World, vet};
use crate::{Answer, Judgement, Limits};

/// Loading a component: whatever is taken is valid, of one world, and imports nothing beyond that world and the grant; what is
/// granted takes nothing away; a limit, a pin and a kind are held.
pub fn component(data: &[u8]) {
    let limits = Limits::default();
    let all = Grants {
        keys: true,
        null_wasi: true,
    };
    let vetted = |granted| vet(data.to_vec(), None, None, granted, &limits);
    let (strict, wide) = (vetted(Grants::default()), vetted(all));
    assert_eq!(about(data), about(data), "it says another thing each time");
    match (&strict, &wide) {
        (Ok(strict), Ok(wide)) => {
            assert_eq!(outline(strict), outline(wide));
            for import in strict.imports() {
                let is_granted = import.starts_with("wasi:") || import.contains("/keys@");
                assert!(!is_granted, "`{import}` without a grant");
            }
        }
        (Err(VetError::Import { .. }), Ok(_)) => {}
        (Err(one), Err(other)) => assert_eq!(one.code(), other.code()),
        (Ok(_), Err(_)) | (Err(_), Ok(_)) => {
            assert_eq!(
                strict.is_ok(),
                wide.is_ok(),
                "a grant decides what it must not"
            );
        }
    }
    let Ok(taken) = wide else { return };
    holds(&taken, data);
    let refused =
        |expected, pinned, limits: &Limits| vet(data.to_vec(), expected, pinned, all, limits).err();
    let small = Limits {
        component: u64::try_from(data.len()).unwrap_or(u64::MAX) - 1,
        ..limits.clone()
    };
    let is_held = matches!(refused(None, None, &small), Some(VetError::TooLarge { .. }));
    assert!(is_held, "no limit holds");
    let pin = Some(Digest::of(b"another"));
    let is_held = matches!(
        refused(None, pin, &limits),
        Some(VetError::DigestMismatch { .. })
    );
    assert!(is_held, "no pin holds");
    for expected in World::ALL {
        let (is_it, found) = (
            taken.world().name().ends_with(expected.name()),
            taken.world(),
        );
        let is_taken = refused(Some(expected), None, &limits).is_none();
        // What signs or confirms does what the plain world does; what is lent a key to rewrite is another kind.
        let is_it = is_it && (found == expected || found != World::KeyedDeidentifier);
        assert_eq!(is_taken, is_it, "{found:?} for {expected:?}");
    }
}

fn outline(vetted: &Vetted) -> (Digest, World, &[String], &[String]) {
    let (imports, exports) = (vetted.imports(), vetted.exports());
    (vetted.digest(), vetted.world(), imports, exports)
}

fn holds(taken: &Vetted, data: &[u8]) {
    assert_eq!((taken.bytes(), taken.digest()), (data, Digest::of(data)));
    let types = Validator::new_with_features(WasmFeatures::default()).validate_all(data);
    assert!(types.is_ok(), "it is not valid");
    let types = types.ok();
    let types = types.as_ref().map(|types| types.as_ref());
    for import in taken.imports() {
        let is_there = types.is_some_and(|it| it.component_item_for_import(import).is_some());
        assert!(is_there, "`{import}` is not imported");
        let ours = ["types", "diagnostics", "exchange", "keys"];
        let ours = ours.map(|name| format!("nephron:plugin/{name}@0.1."));
        let is_ours = ours.iter().any(|ours| import.starts_with(ours));
        let never = ["wasi:sockets", "wasi:http", "wasi:nn", "wasi:keyvalue"];
        let is_never = never.iter().any(|never| import.starts_with(never));
        let is_wasi = import.starts_with("wasi:") && !is_never;
        assert!(is_ours || is_wasi, "`{import}` is nobody's to give");
    }
    for export in taken.exports() {
        let is_there = types.is_some_and(|it| it.component_item_for_export(export).is_some());
        assert!(is_there, "`{export}` is not exported");
    }
}

/// What is recorded of questions and answers: what can be read is written in one form, and that form is read as the same.
pub fn recorded(data: &[u8]) {
    if let Ok(read) = Judgement::from_bytes(data) {
        let form = read.to_bytes();
        let again = Judgement::from_bytes(form.expose());
        assert!(again.is_ok_and(|again| again == read), "another question");
        // A matter is a question too: the same one, whenever it is asked.
        let matter = Judgement::from_bytes(read.matter().expose());
        assert!(matter.is_ok_and(|it| it.matter().expose() == read.matter().expose()));
    }
    if let Ok(read) = Answer::from_bytes(data) {
        let form = read.to_bytes();
        let again = Answer::from_bytes(form.expose());
        assert!(again.is_ok_and(|again| again == read), "another answer");
    }
}

#[cfg(test)]
mod tests {
    use super::bytes::replay;

    #[test]
    fn the_corpus_holds_what_components_must() {
        replay("component", super::component);
    }

    #[test]
    fn the_corpus_holds_what_answers_must() {
        replay("answers", super::answers);
    }

    #[test]
    fn the_corpus_holds_what_records_must() {
        replay("recorded", super::recorded);
    }
}
