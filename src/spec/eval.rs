//! Evaluates expressions with minijinja and notices when they touch what is known only after apply.
//!
//! Values stand behind objects that record each access: which resources were read, and whether an unknown was.
//! An expression that only passes values on keeps markers in its result; one that computes with an unknown is
//! *deferred*, whatever it returned. Texts of `policy()` and `file()` are asked for, never read here.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use minijinja::value::{Enumerator, Kwargs, Object, ObjectRepr, Value as Jinja, ValueKind};
use minijinja::{Environment, Error, ErrorKind};
use serde_json::{Map, Value};

use super::functions;
use super::template::{Part, chains, passes_on, split};
use crate::graph::Address;
use crate::value;

/// What an evaluation did besides returning a value.
#[derive(Debug, Clone, Default)]
pub(super) struct Trace {
    /// A leaf that is known only after apply was read.
    pub unknown: bool,
    /// Something computed with one inside a function.
    pub computed: bool,
    /// Resources that were read through a block.
    pub accessed: BTreeSet<Address>,
    /// Texts that `policy()` or `file()` asked for and that were not there.
    pub needed: BTreeSet<String>,
    /// Texts that were used.
    pub used: BTreeSet<String>,
}

type SharedTrace = Arc<Mutex<Trace>>;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A text that expressions may use, or why it can't be had.
pub(super) type Text = Result<Arc<str>, String>;
type SharedTexts = Arc<Mutex<BTreeMap<String, Text>>>;

/// What a name stands for.
#[derive(Debug, Clone)]
pub(super) enum Binding {
    Value(Arc<Value>),
    /// Resources of a kind by name.
    Kind(Arc<BTreeMap<String, Block>>),
}

/// The resources of one name: one, or one per `for_each` key.
#[derive(Debug, Clone)]
pub(super) enum Block {
    One(Address, Arc<Value>),
    Many(Arc<BTreeMap<String, (Address, Arc<Value>)>>),
}

/// The names that an expression sees.
pub(super) type Bindings = BTreeMap<String, Binding>;

/// How an evaluation ended.
#[derive(Debug, Clone)]
pub(super) enum Outcome {
    Known(Value),
    /// It computes with an unknown.
    Deferred,
    Failed(String),
}

/// The engine with its functions.
pub(super) struct Evaluator {
    env: Environment<'static>,
    trace: SharedTrace,
    texts: SharedTexts,
}

impl fmt::Debug for Evaluator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Evaluator")
    }
}

impl Evaluator {
    /// Makes an engine; `constants` are what policy fragments see besides their own variables.
    pub(super) fn new(constants: Map<String, Value>) -> Self {
        let trace = SharedTrace::default();
        let texts = SharedTexts::default();
        let mut env = functions::environment();
        let inner = Arc::new(functions::environment());
        let partition = constants.get("partition").and_then(Value::as_str).unwrap_or("aws").to_owned();
        let place = |name: &str| constants.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (region, account) = (place("region"), place("account"));
        env.add_function("arn", move |service: &str, resource: &str| match service.strip_prefix('-') {
            Some(global) => format!("arn:{partition}:{global}::{account}:{resource}"),
            None => format!("arn:{partition}:{service}:{region}:{account}:{resource}"),
        });
        let (seen, known) = (Arc::clone(&trace), Arc::clone(&texts));
        env.add_function("file", move |name: &str| {
            text_of(&seen, &known, &format!("file:{name}")).map(|text| text.to_string())
        });
        let (seen, known) = (Arc::clone(&trace), Arc::clone(&texts));
        env.add_function("policy", move |name: &str, variables: Kwargs| -> Result<Jinja, Error> {
            let path = policy_path(name);
            let text = text_of(&seen, &known, &path)?;
            let document: Value =
                serde_json::from_str(&text).map_err(|error| failed(format!("{path} is not JSON: {error}")))?;
            let mut given = constants.clone();
            for key in variables.args() {
                let value: Jinja = variables.get(key)?;
                given.insert(key.to_owned(), to_json(&value));
            }
            let out =
                fragment(&inner, &document, &given, &seen).map_err(|text| failed(format!("in {path}: {text}")))?;
            Ok(wrap(&out, &seen))
        });
        Self { env, trace, texts }
    }

    /// Gives a text that an evaluation asked for.
    pub(super) fn provide(&self, name: &str, text: Text) {
        lock(&self.texts).insert(name.to_owned(), text);
    }

    /// Returns a text that was given.
    pub(super) fn text(&self, name: &str) -> Option<Arc<str>> {
        lock(&self.texts).get(name)?.as_ref().ok().cloned()
    }

    /// Evaluates one expression.
    pub(super) fn evaluate(&self, source: &str, bindings: &Arc<Bindings>) -> (Outcome, Trace) {
        *lock(&self.trace) = Trace::default();
        let result = self.env.compile_expression(source).and_then(|compiled| {
            compiled.eval(Jinja::from_object(Scope { bindings: Arc::clone(bindings), trace: Arc::clone(&self.trace) }))
        });
        let result =
            result.map_err(|error| message(&error)).and_then(|result| check(&result).map(|()| to_json(&result)));
        let trace = std::mem::take(&mut *lock(&self.trace));
        let outcome = match result {
            _ if !trace.needed.is_empty() => Outcome::Deferred,
            _ if trace.computed || (trace.unknown && !passes_on(source)) => Outcome::Deferred,
            Ok(value) => Outcome::Known(value),
            // A filter got an unknown where it wants a list.
            Err(_) if trace.unknown && source.contains('|') => Outcome::Deferred,
            Err(text) => Outcome::Failed(text),
        };
        (outcome, trace)
    }

    /// Says what is wrong with an expression's grammar.
    pub(super) fn syntax_error(&self, source: &str) -> Option<String> {
        self.env.compile_expression(source).err().map(|error| message(&error))
    }
}

/// Returns the path of a policy fragment by the name that `policy()` is given.
pub(super) fn policy_path(name: &str) -> String {
    format!("policies/{}.json", name.strip_suffix(".json").unwrap_or(name))
}

fn failed(text: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, text.into())
}

fn message(error: &Error) -> String {
    let detail = error.detail().unwrap_or_default();
    match error.kind() {
        ErrorKind::UndefinedError if detail.is_empty() => "a value in it is not defined".to_owned(),
        ErrorKind::InvalidOperation | ErrorKind::SyntaxError | ErrorKind::UndefinedError if !detail.is_empty() => {
            detail.to_owned()
        }
        kind if detail.is_empty() => kind.to_string(),
        kind => format!("{kind}: {detail}"),
    }
}

fn text_of(trace: &SharedTrace, texts: &SharedTexts, name: &str) -> Result<Arc<str>, Error> {
    match lock(texts).get(name) {
        Some(Ok(text)) => {
            lock(trace).used.insert(name.to_owned());
            Ok(Arc::clone(text))
        }
        Some(Err(why)) => Err(failed(why.clone())),
        None => {
            lock(trace).needed.insert(name.to_owned());
            Err(failed(format!("{name} is not read yet")))
        }
    }
}

/// Evaluates the expressions in a policy fragment's texts.
fn fragment(
    env: &Environment<'_>,
    document: &Value,
    given: &Map<String, Value>,
    trace: &SharedTrace,
) -> Result<Value, String> {
    Ok(match document {
        Value::String(text) => fragment_text(env, text, given, trace)?,
        Value::Array(items) => {
            items.iter().map(|item| fragment(env, item, given, trace)).collect::<Result<Vec<_>, _>>()?.into()
        }
        Value::Object(map) => {
            let mut out = Map::new();
            for (key, item) in map {
                let Value::String(key) = fragment_text(env, key, given, trace)? else {
                    return Err(format!("the key `{key}` does not evaluate to text"));
                };
                out.insert(key, fragment(env, item, given, trace)?);
            }
            Value::Object(out)
        }
        other => other.clone(),
    })
}

fn fragment_text(
    env: &Environment<'_>,
    text: &str,
    given: &Map<String, Value>,
    trace: &SharedTrace,
) -> Result<Value, String> {
    let parts = split(text).map_err(|_| format!("`{text}` has `$(` without its `)`"))?;
    let mut values = Vec::new();
    for part in parts {
        let source = match part {
            Part::Text(text) => {
                values.push((false, Value::String(text)));
                continue;
            }
            Part::Expression { source, .. } => source,
        };
        if let Some(chain) = chains(&source).iter().find(|chain| !given.contains_key(&chain.steps[0].name)) {
            let name = &chain.steps[0].name;
            let known = given.keys().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ");
            return Err(format!("`{name}` is not given to policy(); it has {known}"));
        }
        let own = SharedTrace::default();
        let bindings =
            given.iter().map(|(key, value)| (key.clone(), Binding::Value(Arc::new(value.clone())))).collect();
        let scope = Scope { bindings: Arc::new(bindings), trace: Arc::clone(&own) };
        let result = env.compile_expression(&source).and_then(|compiled| compiled.eval(Jinja::from_object(scope)));
        if lock(&own).unknown {
            let mut outer = lock(trace);
            outer.unknown = true;
            if !passes_on(&source) {
                outer.computed = true;
                return Err("it computes with a value known only after apply".to_owned());
            }
        }
        let result = result.map_err(|error| format!("`{source}`: {}", message(&error)))?;
        check(&result)?;
        values.push((true, to_json(&result)));
    }
    join(values)
}

/// Puts the evaluated parts of a text together; an expression that is the whole text keeps its type.
pub(super) fn join(mut parts: Vec<(bool, Value)>) -> Result<Value, String> {
    if parts.len() == 1 {
        return Ok(parts.remove(0).1);
    }
    let mut out = String::new();
    for (_, part) in parts {
        match part {
            Value::String(text) => out.push_str(&text),
            Value::Bool(_) | Value::Number(_) => out.push_str(&part.to_string()),
            Value::Null => return Err("an empty value can't stand inside a text".to_owned()),
            Value::Array(_) => {
                return Err("a list can't stand inside a text; use `| join(\",\")` or `| tojson`".to_owned());
            }
            Value::Object(_) => return Err("a map can't stand inside a text; use `| tojson`".to_owned()),
        }
    }
    Ok(Value::String(out))
}

/// Refuses results that JSON has no word for.
fn check(result: &Jinja) -> Result<(), String> {
    match result.kind() {
        ValueKind::Undefined => Err("it has no value".to_owned()),
        ValueKind::Invalid => Err(result.to_string()),
        ValueKind::Bytes => Err("it yields bytes; text is expected".to_owned()),
        ValueKind::Plain if result.downcast_object_ref::<Unknown>().is_none() => Err("it yields no value".to_owned()),
        _ => Ok(()),
    }
}

/// Wraps JSON so that reads are recorded.
fn wrap(value: &Value, trace: &SharedTrace) -> Jinja {
    match value {
        Value::Null => Jinja::from(()),
        Value::Bool(value) => Jinja::from(*value),
        Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(value), ..) => Jinja::from(value),
            (_, Some(value), _) => Jinja::from(value),
            (.., value) => Jinja::from(value.unwrap_or_default()),
        },
        Value::String(text) => match value::whole_unknown(text) {
            Some(reference) => {
                lock(trace).unknown = true;
                Jinja::from_object(Unknown { reference: reference.to_owned(), trace: Arc::clone(trace) })
            }
            None => {
                if value::has_unknown(value) {
                    lock(trace).unknown = true;
                }
                Jinja::from(text.as_str())
            }
        },
        Value::Array(_) | Value::Object(_) => {
            Jinja::from_object(Json { value: Arc::new(value.clone()), trace: Arc::clone(trace) })
        }
    }
}

/// Returns a result as JSON; markers come out as they went in.
pub(super) fn to_json(result: &Jinja) -> Value {
    if let Some(json) = result.downcast_object_ref::<Json>() {
        return (*json.value).clone();
    }
    if let Some(unknown) = result.downcast_object_ref::<Unknown>() {
        return Value::from(value::unknown(&unknown.reference));
    }
    match result.kind() {
        ValueKind::Bool => Value::Bool(result.is_true()),
        ValueKind::Number => match result.as_i64() {
            Some(number) if result.is_integer() => Value::from(number),
            _ => u64::try_from(result.clone())
                .ok()
                .filter(|_| result.is_integer())
                .map(Value::from)
                .or_else(|| f64::try_from(result.clone()).ok().map(Value::from))
                .unwrap_or(Value::Null),
        },
        ValueKind::String => Value::from(result.as_str().unwrap_or_default()),
        ValueKind::Seq | ValueKind::Iterable => {
            result.try_iter().map(|items| items.map(|item| to_json(&item)).collect()).unwrap_or(Value::Null)
        }
        ValueKind::Map => {
            let mut out = Map::new();
            for key in result.try_iter().into_iter().flatten() {
                let value = result.get_item(&key).map_or(Value::Null, |value| to_json(&value));
                let key = match to_json(&key) {
                    Value::String(text) => text,
                    other => other.to_string(),
                };
                out.insert(key, value);
            }
            Value::Object(out)
        }
        _ => Value::Null,
    }
}

/// The names an expression sees.
#[derive(Debug)]
struct Scope {
    bindings: Arc<Bindings>,
    trace: SharedTrace,
}

impl Object for Scope {
    fn get_value(self: &Arc<Self>, key: &Jinja) -> Option<Jinja> {
        match self.bindings.get(key.as_str()?)? {
            Binding::Value(value) => Some(wrap(value, &self.trace)),
            Binding::Kind(blocks) => {
                Some(Jinja::from_object(Kind { blocks: Arc::clone(blocks), trace: Arc::clone(&self.trace) }))
            }
        }
    }
}

#[derive(Debug)]
struct Kind {
    blocks: Arc<BTreeMap<String, Block>>,
    trace: SharedTrace,
}

impl Object for Kind {
    fn get_value(self: &Arc<Self>, key: &Jinja) -> Option<Jinja> {
        match self.blocks.get(key.as_str()?)? {
            Block::One(address, value) => {
                lock(&self.trace).accessed.insert(address.clone());
                Some(wrap(value, &self.trace))
            }
            Block::Many(instances) => {
                Some(Jinja::from_object(Instances { instances: Arc::clone(instances), trace: Arc::clone(&self.trace) }))
            }
        }
    }
}

#[derive(Debug)]
struct Instances {
    instances: Arc<BTreeMap<String, (Address, Arc<Value>)>>,
    trace: SharedTrace,
}

impl Object for Instances {
    fn get_value(self: &Arc<Self>, key: &Jinja) -> Option<Jinja> {
        if key.downcast_object_ref::<Unknown>().is_some() {
            lock(&self.trace).computed = true;
            return None;
        }
        let (address, value) = match key.as_str() {
            Some(key) => self.instances.get(key)?,
            None => self.instances.get(&key.to_string())?,
        };
        lock(&self.trace).accessed.insert(address.clone());
        Some(wrap(value, &self.trace))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.instances.keys().map(|key| Jinja::from(key.as_str())).collect())
    }
}

/// A list or a map, read item by item.
#[derive(Debug)]
struct Json {
    value: Arc<Value>,
    trace: SharedTrace,
}

impl Object for Json {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        if self.value.is_array() { ObjectRepr::Seq } else { ObjectRepr::Map }
    }

    fn get_value(self: &Arc<Self>, key: &Jinja) -> Option<Jinja> {
        if key.downcast_object_ref::<Unknown>().is_some() {
            lock(&self.trace).computed = true;
            return None;
        }
        let item = match &*self.value {
            Value::Array(items) => items.get(key.as_usize()?)?,
            Value::Object(map) => map.get(key.as_str()?)?,
            _ => return None,
        };
        Some(wrap(item, &self.trace))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        match &*self.value {
            Value::Array(items) => Enumerator::Seq(items.len()),
            Value::Object(map) => Enumerator::Values(map.keys().map(|key| Jinja::from(key.as_str())).collect()),
            _ => Enumerator::Empty,
        }
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if value::has_unknown(&self.value) {
            lock(&self.trace).computed = true;
        }
        write!(f, "{}", self.value)
    }
}

/// A value that is known only after apply.
#[derive(Debug)]
struct Unknown {
    reference: String,
    trace: SharedTrace,
}

impl Object for Unknown {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Jinja) -> Option<Jinja> {
        lock(&self.trace).unknown = true;
        let reference = match (key.as_usize(), key.as_str()) {
            // A deferred expression's result has no parts to refer to.
            _ if self.reference.starts_with('#') => {
                lock(&self.trace).computed = true;
                return None;
            }
            (Some(index), _) => value::join_index(&self.reference, index),
            (None, Some(name)) => value::join_key(&self.reference, name),
            (None, None) => return None,
        };
        Some(Jinja::from_object(Self { reference, trace: Arc::clone(&self.trace) }))
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&value::unknown(&self.reference))
    }
}
