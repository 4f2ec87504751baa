//! What FHIR R4 resources say of people: names, dates, numbers, addresses. The elements that are read are named here; others
//! say nothing that could be looked for in a text, and are left alone.

use super::{Facts, Json, Malformed, wrong};

const RESOURCE: &str = "a `Patient`, `Encounter`, `RelatedPerson`, `Practitioner`, `Location` or `Organization` of FHIR R4, or a `Bundle` \
                        of them";
const ELEMENT: &str = "as FHIR R4 has it";

const MAIDEN_NAME: &str = "http://hl7.org/fhir/StructureDefinition/patient-mothersMaidenName";
const BIRTH_PLACE: &str = "http://hl7.org/fhir/StructureDefinition/patient-birthPlace";

/// Reads resources; those of other types are refused.
pub(super) fn all(resources: Vec<Json>, path: &str, facts: &mut Facts) -> Result<(), Malformed> {
    for (index, one) in resources.into_iter().enumerate() {
        resource(one, &format!("{path}[{index}]"), facts)?;
    }
    Ok(())
}

/// Reads one resource.
pub(super) fn resource(resource: Json, path: &str, facts: &mut Facts) -> Result<(), Malformed> {
    let mut element = Element::of(resource, path)?;
    let kind = element.text("resourceType")?.unwrap_or_default();
    match kind.as_str() {
        "Bundle" => {
            for mut entry in element.all("entry")? {
                if let Some(inner) = entry.one("resource")? {
                    // A bundle may hold much else, of which nothing is known here.
                    let is_read = inner.is_of(&[
                        "Patient",
                        "Encounter",
                        "RelatedPerson",
                        "Practitioner",
                        "Location",
                        "Organization",
                    ]);
                    if is_read {
                        let path = inner.path.clone();
                        self::resource(Json::Object(inner.entries), &path, facts)?;
                    }
                }
            }
            Ok(())
        }
        "Patient" => {
            person(&mut element, "patient", facts)?;
            for mut contact in element.all("contact")? {
                person(&mut contact, "relative", facts)?;
            }
            for mut extension in element.all("extension")? {
                match extension.text("url")?.as_deref() {
                    Some(MAIDEN_NAME) => {
                        extension.fact("valueString", "name", "relative", facts)?
                    }
                    Some(BIRTH_PLACE) => {
                        if let Some(mut place) = extension.one("valueAddress")? {
                            address(&mut place, "patient", facts)?;
                        }
                    }
                    Some(_) | None => {}
                }
            }
            element.fact("deceasedDateTime", "date", "patient", facts)?;
            displays(&mut element, "generalPractitioner", "name", "staff", facts)?;
            displays(
                &mut element,
                "managingOrganization",
                "geo",
                "encounter",
                facts,
            )
        }
        "RelatedPerson" => person(&mut element, "relative", facts),
        "Practitioner" => person(&mut element, "staff", facts),
        "Location" | "Organization" => {
            element.fact("name", "geo", "encounter", facts)?;
            numbers(&mut element, "encounter", facts)?;
            each(
                &mut element,
                "address",
                |place, facts| address(place, "encounter", facts),
                facts,
            )
        }
        "Encounter" => {
            numbers(&mut element, "encounter", facts)?;
            displays(&mut element, "subject", "name", "patient", facts)?;
            displays(&mut element, "serviceProvider", "geo", "encounter", facts)?;
            if let Some(mut period) = element.one("period")? {
                period.fact("start", "date", "encounter", facts)?;
                period.fact("end", "date", "encounter", facts)?;
            }
            for mut participant in element.all("participant")? {
                displays(&mut participant, "individual", "name", "staff", facts)?;
            }
            for mut location in element.all("location")? {
                displays(&mut location, "location", "geo", "encounter", facts)?;
            }
            Ok(())
        }
        _ => Err(wrong(&element.at("resourceType"), RESOURCE)),
    }
}

/// What resources of people, and the contacts of a patient, have in common.
fn person(element: &mut Element, of: &'static str, facts: &mut Facts) -> Result<(), Malformed> {
    each(
        element,
        "name",
        |name, facts| human_name(name, of, facts),
        facts,
    )?;
    each(
        element,
        "address",
        |place, facts| address(place, of, facts),
        facts,
    )?;
    element.fact("birthDate", "date", of, facts)?;
    numbers(element, of, facts)
}

/// Identifiers and ways of contact.
fn numbers(element: &mut Element, of: &'static str, facts: &mut Facts) -> Result<(), Malformed> {
    for mut identifier in element.all("identifier")? {
        let system = identifier.text("system")?.unwrap_or_default();
        let mut codes = Vec::new();
        if let Some(mut kind) = identifier.one("type")? {
            for mut coding in kind.all("coding")? {
                codes.extend(coding.text("code")?);
            }
        }
        let kind = kind_of_identifier(&system, &codes, of);
        identifier.fact("value", kind, of, facts)?;
    }
    for mut telecom in element.all("telecom")? {
        let system = telecom.text("system")?;
        let kind = match system.as_deref() {
            Some("fax") => "fax",
            Some("email") => "email",
            Some("url") => "url",
            Some("other" | "pager" | "phone" | "sms") | None => "phone",
            Some(_) => return Err(wrong(&telecom.at("system"), ELEMENT)),
        };
        telecom.fact("value", kind, of, facts)?;
    }
    Ok(())
}

/// By the codes of HL7 table 0203 and the systems that US Core names.
fn kind_of_identifier(system: &str, codes: &[String], of: &str) -> &'static str {
    let of_code = |code: &String| match code.as_str() {
        "MR" | "MRT" | "PI" | "PT" | "PN" => Some("mrn"),
        "SS" | "SB" => Some("ssn"),
        "MB" | "SN" | "MC" | "MA" | "HC" | "NIIP" => Some("health-plan"),
        "AN" | "ANC" | "AND" | "ANT" => Some("account"),
        "DL" | "LN" | "MD" | "DO" | "NPI" | "DEA" | "PPN" | "RN" | "UPIN" => Some("license"),
        "UDI" | "SNO" => Some("device"),
        _ => None,
    };
    let of_system = || match system.rsplit(['/', ':']).next()? {
        "us-ssn" | "2.16.840.1.113883.4.1" => Some("ssn"),
        "us-npi" | "2.16.840.1.113883.4.6" => Some("license"),
        "us-mbi" | "us-medicare" => Some("health-plan"),
        _ => None,
    };
    let other = if of == "patient" { "mrn" } else { "id" };
    codes
        .iter()
        .find_map(of_code)
        .or_else(of_system)
        .unwrap_or(other)
}

/// The family name first, behind it a comma; and the text of the whole.
fn human_name(name: &mut Element, of: &'static str, facts: &mut Facts) -> Result<(), Malformed> {
    let family = name.text("family")?.unwrap_or_default();
    let given = name.texts("given")?.join(" ");
    let value = match (family.is_empty(), given.is_empty()) {
        (false, false) => format!("{family}, {given}"),
        (false, true) => format!("{family},"),
        (true, _) => given,
    };
    let path = name.path.clone();
    facts.add("name", of, value, &path)?;
    name.fact("text", "name", of, facts)
}

fn address(place: &mut Element, of: &'static str, facts: &mut Facts) -> Result<(), Malformed> {
    let mut parts = place.texts("line")?;
    for name in ["city", "district", "state", "postalCode"] {
        parts.extend(place.text(name)?);
    }
    let path = place.path.clone();
    facts.add("geo", of, parts.join(", "), &path)?;
    place.fact("text", "geo", of, facts)
}

/// What references call those to whom they lead.
fn displays(
    element: &mut Element,
    name: &str,
    kind: &'static str,
    of: &'static str,
    facts: &mut Facts,
) -> Result<(), Malformed> {
    each(
        element,
        name,
        |reference, facts| reference.fact("display", kind, of, facts),
        facts,
    )
}

/// Reads an element that is there once, or more than once.
fn each(
    element: &mut Element,
    name: &str,
    mut read: impl FnMut(&mut Element, &mut Facts) -> Result<(), Malformed>,
    facts: &mut Facts,
) -> Result<(), Malformed> {
    for mut one in element.all(name)? {
        read(&mut one, facts)?;
    }
    Ok(())
}

/// An element that has others.
struct Element {
    path: String,
    entries: Vec<(String, Json)>,
}

impl Element {
    fn of(value: Json, path: &str) -> Result<Self, Malformed> {
        let Json::Object(entries) = value else {
            return Err(wrong(path, ELEMENT));
        };
        Ok(Self {
            path: path.to_owned(),
            entries,
        })
    }

    fn at(&self, name: &str) -> String {
        format!("{}.{name}", self.path)
    }

    fn take(&mut self, name: &str) -> Option<Json> {
        let place = self.entries.iter().position(|(key, _)| key == name)?;
        Some(self.entries.swap_remove(place).1).filter(|value| !matches!(value, Json::Null))
    }

    fn is_of(&self, types: &[&str]) -> bool {
        self.entries.iter().any(|(key, value)| {
            key == "resourceType"
                && matches!(value, Json::Text(text) if types.contains(&text.as_str()))
        })
    }

    fn one(&mut self, name: &str) -> Result<Option<Self>, Malformed> {
        let path = self.at(name);
        self.take(name)
            .map(|value| Self::of(value, &path))
            .transpose()
    }

    /// An element that may be there more than once.
    fn all(&mut self, name: &str) -> Result<Vec<Self>, Malformed> {
        let path = self.at(name);
        match self.take(name) {
            None => Ok(Vec::new()),
            Some(Json::List(values)) => values
                .into_iter()
                .enumerate()
                .map(|(index, value)| Self::of(value, &format!("{path}[{index}]")))
                .collect(),
            Some(value) => Ok(vec![Self::of(value, &path)?]),
        }
    }

    fn text(&mut self, name: &str) -> Result<Option<String>, Malformed> {
        match self.take(name) {
            None => Ok(None),
            Some(Json::Text(text)) => Ok(Some(text)),
            Some(_) => Err(wrong(&self.at(name), ELEMENT)),
        }
    }

    fn texts(&mut self, name: &str) -> Result<Vec<String>, Malformed> {
        let texts = match self.take(name) {
            None => Some(Vec::new()),
            // A missing one of several is `null`, with an extension elsewhere.
            Some(Json::List(values)) => values
                .into_iter()
                .filter(|value| !matches!(value, Json::Null))
                .map(Json::into_text)
                .collect(),
            Some(_) => None,
        };
        texts.ok_or_else(|| wrong(&self.at(name), ELEMENT))
    }

    fn fact(
        &mut self,
        name: &str,
        kind: &'static str,
        of: &'static str,
        facts: &mut Facts,
    ) -> Result<(), Malformed> {
        match self.text(name)? {
            Some(value) => facts.add(kind, of, value, &self.at(name)),
            None => Ok(()),
        }
    }
}
