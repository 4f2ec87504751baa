//! Tokens: one for one value, for one conversation, for one tenant.

use nephron_gateway::{REPLACEMENTS, Replacement};
use nephron_model::EntryKind;
use nephron_tests::Setup;

/// The token that stood for the name in what the model saw, as the log has it.
async fn token_in(rig: &nephron_tests::Rig, conversation: &str, text: &str) -> String {
    let reply = rig
        .ask_as(
            "st-marys",
            "dr.okafor",
            "physician",
            "TREAT",
            Some(conversation),
            text,
        )
        .await;
    let entries = rig.entries(reply.event());
    let cleared = entries
        .iter()
        .find(|entry| entry.header.kind == EntryKind::Deidentified)
        .unwrap();
    let replacements = rig.payload(cleared, REPLACEMENTS).await;
    let replacements: Vec<Replacement> = serde_json::from_slice(&replacements).unwrap();
    replacements
        .into_iter()
        .find(|place| place.kind == "name")
        .unwrap()
        .token
}

#[tokio::test]
async fn two_patients_in_one_conversation_never_swap() {
    let rig = Setup::default().open().await;
    let first = "Patient: Zebulon Quackenbush has asthma.";
    let second = "Patient: Alma Thistlewood has diabetes.";
    for _ in 0..3 {
        for text in [first, second] {
            let reply = rig
                .ask_as(
                    "st-marys",
                    "dr.okafor",
                    "physician",
                    "TREAT",
                    Some("ward-7"),
                    text,
                )
                .await;
            assert_eq!(reply.text().unwrap().expose(), text);
        }
    }
    let (a, b) = (
        token_in(&rig, "ward-7", first).await,
        token_in(&rig, "ward-7", second).await,
    );
    assert_ne!(a, b);
    assert_eq!(
        a,
        token_in(&rig, "ward-7", first).await,
        "the same person keeps the same token"
    );
    assert_ne!(
        a,
        token_in(&rig, "ward-8", first).await,
        "and has another one elsewhere"
    );
}

#[tokio::test]
async fn a_token_that_a_user_types_is_never_resolved() {
    let rig = Setup::default().open().await;
    let issued = token_in(&rig, "ward-7", "Patient: Zebulon Quackenbush has asthma.").await;
    // In the same conversation, by someone who may see identities: what was typed comes back as typed.
    let typed = format!("Who is {issued}? And [NAME_00000]?");
    let reply = rig
        .ask_as(
            "st-marys",
            "dr.okafor",
            "physician",
            "TREAT",
            Some("ward-7"),
            &typed,
        )
        .await;
    assert_eq!(reply.text().unwrap().expose(), &typed);
}

#[tokio::test]
async fn i5_a_token_of_another_conversation_or_tenant_stays_as_it_stands() {
    let rig = Setup::default().open().await;
    let issued = token_in(&rig, "ward-7", "Patient: Zebulon Quackenbush has asthma.").await;
    let folder = rig.close();
    // The model shouts the token into another conversation, and into another tenant's.
    let shout = format!("answer = \"It was {issued}, and [MRN_ZZZZZ].\"\ndelta = 3");
    let rig = Setup::default()
        .connector("shouts-tokens", &shout)
        .as_configured()
        .open_in(folder)
        .await
        .unwrap();
    let expected = format!("It was {issued}, and [MRN_ZZZZZ].");
    for (tenant, conversation) in [("st-marys", "ward-8"), ("lakeside", "ward-7")] {
        let reply = rig
            .ask_as(
                tenant,
                "dr.okafor",
                "physician",
                "TREAT",
                Some(conversation),
                "Hello.",
            )
            .await;
        assert_eq!(
            reply.text().unwrap().expose(),
            &expected,
            "{tenant} {conversation}"
        );
    }
    // Nor for another caller, who names the same conversation.
    let reply = rig
        .ask_as(
            "st-marys",
            "n.bellweather",
            "nurse",
            "TREAT",
            Some("ward-7"),
            "Hello.",
        )
        .await;
    assert_eq!(reply.text().unwrap().expose(), &expected);
    // In the conversation that it was issued in, it is the person again.
    let reply = rig
        .ask_as(
            "st-marys",
            "dr.okafor",
            "physician",
            "TREAT",
            Some("ward-7"),
            "Hello.",
        )
        .await;
    assert_eq!(
        reply.text().unwrap().expose(),
        "It was Zebulon Quackenbush, and [MRN_ZZZZZ]."
    );
}

/// What a model does to a token: the value comes back all the same, in a whole answer and in a streamed one.
#[tokio::test]
async fn a_token_is_restored_in_whatever_form_a_model_gives_it() {
    let rig = Setup::default().open().await;
    let text = "Patient: Zebulon Quackenbush has asthma.";
    let issued = token_in(&rig, "ward-7", text).await;
    let folder = rig.close();
    let code = issued.get(6..11).unwrap();
    let small = code.to_lowercase();
    // As TOML, in which a backslash stands for itself between three single quotation marks.
    let said = format!(
        r"[name_{small}], [NAME\_{code}], &#91;NAME_{code}&#93;, NAME {code}, [NAME-{code}]s; [NAME_{code}'s]; name_{small}"
    );
    let shout = format!("answer = '''{said} or [MRN {code}]'''\ndelta = 3");
    let rig = Setup::default()
        .connector("shouts-tokens", &shout)
        .as_configured()
        .open_in(folder)
        .await
        .unwrap();
    let reply = rig
        .ask_as(
            "st-marys",
            "dr.okafor",
            "physician",
            "TREAT",
            Some("ward-7"),
            text,
        )
        .await;
    let name = "Zebulon Quackenbush";
    assert_eq!(
        reply.text().unwrap().expose(),
        &format!("{name}, {name}, {name}, {name}, {name}s; {name}'s; {name} or [MRN {code}]")
    );
    // Where it was not issued, it is text.
    let reply = rig
        .ask_as(
            "st-marys",
            "dr.okafor",
            "physician",
            "TREAT",
            Some("ward-8"),
            "Hello.",
        )
        .await;
    assert_eq!(
        reply.text().unwrap().expose(),
        &format!("{said} or [MRN {code}]")
    );
}

#[tokio::test]
async fn what_a_user_types_like_a_token_is_never_resolved_either() {
    let rig = Setup::default().open().await;
    let issued = token_in(&rig, "ward-7", "Patient: Zebulon Quackenbush has asthma.").await;
    let bare = issued.trim_matches(['[', ']']);
    let typed = format!("Who is {}? And {bare}?", issued.to_lowercase());
    let reply = rig
        .ask_as(
            "st-marys",
            "dr.okafor",
            "physician",
            "TREAT",
            Some("ward-7"),
            &typed,
        )
        .await;
    assert_eq!(reply.text().unwrap().expose(), &typed);
}
