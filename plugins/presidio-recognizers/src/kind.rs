//! Presidio's entities as kinds of the Safe Harbor method. docs/presidio.md has the same table with what to know of each.

/// The kind of an entity; `other` for one that is nobody's but the file's.
pub(crate) fn of(entity: &str) -> &'static str {
    match entity {
        "PERSON" => "name",
        "LOCATION" | "ORGANIZATION" | "UK_POSTCODE" | "CA_POSTAL_CODE" | "ZIP" | "ZIP_CODE" => {
            "geo"
        }
        "DATE_TIME" => "date",
        "AGE" => "age",
        "PHONE_NUMBER" => "phone",
        "EMAIL_ADDRESS" => "email",
        "URL" => "url",
        "IP_ADDRESS" => "ip",
        "MAC_ADDRESS" => "device",
        "US_SSN" | "US_ITIN" => "ssn",
        "CREDIT_CARD" | "IBAN_CODE" | "US_BANK_NUMBER" | "ABA_ROUTING_NUMBER" => "account",
        "US_DRIVER_LICENSE" | "US_PASSPORT" | "MEDICAL_LICENSE" | "US_NPI" => "license",
        "US_MBI" | "US_HEALTH_INSURANCE_MEMBER_ID" | "AU_MEDICARE" => "health-plan",
        "MRN" | "MEDICAL_RECORD_NUMBER" => "mrn",
        "CRYPTO" | "UUID" => "id",
        entity if is_of_a_country(entity) => "id",
        _ => "other",
    }
}

/// `UK_NINO`, `US_CLAIM_NUMBER`: two letters and what they number.
fn is_of_a_country(entity: &str) -> bool {
    entity.split_once('_').is_some_and(|(country, rest)| {
        country.len() == 2
            && country.bytes().all(|byte| byte.is_ascii_uppercase())
            && !rest.is_empty()
    })
}
