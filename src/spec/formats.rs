//! Texts with a grammar of their own: CIDRs and ARNs. Each check says what is wrong and what to do.

use ipnet::IpNet;

/// What is wrong, and the help.
pub(super) type Refusal = (String, String);

/// Refuses what is no network, and a network with host bits set.
pub(super) fn refuse_cidr(text: &str) -> Option<Refusal> {
    match text.parse::<IpNet>() {
        Ok(net) if net.addr() == net.network() => None,
        Ok(net) => {
            let (address, prefix) = (net.addr(), net.prefix_len());
            Some((format!("`{address}` has bits set past the first {prefix}"), format!("write `{}`", net.trunc())))
        }
        Err(_) => Some((format!("`{text}` is not a CIDR"), "write a network such as 10.0.0.0/16".to_owned())),
    }
}

/// Refuses what is no ARN.
pub(super) fn refuse_arn(text: &str) -> Option<Refusal> {
    let help = || "an ARN is `arn:partition:service:region:account:resource`".to_owned();
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let [prefix, partition, service, region, account, resource] = parts[..] else {
        return Some((format!("`{text}` is not an ARN"), help()));
    };
    let wrong = if prefix != "arn" {
        format!("`{text}` does not start with `arn:`")
    } else if !["aws", "aws-cn", "aws-us-gov", "aws-iso", "aws-iso-b", "aws-iso-e", "aws-iso-f", "aws-eusc"]
        .contains(&partition)
    {
        format!("`{partition}` is not a partition")
    } else if service.is_empty()
        || !service.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    {
        format!("`{service}` is not a service")
    } else if !region.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-') {
        format!("`{region}` is not a region")
    } else if !(account.is_empty()
        || account == "aws"
        || (account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit())))
    {
        format!("`{account}` is not an account id of 12 digits")
    } else if resource.is_empty() {
        "it names no resource after the last colon".to_owned()
    } else {
        return None;
    };
    Some((wrong, help()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cidrs_have_no_host_bits() {
        assert_eq!(refuse_cidr("10.0.0.0/8"), None);
        assert_eq!(refuse_cidr("2001:db8::/32"), None);
        assert_eq!(refuse_cidr("10.0.0.1/8").unwrap().1, "write `10.0.0.0/8`");
        assert!(refuse_cidr("10.0.0.0/33").is_some());
        assert!(refuse_cidr("10.0.0.0").is_some());
    }

    #[test]
    fn arns_have_six_parts() {
        for good in
            ["arn:aws:s3:::b", "arn:aws-cn:iam::123456789012:role/x:y", "arn:aws:iam::aws:policy/ReadOnlyAccess"]
        {
            assert_eq!(refuse_arn(good), None, "{good}");
        }
        for bad in ["", "b", "arn:aws:s3:::", "arn:azure:s3:::b", "arn:aws:S3:::b", "arn:aws:kms:us-east-1:123:key/1"] {
            assert!(refuse_arn(bad).is_some(), "{bad}");
        }
    }
}
