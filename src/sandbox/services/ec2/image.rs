//! Machine images: a few of AWS's own, with the public parameters that name them.

use serde_json::{Value, json};

use super::{filter, invalid};
use crate::sandbox::call::{Call, text, texts};
use crate::sandbox::error::{Answer, AwsError};
use crate::sandbox::services::Operations;

pub(super) const OPERATIONS: Operations = &[("DescribeImages", describe_images)];

/// Images: name, architecture, root device, and the public parameter that holds the id.
const IMAGES: &[(&str, &str, &str, &str)] = &[
    (
        "al2023-ami-2023.6.20250303.0-kernel-6.1-x86_64",
        "x86_64",
        "/dev/xvda",
        "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64",
    ),
    (
        "al2023-ami-2023.6.20250303.0-kernel-6.1-arm64",
        "arm64",
        "/dev/xvda",
        "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-arm64",
    ),
    (
        "Deep Learning Base OSS Nvidia Driver GPU AMI (Ubuntu 22.04) 20250302",
        "x86_64",
        "/dev/sda1",
        "/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-ubuntu-22.04/latest/ami-id",
    ),
    (
        "Deep Learning Base Neuron AMI (Ubuntu 22.04) 20250302",
        "x86_64",
        "/dev/sda1",
        "/aws/service/neuron/dlami/base/ubuntu-22.04/latest/image_id",
    ),
];
/// The account that AWS's images belong to here.
const OWNER: &str = "137112412989";
const ROOT_GB: u64 = 8;

fn image_id(call: &Call<'_>, name: &str) -> String {
    let bytes = call.derived(&format!("image/{}/{name}", call.region));
    format!("ami-0{}", hex::encode(&bytes[..8]))
}

fn images(call: &Call<'_>) -> Vec<(String, Value)> {
    let row = |(name, architecture, root, parameter): &(&str, &str, &str, &str)| {
        let id = image_id(call, name);
        let value = json!({
            "ImageId": id, "Name": name, "Description": name, "Architecture": architecture, "State": "available",
            "OwnerId": OWNER, "ImageOwnerAlias": "amazon", "ImageLocation": format!("amazon/{name}"), "Public": true,
            "ImageType": "machine", "RootDeviceName": root, "RootDeviceType": "ebs", "VirtualizationType": "hvm",
            "Hypervisor": "xen", "EnaSupport": true, "SriovNetSupport": "simple", "BootMode": "uefi-preferred",
            "ImdsSupport": "v2.0", "PlatformDetails": "Linux/UNIX", "UsageOperation": "RunInstances",
            "CreationDate": "2025-03-03T18:00:00.000Z", "PublicSsmParameterName": parameter,
            "BlockDeviceMappings": [{
                "DeviceName": root,
                "Ebs": {"DeleteOnTermination": true, "Encrypted": false, "VolumeSize": ROOT_GB, "VolumeType": "gp3"},
            }],
        });
        (id, value)
    };
    IMAGES.iter().map(row).collect()
}

/// Returns an image by its id, or by `resolve:ssm:` and its parameter.
pub(super) fn image(call: &Call<'_>, given: &str) -> Result<Value, AwsError> {
    let all = images(call);
    if let Some(parameter) = given.strip_prefix("resolve:ssm:") {
        let found = all.into_iter().find(|(_, image)| image["PublicSsmParameterName"] == parameter);
        return found.map(|(_, image)| image).ok_or_else(|| {
            invalid(format!("Value ({given}) for parameter ImageId is invalid. The parameter could not be resolved."))
        });
    }
    if !given.strip_prefix("ami-").is_some_and(|id| !id.is_empty() && id.chars().all(|c| c.is_ascii_hexdigit())) {
        return Err(AwsError::new("InvalidAMIID.Malformed", format!("Invalid id: \"{given}\"")));
    }
    let found = all.into_iter().find(|(id, _)| id == given);
    found
        .map(|(_, image)| image)
        .ok_or_else(|| AwsError::new("InvalidAMIID.NotFound", format!("The image id '[{given}]' does not exist")))
}

fn describe_images(call: &mut Call<'_>, input: &Value) -> Answer {
    let (wanted, owners) = (texts(input, "ImageIds"), texts(input, "Owners"));
    for id in &wanted {
        image(call, id)?;
    }
    let filters = filter::parse(
        input,
        &[
            ("architecture", "Architecture"),
            ("image-id", "ImageId"),
            ("is-public", "Public"),
            ("name", "Name"),
            ("owner-alias", "ImageOwnerAlias"),
            ("owner-id", "OwnerId"),
            ("root-device-type", "RootDeviceType"),
            ("state", "State"),
            ("virtualization-type", "VirtualizationType"),
        ],
    )?;
    let mut rows = images(call);
    rows.sort_by(|a, b| a.0.cmp(&b.0));
    rows.retain(|(id, row)| {
        let owned =
            owners.is_empty() || owners.iter().any(|owner| *owner == "amazon" || *owner == text(row, "OwnerId"));
        (wanted.is_empty() || wanted.contains(&id.as_str())) && owned && filters.iter().all(|f| f.fits(row))
    });
    call.paged(input, "Images", rows, 1000)
}
