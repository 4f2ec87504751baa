//! The part of FHIRPath that rules are written in: `Patient.name`, `nodesByType('HumanName').use`,
//! `nodesByName('family')`, `Patient.address.where(city='X')`, `Condition.onset as Age`, `Condition.onset.ofType(Age)`.

use crate::kind::{is_choice, is_of};
use crate::tree::{Node, Value};

/// Which nodes of a resource a rule is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Path {
    /// The resource's type; without it, of any.
    resource: Option<String>,
    steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// An element, in any of its types or in one.
    Child(String, Option<String>),
    ByType(String),
    ByName(String),
    /// An element of it reads so.
    Where(String, String),
}

impl Path {
    /// # Errors
    /// What cannot be read.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (text, of) = match text.split_once(" as ") {
            Some((text, of)) => (
                text.trim_start_matches('('),
                Some(of.trim_end_matches(')').trim()),
            ),
            None => (text, None),
        };
        let mut path = Self {
            resource: None,
            steps: Vec::new(),
        };
        for (place, part) in parts(text).into_iter().enumerate() {
            match (part.split_once('('), place) {
                (Some((name, rest)), _) => {
                    let argument = rest
                        .strip_suffix(')')
                        .ok_or_else(|| format!("`{part}` is not closed"))?;
                    path.call(name, argument.trim())?;
                }
                (None, 0) if part.starts_with(|c: char| c.is_ascii_uppercase()) => {
                    let is_any = matches!(part, "Resource" | "DomainResource");
                    path.resource = (!is_any).then(|| part.to_owned());
                }
                (None, _) if is_name(part) => path.steps.push(Step::Child(part.to_owned(), None)),
                (None, _) => return Err(format!("`{part}` is no element")),
            }
        }
        if let Some(of) = of {
            path.narrow(of)?;
        }
        Ok(path)
    }

    fn call(&mut self, name: &str, argument: &str) -> Result<(), String> {
        let unquoted = argument
            .strip_prefix('\'')
            .and_then(|rest| rest.strip_suffix('\''));
        match (name, unquoted) {
            ("nodesByType", Some(kind)) => self.steps.push(Step::ByType(kind.to_owned())),
            ("nodesByName", Some(name)) => self.steps.push(Step::ByName(name.to_owned())),
            ("ofType", None) => self.narrow(argument)?,
            ("where", _) => {
                let (element, value) = argument
                    .split_once('=')
                    .ok_or("`where` takes `element='value'`")?;
                let value = value
                    .trim()
                    .strip_prefix('\'')
                    .and_then(|rest| rest.strip_suffix('\''));
                let value = value
                    .filter(|_| is_name(element.trim()))
                    .ok_or("`where` takes `element='value'`")?;
                self.steps
                    .push(Step::Where(element.trim().to_owned(), value.to_owned()));
            }
            _ => {
                return Err(format!(
                    "`{name}` is not known; there are nodesByType, nodesByName, where, ofType and as"
                ));
            }
        }
        Ok(())
    }

    fn narrow(&mut self, of: &str) -> Result<(), String> {
        match self.steps.last_mut() {
            Some(Step::Child(_, kind)) if is_name(of) => {
                *kind = Some(of.to_owned());
                Ok(())
            }
            _ => Err(format!("`{of}` can only narrow an element")),
        }
    }

    /// Hands over each node of the resource that the rule is about, with the name of its element. Resources inside are not
    /// entered: each is one by itself.
    pub(crate) fn each(&self, resource: &mut Node, take: &mut dyn FnMut(&str, &mut Node)) {
        let kind = resource.resource_type().unwrap_or_default().to_owned();
        if self.resource.as_ref().is_none_or(|wanted| *wanted == kind) {
            walk("", resource, &self.steps, take);
        }
    }
}

fn walk(name: &str, node: &mut Node, steps: &[Step], take: &mut dyn FnMut(&str, &mut Node)) {
    if let Value::List(nodes) = &mut node.value {
        nodes
            .iter_mut()
            .for_each(|node| walk(name, node, steps, take));
        return;
    }
    let Some((step, rest)) = steps.split_first() else {
        take(name, node);
        return;
    };
    match step {
        Step::Child(wanted, kind) => {
            for (key, child) in members(node) {
                let bare = key.strip_prefix('_').unwrap_or(key);
                let fits = match kind {
                    Some(kind) => bare.strip_prefix(wanted.as_str()) == Some(&capital(kind)),
                    None => bare == wanted || is_choice(bare, wanted),
                };
                if fits {
                    walk(key, child, rest, take);
                }
            }
        }
        Step::Where(element, value) => {
            if node
                .member(element)
                .is_some_and(|node| node.written() == *value)
            {
                walk(name, node, rest, take);
            }
        }
        Step::ByType(kind) => descend(node, &|name, node| is_of(name, node, kind), rest, take),
        Step::ByName(wanted) => descend(node, &|name, _| name == wanted, rest, take),
    }
}

/// Goes into all that stands below `node`.
fn descend(
    node: &mut Node,
    is: &dyn Fn(&str, &Node) -> bool,
    rest: &[Step],
    take: &mut dyn FnMut(&str, &mut Node),
) {
    // Of a primitive `x`, `_x` has the extensions (FHIR R4, section 2.6.2.3): it goes the same way.
    let beside: Vec<String> = members(node)
        .filter(|(key, child)| child.is_primitive() && is(key, child))
        .map(|(key, _)| format!("_{key}"))
        .collect();
    for (key, child) in members(node) {
        let is_beside = beside.iter().any(|beside| beside == key);
        let mut each = |child: &mut Node| {
            if is_beside || is(key, child) {
                walk(key, child, rest, take);
            }
            descend(child, is, rest, take);
        };
        match &mut child.value {
            Value::List(nodes) => nodes
                .iter_mut()
                .filter(|node| node.resource_type().is_none())
                .for_each(&mut each),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::Object(_) => {
                if child.resource_type().is_none() {
                    each(child);
                }
            }
        }
    }
}

fn members(node: &mut Node) -> impl Iterator<Item = (&str, &mut Node)> {
    let members = match &mut node.value {
        Value::Object(members) => members.as_mut_slice(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::List(_) => {
            &mut []
        }
    };
    members.iter_mut().map(|(key, node)| (key.as_str(), node))
}

/// What dots part, but not inside of parentheses.
fn parts(text: &str) -> Vec<&str> {
    let mut depth = 0_i32;
    text.split(|c| {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        c == '.' && depth == 0
    })
    .map(str::trim)
    .collect()
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric())
}

fn capital(kind: &str) -> String {
    let mut letters = kind.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}
