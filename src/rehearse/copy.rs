//! Copies resources of one account into another: each by its kind's own create and update.
//!
//! No kind has code of its own for this. What a kind reads is what it can make again, with the ids that the copy gave
//! in place of the account's. What can't be made again is said, and is then missing in the copy.

use std::collections::{BTreeMap, BTreeSet};

use super::account::{Account, Found};
use super::words;
use crate::aws::resource::{Changes, Creation, ErasedUpdate, Fields, Kind, SecretValues};
use crate::aws::{Aws, AwsError, ErrorClass, kinds};
use crate::graph::{Address, PhysicalId};
use crate::kind::{Owner, Scope, Seen, SeenResource};
use crate::plan::compare;
use crate::value;

/// Updates are tried this often: one may wait for another.
const UPDATE_ROUNDS: usize = 3;

/// What came of a copy.
#[derive(Debug, Clone, Default)]
pub(super) struct Copied {
    /// Ids of the account, and of the same things in the copy.
    pub ids: BTreeMap<String, String>,
    /// Resources that are not, or not wholly, in the copy, with the reason.
    pub missing: Vec<(String, String)>,
    pub count: usize,
}

struct NoSecrets;

impl SecretValues for NoSecrets {
    fn variable(&self, _: &str) -> Option<String> {
        None
    }

    fn file(&self, _: &str) -> Option<String> {
        None
    }
}

/// One resource on its way into the copy.
struct Moving<'a> {
    found: &'a Found,
    kind: &'static dyn Kind,
    address: Address,
    owner: Owner,
    /// Its id in the copy, once it is there.
    id: Option<PhysicalId>,
}

struct Copier<'a> {
    copy: &'a Aws,
    scope: &'a Scope,
    ids: BTreeMap<String, String>,
}

/// Copies all resources; `ids` are those that are known already.
pub(super) async fn copy(copy: &Aws, scope: &Scope, account: &Account, ids: BTreeMap<String, String>) -> Copied {
    let mut copier = Copier { copy, scope, ids };
    let mut moving: Vec<Moving<'_>> = account.resources.iter().enumerate().filter_map(start).collect();
    let needs = needs(account);
    let mut missing = copier.make_all(&mut moving, &needs).await;
    missing.extend(copier.complete_all(&moving).await);
    let count = moving.iter().filter(|one| one.id.is_some()).count();
    Copied { ids: copier.ids, missing, count }
}

fn start((number, found): (usize, &Found)) -> Option<Moving<'_>> {
    let kind = kinds::get(found.kind)?;
    let address = found.address.clone().unwrap_or_else(|| Address::new(found.kind, format!("n{number}")));
    let owner = found.seen.owner.clone();
    let owner = owner.unwrap_or_else(|| Owner::new("not-managed", &address, 1));
    Some(Moving { found, kind, address, owner, id: None })
}

/// Says which other resources each one names: their ids and ARNs stand in its arguments.
fn needs(account: &Account) -> Vec<BTreeSet<usize>> {
    let mut owners: BTreeMap<String, usize> = BTreeMap::new();
    for (number, found) in account.resources.iter().enumerate() {
        owners.insert(found.id.as_str().to_owned(), number);
        for name in ["arn", "id", "name"] {
            if let Some(text) = found.seen.attributes[name].as_str() {
                owners.insert(text.to_owned(), number);
            }
        }
        // An ARN's last word alone is an id as well.
        if let Some(word) = words::words(found.id.as_str()).last().filter(|word| word.contains('-')) {
            owners.entry(word.to_owned()).or_insert(number);
        }
    }
    let of = |(number, found): (usize, &Found)| {
        let mut out = BTreeSet::new();
        value::walk_leaves(&found.seen.arguments, "", &mut |_, leaf| {
            let Some(text) = leaf.as_str() else { return };
            out.extend(owners.get(text));
            out.extend(words::words(text).filter_map(|word| owners.get(word)));
        });
        out.remove(&number);
        out
    };
    account.resources.iter().enumerate().map(of).collect()
}

impl Copier<'_> {
    /// Makes everything, what others need first; a circle is broken by trying.
    async fn make_all(&mut self, moving: &mut [Moving<'_>], needs: &[BTreeSet<usize>]) -> Vec<(String, String)> {
        let mut waiting: BTreeSet<usize> = (0..moving.len()).collect();
        let mut errors: BTreeMap<usize, AwsError> = BTreeMap::new();
        loop {
            let ready = waiting.iter().filter(|number| needs[**number].is_disjoint(&waiting));
            let ready: Vec<usize> = ready.filter(|number| !errors.contains_key(*number)).copied().collect();
            // Nothing is ready: everything left is tried, also what failed before.
            let last = ready.is_empty();
            let tried = if last { waiting.iter().copied().collect() } else { ready };
            let mut made = 0;
            for number in tried {
                match self.make(&mut moving[number]).await {
                    Ok(()) => {
                        made += 1;
                        waiting.remove(&number);
                        errors.remove(&number);
                    }
                    Err(error) => {
                        errors.insert(number, error);
                    }
                }
            }
            if waiting.is_empty() || (last && made == 0) {
                break;
            }
        }
        let name = |number: &usize| format!("{} {}", moving[*number].found.kind, moving[*number].found.id);
        errors.iter().map(|(number, error)| (name(number), error.reason())).collect()
    }

    async fn make(&mut self, one: &mut Moving<'_>) -> Result<(), AwsError> {
        words::add_ranges(&one.found.seen.arguments, &mut self.ids);
        let arguments = words::exchange(&one.found.seen.arguments, &self.ids);
        let token = format!("{}-{}", one.found.kind, one.found.id);
        let token: String = token.chars().filter(char::is_ascii_alphanumeric).take(60).collect();
        let cx = Creation {
            aws: self.copy,
            scope: self.scope,
            address: &one.address,
            owner: &one.owner,
            token: &token,
            secrets: &NoSecrets,
        };
        let id = one.kind.create(cx, &arguments).await?;
        one.kind.ready(self.copy, &id).await?;
        let seen = read(self.copy, one.kind, &id).await?;
        let own = words::differing(one.found.id.as_str(), id.as_str());
        let pairs = own.into_iter().chain(words::pairs(&one.found.seen.attributes, &seen.attributes));
        for (from, to) in words::one_to_one(pairs) {
            self.ids.entry(from).or_insert(to);
        }
        one.id = Some(id);
        // What comes later may need it whole; what it waits for itself is tried again at the end.
        let _ = self.complete(one).await;
        Ok(())
    }

    /// Sets what the create calls did not, and could not be set at once.
    async fn complete_all(&self, moving: &[Moving<'_>]) -> Vec<(String, String)> {
        let mut left: Vec<&Moving<'_>> = moving.iter().filter(|one| one.id.is_some()).collect();
        let mut errors = Vec::new();
        for _ in 0..UPDATE_ROUNDS {
            errors.clear();
            let mut failed = Vec::new();
            for one in left {
                if let Err(error) = self.complete(one).await {
                    errors.push((format!("{} {}", one.found.kind, one.found.id), error.reason()));
                    failed.push(one);
                }
            }
            left = failed;
            if left.is_empty() {
                break;
            }
        }
        errors
    }

    async fn complete(&self, one: &Moving<'_>) -> Result<(), AwsError> {
        let Some(id) = &one.id else { return Ok(()) };
        let arguments = words::exchange(&one.found.seen.arguments, &self.ids);
        let seen = read(self.copy, one.kind, id).await?;
        let differs = compare(one.kind.schema(), &arguments, &seen.arguments, Some(&arguments), &[]).changes;
        if differs.is_empty() {
            return Ok(());
        }
        let changes = Changes(differs.into_iter().map(|change| change.path).collect());
        let update = ErasedUpdate {
            aws: self.copy,
            scope: self.scope,
            address: &one.address,
            id,
            arguments: &arguments,
            changes: &changes,
            owner: &one.owner,
            token: "copy",
            secrets: &NoSecrets,
        };
        one.kind.update(update).await
    }
}

async fn read(copy: &Aws, kind: &'static dyn Kind, id: &PhysicalId) -> Result<SeenResource, AwsError> {
    let mut found = kind.read_many(copy, std::slice::from_ref(id), &Fields::All).await?;
    match found.remove(id) {
        Some(Seen::Present(seen)) => Ok(seen),
        Some(Seen::Unreadable { reason }) => {
            Err(AwsError::own("opora:Copy", ErrorClass::Other, "Unreadable", format!("{id}: {reason}")))
        }
        Some(Seen::Absent) | None => {
            Err(AwsError::own("opora:Copy", ErrorClass::NotFound, "NotFound", format!("{id} did not show")))
        }
    }
}
