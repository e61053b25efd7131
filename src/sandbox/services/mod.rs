//! The registry of simulated services: one row each, nothing dispatched by name anywhere else.

mod bedrock;
mod bedrock_runtime;
mod budgets;
mod cloudtrail;
mod documents;
mod ec2;
pub(crate) mod iam;
mod keys;
pub(crate) mod kms;
mod logs;
mod roles;
mod s3;
mod sagemaker;
mod sagemaker_runtime;
mod secretsmanager;
mod sts;
mod tagging;

use serde_json::Value;

pub(crate) use documents::is_public as is_public_statement;
pub(crate) use ec2::route_leads as ec2_route_leads;
pub(crate) use iam::document_of_own as iam_document;

use super::call::Call;
use super::error::Answer;
use super::store::Place;

/// A handler of one operation.
pub(crate) type Handler = fn(&mut Call<'_>, &Value) -> Answer;
/// The operations of a service, by name.
pub(crate) type Operations = &'static [(&'static str, Handler)];

/// Where a service keeps its resources.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    Regional,
    Global,
}

/// The codes a service answers with where all services answer alike.
#[derive(Debug)]
pub(crate) struct Manners {
    /// Input that violates the model.
    pub(crate) validation: &'static str,
    /// Too many calls: code and status.
    pub(crate) throttle: (&'static str, u16),
    /// The caller lacks a permission.
    pub(crate) denied: &'static str,
    /// A paging token that is not one of the service's.
    pub(crate) bad_token: &'static str,
    /// A client token used again with other parameters.
    pub(crate) token_mismatch: &'static str,
}

/// One simulated service.
#[derive(Debug)]
pub(crate) struct Service {
    /// The name of the model.
    pub(crate) name: &'static str,
    /// The name in ARNs.
    pub(crate) arn_name: &'static str,
    /// The name of the shelf; services that share resources share it.
    pub(crate) shelf: &'static str,
    pub(crate) scope: Scope,
    pub(crate) manners: Manners,
    /// The handlers, in one or more tables.
    pub(crate) operations: &'static [Operations],
}

/// What most JSON services answer; the rows below say where one differs.
const JSON: Manners = Manners {
    validation: "ValidationException",
    throttle: ("ThrottlingException", 400),
    denied: "AccessDeniedException",
    bad_token: "ValidationException",
    token_mismatch: "IdempotentParameterMismatchException",
};

/// What IAM and STS answer.
const QUERY: Manners = Manners {
    validation: "ValidationError",
    throttle: ("Throttling", 400),
    denied: "AccessDenied",
    bad_token: "ValidationError",
    token_mismatch: "IdempotentParameterMismatch",
};

const EC2: Manners = Manners {
    validation: "InvalidParameterValue",
    throttle: ("RequestLimitExceeded", 503),
    denied: "UnauthorizedOperation",
    bad_token: "InvalidParameterValue",
    token_mismatch: "IdempotentParameterMismatch",
};

/// All simulated services.
pub(crate) const SERVICES: &[Service] = &[
    Service {
        name: "budgets",
        arn_name: "budgets",
        shelf: "budgets",
        scope: Scope::Global,
        manners: Manners { validation: "InvalidParameterException", bad_token: "InvalidNextTokenException", ..JSON },
        operations: budgets::OPERATIONS,
    },
    Service {
        name: "bedrock",
        arn_name: "bedrock",
        shelf: "bedrock",
        scope: Scope::Regional,
        manners: Manners { throttle: ("ThrottlingException", 429), token_mismatch: "ConflictException", ..JSON },
        operations: bedrock::OPERATIONS,
    },
    Service {
        name: "bedrock-runtime",
        arn_name: "bedrock",
        shelf: "bedrock",
        scope: Scope::Regional,
        manners: Manners { throttle: ("ThrottlingException", 429), token_mismatch: "ConflictException", ..JSON },
        operations: bedrock_runtime::OPERATIONS,
    },
    Service {
        name: "cloudtrail",
        arn_name: "cloudtrail",
        shelf: "cloudtrail",
        scope: Scope::Regional,
        manners: Manners { validation: "InvalidParameterException", bad_token: "InvalidNextTokenException", ..JSON },
        operations: cloudtrail::OPERATIONS,
    },
    Service {
        name: "ec2",
        arn_name: "ec2",
        shelf: "ec2",
        scope: Scope::Regional,
        manners: EC2,
        operations: ec2::OPERATIONS,
    },
    Service {
        name: "iam",
        arn_name: "iam",
        shelf: "iam",
        scope: Scope::Global,
        manners: QUERY,
        operations: iam::OPERATIONS,
    },
    Service {
        name: "kms",
        arn_name: "kms",
        shelf: "kms",
        scope: Scope::Regional,
        manners: Manners { bad_token: "InvalidMarkerException", ..JSON },
        operations: kms::OPERATIONS,
    },
    Service {
        name: "logs",
        arn_name: "logs",
        shelf: "logs",
        scope: Scope::Regional,
        manners: Manners { validation: "InvalidParameterException", bad_token: "InvalidParameterException", ..JSON },
        operations: logs::OPERATIONS,
    },
    Service {
        name: "resourcegroupstaggingapi",
        arn_name: "tagging",
        shelf: "tagging",
        scope: Scope::Regional,
        manners: Manners {
            validation: "InvalidParameterException",
            bad_token: "PaginationTokenExpiredException",
            ..JSON
        },
        operations: &[tagging::OPERATIONS],
    },
    Service {
        name: "s3",
        arn_name: "s3",
        shelf: "s3",
        scope: Scope::Regional,
        manners: Manners {
            validation: "InvalidArgument",
            throttle: ("SlowDown", 503),
            denied: "AccessDenied",
            bad_token: "InvalidArgument",
            token_mismatch: "InvalidRequest",
        },
        operations: s3::OPERATIONS,
    },
    Service {
        name: "sagemaker",
        arn_name: "sagemaker",
        shelf: "sagemaker",
        scope: Scope::Regional,
        manners: JSON,
        operations: sagemaker::OPERATIONS,
    },
    Service {
        name: "sagemaker-runtime",
        arn_name: "sagemaker",
        shelf: "sagemaker",
        scope: Scope::Regional,
        manners: Manners { validation: "ValidationError", ..JSON },
        operations: &[sagemaker_runtime::OPERATIONS],
    },
    Service {
        name: "secretsmanager",
        arn_name: "secretsmanager",
        shelf: "secretsmanager",
        scope: Scope::Regional,
        manners: Manners { bad_token: "InvalidNextTokenException", ..JSON },
        operations: secretsmanager::OPERATIONS,
    },
    Service {
        name: "sts",
        arn_name: "sts",
        shelf: "sts",
        scope: Scope::Global,
        manners: QUERY,
        operations: &[sts::OPERATIONS],
    },
];

/// Returns a service by its model's name.
pub(crate) fn service(name: &str) -> Option<&'static Service> {
    SERVICES.iter().find(|service| service.name == name)
}

/// Writes what training jobs have produced by now, before somebody looks where they write it.
pub(crate) fn deliver_due(call: &mut Call<'_>) {
    let place = Place { account: call.account.clone(), region: call.region.clone(), service: "sagemaker".to_owned() };
    let owed = call.rows_at(&place, sagemaker::JOBS).any(|(_, job)| sagemaker::owes(&job));
    if owed {
        // Looking at all jobs delivers for each; the answer is of no interest.
        call.through("sagemaker", "ListTrainingJobs", &Value::Object(serde_json::Map::new()), bytes::Bytes::new()).ok();
    }
}

/// Returns the handler of an operation.
pub(crate) fn handler(service: &Service, operation: &str) -> Option<Handler> {
    let mut all = service.operations.iter().flat_map(|table| table.iter());
    all.find(|(name, _)| *name == operation).map(|(_, handler)| *handler)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::model::model;
    use std::collections::BTreeSet;

    #[test]
    fn every_handler_has_a_modelled_operation_and_only_one() {
        for service in SERVICES {
            let model = model(service.name).unwrap();
            let mut seen = BTreeSet::new();
            for (name, _) in service.operations.iter().flat_map(|table| table.iter()) {
                assert!(model.operations.contains_key(*name), "{} {name}", service.name);
                assert!(seen.insert(*name), "{} {name} twice", service.name);
            }
        }
    }
}
