//! Finds `$( … )` in texts, and the names that an expression uses.
//!
//! Expressions have no local variables, so every name that is not a filter, a test, a function or a keyword
//! is a reference, and a plain scan finds all of them with their places. Evaluation is minijinja's; this
//! module only reads.

use std::ops::Range;

/// A piece of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    Text(String),
    /// What stands between the parentheses, and where.
    Expression {
        source: String,
        range: Range<usize>,
    },
}

/// An expression that has no end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unclosed(pub Range<usize>);

/// Tells whether a text has to be evaluated.
pub(crate) fn has_expression(text: &str) -> bool {
    text.contains("$(")
}

/// Splits a text; `$$(` is a literal `$(`.
pub(crate) fn split(text: &str) -> Result<Vec<Part>, Unclosed> {
    let mut out = Vec::new();
    let mut literal = String::new();
    let mut at = 0;
    while let Some(found) = text[at..].find("$(") {
        let start = at + found;
        if text[..start].ends_with('$') && start > at {
            literal.push_str(&text[at..start - 1]);
            literal.push_str("$(");
            at = start + 2;
            continue;
        }
        literal.push_str(&text[at..start]);
        let end = closing(text, start + 2).ok_or(Unclosed(start..text.len()))?;
        if !literal.is_empty() {
            out.push(Part::Text(std::mem::take(&mut literal)));
        }
        out.push(Part::Expression { source: text[start + 2..end].to_owned(), range: start + 2..end });
        at = end + 1;
    }
    literal.push_str(&text[at..]);
    if !literal.is_empty() || out.is_empty() {
        out.push(Part::Text(literal));
    }
    Ok(out)
}

/// Returns the place of the parenthesis that closes the one before `from`.
fn closing(text: &str, from: usize) -> Option<usize> {
    let mut open = 1;
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in text[from..].char_indices() {
        match (quote, c) {
            (Some(_), _) if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(mark), _) if c == mark => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '(') => open += 1,
            (None, ')') => {
                open -= 1;
                if open == 0 {
                    return Some(from + at);
                }
            }
            (None, _) => {}
        }
    }
    None
}

/// A name with the literal steps after it: `subnet.private["a"].id`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chain {
    pub steps: Vec<Step>,
    pub range: Range<usize>,
    /// Whether a computed index or a method call follows.
    pub dynamic: bool,
}

/// One step of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    pub name: String,
    pub range: Range<usize>,
    /// Whether it is written in brackets.
    pub bracket: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Ident(String),
    Text(String),
    Number(String),
    Sign(char),
}

const KEYWORDS: [&str; 13] =
    ["not", "and", "or", "in", "is", "if", "else", "true", "false", "none", "True", "False", "None"];

/// The most brackets in an expression that [`passes_on`] looks into; it recurses once per open one.
const NESTING_MAX: usize = 100;

type Spanned = (Token, Range<usize>);

fn tokens(source: &str) -> Vec<Spanned> {
    let mut out = Vec::new();
    let mut chars = source.char_indices().peekable();
    while let Some((start, c)) = chars.next() {
        let mut end = start + c.len_utf8();
        let token = if c.is_whitespace() {
            continue;
        } else if c.is_alphabetic() || c == '_' {
            while let Some((at, next)) = chars.next_if(|(_, next)| next.is_alphanumeric() || *next == '_') {
                end = at + next.len_utf8();
            }
            Token::Ident(source[start..end].to_owned())
        } else if c.is_ascii_digit() {
            while let Some((at, next)) = chars.next_if(|(_, next)| next.is_ascii_digit() || *next == '_') {
                end = at + next.len_utf8();
            }
            Token::Number(source[start..end].to_owned())
        } else if c == '"' || c == '\'' {
            let mut text = String::new();
            while let Some((at, next)) = chars.next() {
                end = at + next.len_utf8();
                match next {
                    '\\' => {
                        if let Some((at, escaped)) = chars.next() {
                            end = at + escaped.len_utf8();
                            text.push(escaped);
                        }
                    }
                    _ if next == c => break,
                    _ => text.push(next),
                }
            }
            Token::Text(text)
        } else {
            Token::Sign(c)
        };
        out.push((token, start..end));
    }
    out
}

/// Returns all names that an expression takes from its surroundings.
pub(crate) fn chains(source: &str) -> Vec<Chain> {
    let tokens = tokens(source);
    let mut out = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        match reference(&tokens, at) {
            Some((chain, next)) => {
                out.push(chain);
                at = next;
            }
            None => at += 1,
        }
    }
    out
}

fn sign(tokens: &[Spanned], at: usize) -> Option<char> {
    match tokens.get(at) {
        Some((Token::Sign(c), _)) => Some(*c),
        _ => None,
    }
}

fn reference(tokens: &[Spanned], at: usize) -> Option<(Chain, usize)> {
    let (Token::Ident(name), range) = &tokens[at] else { return None };
    let before = at.checked_sub(1);
    let word = |index: usize, word: &str| matches!(&tokens[index].0, Token::Ident(name) if name == word);
    let is_test = before
        .is_some_and(|at| word(at, "is") || (word(at, "not") && at.checked_sub(1).is_some_and(|at| word(at, "is"))));
    let follows_sign = before.and_then(|at| sign(tokens, at));
    let called = sign(tokens, at + 1) == Some('(');
    let names_argument = sign(tokens, at + 1) == Some('=') && sign(tokens, at + 2) != Some('=');
    if KEYWORDS.contains(&name.as_str())
        || matches!(follows_sign, Some('.' | '|'))
        || is_test
        || called
        || names_argument
    {
        return None;
    }
    let mut chain = Chain {
        steps: vec![Step { name: name.clone(), range: range.clone(), bracket: false }],
        range: range.clone(),
        dynamic: false,
    };
    let mut next = at + 1;
    loop {
        match (sign(tokens, next), tokens.get(next + 1), sign(tokens, next + 2)) {
            (Some('.'), Some((Token::Ident(name), range)), after) => {
                if after == Some('(') {
                    chain.dynamic = true;
                    break;
                }
                chain.steps.push(Step { name: name.clone(), range: range.clone(), bracket: false });
                chain.range.end = range.end;
                next += 2;
            }
            (Some('['), Some((Token::Text(name) | Token::Number(name), range)), Some(']')) => {
                chain.steps.push(Step { name: name.clone(), range: range.clone(), bracket: true });
                chain.range.end = tokens[next + 2].1.end;
                next += 3;
            }
            (Some('['), ..) => {
                chain.dynamic = true;
                break;
            }
            _ => break,
        }
    }
    Some((chain, next))
}

/// Tells whether an expression only passes values on, so that unknown ones may stay inside its result.
///
/// That is: references, literals, lists, maps, `~`, `policy("…", name=…)`, and filters that only pick items. All else
/// computes.
pub(crate) fn passes_on(source: &str) -> bool {
    let tokens = tokens(source);
    let openings = tokens.iter().filter(|(token, _)| matches!(token, Token::Sign('(' | '[' | '{'))).count();
    if openings > NESTING_MAX {
        return false;
    }
    matches!(concatenation(&tokens, 0), Some(end) if end == tokens.len())
}

fn concatenation(tokens: &[Spanned], at: usize) -> Option<usize> {
    let mut at = filtered(tokens, at)?;
    while sign(tokens, at) == Some('~') {
        at = filtered(tokens, at + 1)?;
    }
    Some(at)
}

/// Filters that pick items and look at none: `values`, `list`, `first`, `last`, `reverse`, `map(attribute="…")`.
const PICKING: [&str; 5] = ["values", "list", "first", "last", "reverse"];

fn filtered(tokens: &[Spanned], at: usize) -> Option<usize> {
    let mut at = operand(tokens, at)?;
    while sign(tokens, at) == Some('|') {
        let (Token::Ident(name), _) = tokens.get(at + 1)? else { return None };
        if PICKING.contains(&name.as_str()) && sign(tokens, at + 2) != Some('(') {
            at += 2;
            continue;
        }
        let token = |offset: usize| tokens.get(at + offset).map(|(token, _)| token);
        let picks = name == "map"
            && sign(tokens, at + 2) == Some('(')
            && token(3) == Some(&Token::Ident("attribute".to_owned()))
            && sign(tokens, at + 4) == Some('=')
            && matches!(token(5), Some(Token::Text(_)))
            && sign(tokens, at + 6) == Some(')');
        if !picks {
            return None;
        }
        at += 7;
    }
    Some(at)
}

fn operand(tokens: &[Spanned], at: usize) -> Option<usize> {
    match &tokens.get(at)?.0 {
        Token::Text(_) => Some(at + 1),
        Token::Number(_) if sign(tokens, at + 1) == Some('.') => None,
        Token::Number(_) => Some(at + 1),
        Token::Sign('(') => {
            let end = concatenation(tokens, at + 1)?;
            (sign(tokens, end) == Some(')')).then_some(end + 1)
        }
        Token::Sign('[') => list(tokens, at + 1, ']', &concatenation),
        Token::Sign('{') => list(tokens, at + 1, '}', &|tokens, at| match (&tokens.get(at)?.0, sign(tokens, at + 1)) {
            (Token::Text(_), Some(':')) => concatenation(tokens, at + 2),
            _ => None,
        }),
        Token::Sign(_) => None,
        Token::Ident(name) if name == "policy" && sign(tokens, at + 1) == Some('(') => {
            list(tokens, at + 2, ')', &|tokens, at| match (&tokens.get(at)?.0, sign(tokens, at + 1)) {
                (Token::Ident(_), Some('=')) => concatenation(tokens, at + 2),
                _ => concatenation(tokens, at),
            })
        }
        Token::Ident(name) if ["true", "false", "none"].contains(&name.as_str()) => Some(at + 1),
        Token::Ident(_) => {
            let (_, mut at) = reference(tokens, at)?;
            while sign(tokens, at) == Some('[') {
                at = concatenation(tokens, at + 1)?;
                if sign(tokens, at) != Some(']') {
                    return None;
                }
                at += 1;
                while let (Some('.'), Some((Token::Ident(_), _))) = (sign(tokens, at), tokens.get(at + 1)) {
                    at += 2;
                }
            }
            Some(at)
        }
    }
}

type Item<'i> = &'i dyn Fn(&[Spanned], usize) -> Option<usize>;

fn list(tokens: &[Spanned], mut at: usize, close: char, item: Item<'_>) -> Option<usize> {
    loop {
        if sign(tokens, at) == Some(close) {
            return Some(at + 1);
        }
        at = item(tokens, at)?;
        match sign(tokens, at) {
            Some(',') => at += 1,
            Some(c) if c == close => {}
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expression(text: &str) -> String {
        match &split(text).unwrap()[..] {
            [Part::Expression { source, .. }] => source.clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_end_is_found_outside_string_literals() {
        assert_eq!(expression("$(a(b) ~ \")\" ~ ')\\')')"), "a(b) ~ \")\" ~ ')\\')'");
        let parts = split("x-$(a)-$$(b)-$(c)").unwrap();
        let shown: Vec<_> = parts
            .iter()
            .map(|part| match part {
                Part::Text(text) => format!("t:{text}"),
                Part::Expression { source, range } => format!("e:{source}@{}", range.start),
            })
            .collect();
        assert_eq!(shown, ["t:x-", "e:a@4", "t:-$(b)-", "e:c@15"]);
        assert_eq!(split("a $(b"), Err(Unclosed(2..5)));
        assert_eq!(split("").unwrap(), [Part::Text(String::new())]);
        assert_eq!(split("$5 $$ (x)").unwrap(), [Part::Text("$5 $$ (x)".to_owned())]);
    }

    #[track_caller]
    fn check(source: &str, expected: &[&str]) {
        let found: Vec<String> = chains(source)
            .iter()
            .map(|chain| {
                let steps: Vec<_> = chain.steps.iter().map(|step| step.name.as_str()).collect();
                format!("{}{}", steps.join("/"), if chain.dynamic { "*" } else { "" })
            })
            .collect();
        assert_eq!(found, expected, "{source}");
    }

    #[test]
    fn names_are_found_and_nothing_else() {
        check("vpc.main.cidr | subnet(prefix=20, index=each.index)", &["vpc/main/cidr", "each/index"]);
        check("policy('a/b', users=[iam_role.t.arn], x = y)", &["iam_role/t/arn", "y"]);
        check("subnet.private[\"us-east-1a\"].id ~ 'not.this'", &["subnet/private/us-east-1a/id"]);
        check("subnet.private[each.key].id", &["subnet/private*", "each/key"]);
        check("a.b if c is defined and d is not none else e == f", &["a/b", "c", "d", "e", "f"]);
        check("a.upper() ~ b[0].c ~ 1.5", &["a*", "b/0/c"]);
        check("x | default(y) | join(',')", &["x", "y"]);
    }

    #[test]
    fn what_computes_is_told_from_what_passes_on() {
        for source in [
            "a.b",
            "[a.b, 'x' ~ c]",
            "{'k': a.b}",
            "policy('x', users=[a.b], n=1)",
            "s.p[each.key].id",
            "('a' ~ b)",
            "s.p | values | map(attribute='id') | list",
        ] {
            assert!(passes_on(source), "{source}");
        }
        for source in [
            "a | upper",
            "a if b else c",
            "a + b",
            "f(a)",
            "[a | x]",
            "a == b",
            "-a",
            "a.b(",
            "policy('x') | tojson",
            "s.p | map('upper')",
        ] {
            assert!(!passes_on(source), "{source}");
        }
    }
}
