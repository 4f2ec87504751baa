//! Places smaller than a State: street addresses, cities, counties, ZIP codes, and the facilities that stand for them.
//!
//! A State or a country alone is kept (45 CFR 164.514(b)(2)(i)(B)); inside an address it goes with the address.

use crate::found::{Found, Kind};
use crate::lexicon::{FAMILY, GIVEN, role, within};
use crate::name;
use crate::token::{Document, Gap, Shape, Token};

/// Postal abbreviations of the States, the District and the territories (sorted, lower case).
pub(crate) const STATES: &[&str] = &[
    "ak", "al", "ar", "as", "az", "ca", "co", "ct", "dc", "de", "fl", "ga", "gu", "hi", "ia", "id",
    "il", "in", "ks", "ky", "la", "ma", "md", "me", "mi", "mn", "mo", "mp", "ms", "mt", "nc", "nd",
    "ne", "nh", "nj", "nm", "nv", "ny", "oh", "ok", "or", "pa", "pr", "ri", "sc", "sd", "tn", "tx",
    "ut", "va", "vi", "vt", "wa", "wi", "wv", "wy",
];

/// First words of the States' names, and countries of one word (sorted).
pub(crate) const STATE_NAMES: &[&str] = &[
    "afghanistan",
    "alabama",
    "alaska",
    "albania",
    "algeria",
    "america",
    "argentina",
    "arizona",
    "arkansas",
    "armenia",
    "australia",
    "austria",
    "bahamas",
    "bangladesh",
    "barbados",
    "belarus",
    "belgium",
    "belize",
    "bolivia",
    "bosnia",
    "brazil",
    "bulgaria",
    "california",
    "cambodia",
    "cameroon",
    "canada",
    "chile",
    "china",
    "colombia",
    "colorado",
    "connecticut",
    "croatia",
    "cuba",
    "cyprus",
    "delaware",
    "denmark",
    "ecuador",
    "egypt",
    "england",
    "eritrea",
    "estonia",
    "ethiopia",
    "fiji",
    "finland",
    "florida",
    "france",
    "georgia",
    "germany",
    "ghana",
    "greece",
    "greenland",
    "guatemala",
    "guyana",
    "haiti",
    "hawaii",
    "honduras",
    "hungary",
    "iceland",
    "idaho",
    "illinois",
    "india",
    "indiana",
    "indonesia",
    "iowa",
    "iran",
    "iraq",
    "ireland",
    "israel",
    "italy",
    "jamaica",
    "japan",
    "kansas",
    "kazakhstan",
    "kentucky",
    "kenya",
    "korea",
    "kuwait",
    "laos",
    "latvia",
    "lebanon",
    "liberia",
    "libya",
    "lithuania",
    "louisiana",
    "luxembourg",
    "maine",
    "malawi",
    "malaysia",
    "mali",
    "malta",
    "maryland",
    "massachusetts",
    "mexico",
    "michigan",
    "minnesota",
    "mississippi",
    "missouri",
    "moldova",
    "mongolia",
    "montana",
    "morocco",
    "mozambique",
    "myanmar",
    "namibia",
    "nebraska",
    "nepal",
    "netherlands",
    "nevada",
    "nicaragua",
    "nigeria",
    "norway",
    "ohio",
    "oklahoma",
    "oregon",
    "pakistan",
    "palestine",
    "panama",
    "paraguay",
    "pennsylvania",
    "peru",
    "philippines",
    "poland",
    "portugal",
    "qatar",
    "romania",
    "russia",
    "rwanda",
    "scotland",
    "senegal",
    "serbia",
    "singapore",
    "slovakia",
    "slovenia",
    "somalia",
    "spain",
    "sudan",
    "suriname",
    "sweden",
    "switzerland",
    "syria",
    "taiwan",
    "tanzania",
    "tennessee",
    "texas",
    "thailand",
    "tunisia",
    "turkey",
    "uganda",
    "ukraine",
    "uruguay",
    "usa",
    "utah",
    "uzbekistan",
    "venezuela",
    "vermont",
    "vietnam",
    "virginia",
    "wales",
    "washington",
    "wisconsin",
    "wyoming",
    "yemen",
    "zambia",
    "zimbabwe",
];

/// Kinds of street (sorted).
pub(crate) const STREETS: &[&str] = &[
    "alley",
    "aly",
    "av",
    "ave",
    "avenue",
    "blvd",
    "boulevard",
    "bypass",
    "cir",
    "circle",
    "cl",
    "close",
    "court",
    "cove",
    "cres",
    "crescent",
    "crossing",
    "ct",
    "cv",
    "dr",
    "drive",
    "expressway",
    "expy",
    "freeway",
    "fwy",
    "gardens",
    "grove",
    "highway",
    "hollow",
    "hwy",
    "junction",
    "landing",
    "lane",
    "ln",
    "loop",
    "manor",
    "mews",
    "parade",
    "park",
    "parkway",
    "pass",
    "path",
    "pike",
    "pkwy",
    "pl",
    "place",
    "plaza",
    "plz",
    "point",
    "rd",
    "ridge",
    "road",
    "route",
    "row",
    "rue",
    "run",
    "sq",
    "square",
    "st",
    "str",
    "straat",
    "strasse",
    "street",
    "ter",
    "terrace",
    "trace",
    "trail",
    "trl",
    "turnpike",
    "view",
    "walk",
    "way",
];

/// Words of a street's name that are everyday words, and directions (sorted).
pub(crate) const DIRECTIONS: &[&str] = &[
    "e", "east", "n", "ne", "north", "nw", "s", "se", "south", "sw", "w", "west",
];

/// Parts of a building (sorted).
pub(crate) const UNITS: &[&str] = &[
    "#",
    "apartment",
    "apt",
    "bldg",
    "box",
    "building",
    "fl",
    "floor",
    "rm",
    "room",
    "ste",
    "suite",
    "unit",
];

/// Last words of the names of facilities (sorted). Those of more words end in one of these.
pub(crate) const FACILITIES: &[&str] = &[
    "academy",
    "alf",
    "ambulatory",
    "associates",
    "cardiology",
    "care",
    "center",
    "centers",
    "centre",
    "church",
    "clinic",
    "clinics",
    "college",
    "court",
    "ctr",
    "dental",
    "diagnostics",
    "dialysis",
    "dispensary",
    "elementary",
    "foundation",
    "group",
    "haven",
    "health",
    "healthcare",
    "home",
    "homecare",
    "hosp",
    "hospice",
    "hospital",
    "hospitals",
    "house",
    "imaging",
    "infirmary",
    "institute",
    "lab",
    "laboratories",
    "laboratory",
    "labs",
    "lodge",
    "ltac",
    "ltach",
    "manor",
    "med",
    "medical",
    "medicine",
    "memorial",
    "nh",
    "oncology",
    "orthopedics",
    "pavilion",
    "pediatrics",
    "pharmacy",
    "physicians",
    "practice",
    "prison",
    "radiology",
    "rehab",
    "rehabilitation",
    "residence",
    "sanatorium",
    "school",
    "service",
    "services",
    "shelter",
    "snf",
    "surgery",
    "unit",
    "university",
    "village",
    "wing",
];

/// Words that may stand in a facility's name and alone say nothing about which it is (sorted).
pub(crate) const GENERIC: &[&str] = &[
    "a",
    "academic",
    "acute",
    "adult",
    "advanced",
    "ambulatory",
    "and",
    "anesthesia",
    "assisted",
    "behavioral",
    "birth",
    "breast",
    "burn",
    "call",
    "cancer",
    "cardiac",
    "cardiology",
    "care",
    "center",
    "chest",
    "children",
    "chronic",
    "clinic",
    "clinical",
    "community",
    "comprehensive",
    "convenient",
    "coumadin",
    "crisis",
    "critical",
    "ctr",
    "day",
    "delivery",
    "dental",
    "dermatology",
    "diabetes",
    "diabetic",
    "diagnostic",
    "dialysis",
    "directly",
    "discharge",
    "down",
    "ed",
    "elementary",
    "emergency",
    "endocrine",
    "endocrinology",
    "ent",
    "er",
    "eye",
    "family",
    "foot",
    "for",
    "gastroenterology",
    "general",
    "geriatric",
    "gi",
    "group",
    "gyn",
    "head",
    "health",
    "heart",
    "her",
    "high",
    "his",
    "home",
    "hosp",
    "hospice",
    "hospital",
    "icu",
    "imaging",
    "immediate",
    "in",
    "independent",
    "infectious",
    "infusion",
    "inpatient",
    "intensive",
    "internal",
    "labor",
    "laboratory",
    "living",
    "local",
    "long",
    "lung",
    "managed",
    "managing",
    "maxillofacial",
    "meals",
    "med",
    "medical",
    "memory",
    "men",
    "mental",
    "my",
    "neonatal",
    "nephrology",
    "neurology",
    "new",
    "nh",
    "nurse",
    "nursing",
    "nutrition",
    "ob",
    "obgyn",
    "observation",
    "occupational",
    "of",
    "oncology",
    "operating",
    "ophthalmology",
    "oral",
    "orthopedic",
    "orthopedics",
    "our",
    "outpatient",
    "pain",
    "palliative",
    "patient",
    "pediatric",
    "pediatrics",
    "physical",
    "plan",
    "poison",
    "post",
    "pre",
    "prehospital",
    "prenatal",
    "preventive",
    "primary",
    "private",
    "progressive",
    "psychiatric",
    "public",
    "pulmonary",
    "radiology",
    "receiving",
    "recovery",
    "referral",
    "regional",
    "rehab",
    "rehabilitation",
    "renal",
    "residence",
    "respiratory",
    "s",
    "same",
    "school",
    "self",
    "senior",
    "service",
    "services",
    "sexual",
    "short",
    "skilled",
    "sleep",
    "snf",
    "social",
    "special",
    "specialty",
    "spine",
    "spiritual",
    "sports",
    "staff",
    "state",
    "step",
    "stroke",
    "student",
    "support",
    "surgery",
    "surgical",
    "telehealth",
    "telemetry",
    "term",
    "the",
    "this",
    "transplant",
    "trauma",
    "unit",
    "urgent",
    "urology",
    "vascular",
    "virtual",
    "visit",
    "visiting",
    "waiting",
    "walk",
    "weight",
    "wellness",
    "what",
    "women",
    "wound",
    "your",
];

/// First words of States and countries of two words (sorted).
pub(crate) const STATE_FIRSTS: &[&str] = &[
    "british", "new", "north", "puerto", "rhode", "south", "united", "west",
];

/// Words in lower case inside the names of streets (sorted).
pub(crate) const STREET_JOINTS: &[&str] =
    &["avenida", "calle", "de", "del", "la", "of", "the", "via"];

/// What makes a number before it no number of a house (sorted).
pub(crate) const AMOUNTS: &[&str] = &["am", "mcg", "mg", "ml", "pm", "units"];

/// Words that begin what says where somebody lives (sorted).
pub(crate) const RESIDENCES: &[&str] = &[
    "addr",
    "address",
    "live",
    "lives",
    "living",
    "located",
    "residence",
    "resides",
    "same",
    "stays",
];

/// Words behind the name of a place (sorted).
pub(crate) const COUNTIES: &[&str] = &["borough", "county", "neighborhood", "parish", "township"];

/// Words for a place whose name follows after "of" (sorted).
pub(crate) const TOWNS: &[&str] = &[
    "borough",
    "city",
    "county",
    "district",
    "neighborhood",
    "parish",
    "precinct",
    "reservation",
    "suburb",
    "town",
    "township",
    "village",
];

/// What a place follows (sorted).
pub(crate) const PREPOSITIONS: &[&str] = &["at", "from", "in", "near", "of", "to"];

/// Words before a preposition that say that somebody lives there (sorted).
pub(crate) const LIVES: &[&str] = &[
    "based",
    "born",
    "city",
    "domiciled",
    "grew",
    "home",
    "live",
    "lived",
    "lives",
    "living",
    "moved",
    "near",
    "originally",
    "originated",
    "raised",
    "relocated",
    "resident",
    "resides",
    "residing",
    "town",
    "traveled",
    "traveling",
    "travelled",
    "up",
    "works",
];

/// Words before a preposition that say that somebody was treated, or works, there (sorted).
pub(crate) const VISITS: &[&str] = &[
    "admitted",
    "appointment",
    "attend",
    "care",
    "check",
    "checkup",
    "consulted",
    "diagnosed",
    "discharged",
    "done",
    "employed",
    "enrolled",
    "evaluated",
    "followed",
    "hospitalised",
    "hospitalized",
    "managed",
    "performed",
    "presented",
    "referred",
    "seen",
    "surgery",
    "teaches",
    "transferred",
    "treated",
    "underwent",
    "up",
    "visit",
    "visited",
    "works",
];

/// Facilities known by one word or by their letters (sorted).
pub(crate) const KNOWN: &[&str] = &[
    "bidmc", "kaiser", "mayo", "mgh", "mskcc", "nyu", "ucla", "ucsd", "ucsf", "upmc", "uwmc",
];

fn is_state(token: &Token<'_>) -> bool {
    token.shape == Shape::Upper && token.flags.any(role::STATE)
}

fn is_state_name(document: &Document<'_>, at: usize) -> usize {
    let Some(token) = document.get(at).filter(|token| token.is_capital()) else {
        return 0;
    };
    if token.flags.any(role::STATE_NAME) {
        return 1;
    }
    const TWO: &[&str] = &[
        "carolina",
        "columbia",
        "dakota",
        "hampshire",
        "island",
        "jersey",
        "kingdom",
        "mexico",
        "rico",
        "states",
        "virginia",
        "york",
        "zealand",
    ];
    let pair = token.flags.any(role::STATE_FIRST);
    if pair && within(document.lower(at + 1), TWO) {
        2
    } else {
        0
    }
}

fn push(
    document: &Document<'_>,
    first: usize,
    end: usize,
    confidence: f32,
    rule: &'static str,
    out: &mut Vec<Found>,
) {
    if let Some((from, to)) = document.get(first).zip(document.before(end, 1))
        && from.start < to.end
    {
        out.push(Found {
            start: from.start,
            end: to.end,
            kind: Kind::Geo,
            confidence,
            rule,
        });
    }
}

/// The end of a State that follows a place that ends at `end`: ", CA" or ", Oregon".
fn with_state(document: &Document<'_>, end: usize) -> usize {
    if !document
        .get(end)
        .is_some_and(|comma| comma.is(',') && comma.gap == Gap::None)
    {
        return end;
    }
    let named = is_state_name(document, end + 1);
    match document.get(end + 1) {
        Some(state) if is_state(state) && state.gap == Gap::Space => end + 2,
        Some(_) if named > 0 => end + 1 + named,
        _ => end,
    }
}

/// Finds places.
pub(crate) fn places(document: &Document<'_>, out: &mut Vec<Found>) {
    const FIRST: u64 = role::RESIDENCE | role::TOWN | role::PREPOSITION;
    let mut at = 0;
    while let Some(token) = document.get(at) {
        let may_begin = token.is_capital()
            || matches!(token.shape, Shape::Number | Shape::Code)
            || token.flags.any(FIRST);
        if !may_begin {
            at += 1;
            continue;
        }
        let after = street(document, at, out)
            .or_else(|| named_road(document, at, out))
            .or_else(|| addressed(document, at, out))
            .or_else(|| city_state(document, at, out))
            .or_else(|| listed(document, at, out))
            .or_else(|| county(document, at, out))
            .or_else(|| cued(document, at, out));
        at = after.unwrap_or(at + 1).max(at + 1);
    }
    for (at, token) in document.tokens().iter().enumerate() {
        if token.is_capital() && token.flags.any(role::FACILITY | role::FAMED) {
            facility(document, at, out);
        } else if token.shape == Shape::Lower && token.flags.any(role::FACILITY | role::STREET) {
            facility_in_lower_case(document, at, token, out);
        }
    }
}

/// "4417 Old Kettle Rd, Apt 4, Fresno, CA 93726".
fn street(document: &Document<'_>, at: usize, out: &mut Vec<Found>) -> Option<usize> {
    let number = document.get(at)?;
    let house = match number.shape {
        Shape::Number => number.lower.len() <= 6,
        Shape::Code => {
            number.lower.len() <= 7 && number.lower.starts_with(|c: char| c.is_ascii_digit())
        }
        Shape::Lower
        | Shape::Title
        | Shape::Upper
        | Shape::Initial
        | Shape::Possessive
        | Shape::Mark(_) => false,
    };
    if !house
        || document.before(at, 1).is_some_and(|before| {
            (before.is('.') || before.is('/') || before.is(':')) && number.gap == Gap::None
        })
    {
        return None;
    }
    let mut next = at + 1;
    // "12-14", and the second number that some forms have.
    while document.get(next).is_some_and(|token| {
        token.is('-') && token.gap == Gap::None
            || token.shape == Shape::Number && token.gap != Gap::Line
    }) {
        next += 1;
    }
    let first = next;
    let mut end = None;
    let mut capitals = 0;
    while next < first + 7 {
        let Some(token) = document.get(next) else {
            break;
        };
        if token.gap == Gap::Line {
            break;
        }
        let suffix = token.flags.any(role::STREET) && (token.is_word());
        if suffix
            && next > first
            && (capitals > 0
                || matches!(
                    token.lower.as_ref(),
                    "street"
                        | "avenue"
                        | "road"
                        | "boulevard"
                        | "lane"
                        | "drive"
                        | "ave"
                        | "rd"
                        | "blvd"
                )
                || lives(document, at) && next < first + 4)
        {
            end = Some(next + 1);
            // "Park Street": the last of them counts.
        } else if suffix
            && next == first
            && matches!(
                token.lower.as_ref(),
                "rue" | "route" | "highway" | "hwy" | "via"
            )
        {
            capitals += 1;
        } else if end.is_some() {
            break;
        }
        let inside = token.is_capital()
            || matches!(token.shape, Shape::Code | Shape::Number | Shape::Possessive)
            || token.is('.')
            || token.is('-')
            || token.is('\'')
            || token.flags.any(role::STREET_JOINT | role::DIRECTION)
            || token.shape == Shape::Lower
                && (!token.flags.is_plain()
                    || next < first + 3 && !token.flags.any(role::NEVER) && lives(document, at));
        if !inside && !suffix || token.flags.any(role::AMOUNT) {
            break;
        }
        capitals += usize::from(matches!(
            token.shape,
            Shape::Title | Shape::Upper | Shape::Code
        ));
        next += 1;
    }
    // "6750 Koskikatu 25 Apt. 864": a unit of a building tells that it is an address.
    let unit = |from: usize| {
        (from..from + 4).find(|at| {
            document
                .get(*at)
                .is_some_and(|token| token.flags.any(role::PART) && !token.is('#'))
                && (at + 1..at + 3).any(|at| {
                    document
                        .get(at)
                        .is_some_and(|token| matches!(token.shape, Shape::Number | Shape::Code))
                })
        })
    };
    let numbered = document
        .get(first)
        .is_some_and(|token| token.shape == Shape::Title && !token.flags.is_plain())
        && document
            .get(next.saturating_sub(1))
            .is_some_and(|token| token.shape == Shape::Number)
        && next > first + 1;
    let (end, confidence) = match end {
        Some(end) => (end, 0.9),
        None if unit(first + 1).is_some() && document.get(first).is_some_and(Token::is_capital) => {
            (next.min(unit(first + 1)?), 0.8)
        }
        None if numbered => (next, 0.5),
        None => return None,
    };
    let end = tail(document, end);
    push(document, at, end, confidence, "street-address", out);
    Some(end)
}

/// "on Nostrand Avenue", "near Fulton St": a road without a number, behind what leads to one.
fn named_road(document: &Document<'_>, at: usize, out: &mut Vec<Found>) -> Option<usize> {
    const ROADS: [&str; 14] = [
        "ave",
        "avenue",
        "blvd",
        "boulevard",
        "crescent",
        "drive",
        "lane",
        "parkway",
        "pkwy",
        "rd",
        "road",
        "st",
        "street",
        "terrace",
    ];
    let first = document.get(at).filter(|token| {
        matches!(token.shape, Shape::Title | Shape::Upper)
            && token.letters > 2
            && !token.flags.any(role::NEVER | role::TITLE)
    })?;
    let leads = matches!(
        document.lower_before(at, 1),
        "on" | "near" | "off" | "along" | "at"
    );
    let road = (at + 1..at + 4).find(|road| {
        document.get(*road).is_some_and(|token| {
            token.is_capital() && token.gap == Gap::Space && within(&token.lower, &ROADS)
        })
    })?;
    let whole = (at + 1..road).all(|word| {
        document
            .get(word)
            .is_some_and(|token| token.is_capital() && token.gap == Gap::Space)
    });
    // "at Main St" and "on Ward St"; "St" before a name is a saint.
    let saint = document.lower(road) == "st"
        && document.get(road + 1).is_some_and(|next| {
            next.is('.') || next.shape == Shape::Title && next.gap == Gap::Space
        });
    if !leads || !whole || saint || first.gap == Gap::Line {
        return None;
    }
    push(document, at, road + 1, 0.75, "road", out);
    Some(road + 1)
}

/// Whether the words before `at` say that somebody lives there.
fn lives(document: &Document<'_>, at: usize) -> bool {
    (1..=3).any(|back| {
        document
            .flags_before(at, back)
            .any(role::RESIDENCE | role::LIFE)
    })
}

/// What follows a street: a unit, a city, a State, a ZIP code, a country, over at most three line ends.
fn tail(document: &Document<'_>, from: usize) -> usize {
    let mut end = from;
    let mut at = from;
    let mut lines = 0;
    while at < from + 18 {
        let Some(token) = document.get(at) else { break };
        if token.gap == Gap::Line {
            lines += 1;
        }
        let label = document.get(at + 1).is_some_and(|next| next.is(':'))
            || (at..at + 4).any(|at| {
                document.get(at).is_some_and(|next| next.is(':'))
                    && token.gap == Gap::Line
                    && document.get(at).is_some_and(|next| next.gap == Gap::None)
            });
        if lines > 3 || label {
            break;
        }
        let unit =
            token.flags.any(role::PART) || token.flags.any(role::DIRECTION) && token.is_capital();
        let state = is_state(token) || is_state_name(document, at) > 0;
        let number = matches!(token.shape, Shape::Number | Shape::Code)
            && (token.lower.len() == 5
                || (at > 0
                    && (document.before(at, 1).is_some_and(|before| {
                        before.flags.any(role::PART) || before.is('.') || before.is('-')
                    })))
                || end == at && token.lower.len() >= 3 && token.gap == Gap::Space);
        let word = token.is_capital()
            && !token.flags.is_plain()
            && (token.gap != Gap::Line
                || followed_by_place(document, at)
                || lines > 1
                    && document
                        .get(at + 1)
                        .is_some_and(|next| next.shape == Shape::Number && next.lower.len() == 5));
        // In lower case only a ZIP code shows where it ends: "dayton oh 45402".
        let lower = token.shape == Shape::Lower
            && (at + 1..at + 4).any(|next| {
                document.flags(next - 1).any(role::STATE)
                    && document
                        .get(next)
                        .is_some_and(|code| code.shape == Shape::Number && code.digits == 5)
            });
        if unit || state || number || word || lower {
            end = at + 1;
        } else if !(matches!(token.shape, Shape::Mark(',' | '.' | '-' | '/' | ';'))
            && (token.is(',') || token.gap == Gap::None || lines > 0))
        {
            break;
        } else if token.is('.')
            && document.get(at + 1).is_some_and(|next| {
                next.gap != Gap::None
                    && !document.flags_before(at, 1).any(role::PART)
                    && !is_state(next)
                    && next.shape != Shape::Number
            })
        {
            // A sentence ends here, unless the dot is an abbreviation's ("St., Springfield").
            let abbreviation = document.get(at + 1).is_some_and(|next| next.is(','))
                || document.flags_before(at, 1).any(role::STREET)
                    && document.lower_before(at, 1).len() <= 4;
            if !abbreviation {
                break;
            }
        }
        at += 1;
    }
    end
}

/// Whether a State, a ZIP code or a comma with one comes within the next tokens.
fn followed_by_place(document: &Document<'_>, at: usize) -> bool {
    (at + 1..at + 6).any(|next| {
        document.get(next).is_some_and(|token| {
            is_state(token)
                || is_state_name(document, next) > 0
                || token.shape == Shape::Number && token.lower.len() == 5
        })
    })
}

/// "Address: ...", "lives at ...": what follows to the end of the line, while it reads as an address.
fn addressed(document: &Document<'_>, at: usize, out: &mut Vec<Found>) -> Option<usize> {
    if !document.flags(at).any(role::RESIDENCE) {
        return None;
    }
    let cue = matches!(document.lower(at), "address" | "residence" | "addr")
        && (document.get(at + 1)?.is(':') || document.lower(at + 1) == "is")
        || matches!(
            document.lower(at),
            "lives" | "resides" | "living" | "located" | "live" | "stays"
        ) && document.lower(at + 1) == "at"
        || document.reads(at, &["same", ":"]);
    if !cue {
        return None;
    }
    let first = at + 2;
    if document.get(first)?.shape != Shape::Number {
        return None;
    }
    let mut end = first + 1;
    while let Some(token) = document.get(end)
        && token.gap != Gap::Line
        && end < first + 14
        && (token.is_capital()
            || matches!(
                token.shape,
                Shape::Number | Shape::Code | Shape::Mark(',' | '-' | '#')
            )
            || token.shape == Shape::Lower && !token.flags.is_plain())
    {
        end += 1;
    }
    let end = tail(document, end);
    (end > first + 1).then(|| push(document, first, end, 0.75, "address-by-cue", out))?;
    Some(end)
}

/// "Fresno, CA 93726", "Portland, Oregon", "CA 93726".
fn city_state(document: &Document<'_>, at: usize, out: &mut Vec<Found>) -> Option<usize> {
    let token = document.get(at)?;
    if !token.is_capital() {
        return None;
    }
    let zip = |at: usize| {
        let code = document.get(at)?;
        (code.shape == Shape::Number && code.lower.len() == 5 && code.gap == Gap::Space).then(
            || {
                if document
                    .get(at + 1)
                    .is_some_and(|dash| dash.is('-') && dash.gap == Gap::None)
                {
                    at + 3
                } else {
                    at + 1
                }
            },
        )
    };
    if is_state(token)
        && let Some(end) = zip(at + 1)
    {
        push(document, at, end, 0.9, "state-zip", out);
        return Some(end);
    }
    let mut comma = at;
    while comma < at + 4
        && document.get(comma).is_some_and(|word| {
            word.is_capital() && (comma == at || word.gap == Gap::Space)
                || word.is('.') && comma > at
                || word.is('-') && comma > at && word.gap == Gap::None
        })
    {
        comma += 1;
    }
    if comma == at || !document.get(comma)?.is(',') {
        // "Fresno CA 93726"
        let state = comma.checked_sub(1).filter(|state| *state > at)?;
        let end = document
            .get(state)
            .filter(|token| is_state(token))
            .and_then(|_| zip(state + 1))?;
        push(document, at, end, 0.85, "city-state", out);
        return Some(end);
    }
    let state = document.get(comma + 1)?;
    let words = is_state_name(document, comma + 1);
    if !(is_state(state) && state.gap == Gap::Space) && words == 0 {
        return None;
    }
    let mut end = comma + 1 + words.max(1);
    let coded = zip(end);
    let before = document.lower_before(at, 1);
    let cued = matches!(before, "in" | "from" | "of" | "near" | "at" | "to");
    // MD, PA and MA are also what people are.
    let doubtful = matches!(
        state.lower.as_ref(),
        "md" | "pa" | "ma" | "ms" | "do" | "or" | "in" | "me" | "hi" | "ok"
    ) && words == 0;
    let plain = (at..comma).all(|at| {
        document
            .get(at)
            .is_none_or(|word| word.flags.is_plain() || word.is('.'))
    });
    if plain && coded.is_none()
        || doubtful && coded.is_none() && !(cued || document_place(document, at).is_some())
    {
        return None;
    }
    if let Some(coded) = coded {
        end = coded;
    }
    push(document, at, end, 0.88, "city-state", out);
    Some(end)
}

/// The end of a listed place that begins at `at`.
fn document_place(document: &Document<'_>, at: usize) -> Option<usize> {
    let token = document
        .get(at)
        .filter(|token| token.flags.any(role::PLACE))?;
    document
        .lexicon
        .places(&token.lower)
        .iter()
        .find(|words| {
            words.iter().enumerate().all(|(place, word)| {
                document.get(at + 1 + place).is_some_and(|next| {
                    next.lower == *word
                        && next.gap != Gap::Line
                        && (next.is_capital() || next.is('.') || next.is('-'))
                })
            })
        })
        .map(|words| at + 1 + words.len())
}

/// A city of the list, when it cannot be a person or a word, or stands after a preposition of place.
fn listed(document: &Document<'_>, at: usize, out: &mut Vec<Found>) -> Option<usize> {
    let token = document.get(at)?;
    if !matches!(token.shape, Shape::Title | Shape::Upper) {
        return None;
    }
    let end = document_place(document, at)?;
    let alone = end == at + 1;
    let doubtful = alone && (token.flags.any(GIVEN | FAMILY) || !token.flags.is_unknown());
    let cued = preposed(document, at);
    if name::makes_a_term(document, end) {
        return None;
    }
    let disease = document.get(end).is_some_and(|next| {
        matches!(
            next.lower.as_ref(),
            "coma"
                | "score"
                | "scale"
                | "criteria"
                | "cognitive"
                | "virus"
                | "classification"
                | "heart"
        )
    });
    if doubtful && !cued || disease {
        return None;
    }
    // "our Chicago office"
    let end = if document.get(end).is_some_and(|next| {
        next.shape == Shape::Lower
            && matches!(
                next.lower.as_ref(),
                "clinic" | "office" | "hospital" | "campus" | "branch" | "location"
            )
    }) {
        end + 1
    } else {
        end
    };
    let end = with_state(document, end);
    push(
        document,
        at,
        end,
        if doubtful { 0.7 } else { 0.85 },
        "place-listed",
        out,
    );
    Some(end)
}

fn preposed(document: &Document<'_>, at: usize) -> bool {
    matches!(
        document.lower_before(at, 1),
        "in" | "from"
            | "near"
            | "of"
            | "to"
            | "around"
            | "outside"
            | "via"
            | "our"
            | "downtown"
            | "visiting"
    )
}

/// "Tulare County", "city of Visalia", "Pine Township".
fn county(document: &Document<'_>, at: usize, out: &mut Vec<Found>) -> Option<usize> {
    if document.flags(at).any(role::TOWN)
        && document.lower(at + 1) == "of"
        && document
            .get(at + 2)
            .is_some_and(|name| name.shape == Shape::Title)
    {
        let end = capitals(document, at + 2);
        push(document, at + 2, end, 0.85, "place-by-cue", out);
        return Some(end);
    }
    let token = document.get(at)?;
    if token.shape != Shape::Title || token.flags.is_plain() {
        return None;
    }
    let end = capitals(document, at);
    (at + 1..end + 1)
        .find(|unit| document.flags(*unit).any(role::COUNTY))
        .map(|unit| {
            push(document, at, unit + 1, 0.9, "county", out);
            unit + 1
        })
}

/// The end of the run of capital words from `at`.
fn capitals(document: &Document<'_>, at: usize) -> usize {
    let mut end = at;
    while end < at + 4
        && document.get(end).is_some_and(|word| {
            (word.shape == Shape::Title || word.shape == Shape::Upper && word.lower.len() > 3)
                && (end == at || word.gap != Gap::Line)
                && (end == at || !word.flags.is_plain() || word.lower.len() > 3)
        })
    {
        end += 1;
        if document.get(end).is_some_and(|joint| {
            (joint.is('-') || joint.shape == Shape::Possessive) && joint.gap == Gap::None
        }) {
            end += 1;
        }
    }
    end.max(at)
}

/// "lives in X", "admitted to X", "seen at X", "from X": a capital word that no list explains.
fn cued(document: &Document<'_>, at: usize, out: &mut Vec<Found>) -> Option<usize> {
    if !document.flags(at).any(role::PREPOSITION) {
        return None;
    }
    let preposition = document.lower(at);
    let before = document.lower_before(at, 1);
    let lives = document.flags_before(at, 1).any(role::LIFE);
    let seen = matches!(preposition, "at" | "to" | "from" | "in")
        && (1..=6).any(|back| document.flags_before(at, back).any(role::VISIT));
    if preposition == "of" && before != "resident" && before != "native" {
        return None;
    }
    let mut first = at + 1;
    if document.lower(first) == "the" {
        first += 1;
    }
    let token = document.get(first)?;
    if token.gap == Gap::Line {
        return None;
    }
    // "St. Mary's", "Mt. Zion"
    let saint = matches!(token.lower.as_ref(), "st" | "mt" | "ft")
        && document
            .get(first + 1)
            .is_some_and(|dot| dot.is('.') || dot.shape == Shape::Title);
    let end = if saint {
        let name = if document.get(first + 1)?.is('.') {
            first + 2
        } else {
            first + 1
        };
        capitals(document, name)
    } else {
        capitals(document, first)
    };
    if token.flags.any(role::FAMED) && token.is_capital() {
        push(
            document,
            first,
            end.max(first + 1),
            0.8,
            "facility-known",
            out,
        );
        return Some(end.max(first + 1));
    }
    if seen
        && matches!(preposition, "at" | "to" | "from")
        && token.shape == Shape::Upper
        && (3..=6).contains(&token.lower.len())
        && token.flags.is_unknown()
    {
        push(document, first, first + 1, 0.6, "facility-letters", out);
        return Some(first + 1);
    }
    let judged = (first..end)
        .filter_map(|at| document.get(at))
        .any(|word| !word.flags.is_plain() && word.shape == Shape::Title)
        || saint;
    let strange = is_state_name(document, first) > 0
        || token.flags.is_plain() && !saint && !(seen && preposition == "at" && end > first + 1);
    if end == first || !(judged || seen && preposition == "at" && end > first + 1) || strange {
        return None;
    }
    let confidence = match (lives, seen, preposition) {
        _ if saint => 0.75,
        (true, _, _) => 0.75,
        (_, true, "at") => 0.65,
        _ if reads_as_town(document, first, end) => 0.65,
        _ if token.flags.is_unknown() => 0.45,
        _ => return None,
    };
    let end = with_state(document, end);
    push(document, first, end, confidence, "place-by-cue", out);
    Some(end)
}

/// Whether the words are made as the names of towns are: "Port Ellery", "Quillhaven".
fn reads_as_town(document: &Document<'_>, first: usize, end: usize) -> bool {
    const ENDS: [&str; 12] = [
        "borough", "burg", "bury", "dale", "field", "ford", "haven", "mouth", "port", "shire",
        "town", "ville",
    ];
    let leads = matches!(
        document.lower(first),
        "bay"
            | "cape"
            | "east"
            | "el"
            | "fort"
            | "glen"
            | "lake"
            | "las"
            | "los"
            | "mount"
            | "new"
            | "north"
            | "old"
            | "palm"
            | "point"
            | "port"
            | "saint"
            | "san"
            | "santa"
            | "south"
            | "west"
    );
    leads && end > first + 1
        || ENDS
            .iter()
            .any(|ending| document.lower(end.saturating_sub(1)).ends_with(ending))
}

/// "Cedar Crest Hospital", "Brigham and Women's Hospital", "University of Utah Hospital", "Hospital of the Valley".
fn facility(document: &Document<'_>, at: usize, out: &mut Vec<Found>) {
    let Some(last) = document.get(at) else { return };
    if last.flags.any(role::FAMED) && last.is_capital() {
        push(document, at, at + 1, 0.7, "facility-known", out);
    }
    if !(last.is_capital() && last.flags.any(role::FACILITY)) {
        return;
    }
    let mut first = at;
    let mut telling = false;
    while let Some(before) = first.checked_sub(1)
        && at - before <= 8
        && let Some(word) = document.get(before)
    {
        if document
            .get(first)
            .is_some_and(|next| next.gap == Gap::Line)
        {
            break;
        }
        let joint = matches!(
            word.lower.as_ref(),
            "and" | "&" | "of" | "for" | "the" | "at" | "'s" | "-" | "."
        ) || word.is('\'')
            || word.is('’');
        let capital = word.is_capital()
            && !matches!(
                word.lower.as_ref(),
                "at" | "the" | "in" | "to" | "from" | "mr" | "mrs" | "ms" | "dr"
            );
        if word.is('.') && !within(document.lower_before(before, 1), &["ft", "mt", "st"]) {
            break;
        }
        if !(capital || joint) {
            break;
        }
        if capital && !word.flags.any(role::GENERIC) && !word.flags.any(role::FACILITY) {
            telling = true;
        }
        first = before;
    }
    // A joint at the front belongs to the sentence.
    while document.get(first).is_some_and(|word| {
        !word.is_capital() || matches!(word.lower.as_ref(), "the" | "and" | "of" | "at")
    }) && first < at
    {
        first += 1;
    }
    let mut end = at + 1;
    // "Hospital Los Angeles", "Hospital of Philadelphia", "Clinic at Cedar Park", "Hospital System".
    while document.get(end).is_some_and(|word| {
        matches!(
            word.lower.as_ref(),
            "system"
                | "center"
                | "network"
                | "campus"
                | "department"
                | "north"
                | "south"
                | "east"
                | "west"
                | "group"
                | "associates"
        ) && word.is_capital()
            && word.gap == Gap::Space
    }) {
        end += 1;
    }
    let joined = document.get(end).is_some_and(|joint| {
        matches!(joint.lower.as_ref(), "of" | "at" | "-" | "–" | ",") && joint.gap != Gap::Line
    });
    let after = if joined { end + 1 } else { end };
    let place = document_place(document, after).filter(|_| {
        document
            .get(after)
            .is_some_and(|word| word.gap != Gap::Line && word.is_capital())
    });
    if let Some(place) = place.filter(|_| {
        document
            .get(end)
            .is_none_or(|mark| !mark.is(',') || telling)
    }) {
        end = place;
        telling = true;
    } else if joined
        && !document
            .get(end)
            .is_some_and(|mark| mark.is(',') || mark.is('-') || mark.is('–'))
        && document
            .get(after)
            .is_some_and(|word| word.shape == Shape::Title && !word.flags.is_plain())
    {
        end = capitals(document, after);
        telling = true;
    }
    if !telling {
        // "admitted to General Hospital": without an article, even plain words are a name.
        let bare = matches!(document.lower_before(first, 1), "at" | "to" | "from")
            && matches!(last.lower.as_ref(), "hospital" | "clinic" | "center")
            && at > first
            && (first..at)
                .filter_map(|at| document.get(at))
                .any(|word| word.shape == Shape::Title);
        if bare {
            push(document, first, end, 0.45, "facility-plain", out);
        }
        return;
    }
    // A heading or a sentence of capital words is not a facility: it needs a word that no list calls plain.
    let words: Vec<&Token<'_>> = (first..end)
        .filter_map(|at| document.get(at))
        .filter(|word| word.is_word())
        .collect();
    let strange = words
        .iter()
        .any(|word| !word.flags.is_plain() && !word.flags.any(role::FACILITY));
    let institution = matches!(
        last.lower.as_ref(),
        "hospital"
            | "clinic"
            | "center"
            | "centre"
            | "infirmary"
            | "hospice"
            | "university"
            | "school"
            | "college"
            | "pharmacy"
            | "church"
            | "manor"
            | "haven"
            | "residence"
            | "academy"
            | "shelter"
    );
    if strange
        || institution && words.len() > 1 && !document.get(end).is_some_and(|next| next.is(':'))
    {
        push(
            document,
            first,
            end,
            if strange { 0.8 } else { 0.55 },
            "facility",
            out,
        );
    }
}

/// "discharged from mercy hospital", "seen at NYU Langone clinic", "transfer from st. brendan's".
fn facility_in_lower_case(
    document: &Document<'_>,
    at: usize,
    last: &Token<'_>,
    out: &mut Vec<Found>,
) {
    let enters = |at: usize| {
        matches!(document.lower(at), "at" | "from" | "to" | "in" | "@" | "by")
            || document.reads(at, &["via"])
    };
    if last.lower == "st" && at > 0 && enters(at - 1) {
        let name = at + 1 + usize::from(document.lower(at + 1) == ".");
        let possessive = document
            .get(name + 1)
            .is_some_and(|next| next.shape == Shape::Possessive);
        if possessive && document.get(name).is_some_and(Token::is_word) {
            push(document, at, name + 2, 0.75, "facility-lower", out);
        }
        return;
    }
    const KINDS: [&str; 10] = [
        "center",
        "centre",
        "clinic",
        "hosp",
        "hospital",
        "infirmary",
        "pharmacy",
        "rehab",
        "snf",
        "university",
    ];
    if !within(&last.lower, &KINDS) {
        return;
    }
    let mut first = at;
    let mut telling = false;
    while let Some(before) = first.checked_sub(1)
        && at - before <= 5
        && let Some(word) = document.get(before)
        && document
            .get(first)
            .is_some_and(|next| next.gap != Gap::Line)
    {
        let joint = word.shape == Shape::Possessive || word.is('.') || word.is('-') || word.is('&');
        if enters(before) && !joint {
            if telling && first < at {
                push(document, first, at + 1, 0.7, "facility-lower", out);
            }
            return;
        }
        let stops = word.flags.any(role::NEVER)
            || matches!(
                word.lower.as_ref(),
                "this" | "another" | "any" | "outside" | "local" | "nearby" | "same" | "other"
            )
            || !word.is_word() && !joint;
        if stops {
            return;
        }
        telling |= word.is_word() && !word.flags.any(role::GENERIC | role::FACILITY);
        first = before;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_sorted_for_lookup() {
        for list in [
            STATES,
            STATE_NAMES,
            STREETS,
            DIRECTIONS,
            UNITS,
            FACILITIES,
            GENERIC,
            KNOWN,
            STATE_FIRSTS,
            STREET_JOINTS,
            AMOUNTS,
            RESIDENCES,
            COUNTIES,
            TOWNS,
            PREPOSITIONS,
            LIVES,
            VISITS,
        ] {
            assert!(list.windows(2).all(|pair| pair[0] < pair[1]), "{list:?}");
        }
    }
}
