//! Evaluates an expression over one resource and the lists it may look into.
//!
//! Errors and unknowns are one thing here, a value: each operator says what it makes of one. Every field that is
//! reached is recorded, up to a bound. Recursion is bounded by the parser's nesting limit.

use std::borrow::Cow;
use std::cell::RefCell;
use std::rc::Rc;

use cel::IdedExpr;
use cel::common::ast::{CallExpr, ComprehensionExpr, Expr, LiteralValue, operators as op};
use serde_json::Value;

use super::Expression;
use super::functions;
use super::value::{List, Node, Read, Subject, Unknown, Val, recorded};
use crate::kind::SchemaNode;
use crate::value::{Segment, join_index, join_key, unknown, unreadable_reason};

/// Fields one finding remembers; a check over a long list names the first ones and counts the rest.
const READS_MAX: usize = 24;

/// Yields the named lists an expression may look into.
pub(crate) trait Lists<'v> {
    /// Returns the list a `with` entry names for the resource at hand.
    fn related(&self, name: &str) -> Option<Val<'v>>;
    /// Returns all resources of a kind.
    fn of_kind(&self, kind: &str) -> Val<'v>;
}

/// One evaluation's surroundings.
pub(crate) struct Evaluator<'v, 'l> {
    /// The resource that is checked; `None` for a check of the account.
    pub(crate) subject: Option<&'v Subject<'v>>,
    pub(crate) lists: &'l dyn Lists<'v>,
    reads: RefCell<Reads>,
}

#[derive(Default)]
struct Reads {
    kept: Vec<Read>,
    omitted: usize,
}

type Scope<'e, 'v> = Vec<(&'e str, Val<'v>)>;

impl<'v, 'l> Evaluator<'v, 'l> {
    pub(crate) fn new(subject: Option<&'v Subject<'v>>, lists: &'l dyn Lists<'v>) -> Self {
        Self { subject, lists, reads: RefCell::default() }
    }

    /// Evaluates an expression with `related` bound to another resource, where one is given.
    pub(crate) fn run<'e: 'v>(&self, expression: &'e Expression, related: Option<&'v Subject<'v>>) -> Val<'v> {
        let mut scope: Scope<'e, 'v> = Vec::new();
        if let Some(subject) = related {
            scope.push(("related", Val::Subject(subject)));
        }
        self.eval(&expression.root, &mut scope)
    }

    /// Returns the fields read so far and how many more were not kept.
    pub(crate) fn into_reads(self) -> (Vec<Read>, usize) {
        let reads = self.reads.into_inner();
        (reads.kept, reads.omitted)
    }

    fn eval<'e: 'v>(&self, expr: &'e IdedExpr, scope: &mut Scope<'e, 'v>) -> Val<'v> {
        match &expr.expr {
            Expr::Literal(literal) => literal_value(literal),
            Expr::Ident(name) => self.name(name, scope),
            Expr::Select(select) => {
                let base = self.eval(&select.operand, scope);
                let value = self.select(&base, &select.field);
                if select.test { functions::has(&value) } else { value }
            }
            Expr::List(list) => Val::list(list.elements.iter().map(|item| self.eval(item, scope)).collect()),
            Expr::Call(call) => self.call(call, scope),
            Expr::Comprehension(loop_) => self.comprehension(loop_, scope),
            Expr::Map(_) | Expr::Struct(_) | Expr::Unspecified => Val::invalid("a map cannot be written in a check"),
        }
    }

    fn name(&self, name: &str, scope: &Scope<'_, 'v>) -> Val<'v> {
        if let Some((_, value)) = scope.iter().rev().find(|(bound, _)| *bound == name) {
            return value.clone();
        }
        match (name, self.subject) {
            ("resource", Some(subject)) => Val::Subject(subject),
            ("resources", _) => Val::Kinds,
            _ => self.lists.related(name).unwrap_or_else(|| Val::invalid(format!("`{name}` is not defined"))),
        }
    }

    fn call<'e: 'v>(&self, call: &'e CallExpr, scope: &mut Scope<'e, 'v>) -> Val<'v> {
        match (call.func_name.as_str(), &call.args[..]) {
            (op::LOGICAL_AND, [left, right]) => self.logic(left, right, false, scope),
            (op::LOGICAL_OR, [left, right]) => self.logic(left, right, true, scope),
            (op::CONDITIONAL, [test, yes, no]) => match self.eval(test, scope) {
                Val::Bool(true) => self.eval(yes, scope),
                Val::Bool(false) => self.eval(no, scope),
                Val::Unknown(why) => Val::Unknown(why),
                other => Val::invalid(format!("`?` asks for true or false and got {}", other.type_name())),
            },
            (op::INDEX, [base, index]) => {
                let base = self.eval(base, scope);
                match self.eval(index, scope) {
                    Val::Text(key) => self.select(&base, &key),
                    Val::Int(at) => self.at_index(&base, at),
                    Val::Unknown(why) => Val::Unknown(why),
                    other => Val::invalid(format!("{} is no index", other.type_name())),
                }
            }
            (name, args) => {
                let mut values = Vec::with_capacity(args.len() + 1);
                if let Some(target) = &call.target {
                    values.push(self.eval(target, scope));
                }
                for arg in args {
                    values.push(self.eval(arg, scope));
                }
                values.iter().for_each(|value| self.record_container(value));
                functions::call(name, &values)
            }
        }
    }

    /// `&&` for `decides` false, `||` for true: an operand that decides does so whatever the other one is.
    fn logic<'e: 'v>(
        &self,
        left: &'e IdedExpr,
        right: &'e IdedExpr,
        decides: bool,
        scope: &mut Scope<'e, 'v>,
    ) -> Val<'v> {
        let left = functions::as_bool(self.eval(left, scope));
        if matches!(left, Val::Bool(value) if value == decides) {
            return left;
        }
        let right = functions::as_bool(self.eval(right, scope));
        match (&left, &right) {
            (_, Val::Bool(value)) if *value == decides => right,
            (Val::Bool(_), _) => right,
            _ => left,
        }
    }

    fn comprehension<'e: 'v>(&self, loop_: &'e ComprehensionExpr, scope: &mut Scope<'e, 'v>) -> Val<'v> {
        let range = self.eval(&loop_.iter_range, scope);
        let list = match self.members(&range) {
            Ok(list) => list,
            Err(why) => return why,
        };
        let depth = scope.len();
        let start = self.eval(&loop_.accu_init, scope);
        scope.push((&loop_.accu_var, start));
        for item in &list.items {
            if matches!(self.eval(&loop_.loop_cond, scope), Val::Bool(false)) {
                break;
            }
            scope.push((&loop_.iter_var, item.clone()));
            let next = self.eval(&loop_.loop_step, scope);
            scope.truncate(depth);
            scope.push((&loop_.accu_var, next));
        }
        if let Some(why) = &list.open {
            scope.push((&loop_.iter_var, Val::Unknown(Rc::clone(why))));
            let with_one_more = self.eval(&loop_.loop_step, scope);
            scope.truncate(depth + 1);
            let sure = scope.pop().map_or(Val::Null, |(_, value)| value);
            scope.push((&loop_.accu_var, with_maybe(sure, &with_one_more, why)));
        }
        let result = self.eval(&loop_.result, scope);
        scope.truncate(depth);
        result
    }

    /// Returns the members a loop goes over: a list's items, a map's keys, nothing for `null`.
    fn members(&self, range: &Val<'v>) -> Result<Rc<List<'v>>, Val<'v>> {
        match range {
            Val::List(list) => Ok(Rc::clone(list)),
            Val::Null => Ok(Rc::default()),
            Val::Unknown(why) => Ok(Rc::new(List { items: Vec::new(), open: Some(Rc::clone(why)) })),
            Val::Node(node) => match node.value {
                Value::Array(items) => {
                    let items = (0..items.len()).map(|at| self.item(node, at)).collect();
                    Ok(Rc::new(List { items, open: None }))
                }
                Value::Object(map) => {
                    let keys = map.keys().map(|key| Val::scalar(Cow::Borrowed(key.as_str()), &node.path));
                    Ok(Rc::new(List { items: keys.collect(), open: None }))
                }
                _ => Err(Val::invalid("a loop over no list")),
            },
            other => Err(Val::invalid(format!("a loop over {}", other.type_name()))),
        }
    }

    fn select(&self, base: &Val<'v>, key: &str) -> Val<'v> {
        match base {
            Val::Unknown(why) => Val::Unknown(Rc::clone(why)),
            Val::Null => Val::Null,
            Val::Subject(subject) => self.field(subject, key),
            Val::Kinds => self.lists.of_kind(key),
            Val::Map(map) => map.iter().find(|(name, _)| name == key).map_or(Val::Null, |(_, value)| value.clone()),
            Val::Node(node) => match node.value.as_object() {
                Some(map) => {
                    let path = join_key(&node.path, key);
                    let schema = node.schema.and_then(|schema| step(schema, key));
                    match map.get(key).filter(|value| !value.is_null()) {
                        Some(value) => self.borrow(value, schema, path, node.subject),
                        None => self.absent(node.schema, key, path, node.subject),
                    }
                }
                None => Val::invalid(format!("`{}` has no fields", node.path)),
            },
            other => Val::invalid(format!("{} has no field `{key}`", other.type_name())),
        }
    }

    fn at_index(&self, base: &Val<'v>, at: i64) -> Val<'v> {
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        match base {
            Val::Node(node) if node.value.is_array() => self.item(node, at),
            Val::List(list) => match (list.items.get(at), &list.open) {
                (Some(item), None) => item.clone(),
                (_, Some(why)) => Val::Unknown(Rc::clone(why)),
                (None, None) => Val::Null,
            },
            Val::Null => Val::Null,
            Val::Unknown(why) => Val::Unknown(Rc::clone(why)),
            other => Val::invalid(format!("{} has no positions", other.type_name())),
        }
    }

    fn item(&self, node: &Node<'v>, at: usize) -> Val<'v> {
        let Some(value) = node.value.get(at) else { return Val::Null };
        let schema = node.schema.and_then(|schema| crate::kind::step(schema, &Segment::Index(at)));
        self.borrow(value, schema, join_index(&node.path, at), node.subject)
    }

    /// Reads a field of a resource: an argument, else an attribute, else the id or the address.
    fn field(&self, subject: &'v Subject<'v>, key: &str) -> Val<'v> {
        let resource = subject.resource;
        for side in [&resource.arguments, &resource.attributes] {
            if unreadable_reason(side).is_some() {
                return self.borrow(side, None, key.to_owned(), subject);
            }
        }
        let schemas = subject.schema.map(|kind| (&kind.arguments, &kind.attributes));
        for (side, schema) in [
            (&resource.arguments, schemas.map(|(arguments, _)| arguments)),
            (&resource.attributes, schemas.map(|(_, attributes)| attributes)),
        ] {
            if let Some(value) = side.get(key).filter(|value| !value.is_null()) {
                return self.borrow(value, schema.and_then(|schema| schema.property(key)), key.to_owned(), subject);
            }
        }
        let declares = |schema: &SchemaNode| schema.property(key).is_some();
        match (key, schemas) {
            (_, Some((arguments, _))) if declares(arguments) => {
                self.absent(Some(arguments.as_value()), key, key.to_owned(), subject)
            }
            ("id", _) if resource.id.is_some() => {
                let id = resource.id.as_ref().map(|id| id.as_str()).unwrap_or_default();
                self.record(subject, key, &Value::from(id));
                Val::Text(Cow::Borrowed(id))
            }
            ("address", _) => resource.address.as_ref().map_or(Val::Null, |at| Val::Text(at.to_string().into())),
            (_, Some((_, attributes))) if declares(attributes) || key == "id" => {
                self.absent_attribute(attributes, key, subject)
            }
            _ => Val::invalid(format!("`{key}` is not a field of {}", resource.kind)),
        }
    }

    /// An attribute that is not there: still to come where the resource is, else what the schema says of it.
    fn absent_attribute(&self, attributes: &'v SchemaNode, key: &str, subject: &'v Subject<'v>) -> Val<'v> {
        match (&subject.resource.id, &subject.resource.address) {
            (None, Some(address)) => {
                let text = unknown(&format!("{address}.{key}"));
                self.record(subject, key, &Value::from(text.as_str()));
                Val::Unknown(Rc::new(Unknown::AfterApply { path: key.to_owned(), text }))
            }
            _ => self.absent(Some(attributes.as_value()), key, key.to_owned(), subject),
        }
    }

    /// A field that is not there: `null` where the schema makes it optional or the map is a free one, else missing.
    fn absent(&self, parent: Option<&Value>, key: &str, path: String, subject: &'v Subject<'v>) -> Val<'v> {
        if parent.is_some_and(|parent| is_demanded(parent, key)) {
            return Val::Unknown(Rc::new(Unknown::Missing { path }));
        }
        self.record(subject, &path, &Value::Null);
        Val::Null
    }

    fn borrow(&self, value: &'v Value, schema: Option<&'v Value>, path: String, subject: &'v Subject<'v>) -> Val<'v> {
        if let Some(reason) = unreadable_reason(value) {
            self.record(subject, &path, value);
            return Val::Unknown(Rc::new(Unknown::Unreadable { path, reason: reason.to_owned() }));
        }
        match value {
            Value::Array(items) if !items.is_empty() => {}
            Value::Object(map) if !map.is_empty() => {}
            _ => self.record(subject, &path, value),
        }
        match value {
            Value::Null => Val::Null,
            Value::Bool(value) => Val::Bool(*value),
            Value::Number(number) => match number.as_i64() {
                Some(int) => Val::Int(int),
                None => Val::Double(number.as_f64().unwrap_or(f64::NAN)),
            },
            Value::String(text) => Val::scalar(Cow::Borrowed(text), &path),
            Value::Array(_) | Value::Object(_) => Val::Node(Node { value, schema, path: path.into(), subject }),
        }
    }

    /// Records a whole list or map that a function is given.
    fn record_container(&self, value: &Val<'v>) {
        if let Val::Node(node) = value {
            self.record(node.subject, &node.path, node.value);
        }
    }

    fn record(&self, subject: &Subject<'_>, path: &str, value: &Value) {
        let own = self.subject.is_some_and(|own| std::ptr::eq(own.resource, subject.resource));
        let of = (!own).then(|| subject.label());
        let mut reads = self.reads.borrow_mut();
        if reads.kept.iter().any(|read| read.path == path && read.of == of) {
            return;
        }
        if reads.kept.len() < READS_MAX {
            reads.kept.push(Read { of, path: path.to_owned(), value: recorded(value) });
        } else {
            reads.omitted += 1;
        }
    }
}

/// What a loop yields when there may be members that nobody could see: its result stands only where such a one,
/// of which nothing is known, would not change it.
fn with_maybe<'v>(sure: Val<'v>, with_one_more: &Val<'v>, why: &Rc<Unknown>) -> Val<'v> {
    match (sure, with_one_more) {
        (Val::Bool(sure), Val::Bool(with)) if sure == *with => Val::Bool(sure),
        (Val::List(list), _) => Val::List(Rc::new(List { items: list.items.clone(), open: Some(Rc::clone(why)) })),
        _ => Val::Unknown(Rc::clone(why)),
    }
}

fn literal_value(literal: &LiteralValue) -> Val<'_> {
    match literal {
        LiteralValue::Boolean(value) => Val::Bool(*value.inner()),
        LiteralValue::Int(value) => Val::Int(*value.inner()),
        LiteralValue::UInt(value) => Val::Int(i64::try_from(*value.inner()).unwrap_or(i64::MAX)),
        LiteralValue::Double(value) => Val::Double(*value.inner()),
        LiteralValue::String(value) => Val::Text(Cow::Borrowed(value.inner())),
        LiteralValue::Null => Val::Null,
        LiteralValue::Bytes(_) => Val::invalid("bytes have no place in a check"),
    }
}

fn step<'s>(schema: &'s Value, key: &str) -> Option<&'s Value> {
    crate::kind::step(schema, &Segment::Key(key))
}

/// Tells whether a complete read has the field: it is required, or has a default that is not empty.
fn is_demanded(parent: &Value, key: &str) -> bool {
    let parent = crate::kind::unwrap_nullable(parent);
    let required = parent.get("required").and_then(Value::as_array);
    if required.is_some_and(|names| names.iter().any(|name| name == key)) {
        return true;
    }
    let default = parent.get("properties").and_then(|all| all.get(key)).and_then(|property| property.get("default"));
    match default {
        None | Some(Value::Null) => false,
        Some(Value::Array(items)) => !items.is_empty(),
        Some(Value::Object(map)) => !map.is_empty(),
        Some(_) => true,
    }
}
