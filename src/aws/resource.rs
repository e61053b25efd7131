//! What a kind's author writes ([`ResourceKind`]), and what the engine calls ([`Kind`]).
//!
//! A create is exactly one call that makes the thing; whatever else a new resource needs is set by `update`,
//! from what was read back to what is wanted. So a run that was killed between two calls is finished by the
//! same code that repairs drift, and no kind has a second path to get wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::marker::PhantomData;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::bulk::InBulk;
use super::tags::{Owner, Tags};
use super::{Aws, AwsError, ErrorClass};
use crate::graph::{Address, PhysicalId};
use crate::kind::{Actions, Holding, Identity, KindSchema, SchemaNode, Scope, Seen, SeenResource, normalise};
use crate::value::{self, unreadable};

/// Which top-level arguments a read has to fill; the others may be left out to save calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fields {
    All,
    Only(BTreeSet<String>),
}

impl Fields {
    /// Tells whether an argument has to be read.
    pub fn wants(&self, argument: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names.contains(argument),
        }
    }
}

/// A resource as AWS has it.
#[derive(Debug, Clone)]
pub struct Observed<K: ResourceKind + ?Sized> {
    pub arguments: K::Arguments,
    pub attributes: K::Attributes,
    /// Whose it is by its tags; `None` where it has none or can't carry any.
    pub owner: Option<Owner>,
    /// Arguments that AWS could not be asked for, with the reason.
    pub unreadable: BTreeMap<String, String>,
}

impl<K: ResourceKind> Observed<K> {
    /// Makes one with everything readable.
    pub fn new(arguments: K::Arguments, attributes: K::Attributes, owner: Option<Owner>) -> Self {
        Self { arguments, attributes, owner, unreadable: BTreeMap::new() }
    }

    /// Takes the value of a field that is read by a call of its own; where the call failed, notes why.
    pub fn field<T: Default>(&mut self, path: &str, read: Result<T, AwsError>) -> T {
        read.unwrap_or_else(|error| {
            self.unreadable.insert(path.to_owned(), error.reason());
            T::default()
        })
    }
}

/// What a read found under an id.
#[derive(Debug, Clone)]
pub enum Observation<K: ResourceKind + ?Sized> {
    Present(Box<Observed<K>>),
    Absent,
    /// AWS could not be asked; this is never "absent".
    Unreadable(AwsError),
}

impl<K: ResourceKind> Observation<K> {
    /// Makes an observation of one call's result: a missing thing is absent, another error is unreadable.
    pub fn from_read(read: Result<Observed<K>, AwsError>) -> Self {
        match read {
            Ok(observed) => Self::Present(Box::new(observed)),
            Err(error) if error.is_not_found() => Self::Absent,
            Err(error) => Self::Unreadable(error),
        }
    }
}

/// One resource found in the account, managed or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Discovered {
    pub id: PhysicalId,
    pub owner: Option<Owner>,
    /// A name for people, where the id says little.
    pub name: Option<String>,
}

/// Gives the secret values that a spec only names.
pub trait SecretValues: Send + Sync {
    /// Returns the value of an environment variable.
    fn variable(&self, name: &str) -> Option<String>;
    /// Returns the text of a file, by its path beside the spec.
    fn file(&self, path: &str) -> Option<String>;
}

/// What a create knows besides its arguments.
#[derive(Clone, Copy)]
pub struct Creation<'a> {
    /// Clients that never repeat an ambiguous call by themselves.
    pub aws: &'a Aws,
    pub scope: &'a Scope,
    pub address: &'a Address,
    pub owner: &'a Owner,
    /// The client token: the same for every attempt to make this generation of this address.
    pub token: &'a str,
    pub secrets: &'a dyn SecretValues,
}

impl Creation<'_> {
    /// Returns the user's tags and the ownership tags, for the create call.
    pub fn tags(&self, user: &Tags) -> Tags {
        self.owner.tags_with(user)
    }

    /// Makes a name that is unique in the account from environment, address and generation.
    ///
    /// For kinds whose name the user left out: `research-trainer`, at most `max` characters of `[A-Za-z0-9-]`.
    pub fn default_name(&self, max: usize) -> String {
        default_name(self.owner, max)
    }
}

/// The default of an argument that is on unless it is turned off.
pub(crate) fn yes() -> bool {
    true
}

/// Returns the name of a resource whose spec names none.
pub fn default_name(owner: &Owner, max: usize) -> String {
    let address = owner.address.split_once('.').map_or(owner.address.as_str(), |(_, name)| name);
    let text = format!("{}-{address}", owner.environment);
    let mut name: String = text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    if owner.generation > 1 {
        let suffix = format!("-{}", owner.generation);
        name.truncate(max.saturating_sub(suffix.len()));
        name.push_str(&suffix);
    }
    name.truncate(max);
    name.trim_end_matches('-').to_owned()
}

/// What an update knows.
pub struct Update<'a, K: ResourceKind> {
    pub aws: &'a Aws,
    pub scope: &'a Scope,
    pub address: &'a Address,
    pub id: &'a PhysicalId,
    pub before: &'a Observed<K>,
    pub after: &'a K::Arguments,
    pub changes: &'a Changes,
    pub owner: &'a Owner,
    pub token: &'a str,
    pub secrets: &'a dyn SecretValues,
}

impl<K: ResourceKind> Update<'_, K> {
    /// Tells whether an argument or anything below it changes.
    pub fn touches(&self, argument: &str) -> bool {
        self.changes.touches(argument)
    }

    /// Returns what to do so that the resource carries `user` and the ownership tags.
    pub fn tag_changes(&self, before: &Tags, user: &Tags) -> super::tags::TagChanges {
        let before = match &self.before.owner {
            Some(owner) => owner.tags_with(before),
            None => before.clone(),
        };
        super::tags::TagChanges::between(&before, &self.owner.tags_with(user))
    }
}

/// What a delete knows.
#[derive(Clone, Copy)]
pub struct Deletion<'a> {
    pub aws: &'a Aws,
    pub scope: &'a Scope,
    pub id: &'a PhysicalId,
    /// The arguments as last recorded, in the normal form.
    pub recorded: &'a Value,
    /// Whether the spec allows data in it to be lost.
    pub allow_data_loss: bool,
}

/// The argument paths that change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes(pub BTreeSet<String>);

impl Changes {
    /// Tells whether an argument or anything below it changes.
    pub fn touches(&self, argument: &str) -> bool {
        self.0
            .iter()
            .any(|path| path.strip_prefix(argument).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '['])))
    }
}

/// A fault in a resource's arguments that its schema can't express.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub path: String,
    pub message: String,
    pub help: Option<String>,
}

impl Problem {
    /// Makes a problem with the argument at `path`.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into(), help: None }
    }
}

/// A resource kind, as its author sees it. See `docs/adding-a-kind.md`.
pub trait ResourceKind: Send + Sync + 'static {
    /// The kind's name, from the SDK operation that makes one (`CreateKey` → `kms_key`).
    const NAME: &'static str;
    /// The prefix of its IAM actions.
    const SERVICE: &'static str;
    const IDENTITY: Identity;
    const ACTIONS: Actions;
    /// Whether deleting one destroys what can't be made again from the spec, or turns away who uses it.
    ///
    /// A plan then deletes or replaces one only where the loss is allowed at its address, or `holds` finds it empty.
    const HOLDS_DATA: bool = false;
    /// What AWS's lists leave out of it and is known in bulk all the same, where there is something.
    const IN_BULK: Option<InBulk> = None;

    /// What the user sets. Doc comments become the reference page; the type's own is the page's text.
    type Arguments: Serialize + DeserializeOwned + JsonSchema + Clone + std::fmt::Debug + Send + Sync;
    /// What AWS sets.
    type Attributes: Serialize + DeserializeOwned + JsonSchema + Clone + std::fmt::Debug + Send + Sync;

    /// Checks what the schema can't express; strings may hold unknown markers. Pure.
    fn check(_arguments: &Value) -> Vec<Problem> {
        Vec::new()
    }

    /// Looks for the secret value that the arguments name, before the step that sends it; returns the argument with
    /// the error where it is not there.
    fn check_secrets(_arguments: &Value, _secrets: &dyn SecretValues) -> Option<(&'static str, AwsError)> {
        None
    }

    /// Returns the attributes that are certain before the create (an ARN made of a name). Pure.
    fn predict(_arguments: &Value, _owner: &Owner, _scope: &Scope) -> Map<String, Value> {
        Map::new()
    }

    /// Reads many by their ids, in as few calls as AWS allows; each id has to be answered.
    ///
    /// With an [`InBulk`], tags and fixed arguments that `fields` does not want are left out if that saves calls.
    fn read_many(
        aws: &Aws,
        ids: &[PhysicalId],
        fields: &Fields,
    ) -> impl Future<Output = Result<Vec<(PhysicalId, Observation<Self>)>, AwsError>> + Send;

    /// Lists all that the account and region have, AWS's own excluded.
    fn discover(aws: &Aws) -> impl Future<Output = Result<Vec<Discovered>, AwsError>> + Send;

    /// Finds what an earlier attempt at this create may have made. By ownership tags unless overridden.
    fn find(
        cx: Creation<'_>,
        _arguments: &Self::Arguments,
    ) -> impl Future<Output = Result<Vec<PhysicalId>, AwsError>> + Send {
        async move {
            let found = cx.aws.list::<Self>().await?;
            let own = found.iter().filter(|found| found.owner.as_ref() == Some(cx.owner));
            Ok(own.map(|found| found.id.clone()).collect())
        }
    }

    /// Makes one by exactly one call that changes anything, with the ownership tags in it where it takes tags.
    fn create(
        cx: Creation<'_>,
        arguments: &Self::Arguments,
    ) -> impl Future<Output = Result<PhysicalId, AwsError>> + Send;

    /// Waits, with a bound, until a new one can be read, updated and used.
    fn ready(_aws: &Aws, _id: &PhysicalId) -> impl Future<Output = Result<(), AwsError>> + Send {
        async { Ok(()) }
    }

    /// Brings what was observed to what is wanted; also completes a new one. Waits until the change is in force.
    fn update(cx: Update<'_, Self>) -> impl Future<Output = Result<(), AwsError>> + Send
    where
        Self: Sized;

    /// Looks into one for what would be destroyed with it; asked only of kinds that hold data.
    fn holds(_aws: &Aws, _id: &PhysicalId) -> impl Future<Output = Result<Holding, AwsError>> + Send {
        async { Ok(Holding::Always("what the spec can't make again".to_owned())) }
    }

    /// Deletes one and waits until it is gone; an absent one is a success.
    fn delete(cx: Deletion<'_>) -> impl Future<Output = Result<(), AwsError>> + Send;
}

/// What an update through the engine knows, in the normal form.
pub struct ErasedUpdate<'a> {
    pub aws: &'a Aws,
    pub scope: &'a Scope,
    pub address: &'a Address,
    pub id: &'a PhysicalId,
    pub arguments: &'a Value,
    pub changes: &'a Changes,
    pub owner: &'a Owner,
    pub token: &'a str,
    pub secrets: &'a dyn SecretValues,
}

/// A kind as the engine sees it: the same for all.
#[async_trait]
pub trait Kind: Send + Sync {
    /// Returns its name and schemas.
    fn schema(&self) -> &KindSchema;
    fn in_bulk(&self) -> Option<InBulk>;
    fn check(&self, arguments: &Value) -> Vec<Problem>;
    fn check_secrets(&self, arguments: &Value, secrets: &dyn SecretValues) -> Option<(&'static str, AwsError)>;
    fn predict(&self, arguments: &Value, owner: &Owner, scope: &Scope) -> Map<String, Value>;
    async fn read_many(
        &self,
        aws: &Aws,
        ids: &[PhysicalId],
        fields: &Fields,
    ) -> Result<BTreeMap<PhysicalId, Seen>, AwsError>;
    /// Reads one; `None` where it is absent. An error keeps its class, as a reading of many does not.
    async fn read(&self, aws: &Aws, id: &PhysicalId) -> Result<Option<SeenResource>, AwsError>;
    async fn discover(&self, aws: &Aws) -> Result<Vec<Discovered>, AwsError>;
    async fn find(&self, cx: Creation<'_>, arguments: &Value) -> Result<Vec<PhysicalId>, AwsError>;
    async fn create(&self, cx: Creation<'_>, arguments: &Value) -> Result<PhysicalId, AwsError>;
    async fn ready(&self, aws: &Aws, id: &PhysicalId) -> Result<(), AwsError>;
    /// Reads the resource, and updates it from what was read.
    async fn update(&self, cx: ErasedUpdate<'_>) -> Result<(), AwsError>;
    /// Looks into one for what would be destroyed with it. "Could not look" is [`Holding::Unknown`].
    async fn holds(&self, aws: &Aws, id: &PhysicalId) -> Holding;
    async fn delete(&self, cx: Deletion<'_>) -> Result<(), AwsError>;
}

/// Makes the engine's view of a kind.
pub fn erase<K: ResourceKind>() -> Box<dyn Kind> {
    let schema = KindSchema {
        name: K::NAME,
        service: K::SERVICE,
        identity: K::IDENTITY,
        holds_data: K::HOLDS_DATA,
        actions: K::ACTIONS,
        arguments: SchemaNode::of::<K::Arguments>(),
        attributes: SchemaNode::of::<K::Attributes>(),
    };
    Box::new(Erased::<K> { schema, kind: PhantomData })
}

struct Erased<K> {
    schema: KindSchema,
    kind: PhantomData<fn() -> K>,
}

impl<K: ResourceKind> Erased<K> {
    fn decode(&self, arguments: &Value) -> Result<K::Arguments, AwsError> {
        serde_path_to_error::deserialize(arguments).map_err(|error| {
            let message = format!("argument `{}` of {}: {}", error.path(), K::NAME, error.inner());
            AwsError::own("opora:Decode", ErrorClass::Invalid, "InvalidArgument", message)
        })
    }

    fn encode(&self, observed: &Observed<K>) -> SeenResource {
        let to_value = |result: Result<Value, serde_json::Error>| {
            result.expect("internal error: arguments and attributes are maps with text keys")
        };
        let mut arguments = normalise(&self.schema.arguments, &to_value(serde_json::to_value(&observed.arguments)));
        let mut attributes = normalise(&self.schema.attributes, &to_value(serde_json::to_value(&observed.attributes)));
        for (path, reason) in &observed.unreadable {
            let target = if self.schema.arguments.at(path).is_some() { &mut arguments } else { &mut attributes };
            value::set(target, path, unreadable(reason));
        }
        SeenResource { arguments, attributes, owner: observed.owner.clone() }
    }

    async fn read_one(&self, aws: &Aws, id: &PhysicalId) -> Result<Observed<K>, AwsError> {
        let read = K::read_many(aws, std::slice::from_ref(id), &Fields::All).await?;
        match read.into_iter().find(|(found, _)| found == id) {
            Some((_, Observation::Present(observed))) => Ok(*observed),
            Some((_, Observation::Unreadable(error))) => Err(error),
            Some((_, Observation::Absent)) | None => {
                let message = format!("{} `{id}` does not exist", K::NAME);
                Err(AwsError::own("opora:Read", ErrorClass::NotFound, "NotFound", message))
            }
        }
    }
}

#[async_trait]
impl<K: ResourceKind> Kind for Erased<K> {
    fn schema(&self) -> &KindSchema {
        &self.schema
    }

    fn in_bulk(&self) -> Option<InBulk> {
        K::IN_BULK
    }

    fn check(&self, arguments: &Value) -> Vec<Problem> {
        K::check(arguments)
    }

    fn check_secrets(&self, arguments: &Value, secrets: &dyn SecretValues) -> Option<(&'static str, AwsError)> {
        K::check_secrets(arguments, secrets)
    }

    fn predict(&self, arguments: &Value, owner: &Owner, scope: &Scope) -> Map<String, Value> {
        K::predict(arguments, owner, scope)
    }

    async fn read_many(
        &self,
        aws: &Aws,
        ids: &[PhysicalId],
        fields: &Fields,
    ) -> Result<BTreeMap<PhysicalId, Seen>, AwsError> {
        if ids.is_empty() {
            return Ok(BTreeMap::new());
        }
        let mut out = BTreeMap::new();
        for (id, observation) in K::read_many(aws, ids, fields).await? {
            let seen = match observation {
                Observation::Present(observed) => Seen::Present(self.encode(&observed)),
                Observation::Absent => Seen::Absent,
                Observation::Unreadable(error) => Seen::Unreadable { reason: error.reason() },
            };
            out.insert(id, seen);
        }
        for id in ids {
            out.entry(id.clone())
                .or_insert_with(|| Seen::Unreadable { reason: format!("{} `{id}` was not answered", K::NAME) });
        }
        Ok(out)
    }

    async fn read(&self, aws: &Aws, id: &PhysicalId) -> Result<Option<SeenResource>, AwsError> {
        let read = K::read_many(aws, std::slice::from_ref(id), &Fields::All).await?;
        match read.into_iter().find(|(found, _)| found == id) {
            Some((_, Observation::Present(observed))) => Ok(Some(self.encode(&observed))),
            Some((_, Observation::Unreadable(error))) => Err(error),
            Some((_, Observation::Absent)) | None => Ok(None),
        }
    }

    async fn discover(&self, aws: &Aws) -> Result<Vec<Discovered>, AwsError> {
        K::discover(aws).await
    }

    async fn find(&self, cx: Creation<'_>, arguments: &Value) -> Result<Vec<PhysicalId>, AwsError> {
        K::find(cx, &self.decode(arguments)?).await
    }

    async fn create(&self, cx: Creation<'_>, arguments: &Value) -> Result<PhysicalId, AwsError> {
        K::create(cx, &self.decode(arguments)?).await
    }

    async fn ready(&self, aws: &Aws, id: &PhysicalId) -> Result<(), AwsError> {
        K::ready(aws, id).await
    }

    async fn update(&self, cx: ErasedUpdate<'_>) -> Result<(), AwsError> {
        let before = self.read_one(cx.aws, cx.id).await?;
        let after = self.decode(cx.arguments)?;
        let typed = Update {
            aws: cx.aws,
            scope: cx.scope,
            address: cx.address,
            id: cx.id,
            before: &before,
            after: &after,
            changes: cx.changes,
            owner: cx.owner,
            token: cx.token,
            secrets: cx.secrets,
        };
        K::update(typed).await
    }

    async fn holds(&self, aws: &Aws, id: &PhysicalId) -> Holding {
        if !K::HOLDS_DATA {
            return Holding::Nothing;
        }
        match K::holds(aws, id).await {
            Ok(found) => found,
            Err(error) if error.is_not_found() => Holding::Nothing,
            Err(error) => Holding::Unknown(error.reason()),
        }
    }

    async fn delete(&self, cx: Deletion<'_>) -> Result<(), AwsError> {
        K::delete(cx).await.or_else(|error| error.absent::<()>().map(|_| ()))
    }
}
