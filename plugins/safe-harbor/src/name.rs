//! Names: by what stands before them, by what stands behind them, and by the lists.

use crate::found::{Found, Kind};
use crate::lexicon::{CLINICAL, COMMON, FAMILY, GIVEN, KNOWN, role, within};
use crate::token::{Document, Gap, Shape, Token};

/// Titles that a name follows (sorted).
pub(crate) const TITLES: &[&str] = &[
    "auntie",
    "aunty",
    "capt",
    "captain",
    "col",
    "dr",
    "dra",
    "drs",
    "father",
    "fr",
    "frau",
    "herr",
    "hon",
    "judge",
    "kumari",
    "lt",
    "madame",
    "miss",
    "mlle",
    "mme",
    "mr",
    "mrs",
    "ms",
    "mx",
    "nurse",
    "pastor",
    "prof",
    "professor",
    "rabbi",
    "rev",
    "reverend",
    "senor",
    "senora",
    "sgt",
    "shri",
    "smt",
    "sr",
    "sra",
    "sri",
];

/// Last words of the labels that a name follows after `:` (sorted).
pub(crate) const LABELS: &[&str] = &[
    "aka",
    "alias",
    "anesthesiologist",
    "anesthetist",
    "applicant",
    "approver",
    "assistant",
    "assistants",
    "attending",
    "attention",
    "attn",
    "author",
    "beneficiary",
    "by",
    "cardiologist",
    "care",
    "caregiver",
    "cc",
    "circulator",
    "claimant",
    "client",
    "clinician",
    "consultant",
    "contact",
    "contacts",
    "counselor",
    "crew",
    "daughter",
    "dear",
    "dictating",
    "doctor",
    "dr",
    "employee",
    "employer",
    "father",
    "from",
    "granddaughter",
    "grandson",
    "guarantor",
    "guardian",
    "holder",
    "hospitalist",
    "husband",
    "informant",
    "insured",
    "interpreter",
    "kin",
    "manager",
    "member",
    "midwife",
    "mother",
    "name",
    "names",
    "neurologist",
    "nok",
    "np",
    "nurse",
    "oncologist",
    "operator",
    "owner",
    "pa",
    "parent",
    "participant",
    "partner",
    "patient",
    "pcp",
    "performer",
    "pharmacist",
    "physician",
    "practitioner",
    "prescriber",
    "presenter",
    "proceduralist",
    "provider",
    "providers",
    "proxy",
    "psychiatrist",
    "pt",
    "radiologist",
    "re",
    "recipient",
    "recorder",
    "ref",
    "referring",
    "resident",
    "respondent",
    "responsible",
    "rn",
    "scribe",
    "scrub",
    "sender",
    "signature",
    "signed",
    "signer",
    "sincerely",
    "sister",
    "son",
    "specialist",
    "spouse",
    "student",
    "subscriber",
    "surgeon",
    "surname",
    "team",
    "technician",
    "technologist",
    "therapist",
    "to",
    "transcriptionist",
    "user",
    "wife",
    "witness",
    "worker",
];

/// Words that a name follows without a colon (sorted).
pub(crate) const BEFORE: &[&str] = &[
    "aka",
    "attending",
    "aunt",
    "auntie",
    "aunty",
    "boyfriend",
    "brother",
    "by",
    "called",
    "caregiver",
    "caseworker",
    "client",
    "clinician",
    "colleague",
    "consultant",
    "counselor",
    "cousin",
    "dad",
    "daughter",
    "daughters",
    "dear",
    "doctor",
    "dtr",
    "employee",
    "father",
    "fiance",
    "fiancee",
    "friend",
    "girlfriend",
    "gma",
    "goes",
    "granddaughter",
    "grandfather",
    "grandma",
    "grandmother",
    "grandpa",
    "grandson",
    "guardian",
    "hello",
    "hey",
    "hi",
    "hus",
    "husband",
    "interpreter",
    "landlord",
    "manager",
    "mom",
    "mother",
    "named",
    "neighbor",
    "nephew",
    "nicknamed",
    "niece",
    "nurse",
    "parent",
    "partner",
    "patient",
    "pharmacist",
    "physician",
    "psychiatrist",
    "pt",
    "resident",
    "roommate",
    "roommates",
    "sibling",
    "sister",
    "son",
    "sons",
    "spouse",
    "stepfather",
    "stepmother",
    "surgeon",
    "surname",
    "therapist",
    "twins",
    "uncle",
    "wf",
    "wife",
    "witness",
    "worker",
];

/// Words that begin what introduces a name, beside those of [`BEFORE`] (sorted): "my name is", "this is".
pub(crate) const OPENERS: &[&str] = &["i", "i'm", "known", "law", "name", "names", "this"];

/// Letters behind a name that say what its bearer is (sorted).
pub(crate) const CREDENTIALS: &[&str] = &[
    "acnp", "aprn", "arnp", "bsn", "cna", "cnm", "crna", "dds", "dmd", "dnp", "do", "dpm", "dpt",
    "emt", "facc", "facp", "facs", "fnp", "frcp", "jr", "lcsw", "lmft", "lpc", "lpn", "lvn",
    "mbbs", "md", "mph", "msn", "msw", "np", "otr", "pa", "pharmd", "phd", "psyd", "pt", "rd",
    "rn", "rph", "rrt", "slp", "sr",
];

/// What a name before it makes a term of medicine (sorted): "Murphy's sign", "Foley catheter".
pub(crate) const EPONYMS: &[&str] = &[
    "abscess",
    "airway",
    "airways",
    "aneurysm",
    "angle",
    "anomaly",
    "aphasia",
    "approach",
    "approximation",
    "area",
    "arthropathy",
    "barre",
    "biopsies",
    "biopsy",
    "bodies",
    "body",
    "bolt",
    "boot",
    "bougie",
    "brace",
    "bridge",
    "bundle",
    "canal",
    "carcinoma",
    "catheter",
    "catheters",
    "cell",
    "cells",
    "chorea",
    "clamp",
    "classification",
    "clips",
    "collar",
    "contracture",
    "criteria",
    "criterion",
    "crystals",
    "cyst",
    "deformity",
    "dementia",
    "diet",
    "disc",
    "discs",
    "disease",
    "disorder",
    "drain",
    "drains",
    "effect",
    "embolectomy",
    "encephalitis",
    "encephalopathy",
    "equation",
    "erosions",
    "esophagitis",
    "esophagus",
    "exercises",
    "fever",
    "filter",
    "flap",
    "forceps",
    "formula",
    "fracture",
    "frame",
    "ganglion",
    "gland",
    "grade",
    "grading",
    "graft",
    "granules",
    "granulomatosis",
    "guidelines",
    "hernia",
    "hugger",
    "incision",
    "index",
    "infection",
    "injury",
    "intubation",
    "inventory",
    "law",
    "lesion",
    "level",
    "levels",
    "line",
    "lines",
    "lobe",
    "lymphoma",
    "malformation",
    "maneuver",
    "manoeuvre",
    "mesh",
    "method",
    "monitor",
    "murmur",
    "needle",
    "node",
    "nodes",
    "operation",
    "palsy",
    "paralysis",
    "phenomenon",
    "phenotype",
    "plate",
    "point",
    "polyp",
    "polyps",
    "position",
    "pouch",
    "procedure",
    "projection",
    "protocol",
    "protocols",
    "pupil",
    "ratio",
    "reflex",
    "registry",
    "repair",
    "response",
    "retractor",
    "ring",
    "rings",
    "risk",
    "rule",
    "sarcoma",
    "scale",
    "score",
    "scores",
    "sequence",
    "shunt",
    "sign",
    "signs",
    "sling",
    "solution",
    "splint",
    "spot",
    "spots",
    "stage",
    "staging",
    "stain",
    "stapler",
    "statement",
    "stent",
    "study",
    "subscore",
    "sulcus",
    "sump",
    "suture",
    "syndrome",
    "test",
    "tests",
    "thyroiditis",
    "tool",
    "triad",
    "trial",
    "tube",
    "tubes",
    "tumor",
    "tumour",
    "ulcer",
    "unit",
    "units",
    "valve",
    "valves",
    "view",
    "views",
    "virus",
    "wort",
    "zone",
];

/// Two names that are one term of medicine, the first and the second (sorted): "Hunt-Hess", "Ramsay Hunt".
const PAIRS: &[&str] = &[
    "arnold-chiari",
    "austin-moore",
    "bannayan-riley",
    "bardet-biedl",
    "beckwith-wiedemann",
    "birt-hogg",
    "bjork-shiley",
    "blalock-taussig",
    "blalock-thomas",
    "brandt-daroff",
    "braxton-hicks",
    "brown-sequard",
    "budd-chiari",
    "charcot-marie",
    "chediak-higashi",
    "cheyne-stokes",
    "child-pugh",
    "child-turcotte",
    "churg-strauss",
    "cockcroft-gault",
    "cormack-lehane",
    "creutzfeldt-jakob",
    "crigler-najjar",
    "cronkhite-canada",
    "dandy-walker",
    "di-george",
    "diamond-blackfan",
    "dix-hallpike",
    "dubin-johnson",
    "eaton-lambert",
    "ehlers-danlos",
    "epstein-barr",
    "fisher-grubb",
    "fitz-hugh",
    "gilles-tourette",
    "glasgow-blatchford",
    "guillain-barre",
    "gustilo-anderson",
    "hamman-rich",
    "hand-schuller",
    "harris-benedict",
    "henoch-schonlein",
    "hill-sachs",
    "holt-oram",
    "hosmer-lemeshow",
    "house-brackmann",
    "hunt-hess",
    "insall-salvati",
    "jackson-pratt",
    "jervell-lange",
    "kaplan-meier",
    "kayser-fleischer",
    "kellgren-lawrence",
    "kimmelstiel-wilson",
    "klippel-feil",
    "kruskal-wallis",
    "lambert-eaton",
    "landau-kleffner",
    "laurence-moon",
    "legg-calve",
    "lennox-gastaut",
    "lesch-nyhan",
    "lown-ganong",
    "mallory-weiss",
    "mann-whitney",
    "mayer-rokitansky",
    "mayo-robson",
    "mccune-albright",
    "miller-fisher",
    "monro-kellie",
    "murray-valley",
    "nissen-hill",
    "osgood-schlatter",
    "parks-weber",
    "peutz-jeghers",
    "pierre-robin",
    "plummer-vinson",
    "prader-willi",
    "ramsay-hunt",
    "reed-sternberg",
    "rokitansky-kuster",
    "romano-ward",
    "roux-en",
    "salter-harris",
    "schonlein-henoch",
    "sengstaken-blakemore",
    "shwachman-diamond",
    "smith-lemli",
    "smith-petersen",
    "smith-robinson",
    "stevens-johnson",
    "stokes-adams",
    "sturge-weber",
    "swan-ganz",
    "tanner-whitehouse",
    "tay-sachs",
    "tillaux-chaput",
    "treacher-collins",
    "von-hippel",
    "warthin-starry",
    "waterhouse-friderichsen",
    "weber-christian",
    "wernicke-korsakoff",
    "wilson-mikity",
    "wolff-parkinson",
    "wright-giemsa",
    "young-burgess",
    "zollinger-ellison",
];

/// Particles inside family names (sorted).
pub(crate) const PARTICLES: &[&str] = &[
    "al", "bin", "da", "de", "del", "della", "den", "der", "di", "dos", "du", "el", "ibn", "la",
    "le", "mac", "san", "st", "van", "von", "y",
];

/// Words that end a name wherever they stand (sorted): pronouns, verbs and headings written with a capital.
pub(crate) const NEVER: &[&str] = &[
    "a", "age", "aged", "am", "an", "and", "as", "at", "but", "by", "date", "dob", "for", "from",
    "has", "he", "her", "him", "his", "i", "id", "if", "in", "is", "it", "mrn", "my", "no", "not",
    "of", "on", "or", "our", "phone", "pm", "she", "ssn", "that", "the", "their", "they", "this",
    "to", "was", "we", "who", "with", "you", "your",
];

/// Words that close a letter before its signature (sorted).
pub(crate) const CLOSINGS: &[&str] = &[
    "best",
    "cheers",
    "cordially",
    "love",
    "regards",
    "respectfully",
    "sincerely",
    "thanks",
    "truly",
    "warmly",
    "wishes",
    "you",
    "yours",
];

/// How readily words are taken into a name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trust {
    /// After a title: any capital word.
    Title,
    /// After a label or a cue: any capital word that is not plainly something else.
    Cue,
    /// By the lists alone: the first word is a name, so the next are judged as after a cue.
    List,
}

/// Whether `token` can be a word of a name.
fn fits(document: &Document<'_>, at: usize, trust: Trust, first: bool) -> bool {
    let Some(token) = document.get(at) else {
        return false;
    };
    if token.flags.any(role::NEVER) && token.shape != Shape::Initial {
        return false;
    }
    match token.shape {
        Shape::Title | Shape::Upper => {
            if token.flags.any(role::TITLE) && token.lower.len() < 5 && trust != Trust::Title {
                return false;
            }
            match trust {
                Trust::Title => first && token.shape == Shape::Title || !token.flags.is_plain(),
                Trust::Cue | Trust::List => !token.flags.is_plain() && !token.flags.any(role::DRUG),
            }
        }
        Shape::Initial => true,
        Shape::Lower | Shape::Number | Shape::Code | Shape::Possessive | Shape::Mark(_) => false,
    }
}

/// The token after a name that begins at `first`, or `first` if none does.
fn extent(document: &Document<'_>, first: usize, trust: Trust) -> usize {
    let mut end = first;
    let mut words = 0;
    while words < 5 {
        let mut at = end;
        if words > 0 {
            // A hyphen or a dot joins ("Ferndale-Ostrowski", "J. Smith"); a comma or a line end parts.
            let joint = document.get(at).filter(|token| token.gap == Gap::None);
            let after_initial = || {
                document.before(at, 1).is_some_and(|last| {
                    last.shape == Shape::Initial || within(&last.lower, &["jr", "sr", "st"])
                })
            };
            if joint.is_some_and(|token| {
                token.is('-') || token.is('‑') || token.is('.') && after_initial()
            }) {
                at += 1;
            }
            // A line end parts, and so do the blanks between columns.
            let parted =
                document
                    .get(at)
                    .zip(document.before(at, 1))
                    .is_some_and(|(token, before)| {
                        token.gap == Gap::Line || token.start - before.end > 2
                    });
            if parted {
                break;
            }
            // Quoted names of everyday use: John "Jack" Smith.
            if document
                .get(at)
                .is_some_and(|token| matches!(token.shape, Shape::Mark('"' | '“')))
                && document
                    .get(at + 2)
                    .is_some_and(|token| matches!(token.shape, Shape::Mark('"' | '”')))
                && fits(document, at + 1, trust, false)
            {
                end = at + 3;
                words += 1;
                continue;
            }
        }
        // Particles belong to the name if a word of a name follows.
        let mut word = at;
        while word < at + 3
            && document
                .get(word)
                .is_some_and(|token| token.flags.any(role::PARTICLE) && token.gap != Gap::Line)
            && document
                .get(word + 1)
                .is_some_and(|next| next.is_word() && next.gap == Gap::Space)
        {
            word += 1;
        }
        let particles = word > at
            && (words > 0
                || trust == Trust::Title
                || document.get(at).is_some_and(Token::is_capital));
        if particles
            && fits(document, word, trust, false)
            && document
                .get(word)
                .is_some_and(|token| token.gap != Gap::Line)
        {
            end = word + 1;
        } else if fits(document, at, trust, words == 0) || words > 0 && is_second_part(document, at)
        {
            end = at + 1;
        } else {
            break;
        }
        words += 1;
    }
    end
}

/// Whether the word at `at` is the second part of a double name: an everyday word, as in "Quill-Banks".
fn is_second_part(document: &Document<'_>, at: usize) -> bool {
    document
        .get(at)
        .is_some_and(|token| token.gap == Gap::None && token.shape == Shape::Title)
        && document.before(at, 1).is_some_and(|mark| {
            matches!(mark.shape, Shape::Mark('-' | '‑')) && mark.gap == Gap::None
        })
}

/// Whether what stands from `end` on makes the name before it a term of medicine, as in "Murphy's sign".
#[must_use]
pub(crate) fn makes_a_term(document: &Document<'_>, end: usize) -> bool {
    is_eponym(document, end) || dosed(document, end) || graded(document, end)
}

/// Whether a Roman numeral that grades follows: "Rubin II", "Gustilo IIIA".
fn graded(document: &Document<'_>, end: usize) -> bool {
    document.get(end).is_some_and(|token| {
        let numeral = token.lower.trim_end_matches(['a', 'b', 'c']);
        token.shape == Shape::Upper
            && token.gap == Gap::Space
            && matches!(numeral, "ii" | "iii" | "iv")
    })
}

/// Whether the word at `at` and the one behind it, perhaps behind a hyphen, are one term of [`PAIRS`]; the token after them.
#[must_use]
pub(crate) fn pair(document: &Document<'_>, at: usize) -> Option<usize> {
    let first = document.get(at)?;
    if !first.is_word() || first.letters < 2 {
        return None;
    }
    let hyphen = document
        .get(at + 1)
        .is_some_and(|mark| matches!(mark.shape, Shape::Mark('-' | '‑' | '–')));
    let second = at + 1 + usize::from(hyphen);
    let start = PAIRS.partition_point(|pair| *pair < &*first.lower);
    let is_one = PAIRS.iter().skip(start).take(4).any(|pair| {
        pair.split_once('-')
            .is_some_and(|(one, other)| one == first.lower && other == document.lower(second))
    });
    is_one.then_some(second + 1)
}

/// Whether what stands behind the name makes it a term: "Parkinson's disease", "Glasgow Coma Scale".
fn is_eponym(document: &Document<'_>, end: usize) -> bool {
    let mut at = end;
    if document
        .get(at)
        .is_some_and(|token| token.shape == Shape::Possessive)
    {
        at += 1;
    }
    (at..at + 2).any(|at| {
        document
            .get(at)
            .is_some_and(|token| token.gap != Gap::Line && token.flags.any(role::EPONYM))
            && (at..at + 1).all(|_| {
                document
                    .before(at, 1)
                    .is_some_and(|before| before.is_word() || before.shape == Shape::Possessive)
            })
    })
}

fn push(
    document: &Document<'_>,
    first: usize,
    end: usize,
    confidence: f32,
    rule: &'static str,
    out: &mut Vec<Found>,
) {
    let Some((from, to)) = document.get(first).zip(document.before(end, 1)) else {
        return;
    };
    // An initial's dot belongs to it only between words.
    if to.end > from.start && end > first {
        out.push(Found {
            start: from.start,
            end: to.end,
            kind: Kind::Name,
            confidence,
            rule,
        });
    }
}

/// Finds names.
pub(crate) fn names(document: &Document<'_>, out: &mut Vec<Found>) {
    const FIRST: u64 = role::TITLE | role::BEFORE | role::OPENER;
    let mut at = 0;
    while let Some(token) = document.get(at) {
        if token.shape == Shape::Lower
            && token.flags.any(KNOWN)
            && !token.flags.any(COMMON | CLINICAL)
        {
            push(document, at, at + 1, 0.95, "name-known", out);
        }
        let may_begin =
            token.is_capital() || token.flags.any(FIRST) || token.is(':') || token.is('=');
        if !may_begin {
            at += 1;
            continue;
        }
        let after = by_title(document, at, out)
            .or_else(|| by_label(document, at, out))
            .or_else(|| by_cue(document, at, out))
            .or_else(|| by_list(document, at, out));
        at = after.unwrap_or(at + 1).max(at + 1);
    }
    by_credential(document, out);
    signatures(document, out);
}

/// "Dr. Okafor", "Mrs. van der Berg", "Drs. Smith and Jones", "dr smith".
fn by_title(document: &Document<'_>, at: usize, out: &mut Vec<Found>) -> Option<usize> {
    let title = document.get(at)?;
    if !title.flags.any(role::TITLE) || !title.is_word() {
        return None;
    }
    let mut first = at + 1;
    if document.get(first).is_some_and(|token| token.is('.')) {
        first += 1;
    }
    if document.get(first)?.gap == Gap::Line && title.shape != Shape::Title {
        return None;
    }
    let dotted = first > at + 1;
    if is_no_title(document, at, first, dotted) {
        return None;
    }
    let role = matches!(
        title.lower.as_ref(),
        "nurse" | "father" | "judge" | "captain" | "pastor" | "sr" | "miss" | "col" | "lt"
    );
    let trust = if role { Trust::Cue } else { Trust::Title };
    let mut end = extent(document, first, trust);
    if end == first {
        let word = document.get(first)?;
        let lower_name = word.shape == Shape::Lower
            && !role
            && !word.flags.any(COMMON | CLINICAL)
            && !word.flags.any(role::NEVER);
        // "dr blood": the model has the last word.
        let is_family = word.shape == Shape::Lower
            && !role
            && word.letters > 1
            && word.flags.any(FAMILY | GIVEN)
            && !word.flags.any(role::NEVER);
        if is_family && !lower_name {
            push(document, first, first + 1, 0.5, "name-listed", out);
            return Some(first + 1);
        }
        // "Mr. Her", "Dr. He": two letters or three, and no sentence that begins with them.
        let is_short = dotted
            && word.shape == Shape::Title
            && title.shape == Shape::Title
            && word.flags.any(role::NEVER)
            && word.letters < 4
            && !matches!(
                document.lower(first + 1),
                "is" | "was" | "has" | "had" | "will" | "would" | "does" | "did" | "can" | "said"
            );
        if is_short {
            push(document, first, first + 1, 0.6, "name-after-title", out);
            return Some(first + 1);
        }
        if !lower_name {
            return None;
        }
        end = first + 1;
        if document.get(end).is_some_and(|next| {
            next.shape == Shape::Lower && next.flags.is_surely_name() && next.gap == Gap::Space
        }) {
            end += 1;
        }
    }
    push(document, first, end, 0.95, "name-after-title", out);
    while title.lower == "drs"
        && document
            .get(end)
            .is_some_and(|token| matches!(token.lower.as_ref(), "and" | "," | "&" | "/"))
    {
        let next = extent(document, end + 1, Trust::Title);
        if next == end + 1 {
            break;
        }
        push(document, end + 1, next, 0.95, "name-after-title", out);
        end = next;
    }
    Some(end)
}

/// Whether what looks like a title is none: "MR Brain", "MS Contin", "16 Fr Foley".
fn is_no_title(document: &Document<'_>, at: usize, first: usize, dotted: bool) -> bool {
    let (Some(title), Some(word)) = (document.get(at), document.get(first)) else {
        return false;
    };
    let size = title.lower == "fr"
        && document
            .before(at, 1)
            .is_some_and(|before| before.shape == Shape::Number);
    let letters = matches!(
        title.lower.as_ref(),
        "mr" | "ms" | "mx" | "col" | "lt" | "fr" | "dr"
    ) && title.shape == Shape::Upper
        && word.shape == Shape::Title
        && word.flags.any(CLINICAL | COMMON);
    !dotted && (size || letters)
}

/// Whether "M.D." or "D.O." stands there.
fn is_degree(document: &Document<'_>, at: usize) -> bool {
    document.reads(at, &["m", ".", "d"]) || document.reads(at, &["d", ".", "o"])
}

/// Whether a name in capitals, or turned round, is followed by what follows patients' names in lists.
fn is_in_a_list(document: &Document<'_>, end: usize) -> bool {
    document.get(end).is_none_or(|next| {
        next.gap == Gap::Line
            || matches!(
                next.shape,
                Shape::Number | Shape::Code | Shape::Mark('(' | '/' | '|' | ';')
            )
            || matches!(
                next.lower.as_ref(),
                "dob" | "mrn" | "age" | "mr" | "m" | "f" | "male" | "female"
            )
    })
}

/// "Patient: Ana Ruiz", "Name: RUIZ, ANA", "cc: J. Smith; K. Jones".
fn by_label(document: &Document<'_>, at: usize, out: &mut Vec<Found>) -> Option<usize> {
    let mark = document.get(at)?;
    if !(mark.is(':') || mark.is('=')) || !document.flags_before(at, 1).any(role::LABEL) {
        return None;
    }
    let named = document.lower_before(at, 1) == "name" || document.lower_before(at, 1) == "patient";
    let mut first = at + 1;
    if document
        .get(first)
        .is_some_and(|token| matches!(token.shape, Shape::Mark('"' | '\'' | '“' | '*' | '[' | '(')))
    {
        first += 1;
    }
    let mut last = None;
    // Some of these labels head lists.
    for _ in 0..6 {
        if document.flags(first).any(role::TITLE) {
            return last;
        }
        let mut end = extent(document, first, Trust::Cue);
        if end == first && named {
            while document.get(end).is_some_and(|token| {
                token.shape == Shape::Lower
                    && token.flags.any(GIVEN | FAMILY | KNOWN)
                    && end < first + 3
            }) {
                end += 1;
            }
        }
        // "Preferred name: Wren": an everyday word that is all there is.
        if end == first && named && last.is_none() {
            while document
                .get(end)
                .is_some_and(|token| token.shape == Shape::Title && end < first + 3)
                && !document.flags(end).any(role::NEVER)
            {
                end += 1;
            }
            let alone = document.get(end).is_none_or(|next| {
                next.gap == Gap::Line || matches!(next.shape, Shape::Mark('"' | '”' | '*'))
            });
            if !alone {
                end = first;
            }
        }
        if end == first {
            return last;
        }
        if is_eponym(document, end) && !named {
            return last;
        }
        // "RUIZ, ANA MARIA"
        if document.get(end).is_some_and(|token| token.is(','))
            && document
                .get(end + 1)
                .is_some_and(|token| token.gap != Gap::Line && !token.flags.any(role::CREDENTIAL))
            && !is_degree(document, end + 1)
        {
            let more = extent(document, end + 1, Trust::Cue);
            if more > end + 1 {
                end = more;
            }
        }
        push(document, first, end, 0.9, "name-after-label", out);
        // "Ana Ruiz, NP; K. Jones": the letters behind a name are none.
        while document.get(end).is_some_and(|token| token.is(','))
            && document.get(end + 1).is_some_and(|letters| {
                letters.shape == Shape::Upper && letters.flags.any(role::CREDENTIAL)
            })
        {
            end += 2;
        }
        last = Some(end);
        if !document
            .get(end)
            .is_some_and(|token| matches!(token.lower.as_ref(), ";" | "," | "/" | "&" | "and"))
        {
            break;
        }
        first = end + 1;
    }
    last
}

/// "his daughter, Ana", "seen by Ruiz", "my name is Ana", "prefers to be called 'Sunny'".
fn by_cue(document: &Document<'_>, at: usize, out: &mut Vec<Found>) -> Option<usize> {
    let cue = document
        .get(at)
        .filter(|cue| cue.flags.any(role::BEFORE | role::OPENER) && cue.is_word())?;
    let mut first = at + 1;
    let naming = matches!(
        cue.lower.as_ref(),
        "called" | "named" | "nicknamed" | "aka" | "goes"
    );
    let known = cue.flags.any(role::BEFORE)
        || document.reads(at, &["name", "is"])
        || cue.lower == "law" && document.lower_before(at, 2) == "in"
        || document.reads(at, &["names", "are"])
        || document.reads(at, &["known", "as"])
        || document.reads(at, &["this", "is"])
        || cue.lower == "i'm"
        || document.reads(at, &["i", "am"]);
    if !known {
        return None;
    }
    for _ in 0..3 {
        let Some(token) = document.get(first) else {
            break;
        };
        let skipped = matches!(
            token.shape,
            Shape::Mark(',' | '(' | '"' | '\'' | '“' | '‘' | '-' | '–' | '—')
        ) || token.shape == Shape::Lower
            && matches!(
                token.lower.as_ref(),
                "is" | "are" | "as" | "by" | "am" | "was" | "name" | "named" | "called"
            );
        if !skipped || token.gap == Gap::Line {
            break;
        }
        first += 1;
    }
    let token = document.get(first)?;
    let quoted = document
        .before(first, 1)
        .is_some_and(|before| matches!(before.shape, Shape::Mark('"' | '\'' | '“' | '‘')));
    if token.gap == Gap::Line || token.flags.any(role::TITLE) {
        return None;
    }
    let mut end = extent(document, first, Trust::Cue);
    if end == first && naming && token.shape == Shape::Title && !token.flags.any(role::NEVER) {
        end = first + 1;
    }
    if end == first && (quoted && naming) && token.is_word() {
        end = first + 1;
    }
    let greeting = matches!(
        cue.lower.as_ref(),
        "dear" | "hi" | "hello" | "hey" | "is" | "am" | "i'm"
    );
    let called_name = matches!(
        cue.lower.as_ref(),
        "name" | "dear" | "hi" | "hello" | "named"
    );
    if end == first
        && (greeting || called_name)
        && token.shape == Shape::Lower
        && token.flags.is_surely_name()
    {
        end = first + 1;
    }
    if end == first || is_eponym(document, end) {
        return None;
    }
    // One acronym after a cue ("patient CPR") is no name.
    if end == first + 1 && token.shape == Shape::Upper && !token.flags.any(GIVEN | FAMILY | KNOWN) {
        return None;
    }
    // A lone initial is none either.
    if end == first + 1 && token.shape == Shape::Initial {
        return None;
    }
    // "by Foley": the model has the last word on a word of the clinic.
    let doubtful = end == first + 1
        && matches!(
            cue.lower.as_ref(),
            "by" | "pt" | "patient" | "called" | "goes"
        )
        && token.flags.any(CLINICAL);
    let (confidence, rule) = match doubtful {
        true => (0.5, "name-listed"),
        false => (0.85, "name-after-cue"),
    };
    push(document, first, end, confidence, rule, out);
    Some(end)
}

/// What the lists know, and capital words that no list knows.
fn by_list(document: &Document<'_>, at: usize, out: &mut Vec<Found>) -> Option<usize> {
    let token = document.get(at)?;
    if !token.is_capital() {
        return None;
    }
    if let Some(after) = pair(document, at) {
        return Some(after);
    }
    let begins = document.begins_sentence(at);
    let title = token.shape == Shape::Title;
    let end = extent(document, at, Trust::List);
    let next = document.get(at + 1);
    // "RUIZ, ANA" and "Ruiz, Ana M."
    if matches!(token.shape, Shape::Title | Shape::Upper)
        && !token.flags.is_plain()
        && end == at + 1
        && next.is_some_and(|next| next.is(','))
        && document.get(at + 2).is_some_and(|given| {
            given.gap == Gap::Space
                && given.is_capital()
                && (given.flags.any(GIVEN) && !given.flags.any(CLINICAL)
                    || token.flags.is_surely_name()
                        && !given.flags.is_plain()
                        && is_in_a_list(document, at + 3))
        })
        && (token.flags.any(FAMILY) || token.shape == Shape::Upper || begins)
    {
        let end = extent(document, at + 2, Trust::List).max(at + 3);
        push(document, at, end, 0.85, "name-inverted", out);
        return Some(end);
    }
    if token.shape == Shape::Initial {
        // "J. Smith", "J.R. Smith": the words behind initials decide.
        let dotted = next.is_some_and(|next| next.is('.') && next.gap == Gap::None);
        let family = (at + 1..end)
            .filter_map(|at| document.get(at))
            .find(|word| matches!(word.shape, Shape::Title | Shape::Upper));
        let sure = family.is_some_and(|word| {
            word.flags.any(GIVEN | FAMILY | KNOWN)
                || dotted && word.flags.is_unknown() && word.shape == Shape::Title
        });
        // "A Caldwell needle was used."
        let article = token.lower == "a"
            && !dotted
            && begins
            && family.is_some_and(|word| word.flags.any(CLINICAL));
        // "X-RAY"
        let compound = next.is_some_and(|next| next.is('-') && next.gap == Gap::None);
        if sure
            && !article
            && !compound
            && !is_eponym(document, end)
            && !matches!(
                document.lower_before(at, 1),
                "vitamin" | "hepatitis" | "type" | "group" | "grade" | "stage"
            )
        {
            push(document, at, end, 0.75, "name-initials", out);
            return Some(end);
        }
        return None;
    }
    if end == at {
        // "Will S.": an everyday word that is also a name is not refused by `extent`; a plain word is.
        return None;
    }
    if is_eponym(document, end) || dosed(document, end) {
        return Some(end);
    }
    let words = (at..end)
        .filter_map(|at| document.get(at))
        .filter(|word| word.is_word())
        .count();
    let rest = || {
        (at + 1..end)
            .filter_map(|at| document.get(at))
            .filter(|word| word.is_word())
    };
    let capitals_line =
        token.shape == Shape::Upper && next.is_some_and(|next| next.shape == Shape::Upper);
    let ambiguous = token.flags.any(COMMON | CLINICAL);
    let confidence = if token.flags.any(KNOWN) {
        Some((0.95, "name-known"))
    } else if token.flags.any(GIVEN) && words > 1 {
        let supported = rest().any(|word| {
            word.flags.any(FAMILY | GIVEN | KNOWN)
                || word.flags.is_unknown() && word.shape != Shape::Initial
                || word.shape == Shape::Initial
        });
        (!ambiguous || supported)
            .then_some((if ambiguous { 0.7 } else { 0.9 }, "name-given-family"))
    } else if token.flags.any(FAMILY) && words > 1 {
        let supported = rest().any(|word| word.flags.any(FAMILY | GIVEN | KNOWN));
        (!ambiguous || supported).then_some((0.7, "name-family"))
    } else if token.flags.is_surely_name() {
        let confidence = match token.flags.any(GIVEN) {
            true => 0.7,
            false => 0.6,
        };
        (title || token.lower.len() > 3).then_some((confidence, "name-listed"))
    } else if ambiguous && token.flags.any(GIVEN | FAMILY) {
        None
    } else if words > 1
        && (title && rest().all(|word| word.shape != Shape::Upper)
            || capitals_line && rest().any(|word| word.flags.any(GIVEN | FAMILY)))
    {
        Some((0.5, "name-unknown-words"))
    } else if title && token.lower.chars().count() > 2 && !token.flags.any(role::DRUG) {
        if begins && sounds_like_a_word(&token.lower) {
            return None;
        }
        let possessive = document
            .get(end)
            .is_some_and(|next| next.shape == Shape::Possessive);
        let speaker = begins && document.get(end).is_some_and(|next| next.is(':'));
        let confidence = if possessive || speaker { 0.35 } else { 0.3 };
        Some((confidence, "name-unknown-word"))
    } else {
        None
    };
    let (confidence, rule) = confidence?;
    push(document, at, end, confidence, rule, out);
    if words == 1 && title && token.flags.any(GIVEN) && !ambiguous {
        return Some(with_family_word(document, at, end, out));
    }
    Some(end)
}

/// "Tomas Birch", "Helen Strand,": behind a name that is nothing else, one everyday word with a capital is a family name.
fn with_family_word(document: &Document<'_>, at: usize, end: usize, out: &mut Vec<Found>) -> usize {
    const NO_NAME: u64 = role::NEVER
        | role::TITLE
        | role::LABEL
        | role::CREDENTIAL
        | role::EPONYM
        | role::FACILITY
        | role::GENERIC
        | role::MEASURE
        | role::STATE_NAME;
    let is_word = |at: usize| {
        document.get(at).is_some_and(|word| {
            word.shape == Shape::Title && word.gap == Gap::Space && word.letters > 2
        })
    };
    let alone = is_word(end)
        && !document.flags(end).any(NO_NAME | CLINICAL)
        && !document.flags(end + 1).any(role::EPONYM)
        && !is_word(end + 1)
        && document.get(end + 1).is_none_or(|next| !next.is(':'));
    if !alone {
        return end;
    }
    push(document, at, end + 1, 0.65, "name-given-word", out);
    end + 1
}

/// Whether `word` ends as English nouns, adjectives and participles do: at the start of a sentence it is one.
fn sounds_like_a_word(word: &str) -> bool {
    const ENDS: [&str; 22] = [
        "able", "ally", "ance", "ated", "ative", "ence", "ful", "ible", "ical", "ics", "ing",
        "ious", "ism", "ity", "ive", "ized", "less", "ment", "ness", "sion", "tic", "tion",
    ];
    word.len() > 5 && ENDS.iter().any(|end| word.ends_with(end))
        || word.len() > 5 && word.ends_with("ly")
}

/// Whether an amount follows: then the word before is a drug.
fn dosed(document: &Document<'_>, end: usize) -> bool {
    const UNITS: [&str; 12] = [
        "%",
        "g",
        "gram",
        "mcg",
        "meq",
        "mg",
        "milligrams",
        "ml",
        "tablet",
        "tablets",
        "u",
        "units",
    ];
    document
        .get(end)
        .is_some_and(|number| number.shape == Shape::Number && number.gap == Gap::Space)
        && (end + 1..=end + 3).any(|at| within(document.lower(at), &UNITS))
        || document.get(end).is_some_and(|code| {
            code.shape == Shape::Code
                && ["mg", "mcg", "ml", "units"]
                    .iter()
                    .any(|unit| code.lower.ends_with(unit))
        })
}

/// "Ana Ruiz, MD", "A RUIZ RN": credentials name who stands before them.
fn by_credential(document: &Document<'_>, out: &mut Vec<Found>) {
    for (at, token) in document.tokens().iter().enumerate().skip(1) {
        let may_be_one = token.is_capital() || token.letters == 2;
        if !may_be_one {
            continue;
        }
        let dotted_md = token.shape == Shape::Initial
            && document.reads(at + 1, &["."])
            && matches!(
                (token.lower.as_ref(), document.lower(at + 2)),
                ("m" | "d", "d" | "o")
            );
        let credential = token.flags.any(role::CREDENTIAL)
            && (token.shape == Shape::Upper
                || matches!(
                    token.lower.as_ref(),
                    "phd" | "pharmd" | "psyd" | "jr" | "sr" | "rph"
                ) && token.shape == Shape::Title)
            || token.lower == "ph" && document.reads(at + 1, &[".", "d"]);
        if !(credential || dotted_md) || token.gap == Gap::Line {
            continue;
        }
        let end = if document.before(at, 1).is_some_and(|before| before.is(',')) {
            at - 1
        } else {
            at
        };
        let mut first = end;
        while let Some(before) = first.checked_sub(1)
            && end - before <= 6
            && let Some(word) = document.get(before)
        {
            let inside =
                fits(document, before, Trust::Cue, false) || word.flags.any(role::PARTICLE);
            let joint = (word.is('-') && word.gap == Gap::None
                || word.is('.')
                    && document
                        .before(before, 1)
                        .is_some_and(|initial| initial.shape == Shape::Initial))
                && first < end;
            let line_after = document
                .get(first)
                .is_some_and(|next| next.gap == Gap::Line)
                && first < end;
            if !(inside || joint) || line_after {
                break;
            }
            first = before;
        }
        let named = (first..end)
            .filter_map(|at| document.get(at))
            .any(|word| matches!(word.shape, Shape::Title | Shape::Upper));
        let known = (first..end).filter_map(|at| document.get(at)).any(|word| {
            word.flags.any(GIVEN | FAMILY | KNOWN)
                || word.flags.is_unknown() && word.shape == Shape::Title
        });
        if named && known {
            push(document, first, end, 0.85, "name-before-credential", out);
        }
    }
}

/// "Thanks,\nAna", "- Ana", "Sincerely, Ana Ruiz".
fn signatures(document: &Document<'_>, out: &mut Vec<Found>) {
    for (at, token) in document.tokens().iter().enumerate().skip(1) {
        let closing = matches!(token.shape, Shape::Mark(',' | '!' | '.'))
            && document.flags_before(at, 1).any(role::CLOSING)
            && document.get(at + 1).is_some_and(|next| {
                next.gap == Gap::Line || document.lower_before(at, 1) != "you" && token.is(',')
            });
        let dash = matches!(token.shape, Shape::Mark('-' | '–' | '—' | '~'))
            && token.gap == Gap::Line
            && at + 6 >= document.len();
        if !(closing || dash) {
            continue;
        }
        let first = at + 1;
        let Some(word) = document.get(first) else {
            continue;
        };
        let mut end = extent(document, first, Trust::Cue);
        if end == first && word.is_word() && word.flags.any(GIVEN | KNOWN) {
            end = first + 1;
            while document.get(end).is_some_and(|next| {
                next.gap == Gap::Space && next.flags.any(GIVEN | FAMILY) && next.is_word()
            }) {
                end += 1;
            }
        }
        if end > first {
            push(document, first, end, 0.8, "name-signature", out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_sorted_for_lookup() {
        for list in [
            TITLES,
            LABELS,
            BEFORE,
            CREDENTIALS,
            EPONYMS,
            PARTICLES,
            NEVER,
            PAIRS,
            OPENERS,
            CLOSINGS,
        ] {
            assert!(list.windows(2).all(|pair| pair[0] < pair[1]), "{list:?}");
        }
    }
}
