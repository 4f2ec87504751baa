//! A service that answers what a test wrote down, and keeps what it was asked.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use nephron_model::Phi;
use serde_json::Value;

use super::{Exchange, WireAnswer, WireRequest};

pub(crate) struct Script {
    answers: Mutex<VecDeque<(u16, String)>>,
    pub(crate) asked: Mutex<Vec<Asked>>,
}

/// A request as a test looks at it.
pub(crate) struct Asked {
    pub(crate) line: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Value,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut all = self.headers.iter();
        all.find(|(one, _)| one == name)
            .map(|(_, value)| value.as_str())
    }
}

impl Script {
    pub(crate) fn new(answers: &[(u16, &str)]) -> Arc<Self> {
        let answers = answers
            .iter()
            .map(|(status, body)| (*status, (*body).to_owned()));
        Arc::new(Self {
            answers: Mutex::new(answers.collect()),
            asked: Mutex::default(),
        })
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        asked.iter().map(|asked| asked.line.clone()).collect()
    }
}

impl Exchange for Script {
    fn authority(&self) -> &'static str {
        "service.example"
    }

    fn exchange(&self, request: WireRequest) -> Result<WireAnswer, String> {
        let headers = request.headers.iter();
        let headers = headers.map(|(name, value)| ((*name).to_owned(), value.expose().clone()));
        self.asked.lock().unwrap().push(Asked {
            line: format!("{} {}", request.method, request.path),
            headers: headers.collect(),
            body: serde_json::from_slice(request.body.expose()).unwrap_or_default(),
        });
        let answer = self.answers.lock().unwrap().pop_front();
        let (status, body) = answer.ok_or_else(|| "nobody answers".to_owned())?;
        let body = Phi::new(body.into_bytes());
        Ok(WireAnswer { status, body })
    }
}
