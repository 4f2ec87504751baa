//! What has a form of its own: the patterns of two tables, tried at the start of each token, then a check.
//!
//! Trying them only where a token starts keeps the states of their automata few and needs no search backwards. Where
//! two patterns match at one place, the one that stands first wins: those of [`ADDRESSES`] before those of [`FORMS`].

use crate::automaton::{Automaton, Unbuildable};
use crate::check;
use crate::found::{Found, Kind};
use crate::token::{Document, Shape, Token};

/// Months, long and short.
const MONTH: &str = "(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)";
/// The days of a month, as words.
const ORDINAL: &str = "(?:twenty[ -]first|twenty[ -]second|twenty[ -]third|twenty[ -]fourth|twenty[ -]fifth|twenty[ -]sixth|twenty[ -]seventh|twenty[ -]eighth|twenty[ -]ninth|thirty[ -]first|first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|eleventh|twelfth|thirteenth|fourteenth|fifteenth|sixteenth|seventeenth|eighteenth|nineteenth|twentieth|thirtieth)";

/// A check of one match: `None` is no identifier, else the finding, perhaps changed.
type Check = fn(&str, Found) -> Option<Found>;

struct Pattern {
    kind: Kind,
    rule: &'static str,
    confidence: f32,
    /// `{M}` stands for [`MONTH`], `{O}` for [`ORDINAL`].
    expression: &'static str,
    check: Check,
}

const fn pattern(
    kind: Kind,
    rule: &'static str,
    confidence: f32,
    expression: &'static str,
    check: Check,
) -> Pattern {
    Pattern {
        kind,
        rule,
        confidence,
        expression,
        check,
    }
}

/// Addresses of the net, and files. They go before the other forms: these are often parts of them.
const ADDRESSES: &[Pattern] = &[
    // (N) web addresses (RFC 3986), (F) mail addresses (RFC 5322, the part of it that is in use).
    pattern(
        Kind::Url,
        "url",
        0.98,
        r"(?:https?|ftps?|sftp|wss?)://[!-;=?-~\x80-\xff]{2,}",
        check::address,
    ),
    pattern(
        Kind::Email,
        "email",
        0.99,
        r"(?:mailto:)?[a-z0-9\x80-\xff][a-z0-9._%+'\x80-\xff-]*@[a-z0-9\x80-\xff-]+(?:\.[a-z0-9\x80-\xff-]+)+",
        check::address,
    ),
    pattern(
        Kind::Email,
        "email-spelt",
        0.8,
        r"\b[a-z0-9._-]+ ?(?:\[at\]|\(at\)) ?[a-z0-9-]+(?: ?(?:\[dot\]|\(dot\)|\.) ?[a-z]{2,10}){1,3}\b",
        check::plain,
    ),
    pattern(
        Kind::Url,
        "www",
        0.95,
        r"\bwww\.[a-z0-9-]+(?:\.[a-z0-9-]+)+(?:[:/?#][!-;=?-~\x80-\xff]*)?",
        check::address,
    ),
    // (Q) names of picture files.
    pattern(
        Kind::Photo,
        "picture-file",
        0.9,
        r"\b[a-z0-9_][a-z0-9_.-]*\.(?:jpe?g|png|heic|gif|tiff?|bmp|dcm|webp|mov|mp4)\b",
        check::plain,
    ),
    pattern(
        Kind::Url,
        "domain",
        0.8,
        r"\b(?:[a-z0-9-]+\.)+(?:com|org|net|edu|gov|mil|info|health|clinic|care|hospital|example|io|co\.uk|uk|ca|de|fr|app|dev)\b(?:/[!-;=?-~\x80-\xff]*)?",
        check::domain,
    ),
];

/// What else has a form of its own.
const FORMS: &[Pattern] = &[
    // [NAME_7KQ2M]: the host's own tokens are no identifiers, and nothing inside them is one.
    pattern(
        Kind::Id,
        "token",
        0.0,
        r"\[[A-Z][A-Z-]{1,15}_[0-9A-HJKMNP-TV-Z]{5}\]",
        check::never,
    ),
    // (R) universally unique identifiers (RFC 9562); (M) hardware addresses (IEEE 802); (O) addresses (RFC 791, 4291).
    pattern(
        Kind::Id,
        "uuid",
        0.95,
        r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b",
        check::plain,
    ),
    pattern(
        Kind::Device,
        "hardware-address",
        0.9,
        r"\b[0-9a-f]{2}(?:[:-][0-9a-f]{2}){5}\b",
        check::plain,
    ),
    pattern(
        Kind::Ip,
        "ip4",
        0.95,
        r"\b\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}(?:/\d{1,2})?\b",
        check::ip4,
    ),
    pattern(
        Kind::Ip,
        "ip6",
        0.9,
        r"(?:[0-9a-f]{1,4}:){1,7}(?::?[0-9a-f]{1,4})(?::[0-9a-f]{1,4}){0,6}|(?:[0-9a-f]{1,4}:){1,7}:|::(?:[0-9a-f]{1,4}:){0,6}[0-9a-f]{1,4}",
        check::ip6,
    ),
    // (M) unique device identification, as the FDA's issuing agencies write it (21 CFR 830).
    pattern(
        Kind::Device,
        "udi",
        0.95,
        r"\(01\)\s?\d{14}(?:\s?\(\d{2}\)\s?[0-9A-Z-]{1,20}){0,4}",
        check::plain,
    ),
    // (G) social security numbers.
    pattern(Kind::Ssn, "ssn", 0.9, r"\b\d{3}-\d{2}-\d{4}\b", check::ssn),
    pattern(
        Kind::Ssn,
        "ssn-spaced",
        0.7,
        r"\b\d{3}[ .]\d{2}[ .]\d{4}\b",
        check::ssn,
    ),
    pattern(
        Kind::Ssn,
        "ssn-masked",
        0.8,
        r"\b[x*]{3}-?[x*]{2}-?\d{4}\b",
        check::plain,
    ),
    // (C) dates.
    pattern(
        Kind::Date,
        "date-iso",
        0.97,
        r"\b(?:19|20)\d\d[-/.](?:0?[1-9]|1[0-2])[-/.](?:0?[1-9]|[12]\d|3[01])(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z\b|[+-]\d\d:?\d\d)?|\b)",
        check::plain,
    ),
    pattern(
        Kind::Date,
        "date-numeric",
        0.95,
        r"\b(?:0?[1-9]|[12]\d|3[01])(?:/(?:0?[1-9]|[12]\d|3[01])/|-(?:0?[1-9]|[12]\d|3[01])-|\.(?:0?[1-9]|[12]\d|3[01])\.)(?:(?:18|19|20)\d\d|\d\d)\b",
        check::numeric_date,
    ),
    pattern(
        Kind::Date,
        "date-hl7",
        0.9,
        r"\b(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:(?:[01]\d|2[0-3])[0-5]\d(?:[0-5]\d(?:\.\d{1,4})?)?)?(?:[+-]\d{4})?\b",
        check::plain,
    ),
    pattern(
        Kind::Date,
        "date-words",
        0.95,
        r"\b(?:the )?{O}(?: day)?(?: of|,)? {M}\b\.?(?:,? (?:of )?(?:(?:19|20)\d\d|'\d\d)\b)?",
        check::plain,
    ),
    pattern(
        Kind::Date,
        "date-words",
        0.95,
        r"\b{M}\b\.? (?:the )?{O}\b(?:,? (?:(?:19|20)\d\d)\b)?",
        check::plain,
    ),
    pattern(
        Kind::Date,
        "date-month-day",
        0.95,
        r"\b{M}\b\.?[ \n-]{0,2}(?:the )?\d{1,2}(?:st|nd|rd|th)?\b(?: ?(?:-|–|to|and|through|&) ?\d{1,2}(?:st|nd|rd|th)?\b)?(?:[,-]? ?(?:of )?(?:(?:18|19|20)\d\d\b|'\d\d\b))?",
        check::month_date,
    ),
    pattern(
        Kind::Date,
        "date-day-month",
        0.95,
        r"\b\d{1,2}(?:st|nd|rd|th)?(?:(?: day)? of|[ ./-]|, )? ?{M}(?:\b\.?|_)(?:[ ,./'-]{0,3}(?:(?:18|19|20)\d\d|'?\d\d)\b)?",
        check::month_date,
    ),
    pattern(
        Kind::Date,
        "date-day-month",
        0.9,
        r"\b\d{1,2}{M}(?:(?:19|20)\d\d|\d\d)\b",
        check::plain,
    ),
    pattern(
        Kind::Date,
        "date-month-year",
        0.9,
        r"\b{M}\b\.?(?:,|,? of|/|-)? ?(?:(?:18|19|20)\d\d|'\d\d)\b",
        check::plain,
    ),
    pattern(
        Kind::Date,
        "date-month-year",
        0.8,
        r"\b(?:0?[1-9]|1[0-2])/(?:19|20)\d\d\b|\b(?:19|20)\d\d-(?:0[1-9]|1[0-2])\b",
        check::plain,
    ),
    // Days and months of our patients' other languages.
    pattern(
        Kind::Date,
        "date-abroad",
        0.9,
        r"\b\d{1,2}(?:\.|er|º)? ?(?:de |den )?(?:enero|febrero|marzo|abril|mayo|junio|julio|agosto|septiembre|setiembre|octubre|noviembre|diciembre|janvier|février|fevrier|mars|avril|mai|juin|juillet|août|aout|septembre|octobre|novembre|décembre|decembre|januar|februar|märz|juni|juli|oktober|dezember|janeiro|fevereiro|março|maio|junho|julho|setembro|outubro|dezembro|gennaio|febbraio|aprile|maggio|giugno|luglio|settembre|ottobre|dicembre)\b(?:,? (?:de |del )?(?:19|20)\d\d)?",
        check::plain,
    ),
    pattern(
        Kind::Geo,
        "unit-of-building",
        0.65,
        r"\b(?:apt|apartment|suite|ste)\.? ?#?\d{1,4}[a-z]?\b",
        check::plain,
    ),
    pattern(
        Kind::Geo,
        "military-address",
        0.9,
        r"\b(?:psc|cmr|unit) \d{1,5},? box \d{1,6}(?:[, \n]{1,2}(?:apo|fpo|dpo),? a[aep] \d{5}(?:-\d{4})?)?\b",
        check::plain,
    ),
    pattern(Kind::Date, "date-month", 0.5, r"\b{M}\b", check::month),
    pattern(
        Kind::Date,
        "date-weekday",
        0.4,
        r"\b(?:mon|tues|wednes|thurs|fri|satur|sun)days?\b",
        check::plain,
    ),
    pattern(
        Kind::Date,
        "date-weekday",
        0.5,
        r"\b(?:mon|tues?|wed|thur?s?|fri|sat|sun)\b",
        check::weekday,
    ),
    pattern(
        Kind::Date,
        "date-holiday",
        0.6,
        r"\b(?:christmas(?: (?:eve|day))?|thanksgiving(?: day)?|halloween|easter(?: sunday)?|new year'?s(?: (?:eve|day))?|(?:labor|memorial|independence|valentine'?s|veterans'?|mother'?s|father'?s) day)(?: weekend)?(?:,? (?:of )?(?:19|20)\d\d)?\b|\b(?:(?:spring|summer|autumn|fall|winter)(?: of)? (?:19|20)\d\d)\b",
        check::plain,
    ),
    pattern(
        Kind::Date,
        "date-quarter",
        0.6,
        r"\bq[1-4][ -]?(?:of )?(?:19|20)\d\d\b",
        check::plain,
    ),
    pattern(
        Kind::Date,
        "date-day",
        0.55,
        r"\bthe \d{1,2}(?:st|nd|rd|th)\b",
        check::bare_day,
    ),
    pattern(
        Kind::Date,
        "date-dash",
        0.6,
        r"\b\d{1,2}-\d{1,2}\b",
        check::dash_date,
    ),
    pattern(
        Kind::Date,
        "date-dotted",
        0.55,
        r"\b(?:0[1-9]|[12]\d|3[01])\.(?:0[1-9]|1[0-2])\.",
        check::dotted_date,
    ),
    pattern(
        Kind::Date,
        "date-short",
        0.8,
        r"\b(?:adm|admit|admitted|admission|d/c|dc|dob|dos|date|ed|home|seen|visit)[: ]{1,2}\d{6}\b",
        check::short_date,
    ),
    pattern(
        Kind::Date,
        "date-spaced",
        0.9,
        r"\b(?:dob|d\.o\.b\.?|born)[: ]{1,3}\d{1,2} \d{1,2} (?:18|19|20)\d\d\b",
        check::from_digit,
    ),
    pattern(
        Kind::Date,
        "date-abroad",
        0.9,
        r"\b\d{1,2}[ -](?:ene|abr|ago|dic|januari|februari|maart|mei|augustus)\b\.?(?:[ -](?:19|20)\d\d)?",
        check::plain,
    ),
    pattern(
        Kind::Date,
        "date-slash",
        0.6,
        r"\b\d{1,2}/\d{1,2}\b",
        check::slash_date,
    ),
    // (C) ages over 89.
    pattern(
        Kind::Age,
        "age-90",
        0.97,
        r"\b(?:9\d|1[0-4]\d)[ -]{0,2}(?:(?:years?|yrs?)[ -]{1,2}olds?|y\.?/?o\.?|(?:years?|yrs?) of age)\b",
        check::plain,
    ),
    pattern(
        Kind::Age,
        "age-90",
        0.95,
        r"\b(?:aged?|ages|turn(?:ed|ing|s)|age(?:d)? (?:of|is|was))[ :=]{1,3}(?:9\d|1[0-4]\d)\b",
        check::turned,
    ),
    pattern(
        Kind::Age,
        "age-90",
        0.9,
        r"\b(?:9\d|1[01]\d) ?(?:[mf]\b|y\b|yr\b|(?:year |yr )?(?:male|female|man|woman)\b)",
        check::age_and_sex,
    ),
    pattern(
        Kind::Age,
        "age-words",
        0.95,
        r"\bninety(?:[ -](?:one|two|three|four|five|six|seven|eight|nine))?[ -]years?[ -]olds?\b|\b(?:one|a) hundred(?: and)?(?: (?:one|two|three|four|five|six))?[ -]years?[ -]olds?\b|\b(?:cent|non)agenarians?\b|\bcentenarians?\b|\bin (?:her|his|their) (?:(?:early|mid|late)[ -])?(?:nineties|90'?s)\b",
        check::plain,
    ),
    // (D), (E) telephone and fax numbers (NANP, and E.164 with its plus sign).
    pattern(
        Kind::Phone,
        "phone",
        0.95,
        r"(?:\+?\b1[-. ]?)?(?:\(\d{3}\) ?|\b\d{3}[-. /])\d{3}[-. ]\d{4}(?:,? ?(?:x|ext\.?|extension) ?\d{1,6})?\b",
        check::phone,
    ),
    pattern(
        Kind::Phone,
        "phone",
        0.9,
        r"\(\d{3}\) ?\d{7}\b",
        check::phone,
    ),
    pattern(
        Kind::Phone,
        "phone-international",
        0.7,
        r"\b0\d{4}[ -]\d{6}\b|\b[6-9]\d{4}[ -]\d{5}\b",
        check::phone,
    ),
    pattern(
        Kind::Phone,
        "phone-cued",
        0.8,
        r"\b(?:ph|phone|tel|cell|mobile|text|call|cb|callback|ring|reach)\b(?:[:. ]|me|her|him|them|us|at|on|is|back){0,6}[2-9]\d{2} \d{4}\b",
        check::from_digit,
    ),
    pattern(
        Kind::Phone,
        "phone-cued",
        0.7,
        r"\b(?:ext|extension|call|charge|dial|phone|pager|x)[.: ]{0,2}\d-\d{4}\b|\b(?:pgr|ascom|voalte|vocera|spectralink|zone phone)[.:# ]{0,3}\d{3,7}\b",
        check::from_digit,
    ),
    pattern(
        Kind::Geo,
        "rural-address",
        0.85,
        r"\b(?:rr|r\.r\.|rural route|hc) ?\d{1,3},? box \d{1,5}\b|\bpob \d{2,6}\b",
        check::plain,
    ),
    pattern(
        Kind::Geo,
        "numbered-road",
        0.65,
        r"\b(?:\d{2,5} )?(?:state |county |us |u\.s\. )?(?:route|rte|highway|hwy) \d{1,4}\b",
        check::plain,
    ),
    pattern(
        Kind::Phone,
        "phone-international",
        0.9,
        r"\+\d{1,3}(?:[ .-]?\(?\d{1,5}\)?){2,6}\b(?: ?(?:x|ext\.?) ?\d{1,6}\b)?",
        check::phone,
    ),
    pattern(
        Kind::Phone,
        "phone-international",
        0.7,
        r"\b00[1-9]\d{0,2}(?:[ .-]\(?\d{1,5}\)?){2,5}\b|\b0\d{1,4}[ -]\d{2,4}[ -]\d{3,4}(?:[ -]\d{2,4})?\b|\(0\d{2,4}\) ?\d{3,4}[ -]?\d{3,4}\b",
        check::phone,
    ),
    pattern(
        Kind::Phone,
        "phone-local",
        0.7,
        r"\b[2-9]\d{2}[-.]\d{4}(?: ?(?:x|ext\.?) ?\d{1,6})?\b",
        check::phone,
    ),
    pattern(
        Kind::Phone,
        "phone-extension",
        0.7,
        r"\b(?:ext|extension|pager|beeper)[.: #]{0,3}\d{3,7}\b",
        check::from_digit,
    ),
    pattern(
        Kind::Phone,
        "phone-extension",
        0.5,
        r"\bx\d{4,5}\b",
        check::extension,
    ),
    pattern(
        Kind::Phone,
        "phone-spelt",
        0.8,
        r"\b1?-?(?:800|888|877|866|855|844|833)[- .][0-9a-z-]{7,9}\b",
        check::plain,
    ),
    // (B) ZIP codes that say what they are.
    pattern(
        Kind::Geo,
        "zip-plus-4",
        0.85,
        r"\b\d{5}-\d{4}\b",
        check::plain,
    ),
    pattern(
        Kind::Geo,
        "zip",
        0.95,
        r"\b(?:zip|zip ?code|postal ?code|post ?code)(?: code)?(?: on (?:the )?(?:chart|file|record))?(?: is| was| of|:|#)?[ :]{0,2}\d{4,6}(?:-\d{4})?\b",
        check::from_digit,
    ),
    pattern(
        Kind::Geo,
        "zip-prefix",
        0.9,
        r"\b(?:zip|zip ?code|zip3|3-digit zip)(?: code)?(?: prefix| area)?(?: is| was| of|:)?[ :]{0,2}\d{3}(?:\*\*|xx)?\b",
        check::restricted_prefix,
    ),
    pattern(
        Kind::Geo,
        "post-box",
        0.9,
        r"\bp\.? ?o\.? ?box [0-9]{1,6}\b",
        check::plain,
    ),
    pattern(
        Kind::Geo,
        "postcode",
        0.7,
        r"\b(?:[A-PR-UWYZ][A-HK-Y]?\d[0-9A-Z]? \d[ABD-HJLNP-UW-Z]{2}|[ABCEGHJ-NPRSTVXY]\d[A-Z] \d[A-Z]\d)\b",
        check::capitals,
    ),
    // (L) vehicle identification numbers (ISO 3779; the check digit of 49 CFR 565.15 makes surer, never less sure).
    pattern(
        Kind::Vehicle,
        "vin",
        0.7,
        r"\b[A-HJ-NPR-Z0-9]{17}\b",
        check::vin,
    ),
    // (J) payment cards (Luhn, ISO/IEC 7812-1) and bank accounts (ISO 13616).
    pattern(
        Kind::Account,
        "card",
        0.6,
        r"\b\d{4}[ -]\d{4}[ -]\d{4}[ -]\d{1,7}\b|\b3[47]\d{2}[ -]\d{6}[ -]\d{5}\b|\b\d{13,19}\b",
        check::card,
    ),
    pattern(
        Kind::Account,
        "iban",
        0.8,
        r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b",
        check::iban,
    ),
    // (K) DEA registration numbers (their last digit is a checksum).
    pattern(Kind::License, "dea", 0.6, r"\b[A-Z]{2}\d{7}\b", check::dea),
    // (H) a record number written into another word, as in chartMRN04857211.
    pattern(
        Kind::Mrn,
        "mrn-glued",
        0.9,
        r"[a-z]*mrn[:#_-]?[a-z]?\d{3,}",
        check::after_mrn,
    ),
];

/// The two tables, each with its automaton. One automaton for both would be half as large again as the two: while an
/// address can go on, all else can begin.
pub(crate) struct Patterns([(&'static [Pattern], Automaton); 2]);

impl Patterns {
    /// Builds the automata.
    ///
    /// # Errors
    /// When a pattern of the tables does not compile, which a test rules out.
    pub(crate) fn new() -> Result<Self, Unbuildable> {
        let automaton = |table: &[Pattern]| {
            let expressions: Vec<String> = table
                .iter()
                .map(|pattern| {
                    pattern
                        .expression
                        .replace("{M}", MONTH)
                        .replace("{O}", ORDINAL)
                })
                .collect();
            Automaton::new(&expressions)
        };
        Ok(Self([
            (ADDRESSES, automaton(ADDRESSES)?),
            (FORMS, automaton(FORMS)?),
        ]))
    }

    /// The first pattern that matches at `token`, and one past the last byte of its match.
    fn match_at(&self, text: &[u8], token: &Token<'_>) -> Option<(&'static Pattern, usize)> {
        let [addresses, forms] = &self.0;
        let match_at = |(table, automaton): &(&'static [Pattern], Automaton)| {
            let matched = automaton.match_at(text, token.start)?;
            Some((table.get(matched.pattern)?, matched.end))
        };
        may_be_address(text, token)
            .then(|| match_at(addresses))
            .flatten()
            .or_else(|| match_at(forms))
    }

    /// Finds every match that passes its check.
    pub(crate) fn find(&self, document: &Document<'_>, found: &mut Vec<Found>) {
        let text = document.text;
        let mut from = 0;
        for token in document.tokens() {
            if token.start < from {
                continue;
            }
            let Some((pattern, end)) = self.match_at(text.as_bytes(), token) else {
                continue;
            };
            if !text.is_char_boundary(end) {
                continue;
            }
            let whole = Found {
                start: token.start,
                end,
                kind: pattern.kind,
                confidence: pattern.confidence,
                rule: pattern.rule,
            };
            // What is refused may hide another match behind its first token.
            if let Some(one) = (pattern.check)(text, whole) {
                from = one.end;
                found.push(one);
            }
        }
    }
}

/// Whether one of [`ADDRESSES`] may begin with `token`. Each has more than one token, and a blank inside it only before
/// a bracket (`ana [at] mail.example`); of the ASCII marks, three can begin one.
fn may_be_address(text: &[u8], token: &Token<'_>) -> bool {
    !matches!(token.shape, Shape::Mark(mark) if mark.is_ascii() && !matches!(mark, '.' | '-' | '_'))
        && match text.get(token.end) {
            None | Some(b'\n' | b'\r' | b'\t') => false,
            Some(b' ') => matches!(text.get(token.end + 1), Some(b'[' | b'(')),
            Some(_) => true,
        }
}

/// Takes out what lies wholly inside one of the host's own tokens (`[NAME_7KQ2M]`): they stand for identifiers and are
/// none. A find that reaches beyond a token stays whole; the host unites the two.
pub(crate) fn outside_tokens(text: &str, found: &mut Vec<Found>) {
    let tokens: Vec<(usize, usize)> = text
        .match_indices('[')
        .filter_map(|(start, _)| {
            let inside = text.get(start + 1..)?;
            let (name, _) = inside
                .get(..inside.len().min(24))
                .map_or_else(|| inside.split_once(']'), |near| near.split_once(']'))?;
            let (kind, code) = name.rsplit_once('_')?;
            let is_token = code.len() == 5
                && code.bytes().all(|c| {
                    c.is_ascii_digit()
                        || c.is_ascii_uppercase() && !matches!(c, b'I' | b'L' | b'O' | b'U')
                })
                && kind.len() <= 16
                && kind.starts_with(|c: char| c.is_ascii_uppercase())
                && kind.bytes().all(|c| c.is_ascii_uppercase() || c == b'-');
            is_token.then_some((start, start + name.len() + 2))
        })
        .collect();
    if !tokens.is_empty() {
        found.retain(|one| {
            !tokens
                .iter()
                .any(|(start, end)| *start <= one.start && one.end <= *end)
        });
    }
}
