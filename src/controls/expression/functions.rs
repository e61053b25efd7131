//! Operators and functions that an expression may use, in three values.
//!
//! The one table [`FUNCTIONS`] names them with their number of arguments; the lint refuses all others. A function
//! given an unknown value answers unknown, apart from those that say otherwise.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::rc::Rc;

use cel::common::ast::operators as op;
use serde_json::Value;

use super::value::{List, Node, Unknown, Val};
use super::{network, policy};
use crate::value::{has_unknown, unreadable_reason};

/// One function a check may call.
pub(crate) struct Function {
    pub(crate) name: &'static str,
    /// Arguments, the receiver of a method included.
    pub(crate) arguments: usize,
    /// Whether it is written `x.f(y)`.
    pub(crate) method: bool,
    pub(crate) describe: &'static str,
}

const fn function(name: &'static str, arguments: usize, method: bool, describe: &'static str) -> Function {
    Function { name, arguments, method, describe }
}

/// All functions a check may call.
pub(crate) const FUNCTIONS: &[Function] = &[
    function("size", 1, false, "members of a list or map, characters of a text; 0 for `null`"),
    function("given", 1, false, "true where a value is set and not empty; a reference counts as set"),
    function("startsWith", 2, true, "whether a text begins so"),
    function("endsWith", 2, true, "whether a text ends so"),
    function("contains", 2, true, "whether a text holds another"),
    function("matches", 2, true, "whether a regular expression fits some part of a text"),
    function("lowerAscii", 1, true, "the text in lower case"),
    function("customer_key", 1, false, "true for a KMS key that is not one of AWS's own (`alias/aws/…`)"),
    function("statements", 1, false, "the statements of a policy document, each with lists in every field"),
    function("covers", 2, false, "whether a pattern with `*` and `?` fits a text, letters' case aside"),
    function("cidr_contains", 2, false, "whether the first range holds the second"),
    function("is_world", 1, false, "true for `0.0.0.0/0`, `::/0` and half of either, alone or in a list"),
    function("port_open", 3, false, "whether a rule's protocol and ports let TCP reach a port"),
];

/// Calls an operator or function on its evaluated arguments.
pub(crate) fn call<'v>(name: &str, args: &[Val<'v>]) -> Val<'v> {
    match (name, args) {
        (op::EQUALS, [left, right]) => equals(left, right),
        (op::NOT_EQUALS, [left, right]) => not(equals(left, right)),
        (op::LOGICAL_NOT, [value]) => not(as_bool(value.clone())),
        (op::NOT_STRICTLY_FALSE, [value]) => Val::Bool(!matches!(value, Val::Bool(false))),
        (op::IN, [item, list]) => is_in(item, list),
        ("given", [value]) => given(value),
        ("customer_key", [value]) => customer_key(value),
        (op::GREATER | op::GREATER_EQUALS | op::LESS | op::LESS_EQUALS, [left, right]) => order(name, left, right),
        (op::ADD | op::SUBSTRACT | op::MULTIPLY | op::NEGATE, _) => arithmetic(name, args),
        ("size", [value]) => size(value),
        ("statements", [value]) => policy::statements(value),
        ("is_world", [value]) => network::is_world(value),
        ("port_open", [protocol, ports, port]) => network::port_open(protocol, ports, port),
        _ => match args.iter().find_map(unknown_of) {
            Some(why) => Val::Unknown(why),
            None => on_texts(name, args),
        },
    }
}

fn unknown_of(value: &Val<'_>) -> Option<Rc<Unknown>> {
    match value {
        Val::Unknown(why) => Some(Rc::clone(why)),
        _ => None,
    }
}

/// Returns what logic works on: a truth value, or why there is none.
pub(crate) fn as_bool(value: Val<'_>) -> Val<'_> {
    match value {
        Val::Bool(_) | Val::Unknown(_) => value,
        Val::Null => Val::invalid("a truth value is not set"),
        other => Val::invalid(format!("{} is neither true nor false", other.type_name())),
    }
}

fn not(value: Val<'_>) -> Val<'_> {
    match value {
        Val::Bool(value) => Val::Bool(!value),
        other => other,
    }
}

/// `has(x.y)`: whether a field is set. A reference to what is known after apply is set.
pub(crate) fn has<'v>(value: &Val<'v>) -> Val<'v> {
    match value {
        Val::Null => Val::Bool(false),
        Val::Unknown(why) if !why.is_after_apply() => Val::Unknown(Rc::clone(why)),
        _ => Val::Bool(true),
    }
}

fn given<'v>(value: &Val<'v>) -> Val<'v> {
    match value {
        Val::Text(text) => Val::Bool(!text.is_empty()),
        Val::List(list) if list.items.is_empty() => match &list.open {
            Some(why) => Val::Unknown(Rc::clone(why)),
            None => Val::Bool(false),
        },
        Val::Node(Node { value: Value::Array(items), .. }) => Val::Bool(!items.is_empty()),
        Val::Node(Node { value: Value::Object(map), .. }) => Val::Bool(!map.is_empty()),
        other => has(other),
    }
}

fn customer_key<'v>(value: &Val<'v>) -> Val<'v> {
    match value {
        Val::Null => Val::Bool(false),
        Val::Text(text) => {
            let aws_owned = text.starts_with("alias/aws/") || text.contains(":alias/aws/");
            Val::Bool(!text.is_empty() && !aws_owned)
        }
        // A key of the spec's own is the customer's, whatever id it will get.
        Val::Unknown(why) => match why.reference() {
            Some((address, _)) if address.rsplit_once("kms_key.").is_some_and(|(before, _)| is_prefix(before)) => {
                Val::Bool(true)
            }
            _ => Val::Unknown(Rc::clone(why)),
        },
        other => Val::invalid(format!("{} is no key", other.type_name())),
    }
}

fn is_prefix(before: &str) -> bool {
    before.is_empty() || (before.starts_with("module.") && before.ends_with('.'))
}

/// Compares in three values; values of different types differ, as in CEL.
pub(crate) fn equals<'v>(left: &Val<'v>, right: &Val<'v>) -> Val<'v> {
    match (left, right) {
        (Val::Unknown(a), Val::Unknown(b)) => same_reference(a, b),
        (Val::Unknown(why), other) | (other, Val::Unknown(why)) => match other {
            Val::Null if why.is_after_apply() => Val::Bool(false),
            // AWS has yet to make up this id, so nothing that exists has it.
            Val::Text(_) if why.reference().is_some_and(|(_, attribute)| attribute == "id") => Val::Bool(false),
            _ => Val::Unknown(Rc::clone(why)),
        },
        (Val::Null, Val::Null) => Val::Bool(true),
        (Val::Bool(a), Val::Bool(b)) => Val::Bool(a == b),
        (Val::Text(a), Val::Text(b)) => Val::Bool(a == b),
        (Val::Int(_) | Val::Double(_), Val::Int(_) | Val::Double(_)) => {
            Val::Bool(compare(left, right) == Some(Ordering::Equal))
        }
        (Val::Subject(a), Val::Subject(b)) => Val::Bool(std::ptr::eq(a.resource, b.resource)),
        (Val::Node(a), Val::Node(b)) => match hidden(a).or_else(|| hidden(b)) {
            Some(why) => Val::Unknown(why),
            None => Val::Bool(a.value == b.value),
        },
        (Val::List(_) | Val::Node(_), Val::List(_) | Val::Node(_)) => lists_equal(left, right),
        _ => Val::Bool(false),
    }
}

fn same_reference<'v>(a: &Rc<Unknown>, b: &Rc<Unknown>) -> Val<'v> {
    if let (Unknown::AfterApply { text: left, .. }, Unknown::AfterApply { text: right, .. }) = (&**a, &**b) {
        if left == right {
            return Val::Bool(true);
        }
        if let (Some((of, what)), Some((of_other, what_other))) = (a.reference(), b.reference()) {
            // Two resources never share an id or an ARN.
            if of != of_other && what == what_other && ["id", "arn"].contains(&what) {
                return Val::Bool(false);
            }
        }
        return Val::Unknown(Rc::clone(a));
    }
    Val::Unknown(if a.is_after_apply() { Rc::clone(b) } else { Rc::clone(a) })
}

fn lists_equal<'v>(left: &Val<'v>, right: &Val<'v>) -> Val<'v> {
    let (Some(a), Some(b)) = (plain_list(left), plain_list(right)) else {
        return Val::invalid("these lists cannot be compared");
    };
    if let Some(why) = a.open.as_ref().or(b.open.as_ref()) {
        return Val::Unknown(Rc::clone(why));
    }
    if a.items.len() != b.items.len() {
        return Val::Bool(false);
    }
    let mut undecided = None;
    for (x, y) in a.items.iter().zip(&b.items) {
        match equals(x, y) {
            Val::Bool(true) => {}
            Val::Bool(false) => return Val::Bool(false),
            other => undecided = undecided.or(Some(other)),
        }
    }
    undecided.unwrap_or(Val::Bool(true))
}

/// Sees a list of scalars, wherever it stands, as a made one.
pub(crate) fn plain_list<'v>(value: &Val<'v>) -> Option<Rc<List<'v>>> {
    match value {
        Val::List(list) => Some(Rc::clone(list)),
        Val::Null => Some(Rc::default()),
        Val::Node(node) => {
            let items = node.value.as_array()?.iter();
            let items = items.map(|item| match unreadable_reason(item) {
                Some(reason) => Val::Unknown(Rc::new(Unknown::Unreadable {
                    path: node.path.to_string(),
                    reason: reason.to_owned(),
                })),
                None => Val::owned(item.clone(), &node.path),
            });
            Some(Rc::new(List { items: items.collect(), open: None }))
        }
        _ => None,
    }
}

/// Returns why a list or map is not wholly known.
pub(crate) fn hidden(node: &Node<'_>) -> Option<Rc<Unknown>> {
    let mut found = None;
    crate::value::walk_leaves(node.value, &node.path, &mut |path, leaf| {
        if let (None, Some(reason)) = (&found, unreadable_reason(leaf)) {
            found = Some(Rc::new(Unknown::Unreadable { path: path.to_owned(), reason: reason.to_owned() }));
        } else if let (None, Some(text), true) = (&found, leaf.as_str(), has_unknown(leaf)) {
            found = Some(Rc::new(Unknown::AfterApply { path: path.to_owned(), text: text.to_owned() }));
        }
    });
    found
}

fn is_in<'v>(item: &Val<'v>, list: &Val<'v>) -> Val<'v> {
    match list {
        Val::Unknown(why) => return Val::Unknown(Rc::clone(why)),
        Val::Node(Node { value: Value::Object(map), .. }) => {
            return match item {
                Val::Text(key) => Val::Bool(map.get(key.as_ref()).is_some_and(|value| !value.is_null())),
                Val::Unknown(why) => Val::Unknown(Rc::clone(why)),
                _ => Val::Bool(false),
            };
        }
        _ => {}
    }
    let Some(list) = plain_list(list) else {
        return Val::invalid(format!("`in` asks for a list and got {}", list.type_name()));
    };
    let mut undecided = list.open.clone();
    for member in &list.items {
        match equals(item, member) {
            Val::Bool(true) => return Val::Bool(true),
            Val::Unknown(why) => undecided = undecided.or(Some(why)),
            _ => {}
        }
    }
    undecided.map_or(Val::Bool(false), Val::Unknown)
}

fn size<'v>(value: &Val<'v>) -> Val<'v> {
    let count = match value {
        Val::Null => 0,
        Val::Text(text) => text.chars().count(),
        Val::Node(Node { value: Value::Array(items), .. }) => items.len(),
        Val::Node(Node { value: Value::Object(map), .. }) => map.len(),
        Val::Map(map) => map.len(),
        Val::List(list) => match &list.open {
            Some(why) => return Val::Unknown(Rc::clone(why)),
            None => list.items.len(),
        },
        Val::Unknown(why) => return Val::Unknown(Rc::clone(why)),
        other => return Val::invalid(format!("{} has no size", other.type_name())),
    };
    Val::Int(i64::try_from(count).unwrap_or(i64::MAX))
}

fn order<'v>(name: &str, left: &Val<'v>, right: &Val<'v>) -> Val<'v> {
    if let Some(why) = unknown_of(left).or_else(|| unknown_of(right)) {
        return Val::Unknown(why);
    }
    let Some(ordering) = compare(left, right) else {
        return Val::invalid(format!("{} and {} have no order", left.type_name(), right.type_name()));
    };
    Val::Bool(match name {
        op::GREATER => ordering.is_gt(),
        op::GREATER_EQUALS => ordering.is_ge(),
        op::LESS => ordering.is_lt(),
        _ => ordering.is_le(),
    })
}

#[expect(clippy::cast_precision_loss, reason = "a whole number is compared with a fraction only by its size")]
fn compare(left: &Val<'_>, right: &Val<'_>) -> Option<Ordering> {
    match (left, right) {
        (Val::Int(a), Val::Int(b)) => Some(a.cmp(b)),
        (Val::Int(a), Val::Double(b)) => (*a as f64).partial_cmp(b),
        (Val::Double(a), Val::Int(b)) => a.partial_cmp(&(*b as f64)),
        (Val::Double(a), Val::Double(b)) => a.partial_cmp(b),
        (Val::Text(a), Val::Text(b)) => Some(a.cmp(b)),
        _ => None,
    }
}

fn arithmetic<'v>(name: &str, args: &[Val<'v>]) -> Val<'v> {
    if let Some(why) = args.iter().find_map(unknown_of) {
        return Val::Unknown(why);
    }
    let overflow = || Val::invalid("the number is too large");
    match (name, args) {
        (op::NEGATE, [Val::Int(a)]) => a.checked_neg().map_or_else(overflow, Val::Int),
        (op::ADD, [Val::Int(a), Val::Int(b)]) => a.checked_add(*b).map_or_else(overflow, Val::Int),
        (op::SUBSTRACT, [Val::Int(a), Val::Int(b)]) => a.checked_sub(*b).map_or_else(overflow, Val::Int),
        (op::MULTIPLY, [Val::Int(a), Val::Int(b)]) => a.checked_mul(*b).map_or_else(overflow, Val::Int),
        (op::ADD, [Val::Text(a), Val::Text(b)]) => Val::Text(Cow::Owned(format!("{a}{b}"))),
        (op::ADD, [Val::List(a), Val::List(b)]) => {
            let items = a.items.iter().chain(&b.items).cloned().collect();
            Val::List(Rc::new(List { items, open: a.open.clone().or_else(|| b.open.clone()) }))
        }
        _ => Val::invalid("this arithmetic has no meaning"),
    }
}

fn on_texts<'v>(name: &str, args: &[Val<'v>]) -> Val<'v> {
    let mut texts = Vec::with_capacity(args.len());
    for arg in args {
        match arg {
            Val::Text(text) => texts.push(text.as_ref()),
            // An optional text that is not set begins with nothing, contains nothing and is no range.
            Val::Null if name != "lowerAscii" => return Val::Bool(false),
            Val::Null => return Val::Null,
            other => return Val::invalid(format!("`{name}` asks for a text and got {}", other.type_name())),
        }
    }
    match (name, &texts[..]) {
        ("startsWith", [text, prefix]) => Val::Bool(text.starts_with(prefix)),
        ("endsWith", [text, suffix]) => Val::Bool(text.ends_with(suffix)),
        ("contains", [text, part]) => Val::Bool(text.contains(part)),
        ("lowerAscii", [text]) => Val::Text(Cow::Owned(text.to_ascii_lowercase())),
        ("matches", [text, pattern]) => match crate::value::matches(pattern, text) {
            Some(matches) => Val::Bool(matches),
            None => Val::invalid(format!("`{pattern}` is no regular expression")),
        },
        ("covers", [pattern, text]) => Val::Bool(policy::covers(pattern, text)),
        ("cidr_contains", [outer, inner]) => match (outer.parse::<ipnet::IpNet>(), inner.parse::<ipnet::IpNet>()) {
            (Ok(outer), Ok(inner)) => Val::Bool(outer.contains(&inner)),
            _ => Val::invalid(format!("`{outer}` and `{inner}` are not two ranges")),
        },
        _ => Val::invalid(format!("`{name}` is no function")),
    }
}
