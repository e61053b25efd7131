//! Texts in place of a model's: made of the question, the same each time.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Characters of one token, about.
const TOKEN_CHARS: usize = 4;
const MAX_TOKENS_DEFAULT: u64 = 4096;

/// An answer with the reason for its end.
pub(super) struct Reply {
    pub(super) text: String,
    pub(super) stop: &'static str,
    pub(super) tokens: u64,
}

/// Counts the tokens of a text.
pub(super) fn tokens(text: &str) -> u64 {
    text.chars().count().div_ceil(TOKEN_CHARS) as u64
}

/// Answers a question: says which model was asked and what, and a number that depends on every letter of it.
pub(super) fn answer(model: &str, question: &str, max_tokens: Option<u64>, stops: &[&str]) -> Reply {
    let digest = hex::encode(&Sha256::digest(format!("{model}\n{question}"))[..4]);
    let mut text = format!("[sandbox {model} {digest}] You asked: {question}");
    let mut stop = "end_turn";
    let first = stops.iter().filter(|stop| !stop.is_empty()).filter_map(|stop| text.find(stop)).min();
    if let Some(at) = first {
        text.truncate(at);
        stop = "stop_sequence";
    }
    let limit = max_tokens.unwrap_or(MAX_TOKENS_DEFAULT);
    if tokens(&text) > limit {
        let letters = usize::try_from(limit).unwrap_or(usize::MAX).saturating_mul(TOKEN_CHARS);
        text = text.chars().take(letters).collect();
        stop = "max_tokens";
    }
    let tokens = tokens(&text);
    Reply { text, stop, tokens }
}

/// Calls a tool where the request leaves no choice, with an input that has all that its schema requires.
pub(super) fn tool_call(input: &Value, question: &str) -> Option<Value> {
    let config = input.get("toolConfig")?;
    let tools = config["tools"].as_array()?;
    let named = config["toolChoice"]["tool"]["name"].as_str();
    if named.is_none() && config["toolChoice"].get("any").is_none() {
        return None;
    }
    let specs: Vec<&Value> = tools.iter().filter_map(|tool| tool.get("toolSpec")).collect();
    let spec = specs.into_iter().find(|spec| named.is_none_or(|name| spec["name"] == name))?;
    let schema = &spec["inputSchema"]["json"];
    let mut made = json!({});
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        made[name] = match schema["properties"][name]["type"].as_str() {
            Some("integer" | "number") => json!(question.chars().count()),
            Some("boolean") => json!(true),
            Some("array") => json!([]),
            Some("object") => json!({}),
            _ => json!(question),
        };
    }
    let digest = hex::encode(&Sha256::digest(question)[..8]);
    Some(json!({"toolUse": {"toolUseId": format!("tooluse_{digest}"), "name": spec["name"], "input": made}}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_depends_on_the_question_and_ends_where_it_should() {
        let plain = answer("m", "why?", None, &[]);
        assert_eq!((plain.stop, plain.text.clone()), ("end_turn", answer("m", "why?", None, &[]).text));
        assert_ne!(plain.text, answer("m", "why!", None, &[]).text);
        let short = answer("m", "why?", Some(3), &[]);
        assert_eq!((short.stop, short.tokens), ("max_tokens", 3));
        let stopped = answer("m", "why?", None, &["You"]);
        assert_eq!(stopped.stop, "stop_sequence");
        assert!(!stopped.text.contains("You"));
    }
}
