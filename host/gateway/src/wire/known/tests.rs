use super::*;

/// The facts, each as `kind of value`.
fn read(json: &str) -> Result<Vec<String>, String> {
    let body = Json::read(json.as_bytes()).map_err(|error| error.to_string())?;
    let mut fields =
        Fields::of(body, "", UnknownFields::Drop).map_err(|error| error.to_string())?;
    let known = Known::of_extension(&mut fields).map_err(|error| error.to_string())?;
    let facts = known.messages().iter().flat_map(|message| &message.parts);
    let facts: Vec<serde_json::Value> = facts
        .flat_map(|part| match part {
            Part::Json(json) => serde_json::from_str::<Vec<serde_json::Value>>(json).unwrap(),
            Part::Text(_) | Part::Blob(_) => panic!("no JSON"),
        })
        .collect();
    assert_eq!(known.counts().values().sum::<u64>(), facts.len() as u64);
    let word = |fact: &serde_json::Value, name: &str| fact[name].as_str().unwrap().to_owned();
    Ok(facts
        .iter()
        .map(|fact| {
            ["kind", "of", "value"]
                .map(|name| word(fact, name))
                .join(" ")
        })
        .collect())
}

#[test]
fn the_flat_form_says_all_that_it_may() {
    let facts = read(
        r#"{"nephron":{"known":{"name":"Alma Thistlewood","aliases":["Ally T."],"dob":"1956-03-12","mrn":["483920"," "],
        "staff":["Dr. Castellane"],"fhir":[{"resourceType":"RelatedPerson","name":[{"given":["Bo",null]}]}]}}}"#,
    );
    assert_eq!(
        facts.unwrap(),
        [
            "name patient Alma Thistlewood",
            "name patient Ally T.",
            "date patient 1956-03-12",
            "mrn patient 483920",
            "name staff Dr. Castellane",
            "name relative Bo",
        ]
    );
    assert!(read("{}").unwrap().is_empty());
}

#[test]
fn fhir_says_who_is_who() {
    let patient = r#"{"resourceType":"Patient","name":[{"family":"Thistlewood","given":["Alma","Jane"]}],"birthDate":"1956-03-12",
        "identifier":[{"type":{"coding":[{"code":"MR"}]},"value":"483920"},
            {"system":"http://hl7.org/fhir/sid/us-ssn","value":"900-12-3456"}],
        "telecom":[{"system":"phone","value":"503-555-0144"},{"system":"email","value":"alma@mail.example"}],
        "address":[{"line":["412 Larkspur Lane"],"city":"Wobblegrove","state":"OR","postalCode":"97201"}],
        "contact":[{"name":{"text":"Bo Thistlewood"},"telecom":[{"value":"503-555-0199"}]}],
        "extension":[{"url":"http://hl7.org/fhir/StructureDefinition/patient-mothersMaidenName","valueString":"Ek"}],
        "generalPractitioner":[{"display":"Dr. Castellane"}],"gender":"female","active":true}"#;
    let encounter = r#"{"resourceType":"Encounter","period":{"start":"2024-11-05"},"subject":{"display":"Alma T."},
        "participant":[{"individual":{"display":"Nurse Quillon"}}],"location":[{"location":{"display":"Oakley Ward"}}]}"#;
    let bundle = format!(
        r#"{{"nephron":{{"known":{{"resourceType":"Bundle","entry":[{{"resource":{patient}}},{{"resource":{encounter}}},
        {{"resource":{{"resourceType":"Observation","valueString":"fine"}}}}]}}}}}}"#
    );
    assert_eq!(
        read(&bundle).unwrap(),
        [
            "name patient Thistlewood, Alma Jane",
            "geo patient 412 Larkspur Lane, Wobblegrove, OR, 97201",
            "date patient 1956-03-12",
            "mrn patient 483920",
            "ssn patient 900-12-3456",
            "phone patient 503-555-0144",
            "email patient alma@mail.example",
            "name relative Bo Thistlewood",
            "phone relative 503-555-0199",
            "name relative Ek",
            "name staff Dr. Castellane",
            "name patient Alma T.",
            "date encounter 2024-11-05",
            "name staff Nurse Quillon",
            "geo encounter Oakley Ward",
        ]
    );
}

#[test]
fn i9_what_is_wrong_is_named_by_its_place_and_not_quoted() {
    let long = "x".repeat(501);
    let many = vec![r#""Quackenbush""#; 2001].join(",");
    for (json, place) in [
        (r#"{"nephron":7}"#.to_owned(), "`nephron` must be"),
        (
            r#"{"nephron":{"Quackenbush":1}}"#.to_owned(),
            "`nephron` has a field",
        ),
        (
            r#"{"nephron":{"known":{"Quackenbush":1}}}"#.to_owned(),
            "`nephron.known` has a field",
        ),
        (
            r#"{"nephron":{"known":{"mrn":7}}}"#.to_owned(),
            "`nephron.known.mrn` must be",
        ),
        (
            format!(r#"{{"nephron":{{"known":{{"name":"{long}"}}}}}}"#),
            "`nephron.known.name` must be at most",
        ),
        (
            format!(r#"{{"nephron":{{"known":{{"staff":[{many}]}}}}}}"#),
            "`nephron.known.staff` must be one of at most",
        ),
        (
            r#"{"nephron":{"known":[{"resourceType":"Quackenbush"}]}}"#.to_owned(),
            "`nephron.known[0].resourceType` must be a `Patient`",
        ),
        (
            r#"{"nephron":{"known":{"resourceType":"Patient","name":"Quackenbush"}}}"#.to_owned(),
            "`nephron.known.name` must be as FHIR R4 has it",
        ),
    ] {
        let error = read(&json).unwrap_err();
        assert!(
            error.contains(place) && !error.contains("Quackenbush"),
            "{place}: {error}"
        );
    }
}
