//! Filter patterns: words with `-` and `?`, quoted phrases, `%regular expressions%`, and JSON selectors.
//!
//! Pure. Space-delimited patterns in brackets are refused as not simulated, never ignored.

use regex::Regex;
use serde_json::Value;

/// A parsed pattern.
#[derive(Debug)]
pub(super) enum Pattern {
    /// All texts of the first list, at least one of the second if it has any, none of the third.
    Words { all: Vec<Word>, any: Vec<Word>, none: Vec<Word> },
    /// A condition on a JSON message.
    Json(Condition),
}

/// One term of a text pattern.
#[derive(Debug)]
pub(super) enum Word {
    Text(String),
    Expression(Box<Regex>),
}

/// A condition of a JSON pattern.
#[derive(Debug)]
pub(super) enum Condition {
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Test { path: Vec<String>, operator: String, value: String },
}

impl Word {
    fn parse(text: &str) -> Result<Self, String> {
        match text.strip_prefix('%').and_then(|rest| rest.strip_suffix('%')) {
            Some(inner) if !inner.is_empty() => {
                let expression = Regex::new(inner).map_err(|_| format!("Invalid regular expression: {inner}"))?;
                Ok(Word::Expression(Box::new(expression)))
            }
            _ => Ok(Word::Text(text.to_owned())),
        }
    }

    fn fits(&self, message: &str) -> bool {
        match self {
            Word::Text(text) => message.contains(text.as_str()),
            Word::Expression(expression) => expression.is_match(message),
        }
    }
}

impl Pattern {
    /// Reads a pattern.
    pub(super) fn parse(pattern: &str) -> Result<Self, String> {
        let pattern = pattern.trim();
        if pattern.starts_with('[') {
            return Err("The sandbox does not simulate space-delimited filter patterns".to_owned());
        }
        if let Some(inner) = pattern.strip_prefix('{') {
            let inner = inner.strip_suffix('}').ok_or("Invalid filter pattern: a closing brace is missing")?;
            return Ok(Pattern::Json(condition(inner)?));
        }
        let (mut all, mut any, mut none) = (Vec::new(), Vec::new(), Vec::new());
        for word in words(pattern)? {
            match word.chars().next() {
                Some('-') if word.len() > 1 => none.push(Word::parse(word[1..].trim_matches('"'))?),
                Some('?') if word.len() > 1 => any.push(Word::parse(word[1..].trim_matches('"'))?),
                _ => all.push(Word::parse(word.trim_matches('"'))?),
            }
        }
        Ok(Pattern::Words { all, any, none })
    }

    /// Tells whether a message fits.
    pub(super) fn fits(&self, message: &str) -> bool {
        match self {
            Pattern::Words { all, any, none } => {
                all.iter().all(|word| word.fits(message))
                    && (any.is_empty() || any.iter().any(|word| word.fits(message)))
                    && !none.iter().any(|word| word.fits(message))
            }
            Pattern::Json(condition) => {
                serde_json::from_str::<Value>(message).is_ok_and(|value| value.is_object() && condition.holds(&value))
            }
        }
    }
}

/// Splits a text pattern at spaces outside quotes; quotes stay.
fn words(pattern: &str) -> Result<Vec<String>, String> {
    let (mut out, mut word, mut quoted) = (Vec::new(), String::new(), false);
    for letter in pattern.chars() {
        if letter == '"' {
            quoted = !quoted;
        }
        if letter.is_whitespace() && !quoted {
            if !word.is_empty() {
                out.push(std::mem::take(&mut word));
            }
        } else {
            word.push(letter);
        }
    }
    if quoted {
        return Err("Invalid filter pattern: a closing quote is missing".to_owned());
    }
    if !word.is_empty() {
        out.push(word);
    }
    Ok(out)
}

/// Splits at an operator outside quotes and parentheses.
fn split<'t>(text: &'t str, operator: &str) -> Vec<&'t str> {
    let (mut out, mut start, mut depth, mut quoted) = (Vec::new(), 0, 0, false);
    let mut skip = 0;
    for (at, letter) in text.char_indices() {
        if at < skip {
            continue;
        }
        match letter {
            '"' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth -= 1,
            _ if !quoted && depth == 0 && text[at..].starts_with(operator) => {
                out.push(&text[start..at]);
                skip = at + operator.len();
                start = skip;
            }
            _ => {}
        }
    }
    out.push(&text[start..]);
    out
}

fn condition(text: &str) -> Result<Condition, String> {
    let text = text.trim();
    for (operator, make) in [("||", Condition::Any as fn(Vec<Condition>) -> Condition), ("&&", Condition::All)] {
        let parts = split(text, operator);
        if parts.len() > 1 {
            return Ok(make(parts.into_iter().map(condition).collect::<Result<_, _>>()?));
        }
    }
    if let Some(inner) = text.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) {
        return condition(inner);
    }
    let wrong = || format!("Invalid JSON filter pattern: {text}");
    let operators = ["!=", ">=", "<=", "=", ">", "<", " IS NOT ", " IS ", " EXISTS", " NOT EXISTS"];
    let found = operators.iter().filter_map(|operator| Some((text.find(operator)?, *operator)));
    let (at, operator) = found.min_by_key(|(at, operator)| (*at, usize::MAX - operator.len())).ok_or_else(wrong)?;
    let selector = text[..at].trim().strip_prefix("$.").ok_or_else(wrong)?;
    let path: Vec<String> = selector.split('.').map(str::to_owned).collect();
    let value = text[at + operator.len()..].trim().to_owned();
    Ok(Condition::Test { path, operator: operator.trim().to_owned(), value })
}

fn select<'v>(value: &'v Value, path: &[String]) -> Option<&'v Value> {
    path.iter().try_fold(value, |value, segment| {
        let (name, index) = match segment.split_once('[') {
            Some((name, rest)) => (name, rest.strip_suffix(']').and_then(|index| index.parse::<usize>().ok())),
            None => (segment.as_str(), None),
        };
        let value = value.get(name)?;
        match index {
            Some(index) => value.get(index),
            None => Some(value),
        }
    })
}

impl Condition {
    fn holds(&self, message: &Value) -> bool {
        match self {
            Condition::All(conditions) => conditions.iter().all(|condition| condition.holds(message)),
            Condition::Any(conditions) => conditions.iter().any(|condition| condition.holds(message)),
            Condition::Test { path, operator, value } => test(select(message, path), operator, value),
        }
    }
}

fn test(found: Option<&Value>, operator: &str, wanted: &str) -> bool {
    match operator {
        "EXISTS" => return found.is_some(),
        "NOT EXISTS" => return found.is_none(),
        _ => {}
    }
    let Some(found) = found else { return false };
    if let (Some(found), Ok(wanted)) = (found.as_f64(), wanted.parse::<f64>()) {
        return match operator {
            "=" => found == wanted,
            "!=" => found != wanted,
            ">" => found > wanted,
            "<" => found < wanted,
            ">=" => found >= wanted,
            "<=" => found <= wanted,
            _ => false,
        };
    }
    let same = match (found, wanted) {
        (Value::Null, "NULL") | (Value::Bool(true), "TRUE") | (Value::Bool(false), "FALSE") => true,
        (Value::String(text), wanted) => {
            let wanted = wanted.trim_matches('"');
            match wanted.strip_prefix('%').and_then(|rest| rest.strip_suffix('%')) {
                Some(inner) => Regex::new(inner).is_ok_and(|expression| expression.is_match(text)),
                None => super::super::documents::covers(wanted, text),
            }
        }
        _ => false,
    };
    match operator {
        "=" | "IS" => same,
        "!=" | "IS NOT" => !same,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(pattern: &str, message: &str) -> bool {
        Pattern::parse(pattern).unwrap().fits(message)
    }

    #[test]
    fn words_phrases_and_expressions() {
        for (pattern, expected) in [
            ("", true),
            ("ERROR", true),
            ("ERROR disk", true),
            ("ERROR net", false),
            ("\"disk full\"", true),
            ("\"full disk\"", false),
            ("-WARN ERROR", true),
            ("-disk", false),
            ("?net ?disk", true),
            ("?net ?cpu", false),
            ("%d[a-i]sk%", true),
        ] {
            assert_eq!(fits(pattern, "ERROR disk full"), expected, "{pattern}");
        }
        assert!(Pattern::parse("\"open").is_err());
        assert!(Pattern::parse("[a, b]").is_err());
    }

    #[test]
    fn json_selectors() {
        let message = r#"{"level":"error","code":503,"user":{"name":"ann"},"tags":["x"],"ok":false,"gone":null}"#;
        for (pattern, expected) in [
            ("{ $.level = \"error\" }", true),
            ("{ $.level = err* }", true),
            ("{ $.level != \"error\" }", false),
            ("{ $.code >= 500 && $.code < 600 }", true),
            ("{ $.code = 200 || $.user.name = \"ann\" }", true),
            ("{ ($.code = 200) || ($.user.name = \"bob\") }", false),
            ("{ $.tags[0] = \"x\" }", true),
            ("{ $.ok IS FALSE }", true),
            ("{ $.gone IS NULL }", true),
            ("{ $.none NOT EXISTS }", true),
            ("{ $.level EXISTS }", true),
        ] {
            assert_eq!(fits(pattern, message), expected, "{pattern}");
        }
        assert!(!fits("{ $.level = \"error\" }", "no json"));
        assert!(Pattern::parse("{ level = 1 }").is_err());
    }
}
