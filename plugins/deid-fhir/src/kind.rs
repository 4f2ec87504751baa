//! Of what type an element is, told by its name and by what it holds: FHIR's JSON does not say (FHIR R4, section 2.6). So a
//! date is what is written as one, whole, or stands under a name that dates have.

use crate::tree::{Node, Value};

/// Types that an element of several types (`value[x]`) can have, as its name ends with them.
const CHOICES: [&str; 50] = [
    "Address",
    "Age",
    "Annotation",
    "Attachment",
    "Base64Binary",
    "Boolean",
    "Canonical",
    "Code",
    "CodeableConcept",
    "Coding",
    "ContactDetail",
    "ContactPoint",
    "Contributor",
    "Count",
    "DataRequirement",
    "Date",
    "DateTime",
    "Decimal",
    "Distance",
    "Dosage",
    "Duration",
    "Expression",
    "HumanName",
    "Id",
    "Identifier",
    "Instant",
    "Integer",
    "Markdown",
    "Meta",
    "Money",
    "Oid",
    "ParameterDefinition",
    "Period",
    "PositiveInt",
    "Quantity",
    "Range",
    "Ratio",
    "Reference",
    "RelatedArtifact",
    "SampledData",
    "Signature",
    "String",
    "Time",
    "Timing",
    "TriggerDefinition",
    "UnsignedInt",
    "Uri",
    "Url",
    "UsageContext",
    "Uuid",
];

/// Whether `key` is `name` with a type behind it.
pub(crate) fn is_choice(key: &str, name: &str) -> bool {
    key.strip_prefix(name)
        .is_some_and(|kind| CHOICES.contains(&kind))
}

/// Whether the node under `name` is of the type.
pub(crate) fn is_of(name: &str, node: &Node, kind: &str) -> bool {
    let has = |members: &[&str]| members.iter().any(|member| node.member(member).is_some());
    let is_object = matches!(node.value, Value::Object(_));
    let is_typed =
        |kind: &str| name.ends_with(kind) && CHOICES.contains(&kind) && name.len() > kind.len();
    match kind {
        "date" => is_date(name, node) && is_of_days(name),
        "dateTime" | "instant" => is_date(name, node) && !is_of_days(name),
        "HumanName" => {
            is_object
                && (is_typed(kind)
                    || name == "name"
                        && has(&[
                            "family", "given", "use", "text", "prefix", "suffix", "period",
                        ]))
        }
        "Address" => {
            is_object
                && (is_typed(kind)
                    || name == "address"
                        && has(&[
                            "line",
                            "city",
                            "state",
                            "country",
                            "postalCode",
                            "text",
                            "use",
                            "district",
                            "period",
                        ]))
        }
        "ContactPoint" => is_object && (is_typed(kind) || name == "telecom"),
        "Identifier" => {
            is_object
                && (is_typed(kind)
                    || name == "identifier"
                    || name.ends_with("Identifier")
                    || name == "requisition")
        }
        "Extension" => matches!(name, "extension" | "modifierExtension"),
        "Narrative" => is_object && name == "text" && has(&["div", "status"]),
        "Annotation" => is_object && (is_typed(kind) || name == "note"),
        "Attachment" => {
            is_object
                && (is_typed(kind)
                    || matches!(name, "photo" | "image" | "presentedForm" | "attachment")
                    || has(&["contentType"]))
        }
        "Coding" => {
            is_object
                && (is_typed(kind)
                    || matches!(name, "coding" | "security" | "tag")
                    || name == "class" && has(&["code", "system"]))
        }
        "CodeableConcept" => is_object && name != "_text" && (is_typed(kind) || has(&["coding"])),
        "Reference" => {
            is_object
                && (is_typed(kind)
                    || has(&["reference"])
                    || has(&["display"]) && !has(&["code", "system", "coding", "value"]))
        }
        "Age" => is_object && (is_typed(kind) || name == "age"),
        "Period" => {
            is_object
                && (is_typed(kind)
                    || name == "period"
                    || has(&["start", "end"]) && !has(&["resourceType"]))
        }
        "Expression" => is_object && (is_typed(kind) || has(&["expression"]) && has(&["language"])),
        "ContactDetail" => {
            is_object
                && (is_typed(kind)
                    || name == "contact" && has(&["telecom"]) && !has(&["relationship", "address"]))
        }
        "base64Binary" => name == "data" || is_typed("Base64Binary"),
        // Other whole numbers are of `positiveInt` and `unsignedInt`, nearly all.
        "integer" => is_typed("Integer"),
        "decimal" => {
            is_typed("Decimal")
                || matches!(&node.value, Value::Number(number) if number.contains(['.', 'e', 'E']))
        }
        "boolean" => matches!(node.value, Value::Bool(_)),
        other => {
            let mut letters = other.chars();
            let capital: String = letters
                .next()
                .into_iter()
                .flat_map(char::to_uppercase)
                .chain(letters)
                .collect();
            is_typed(&capital)
        }
    }
}

/// Whether it is an element of the type `date`, which has no time (FHIR R4); others that say a day are of `dateTime`.
fn is_of_days(name: &str) -> bool {
    const NAMES: [&str; 14] = [
        "approvalDate",
        "birthDate",
        "bornDate",
        "deceasedDate",
        "dueDate",
        "eventDate",
        "lastReviewDate",
        "onsetDate",
        "published",
        "servicedDate",
        "startDate",
        "statusDate",
        "valueDate",
        "vaccineDate",
    ];
    NAMES.contains(&name)
}

/// Whether it is a date, a day and time, or an instant.
pub(crate) fn is_date(name: &str, node: &Node) -> bool {
    let Value::Text(text) = &node.value else {
        return false;
    };
    let digits = |range: std::ops::Range<usize>| {
        text.get(range)
            .is_some_and(|part| part.bytes().all(|b| b.is_ascii_digit()))
    };
    let is_dash = |at: usize| text.as_bytes().get(at) == Some(&b'-');
    let is_day = text.len() >= 10
        && digits(0..4)
        && is_dash(4)
        && digits(5..7)
        && is_dash(7)
        && digits(8..10);
    if is_day {
        return matches!(text.as_bytes().get(10), None | Some(b'T'))
            || text.len() == 11 && text.ends_with('Z');
    }
    let is_part = text.len() == 4 && digits(0..4)
        || text.len() == 7 && digits(0..4) && is_dash(4) && digits(5..7);
    let lower = name.to_lowercase();
    let is_named = [
        "date",
        "start",
        "end",
        "period",
        "born",
        "onset",
        "recorded",
        "issued",
        "authored",
        "performed",
        "time",
        "occurrence",
    ];
    is_part && is_named.iter().any(|word| lower.contains(word))
}
