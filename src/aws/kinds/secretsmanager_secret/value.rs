//! The value of a secret: where it comes from, and its text on the way to AWS.
//!
//! The text exists in a [`SecretText`] only: it has no `Debug`, no `Serialize`, and is wiped when it is
//! dropped. What is recorded of a value is its source, never the text or anything derived from it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use zeroize::{Zeroize, Zeroizing};

use crate::aws::resource::{Problem, SecretValues, yes};
use crate::aws::tags::Tags;
use crate::aws::{AwsError, ErrorClass};

/// The largest value that Secrets Manager takes, in bytes.
const BYTES_MAX: usize = 65_536;

const LETTERS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const DIGITS: &str = "0123456789";
const SYMBOLS: &str = "!#$%&()*+,-./:;<=>?@[]^_{|}~";

/// Where the value of a secret comes from. Exactly one of the three.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// The name of an environment variable of the process that applies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_env: Option<String>,
    /// The path of a file beside the spec; one line break at its end is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_file: Option<String>,
    /// A random text that nobody ever sees.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generate: Option<Generate>,
}

/// How a value is generated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Generate {
    /// The number of characters.
    #[serde(default = "thirty_two")]
    #[schemars(range(min = 16, max = 4096))]
    pub length: u32,
    /// Whether it has symbols besides letters and digits.
    #[serde(default = "yes")]
    pub symbols: bool,
    /// Characters that it may not have.
    #[serde(default)]
    pub exclude: String,
    /// Where set, the value is a JSON object that has the generated text under this key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub json_key: Option<String>,
    /// Further texts of that JSON object that are no secret, such as a user name.
    #[serde(default)]
    pub json_fields: Tags,
}

fn thirty_two() -> u32 {
    32
}

/// A secret text, wiped when it is dropped.
pub(super) struct SecretText(Zeroizing<String>);

impl SecretText {
    /// Returns the text, for the one call that sends it.
    pub(super) fn expose(&self) -> String {
        self.0.as_str().to_owned()
    }
}

impl Source {
    /// Gets the text from where it comes from.
    ///
    /// # Errors
    /// Names the variable or file that is not there; never a part of the text.
    pub(super) fn text(&self, secrets: &dyn SecretValues) -> Result<SecretText, AwsError> {
        let text = if let Some(name) = &self.from_env {
            let missing = || fault(format!("the environment variable `{name}` is not set"));
            Zeroizing::new(secrets.variable(name).ok_or_else(missing)?)
        } else if let Some(path) = &self.from_file {
            let missing = || fault(format!("the file `{path}` can't be read"));
            let mut text = Zeroizing::new(secrets.file(path).ok_or_else(missing)?);
            for end in ["\n", "\r"] {
                if text.ends_with(end) {
                    text.pop();
                }
            }
            text
        } else if let Some(generate) = &self.generate {
            generate.text()?
        } else {
            return Err(fault("the secret's value has no source".to_owned()));
        };
        if text.is_empty() {
            return Err(fault("the secret's value is empty".to_owned()));
        }
        if text.len() > BYTES_MAX {
            return Err(fault(format!("the secret's value has more than {BYTES_MAX} bytes")));
        }
        Ok(SecretText(text))
    }
}

impl Generate {
    /// Makes a text with at least one character of each class that is asked for.
    fn text(&self) -> Result<Zeroizing<String>, AwsError> {
        let classes = [LETTERS, DIGITS, if self.symbols { SYMBOLS } else { "" }];
        let allowed = |class: &&str| class.chars().filter(|c| !self.exclude.contains(*c)).collect::<Vec<char>>();
        let classes: Vec<Vec<char>> = classes.iter().map(allowed).filter(|class| !class.is_empty()).collect();
        let all: Vec<char> = classes.concat();
        if all.len() < 10 {
            return Err(fault("`exclude` leaves fewer than ten characters to choose from".to_owned()));
        }
        let mut text = Zeroizing::new(String::new());
        loop {
            for _ in 0..self.length {
                text.push(all[below(all.len())?]);
            }
            // Drawn again as a whole, so that every allowed text is equally likely.
            if classes.iter().all(|class| text.chars().any(|c| class.contains(&c))) {
                break;
            }
            text.zeroize();
        }
        let Some(key) = &self.json_key else { return Ok(text) };
        let mut object: Map<String, Value> =
            self.json_fields.iter().map(|(key, value)| (key.clone(), Value::from(value.as_str()))).collect();
        object.insert(key.clone(), Value::from(text.as_str()));
        Ok(Zeroizing::new(Value::Object(object).to_string()))
    }
}

/// Draws a number below `bound` (at most 256) from the operating system's generator, without bias.
fn below(bound: usize) -> Result<usize, AwsError> {
    let end = 256 - 256 % bound;
    loop {
        let mut byte = [0u8; 1];
        getrandom::fill(&mut byte).map_err(|error| fault(format!("the system gives no random bytes: {error}")))?;
        let drawn = usize::from(byte[0]);
        if drawn < end {
            return Ok(drawn % bound);
        }
    }
}

fn fault(message: String) -> AwsError {
    AwsError::own("opora:SecretValue", ErrorClass::NoSecretValue, "NoSecretValue", message)
}

/// Says why a value that comes from outside is not there, where it is not.
pub(super) fn missing(value: &Value, secrets: &dyn SecretValues) -> Option<AwsError> {
    let source: Source = serde_json::from_value(value.clone()).ok()?;
    source.generate.is_none().then(|| source.text(secrets).err())?
}

/// Checks that a value has one source.
pub(super) fn check(value: &Value) -> Vec<Problem> {
    let set = |name: &str| value.get(name).is_some_and(|value| !value.is_null());
    let sources = ["from_env", "from_file", "generate"].iter().filter(|name| set(name)).count();
    let mut out = Vec::new();
    if sources != 1 {
        out.push(Problem::new("value", "a value has exactly one of `from_env`, `from_file` and `generate`"));
    }
    let generate = value.get("generate");
    let fields = generate.and_then(|value| value.get("json_fields")).and_then(Value::as_object);
    let key = generate.and_then(|value| value.get("json_key")).and_then(Value::as_str);
    if let Some(fields) = fields.filter(|fields| !fields.is_empty()) {
        match key {
            None => out.push(Problem::new("value.generate.json_fields", "`json_fields` needs `json_key`")),
            Some(key) if fields.contains_key(key) => {
                out.push(Problem::new("value.generate.json_fields", "`json_key` is one of `json_fields`"));
            }
            Some(_) => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    struct Fixed;

    impl SecretValues for Fixed {
        fn variable(&self, name: &str) -> Option<String> {
            (name == "TOKEN").then(|| "s3cret".to_owned())
        }

        fn file(&self, path: &str) -> Option<String> {
            (path == "token.txt").then(|| "s3cret\r\n".to_owned())
        }
    }

    fn text(source: Value) -> Result<String, String> {
        let source: Source = serde_json::from_value(source).unwrap();
        source.text(&Fixed).map(|text| text.expose()).map_err(|error| error.message)
    }

    #[test]
    fn values_come_from_their_source() {
        assert_eq!(text(json!({ "from_env": "TOKEN" })).unwrap(), "s3cret");
        assert_eq!(text(json!({ "from_file": "token.txt" })).unwrap(), "s3cret");
        assert_eq!(text(json!({ "from_env": "NONE" })).unwrap_err(), "the environment variable `NONE` is not set");
        assert_eq!(text(json!({ "from_file": "none" })).unwrap_err(), "the file `none` can't be read");
    }

    #[test]
    fn a_source_outside_is_looked_for() {
        let problem = |value| missing(&value, &Fixed).map(|error| error.message);
        assert_eq!(problem(json!({ "from_env": "TOKEN" })), None);
        assert_eq!(problem(json!({ "from_env": "NONE" })).unwrap(), "the environment variable `NONE` is not set");
        assert_eq!(problem(json!({ "generate": {} })), None);
    }

    #[test]
    fn generated_values_keep_to_their_rules() {
        for _ in 0..50 {
            let value = text(json!({ "generate": { "length": 16, "exclude": "abc$" } })).unwrap();
            assert_eq!(value.len(), 16);
            assert!(!value.contains(['a', 'b', 'c', '$']));
            for class in [LETTERS, DIGITS, SYMBOLS] {
                assert!(value.contains(|c| class.contains(c)), "{value}");
            }
            let value = text(json!({ "generate": { "symbols": false } })).unwrap();
            assert!(value.len() == 32 && value.chars().all(|c| c.is_ascii_alphanumeric()));
        }
        assert_ne!(text(json!({ "generate": {} })), text(json!({ "generate": {} })));
        let object =
            text(json!({ "generate": { "json_key": "password", "json_fields": { "user": "a\"b" } } })).unwrap();
        let object: Value = serde_json::from_str(&object).unwrap();
        assert_eq!(object["user"], "a\"b");
        assert_eq!(object["password"].as_str().unwrap().len(), 32);
        assert!(text(json!({ "generate": { "exclude": format!("{LETTERS}{SYMBOLS}12") } })).is_err());
    }

    #[test]
    fn a_value_has_one_source() {
        for (value, problems) in [
            (json!({ "from_env": "A" }), 0),
            (json!({}), 1),
            (json!({ "from_env": "A", "generate": {} }), 1),
            (json!({ "generate": { "json_fields": { "a": "b" } } }), 1),
            (json!({ "generate": { "json_key": "a", "json_fields": { "a": "b" } } }), 1),
        ] {
            assert_eq!(check(&value).len(), problems, "{value}");
        }
    }
}
