//! What a handler sees of the world: its caller, its clock, its shelf, and helpers for what AWS does everywhere.
//!
//! A handler checks everything before it changes anything: an error answer must leave the store as it was.
//! Resources are read with their timelines resolved to the present; no handler waits or spawns.

use std::borrow::Cow;

use bytes::Bytes;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::codec::time;
use super::error::{Answer, AwsError};
use super::identity::partition;
use super::ids;
use super::model::{Model, Operation};
use super::services::{Scope, Service};
use super::store::{Entry, GLOBAL, Place};
use super::world::World;

/// The private key of a resource's timeline.
const TIMELINE: &str = "_timeline";
/// Seconds for which a client token is remembered.
const TOKEN_LIFE_S: f64 = 86_400.0;

/// One request while it is handled.
pub(crate) struct Call<'a> {
    pub(crate) service: &'static Service,
    pub(crate) model: &'static Model,
    pub(crate) operation: &'static Operation,
    pub(crate) account: String,
    pub(crate) region: String,
    /// The caller's ARN.
    pub(crate) principal: String,
    /// The caller's unique id, as STS shows it.
    pub(crate) user_id: String,
    pub(crate) access_key: String,
    pub(crate) request_id: String,
    /// The request's bytes, for streaming payloads.
    pub(crate) body: Bytes,
    /// The request's headers, for the rare handler that needs one the model lacks.
    pub(crate) headers: http::HeaderMap,
    /// The bytes of a streaming answer.
    pub(crate) reply_body: Option<Bytes>,
    /// Overrides the success status.
    pub(crate) reply_status: Option<u16>,
    /// Further headers of the answer.
    pub(crate) reply_headers: Vec<(String, String)>,
    /// The resources this call changed, as collection and id.
    pub(crate) touched: Vec<(String, String)>,
    pub(super) now: f64,
    pub(super) world: &'a mut World,
}

impl Call<'_> {
    /// Returns the time in seconds since the epoch, the same during one call.
    pub(crate) fn now(&self) -> f64 {
        self.now
    }

    /// Returns the time as the value of a timestamp member.
    pub(crate) fn timestamp(&self) -> Value {
        time::value(self.now)
    }

    /// Returns where this service keeps its resources for this caller.
    pub(crate) fn place(&self) -> Place {
        self.place_of(self.service)
    }

    fn place_of(&self, service: &Service) -> Place {
        let region = match service.scope {
            Scope::Regional => self.region.clone(),
            Scope::Global => GLOBAL.to_owned(),
        };
        Place { account: self.account.clone(), region, service: service.shelf.to_owned() }
    }

    /// Returns a resource as it is now.
    pub(crate) fn get(&self, collection: &str, id: &str) -> Option<Value> {
        self.get_at(&self.place(), collection, id)
    }

    /// Returns a resource of any account, region and service as it is now.
    pub(crate) fn get_at(&self, place: &Place, collection: &str, id: &str) -> Option<Value> {
        let entry = self.world.store.shelf(place)?.collections.get(collection)?.get(id)?;
        resolve(&entry.value, self.now).map(Cow::into_owned)
    }

    /// Returns all resources of a collection as they are now, in order of their ids.
    pub(crate) fn list(&self, collection: &str) -> Vec<(String, Value)> {
        self.list_at(&self.place(), collection)
    }

    /// Returns a collection of any account, region and service.
    pub(crate) fn list_at(&self, place: &Place, collection: &str) -> Vec<(String, Value)> {
        self.select_at(place, collection, |_, _| true)
    }

    /// Returns those resources of a collection that pass.
    pub(crate) fn select(&self, collection: &str, pass: impl Fn(&str, &Value) -> bool) -> Vec<(String, Value)> {
        self.select_at(&self.place(), collection, pass)
    }

    fn select_at(&self, place: &Place, collection: &str, pass: impl Fn(&str, &Value) -> bool) -> Vec<(String, Value)> {
        let passed = self.rows_at(place, collection).filter(|(id, row)| pass(id, row));
        passed.map(|(id, row)| (id.to_owned(), row.into_owned())).collect()
    }

    /// Returns the first resource of a collection that passes.
    pub(crate) fn find(&self, collection: &str, pass: impl Fn(&str, &Value) -> bool) -> Option<(String, Value)> {
        let found = self.rows_at(&self.place(), collection).find(|(id, row)| pass(id, row));
        found.map(|(id, row)| (id.to_owned(), row.into_owned()))
    }

    /// Returns what the first resource of a collection gives that gives something.
    pub(crate) fn find_map<T>(&self, collection: &str, of: impl Fn(&str, &Value) -> Option<T>) -> Option<T> {
        self.rows_at(&self.place(), collection).find_map(|(id, row)| of(id, &row))
    }

    /// Tells whether a resource of a collection passes.
    pub(crate) fn any(&self, collection: &str, pass: impl Fn(&str, &Value) -> bool) -> bool {
        self.rows_at(&self.place(), collection).any(|(id, row)| pass(id, &row))
    }

    /// Counts a collection's resources.
    pub(crate) fn count(&self, collection: &str) -> usize {
        self.count_of(collection, |_| true)
    }

    /// Counts those resources of a collection that pass.
    pub(crate) fn count_of(&self, collection: &str, pass: impl Fn(&Value) -> bool) -> usize {
        self.rows_at(&self.place(), collection).filter(|(_, row)| pass(row)).count()
    }

    /// Visits a collection as it is now, or as lists show it; what has no timeline is not copied.
    pub(crate) fn rows_at(&self, place: &Place, collection: &str) -> impl Iterator<Item = (&str, Cow<'_, Value>)> {
        let current = self.stored(place, collection);
        let lag = self.world.conditions.list_lag_s;
        let behind = self.operation.is_read() && lag > 0.0;
        let past = behind.then(|| self.world.past.rewind(place, collection, current.clone(), self.now - lag));
        let current = (!behind).then_some(current);
        let rows = past.into_iter().flatten().chain(current.into_iter().flatten());
        rows.filter_map(|(id, value)| Some((id, resolve(value, self.now)?)))
    }

    /// Visits a collection as it is now also for calls that list: S3's lists of objects are strongly consistent.
    pub(crate) fn rows_now_at(&self, place: &Place, collection: &str) -> impl Iterator<Item = (&str, Cow<'_, Value>)> {
        self.stored(place, collection).filter_map(|(id, value)| Some((id, resolve(value, self.now)?)))
    }

    fn stored(&self, place: &Place, collection: &str) -> impl Iterator<Item = (&str, &Value)> + Clone {
        let found = self.world.store.shelf(place).and_then(|shelf| shelf.collections.get(collection));
        found.into_iter().flatten().map(|(id, entry)| (id.as_str(), &entry.value))
    }

    /// Keeps what a resource was, for as long as listing calls are behind.
    fn remember(&mut self, place: &Place, collection: &str, id: &str) {
        if self.world.conditions.list_lag_s > 0.0 {
            let was = self.world.store.shelf(place).and_then(|shelf| shelf.collections.get(collection)?.get(id));
            let was = was.map(|entry| entry.value.clone());
            self.world.past.add(place, collection, id, self.now, was);
        }
    }

    /// Stores a resource, new or replaced.
    pub(crate) fn put(&mut self, collection: &str, id: &str, value: Value) {
        self.put_at(&self.place(), collection, id, value);
    }

    /// Stores a resource anywhere.
    pub(crate) fn put_at(&mut self, place: &Place, collection: &str, id: &str, value: Value) {
        self.touched.push((collection.to_owned(), id.to_owned()));
        self.remember(place, collection, id);
        let now = self.now;
        let old = self.world.store.shelf(place).and_then(|shelf| shelf.collections.get(collection)?.get(id));
        // A resource that came back after its timeline ended is a new one.
        let at = old.filter(|old| resolve(&old.value, now).is_some()).map_or(now, |old| old.at);
        self.world.store.put(place, collection, id, Entry { at, value });
    }

    /// Changes a resource in place; false if there is none.
    ///
    /// The parts of its timeline that are past become part of it.
    pub(crate) fn change(&mut self, collection: &str, id: &str, change: impl FnOnce(&mut Value)) -> bool {
        let place = self.place();
        let Some(mut value) = self.get_at(&place, collection, id) else { return false };
        change(&mut value);
        self.put_at(&place, collection, id, value);
        true
    }

    /// Amends resources of a collection in every account and region, as AWS does by itself: the call is not about them.
    pub(crate) fn amend(&mut self, service: &str, collection: &str, mut amend: impl FnMut(&mut Value)) {
        let places = self.world.store.shelves().map(|(place, _)| place);
        let places: Vec<Place> = places.filter(|place| place.service == service).cloned().collect();
        for place in places {
            for (id, mut value) in self.list_at(&place, collection) {
                let before = value.clone();
                amend(&mut value);
                if value != before {
                    self.remember(&place, collection, &id);
                    let old =
                        self.world.store.shelf(&place).and_then(|shelf| shelf.collections.get(collection)?.get(&id));
                    let at = old.map_or(self.now, |old| old.at);
                    self.world.store.put(&place, collection, &id, Entry { at, value });
                }
            }
        }
    }

    /// Removes a resource; false if there was none.
    pub(crate) fn remove(&mut self, collection: &str, id: &str) -> bool {
        self.remove_at(&self.place(), collection, id)
    }

    /// Removes a resource anywhere.
    pub(crate) fn remove_at(&mut self, place: &Place, collection: &str, id: &str) -> bool {
        let present = self.get_at(place, collection, id).is_some();
        if present {
            self.touched.push((collection.to_owned(), id.to_owned()));
            self.remember(place, collection, id);
            self.world.store.remove(place, collection, id);
        }
        present
    }

    /// Returns another service's resource of the same caller, if it has propagated to consumers.
    pub(crate) fn elsewhere(&self, service: &str, collection: &str, id: &str) -> Option<Value> {
        let place = self.place_of(super::services::service(service)?);
        let entry = self.world.store.shelf(&place)?.collections.get(collection)?.get(id)?;
        let delay = self.propagation(service);
        if entry.at + delay > self.now {
            return None;
        }
        resolve(&entry.value, self.now).map(Cow::into_owned)
    }

    /// Returns how many instances of a type (`type` or `type@zone`) there is capacity for, where that is bounded.
    pub(crate) fn capacity(&self, name: &str) -> Option<u64> {
        self.world.conditions.capacity.get(name).copied()
    }

    /// Returns the id of the organization that the caller's account manages, where it does.
    pub(crate) fn organization(&self) -> Option<&str> {
        self.world.conditions.organization.as_deref()
    }

    /// Returns the regions in which the caller's account has resources of a service.
    pub(crate) fn regions(&self, service: &str) -> Vec<String> {
        let shelves = self.world.store.shelves().map(|(place, _)| place);
        let own = shelves.filter(|place| place.service == service && place.account == self.account);
        own.map(|place| place.region.clone()).collect()
    }

    /// Finds a resource with a world-wide unique id in any account and region.
    pub(crate) fn anywhere(&self, service: &str, collection: &str, id: &str) -> Option<(Place, Value)> {
        let shelves = self.world.store.shelves().filter(|(place, _)| place.service == service);
        let places: Vec<Place> = shelves
            .filter(|(_, shelf)| shelf.collections.get(collection).is_some_and(|c| c.contains_key(id)))
            .map(|(place, _)| place.clone())
            .collect();
        places.into_iter().find_map(|place| self.get_at(&place, collection, id).map(|value| (place, value)))
    }

    /// Returns everything with an ARN that this caller's region shows, behind like every list.
    ///
    /// What has no region is shown in one region of the partition alone.
    pub(crate) fn tagged(&self) -> Vec<(Place, String, String, Value)> {
        let shows = |place: &Place| {
            let here = place.region == self.region || (place.region == GLOBAL && self.region == self.global_region());
            place.account == self.account && here
        };
        let mut found = Vec::new();
        for (place, shelf) in self.world.store.shelves().filter(|(place, _)| shows(place)) {
            for collection in shelf.collections.keys() {
                let all = self.select_at(place, collection, |_, value| value.get("_arn").is_some());
                found.extend(all.into_iter().map(|(id, value)| (place.clone(), collection.clone(), id, value)));
            }
        }
        found
    }

    /// Returns the region of the partition in which the tagging API has what belongs to no region.
    fn global_region(&self) -> &'static str {
        match self.partition() {
            "aws-cn" => "cn-north-1",
            "aws-us-gov" => "us-gov-west-1",
            _ => "us-east-1",
        }
    }

    /// Keeps an object's bytes and returns their hash.
    pub(crate) fn put_blob(&mut self, bytes: Bytes) -> Result<String, AwsError> {
        let kept = self.world.store.put_blob(bytes);
        kept.map_err(|error| AwsError::new("InternalError", error.to_string()).status(500))
    }

    /// Returns an object's bytes by their hash.
    pub(crate) fn blob(&self, hash: &str) -> Option<Bytes> {
        self.world.store.blob(hash)
    }

    /// Returns fresh bytes that depend on the seed and this shelf's history only.
    pub(crate) fn entropy(&mut self) -> [u8; 32] {
        let place = self.place();
        let seed = self.world.store.header.seed;
        let serial = self.world.store.next_serial(&place);
        let scope = format!("{}/{}/{}", place.account, place.region, place.service);
        ids::entropy(seed, &scope, serial)
    }

    /// Returns bytes that depend on the seed and a name, the same at every call.
    pub(crate) fn derived(&self, name: &str) -> [u8; 32] {
        ids::entropy(self.world.store.header.seed, name, 0)
    }

    /// Makes an EC2-style id, `prefix-0123456789abcdef0`.
    pub(crate) fn id(&mut self, prefix: &str) -> String {
        ids::ec2(prefix, &self.entropy())
    }

    /// Makes a UUID.
    pub(crate) fn uuid(&mut self) -> String {
        ids::uuid(&self.entropy())
    }

    /// Makes an id of the given alphabet (see [`ids`]) and length.
    pub(crate) fn letters(&mut self, alphabet: &[u8], length: usize) -> String {
        ids::letters(&self.entropy(), alphabet, length)
    }

    /// Returns an ARN of this service in this region, `arn:aws:kms:us-east-1:123456789012:key/…`.
    pub(crate) fn arn(&self, resource: &str) -> String {
        let name = self.service.arn_name;
        let region = match self.service.scope {
            Scope::Regional => self.region.as_str(),
            Scope::Global => "",
        };
        format!("arn:{}:{name}:{region}:{}:{resource}", partition(&self.region), self.account)
    }

    /// Returns the ARN partition of the caller's region.
    pub(crate) fn partition(&self) -> &'static str {
        partition(&self.region)
    }

    /// Remembers whom an access key stands for.
    pub(crate) fn register_key(&mut self, access_key: &str, identity: Value) {
        let place = World::sessions();
        self.world.store.put(&place, "keys", access_key, Entry { at: self.now, value: identity });
    }

    /// Returns whom an access key stands for.
    pub(crate) fn identity_of(&self, access_key: &str) -> Result<super::world::Identity, &'static str> {
        self.world.identity(access_key, self.partition(), self.now)
    }

    /// Returns what is kept of an access key that was given out.
    pub(crate) fn key_entry(&self, access_key: &str) -> Option<Value> {
        self.world.key_entry(access_key).cloned()
    }

    /// Tells whether callers are held to their IAM policies.
    pub(crate) fn enforced(&self) -> bool {
        self.world.enforced()
    }

    /// Returns for how many seconds a service's changes do not show to others.
    pub(crate) fn propagation(&self, service: &str) -> f64 {
        self.world.conditions.propagation.get(service).copied().unwrap_or(0.0)
    }

    /// Returns the log of handled calls, oldest first.
    pub(crate) fn log(&self) -> &[super::call_log::Record] {
        self.world.log.records()
    }

    /// Does a creation at most once per client token.
    ///
    /// The same token with the same input gives the first answer again; with another input, the service's
    /// mismatch error. Without a token every call creates. Tokens are remembered for 24 hours.
    pub(crate) fn once(
        &mut self,
        token: Option<&str>,
        input: &Value,
        create: impl FnOnce(&mut Self) -> Answer,
    ) -> Answer {
        let Some(token) = token else { return create(self) };
        let place = self.place();
        let key = format!("{}:{token}", self.operation.name);
        let digest = hex::encode(Sha256::digest(input.to_string()));
        let known = self.world.store.shelf(&place).and_then(|s| s.collections.get("_tokens")?.get(&key));
        if let Some(entry) = known.filter(|entry| entry.at + TOKEN_LIFE_S > self.now) {
            if entry.value["digest"] == json!(digest) {
                return Ok(entry.value["answer"].clone());
            }
            let message = "The client token was already used with other parameters.";
            return Err(AwsError::new(self.service.manners.token_mismatch, message));
        }
        let answer = create(self)?;
        let value = json!({"digest": digest, "answer": answer});
        self.world.store.put(&place, "_tokens", &key, Entry { at: self.now, value });
        Ok(answer)
    }

    /// Answers one page of a list operation: `{result_key: items, token, is-truncated}` by the model's paging facts.
    ///
    /// Items come with a key that identifies them within the list and is unique in it. `default` is the page
    /// size without a limit in the request, `usize::MAX` for none.
    pub(crate) fn paged(&self, input: &Value, result_key: &str, items: Vec<(String, Value)>, default: usize) -> Answer {
        let (items, next) = self.page(input, items, default)?;
        let mut out = Map::new();
        out.insert(result_key.to_owned(), Value::Array(items));
        if let Some(paging) = &self.operation.paging {
            if let Some(more) = &paging.more_results {
                out.insert(more.clone(), json!(next.is_some()));
            }
            if let Some(next) = next {
                out.insert(paging.output_token.first().to_owned(), json!(next));
            }
        }
        Ok(Value::Object(out))
    }

    /// Cuts one page out of a list and makes the token of the next.
    ///
    /// Tokens are bound to the operation and its other parameters; an alien one is refused.
    pub(crate) fn page(
        &self,
        input: &Value,
        items: Vec<(String, Value)>,
        default: usize,
    ) -> Result<(Vec<Value>, Option<String>), AwsError> {
        let strip = |items: Vec<(String, Value)>| items.into_iter().map(|(_, value)| value).collect();
        let Some(paging) = &self.operation.paging else { return Ok((strip(items), None)) };
        let token_key = paging.input_token.first();
        let asked = paging.limit_key.as_ref().and_then(|key| input.get(key)?.as_u64());
        let limit = asked.map_or(default, |limit| usize::try_from(limit).unwrap_or(usize::MAX)).max(1);
        let mut rest = input.clone();
        if let Some(members) = rest.as_object_mut() {
            members.shift_remove(token_key);
            members.shift_remove(paging.limit_key.as_deref().unwrap_or_default());
        }
        let place = self.place();
        let scope = format!("{}/{}/{}/{rest}", place.account, place.region, self.operation.name);
        let scope = hex::encode(&Sha256::digest(scope)[..8]);
        let start = match input.get(token_key).and_then(Value::as_str) {
            None => 0,
            Some(token) => {
                let after = open_token(token, &scope).ok_or_else(|| {
                    AwsError::new(self.service.manners.bad_token, "The specified pagination token is not valid.")
                })?;
                let position = items.iter().position(|(key, _)| *key == after).map(|at| at + 1);
                position.or_else(|| items.iter().position(|(key, _)| *key > after)).unwrap_or(items.len())
            }
        };
        let end = start.saturating_add(limit).min(items.len());
        let next = (end < items.len()).then(|| seal_token(&items[end - 1].0, &scope));
        Ok((strip(items.into_iter().skip(start).take(end - start).collect()), next))
    }
}

fn seal_token(after: &str, scope: &str) -> String {
    super::codec::to_base64(format!("{scope}:{after}").as_bytes())
}

fn open_token(token: &str, scope: &str) -> Option<String> {
    let text = String::from_utf8(super::codec::from_base64(token)?).ok()?;
    let (found, after) = text.split_once(':')?;
    (found == scope).then(|| after.to_owned())
}

/// Future changes of a resource, each with its due time.
///
/// `Transition::from(now).then(120.0, json!({"State": "available"})).attach(&mut resource)`; a step
/// [`gone`](Transition::gone) removes the resource from all reads.
pub(crate) struct Transition {
    due: f64,
    steps: Vec<Value>,
}

impl Transition {
    /// Starts a timeline at a moment.
    pub(crate) fn from(now: f64) -> Self {
        Transition { due: now, steps: Vec::new() }
    }

    /// Adds members that the resource gets `seconds` after the step before; null removes a member.
    pub(crate) fn then(mut self, seconds: f64, members: Value) -> Self {
        self.due += seconds;
        self.steps.push(json!([self.due, members]));
        self
    }

    /// Ends the resource's life `seconds` after the step before.
    pub(crate) fn gone(self, seconds: f64) -> Self {
        self.then(seconds, json!({"_gone": true}))
    }

    /// Sets the resource's timeline, replacing one it may have.
    pub(crate) fn attach(self, resource: &mut Value) {
        resource[TIMELINE] = Value::Array(self.steps);
    }
}

/// Drops what a resource was still to become.
pub(crate) fn settle(resource: &mut Value) {
    if let Some(members) = resource.as_object_mut() {
        members.shift_remove(TIMELINE);
    }
}

/// Returns a resource with all due steps of its timeline applied, or none if it is gone.
pub(crate) fn resolve(value: &Value, now: f64) -> Option<Cow<'_, Value>> {
    let Some(Value::Array(steps)) = value.get(TIMELINE).cloned() else { return Some(Cow::Borrowed(value)) };
    let mut value = value.clone();
    let (due, later): (Vec<Value>, Vec<Value>) =
        steps.into_iter().partition(|step| step[0].as_f64().unwrap_or_default() <= now);
    for step in due {
        if step[1].get("_gone").is_some() {
            return None;
        }
        let members = value.as_object_mut()?;
        for (key, new) in step[1].as_object().into_iter().flatten() {
            if new.is_null() {
                members.shift_remove(key);
            } else {
                members.insert(key.clone(), new.clone());
            }
        }
    }
    if later.is_empty() {
        settle(&mut value);
    } else {
        value[TIMELINE] = Value::Array(later);
    }
    Some(Cow::Owned(value))
}

/// Returns a text member, or the empty text.
pub(crate) fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// Returns a text member if there is one.
pub(crate) fn optional<'v>(value: &'v Value, key: &str) -> Option<&'v str> {
    value.get(key).and_then(Value::as_str)
}

/// Returns the texts of a list member; empty if absent.
pub(crate) fn texts<'v>(value: &'v Value, key: &str) -> Vec<&'v str> {
    let items = value.get(key).and_then(Value::as_array);
    items.into_iter().flatten().filter_map(Value::as_str).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeline_is_resolved_at_read_time() {
        let mut vpc = json!({"State": "pending"});
        Transition::from(10.0).then(5.0, json!({"State": "available"})).gone(100.0).attach(&mut vpc);
        assert_eq!(resolve(&vpc, 14.9).unwrap()["State"], "pending");
        let later = resolve(&vpc, 15.0).unwrap();
        assert_eq!(later["State"], "available");
        assert_eq!(resolve(&later, 114.0).unwrap()["State"], "available");
        assert_eq!(resolve(&later, 115.0), None);
    }
}
