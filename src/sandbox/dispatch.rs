//! The way of one request: identify, route, faults, decode, validate, handle, store, log, encode.

use bytes::Bytes;
use http::{Request as HttpRequest, Response};
use serde_json::Value;

use super::call::Call;
use super::call_log::{self, Record};
use super::codec::{self, Reply, Request, Wire, chunked};
use super::conditions::FaultKind;
use super::error::{AwsError, not_implemented};
use super::identity::{self, Scope};
use super::model::{self, Model, Operation};
use super::route::{self, Route};
use super::services::{self, Service};
use super::world::{Identity, World};
use super::{Sandbox, admin, enforce, ids, validate};

/// Marks a response that must not reach the client: the connection breaks instead.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lost;

/// Marks a response that arrives so many simulated seconds late.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slow(pub(crate) f64);

/// How late a slow reply is, in seconds: later than most clients wait.
const SLOW_S: f64 = 90.0;

/// The facts of a request before its operation runs.
struct Caller {
    scope: Scope,
    identity: Identity,
    user_agent: String,
    request_id: String,
    number: u64,
    now: f64,
}

/// The resources that a call is about.
#[derive(Default)]
struct About {
    touched: Vec<(String, String)>,
    named: Vec<String>,
}

impl Sandbox {
    /// Answers one request; never blocks and never waits.
    ///
    /// A response with the `Lost` extension stands for a broken connection.
    pub fn handle(&self, request: HttpRequest<Bytes>) -> Response<Bytes> {
        if request.uri().path().starts_with(admin::PREFIX) {
            return admin::handle(self, &request);
        }
        let head = request.method() == http::Method::HEAD;
        let request = incoming(request);
        let clock = self.clock();
        let (now, client_now) = (clock.seconds(), clock.client_seconds());
        let mut world = self.lock();
        world.store.header.now = now;
        let mut response = answer(&mut world, request, now, client_now);
        let flushed = world.store.flush().map_err(|error| error.to_string());
        if let Err(error) = world.failure.take().map_or(flushed, Err) {
            let text = format!("the sandbox can not write its folder: {error}");
            response = codec::plain(500, "text/plain", text);
        }
        if head {
            *response.body_mut() = Bytes::new();
        } else {
            let length = response.body().len().to_string();
            codec::put_header(response.headers_mut(), "content-length", &length);
        }
        let date = codec::time::http_date(now);
        codec::put_header(response.headers_mut(), "date", &date);
        response
    }
}

fn incoming(request: HttpRequest<Bytes>) -> Request {
    let (parts, body) = request.into_parts();
    let query = parts.uri.query().unwrap_or_default();
    let query = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let path = parts.uri.path().to_owned();
    let mut request = Request { method: parts.method, path, query, headers: parts.headers, body };
    if let (None, Some(host)) = (request.header("host"), parts.uri.authority()) {
        let host = host.to_string();
        codec::put_header(&mut request.headers, "host", &host);
    }
    request
}

fn answer(world: &mut World, mut request: Request, now: f64, client_now: f64) -> Response<Bytes> {
    world.store.header.calls += 1;
    let number = world.store.header.calls;
    let request_id = ids::uuid(&ids::entropy(world.store.header.seed, "request", number));
    let Some(scope) = identity::scope(&request) else {
        let wire = route::wire(&[], &request);
        let code = if matches!(wire, Wire::Json10 | Wire::Json11 | Wire::RestJson | Wire::Cbor) {
            "MissingAuthenticationTokenException"
        } else {
            "MissingAuthenticationToken"
        };
        let error = AwsError::new(code, "Request is missing Authentication Token").status(403);
        return codec::encode_error(wire, None, &error, &request_id, &request.path);
    };
    let models = model::signed_as(&scope.signing_name);
    let partition = identity::partition(&scope.region);
    let identity = world.identity(&scope.access_key, partition, now).map_err(|code| match code {
        "ExpiredToken" => enforce::Fault::Expired,
        _ => enforce::Fault::UnknownKey,
    });
    let identity = identity.and_then(|identity| {
        if let (true, Some(entry)) = (world.enforced(), world.key_entry(&scope.access_key)) {
            enforce::verify(&request, entry, client_now)?;
        }
        Ok(identity)
    });
    let identity = match identity {
        Ok(identity) => identity,
        Err(fault) => {
            let wire = route::wire(&models, &request);
            let error = enforce::refusal(wire, &scope.signing_name, &fault);
            return codec::encode_error(wire, None, &error, &request_id, &request.path);
        }
    };
    if scope.signing_name == "s3" {
        let host = request.header("host").unwrap_or_default();
        request.path = route::s3_path(host, &request.path);
    }
    let user_agent = request.header("user-agent").unwrap_or_default().to_owned();
    let caller = Caller { scope, identity, user_agent, request_id, number, now };
    match route::route(&models, &request) {
        Route::Found { wire, model, operation, labels } => {
            run(world, &caller, wire, model, operation, request, &labels)
        }
        Route::Unknown { wire, model, name, exists } => {
            unknown(world, &caller, wire, model, &name, exists, &request.path)
        }
    }
}

fn unknown(
    world: &mut World,
    caller: &Caller,
    wire: Wire,
    model: Option<&'static Model>,
    name: &str,
    exists: bool,
    path: &str,
) -> Response<Bytes> {
    let service = model.map_or(caller.scope.signing_name.as_str(), |model| model.name);
    let error = match (wire, exists || model.is_none()) {
        (_, true) => not_implemented(service, name),
        (Wire::Query | Wire::Ec2, _) => {
            let message = format!("The action {name} is not valid for this web service.");
            AwsError::new("InvalidAction", message).status(400)
        }
        _ => AwsError::new("UnknownOperationException", format!("no operation {service}:{name}")).status(404),
    };
    log(world, caller, service, name, Some(error.code.clone()), About::default());
    codec::encode_error(wire, None, &error, &caller.request_id, path)
}

fn run(
    world: &mut World,
    caller: &Caller,
    wire: Wire,
    model: &'static Model,
    operation: &'static Operation,
    request: Request,
    labels: &[(String, String)],
) -> Response<Bytes> {
    let name = operation.name.as_str();
    let path = request.path.clone();
    let service = services::service(model.name);
    let seed = world.store.header.seed;
    let fault = world.conditions.strike(model.name, name, seed, caller.number);
    let mut about = About::default();
    let result = match (service, before(world, caller, service, name, fault)) {
        (_, Some(error)) => Err(error),
        (None, None) => Err(not_implemented(model.name, name)),
        (Some(service), None) => perform(world, caller, service, wire, model, operation, request, labels, &mut about),
    };
    let error = result.as_ref().err().map(|error| error.code.clone());
    log(world, caller, model.name, name, error, about);
    let mut response = match result {
        Ok(reply) => codec::encode(wire, model, operation, reply, &caller.request_id),
        Err(error) => codec::encode_error(wire, Some(model), &error, &caller.request_id, &path),
    };
    if matches!(fault, Some(FaultKind::LostRequest | FaultKind::LostReply)) {
        response.extensions_mut().insert(Lost);
    }
    if fault == Some(FaultKind::SlowReply) {
        response.extensions_mut().insert(Slow(SLOW_S));
    }
    response
}

/// Answers what happens to a call before it reaches its handler.
fn before(
    world: &mut World,
    caller: &Caller,
    service: Option<&Service>,
    name: &str,
    fault: Option<FaultKind>,
) -> Option<AwsError> {
    let manners = &service?.manners;
    let service = service?.name;
    let throttled = || AwsError::new(manners.throttle.0, "Rate exceeded").status(manners.throttle.1);
    match fault {
        Some(FaultKind::ServerError) => {
            return Some(AwsError::new("InternalFailure", "an injected failure").status(500));
        }
        Some(FaultKind::Unavailable) => {
            return Some(AwsError::new("ServiceUnavailable", "an injected failure").status(503));
        }
        Some(FaultKind::LostRequest) => {
            return Some(AwsError::new("RequestTimeout", "the request was lost").status(503));
        }
        Some(FaultKind::Throttle) => return Some(throttled()),
        Some(FaultKind::Denied) => {
            let message = format!("User: {} is not authorized to perform: {service}:{name}", caller.identity.arn);
            return Some(AwsError::new(manners.denied, message).status(403));
        }
        Some(FaultKind::LostReply | FaultKind::SlowReply) | None => {}
    }
    let owner = format!("{}/{}", caller.identity.account, caller.scope.region);
    let allowed = world.buckets.take(&world.conditions.rates, &owner, service, name, caller.now);
    (!allowed).then(throttled)
}

#[expect(clippy::too_many_arguments, reason = "one call site; the arguments are what a request is made of")]
fn perform(
    world: &mut World,
    caller: &Caller,
    service: &'static Service,
    wire: Wire,
    model: &'static Model,
    operation: &'static Operation,
    mut request: Request,
    labels: &[(String, String)],
    about: &mut About,
) -> Result<Reply, AwsError> {
    let handler =
        services::handler(service, &operation.name).ok_or_else(|| not_implemented(service.name, &operation.name))?;
    if wire == Wire::RestXml {
        chunked::unwrap(&mut request)?;
    }
    let input = codec::decode(wire, model, operation, &request, labels)?;
    about.named = call_log::named(service.name, &input);
    validate::validate(service, model, operation, &input)?;
    let mut call = Call {
        service,
        model,
        operation,
        account: caller.identity.account.clone(),
        region: caller.scope.region.clone(),
        principal: caller.identity.arn.clone(),
        user_id: caller.identity.user_id.clone(),
        access_key: caller.scope.access_key.clone(),
        request_id: caller.request_id.clone(),
        body: request.body,
        headers: request.headers,
        reply_body: None,
        reply_status: None,
        reply_headers: Vec::new(),
        touched: Vec::new(),
        now: caller.now,
        world,
    };
    enforce::check(&call, &input)?;
    if service.name == "ec2" && input.get("DryRun") == Some(&Value::Bool(true)) {
        let message = "Request would have succeeded, but DryRun flag is set.";
        return Err(AwsError::new("DryRunOperation", message).status(412));
    }
    if matches!(service.name, "logs" | "s3") {
        services::deliver_due(&mut call);
    }
    let output = handler(&mut call, &input)?;
    about.touched = std::mem::take(&mut call.touched);
    Ok(Reply { output, body: call.reply_body, status: call.reply_status, headers: call.reply_headers })
}

fn log(world: &mut World, caller: &Caller, service: &str, operation: &str, error: Option<String>, about: About) {
    let record = Record {
        n: caller.number,
        time: caller.now,
        service: service.to_owned(),
        operation: operation.to_owned(),
        account: caller.identity.account.clone(),
        region: caller.scope.region.clone(),
        principal: caller.identity.arn.clone(),
        user_id: caller.identity.user_id.clone(),
        user_agent: caller.user_agent.clone(),
        access_key: caller.scope.access_key.clone(),
        error,
        request_id: caller.request_id.clone(),
        touched: about.touched,
        named: about.named,
    };
    if let Err(error) = world.record(record) {
        world.failure = Some(error.to_string());
    }
}
