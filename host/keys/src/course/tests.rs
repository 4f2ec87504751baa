use std::time::Duration;

use nephron_model::{Clock as _, EntryKind};
use pollster::block_on;

use super::*;
use crate::grant::{Grant, GrantRequest, Subject};
use crate::scope::Operations;
use crate::ward::Ward;

const NOW: u64 = 1_795_305_802;
const HOUR: Duration = Duration::from_secs(3_600);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn at(seconds: u64) -> Timestamp {
    Timestamp {
        seconds,
        nanoseconds: 0,
    }
}

/// For an hour.
fn request() -> GrantRequest {
    let subject = Subject::Caller("n.bellweather".to_owned());
    GrantRequest::new(subject, Operations::SEAL, "TREAT".parse().unwrap(), HOUR)
}

fn mint_lasting(keys: &TenantKeys) -> String {
    block_on(keys.mint_lasting(request())).unwrap().id
}

fn use_once(keys: &TenantKeys, id: &str) -> Result<(), KeyError> {
    let grant = keys.redeem(id, request())?;
    block_on(grant.seal(b"note", "c")).map(drop)
}

fn went_back<T>(result: Result<T, KeyError>) -> (u64, u64) {
    match result {
        Err(KeyError::ClockWentBack { reads, latest }) => (reads.seconds, latest.seconds),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was not refused"),
    }
}

#[test]
fn a_grant_ends_by_whichever_clock_is_first() {
    let ward = Ward::new("st-marys");
    let works = |grant: &Grant| match block_on(grant.mac(b"data")) {
        Ok(_) => true,
        Err(KeyError::Expired) => false,
        Err(other) => panic!("{other}"),
    };
    // Of a minute each.
    let (kept, cut) = (ward.grant(), ward.grant());
    ward.clock.set(NOW - 3_600);
    ward.clock.advance(seconds(59));
    assert!(works(&kept) && works(&cut));
    ward.clock.set(NOW + 60);
    assert!(!works(&cut));
    ward.clock.set(NOW - 3_600);
    ward.clock.advance(seconds(1));
    assert!(!works(&kept));
}

#[test]
fn nothing_new_is_lent_while_the_clock_reads_less_than_it_has_read() {
    let ward = Ward::new("st-marys");
    ward.clock.set(NOW - 2);
    drop(ward.grant());
    mint_lasting(&ward.keys);

    ward.clock.set(NOW - 4);
    for lasts in [false, true] {
        let refused = match lasts {
            false => ward.keys.mint(ward.request()).map(drop),
            true => block_on(ward.keys.mint_lasting(request())).map(drop),
        };
        assert_eq!(went_back(refused), (NOW - 4, NOW));
        let last = ward.last();
        assert_eq!(
            (last.kind, last.outcome.as_str()),
            (EntryKind::KeyRefused, "deny")
        );
        assert_eq!(last.reasons, ["clock-went-back"]);
    }
    assert_eq!(ward.keys.lasting().unwrap().len(), 1);
    // It catches up.
    ward.clock.advance(seconds(2));
    drop(ward.grant());
}

#[test]
fn what_the_log_has_counts_as_read() {
    let ward = Ward::new("st-marys");
    // Somebody else looked at the clock, and recorded something.
    ward.log.set_newest(at(NOW + 100));
    assert_eq!(went_back(ward.keys.mint(ward.request())), (NOW, NOW + 100));
    let reopened = ward.reopen().unwrap();
    assert_eq!(went_back(reopened.mint(ward.request())), (NOW, NOW + 100));
    ward.clock.advance(seconds(98));
    drop(reopened.mint(ward.request()).unwrap());
}

#[test]
fn a_lasting_grant_is_not_prolonged_by_a_clock_that_is_set_back() {
    let ward = Ward::new("st-marys");
    let id = mint_lasting(&ward.keys);
    // This process has not been asked for it yet, and was opened while the clock was right.
    let reopened = ward.reopen().unwrap();
    ward.clock.set(NOW - 10 * 3_600);
    for keys in [&ward.keys, &reopened] {
        use_once(keys, &id).unwrap();
    }
    ward.clock.advance(HOUR - seconds(1));
    for keys in [&ward.keys, &reopened] {
        use_once(keys, &id).unwrap();
    }
    ward.clock.advance(seconds(1));
    for keys in [&ward.keys, &reopened] {
        assert!(matches!(use_once(keys, &id), Err(KeyError::NotFound)));
        assert_eq!(keys.lasting().unwrap(), []);
    }
    let drafts = ward.log.drafts();
    let expired = drafts.iter().filter(|draft| draft.outcome == "expired");
    assert!(expired.clone().count() > 0 && expired.into_iter().all(|it| it.facts["grant"] == id));
}

#[test]
fn a_lasting_grant_of_which_nobody_knows_when_it_ends_is_not_used() {
    let ward = Ward::new("st-marys");
    let [id, revoked] = [(); 2].map(|()| mint_lasting(&ward.keys));
    ward.log.set_newest(at(NOW));
    ward.clock.set(NOW - 1_800);
    let reopened = ward.reopen().unwrap();
    let refused = use_once(&reopened, &id);
    assert_eq!(went_back(refused), (NOW - 1_800, NOW));
    let last = ward.last();
    assert_eq!(
        (last.kind, last.reasons, &last.facts["grant"]),
        (
            EntryKind::KeyRefused,
            vec!["clock-went-back".to_owned()],
            &id
        )
    );
    // It can be seen, and ended.
    let ended = Draft::new(EntryKind::GrantEnded, "revoked");
    block_on(reopened.revoke(&revoked, ended)).unwrap();
    assert_eq!(reopened.lasting().unwrap().len(), 1);
    // However long that lasts.
    ward.clock.advance(seconds(1_797));
    went_back(use_once(&reopened, &id));
    // Then it has what is left by the wall clock, on the steady one.
    ward.clock.advance(seconds(3));
    use_once(&reopened, &id).unwrap();
    ward.clock.set(NOW - 1_800);
    ward.clock.advance(HOUR - seconds(1));
    use_once(&reopened, &id).unwrap();
    ward.clock.advance(seconds(1));
    assert!(matches!(use_once(&reopened, &id), Err(KeyError::NotFound)));
}

#[test]
fn a_clock_that_ran_ahead_and_was_set_right_is_taken_as_it_is_by_a_person() {
    const YEAR: u64 = 365 * 86_400;
    let ward = Ward::new("st-marys");
    assert_eq!(
        block_on(ward.keys.take_clock("Dana", "ticket 7")).unwrap(),
        None
    );
    ward.clock.set(NOW + YEAR);
    let lent = mint_lasting(&ward.keys);
    // From here on the log has no other time.
    ward.log.set_newest(at(NOW + YEAR));
    ward.clock.set(NOW);
    let reopened = ward.reopen().unwrap();
    went_back(use_once(&reopened, &lent));
    for keys in [&ward.keys, &reopened] {
        went_back(keys.mint(ward.request()));
    }

    let taken = block_on(reopened.take_clock("Dana", "ticket 7")).unwrap();
    assert_eq!(taken, Some(at(NOW + YEAR)));
    let drafts = ward.log.drafts();
    let [ended, said] = drafts.last_chunk().unwrap();
    assert_eq!(
        (ended.outcome.as_str(), &ended.facts["grant"]),
        ("revoked", &lent)
    );
    assert_eq!(
        (said.kind, said.outcome.as_str()),
        (EntryKind::ClockTaken, "taken")
    );
    for entry in [ended, said] {
        assert_eq!(
            (&*entry.facts["by"], &*entry.facts["reason"]),
            ("Dana", "ticket 7")
        );
    }
    assert_eq!(said.facts["wrong-until"], at(NOW + YEAR).to_string());

    // The next process knows it too, and that time goes on from there.
    for keys in [&reopened, &ward.reopen().unwrap()] {
        drop(keys.mint(ward.request()).unwrap());
        use_once(keys, &mint_lasting(keys)).unwrap();
        ward.clock.set(NOW - 60);
        went_back(keys.mint(ward.request()));
        ward.clock.set(NOW);
    }
    // What ran ahead again was not what was spoken of.
    ward.log.set_newest(at(NOW + 2 * YEAR));
    went_back(reopened.mint(ward.request()));
}

#[test]
fn what_is_said_of_the_clock_is_believed_only_of_the_tenants_own_keys() {
    let [ward, other] = ["st-marys", "general"].map(Ward::new);
    other.log.set_newest(at(NOW + 100));
    block_on(other.keys.take_clock("Dana", "ticket 7")).unwrap();
    let said = other.last().records.remove(0);
    ward.log.set_newest(at(NOW + 100));
    ward.log.forge(said.space, &said.key, &said.value);
    let reopened = ward.reopen().unwrap();
    let refused = reopened.mint(ward.request());
    assert!(matches!(refused, Err(KeyError::AuthenticationFailed)));
}

#[test]
fn i1_a_clock_is_not_taken_unless_that_is_recorded() {
    let ward = Ward::new("st-marys");
    ward.log.set_newest(at(NOW + 100));
    ward.log.refuse_from(ward.log.drafts().len());
    let refused = block_on(ward.keys.take_clock("Dana", "ticket 7"));
    assert!(matches!(refused, Err(KeyError::NotRecorded(_))));
    ward.log.accept();
    went_back(ward.keys.mint(ward.request()));
    assert_eq!(ward.clock.now(), at(NOW));
}
