//! A sandbox in memory as the stage of a rehearsal.

use std::collections::{BTreeMap, BTreeSet};

use opora::aws::Aws;
use opora::aws::surroundings::Region;
use opora::kind::Scope;
use opora::rehearse::Stage;
use opora::sandbox::{Conditions, QUOTAS, Sandbox};

use crate::support::connect_as;

pub struct TestStage {
    pub sandbox: Sandbox,
    pub aws: Aws,
    region: String,
}

impl TestStage {
    pub fn new(scope: &Scope) -> Self {
        let sandbox = Sandbox::in_memory(97);
        let aws = connect_as(&sandbox, &scope.account, &scope.region);
        Self { sandbox, aws, region: scope.region.clone() }
    }
}

impl Stage for TestStage {
    fn aws(&self) -> Aws {
        self.aws.clone()
    }

    fn stranger(&self, account: Option<&str>) -> Aws {
        connect_as(&self.sandbox, account.unwrap_or("000000000000"), &self.region)
    }

    fn open(&self, region: &Region) {
        let names = |offered: bool| -> BTreeSet<String> {
            region.services.iter().filter(|(_, there)| **there == offered).map(|(name, _)| name.clone()).collect()
        };
        let catalogue = [
            ("zones", region.zones.clone()),
            ("endpoint_services", names(true)),
            ("no_endpoint_services", names(false)),
            ("managed_policies", region.policies.clone()),
        ];
        let catalogue = catalogue.into_iter().map(|(name, names)| (name.to_owned(), names)).collect();
        let quotas = BTreeMap::from([("*".to_owned(), u64::MAX)]);
        let organization = region.organization.then(|| "o-rehearsal1".to_owned());
        self.sandbox.set_conditions(Conditions { quotas, catalogue, organization, ..Conditions::default() });
    }

    fn rename(&self, words: &BTreeMap<String, String>) {
        self.sandbox.rename(words);
    }

    fn published(&self) -> BTreeMap<String, u64> {
        QUOTAS.iter().map(|quota| (quota.name.to_owned(), quota.default)).collect()
    }

    fn enforce(&self, quotas: &BTreeMap<String, u64>) {
        self.sandbox.set_conditions(Conditions { quotas: quotas.clone(), ..self.sandbox.conditions() });
    }
}
