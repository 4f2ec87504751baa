//! The rules applied to one resource: in order, each to the nodes that no rule before it had.

use std::collections::BTreeMap;

use nephron_sdk::Error;

use crate::config::{Config, Method, Scope};
use crate::date::{Day, is_over_89, shifted};
use crate::kind::is_date;
use crate::tree::{Node, Value};

/// What a lent key does; bytes of it are nowhere here.
pub(crate) trait Secret {
    /// A digest under the key.
    fn digest(&self, data: &[u8]) -> Result<Vec<u8>, Error>;
    /// A sealed value.
    fn seal(&self, data: &[u8], context: &str) -> Result<Vec<u8>, Error>;
}

/// What was done, by counts.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Resources, by type.
    pub(crate) resources: BTreeMap<String, u32>,
    /// Nodes, by what became of them.
    pub(crate) methods: BTreeMap<&'static str, u32>,
    /// Values that no rule named, and that stay.
    pub(crate) unexamined: u32,
    /// Stretches of text that detectors found in what stays.
    pub(crate) in_text: u32,
}

/// One resource under way.
struct Work<'c> {
    config: &'c Config,
    secret: &'c dyn Secret,
    today: Day,
    /// Whose dates move together.
    owner: String,
    offset: Option<i64>,
    done: BTreeMap<&'static str, u32>,
    /// The same over all resources.
    methods: &'c mut BTreeMap<&'static str, u32>,
}

/// Applies the rules to `node` and to every resource inside, each by itself, and says what that was. `file` names what came in one piece.
pub(crate) fn apply(
    config: &Config,
    secret: &dyn Secret,
    today: Day,
    file: &str,
    patient: Option<&str>,
    node: &mut Node,
    tally: &mut Tally,
) -> Result<BTreeMap<&'static str, u32>, Error> {
    if let Some(kind) = node.resource_type().map(str::to_owned) {
        let own = patient_of(node).or_else(|| patient.map(str::to_owned));
        let mut done = BTreeMap::new();
        for inner in inside(node) {
            let of_inner = apply(config, secret, today, file, own.as_deref(), inner, tally)?;
            // What is contained has no labels of its own (FHIR R4, dom-4).
            if kind == "Bundle" {
                label(inner, &of_inner);
            }
            done.extend(of_inner);
        }
        let id = node.told("id").unwrap_or_default();
        let owner = match config.scope {
            Scope::Patient => own.clone().unwrap_or_else(|| id.to_owned()),
            Scope::Resource => id.to_owned(),
            Scope::File => file.to_owned(),
        };
        let mut work = Work {
            config,
            secret,
            today,
            owner,
            offset: config.offset,
            done,
            methods: &mut tally.methods,
        };
        for rule in &config.rules {
            let mut outcome = Ok(());
            rule.path.each(node, &mut |name, node| {
                if outcome.is_ok() {
                    outcome = work.treat(name, node, &rule.method);
                }
            });
            outcome?;
        }
        *tally.resources.entry(kind).or_default() += 1;
        return Ok(work.done);
    }
    Ok(BTreeMap::new())
}

/// The resources right inside: of a bundle, and contained.
fn inside(node: &mut Node) -> Vec<&mut Node> {
    let mut found = Vec::new();
    let members = match &mut node.value {
        Value::Object(members) => members.as_mut_slice(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::List(_) => {
            &mut []
        }
    };
    for (_, member) in members {
        if matches!(member.value, Value::List(_)) {
            if let Value::List(nodes) = &mut member.value {
                nodes.iter_mut().for_each(|node| take(node, &mut found));
            }
        } else {
            take(member, &mut found);
        }
    }
    found
}

/// Takes up a resource, or those inside of what is none.
fn take<'n>(node: &'n mut Node, found: &mut Vec<&'n mut Node>) {
    if node.resource_type().is_some() {
        found.push(node);
    } else {
        found.extend(inside(node));
    }
}

/// Whose resource it is: a patient's own id, or the one that `subject`, `patient` or `beneficiary` refers to. A bundle of one
/// patient is that patient's.
fn patient_of(node: &mut Node) -> Option<String> {
    let bare = |reference: &str| {
        reference
            .rsplit(['/', ':'])
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    match node.resource_type()? {
        "Patient" => node.told("id").map(str::to_owned),
        "Bundle" => {
            let mut ids: Vec<String> = inside(node)
                .into_iter()
                .filter(|node| node.resource_type() == Some("Patient"))
                .filter_map(|node| node.told("id").map(str::to_owned))
                .collect();
            ids.dedup();
            (ids.len() == 1).then(|| ids.remove(0))
        }
        _ => ["subject", "patient", "beneficiary"]
            .iter()
            .find_map(|name| Some(bare(node.member(name)?.told("reference")?))),
    }
}

impl Work<'_> {
    /// Treats a node and what stands below it, if no rule had it before.
    fn treat(&mut self, name: &str, node: &mut Node, method: &Method) -> Result<(), Error> {
        if let Value::List(nodes) = &mut node.value {
            return nodes
                .iter_mut()
                .try_for_each(|node| self.treat(name, node, method));
        }
        if node.is_done || node.resource_type().is_some() && !name.is_empty() {
            return Ok(());
        }
        if let (Method::Substitute(with), false) = (method, node.is_primitive()) {
            self.substitute(node, with);
            return Ok(());
        }
        if node.is_primitive() && name != "resourceType" {
            self.one(name, node, method)?;
        }
        let is_age = crate::kind::is_of(name, node, "Age");
        node.is_done = true;
        if let Value::Object(members) = &mut node.value {
            for (key, child) in members {
                // Of an age the number alone says how old.
                let name = if is_age && key == "value" {
                    "age"
                } else {
                    key.as_str()
                };
                self.treat(name, child, method)?;
            }
        }
        Ok(())
    }

    fn count(&mut self, what: &'static str) {
        *self.methods.entry(what).or_default() += 1;
        *self.done.entry(what).or_default() += 1;
    }

    /// Treats one primitive.
    fn one(&mut self, name: &str, node: &mut Node, method: &Method) -> Result<(), Error> {
        let written = node.written();
        match method {
            Method::Keep => self.count("keep"),
            Method::Redact => self.redact(name, node, &written),
            Method::DateShift if is_date(name, node) => {
                let moved = match is_over_89(&written, self.today) {
                    true => None,
                    false => shifted(&written, self.offset()?),
                };
                match moved {
                    Some(moved) => {
                        node.value = Value::Text(moved);
                        self.count("dateShift");
                    }
                    None => self.redact(name, node, &written),
                }
            }
            Method::DateShift => {}
            Method::CryptoHash => {
                node.value = Value::Text(self.hashed(name, &written)?);
                self.count("cryptoHash");
            }
            Method::Encrypt => {
                let sealed = self.secret.seal(written.as_bytes(), name)?;
                node.value = Value::Text(hex(&sealed));
                self.count("encrypt");
            }
            Method::Substitute(with) => {
                node.value = with.value.clone();
                self.count("substitute");
            }
            Method::Perturb {
                span,
                is_proportional,
                round_to,
            } => {
                if let (Value::Number(_), Ok(number)) = (&node.value, written.parse::<f64>()) {
                    let width = if *is_proportional {
                        span * number.abs()
                    } else {
                        *span
                    };
                    let noise = (self.draw(name, &written)? - 0.5) * width;
                    node.value = Value::Number(format!("{:.*}", *round_to, number + noise));
                    self.count("perturb");
                }
            }
            Method::Generalize {
                cases,
                keeps_others,
            } => match cases.iter().find(|(when, _)| when.holds(&written)) {
                Some((_, then)) => {
                    let general = then.text(&written);
                    let is_number = matches!(node.value, Value::Number(_));
                    node.value = match general {
                        Some(text) if is_number && text.parse::<f64>().is_ok() => {
                            Value::Number(text)
                        }
                        Some(text) => Value::Text(text),
                        None => Value::Null,
                    };
                    self.count("generalize");
                }
                None if *keeps_others => self.count("keep"),
                None => self.redact("", node, &written),
            },
        }
        Ok(())
    }

    /// Takes it away, or leaves of a date its year, of a ZIP code its first three digits, of an age under 90 all, where the
    /// configuration says so.
    fn redact(&mut self, name: &str, node: &mut Node, written: &str) {
        let year = written
            .get(..4)
            .filter(|_| self.config.keeps_years && is_date(name, node));
        let year = year.filter(|_| !is_over_89(written, self.today));
        if let Some(year) = year {
            // A year that was all there was is no abstraction.
            self.count(if year == written {
                "redact"
            } else {
                "abstract"
            });
            node.value = Value::Text(year.to_owned());
            return;
        }
        if name == "postalCode"
            && self.config.keeps_zips
            && written.is_ascii()
            && written.len() >= 3
        {
            let prefix = written.get(..3).unwrap_or_default();
            let is_small = self.config.restricted.iter().any(|area| area == prefix);
            let kept = if is_small { "000" } else { prefix };
            node.value = Value::Text(format!("{kept}{}", "0".repeat(written.len().min(5) - 3)));
            self.count("abstract");
            return;
        }
        let is_young = written.parse::<f64>().is_ok_and(|years| years < 90.0);
        if name == "age" && self.config.keeps_ages && is_young {
            self.count("abstract");
            return;
        }
        node.is_gone = true;
        self.count("redact");
    }

    /// A complex node becomes another; what rules before had in it, and it has not, stays as they left it.
    fn substitute(&mut self, node: &mut Node, with: &Node) {
        let mut new = with.clone();
        finish(&mut new);
        if let (Value::Object(old), Value::Object(new)) = (&mut node.value, &mut new.value) {
            for (key, child) in std::mem::take(old) {
                let is_new = !new.iter().any(|(known, _)| *known == key);
                if is_new && has_done(&child) {
                    new.extend(only_done(child).map(|child| (key, child)));
                }
            }
        }
        node.value = new.value;
        node.is_done = true;
        self.count("substitute");
    }

    /// By how many days this owner's dates move: 1 to 50 either way.
    fn offset(&mut self) -> Result<i64, Error> {
        if let Some(offset) = self.offset {
            return Ok(offset);
        }
        let offset = if self.config.date_shift_key.is_empty() {
            let digest = self
                .secret
                .digest(format!("date-shift\n{}", self.owner).as_bytes())?;
            let number = digest
                .iter()
                .take(4)
                .fold(0_i64, |number, byte| number << 8 | i64::from(*byte));
            let days = number % 100;
            if days < 50 { days - 50 } else { days - 49 }
        } else {
            // Microsoft's: whoever has the key and an id knows it, and the other way round.
            let bytes = self.owner.bytes().chain(self.config.date_shift_key.bytes());
            bytes.fold(0_i64, |number, byte| (number * 131 + i64::from(byte)) % 101) - 50
        };
        self.offset = Some(offset);
        Ok(offset)
    }

    /// Of a reference the id alone, so that it still leads to what has the same one.
    fn hashed(&self, name: &str, written: &str) -> Result<String, Error> {
        let at = match name {
            "reference" => written.rfind(['/', ':', '#']).map_or(0, |at| at + 1),
            _ => 0,
        };
        let (kept, id) = written.split_at_checked(at).unwrap_or(("", written));
        Ok(format!(
            "{kept}{}",
            hex(&self.secret.digest(id.as_bytes())?)
        ))
    }

    /// A number from 0 to 1 that hangs on the owner, the element and its value.
    fn draw(&self, name: &str, written: &str) -> Result<f64, Error> {
        let digest = self
            .secret
            .digest(format!("perturb\n{}\n{name}\n{written}", self.owner).as_bytes())?;
        let number = digest
            .iter()
            .take(4)
            .fold(0_u32, |number, byte| number << 8 | u32::from(*byte));
        Ok(f64::from(number) / f64::from(u32::MAX))
    }
}

/// No later rule has any of it.
fn finish(node: &mut Node) {
    node.is_done = true;
    match &mut node.value {
        Value::List(nodes) => nodes.iter_mut().for_each(finish),
        Value::Object(members) => members.iter_mut().for_each(|(_, node)| finish(node)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) => {}
    }
}

fn has_done(node: &Node) -> bool {
    node.is_done
        || match &node.value {
            Value::List(nodes) => nodes.iter().any(has_done),
            Value::Object(members) => members.iter().any(|(_, node)| has_done(node)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) => false,
        }
}

/// What rules had of it.
fn only_done(mut node: Node) -> Option<Node> {
    if node.is_done {
        return Some(node);
    }
    node.value = match node.value {
        Value::List(nodes) => Value::List(nodes.into_iter().filter_map(only_done).collect()),
        Value::Object(members) => {
            let members = members.into_iter();
            Value::Object(
                members
                    .filter_map(|(key, node)| Some((key, only_done(node)?)))
                    .collect(),
            )
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) => return None,
    };
    Some(node)
}

/// Says in `meta.security` what became of the resource (FHIR R4, section 6.1.1: codes of v3-ObservationValue where there are).
pub(crate) fn label(node: &mut Node, done: &BTreeMap<&'static str, u32>) {
    const SYSTEM: &str = "http://terminology.hl7.org/CodeSystem/v3-ObservationValue";
    const LABELS: [(&[&str], bool, &str, &str); 7] = [
        (&["redact", "abstract"], true, "REDACTED", "redacted"),
        (&["abstract"], true, "ABSTRED", "abstracted"),
        (
            &["cryptoHash"],
            true,
            "CRYTOHASH",
            "cryptographic hash function",
        ),
        (&["encrypt"], true, "MASKED", "masked"),
        (
            &["dateShift", "perturb"],
            false,
            "PERTURBED",
            "exact value is replaced with another exact value",
        ),
        (
            &["substitute"],
            false,
            "SUBSTITUTED",
            "exact value is replaced with a predefined value",
        ),
        (
            &["generalize"],
            false,
            "GENERALIZED",
            "exact value is replaced with a general value",
        ),
    ];
    let mut codings = Vec::new();
    for (methods, has_system, code, display) in LABELS {
        if methods.iter().any(|method| done.contains_key(method)) {
            let system = has_system.then(|| ("system".to_owned(), Node::text(SYSTEM)));
            let rest = [("code", code), ("display", display)];
            let rest = rest.map(|(name, text)| (name.to_owned(), Node::text(text)));
            codings.push(Node::new(Value::Object(
                system.into_iter().chain(rest).collect(),
            )));
        }
    }
    let Value::Object(members) = &mut node.value else {
        return;
    };
    if codings.is_empty() {
        return;
    }
    if !members
        .iter()
        .any(|(key, node)| key == "meta" && matches!(node.value, Value::Object(_)))
    {
        let place = 1 + usize::from(members.get(1).is_some_and(|(key, _)| key == "id"));
        let meta = ("meta".to_owned(), Node::new(Value::Object(Vec::new())));
        members.insert(place.min(members.len()), meta);
    }
    let meta = members.iter_mut().find(|(key, _)| key == "meta");
    if let Some((
        _,
        Node {
            value: Value::Object(meta),
            ..
        },
    )) = meta
    {
        match meta.iter_mut().find(|(key, _)| key == "security") {
            Some((
                _,
                Node {
                    value: Value::List(known),
                    ..
                },
            )) => {
                let is_new = |coding: &Node| {
                    !known
                        .iter()
                        .any(|known| known.told("code") == coding.told("code"))
                };
                let new: Vec<Node> = codings.into_iter().filter(is_new).collect();
                known.extend(new);
            }
            Some(_) | None => {
                meta.retain(|(key, _)| key != "security");
                meta.push(("security".to_owned(), Node::new(Value::List(codings))));
            }
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
