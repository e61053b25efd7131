//! `bedrock.converse`: one question to a Bedrock model, its answer streamed. Calls: bedrock:ConverseStream.
//!
//! Traps: a stream that is cut off looks like one that ended, so only the metadata frame makes it a success;
//! nothing times out by itself, so first byte, silence and the whole each have a timer; a call can't be found
//! again and is billed by what it produced, so it is never repeated without being asked for. The answer is
//! kept in the folder of results and never in the ledger.

use std::future::Future;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use aws_sdk_bedrockruntime::types::{
    ContentBlock, ContentBlockDelta, ConversationRole, ConverseStreamOutput, GuardrailStreamConfiguration,
    InferenceConfiguration, Message, StopReason, SystemContentBlock,
};
use aws_smithy_types::error::metadata::ProvideErrorMetadata as _;
use aws_types::request_id::RequestId as _;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::timer;
use crate::aws::{Aws, AwsError};
use crate::jobs::engine::{DataSet, Engine, LogCursor, LogPage, Order, Reading, Seen};
use crate::jobs::error::JobError;
use crate::jobs::fields::Fields;
use crate::jobs::folder;
use crate::jobs::price::{self, Stated, Tokens, WorstCase};
use crate::jobs::record::{Record, Remote, Stage, Usage};
use crate::jobs::run::{Event, Sending};
use crate::jobs::units::duration_text;
use crate::yaml::Node;

/// The file of an answer, and of what is known of it.
pub(crate) const ANSWER: &str = "answer.txt";
const FACTS: &str = "answer.json";
const PARTIAL: &str = "partial.txt";
const REQUEST: &str = "request.json";

/// Tokens that a chat template may add around each message, at most.
const TOKENS_AROUND_MESSAGE: u64 = 32;

/// The longest prompt that is read from a file, in bytes.
const PROMPT_BYTES_MAX: usize = 8 << 20;

const FIRST_BYTE: Duration = Duration::from_secs(120);
const IDLE: Duration = Duration::from_secs(60);

pub(crate) struct BedrockConverse;

/// The engine's fields, resolved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Spec {
    model: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    system: Option<String>,
    messages: Vec<Turn>,
    #[serde(skip_serializing_if = "Option::is_none")]
    guardrail: Option<Guardrail>,
    max_tokens: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    stop: Vec<String>,
    first_byte_seconds: u64,
    idle_seconds: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Turn {
    assistant: bool,
    text: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Guardrail {
    id: String,
    version: String,
}

/// What is known of a whole answer, beside its text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Facts {
    /// Of the text, in hex: proves that the two files belong together.
    sha256: String,
    stop_reason: String,
    request_id: Option<String>,
    usage: Usage,
}

#[async_trait]
impl Engine for BedrockConverse {
    const NAME: &'static str = "bedrock.converse";
    const DETACHED: bool = false;
    const FIELDS: &'static [&'static str] = &[
        "model",
        "system",
        "prompt",
        "messages",
        "guardrail",
        "max_tokens",
        "temperature",
        "top_p",
        "stop",
        "first_byte",
        "idle",
    ];
    type Spec = Spec;

    fn read(fields: &Fields<'_>, reading: &Reading<'_>) -> Option<Spec> {
        let seconds = |name: &str, default: Duration| {
            let max = reading.deadline.max(Duration::from_secs(1));
            fields.duration(name, Duration::from_secs(1), max).unwrap_or(default.min(max)).as_secs()
        };
        let model = fields.required_text("model", "model: amazon.nova-lite-v1:0");
        let system = fields.node("system").map(|node| prompt(fields, node, reading));
        let messages = read_messages(fields, reading);
        let guardrail = fields.node("guardrail").map(|_| read_guardrail(fields));
        let max_tokens =
            fields.required("max_tokens", "max_tokens: 512").and_then(|_| fields.integer("max_tokens", 1, 1_000_000));
        let stop = fields.texts("stop");
        if let Some(node) = fields.node("stop").filter(|_| stop.len() > 4) {
            fields.refuse(node, format!("{} stop sequences", stop.len()), "Bedrock takes up to 4");
        }
        Some(Spec {
            temperature: fields.number("temperature", 0.0, 1.0),
            top_p: fields.number("top_p", 0.0, 1.0),
            stop,
            first_byte_seconds: seconds("first_byte", FIRST_BYTE),
            idle_seconds: seconds("idle", IDLE),
            model: model?,
            // A field that is there and wrong was reported; it must not pass as absent.
            system: system.map_or(Some(None), |system| system.map(Some))?,
            messages: messages?,
            guardrail: guardrail.map_or(Some(None), |guardrail| guardrail.map(Some))?,
            max_tokens: u32::try_from(max_tokens?).unwrap_or(u32::MAX),
        })
    }

    fn summary(spec: &Spec) -> Value {
        json!({
            "model": spec.model,
            "guardrail": spec.guardrail,
            "max_tokens": spec.max_tokens,
            "temperature": spec.temperature,
            "messages": spec.messages.len(),
            "characters": characters(spec),
            "request_sha256": request_digest(spec),
        })
    }

    fn worst_case(spec: &Spec, _: Duration, region: &str, stated: &Stated) -> WorstCase {
        // No token is shorter than a byte.
        let bytes = spec.system.iter().map(String::len).chain(spec.messages.iter().map(|turn| turn.text.len()));
        let input = bytes.map(|bytes| bytes as u64 + TOKENS_AROUND_MESSAGE).sum();
        let output = u64::from(spec.max_tokens);
        match (price::model(&spec.model, Tokens { input, output }, region, stated), &spec.guardrail) {
            // A token of an answer rarely has more than a few characters; 8 is far above any average.
            (WorstCase::Known(cost), Some(_)) => {
                WorstCase::Known(cost.plus(price::guardrail(characters(spec) + 8 * output)))
            }
            (found, _) => found,
        }
    }

    fn cost(spec: &Value, usage: Usage, region: &str, stated: &Stated) -> WorstCase {
        let model = spec["model"].as_str().unwrap_or_default();
        match (usage.input_tokens, usage.output_tokens) {
            (Some(input), Some(output)) => price::model(model, Tokens { input, output }, region, stated),
            _ => WorstCase::Unknown("tokens that nobody counted".to_owned()),
        }
    }

    fn data(_: &Spec) -> Vec<DataSet> {
        Vec::new()
    }

    fn name(_: &str, job: &str, digest: &str, attempt: u32) -> String {
        format!("{job}-{}-{attempt}", &digest[..12])
    }

    async fn submit(sending: &Sending<'_>, order: Order<'_, Spec>) -> Result<Seen, JobError> {
        let id = &order.record.id;
        // Before the call: an answer that can't be kept should not be paid for.
        let request = json!({ "sha256": request_digest(order.spec), "at": sending.aws.now() });
        folder::write(sending.folder, id, REQUEST, request.to_string().as_bytes())?;
        let mut text = String::new();
        let facts = match receive(sending, order.spec, order.deadline, &mut text).await {
            Ok(facts) => facts,
            Err(broken) => {
                if !text.is_empty() {
                    folder::write(sending.folder, id, PARTIAL, text.as_bytes())?;
                }
                return Err(match broken {
                    Broken::Call(error) => JobError::Aws(*error),
                    Broken::Ledger(error) => *error,
                    Broken::Stream(reason) => JobError::CutOff { id: id.clone(), reason },
                });
            }
        };
        // The text first: facts without their text would be worth nothing.
        folder::write(sending.folder, id, ANSWER, text.as_bytes())?;
        let bytes = serde_json::to_vec_pretty(&facts).expect("internal error: facts have text keys only");
        folder::write(sending.folder, id, FACTS, &bytes)?;
        Ok(succeeded(id, facts))
    }

    async fn find(sending: &Sending<'_>, record: &Record) -> Result<Option<Seen>, JobError> {
        let facts = folder::read(sending.folder, &record.id, FACTS)?;
        let text = folder::read(sending.folder, &record.id, ANSWER)?;
        let (Some(facts), Some(text)) = (facts, text) else { return Ok(None) };
        let whole = serde_json::from_slice::<Facts>(&facts).ok();
        let whole = whole.filter(|facts| facts.sha256 == hex::encode(Sha256::digest(&text)));
        Ok(whole.map(|facts| succeeded(&record.id, facts)))
    }

    async fn poll(_: &Aws, record: &Record) -> Result<Seen, AwsError> {
        Ok(Seen { stage: record.stage, remote: record.remote.clone() })
    }

    async fn cancel(_: &Aws, record: &Record) -> Result<(), JobError> {
        let reason = "Bedrock can't take back what was sent".to_owned();
        Err(JobError::NotCancellable { id: record.id.clone(), reason })
    }

    async fn logs(_: &Aws, _: &Record, _: &LogCursor) -> Result<LogPage, AwsError> {
        let note = "Bedrock keeps no log of one call; the account's invocation logging has it where that is on";
        Ok(LogPage { note: Some(note), ..LogPage::default() })
    }
}

fn prompt(fields: &Fields<'_>, node: &Node, reading: &Reading<'_>) -> Option<String> {
    if node.as_map().is_none() {
        return node.as_str().filter(|text| !text.trim().is_empty()).map(str::to_owned).or_else(|| {
            fields.refuse(node, "this is no prompt", "write a text, or `{ file: prompt.txt }`");
            None
        });
    }
    let inner = Fields::new(node, &node.span, "a prompt", &["file"], fields.problems())?;
    let at = inner.required("file", "file: prompt.txt")?;
    let path = inner.text_of(at)?;
    let refuse = |label: String| inner.refuse(at, label, "name a text file, relative to the job file");
    match reading.files.read(&reading.folder.join(path)) {
        Ok(bytes) if bytes.len() > PROMPT_BYTES_MAX => refuse(format!("`{path}` has {} bytes", bytes.len())),
        Ok(bytes) => match String::from_utf8(bytes) {
            Ok(text) if !text.trim().is_empty() => return Some(text),
            Ok(_) => refuse(format!("`{path}` is empty")),
            Err(_) => refuse(format!("`{path}` is not UTF-8")),
        },
        Err(error) => refuse(format!("`{path}`: {error}")),
    }
    None
}

fn read_messages(fields: &Fields<'_>, reading: &Reading<'_>) -> Option<Vec<Turn>> {
    if let Some(node) = fields.node("messages") {
        if fields.node("prompt").is_some() {
            fields.refuse(node, "`prompt` is there too", "keep one of `prompt` and `messages`");
            return None;
        }
        let turns: Vec<Option<Turn>> =
            fields.items("messages").iter().map(|item| read_turn(fields, item, reading)).collect();
        let turns: Vec<Turn> = turns.into_iter().collect::<Option<_>>()?;
        let alternate = turns.iter().enumerate().all(|(at, turn)| turn.assistant == (at % 2 == 1));
        if turns.is_empty() || !alternate || turns.len().is_multiple_of(2) {
            fields.refuse(node, "these turns do not fit", "user and assistant take turns; the user is first and last");
            return None;
        }
        return Some(turns);
    }
    let node = fields.required("prompt", "prompt: Say hello.")?;
    Some(vec![Turn { assistant: false, text: prompt(fields, node, reading)? }])
}

fn read_turn(fields: &Fields<'_>, node: &Node, reading: &Reading<'_>) -> Option<Turn> {
    let turn = Fields::new(node, &node.span, "a message", &["role", "text", "file"], fields.problems())?;
    turn.required("role", "role: user")?;
    let role = turn.one_of("role", &["user", "assistant"]);
    let text = match turn.node("file") {
        // The node of the whole message would not do: `file` alone is what `prompt` reads.
        Some(file) => {
            let only = Node {
                span: node.span.clone(),
                value: crate::yaml::NodeValue::Map(vec![(file_key(node), file.clone())]),
            };
            prompt(&turn, &only, reading)
        }
        None => turn.required("text", "text: Say hello.").and_then(|text| prompt(&turn, text, reading)),
    };
    Some(Turn { assistant: role? == "assistant", text: text? })
}

fn file_key(node: &Node) -> Node {
    node.entry("file").map_or_else(|| node.clone(), |(key, _)| key.clone())
}

fn read_guardrail(fields: &Fields<'_>) -> Option<Guardrail> {
    let guardrail = fields.map("guardrail", "a guardrail", &["id", "version"])?;
    let id = guardrail.required_text("id", "id: $(bedrock_guardrail.default.id)");
    let node = guardrail.required("version", "version: \"1\"")?;
    let version = match &node.value {
        crate::yaml::NodeValue::Int(number) => number.to_string(),
        _ => guardrail.text_of(node)?.to_owned(),
    };
    if version.parse::<u32>().map_or(true, |number| number == 0) {
        let help = "publish a version and name it; DRAFT changes under a running job";
        guardrail.refuse(node, format!("`{version}` is not the number of a published version"), help);
        return None;
    }
    Some(Guardrail { id: id?, version })
}

fn characters(spec: &Spec) -> u64 {
    let texts = spec.system.iter().chain(spec.messages.iter().map(|turn| &turn.text));
    texts.map(|text| text.chars().count() as u64).sum()
}

fn request_digest(spec: &Spec) -> String {
    let whole = serde_json::to_vec(spec).expect("internal error: a spec has text keys only");
    hex::encode(Sha256::digest(whole))
}

fn succeeded(id: &str, facts: Facts) -> Seen {
    let outputs = [("text".to_owned(), format!("{id}/{ANSWER}"))];
    Seen {
        stage: Stage::Succeeded,
        remote: Remote {
            request_id: facts.request_id,
            status: Some(facts.stop_reason),
            usage: facts.usage,
            outputs: outputs.into(),
            ..Remote::default()
        },
    }
}

/// Why no whole answer came.
enum Broken {
    Call(Box<AwsError>),
    Ledger(Box<JobError>),
    Stream(String),
}

/// Waits for AWS, not longer than `patience`, nor past the end of the whole.
///
/// Only what AWS does is timed: a write of the ledger takes as long as the disk does.
async fn wait<T>(aws: &Aws, patience: Duration, end: SystemTime, work: impl Future<Output = T>) -> Result<T, Broken> {
    let left = end.duration_since(aws.now_system()).unwrap_or_default();
    timer::within(aws, patience.min(left), work).await.ok_or_else(|| {
        Broken::Stream(match left <= patience {
            true => "it took longer than the deadline".to_owned(),
            false => format!("nothing came for {}", duration_text(patience)),
        })
    })
}

/// Sends the request and reads the answer into `text`.
async fn receive(sending: &Sending<'_>, spec: &Spec, deadline: Duration, text: &mut String) -> Result<Facts, Broken> {
    let end = sending.aws.now_system() + deadline;
    let idle = Duration::from_secs(spec.idle_seconds);
    let mut patience = Duration::from_secs(spec.first_byte_seconds);
    let answer = wait(sending.aws, patience, end, send(sending.aws, spec)).await?;
    let mut answer = answer.map_err(|error| Broken::Call(Box::new(error)))?;
    let request_id = answer.request_id().map(str::to_owned);
    let remote = Remote { request_id: request_id.clone(), status: Some("streaming".to_owned()), ..Remote::default() };
    sending.note(Seen { stage: Stage::Running, remote }).await.map_err(|error| Broken::Ledger(Box::new(error)))?;

    let (mut stop_reason, mut usage) = (None, None);
    loop {
        let event = wait(sending.aws, patience, end, answer.stream.recv()).await?;
        patience = idle;
        match event {
            Ok(Some(ConverseStreamOutput::ContentBlockDelta(event))) => {
                if let Some(ContentBlockDelta::Text(piece)) = event.delta {
                    text.push_str(&piece);
                    (sending.listener)(Event::Text(&piece));
                }
            }
            Ok(Some(ConverseStreamOutput::MessageStop(stop))) => stop_reason = Some(stop.stop_reason),
            Ok(Some(ConverseStreamOutput::Metadata(metadata))) => usage = Some(metadata.usage),
            Ok(Some(_)) => {}
            Ok(None) => break,
            Err(error) => {
                let code = error.code().unwrap_or("the connection broke").to_owned();
                let message = error.message().map(|message| format!(": {message}")).unwrap_or_default();
                return Err(Broken::Stream(format!("{code}{message}")));
            }
        }
    }
    let Some(usage) = usage else {
        return Err(Broken::Stream("the stream ended without its last frame".to_owned()));
    };
    let count = |tokens: i32| u64::try_from(tokens).ok();
    Ok(Facts {
        sha256: hex::encode(Sha256::digest(text.as_bytes())),
        stop_reason: stop_reason.as_ref().map_or("unknown", StopReason::as_str).to_owned(),
        request_id,
        usage: Usage {
            input_tokens: usage.as_ref().and_then(|usage| count(usage.input_tokens)),
            output_tokens: usage.as_ref().and_then(|usage| count(usage.output_tokens)),
            billable_seconds: None,
        },
    })
}

async fn send(
    aws: &Aws,
    spec: &Spec,
) -> Result<aws_sdk_bedrockruntime::operation::converse_stream::ConverseStreamOutput, AwsError> {
    // Never repeated by the SDK: a lost reply may have been an answer that is billed.
    let once = aws.once();
    let mut call = once.bedrock_runtime().converse_stream().model_id(&spec.model);
    for turn in &spec.messages {
        let role = if turn.assistant { ConversationRole::Assistant } else { ConversationRole::User };
        let message = Message::builder().role(role).content(ContentBlock::Text(turn.text.clone()));
        call = call.messages(message.build().map_err(|error| own(&error))?);
    }
    if let Some(system) = &spec.system {
        call = call.system(SystemContentBlock::Text(system.clone()));
    }
    let mut inference =
        InferenceConfiguration::builder().max_tokens(i32::try_from(spec.max_tokens).unwrap_or(i32::MAX));
    inference = inference.set_temperature(spec.temperature.map(|value| value as f32));
    inference = inference.set_top_p(spec.top_p.map(|value| value as f32));
    if !spec.stop.is_empty() {
        inference = inference.set_stop_sequences(Some(spec.stop.clone()));
    }
    call = call.inference_config(inference.build());
    if let Some(guardrail) = &spec.guardrail {
        let config = GuardrailStreamConfiguration::builder()
            .guardrail_identifier(&guardrail.id)
            .guardrail_version(&guardrail.version);
        call = call.guardrail_config(config.build());
    }
    Ok(call.send().await?)
}

fn own(error: &dyn std::error::Error) -> AwsError {
    AwsError::own("bedrock:ConverseStream", crate::aws::ErrorClass::Invalid, "InvalidRequest", error.to_string())
}
