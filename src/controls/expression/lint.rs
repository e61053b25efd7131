//! Finds what an expression gets wrong before it ever runs: names, fields, functions, values.
//!
//! Each name has a type made from the kinds' schemas; a field that no schema has is a problem with the nearest
//! name as help, and so is a comparison with a text that an enumeration does not admit. What the lint can't know
//! (a document's inside, a free map's keys) it lets pass, and evaluation answers in three values.

use std::collections::BTreeSet;
use std::ops::Range;

use cel::IdedExpr;
use cel::common::ast::{CallExpr, Expr, LiteralValue, operators as op};
use serde_json::Value;

use super::Expression;
use super::functions::FUNCTIONS;
use super::policy::{CONDITION_FIELDS, STATEMENT_FIELDS};
use crate::kind::{KindSchema, KindSchemas, Shape, describe, enum_values, shape, step, unwrap_nullable};
use crate::value::{Segment, join_key};

/// What a part of an expression is.
#[derive(Clone)]
pub(crate) enum Type<'s> {
    /// A resource of a kind.
    Kind(&'s KindSchema),
    /// A resource of any kind that takes tags; only they can be asked for.
    Tagged,
    /// The tags of such a resource.
    TagMap,
    /// A list of resources of a kind.
    Kinds(&'s KindSchema),
    /// The name `resources`.
    AllKinds,
    /// A field, by its schema.
    Node {
        schema: &'s Value,
        of: &'s KindSchema,
        path: String,
    },
    Statements,
    Statement,
    Conditions,
    Condition,
    Bool,
    Any,
}

/// One thing wrong with an expression; the range is in its bytes.
pub(crate) struct Problem {
    pub(crate) range: Range<usize>,
    pub(crate) text: String,
    pub(crate) help: Option<String>,
}

/// The names an expression may use, and what lies behind them.
pub(crate) struct Roots<'s> {
    pub(crate) kinds: &'s KindSchemas,
    pub(crate) names: Vec<(String, Type<'s>)>,
}

/// Checks an expression, which has to be true or false where `truth` is set; returns its problems and the fields it reads, as `(kind, path)`.
pub(crate) fn lint(
    expression: &Expression,
    roots: &Roots<'_>,
    truth: bool,
) -> (Vec<Problem>, BTreeSet<(String, String)>) {
    let mut walker = Walker {
        expression,
        kinds: roots.kinds,
        scope: roots.names.clone(),
        problems: Vec::new(),
        fields: BTreeSet::new(),
    };
    let result = walker.walk(&expression.root);
    let is_truth = match &result {
        Type::Bool | Type::Any => true,
        Type::Node { schema, .. } => matches!(shape(schema), Shape::Boolean | Shape::Any),
        _ => false,
    };
    if truth && !is_truth {
        walker.problem(&expression.root, "the expression is neither true nor false".to_owned(), None);
    }
    walker.note(&result);
    (walker.problems, walker.fields)
}

struct Walker<'s, 'e> {
    expression: &'e Expression,
    kinds: &'s KindSchemas,
    scope: Vec<(String, Type<'s>)>,
    problems: Vec<Problem>,
    fields: BTreeSet<(String, String)>,
}

impl<'s> Walker<'s, '_> {
    fn problem(&mut self, at: &IdedExpr, text: String, help: Option<String>) {
        let range = self.place(at);
        self.problems.push(Problem { range, text, help });
    }

    /// Returns the bytes to underline: the field after a dot, the name before a parenthesis, else the part itself.
    fn place(&self, at: &IdedExpr) -> Range<usize> {
        let source = &self.expression.source;
        let range = self.expression.range(at.id);
        match &at.expr {
            Expr::Select(select) if source[range.end..].starts_with(&select.field) => {
                range.end..range.end + select.field.len()
            }
            Expr::Call(call) if source[..range.start].ends_with(&call.func_name) => {
                range.start - call.func_name.len()..range.start
            }
            _ => range,
        }
    }

    /// Counts a field as read where it is used as a value.
    fn note(&mut self, used: &Type<'s>) {
        if let Type::Node { of, path, .. } = used {
            self.fields.insert((of.name.to_owned(), path.clone()));
        }
    }

    fn walk(&mut self, expr: &IdedExpr) -> Type<'s> {
        match &expr.expr {
            Expr::Literal(LiteralValue::Boolean(_)) => Type::Bool,
            Expr::Literal(LiteralValue::Bytes(_)) => {
                self.problem(expr, "bytes have no place in a check".to_owned(), None);
                Type::Any
            }
            Expr::Literal(_) => Type::Any,
            Expr::Ident(name) => self.name(expr, name),
            Expr::Select(select) => {
                let base = self.walk(&select.operand);
                let field = self.field(expr, base, &select.field);
                if select.test {
                    self.note(&field);
                    return Type::Bool;
                }
                field
            }
            Expr::Call(call) => self.call(expr, call),
            Expr::List(list) => {
                for item in &list.elements {
                    let item = self.walk(item);
                    self.note(&item);
                }
                Type::Any
            }
            Expr::Comprehension(loop_) => {
                let range = self.walk(&loop_.iter_range);
                self.note(&range);
                let element = element(&range);
                if element.is_none() {
                    self.problem(&loop_.iter_range, "a loop asks for a list".to_owned(), None);
                }
                let depth = self.scope.len();
                let accumulator = self.walk(&loop_.accu_init);
                self.scope.push((loop_.accu_var.clone(), accumulator));
                self.scope.push((loop_.iter_var.clone(), element.unwrap_or(Type::Any)));
                let step = self.walk(&loop_.loop_step);
                self.note(&step);
                self.scope.truncate(depth);
                // `filter` keeps the type of its range, the other loops make truths, counts and lists.
                match (&loop_.accu_init.expr, step) {
                    (Expr::Literal(LiteralValue::Boolean(_)), _) => Type::Bool,
                    (Expr::Literal(_), _) => Type::Bool,
                    (Expr::List(_), _) if keeps_items(loop_) => range,
                    _ => Type::Any,
                }
            }
            Expr::Map(_) | Expr::Struct(_) | Expr::Unspecified => {
                self.problem(expr, "a map cannot be written in a check".to_owned(), None);
                Type::Any
            }
        }
    }

    fn name(&mut self, expr: &IdedExpr, name: &str) -> Type<'s> {
        if let Some((_, found)) = self.scope.iter().rev().find(|(known, _)| known == name) {
            return found.clone();
        }
        let known: Vec<String> = self.scope.iter().map(|(name, _)| name.clone()).collect();
        let help = did_you_mean(name, known.iter().map(String::as_str))
            .or_else(|| Some(format!("a check may use {}", known.join(", "))));
        self.problem(expr, format!("`{name}` is not defined"), help);
        Type::Any
    }

    fn field(&mut self, expr: &IdedExpr, base: Type<'s>, key: &str) -> Type<'s> {
        match base {
            Type::Any => Type::Any,
            Type::AllKinds => match self.kinds.get(key) {
                Some(kind) => Type::Kinds(kind),
                None => {
                    let help = did_you_mean(key, self.kinds.iter().map(|kind| kind.name));
                    self.problem(expr, format!("`{key}` is not a kind"), help);
                    Type::Any
                }
            },
            Type::Kind(kind) => self.resource_field(expr, kind, key),
            Type::Tagged if key == "tags" => Type::TagMap,
            Type::Tagged => {
                self.problem(expr, format!("`{key}` is not a field of every kind"), Some("only tags are".to_owned()));
                Type::Any
            }
            Type::TagMap => {
                self.fields.insert((super::TAGGED.to_owned(), join_key("tags", key)));
                Type::Any
            }
            Type::Node { schema, of, path } => match step(schema, &Segment::Key(key)) {
                Some(next) => Type::Node { schema: next, of, path: join_key(&path, key) },
                None if matches!(shape(unwrap_nullable(schema)), Shape::Any) => Type::Any,
                None => {
                    let names = properties(schema);
                    let help = did_you_mean(key, names.iter().map(String::as_str))
                        .or_else(|| (!names.is_empty()).then(|| format!("it has {}", names.join(", "))));
                    self.problem(expr, format!("`{key}` is not a field of {}.{path}", of.name), help);
                    Type::Any
                }
            },
            Type::Statement => match key {
                "conditions" => Type::Conditions,
                _ => self.one_of(expr, key, STATEMENT_FIELDS, "a policy statement"),
            },
            Type::Condition => self.one_of(expr, key, CONDITION_FIELDS, "a policy condition"),
            Type::Kinds(_) | Type::Statements | Type::Conditions => {
                self.problem(expr, format!("`{key}` is asked of a list"), Some("use exists, all or filter".to_owned()));
                Type::Any
            }
            Type::Bool => {
                self.problem(expr, format!("`{key}` is asked of a truth value"), None);
                Type::Any
            }
        }
    }

    fn one_of(&mut self, expr: &IdedExpr, key: &str, known: &[&str], of: &str) -> Type<'s> {
        if !known.contains(&key) {
            let help =
                did_you_mean(key, known.iter().copied()).or_else(|| Some(format!("it has {}", known.join(", "))));
            self.problem(expr, format!("`{key}` is not a field of {of}"), help);
        }
        Type::Any
    }

    fn resource_field(&mut self, expr: &IdedExpr, kind: &'s KindSchema, key: &str) -> Type<'s> {
        for side in [&kind.arguments, &kind.attributes] {
            if let Some(schema) = side.property(key) {
                return Type::Node { schema, of: kind, path: key.to_owned() };
            }
        }
        if !["id", "address"].contains(&key) {
            let names = kind.arguments.properties().chain(kind.attributes.properties()).map(|(name, _)| name.as_str());
            let help = did_you_mean(key, names);
            self.problem(expr, format!("`{key}` is not a field of {}", kind.name), help);
        }
        Type::Any
    }

    fn call(&mut self, expr: &IdedExpr, call: &CallExpr) -> Type<'s> {
        let target = call.target.as_ref().map(|target| self.walk(target));
        let args: Vec<Type<'s>> = call.args.iter().map(|arg| self.walk(arg)).collect();
        target.iter().chain(&args).for_each(|used| self.note(used));
        match (call.func_name.as_str(), &args[..]) {
            (op::EQUALS | op::NOT_EQUALS, [left, right]) => {
                self.compare(&call.args[1], left);
                self.compare(&call.args[0], right);
                Type::Bool
            }
            (op::IN, [left, _]) => {
                if let Expr::List(list) = &call.args[1].expr {
                    list.elements.iter().for_each(|item| self.compare(item, left));
                }
                Type::Bool
            }
            (op::INDEX, [base, _]) => self.index(expr, base.clone(), &call.args[1]),
            (op::CONDITIONAL, [_, yes, _]) => yes.clone(),
            (op::ADD, [left, _]) => left.clone(),
            (op::SUBSTRACT | op::MULTIPLY | op::NEGATE, _) => Type::Any,
            (name, _) if is_operator(name) => Type::Bool,
            (name, _) => self.function(expr, call, name, target.as_ref().or(args.first())),
        }
    }

    fn function(&mut self, expr: &IdedExpr, call: &CallExpr, name: &str, first: Option<&Type<'s>>) -> Type<'s> {
        let Some(function) = FUNCTIONS.iter().find(|function| function.name == name) else {
            let help = did_you_mean(name, FUNCTIONS.iter().map(|function| function.name));
            self.problem(expr, format!("`{name}` is no function"), help);
            return Type::Any;
        };
        let given = call.args.len() + usize::from(call.target.is_some());
        if given != function.arguments || function.method != call.target.is_some() {
            let form = if function.method { format!("x.{name}(…)") } else { format!("{name}(…)") };
            let text = format!("`{name}` is called as {form} with {} in all", function.arguments);
            self.problem(expr, text, Some(function.describe.to_owned()));
        }
        match name {
            "matches" => {
                if let Some(Expr::Literal(LiteralValue::String(pattern))) = call.args.first().map(|arg| &arg.expr)
                    && regex::Regex::new(pattern.inner()).is_err()
                {
                    self.problem(expr, format!("`{}` is no regular expression", pattern.inner()), None);
                }
                Type::Bool
            }
            "statements" => {
                if let Some(Type::Node { schema, of, path }) = first
                    && !is_policy(schema)
                {
                    self.problem(expr, format!("{}.{path} is no policy document", of.name), None);
                }
                Type::Statements
            }
            "size" | "lowerAscii" => Type::Any,
            _ => Type::Bool,
        }
    }

    fn index(&mut self, expr: &IdedExpr, base: Type<'s>, index: &IdedExpr) -> Type<'s> {
        match (&index.expr, base) {
            (Expr::Literal(LiteralValue::String(key)), base) => self.field(expr, base, key.inner()),
            (_, base) => match element(&base) {
                Some(element) => element,
                None => {
                    self.problem(expr, "this has no positions".to_owned(), None);
                    Type::Any
                }
            },
        }
    }

    /// A text compared with an enumeration has to be one of its values.
    fn compare(&mut self, literal: &IdedExpr, other: &Type<'s>) {
        let (Expr::Literal(LiteralValue::String(text)), Type::Node { schema, of, path }) = (&literal.expr, other)
        else {
            return;
        };
        let wrong = match enum_values(schema) {
            Some(values) => !values.is_empty() && !values.contains(&text.inner()),
            None => matches!(shape(schema), Shape::Boolean | Shape::Integer | Shape::Number),
        };
        if wrong {
            let values = enum_values(schema).unwrap_or_default();
            let help = did_you_mean(text.inner(), values.iter().copied())
                .or_else(|| Some(format!("it is {}", describe(schema))));
            self.problem(literal, format!("`{}` is never the value of {}.{path}", text.inner(), of.name), help);
        }
    }
}

fn is_operator(name: &str) -> bool {
    name.contains('_') && !name.chars().any(char::is_alphanumeric) || name.starts_with('@')
}

/// `filter` adds its loop variable itself.
fn keeps_items(loop_: &cel::common::ast::ComprehensionExpr) -> bool {
    let Expr::Call(choice) = &loop_.loop_step.expr else { return false };
    let Some(Expr::Call(add)) = choice.args.get(1).map(|arg| &arg.expr) else { return false };
    let Some(Expr::List(list)) = add.args.get(1).map(|arg| &arg.expr) else { return false };
    matches!(list.elements.first().map(|item| &item.expr), Some(Expr::Ident(name)) if *name == loop_.iter_var)
}

fn element<'s>(list: &Type<'s>) -> Option<Type<'s>> {
    match list {
        Type::Kinds(kind) => Some(Type::Kind(kind)),
        Type::Statements => Some(Type::Statement),
        Type::Conditions => Some(Type::Condition),
        Type::Any => Some(Type::Any),
        Type::Node { schema, of, path } => match shape(unwrap_nullable(schema)) {
            Shape::Array(items) => Some(Type::Node { schema: items, of, path: format!("{path}[]") }),
            Shape::Map(_) | Shape::Any => Some(Type::Any),
            _ => None,
        },
        _ => None,
    }
}

fn is_policy(schema: &Value) -> bool {
    let marked = |node: &Value| node.get("x-policy").and_then(Value::as_bool) == Some(true);
    marked(schema) || marked(unwrap_nullable(schema)) || matches!(shape(schema), Shape::Any)
}

fn properties(schema: &Value) -> Vec<String> {
    let inner = unwrap_nullable(schema);
    inner.get("properties").and_then(Value::as_object).map_or_else(Vec::new, |map| map.keys().cloned().collect())
}

/// Offers the nearest known name, where one is near.
pub(crate) fn did_you_mean<'n>(name: &str, known: impl IntoIterator<Item = &'n str>) -> Option<String> {
    let near = |known: &'n str| (strsim::damerau_levenshtein(name, known), known);
    let (distance, best) = known.into_iter().map(near).min()?;
    (distance <= name.len().div_ceil(3).max(1)).then(|| format!("did you mean `{best}`?"))
}
