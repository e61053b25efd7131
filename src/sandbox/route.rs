//! Which operation a request is for, by target header, action, RPC path or URI template.

use super::codec::{Request, Wire, query};
use super::model::{Model, Operation};

/// What a request turned out to ask for.
#[derive(Debug)]
pub(crate) enum Route {
    /// An operation with its model; labels are still percent-encoded.
    Found { wire: Wire, model: &'static Model, operation: &'static Operation, labels: Vec<(String, String)> },
    /// An operation that AWS has and the sandbox does not, or that no one has.
    Unknown { wire: Wire, model: Option<&'static Model>, name: String, exists: bool },
}

/// Finds the operation among the services that share the signing name.
pub(crate) fn route(models: &[&'static Model], request: &Request) -> Route {
    let wire = wire(models, request);
    let unnamed = |model| Route::Unknown { wire, model, name: String::new(), exists: false };
    let Some(first) = models.first() else { return unnamed(None) };
    match wire {
        Wire::RestJson | Wire::RestXml => by_template(wire, models, request),
        _ => {
            let name = operation_name(wire, request);
            let prefixed = models.iter().find(|model| model.metadata.target_prefix.is_some());
            by_name(wire, prefixed.unwrap_or(first), name)
        }
    }
}

/// Tells which protocol a request speaks.
pub(crate) fn wire(models: &[&Model], request: &Request) -> Wire {
    if request.header("smithy-protocol") == Some("rpc-v2-cbor") {
        return Wire::Cbor;
    }
    if request.header("x-amz-target").is_some() {
        let kind = request.header("content-type").unwrap_or_default();
        return if kind.ends_with("json-1.0") { Wire::Json10 } else { Wire::Json11 };
    }
    match models.iter().map(|model| model.metadata.protocol.as_str()).find(|p| *p != "json") {
        Some("ec2") => Wire::Ec2,
        Some("query") => Wire::Query,
        Some("rest-xml") => Wire::RestXml,
        Some("rest-json") => Wire::RestJson,
        Some(_) => Wire::Json11,
        None if models.is_empty() => guess(request),
        None => Wire::Json11,
    }
}

fn guess(request: &Request) -> Wire {
    let kind = request.header("content-type").unwrap_or_default();
    if kind.starts_with("application/x-www-form-urlencoded") {
        Wire::Query
    } else if kind.contains("json") {
        Wire::RestJson
    } else {
        Wire::RestXml
    }
}

fn operation_name(wire: Wire, request: &Request) -> String {
    match wire {
        Wire::Cbor => request.path.rsplit('/').next().unwrap_or_default().to_owned(),
        Wire::Json10 | Wire::Json11 => {
            let target = request.header("x-amz-target").unwrap_or_default();
            target.rsplit('.').next().unwrap_or_default().to_owned()
        }
        _ => {
            let found = query::parameters(request).into_iter().find(|(key, _)| key == "Action");
            found.map(|(_, value)| value).unwrap_or_default()
        }
    }
}

fn by_name(wire: Wire, model: &'static Model, name: String) -> Route {
    match model.operations.get(&name) {
        Some(operation) => Route::Found { wire, model, operation, labels: Vec::new() },
        None => {
            let exists = model.others.contains_key(&name);
            Route::Unknown { wire, model: Some(model), name, exists }
        }
    }
}

fn by_template(wire: Wire, models: &[&'static Model], request: &Request) -> Route {
    let mut best: Option<(usize, Route)> = None;
    let mut consider = |rank: usize, candidate: Route| {
        if best.as_ref().is_none_or(|(known, _)| rank > *known) {
            best = Some((rank, candidate));
        }
    };
    for model in models.iter().copied().filter(|m| m.metadata.protocol.starts_with("rest")) {
        for operation in model.operations.values() {
            let Some((rank, labels)) = fits(&operation.http.method, &operation.http.request_uri, request) else {
                continue;
            };
            let Some(required) = required_present(model, operation, request) else { continue };
            // On a tie the modelled operation wins over one that is only known by name.
            consider(rank * 100 + required * 2 + 1, Route::Found { wire, model, operation, labels });
        }
        for (name, uri) in &model.others {
            let Some((method, uri)) = uri.split_once(' ') else { continue };
            if let Some((rank, _)) = fits(method, uri, request) {
                let name = name.clone();
                consider(rank * 100, Route::Unknown { wire, model: Some(model), name, exists: true });
            }
        }
    }
    let model = models.first().copied();
    let name = format!("{} {}", request.method, request.path);
    best.map_or(Route::Unknown { wire, model, name, exists: false }, |(_, route)| route)
}

/// Counts the required query and header members if all of them are there.
fn required_present(model: &Model, operation: &Operation, request: &Request) -> Option<usize> {
    let Some(side) = &operation.input else { return Some(0) };
    let shape = model.shape(&side.shape);
    let mut count = 0;
    for key in &shape.required {
        let member = &shape.members[key];
        let name = member.location_name.as_deref().unwrap_or(key);
        let present = match member.location.as_deref() {
            Some("querystring") => request.parameter(name).is_some(),
            Some("header") => request.header(name).is_some(),
            _ => continue,
        };
        // Only S3 tells operations apart this way; elsewhere a missing one is a validation error.
        if !present && model.metadata.protocol == "rest-xml" {
            return None;
        }
        count += usize::from(present);
    }
    Some(count)
}

/// Matches a request with a URI template; returns how specific it is and its labels.
fn fits(method: &str, template: &str, request: &Request) -> Option<(usize, Vec<(String, String)>)> {
    if method != request.method.as_str() {
        return None;
    }
    let (path, literal_query) = template.split_once('?').unwrap_or((template, ""));
    let mut rank = 0;
    for pair in literal_query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let found = request.parameter(key)?;
        if !value.is_empty() && found != value {
            return None;
        }
        rank += 20;
    }
    let mut labels = Vec::new();
    let mut rest = request.path.strip_prefix('/')?;
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').filter(|p| !p.is_empty()).collect();
    for (index, part) in parts.iter().enumerate() {
        let last = index + 1 == parts.len();
        if let Some(label) = part.strip_prefix('{').and_then(|p| p.strip_suffix('}')) {
            let greedy = label.strip_suffix('+');
            let (value, after) = match greedy {
                Some(_) if last => (rest, ""),
                _ => rest.split_once('/').unwrap_or((rest, "")),
            };
            if value.is_empty() {
                return None;
            }
            labels.push((greedy.unwrap_or(label).to_owned(), value.to_owned()));
            rest = after;
        } else {
            let (value, after) = rest.split_once('/').unwrap_or((rest, ""));
            if value != *part {
                return None;
            }
            rank += 1;
            rest = after;
        }
    }
    rest.is_empty().then_some((rank, labels))
}

/// Returns S3's path in path style, whatever style the client chose.
pub(crate) fn s3_path(host: &str, path: &str) -> String {
    let host = host.rsplit_once(':').map_or(
        host,
        |(name, port)| {
            if port.bytes().all(|b| b.is_ascii_digit()) { name } else { host }
        },
    );
    let bucket = [".s3.", ".s3-"].iter().find_map(|mark| host.find(mark).map(|at| &host[..at]));
    let bucket = bucket.or_else(|| host.strip_suffix(".localhost"));
    match bucket {
        Some(bucket) if !bucket.is_empty() => format!("/{bucket}{path}"),
        _ => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::model::signed_as;

    fn name(signing: &str, method: &str, uri: &str, headers: &[(&str, &str)]) -> String {
        let mut map = http::HeaderMap::new();
        for (key, value) in headers {
            crate::sandbox::codec::put_header(&mut map, key, value);
        }
        let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
        let request = Request {
            method: method.parse().unwrap(),
            path: path.into(),
            query: url::form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
            headers: map,
            body: bytes::Bytes::new(),
        };
        match route(&signed_as(signing), &request) {
            Route::Found { operation, labels, .. } => {
                let labels: Vec<String> = labels.into_iter().map(|(_, v)| v).collect();
                format!("{} {}", operation.name, labels.join(" ")).trim().to_owned()
            }
            Route::Unknown { name, exists, .. } => format!("unknown {name} {exists}"),
        }
    }

    #[test]
    fn s3_operations_are_told_apart() {
        let copy = [("x-amz-copy-source", "/a/b")];
        for (method, uri, headers, expected) in [
            ("GET", "/", &[][..], "ListBuckets"),
            ("PUT", "/b", &[], "CreateBucket b"),
            ("GET", "/b/", &[], "ListObjects b"),
            ("GET", "/b?list-type=2&prefix=x", &[], "ListObjectsV2 b"),
            ("GET", "/b?encryption", &[], "GetBucketEncryption b"),
            ("GET", "/b?metrics", &[], "unknown ListBucketMetricsConfigurations true"),
            ("PUT", "/b/a%20b//c?x-id=PutObject", &[], "PutObject b a%20b//c"),
            ("PUT", "/b/k", &copy, "CopyObject b k"),
            ("PUT", "/b/k?partNumber=1&uploadId=u", &[], "UploadPart b k"),
            ("PUT", "/b/k?partNumber=1&uploadId=u", &copy, "UploadPartCopy b k"),
            ("POST", "/b/k?uploads", &[], "CreateMultipartUpload b k"),
            ("POST", "/b/k?uploadId=u", &[], "CompleteMultipartUpload b k"),
            ("GET", "/b/k?uploadId=u", &[], "ListParts b k"),
            ("POST", "/b?delete", &[], "DeleteObjects b"),
            ("HEAD", "/b", &[], "HeadBucket b"),
        ] {
            assert_eq!(name("s3", method, uri, headers), expected, "{method} {uri}");
        }
    }

    #[test]
    fn control_plane_and_runtime_share_a_signing_name() {
        assert_eq!(name("bedrock", "GET", "/guardrails/gr-1", &[]), "GetGuardrail gr-1");
        assert_eq!(name("bedrock", "POST", "/model/a%3Ab/converse", &[]), "Converse a%3Ab");
        assert_eq!(name("sagemaker", "POST", "/endpoints/e/invocations", &[]), "InvokeEndpoint e");
        let target = [("x-amz-target", "SageMaker.CreateModel")];
        assert_eq!(name("sagemaker", "POST", "/", &target), "CreateModel");
        let target = [("x-amz-target", "SageMaker.CreateDomain")];
        assert_eq!(name("sagemaker", "POST", "/", &target), "unknown CreateDomain true");
    }

    #[test]
    fn both_styles_of_s3_paths_are_one() {
        assert_eq!(s3_path("b.x.s3.eu-west-1.amazonaws.com", "/k"), "/b.x/k");
        assert_eq!(s3_path("b.localhost:4566", "/k"), "/b/k");
        assert_eq!(s3_path("127.0.0.1:4566", "/b/k"), "/b/k");
        assert_eq!(s3_path("s3.us-east-1.amazonaws.com", "/b"), "/b");
    }
}
