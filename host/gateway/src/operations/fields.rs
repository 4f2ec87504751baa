//! Fields sealed under the tenant's key, each for one place, and opened again.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nephron_engine::contract::Value;
use nephron_keys::{Field, KeyError, Operations};
use nephron_model::{EventId, Kind, Phi, Point, Purpose};
use serde::Serialize;
use zeroize::Zeroize;

use super::written;
use crate::Gateway;
use crate::case::Case;
use crate::chain::decide::{Permitted, number, permit};
use crate::chain::deidentify::{KIND_RULE, known_kind};
use crate::classification::{Class, Classification};
use crate::receive::Malformed;
use crate::refusal::Refusal;
use crate::wire::fields::{Fields, UnknownFields, is_structural, wrong};

/// Fields of one request.
const MOST: usize = 100;

/// Fields with their values, or with what was sealed.
pub(super) struct Places<T: Zeroize>(Vec<Place<T>>);

/// Where a field belongs, and what is there.
struct Place<T: Zeroize> {
    name: String,
    /// The caller's word, until the tenant's classification has said its own.
    kind: Option<Kind>,
    /// It may be a record number, and stands in no header of the log.
    record: Phi<String>,
    content: Phi<T>,
}

/// Fields whose kinds are settled, each with its kind.
struct Settled<T: Zeroize>(Vec<(Place<T>, Kind)>);

impl<T: Zeroize> Settled<T> {
    /// Each as keys know it, with what is there.
    fn fields(&self) -> impl Iterator<Item = (Field<'_>, &T)> {
        self.0.iter().map(|(place, kind)| {
            let field = Field {
                record: place.record.expose(),
                name: &place.name,
                kind,
            };
            (field, place.content.expose())
        })
    }
}

/// Reads fields to be sealed.
pub(super) fn read_seal(fields: &mut Fields) -> Result<Places<String>, Malformed> {
    read(fields, "value", "a string", Some)
}

/// Reads fields to be opened.
pub(super) fn read_open(fields: &mut Fields) -> Result<Places<Vec<u8>>, Malformed> {
    const RULE: &str = "what `/v1/fields/seal` gave: base64url without padding";
    read(fields, "sealed", RULE, |text| {
        URL_SAFE_NO_PAD.decode(text).ok()
    })
}

fn read<T: Zeroize>(
    fields: &mut Fields,
    content: &'static str,
    rule: &'static str,
    decode: impl Fn(String) -> Option<T>,
) -> Result<Places<T>, Malformed> {
    const FIELDS: &str = "a list of 1 to 100 fields";
    const NAME: &str = "1 to 64 of letters, digits and `._:/-@`";
    const RECORD: &str = "1 to 200 bytes";
    let listed = fields.list("fields")?.unwrap_or_default();
    if !(1..=MOST).contains(&listed.len()) {
        return Err(wrong("fields", FIELDS));
    }
    let mut places = Vec::with_capacity(listed.len());
    for (index, field) in listed.into_iter().enumerate() {
        let mut field = Fields::of(field, &format!("fields[{index}]"), UnknownFields::Refuse)?;
        let name = field.text_that("name", NAME, |name| is_structural(name, 64))?;
        let kind = field
            .text("kind")?
            .map(|kind| known_kind(&kind).ok_or_else(|| wrong(&field.at("kind"), KIND_RULE)));
        let record =
            field.text_that("record", RECORD, |record| (1..=200).contains(&record.len()))?;
        let held = field.text(content)?.and_then(&decode);
        places.push(Place {
            name: name.ok_or_else(|| wrong(&field.at("name"), NAME))?,
            kind: kind.transpose()?,
            record: Phi::new(record.ok_or_else(|| wrong(&field.at("record"), RECORD))?),
            content: Phi::new(held.ok_or_else(|| wrong(&field.at(content), rule))?),
        });
        field.finish(&[])?;
    }
    Ok(Places(places))
}

/// What each field is: by the tenant's classification, if it has one; else the caller has to say. Gives its classes, too.
fn settled<T: Zeroize>(
    schema: Option<&Classification>,
    (operation, purpose): (Operations, &Purpose),
    places: Places<T>,
) -> Result<(Settled<T>, BTreeSet<Class>), Refusal> {
    let mut classes = BTreeSet::new();
    let settle = |(index, mut place): (usize, Place<T>)| {
        let at = |member: &str| format!("fields[{index}].{member}");
        let Some(schema) = schema else {
            let kind = place.kind.take();
            let kind = kind.ok_or_else(|| wrong(&at("kind"), KIND_RULE))?;
            return Ok((place, kind));
        };
        let (name, kind) = (&place.name, place.kind.as_ref());
        let found = match operation == Operations::OPEN {
            true => schema.to_open(name, kind, purpose),
            false => schema.to_seal(name, kind, purpose),
        };
        let (class, kind) = found.map_err(|why| Refusal::FieldRefused {
            place: at("name"),
            why,
        })?;
        classes.insert(class);
        Ok((place, kind))
    };
    let places = places.0.into_iter().enumerate().map(settle);
    let settled = places.collect::<Result<_, Refusal>>()?;
    Ok((Settled(settled), classes))
}

/// Asks whether this caller may use the key of fields for that.
async fn permitted<T: Zeroize>(
    (gateway, case): (&Gateway, &Case),
    operation: Operations,
    places: Places<T>,
) -> Result<Permitted<Settled<T>>, Refusal> {
    let schema = gateway.classification(case.tenant.id());
    let (settled, classes) = settled(schema, (operation, &case.purpose), places)?;
    let kinds: BTreeSet<String> = settled.0.iter().map(|(_, kind)| kind.to_string()).collect();
    let classes = classes.into_iter().map(|class| class.as_str().to_owned());
    let is_lent = case.is_lent(operation, Point::KeyUse, |_| settled.0.len())?;
    let action = operation.to_string();
    let facts = [
        ("classes", Value::Texts(classes.collect())),
        ("fields", number(settled.0.len())),
        ("grant", Value::Boolean(is_lent)),
        ("kinds", Value::Texts(kinds.into_iter().collect())),
    ];
    let asked = (Point::KeyUse, action.as_str(), case.caller.id.as_str());
    permit(case, asked, facts, settled).await
}

#[derive(Serialize)]
struct Sealed<'a> {
    event: EventId,
    /// Of the tenant's key.
    version: u32,
    fields: Vec<SealedField<'a>>,
}

#[derive(Serialize)]
struct SealedField<'a> {
    name: &'a str,
    sealed: String,
}

/// Seals fields.
pub(super) async fn seal(
    gateway: &Gateway,
    case: &Case,
    places: Places<String>,
) -> Result<Phi<String>, Refusal> {
    // Nothing is shown, so that identities are withheld in any case.
    let (settled, _duties) = permitted((gateway, case), Operations::SEAL, places)
        .await?
        .into_parts();
    let grant = case.grant(Operations::SEAL, Point::KeyUse)?;
    let fields: Vec<(Field<'_>, &str)> = settled
        .fields()
        .map(|(field, content)| (field, content.as_str()))
        .collect();
    let sealed = grant.seal_fields(&fields).await?;
    Ok(written(&Sealed {
        event: case.id,
        version: grant.info().version,
        fields: fields
            .iter()
            .zip(sealed)
            .map(|((field, _), sealed)| SealedField {
                name: field.name,
                sealed: URL_SAFE_NO_PAD.encode(sealed),
            })
            .collect(),
    }))
}

#[derive(Serialize)]
struct Opened<'a> {
    event: EventId,
    fields: Vec<OpenedField<'a>>,
}

#[derive(Serialize)]
struct OpenedField<'a> {
    name: &'a str,
    value: &'a str,
}

/// Opens fields, all or none.
pub(super) async fn open(
    gateway: &Gateway,
    case: &Case,
    places: Places<Vec<u8>>,
) -> Result<Phi<String>, Refusal> {
    let (settled, duties) = permitted((gateway, case), Operations::OPEN, places)
        .await?
        .into_parts();
    if duties.withhold_identities {
        return Err(Refusal::withheld(Point::KeyUse));
    }
    let grant = case.grant(Operations::OPEN, Point::KeyUse)?;
    let fields: Vec<(Field<'_>, &[u8])> = settled
        .fields()
        .map(|(field, content)| (field, content.as_slice()))
        .collect();
    let opened = grant.open_fields(&fields).await.map_err(|error| {
        if matches!(error, KeyError::AuthenticationFailed) {
            Refusal::NotAuthentic
        } else {
            error.into()
        }
    })?;
    Ok(written(&Opened {
        event: case.id,
        fields: fields
            .iter()
            .zip(&opened)
            .map(|((field, _), value)| OpenedField {
                name: field.name,
                value: value.expose(),
            })
            .collect(),
    }))
}
