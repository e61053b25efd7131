//! The world of one chain of edits: what the kind needs, made by a spec, and the resource that is edited.

use std::collections::{BTreeMap, BTreeSet};

use opora::aws::resource::{Changes, ErasedUpdate, Fields, Kind};
use opora::aws::tags::Owner;
use opora::graph::{Address, PhysicalId};
use opora::kind::{Scope, Seen, with_defaults};
use opora::plan::compare;
use opora::sandbox::{Conditions, Moment};
use serde_json::{Value, json};

use super::edits::Generator;
use crate::support::{ACCOUNT, REGION, TestSecrets, World};

pub const ENVIRONMENT: &str = "moments";

pub struct Stage {
    pub world: World,
    pub kind: &'static dyn Kind,
    pub address: Address,
    pub id: PhysicalId,
    /// What was last wanted, without defaults.
    pub last: Value,
    /// The attributes of all that was made, by address and name: `vpc.main.id`.
    pub known: BTreeMap<String, String>,
    scope: Scope,
}

/// Writes a spec whose resource `it` of a kind has the given arguments.
pub fn spec(needs: &str, kind: &str, arguments: &Value) -> String {
    let mut sources = opora::diagnostic::SourceMap::default();
    let (node, problems) = opora::yaml::parse(needs, sources.add("needs", needs));
    assert_eq!(problems, Vec::new());
    let mut resources = node.map_or_else(|| json!({}), |node| node.to_json());
    resources[kind]["it"] = arguments.clone();
    json!({ "opora": 1, "environment": ENVIRONMENT, "account": ACCOUNT, "region": REGION, "resources": resources })
        .to_string()
}

impl Stage {
    pub async fn new(generator: &Generator, seed: u64) -> Self {
        let world = World::new(seed);
        let organization = Some("o-sandbox0001".to_owned());
        world.sandbox.set_conditions(Conditions { organization, ..Conditions::default() });
        (generator.before)(&world.aws).await;
        let first = (generator.first)();
        let environment = world.load(&spec(generator.needs, generator.kind, &first));
        world.apply_all(&environment).await;
        let state = world.state().await;
        let mut known = BTreeMap::new();
        for (address, resource) in &state.resources {
            for (name, value) in resource.attributes.as_object().into_iter().flatten() {
                known.extend(value.as_str().map(|text| (format!("{address}.{name}"), text.to_owned())));
            }
        }
        let address = Address::new(generator.kind, "it");
        let record = &state.resources[&address];
        let kind = opora::aws::kinds::get(generator.kind).unwrap();
        let (id, last) = (record.id.clone(), record.arguments.clone());
        let scope = environment.scope.clone();
        Self { world, kind, address, id, last, known, scope }
    }

    /// Returns an attribute of something that was made.
    #[track_caller]
    pub fn get(&self, path: &str) -> &str {
        self.known.get(path).unwrap_or_else(|| panic!("{path} is not among {:?}", self.known.keys()))
    }

    async fn seen(&self) -> Value {
        let read = self.kind.read_many(&self.world.aws, std::slice::from_ref(&self.id), &Fields::All).await.unwrap();
        match &read[&self.id] {
            Seen::Present(seen) => seen.arguments.clone(),
            other => panic!("{} is {other:?}", self.address),
        }
    }

    /// Brings the resource to other arguments, and returns the moments on the way.
    pub async fn edit(&self, wanted: &Value, look: bool) -> Result<Vec<Moment>, String> {
        let schema = self.kind.schema();
        let wanted = with_defaults(&schema.arguments, wanted);
        let last = with_defaults(&schema.arguments, &self.last);
        let seen = if look { self.seen().await } else { last.clone() };
        let paths = |seen: &Value, recorded: &Value| -> BTreeSet<String> {
            let compared = compare(schema, &wanted, seen, Some(recorded), &[]);
            compared.changes.iter().map(|change| change.path.clone()).collect()
        };
        let changes = Changes(paths(&seen, &last));
        self.world.sandbox.watch_access();
        let owner = Owner::new(ENVIRONMENT, &self.address, 1);
        let update = ErasedUpdate {
            aws: &self.world.aws,
            scope: &self.scope,
            address: &self.address,
            id: &self.id,
            arguments: &wanted,
            changes: &changes,
            owner: &owner,
            token: "edit",
            secrets: &TestSecrets,
        };
        let result = self.kind.update(update).await;
        let moments = self.world.sandbox.watched();
        result.map_err(|error| error.to_string())?;
        if look {
            let left = paths(&self.seen().await, &wanted);
            if !left.is_empty() {
                return Err(format!("{left:?} did not become what was wanted"));
            }
        }
        Ok(moments)
    }
}
