//! Tags: the user's own, and the three that say whose a resource is.
//!
//! Every resource that can carry tags has the ownership tags from its create call on; recovery and the
//! search for unmanaged resources rest on them. They never show as the user's arguments.

use std::collections::BTreeMap;

pub use crate::kind::{Owner, Tags};

pub(super) const ENVIRONMENT: &str = "opora:environment";
const ADDRESS: &str = "opora:address";
const GENERATION: &str = "opora:generation";

impl Owner {
    /// Returns the user's tags with the ownership tags, as they are sent to AWS.
    pub fn tags_with(&self, user: &Tags) -> Tags {
        let own = [
            (ENVIRONMENT, self.environment.clone()),
            (ADDRESS, self.address.clone()),
            (GENERATION, self.generation.to_string()),
        ];
        let own = own.map(|(key, value)| (key.to_owned(), value));
        user.iter().map(|(key, value)| (key.clone(), value.clone())).chain(own).collect()
    }
}

/// Splits tags as AWS returns them into the user's and the owner's; `aws:` tags belong to nobody here.
pub fn split(all: impl IntoIterator<Item = (String, String)>) -> (Tags, Option<Owner>) {
    let mut user = Tags::new();
    let mut own = BTreeMap::new();
    for (key, value) in all {
        if [ENVIRONMENT, ADDRESS, GENERATION].contains(&key.as_str()) {
            own.insert(key, value);
        } else if !key.starts_with("aws:") {
            user.insert(key, value);
        }
    }
    let owner = own.remove(ENVIRONMENT).zip(own.remove(ADDRESS)).map(|(environment, address)| {
        let generation = own.get(GENERATION).and_then(|text| text.parse().ok()).unwrap_or(1);
        Owner { environment, address, generation }
    });
    (user, owner)
}

/// What has to be set and what has to be removed to get from one set of tags to another.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TagChanges {
    pub set: Tags,
    pub remove: Vec<String>,
}

impl TagChanges {
    /// Compares two sets of tags, ownership tags included.
    pub fn between(before: &Tags, after: &Tags) -> Self {
        let set = after.iter().filter(|(key, value)| before.get(*key) != Some(value));
        let remove = before.keys().filter(|key| !after.contains_key(*key));
        Self { set: set.map(|(key, value)| (key.clone(), value.clone())).collect(), remove: remove.cloned().collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owner_and_user_tags_part_again() {
        let address = "subnet.private[\"a\"]".parse().unwrap();
        let owner = Owner::new("research", &address, 3);
        let user = Tags::from([("team".to_owned(), "ml".to_owned())]);
        let all = owner.tags_with(&user);
        assert_eq!(all.len(), 4);
        assert_eq!(split(all.clone()), (user.clone(), Some(owner)));
        let changes = TagChanges::between(&all, &user);
        assert_eq!((changes.set.len(), changes.remove.len()), (0, 3));
        assert_eq!(split([("aws:cloudformation:stack-id".to_owned(), "x".to_owned())]), (Tags::new(), None));
    }
}
