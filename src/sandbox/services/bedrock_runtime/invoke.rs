//! InvokeModel in the bodies of each provider, and the log of all invocations.

use serde_json::{Value, json};

use super::guard::{Side, assess};
use super::reply::{Reply, answer, tokens};
use super::{block_text, validation};
use crate::sandbox::call::{Call, optional, text, texts};
use crate::sandbox::codec::{from_base64, time, to_base64};
use crate::sandbox::delivery::gzip;
use crate::sandbox::error::{Answer, AwsError};
use crate::sandbox::services::Operations;
use crate::sandbox::services::bedrock::guardrail::at_version;
use crate::sandbox::services::bedrock::model::resolve;
use crate::sandbox::services::bedrock::{CONFIGURATION, STREAM, folder};

pub(super) const OPERATIONS: Operations =
    &[("InvokeModel", invoke_model), ("InvokeModelWithResponseStream", invoke_model_with_response_stream)];

const DIMENSIONS_DEFAULT: u64 = 1024;

/// Returns the text that a provider's body asks.
pub(super) fn prompt(body: &Value) -> Result<String, AwsError> {
    if let Some(messages) = body["messages"].as_array() {
        super::check_messages_loose(messages)?;
        let last = messages.last().cloned().unwrap_or_default();
        let plain = last["content"].as_str().map(str::to_owned);
        return Ok(plain.unwrap_or_else(|| block_text(&last["content"])));
    }
    let found = ["inputText", "prompt"].iter().find_map(|name| optional(body, name));
    found
        .map(str::to_owned)
        .ok_or_else(|| validation("Malformed input request, please reformat your input and try again."))
}

/// Answers one record of a batch job.
pub(in crate::sandbox::services) fn batch_answer(
    call: &Call<'_>,
    model: &str,
    body: &Value,
) -> Result<Value, AwsError> {
    let input = json!({"modelId": model, "body": to_base64(body.to_string().as_bytes())});
    invocation(call, &input).map(|made| made.body)
}

/// What a model answers, in its provider's body.
struct Invocation {
    model: &'static str,
    request: Value,
    body: Value,
    text: String,
    input_tokens: u64,
    output_tokens: u64,
}

fn invocation(call: &Call<'_>, input: &Value) -> Result<Invocation, AwsError> {
    let model = resolve(call, text(input, "modelId"))?;
    let bytes = optional(input, "body").and_then(from_base64).unwrap_or_else(|| call.body.to_vec());
    let malformed = || validation("Malformed input request, please reformat your input and try again.");
    let request: Value = serde_json::from_slice(&bytes).map_err(|_| malformed())?;
    if model.starts_with("anthropic.") {
        if request.get("anthropic_version").is_none() {
            return Err(validation("anthropic_version: Field required"));
        }
        if request["max_tokens"].as_u64().is_none() {
            return Err(validation("max_tokens: Field required"));
        }
    }
    let mut question = prompt(&request)?;
    let input_tokens = tokens(&question) + request["system"].as_str().map_or(0, tokens);
    if model.contains("embed") {
        let dimensions = request["dimensions"].as_u64().unwrap_or(DIMENSIONS_DEFAULT);
        let body = json!({"embedding": embedding(&question, dimensions), "inputTextTokenCount": input_tokens});
        return Ok(Invocation { model, request, body, text: String::new(), input_tokens, output_tokens: 0 });
    }
    let guardrail = match optional(input, "guardrailIdentifier") {
        None => None,
        Some(id) => Some(at_version(call, id, optional(input, "guardrailVersion").unwrap_or("DRAFT"))?),
    };
    let limits = [&request, &request["inferenceConfig"], &request["textGenerationConfig"]];
    let names = ["max_tokens", "maxTokens", "maxTokenCount", "max_gen_len"];
    let max = limits.iter().find_map(|place| names.iter().find_map(|name| place[*name].as_u64()));
    let stops = texts(&request, "stop_sequences");
    let (mut said, mut intervened) = (None, false);
    if let Some(guardrail) = &guardrail {
        let verdict = assess(guardrail, &question, Side::Input);
        if verdict.blocked {
            said = Some(text(guardrail, "blockedInputMessaging").to_owned());
            intervened = true;
        }
        question = verdict.text;
    }
    let Reply { text: plain, stop, .. } = answer(model, &question, max, &stops);
    let mut said = said.unwrap_or(plain);
    if let Some(guardrail) = guardrail.as_ref().filter(|_| !intervened) {
        let verdict = assess(guardrail, &said, Side::Output);
        intervened = verdict.blocked || verdict.changed;
        said = if verdict.blocked { text(guardrail, "blockedOutputsMessaging").to_owned() } else { verdict.text };
    }
    let output_tokens = tokens(&said);
    let mut body = shaped(model, &said, stop, (input_tokens, output_tokens));
    if guardrail.is_some() {
        body["amazon-bedrock-guardrailAction"] = json!(if intervened { "INTERVENED" } else { "NONE" });
    }
    Ok(Invocation { model, request, body, text: said, input_tokens, output_tokens })
}

/// Writes an answer as the model's provider does.
fn shaped(model: &str, said: &str, stop: &str, (input, output): (u64, u64)) -> Value {
    match model.split('.').next().unwrap_or_default() {
        "anthropic" => json!({
            "id": format!("msg_bdrk_{}", &to_base64(said.as_bytes()).chars().filter(char::is_ascii_alphanumeric).take(16).collect::<String>()),
            "type": "message", "role": "assistant", "model": model, "content": [{"type": "text", "text": said}],
            "stop_reason": stop, "stop_sequence": null,
            "usage": {"input_tokens": input, "output_tokens": output},
        }),
        "meta" => json!({
            "generation": said, "prompt_token_count": input, "generation_token_count": output,
            "stop_reason": if stop == "max_tokens" { "length" } else { "stop" },
        }),
        "mistral" => json!({
            "outputs": [{"text": said, "stop_reason": if stop == "max_tokens" { "length" } else { "stop" }}],
        }),
        _ if model.contains("titan") => json!({
            "inputTextTokenCount": input,
            "results": [{
                "tokenCount": output, "outputText": said,
                "completionReason": if stop == "max_tokens" { "LENGTH" } else { "FINISH" },
            }],
        }),
        _ => json!({
            "output": {"message": {"role": "assistant", "content": [{"text": said}]}}, "stopReason": stop,
            "usage": {"inputTokens": input, "outputTokens": output, "totalTokens": input + output},
        }),
    }
}

/// A vector of length one that depends on the text only.
fn embedding(question: &str, dimensions: u64) -> Vec<f64> {
    use sha2::{Digest, Sha256};
    let raw: Vec<f64> = (0..dimensions)
        .map(|index| {
            let digest = Sha256::digest(format!("{index}\n{question}"));
            f64::from(u16::from_be_bytes([digest[0], digest[1]])) / f64::from(u16::MAX) - 0.5
        })
        .collect();
    let length = raw.iter().map(|x| x * x).sum::<f64>().sqrt().max(f64::MIN_POSITIVE);
    raw.into_iter().map(|x| x / length).collect()
}

fn invoke_model(call: &mut Call<'_>, input: &Value) -> Answer {
    let made = invocation(call, input)?;
    let counts = (made.input_tokens, made.output_tokens);
    for (name, count) in [("Input", counts.0), ("Output", counts.1)] {
        call.reply_headers.push((format!("x-amzn-bedrock-{}-token-count", name.to_lowercase()), count.to_string()));
    }
    call.reply_headers.push(("x-amzn-bedrock-invocation-latency".to_owned(), (200 + counts.1 * 10).to_string()));
    let request = json!({"modelId": input["modelId"], "body": made.request});
    log(call, "InvokeModel", made.model, &request, &made.body, counts)?;
    Ok(json!({"body": to_base64(made.body.to_string().as_bytes()), "contentType": "application/json"}))
}

fn invoke_model_with_response_stream(call: &mut Call<'_>, input: &Value) -> Answer {
    let made = invocation(call, input)?;
    if made.model.contains("embed") {
        return Err(validation("The model is unsupported for streaming."));
    }
    let counts = (made.input_tokens, made.output_tokens);
    let mut parts = Vec::new();
    if made.model.starts_with("anthropic.") {
        let message = json!({"id": made.body["id"], "type": "message", "role": "assistant", "model": made.model,
            "content": [], "stop_reason": null, "usage": {"input_tokens": counts.0, "output_tokens": 1}});
        parts.push(json!({"type": "message_start", "message": message}));
        parts.push(json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}));
        let letters: Vec<char> = made.text.chars().collect();
        for part in letters.chunks(super::DELTA_CHARS) {
            let delta = json!({"type": "text_delta", "text": part.iter().collect::<String>()});
            parts.push(json!({"type": "content_block_delta", "index": 0, "delta": delta}));
        }
        parts.push(json!({"type": "content_block_stop", "index": 0}));
        parts.push(json!({"type": "message_delta", "delta": {"stop_reason": made.body["stop_reason"]},
            "usage": {"output_tokens": counts.1}}));
        parts.push(json!({"type": "message_stop"}));
    } else {
        parts.push(made.body.clone());
    }
    if let Some(last) = parts.last_mut() {
        last["amazon-bedrock-invocationMetrics"] = json!({
            "inputTokenCount": counts.0, "outputTokenCount": counts.1,
            "invocationLatency": 200 + counts.1 * 10, "firstByteLatency": 100,
        });
    }
    let events: Vec<Value> =
        parts.iter().map(|part| json!({"chunk": {"bytes": to_base64(part.to_string().as_bytes())}})).collect();
    let request = json!({"modelId": input["modelId"], "body": made.request});
    log(call, "InvokeModelWithResponseStream", made.model, &request, &made.body, counts)?;
    Ok(json!({"body": events, "contentType": "application/json"}))
}

/// Writes a record to its destinations; as with AWS, what can't be written is lost without a word to the caller.
fn deliver(call: &mut Call<'_>, config: &Value, record: &Value) {
    let now = call.now();
    if let Some(group) = optional(&config["cloudWatchConfig"], "logGroupName") {
        let _ = call.put_log_events(group, STREAM, false, &[(now, record.to_string())]);
    }
    if let Some(bucket) = optional(&config["s3Config"], "bucketName") {
        let stamp = time::iso(now).replace(['-', ':'], "");
        let key = format!("{}/{stamp}_{}.json.gz", folder(call, &config["s3Config"]), call.request_id);
        let _ = call.put_object(bucket, &key, gzip(record.to_string().as_bytes()));
    }
}

/// Writes a record of an invocation, where invocation logging is on.
pub(super) fn log(
    call: &mut Call<'_>,
    operation: &str,
    model: &str,
    request: &Value,
    answer: &Value,
    (input, output): (u64, u64),
) -> Result<(), AwsError> {
    let Some(found) = call.get(CONFIGURATION.0, CONFIGURATION.1) else { return Ok(()) };
    let with_text = found["loggingConfig"]["textDataDeliveryEnabled"] != false;
    let mut record = json!({
        "timestamp": time::iso(call.now()), "accountId": call.account, "identity": {"arn": call.principal},
        "region": call.region, "requestId": call.request_id, "operation": operation, "modelId": model,
        "input": {"inputContentType": "application/json", "inputTokenCount": input},
        "output": {"outputContentType": "application/json", "outputTokenCount": output},
        "schemaType": "ModelInvocationLog", "schemaVersion": "1.0",
    });
    if with_text {
        record["input"]["inputBodyJson"] = request.clone();
        record["output"]["outputBodyJson"] = answer.clone();
    }
    deliver(call, &found["loggingConfig"], &record);
    Ok(())
}
