//! Bedrock's runtime: models that answer with a text made of the question, under guardrails that really guard.
//!
//! No model runs here. The same request gives the same answer; its usage counts follow from its texts (see
//! [`reply`]). Every invocation is logged where invocation logging says.

mod guard;
pub(super) mod invoke;
mod reply;

use serde_json::{Value, json};

use super::Operations;
use super::bedrock::guardrail::at_version;
use super::bedrock::model::resolve;
use crate::sandbox::call::{Call, optional, text};
use crate::sandbox::error::{Answer, AwsError};
use guard::{Side, Verdict, assess};
use reply::{Reply, tokens};

pub(super) const OPERATIONS: &[Operations] = &[OWN_OPERATIONS, invoke::OPERATIONS];

const OWN_OPERATIONS: Operations = &[
    ("ApplyGuardrail", apply_guardrail),
    ("Converse", converse),
    ("ConverseStream", converse_stream),
    ("CountTokens", count_tokens),
];

/// Characters of one streamed delta.
const DELTA_CHARS: usize = 24;

fn validation(message: impl Into<String>) -> AwsError {
    AwsError::new("ValidationException", message)
}

/// Returns the texts of content blocks, one after another.
fn block_text(content: &Value) -> String {
    let mut out = Vec::new();
    for block in content.as_array().into_iter().flatten() {
        if let Some(text) = block["text"].as_str().or(block["guardContent"]["text"]["text"].as_str()) {
            out.push(text.to_owned());
        }
        for part in block["toolResult"]["content"].as_array().into_iter().flatten() {
            out.push(part["text"].as_str().map_or_else(|| part["json"].to_string(), str::to_owned));
        }
    }
    out.join("\n")
}

/// Checks that messages alternate and begin with the user, as the models demand.
fn check_messages(messages: &[Value]) -> Result<(), AwsError> {
    if messages.is_empty() {
        return Err(validation("A conversation must have at least one message. Try again with a conversation."));
    }
    for (index, message) in messages.iter().enumerate() {
        let role = text(message, "role");
        if index == 0 && role != "user" {
            return Err(validation("A conversation must start with a user message."));
        }
        if index > 0 && text(&messages[index - 1], "role") == role {
            return Err(validation(
                "A conversation must alternate between user and assistant roles. Make sure the conversation \
                 alternates between user and assistant roles and try again.",
            ));
        }
        let content = message["content"].as_array();
        if content.is_none_or(Vec::is_empty) {
            return Err(validation("The content field in a message is empty. Add content and try again."));
        }
        for block in content.into_iter().flatten() {
            if block["text"].as_str().is_some_and(|text| text.trim().is_empty()) {
                return Err(validation("The text field in the ContentBlock object is blank. Add text and try again."));
            }
        }
    }
    Ok(())
}

/// Checks the messages of a provider's own body, whose content may be plain text.
fn check_messages_loose(messages: &[Value]) -> Result<(), AwsError> {
    if messages.is_empty() {
        return Err(validation("messages: at least one message is required"));
    }
    if text(&messages[0], "role") != "user" {
        return Err(validation("messages: first message must use the \"user\" role"));
    }
    Ok(())
}

/// A finished conversation turn.
struct Turn {
    model: &'static str,
    content: Vec<Value>,
    stop: String,
    input_tokens: u64,
    output_tokens: u64,
    trace: Option<Value>,
}

impl Turn {
    fn usage(&self) -> Value {
        let total = self.input_tokens + self.output_tokens;
        json!({"inputTokens": self.input_tokens, "outputTokens": self.output_tokens, "totalTokens": total})
    }

    /// A latency that follows from the amount of text.
    fn latency_ms(&self) -> u64 {
        200 + self.input_tokens / 10 + self.output_tokens * 10
    }
}

/// Answers a conversation, through its guardrail where it names one.
fn turn(call: &Call<'_>, input: &Value) -> Result<Turn, AwsError> {
    let model = resolve(call, text(input, "modelId"))?;
    if model.contains("embed") {
        return Err(validation("The model does not support conversations."));
    }
    let messages = input["messages"].as_array().cloned().unwrap_or_default();
    check_messages(&messages)?;
    let question = messages.last().map(|message| block_text(&message["content"])).unwrap_or_default();
    let mut all: Vec<String> = messages.iter().map(|message| block_text(&message["content"])).collect();
    all.push(block_text(&input["system"]));
    let input_tokens = all.iter().map(|text| tokens(text)).sum();
    let config = &input["guardrailConfig"];
    let traced = ["enabled", "enabled_full"].contains(&text(config, "trace"));
    let mut turn =
        Turn { model, content: Vec::new(), stop: String::new(), input_tokens, output_tokens: 0, trace: None };
    let guardrail = match optional(config, "guardrailIdentifier") {
        None => None,
        Some(id) => Some(at_version(call, id, optional(config, "guardrailVersion").unwrap_or("DRAFT"))?),
    };
    let mut question = question;
    if let Some(guardrail) = &guardrail {
        let verdict = assess(guardrail, &question, Side::Input);
        let id = text(guardrail, "guardrailId");
        turn.trace = traced.then(|| json!({"guardrail": {"inputAssessment": {id: verdict.assessment}}}));
        if verdict.blocked {
            turn.content = vec![json!({"text": guardrail["blockedInputMessaging"]})];
            turn.stop = "guardrail_intervened".to_owned();
            turn.input_tokens = 0;
            return Ok(turn);
        }
        question = verdict.text;
    }
    if let Some(call) = reply::tool_call(input, &question) {
        turn.output_tokens = tokens(&call.to_string());
        turn.content = vec![call];
        turn.stop = "tool_use".to_owned();
        return Ok(turn);
    }
    let limits = &input["inferenceConfig"];
    let stops: Vec<&str> = crate::sandbox::call::texts(limits, "stopSequences");
    let Reply { text: mut answer, stop, tokens: count } =
        reply::answer(model, &question, limits["maxTokens"].as_u64(), &stops);
    turn.stop = stop.to_owned();
    turn.output_tokens = count;
    if let Some(guardrail) = &guardrail {
        let Verdict { blocked, changed, text: guarded, assessment } = assess(guardrail, &answer, Side::Output);
        if let Some(trace) = &mut turn.trace {
            trace["guardrail"]["outputAssessments"] = json!({text(guardrail, "guardrailId"): [assessment]});
        }
        if blocked {
            answer = text(guardrail, "blockedOutputsMessaging").to_owned();
        } else if changed {
            answer = guarded;
        }
        if blocked || changed {
            turn.stop = "guardrail_intervened".to_owned();
        }
    }
    turn.content = vec![json!({"text": answer})];
    Ok(turn)
}

fn converse(call: &mut Call<'_>, input: &Value) -> Answer {
    let turn = turn(call, input)?;
    let mut out = json!({
        "output": {"message": {"role": "assistant", "content": turn.content}},
        "stopReason": turn.stop, "usage": turn.usage(), "metrics": {"latencyMs": turn.latency_ms()},
    });
    if let Some(trace) = &turn.trace {
        out["trace"] = trace.clone();
    }
    invoke::log(call, "Converse", turn.model, input, &out, (turn.input_tokens, turn.output_tokens))?;
    Ok(out)
}

fn converse_stream(call: &mut Call<'_>, input: &Value) -> Answer {
    let turn = turn(call, input)?;
    let mut events = vec![json!({"messageStart": {"role": "assistant"}})];
    for (index, block) in turn.content.iter().enumerate() {
        if let Some(tool) = block.get("toolUse") {
            let start = json!({"toolUse": {"toolUseId": tool["toolUseId"], "name": tool["name"]}});
            events.push(json!({"contentBlockStart": {"start": start, "contentBlockIndex": index}}));
            let delta = json!({"toolUse": {"input": tool["input"].to_string()}});
            events.push(json!({"contentBlockDelta": {"delta": delta, "contentBlockIndex": index}}));
        }
        let letters: Vec<char> = text(block, "text").chars().collect();
        for part in letters.chunks(DELTA_CHARS) {
            let delta = json!({"text": part.iter().collect::<String>()});
            events.push(json!({"contentBlockDelta": {"delta": delta, "contentBlockIndex": index}}));
        }
        events.push(json!({"contentBlockStop": {"contentBlockIndex": index}}));
    }
    events.push(json!({"messageStop": {"stopReason": turn.stop}}));
    let mut metadata = json!({"usage": turn.usage(), "metrics": {"latencyMs": turn.latency_ms()}});
    if let Some(trace) = &turn.trace {
        metadata["trace"] = trace.clone();
    }
    events.push(json!({"metadata": metadata}));
    let whole = json!({"output": {"message": {"role": "assistant", "content": turn.content}}, "stopReason": turn.stop});
    invoke::log(call, "ConverseStream", turn.model, input, &whole, (turn.input_tokens, turn.output_tokens))?;
    Ok(json!({"stream": events}))
}

fn apply_guardrail(call: &mut Call<'_>, input: &Value) -> Answer {
    let guardrail = at_version(call, text(input, "guardrailIdentifier"), text(input, "guardrailVersion"))?;
    let side = if text(input, "source") == "INPUT" { Side::Input } else { Side::Output };
    let blocks = input["content"].as_array().cloned().unwrap_or_default();
    let texts: Vec<&str> = blocks.iter().filter_map(|block| block["text"]["text"].as_str()).collect();
    let verdicts: Vec<Verdict> = texts.iter().map(|text| assess(&guardrail, text, side)).collect();
    let blocked = verdicts.iter().any(|verdict| verdict.blocked);
    let changed = verdicts.iter().any(|verdict| verdict.changed);
    let outputs: Vec<Value> = if blocked {
        let message = if side == Side::Input { "blockedInputMessaging" } else { "blockedOutputsMessaging" };
        vec![json!({"text": guardrail[message]})]
    } else if changed {
        verdicts.iter().map(|verdict| json!({"text": verdict.text})).collect()
    } else {
        Vec::new()
    };
    let letters: usize = texts.iter().map(|text| text.chars().count()).sum();
    let units = |policy: &str| if guardrail.get(policy).is_some() { letters.div_ceil(1000) } else { 0 };
    Ok(json!({
        "usage": {
            "topicPolicyUnits": units("topicPolicy"), "contentPolicyUnits": units("contentPolicy"),
            "wordPolicyUnits": units("wordPolicy"),
            "sensitiveInformationPolicyUnits": units("sensitiveInformationPolicy"),
            "sensitiveInformationPolicyFreeUnits": 0,
            "contextualGroundingPolicyUnits": units("contextualGroundingPolicy"),
        },
        "action": if blocked || changed { "GUARDRAIL_INTERVENED" } else { "NONE" },
        "outputs": outputs,
        "assessments": verdicts.iter().map(|verdict| verdict.assessment.clone()).collect::<Vec<_>>(),
        "guardrailCoverage": {"textCharacters": {"guarded": letters, "total": letters}},
    }))
}

fn count_tokens(call: &mut Call<'_>, input: &Value) -> Answer {
    resolve(call, text(input, "modelId"))?;
    let request = &input["input"];
    let count: u64 = match (request.get("converse"), request.get("invokeModel")) {
        (Some(converse), _) => {
            let messages = converse["messages"].as_array().cloned().unwrap_or_default();
            check_messages(&messages)?;
            let texts = messages.iter().map(|message| block_text(&message["content"]));
            texts.chain([block_text(&converse["system"])]).map(|text| tokens(&text)).sum()
        }
        (None, Some(invoke)) => {
            let bytes = crate::sandbox::codec::from_base64(text(invoke, "body")).unwrap_or_default();
            let body: Value = serde_json::from_slice(&bytes).map_err(|_| validation("Malformed input request."))?;
            tokens(&invoke::prompt(&body)?)
        }
        (None, None) => return Err(validation("Either converse or invokeModel has to be specified.")),
    };
    Ok(json!({"inputTokens": count}))
}
