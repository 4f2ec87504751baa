use std::time::Duration;

use nephron_model::Recorder as _;
use pollster::block_on;

use super::*;
use crate::grant::Field;
use crate::ward::{Ward, kind};

/// Two uses in an hour: a nurse may open record numbers for treatment.
fn request() -> GrantRequest {
    let subject = Subject::Caller("n.bellweather".to_owned());
    let hour = Duration::from_secs(3600);
    GrantRequest {
        uses: Some(2),
        kinds: Kinds::Only([kind("mrn")].into()),
        caller: Some("dr.okafor".to_owned()),
        ..GrantRequest::new(subject, Operations::OPEN, "TREAT".parse().unwrap(), hour)
    }
}

fn mint(ward: &Ward) -> Lasting {
    block_on(ward.keys.mint_lasting(request())).unwrap()
}

fn sealed(ward: &Ward, name: &str) -> Vec<u8> {
    let kind = kind(name);
    let fields = [(field(&kind), "90210557")];
    block_on(ward.grant().seal_fields(&fields))
        .unwrap()
        .remove(0)
}

fn field(kind: &nephron_model::Kind) -> Field<'_> {
    Field {
        record: "patient/4711",
        name: "number",
        kind,
    }
}

/// One use by `subject` for `purpose`.
fn open(keys: &TenantKeys, id: &str, of: &str, sealed: &[u8]) -> Result<String, KeyError> {
    let grant = keys.redeem(id, request())?;
    let kind = kind(of);
    let opened = block_on(grant.open_fields(&[(field(&kind), sealed)]))?;
    Ok(opened[0].expose().clone())
}

#[test]
fn a_lasting_grant_opens_what_it_covers_as_often_as_it_says_also_after_a_restart() {
    let ward = Ward::new("st-marys");
    let (lasting, sealed) = (mint(&ward), sealed(&ward, "mrn"));
    assert!(is_grant_id(&lasting.id));
    assert_eq!(
        open(&ward.keys, &lasting.id, "mrn", &sealed).unwrap(),
        "90210557"
    );
    assert_eq!(ward.last().facts["uses-left"], "1");
    assert_eq!(ward.last().facts["grant"], lasting.id);

    let reopened = ward.reopen().unwrap();
    let left = Lasting {
        uses: Some(1),
        ..lasting.clone()
    };
    assert_eq!(reopened.lasting().unwrap(), [left]);
    assert!(open(&reopened, &lasting.id, "mrn", &sealed).is_ok());
    let spent = open(&reopened, &lasting.id, "mrn", &sealed);
    assert!(matches!(spent, Err(KeyError::BudgetExhausted)));
    assert_eq!(ward.last().kind, EntryKind::KeyRefused);
    let again = ward.reopen().unwrap();
    let spent = open(&again, &lasting.id, "mrn", &sealed);
    assert!(matches!(spent, Err(KeyError::BudgetExhausted)));
}

#[test]
fn what_a_lasting_grant_does_not_cover_is_refused_and_recorded() {
    let ward = Ward::new("st-marys");
    let (lasting, sealed) = (mint(&ward), sealed(&ward, "name"));
    let another_kind = open(&ward.keys, &lasting.id, "name", &sealed);
    assert!(matches!(another_kind, Err(KeyError::NotPermitted)));
    type Change = fn(&mut GrantRequest);
    let changes: [(Change, &[&str]); 3] = [
        (
            |request| request.subject = Subject::Caller("n.other".to_owned()),
            &["not-found", "subject"],
        ),
        (
            |request| request.purpose = "HRESCH".parse().unwrap(),
            &["not-permitted", "purpose"],
        ),
        (
            |request| request.operations = Operations::DETOKENIZE,
            &["not-permitted", "operation"],
        ),
    ];
    for (change, reasons) in changes {
        let mut request = request();
        change(&mut request);
        assert!(ward.keys.redeem(&lasting.id, request).is_err());
        let last = ward.last();
        assert_eq!(
            (last.kind, last.reasons.as_slice()),
            (
                EntryKind::KeyRefused,
                &reasons
                    .iter()
                    .map(|reason| (*reason).to_owned())
                    .collect::<Vec<_>>()[..]
            )
        );
    }
    let unknown = ward
        .keys
        .redeem("grant-00000000000000000000000000", request());
    assert!(matches!(unknown, Err(KeyError::NotFound)));
    // None of this took a use.
    assert_eq!(ward.keys.lasting().unwrap()[0].uses, Some(2));
}

#[test]
fn a_lasting_grant_ends_when_it_is_revoked_or_expires_and_the_log_says_so() {
    let ward = Ward::new("st-marys");
    let (first, second, sealed) = (mint(&ward), mint(&ward), sealed(&ward, "mrn"));
    let lent = ward.keys.redeem(&first.id, request()).unwrap();
    let ended = Draft::new(EntryKind::GrantEnded, "revoked");
    block_on(ward.keys.revoke(&first.id, ended.clone())).unwrap();
    assert_eq!(ward.last().facts["grant"], first.id);
    // Also for who holds a handle.
    let kind = kind("mrn");
    let refused = block_on(lent.open_fields(&[(field(&kind), &sealed)]));
    assert!(refused.is_err());
    assert!(matches!(
        open(&ward.keys, &first.id, "mrn", &sealed),
        Err(KeyError::NotFound)
    ));
    let twice = block_on(ward.keys.revoke(&first.id, ended));
    assert!(matches!(twice, Err(KeyError::NotFound)));

    ward.clock.advance(Duration::from_secs(3600));
    assert!(matches!(
        open(&ward.keys, &second.id, "mrn", &sealed),
        Err(KeyError::NotFound)
    ));
    let expired = ward
        .log
        .drafts()
        .into_iter()
        .find(|draft| draft.outcome == "expired");
    assert_eq!(expired.unwrap().facts["grant"], second.id);
    assert!(ward.reopen().unwrap().lasting().unwrap().is_empty());
}

#[test]
fn i1_a_lasting_grant_that_is_not_recorded_does_not_exist() {
    let ward = Ward::new("st-marys");
    ward.log.refuse_from(ward.log.drafts().len());
    let refused = block_on(ward.keys.mint_lasting(request()));
    assert!(matches!(refused, Err(KeyError::NotRecorded(_))));
    ward.log.accept();
    assert!(ward.keys.lasting().unwrap().is_empty());
}

#[test]
fn i5_a_grant_that_was_put_into_the_store_or_carried_to_another_tenant_lends_nothing() {
    let [here, there] = ["st-marys", "general"].map(Ward::new);
    let lasting = mint(&there);
    for draft in there
        .log
        .drafts()
        .into_iter()
        .filter(|draft| !draft.records.is_empty())
    {
        if draft.kind == EntryKind::GrantMinted {
            let _commit = here.log.record(draft);
        }
    }
    let refused = here.reopen().unwrap().redeem(&lasting.id, request());
    assert!(matches!(refused, Err(KeyError::AuthenticationFailed)));
}

#[test]
fn a_destroyed_key_lends_nothing() {
    let ward = Ward::new("st-marys");
    let lasting = mint(&ward);
    block_on(ward.keys.destroy("test")).unwrap();
    let refused = ward.keys.redeem(&lasting.id, request());
    assert!(matches!(refused, Err(KeyError::Destroyed)));
    let refused = block_on(ward.keys.mint_lasting(request()));
    assert!(matches!(refused, Err(KeyError::Destroyed)));
}

#[test]
fn a_use_takes_no_more_values_than_the_grant_gives() {
    let ward = Ward::new("st-marys");
    let one_value = |kinds| GrantRequest {
        values: Some(1),
        kinds,
        conversation: Some(ward.conversation("c")),
        ..GrantRequest::new(
            Subject::Caller("n.bellweather".to_owned()),
            TenantKeys::LASTING_OPERATIONS,
            "TREAT".parse().unwrap(),
            Duration::from_secs(3600),
        )
    };
    let names = Kinds::Only([kind("name"), kind("mrn")].into());
    let lasting = block_on(ward.keys.mint_lasting(one_value(names))).unwrap();
    assert_eq!(ward.last().facts["values"], "1");
    let tokens = [
        (kind("name"), "Ada"),
        (kind("name"), "Ben"),
        (kind("date"), "May"),
    ];
    let tokens = block_on(ward.grant().tokenize(&tokens)).unwrap();
    // The grant's limit, and not the one that a use asks for; after a restart too.
    for keys in [&ward.keys, &ward.reopen().unwrap()] {
        let grant = || {
            let asked = GrantRequest {
                values: None,
                ..one_value(Kinds::Any)
            };
            keys.redeem(&lasting.id, asked).unwrap()
        };
        let [ada, ben, may] = tokens.as_slice() else {
            panic!()
        };
        assert_eq!(grant().values_of([ada, ada, may]), 1);
        let restored = block_on(grant().detokenize(&[ada.clone(), ada.clone(), may.clone()]));
        assert!(restored.unwrap()[2].is_none());
        let mrn = kind("mrn");
        let sealed = sealed(&ward, "mrn");
        let both = [(field(&mrn), "1"), (field(&mrn), "2")];
        let opened = [(field(&mrn), sealed.as_slice()), (field(&mrn), &sealed)];
        for refused in [
            block_on(grant().detokenize(&[ada.clone(), ben.clone()])).err(),
            block_on(grant().seal_fields(&both)).err(),
            block_on(grant().open_fields(&opened)).err(),
            grant().fits(Operations::OPEN, 2).err(),
        ] {
            assert!(matches!(refused, Some(KeyError::NotPermitted)));
        }
        assert!(block_on(grant().open_fields(&opened[..1])).is_ok());
    }
    let drafts = ward.log.drafts();
    let refusals = drafts
        .iter()
        .filter(|draft| draft.kind == EntryKind::KeyRefused)
        .filter(|draft| draft.reasons == ["not-permitted", "values"]);
    assert_eq!(refusals.count(), 8);
}

#[test]
fn what_an_act_writes_does_not_grow_with_the_number_of_grants() {
    let ward = Ward::new("st-marys");
    let mint_all = |number| (0..number).map(|_| mint(&ward).id);
    let mut grants: Vec<String> = mint_all(TenantKeys::MOST_LASTING).collect();
    let full = block_on(ward.keys.mint_lasting(request()));
    assert!(matches!(full, Err(KeyError::NotPermitted)));
    // From all over the index, and others in their places.
    let keep = |id: &&String| !id.ends_with(['0', '8', 'G', 'R']);
    for id in grants.iter().filter(|id| !keep(id)) {
        let ended = Draft::new(EntryKind::GrantEnded, "revoked");
        block_on(ward.keys.revoke(id, ended)).unwrap();
    }
    grants.retain(|id| keep(&id));
    grants.extend(mint_all(TenantKeys::MOST_LASTING - grants.len()));
    grants.sort();
    let reopened = ward.reopen().unwrap();
    let kept = reopened.lasting().unwrap().into_iter();
    assert_eq!(kept.map(|grant| grant.id).collect::<Vec<_>>(), grants);
    assert_eq!(
        reopened.lasting_of(&grants[7]).unwrap().unwrap().id,
        grants[7]
    );

    ward.clock.advance(Duration::from_secs(3600));
    assert_eq!(reopened.lasting().unwrap(), []);
    let drafts = ward.log.drafts();
    let expired = drafts.iter().filter(|draft| draft.outcome == "expired");
    assert_eq!(expired.count(), TenantKeys::MOST_LASTING);
    for draft in drafts {
        let bytes: usize = draft.records.iter().map(|record| record.value.len()).sum();
        assert!(draft.records.len() <= 2 && bytes < 2_000, "{bytes} bytes");
    }
    assert_eq!(ward.reopen().unwrap().lasting().unwrap(), []);
}
