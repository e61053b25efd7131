//! Reads the engine's fields of a job file.

use super::{Input, Instance, LocalData, Output, Vpc};
use crate::diagnostic::Diagnostic;
use crate::jobs::engine::Reading;
use crate::jobs::fields::Fields;
use crate::state::State;
use crate::yaml::{Node, NodeValue};

/// The volume of an instance where the file does not say.
const VOLUME_GB: i64 = 30;

/// What runs: an image, or the name of an algorithm.
pub(super) fn read_program(fields: &Fields<'_>) -> Option<(Option<String>, Option<String>)> {
    if let Some(node) = fields.node("model") {
        let diagnostic = Diagnostic::error("JOB008", "not available yet")
            .at(node.span.clone(), "JumpStart models are not resolved yet")
            .help("name the training image of the model with `image:`");
        fields.problems().push(diagnostic);
        return None;
    }
    let (image, algorithm) = (fields.text("image"), fields.text("algorithm"));
    if let (Some(node), Some(_)) = (fields.node("algorithm"), &image) {
        fields.refuse(node, "`image` is there too", "keep one of `image` and `algorithm`");
        return None;
    }
    if image.is_none() && algorithm.is_none() && fields.node("image").is_none() && fields.node("algorithm").is_none() {
        fields.required("image", "image: 123456789012.dkr.ecr.us-east-1.amazonaws.com/train:1");
    }
    (image.is_some() || algorithm.is_some()).then_some((image, algorithm))
}

const DATA_FIELDS: [&str; 8] = ["upload", "to", "prefix", "from", "channel", "kms_key", "content_type", "mode"];

pub(super) fn read_data(fields: &Fields<'_>, reading: &Reading<'_>) -> Option<Vec<Input>> {
    let Some(node) = fields.node("data") else { return Some(Vec::new()) };
    let nodes: Vec<&Node> = match &node.value {
        NodeValue::Seq(items) => items.iter().collect(),
        _ => vec![node],
    };
    let inputs: Vec<Option<Input>> = nodes.into_iter().map(|node| read_input(fields, node, reading)).collect();
    let inputs: Vec<Input> = inputs.into_iter().collect::<Option<_>>()?;
    for (at, input) in inputs.iter().enumerate() {
        if inputs[..at].iter().any(|other| other.channel == input.channel) {
            fields.refuse(node, format!("two inputs are for the channel `{}`", input.channel), "give each a `channel`");
            return None;
        }
    }
    Some(inputs)
}

fn read_input(fields: &Fields<'_>, node: &Node, reading: &Reading<'_>) -> Option<Input> {
    let data = Fields::new(node, &node.span, "data", &DATA_FIELDS, fields.problems())?;
    let channel = data.text("channel").unwrap_or_else(|| "training".to_owned());
    let mode = data.one_of("mode", &["File", "FastFile", "Pipe"]).unwrap_or("File").to_owned();
    let content_type = data.text("content_type");
    if let Some(from) = data.node("from") {
        if data.node("upload").is_some() {
            data.refuse(from, "`upload` is there too", "keep one of `upload` and `from`");
            return None;
        }
        let text = data.text_of(from)?;
        if !text.starts_with("s3://") {
            data.refuse(from, format!("`{text}` does not lie on S3"), "write `from: s3://bucket/prefix/`");
            return None;
        }
        return Some(Input { channel, upload: None, from: Some(text.to_owned()), content_type, mode });
    }
    let path = data.required("upload", "upload: ./data/train.jsonl").and_then(|at| {
        let text = data.text_of(at)?;
        if let Err(error) = std::fs::metadata(reading.folder.join(text)) {
            let diagnostic = Diagnostic::error("JOB009", "a data file can't be read")
                .at(at.span.clone(), format!("`{text}`: {error}"))
                .help("paths are relative to the job file");
            data.problems().push(diagnostic);
            return None;
        }
        Some(text.to_owned())
    });
    let bucket = data.required_text("to", "to: $(s3_bucket.datasets.name)");
    let prefix = data.text("prefix").unwrap_or_else(|| "jobs/data".to_owned());
    let (path, bucket) = (path?, bucket?);
    let kms_key = data.text("kms_key").or_else(|| bucket_key(reading.state, &bucket));
    if kms_key.is_none() {
        warn_no_key(&data, node, &bucket);
    }
    let upload = LocalData { path, bucket, prefix, kms_key };
    Some(Input { channel, upload: Some(upload), from: None, content_type, mode })
}

pub(super) fn read_output(fields: &Fields<'_>, reading: &Reading<'_>) -> Option<Output> {
    let node = fields.required("output", "output: { bucket: $(s3_bucket.datasets.name) }")?;
    let output = fields.map("output", "output", &["bucket", "prefix", "kms_key"])?;
    let bucket = output.required_text("bucket", "bucket: $(s3_bucket.datasets.name)")?;
    let kms_key = output.text("kms_key").or_else(|| bucket_key(reading.state, &bucket));
    if kms_key.is_none() {
        warn_no_key(&output, node, &bucket);
    }
    let prefix = output.text("prefix").unwrap_or_else(|| "jobs/output".to_owned());
    Some(Output { bucket, prefix: prefix.trim_matches('/').to_owned(), kms_key })
}

fn warn_no_key(fields: &Fields<'_>, node: &Node, bucket: &str) {
    let diagnostic = Diagnostic::warning("JOB023", "no customer key")
        .at(node.span.clone(), format!("the state knows no key of bucket `{bucket}`"))
        .help("add `kms_key: $(kms_key.data.arn)`; without one the bucket's default applies");
    fields.problems().push(diagnostic);
}

pub(super) fn read_instance(fields: &Fields<'_>, output: Option<&Output>) -> Option<Instance> {
    fields.required("instance", "instance: { type: ml.m5.xlarge }")?;
    let known = ["type", "count", "volume_gb", "volume_kms_key"];
    let instance = fields.map("instance", "an instance", &known)?;
    let node = instance.required("type", "type: ml.m5.xlarge")?;
    let name = instance.text_of(node)?.to_owned();
    if !name.starts_with("ml.") || name.split('.').count() != 3 {
        instance.refuse(node, format!("`{name}` is not a training instance"), "write a type such as ml.m5.xlarge");
        return None;
    }
    let local = has_local_disks(&name);
    let mut volume_kms_key = instance.text("volume_kms_key");
    if let Some(node) = instance.node("volume_kms_key").filter(|_| local) {
        instance.refuse(node, format!("`{name}` has local disks, encrypted by hardware"), "remove `volume_kms_key`");
        return None;
    }
    if !local {
        volume_kms_key = volume_kms_key.or_else(|| output.and_then(|output| output.kms_key.clone()));
    }
    let number = |name: &str, default: i64, max: i64| match instance.node(name) {
        Some(_) => instance.integer(name, 1, max).and_then(|value| u32::try_from(value).ok()),
        None => u32::try_from(default).ok(),
    };
    let (count, volume_gb) = (number("count", 1, 1000), number("volume_gb", VOLUME_GB, 16_384));
    Some(Instance { name, count: count?, volume_gb: volume_gb?, volume_kms_key })
}

/// Tells whether a type trains on disks of its own, for which SageMaker refuses a volume key.
fn has_local_disks(instance_type: &str) -> bool {
    let family = instance_type.split('.').nth(1).unwrap_or_default();
    let always = ["g4dn", "g5", "g6", "gr6", "p4d", "p4de", "p5", "p6", "trn"];
    // In the names of EC2 a `d` after the generation stands for local disks: m5d, c6id, r5dn.
    let after =
        family.trim_start_matches(|c: char| c.is_ascii_lowercase()).trim_start_matches(|c: char| c.is_ascii_digit());
    always.iter().any(|start| family.starts_with(start)) || after.contains('d')
}

pub(super) fn read_vpc(fields: &Fields<'_>) -> Option<Vpc> {
    let vpc = fields.map("vpc", "vpc", &["subnets", "security_groups"])?;
    vpc.required("subnets", "subnets: [$(subnet.private.id)]")?;
    vpc.required("security_groups", "security_groups: [$(security_group.train.id)]")?;
    let (subnets, security_groups) = (vpc.texts("subnets"), vpc.texts("security_groups"));
    (!subnets.is_empty() && !security_groups.is_empty()).then_some(Vpc { subnets, security_groups })
}

/// Returns the customer key that the environment encrypts a bucket with.
fn bucket_key(state: &State, bucket: &str) -> Option<String> {
    let records = state.resources.values().filter(|record| record.kind == "s3_bucket" && record.complete);
    let named = |record: &&crate::state::Record| {
        record.id.as_str() == bucket || record.arguments["name"].as_str() == Some(bucket)
    };
    let key = &records.into_iter().find(named)?.arguments["encryption"]["kms_key"];
    key.as_str().filter(|key| !key.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_disks_are_told_by_the_type() {
        for name in
            ["ml.p4d.24xlarge", "ml.p5.48xlarge", "ml.g5.xlarge", "ml.m5d.large", "ml.trn1.32xlarge", "ml.c6id.large"]
        {
            assert!(has_local_disks(name), "{name}");
        }
        for name in ["ml.m5.xlarge", "ml.c5.xlarge", "ml.p3.2xlarge", "ml.c5n.18xlarge", "ml.m6g.large"] {
            assert!(!has_local_disks(name), "{name}");
        }
    }
}
