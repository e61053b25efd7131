//! Names and places that can't be taken: other accounts' buckets, secrets and keys that wait for their deletion.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    BucketLocationConstraint, BucketVersioningStatus, CreateBucketConfiguration, VersioningConfiguration,
};

use super::{Ids, Questions, or_unknown};
use crate::aws::{Aws, AwsError, together};

/// The names that are held, and the buckets that hold something.
#[derive(Debug, Clone, Default)]
pub struct Names {
    foreign_buckets: BTreeSet<String>,
    far_destinations: BTreeMap<String, Holder>,
    filled_buckets: BTreeSet<String>,
    leaving_secrets: BTreeSet<String>,
    /// Aliases and the keys that they name.
    aliases: BTreeMap<String, String>,
}

/// Who has a bucket that is none of this account's in this region.
#[derive(Debug, Clone)]
enum Holder {
    /// This account, in another region.
    Own,
    /// Another account, with its number where the spec says it.
    Another(Option<String>),
}

pub(super) async fn read(aws: &Aws, questions: &Questions) -> (Names, Vec<String>) {
    let mut unknown = Vec::new();
    let (foreign, filled, secrets, aliases) = futures::join!(
        foreign(aws, questions),
        filled(aws, &questions.old_buckets),
        leaving_secrets(aws),
        aliases(aws)
    );
    let (foreign_buckets, far_destinations) = or_unknown("names of buckets", foreign, &mut unknown);
    let unseen = |name: &String| format!("whether bucket {name} keeps versions, as replication to it needs");
    unknown.extend(far_destinations.keys().map(unseen));
    let names = Names {
        foreign_buckets,
        far_destinations,
        filled_buckets: or_unknown("contents of buckets", filled, &mut unknown),
        leaving_secrets: or_unknown("secrets that wait for their deletion", secrets, &mut unknown),
        aliases: or_unknown("aliases of keys", aliases, &mut unknown),
    };
    (names, unknown)
}

/// Finds which of the wanted names are somebody else's: taken, and not in this account's own list. Finds besides which
/// destinations of a replication are there, but not in this account's region.
async fn foreign(aws: &Aws, questions: &Questions) -> Result<(BTreeSet<String>, BTreeMap<String, Holder>), AwsError> {
    let wanted: BTreeSet<&String> = questions.new_buckets.iter().chain(questions.destinations.keys()).collect();
    if wanted.is_empty() {
        return Ok(Default::default());
    }
    let mut own = BTreeMap::new();
    let mut pages = aws.s3().list_buckets().max_buckets(1000).into_paginator().send();
    while let Some(page) = pages.next().await {
        let page = page?.buckets.unwrap_or_default();
        own.extend(page.into_iter().filter_map(|bucket| Some((bucket.name?, bucket.bucket_region))));
    }
    let heads = wanted.into_iter().filter(|name| !own.contains_key(*name)).map(|name| async move {
        let answer = aws.s3().head_bucket().bucket(name).send().await.map_err(AwsError::from);
        (name, answer.map(|_| ()).map_or_else(AwsError::absent, |()| Ok(Some(()))))
    });
    // Any answer but "there is none" says that the name is taken: a redirect and a denial do as well.
    let taken = together(heads).await.into_iter().filter(|(_, answer)| !matches!(answer, Ok(None)));
    let taken: BTreeSet<&String> = taken.map(|(name, _)| name).collect();
    let far = questions.destinations.iter().filter_map(|(name, account)| match own.get(name) {
        Some(region) => (region.as_deref() != Some(aws.region())).then(|| (name.clone(), Holder::Own)),
        None => taken.contains(name).then(|| (name.clone(), Holder::Another(account.clone()))),
    });
    let far = far.collect();
    Ok((questions.new_buckets.iter().filter(|name| taken.contains(name)).cloned().collect(), far))
}

async fn filled(aws: &Aws, wanted: &BTreeSet<String>) -> Result<BTreeSet<String>, AwsError> {
    let reads = wanted.iter().map(|name| async move {
        let page = aws.s3().list_object_versions().bucket(name).max_keys(1).send().await.map_err(AwsError::from);
        page.map(|page| (name.clone(), !page.versions().is_empty() || !page.delete_markers().is_empty()))
    });
    let mut out = BTreeSet::new();
    for read in together(reads).await {
        match read {
            Ok((name, true)) => {
                out.insert(name);
            }
            Ok(_) => {}
            Err(error) => error.absent::<()>().map(|_| ())?,
        }
    }
    Ok(out)
}

async fn leaving_secrets(aws: &Aws) -> Result<BTreeSet<String>, AwsError> {
    let call = aws.secretsmanager().list_secrets().include_planned_deletion(true).max_results(100);
    let mut pages = call.into_paginator().send();
    let mut out = BTreeSet::new();
    while let Some(page) = pages.next().await {
        let found = page?.secret_list.unwrap_or_default();
        out.extend(found.into_iter().filter(|it| it.deleted_date.is_some()).filter_map(|it| it.name));
    }
    Ok(out)
}

async fn aliases(aws: &Aws) -> Result<BTreeMap<String, String>, AwsError> {
    let mut pages = aws.kms().list_aliases().into_paginator().items().send();
    let mut out = BTreeMap::new();
    while let Some(alias) = pages.next().await {
        let alias = alias?;
        if let (Some(name), Some(key)) = (alias.alias_name, alias.target_key_id)
            && !name.starts_with("alias/aws/")
        {
            out.insert(name, key);
        }
    }
    Ok(out)
}

impl Names {
    /// Takes the names in the copy; `stranger` is another account there, the one that is named or any. Returns what the
    /// copy would not take.
    pub async fn write(&self, copy: &Aws, stranger: &(dyn Fn(Option<&str>) -> Aws + Sync), ids: &Ids) -> Vec<String> {
        let mut refused = Vec::new();
        let mut note = |what: String, answer: Result<(), AwsError>| {
            if let Err(error) = answer {
                refused.push(format!("{what}: {}", error.reason()));
            }
        };
        for name in &self.foreign_buckets {
            note(format!("bucket {name}"), make_bucket(&stranger(None), name).await);
        }
        for (name, holder) in &self.far_destinations {
            let made = match holder {
                Holder::Own => make_destination(copy, name).await,
                Holder::Another(account) => make_destination(&stranger(account.as_deref()), name).await,
            };
            note(format!("bucket {name}"), made);
        }
        for name in &self.filled_buckets {
            note(format!("an object in {name}"), fill(copy, name).await);
        }
        for name in &self.leaving_secrets {
            note(format!("secret {name}"), leave_secret(copy, name).await);
        }
        // The keys that no kind shows are those that wait for their deletion.
        for (alias, _) in self.aliases.iter().filter(|(_, key)| !ids.contains_key(*key)) {
            note(alias.clone(), leave_key(copy, alias).await);
        }
        refused
    }
}

async fn make_bucket(aws: &Aws, name: &str) -> Result<(), AwsError> {
    let mut call = aws.s3().create_bucket().bucket(name);
    if aws.region() != "us-east-1" {
        let place = BucketLocationConstraint::from(aws.region());
        let place = CreateBucketConfiguration::builder().location_constraint(place).build();
        call = call.create_bucket_configuration(place);
    }
    call.send().await?;
    Ok(())
}

async fn make_destination(aws: &Aws, name: &str) -> Result<(), AwsError> {
    make_bucket(aws, name).await?;
    let enabled = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
    aws.s3().put_bucket_versioning().bucket(name).versioning_configuration(enabled).send().await?;
    Ok(())
}

async fn fill(copy: &Aws, bucket: &str) -> Result<(), AwsError> {
    let body = ByteStream::from_static(b"something");
    copy.s3().put_object().bucket(bucket).key("something").body(body).send().await?;
    Ok(())
}

async fn leave_secret(copy: &Aws, name: &str) -> Result<(), AwsError> {
    copy.secretsmanager().create_secret().name(name).send().await?;
    copy.secretsmanager().delete_secret().secret_id(name).send().await?;
    Ok(())
}

async fn leave_key(copy: &Aws, alias: &str) -> Result<(), AwsError> {
    let key = copy.kms().create_key().send().await?.key_metadata.map(|key| key.key_id).unwrap_or_default();
    copy.kms().create_alias().alias_name(alias).target_key_id(&key).send().await?;
    copy.kms().schedule_key_deletion().key_id(&key).send().await?;
    Ok(())
}
