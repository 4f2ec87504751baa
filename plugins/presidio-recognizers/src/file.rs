//! What a file of recognisers says, in Presidio's own words (2.2).

use std::collections::BTreeMap;

use nephron_sdk::Problem;
use serde::Deserialize;
use yaml_serde::Value;

use crate::recognizer::Recognizer;
use crate::{Predefined, Settings, pattern};

/// A file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    recognizers: Vec<Value>,
    supported_languages: Option<Vec<String>>,
    supported_countries: Option<Vec<String>>,
    global_regex_flags: Option<u32>,
}

/// A recogniser as it is described. What is only for people, or for others' code, is read and not used.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Described {
    name: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    enabled: Option<bool>,
    class_name: Option<String>,
    #[serde(rename = "version")]
    _version: Option<Value>,
    country_code: Option<String>,
    supported_language: Option<String>,
    supported_languages: Option<Vec<Language>>,
    supported_entity: Option<String>,
    supported_entities: Option<Vec<String>>,
    patterns: Option<Vec<Pattern>>,
    deny_list: Option<Vec<String>>,
    deny_list_score: Option<f32>,
    context: Option<Vec<String>>,
    global_regex_flags: Option<u32>,
    score_thresholds: Option<BTreeMap<String, f32>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Language {
    Name(String),
    Described(InLanguage),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InLanguage {
    language: String,
    context: Option<Vec<String>>,
}

/// One pattern.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pattern {
    pub(crate) name: String,
    pub(crate) regex: String,
    pub(crate) score: f32,
}

/// What a recogniser is made of, for one language.
pub(crate) struct Parts {
    pub(crate) name: String,
    pub(crate) entity: String,
    pub(crate) patterns: Vec<Pattern>,
    pub(crate) deny_list: Vec<String>,
    pub(crate) deny_list_score: f32,
    pub(crate) context: Vec<String>,
    pub(crate) flags: u32,
    /// Below which its findings are left out.
    pub(crate) threshold: f32,
}

/// Parses a file; the error has line and column.
pub(crate) fn read(text: &str) -> Result<File, String> {
    yaml_serde::from_str(text).map_err(|error| error.to_string())
}

impl File {
    /// The recognisers of the file that the settings ask for. Every fault goes to `problems`.
    pub(crate) fn recognizers(
        self,
        settings: &Settings,
        key: &str,
        problems: &mut Vec<Problem>,
    ) -> Vec<Recognizer> {
        let flags = self.global_regex_flags.unwrap_or(pattern::DEFAULT_FLAGS);
        let all = self.supported_languages;
        let is_served = all.is_none_or(|all| all.contains(&settings.language));
        let countries = self.supported_countries;
        let mut read = Vec::new();
        for (index, entry) in self.recognizers.into_iter().enumerate() {
            let place = format!("{key}: recognizers[{index}]");
            let described = match entry.as_str() {
                Some(name) => Ok(Described::predefined(name.to_owned())),
                None => yaml_serde::from_value::<Described>(entry),
            };
            let described = match described {
                Ok(described) => described,
                Err(error) => {
                    problems.push(Problem::at(place, error.to_string()));
                    continue;
                }
            };
            if described.enabled == Some(false) || !is_served {
                continue;
            }
            if described.kind.as_deref() == Some("predefined") {
                if settings.predefined == Predefined::Refuse && described.speaks(&settings.language)
                {
                    problems.push(Problem::at(place, described.is_code()));
                }
                continue;
            }
            let is_abroad = match (&countries, &described.country_code) {
                (Some(countries), Some(code)) => {
                    !countries.iter().any(|one| one.eq_ignore_ascii_case(code))
                }
                (None, _) | (_, None) => false,
            };
            if is_abroad || !described.speaks(&settings.language) {
                continue;
            }
            match described.parts(&settings.language, flags) {
                Ok(parts) => {
                    read.extend(Recognizer::new(&parts, settings, &place, problems));
                }
                Err(message) => problems.push(Problem::at(place, message)),
            }
        }
        read
    }
}

impl Described {
    fn predefined(name: String) -> Self {
        Self {
            name: Some(name),
            kind: Some("predefined".to_owned()),
            enabled: None,
            class_name: None,
            _version: None,
            country_code: None,
            supported_language: None,
            supported_languages: None,
            supported_entity: None,
            supported_entities: None,
            patterns: None,
            deny_list: None,
            deny_list_score: None,
            context: None,
            global_regex_flags: None,
            score_thresholds: None,
        }
    }

    fn speaks(&self, language: &str) -> bool {
        match (&self.supported_language, &self.supported_languages) {
            (Some(one), _) => one == language,
            (None, Some(all)) => all.iter().any(|one| one.name() == language),
            (None, None) => true,
        }
    }

    fn is_code(&self) -> String {
        let name = self.class_name.as_ref().or(self.name.as_ref());
        let name = name.map_or("without a name", |name| name.as_str());
        format!(
            "`{name}` is code of Presidio's, which no file holds: `safe-harbor` beside this detector finds what most of them find \
             (docs/presidio.md); with `predefined = \"leave-out\"` they are left out, or `enabled: false` in the file"
        )
    }

    fn parts(self, language: &str, flags: u32) -> Result<Parts, String> {
        if self.kind.as_deref().is_some_and(|kind| kind != "custom") {
            return Err("`type` is neither `custom` nor `predefined`".to_owned());
        }
        let name = self.name.ok_or("lacks its `name`")?;
        let entity = match (self.supported_entity, self.supported_entities) {
            (Some(_), Some(_)) => {
                return Err(format!(
                    "`{name}` has `supported_entity` and `supported_entities`; keep one"
                ));
            }
            (Some(entity), None) => Some(entity),
            (None, Some(all)) => all.into_iter().next(),
            (None, None) => None,
        };
        let entity = entity.ok_or_else(|| format!("`{name}` lacks its `supported_entity`"))?;
        let (patterns, deny_list) = (
            self.patterns.unwrap_or_default(),
            self.deny_list.unwrap_or_default(),
        );
        if patterns.is_empty() && deny_list.is_empty() {
            return Err(format!("`{name}` has neither `patterns` nor a `deny_list`"));
        }
        let in_language = self.supported_languages.into_iter().flatten();
        let own_context =
            in_language
                .filter(|one| one.name() == language)
                .find_map(|one| match one {
                    Language::Name(_) => None,
                    Language::Described(one) => one.context,
                });
        let thresholds = self.score_thresholds.unwrap_or_default();
        let threshold = thresholds
            .get(&entity)
            .or_else(|| thresholds.get("default"));
        Ok(Parts {
            threshold: threshold.copied().unwrap_or(0.0),
            name,
            entity,
            patterns,
            deny_list,
            deny_list_score: self.deny_list_score.unwrap_or(1.0),
            context: own_context.or(self.context).unwrap_or_default(),
            flags: self.global_regex_flags.unwrap_or(flags),
        })
    }
}

impl Language {
    fn name(&self) -> &str {
        match self {
            Self::Name(name) => name,
            Self::Described(one) => &one.language,
        }
    }
}
