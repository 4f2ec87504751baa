//! Every identifier of the quick start's notes is found, and the clinical words around them are kept.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test may fail by panicking; its helpers stand outside test functions"
)]

use nephron_sdk::Plugin;
use safe_harbor::{Found, SafeHarbor};

fn detector(settings: &str) -> SafeHarbor {
    match SafeHarbor::configure(serde_json::from_str(settings).unwrap()) {
        Ok(detector) => detector,
        Err(problems) => panic!("{problems:?}"),
    }
}

/// Whether every letter and digit of `start..end` is covered, and whether by a finding of `kind`.
fn covered(text: &str, found: &[Found], start: usize, end: usize, kind: &str) -> (bool, bool) {
    let all = text[start..end]
        .char_indices()
        .filter(|(_, c)| c.is_alphanumeric())
        .all(|(at, _)| {
            found
                .iter()
                .any(|one| one.start <= start + at && start + at < one.end)
        });
    let typed = found
        .iter()
        .any(|one| one.start < end && start < one.end && one.kind.as_str() == kind);
    (all, typed)
}

/// Each `identifiers` text is covered wherever it stands, at least once as its kind; no `kept` text is touched.
fn check(text: &str, identifiers: &[(&str, &str)], kept: &[&str]) {
    let found = detector("{}").find(&[text]).remove(0);
    assert!(
        found.windows(2).all(|pair| pair[0].end <= pair[1].start),
        "findings overlap"
    );
    let mut faults = Vec::new();
    for (kind, identifier) in identifiers {
        let mut typed_once = false;
        let mut seen = false;
        for (start, _) in text.match_indices(identifier) {
            seen = true;
            let (all, typed) = covered(text, &found, start, start + identifier.len(), kind);
            typed_once |= typed;
            if !all {
                faults.push(format!("missed {kind} `{identifier}` at {start}"));
            }
        }
        if !seen {
            faults.push(format!("`{identifier}` does not stand in the note"));
        } else if !typed_once {
            faults.push(format!("`{identifier}` is never found as {kind}"));
        }
    }
    for phrase in kept {
        let start = text.find(phrase);
        let Some(start) = start else {
            faults.push(format!("`{phrase}` does not stand in the note"));
            continue;
        };
        for one in found
            .iter()
            .filter(|one| one.start < start + phrase.len() && start < one.end)
        {
            faults.push(format!(
                "took `{}` of `{phrase}` for {} ({})",
                &text[one.start..one.end],
                one.kind.as_str(),
                one.rule
            ));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

macro_rules! note {
    ($test:ident, $file:literal, $identifiers:expr, $kept:expr) => {
        #[test]
        fn $test() {
            check(
                include_str!(concat!("../../../examples/quickstart/notes/", $file)),
                $identifiers,
                $kept,
            );
        }
    };
}

note!(
    discharge_summary,
    "discharge-summary.txt",
    &[
        ("geo", "QUILLHAVEN REGIONAL MEDICAL CENTER"),
        ("geo", "2200 Harbor Bluff Drive, Quillhaven, OR 97103"),
        ("phone", "(503) 555-0110"),
        ("fax", "(503) 555-0111"),
        ("name", "Tessa J. Marlowe"),
        ("mrn", "4471902"),
        ("account", "QH-88213047"),
        ("date", "05/02/1931"),
        ("age", "92-year-old"),
        ("age", "92"),
        ("date", "March 9, 2024"),
        ("date", "03/14/2024"),
        ("name", "Osric Vandermeer"),
        ("license", "1234567893"),
        ("name", "Imogen Castellane"),
        ("name", "Perpetua"),
        ("date", "3/10"),
        ("date", "12 March 2024"),
        ("device", "PJN-4402917X"),
        ("name", "Marlowe"),
        ("name", "Vandermeer"),
        ("date", "March 12th"),
        ("geo", "Larchmere Heart Clinic"),
        ("date", "03/21/2024"),
        ("geo", "14 Larch Lane, Apt 3, Quillhaven, OR 97103"),
        ("phone", "503-555-0144"),
        ("email", "p.marlowe@letterbox.example"),
        ("health-plan", "1EG4-TE5-MK72"),
    ],
    &[
        ", NP\n",
        "DISCHARGE SUMMARY",
        "REASON FOR ADMISSION",
        "Acute on chronic heart failure with reduced ejection fraction (LVEF 35%)",
        "furosemide 40 mg IV twice daily and lost 3.2 kg",
        "Troponin was negative x3",
        "Foley catheter",
        "Parkinson's disease",
        "5/5 strength",
        "118/64",
        "Levodopa/carbidopa 25/100",
        "Daily weights",
    ]
);

note!(
    radiology,
    "radiology.txt",
    &[
        ("geo", "LARCHMERE IMAGING ASSOCIATES"),
        ("id", "LIA-2024-55817"),
        ("date", "2024-02-27"),
        ("name", "FENWICK, AUGUSTIN R"),
        ("date", "11-Sep-1968"),
        ("mrn", "20931847"),
        ("name", "Beatrix Holloway"),
        ("geo", "St. Orla's Hospital"),
        ("geo", "Quillhaven"),
        ("date", "January 30, 2024"),
        ("device", "CTX-77120-B"),
        ("url", "https://pacs.larchmere.example/study/55817"),
        ("ip", "192.0.2.44"),
        ("name", "Holloway"),
        ("phone", "(541) 555-0167"),
        ("date", "02/27/2024"),
        ("name", "Fenwick"),
        ("name", "Leopold Ashgrove"),
        ("name", "K. Winterbourne"),
        ("photo", "fenwick_ct_20240227.jpg"),
    ],
    &[
        "CT chest with intravenous contrast",
        "55-year-old man",
        "30 pack-years",
        "iohexol 350 mg/mL",
        "spiculated nodule in the right upper lobe measuring 2.1 x 1.8 cm (series 4, image 112)",
        "No pleural effusion",
        "Degenerative change of the thoracic spine",
        "suspicious for primary lung malignancy",
    ]
);

note!(
    nursing,
    "nursing.txt",
    &[
        ("date", "06/18/2024"),
        ("name", "Corwin Ashby-Delacourt"),
        ("mrn", "0098-4417"),
        ("id", "WB5540921"),
        ("name", "R. Tamsin"),
        ("name", "Marguerite"),
        ("phone", "971-555-0188"),
        ("vehicle", "7QKX219"),
        ("name", "Ashby-Delacourt"),
        ("name", "Lindqvist"),
        ("phone", "44172"),
        ("device", "BX-2209-71834"),
        ("name", "Corwin"),
        ("name", "Thaddeus"),
        ("geo", "Sandpiper Rehabilitation Center"),
        ("geo", "Port Ellery"),
        ("name", "Yolanda Birchfield"),
        ("name", "J. Okonkwo"),
        ("license", "RN-5518204"),
        ("date", "06/19/2024"),
    ],
    &[
        "Received report from",
        "pain 3/10 at the left hip",
        "BP 128/76, HR 84, RR 16, T 98.8 F, SpO2 96%",
        "Oxycodone 5 mg PO",
        "pain 6/10",
        "Braden 17, Morse 55",
        "Foley catheter draining clear yellow urine, 320 mL",
        "Hgb 9.4, WBC 8.1, K 3.9",
        "Enoxaparin 40 mg",
        "She may visit",
        "Physical therapy at 0900",
    ]
);

note!(
    psychiatry,
    "psychiatry.txt",
    &[
        ("name", "Ilse Brandvold"),
        ("name", "Wren"),
        ("date", "April 3, 2024"),
        ("health-plan", "HPX-77-40921"),
        ("health-plan", "55-2093"),
        ("name", "Rafael Quintero-Lund"),
        ("name", "Emeric"),
        ("geo", "Tacoma"),
        ("geo", "Fennimore University"),
        ("date", "the third of February"),
        ("name", "Saoirse"),
        ("id", "PRM-00418"),
        ("biometric", "VP-559A"),
        ("name", "Noor"),
        ("name", "Quintero-Lund"),
        ("phone", "253-555-0121"),
        ("date", "04/24/2024"),
        ("email", "wren.brandvold@inkpost.example"),
        ("geo", "Gullwing Pharmacy"),
        ("fax", "(360) 555-0173"),
        ("license", "BQ1234563"),
        ("license", "2270-661-551"),
    ],
    &[
        "34-year-old graduate student",
        "major depressive disorder",
        "sertraline 100 mg",
        "PHQ-9 score 14/27, GAD-7 score 11/21",
        "No delusions, no hallucinations",
        "Increase sertraline to 150 mg daily",
        "Cognitive behavioral therapy",
    ]
);

note!(
    hl7_message,
    "hl7-message.txt",
    &[
        ("geo", "QUILLHAVEN REGIONAL"),
        ("geo", "LARCHMERE HEALTH"),
        ("date", "20240509143012"),
        ("id", "QH20240509-7731"),
        ("name", "OKONJO"),
        ("name", "Adaeze"),
        ("mrn", "5583920"),
        ("mrn", "900-55-0142"),
        ("name", "HARGREAVE"),
        ("name", "Silas"),
        ("name", "Octavian"),
        ("date", "19470822"),
        ("geo", "4417 Old Kettle Rd"),
        ("geo", "Quillhaven"),
        ("geo", "97103"),
        ("phone", "5550119"),
        ("email", "s.hargreave@postbag.example"),
        ("account", "QH-66201488"),
        ("ssn", "900550142"),
        ("license", "OR-4417730"),
        ("name", "Philippa"),
        ("license", "1234567893"),
        ("name", "VANDERMEER"),
        ("name", "Osric"),
        ("account", "V-20931"),
        ("health-plan", "GRP-20417"),
        ("health-plan", "2TF5-WM8-QR19"),
        ("geo", "PO BOX 7714"),
        ("id", "ORD-118820"),
        ("id", "LAB-559013"),
        ("name", "Hargreave"),
        ("name", "Holloway"),
    ],
    &[
        "Acute on chronic systolic heart failure",
        "2160-0^Creatinine^LN||1.4|mg/dL|0.7-1.3|H",
        "^Penicillin|MO|Rash",
        "I50.23",
        "furosemide 40 mg IV",
        "repeat creatinine in the morning",
    ]
);

note!(
    patient_message,
    "patient-message.txt",
    &[
        ("name", "Holloway"),
        ("name", "Bettina Sørensen-Vale"),
        ("date", "7/19/1959"),
        ("geo", "Quillhaven Regional Medical Center"),
        ("date", "May 28th"),
        ("mrn", "77120944"),
        ("date", "6/2"),
        ("name", "Gus"),
        ("name", "Henrike"),
        ("photo", "bettina_knee_front.jpg"),
        ("url", "https://wellband.example/u/bvale59"),
        ("phone", "458-555-0136"),
        ("email", "bettina.vale@quickmail.example"),
        ("name", "Jorrit"),
        ("phone", "(458) 555-0137"),
        ("geo", "88 Cormorant Street"),
        ("geo", "Port Ellery"),
        ("geo", "97199"),
        ("date", "June"),
        ("account", "6620148833"),
        ("name", "Bettina"),
    ],
    &[
        "swelling after my surgery",
        "my calf has been swollen",
        "aspirin 81 mg twice a day",
        "Tylenol 500 mg",
        "5 out of 10",
        "in 2019",
        "it may be a clot",
        "I do not have a fever",
    ]
);

note!(
    referral_letter,
    "referral-letter.txt",
    &[
        ("geo", "Pinecrest Family Medicine"),
        ("geo", "731 Alder Spring Road, Suite 12"),
        ("geo", "Port Ellery, OR 97199"),
        ("phone", "458-555-0150"),
        ("fax", "458-555-0151"),
        ("url", "www.pinecrest-fm.example"),
        ("date", "July 8, 2024"),
        ("name", "Kobayashi-Reyes"),
        ("name", "Lucian Thornquist"),
        ("date", "10/30/1981"),
        ("ssn", "900-12-4471"),
        ("mrn", "PF-220417"),
        ("name", "Thornquist"),
        ("date", "June 24, 2024"),
        ("geo", "Tulare County"),
        ("date", "the nineteenth of June"),
        ("vehicle", "1HGCM82633A004352"),
        ("geo", "Larchmere Imaging Associates"),
        ("date", "07/01/2024"),
        ("age", "97 years old"),
        ("name", "Delphine Abernathy"),
        ("email", "d.abernathy@cascadiaworks.example"),
        ("id", "WC-2024-118273"),
        ("license", "OR-8841207"),
        ("biometric", "FP-30991-L"),
        ("name", "Cosima Wetherell"),
        ("license", "MD-104882"),
        ("license", "1098765432"),
    ],
    &[
        "42-year-old forklift driver",
        "biceps strength is 4/5 on the right and 5/5 on the left",
        "Hoffmann's sign",
        "Tinel's sign",
        "Romberg test",
        "C5-C6 disc protrusion",
        "naproxen 500 mg twice daily",
        "lisinopril 10 mg",
        "HbA1c 7.4%",
        "Raynaud's phenomenon",
        "type 2 diabetes",
    ]
);

#[test]
fn phrases_of_the_clinic_are_kept() {
    let kept = [
        "Murphy's sign is negative",
        "Glasgow Coma Scale 15",
        "a 60-year-old man on metformin 500 mg",
        "She may have a urinary tract infection",
        "BP 120/80, pulse 72, T 98.6",
        "grade 2/6 systolic murmur",
        "1/2 tablet daily",
        "diagnosed in 2019",
        "HER2 and BRCA1 testing",
        "COVID-19 vaccine",
        "ICD-10 code I50.9",
        "Lasix 40 mg daily",
        "Will follow up in two weeks",
        "platelets 250000 cells",
        "PMID 39968990",
    ];
    for text in kept {
        check(text, &[], &[text]);
    }
}

#[test]
fn letters_behind_a_name_are_kept_and_the_next_name_is_found() {
    check(
        "Providers: Imogen Castellane, NP, MPH; Osric Vandermeer, MD",
        &[("name", "Imogen Castellane"), ("name", "Osric Vandermeer")],
        &[", NP, MPH; ", ", MD"],
    );
}

#[test]
fn forms_of_each_kind_are_found() {
    let forms: &[(&str, &str, &str)] = &[
        ("seen 3/14 in clinic on 3/16", "date", "3/16"),
        ("on the third of July", "date", "third of July"),
        ("ZIP code 03601", "geo", "03601"),
        ("ZIP prefix 036", "geo", "036"),
        ("at 2001:db8::17 today", "ip", "2001:db8::17"),
        (
            "UDI (01)00844588003288(21)A1B2C3",
            "device",
            "(01)00844588003288(21)A1B2C3",
        ),
        ("chartMRN04857211", "mrn", "04857211"),
        ("SSN 402 19 8877", "ssn", "402 19 8877"),
        (
            "a ninety-four-year-old woman",
            "age",
            "ninety-four-year-old",
        ),
        ("seen by dr thornquist today", "name", "thornquist"),
        ("THORNQUIST, JANE Q", "name", "THORNQUIST, JANE Q"),
        ("call +44 20 7946 0958 now", "phone", "+44 20 7946 0958"),
        ("card 4111 1111 1111 1111", "account", "4111 1111 1111 1111"),
        ("prefers to be called 'Sunny'", "name", "Sunny"),
        (
            "admitted to Cedar Crest Hospital",
            "geo",
            "Cedar Crest Hospital",
        ),
        ("lives in Quillhaven, Oregon", "geo", "Quillhaven"),
    ];
    for (text, kind, identifier) in forms {
        check(text, &[(kind, identifier)], &[]);
    }
    check("ZIP prefix 937", &[], &["937"]);
}

#[test]
fn what_one_message_gives_away_is_found_in_the_others() {
    let texts = [
        "Mr. Thornquist (MRN 88-2017) was seen.",
        "thornquist called; THORNQUIST's chart 88-2017 is open.",
    ];
    let found = detector("{}").find(&texts);
    let second: Vec<_> = found[1]
        .iter()
        .map(|one| &texts[1][one.start..one.end])
        .collect();
    assert_eq!(second, ["thornquist", "THORNQUIST", "88-2017"]);
}

#[test]
fn what_two_messages_share_is_found_in_both() {
    let texts = [
        "my number is 503-555-",
        "0144, and my SSN is 900-12",
        "-4471. I take 5",
        "tablets",
    ];
    let found = detector("{}").find(&texts);
    let written: Vec<Vec<_>> = found
        .iter()
        .zip(texts)
        .map(|(found, text)| found.iter().map(|one| &text[one.start..one.end]).collect())
        .collect();
    assert_eq!(
        written,
        [
            vec!["503-555-"],
            vec!["0144", "900-12"],
            vec!["-4471"],
            vec![]
        ]
    );
}

#[test]
fn settings_are_obeyed_and_every_fault_is_reported() {
    let text = "Dr. Thornquist, 503-555-0144, and the Wobblegrove protocol";
    let kinds = |settings: &str| -> Vec<&str> {
        detector(settings).find(&[text])[0]
            .iter()
            .map(|one| one.kind.as_str())
            .collect()
    };
    assert_eq!(kinds(r#"{"kinds": ["phone"]}"#), ["phone"]);
    assert!(!kinds(r#"{"keep": ["Thornquist", "wobblegrove"]}"#).contains(&"name"));
    assert_eq!(
        kinds(r#"{"minimum-confidence": 0.94, "kinds": ["name", "phone"]}"#),
        ["name", "phone"]
    );
    let known = detector(r#"{"names": ["Zim Blatt"]}"#);
    assert_eq!(
        known.find(&["ask zim or BLATT"])[0]
            .iter()
            .filter(|one| one.kind.as_str() == "name")
            .count(),
        2
    );
    let settings = r#"{"kinds": ["names"], "keep": [" "], "minimum-confidence": 2}"#;
    let problems = SafeHarbor::configure(serde_json::from_str(settings).unwrap())
        .err()
        .unwrap();
    let keys: Vec<_> = problems
        .iter()
        .filter_map(|problem| problem.key.as_deref())
        .collect();
    assert_eq!(keys, ["kinds[0]", "minimum-confidence", "keep[0]"]);
}

#[test]
fn tokens_of_the_host_are_left_alone() {
    let text = "Patient: [NAME_7KQ2M], MRN [MRN_12345], seen by Dr. [NAME_ABCDE] at [GEO_0Z9Y8].";
    assert_eq!(detector("{}").find(&[text])[0], []);
}
