//! What a changed configuration changes in a running engine.

use std::collections::BTreeSet;
use std::sync::Arc;

use alerts::Policies;

use super::Engine;
use crate::cluster::Name;
use crate::specs::Specs;

impl Engine {
    /// Takes other objectives, other names of services and other policies. Nothing is judged and nobody is told by that;
    /// open incidents keep the policy under which they began.
    pub async fn reconfigure(&self, specs: Specs, services: BTreeSet<Name>, policies: Policies) {
        let mut state = self.state.lock().await;
        state.specs = Arc::new(specs.annotated(&state.cluster));
        state.documents = specs;
        state.services = services;
        state.escalations.set_policies(policies);
        // What a row means may be another service now, or another threshold.
        state.stale = true;
    }
}
