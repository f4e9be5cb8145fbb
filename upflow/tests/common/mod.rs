//! What the tests share: a store on a given disk, and a log of side effects.
#![allow(dead_code, reason = "each test binary uses a part of this")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use upflow::{StepError, TestFlow};
use upkv::storage::vfs::Vfs;
use upkv::{ManualClock, Store};

/// How often each side effect happened.
#[derive(Clone, Debug, Default)]
pub(crate) struct Effects(Arc<Mutex<BTreeMap<String, u32>>>);

impl Effects {
    pub(crate) fn add(&self, name: &str) {
        *self.0.lock().unwrap().entry(name.to_owned()).or_default() += 1;
    }

    pub(crate) fn all(&self) -> BTreeMap<String, u32> {
        self.0.lock().unwrap().clone()
    }

    /// A step that does `name` and returns `value`.
    pub(crate) fn step<T: Clone>(
        &self,
        name: &str,
        value: T,
    ) -> impl Fn() -> Result<T, StepError> + use<T> {
        let (effects, name) = (self.clone(), name.to_owned());
        move || {
            effects.add(&name);
            Ok(value.clone())
        }
    }
}

/// A store on a disk of the test's, at the default level of the engine.
pub(crate) fn store_on(disk: Arc<dyn Vfs>, clock: &ManualClock) -> Store {
    Store::builder(Path::new("/sim/store"))
        .vfs(disk)
        .clock(Arc::new(clock.clone()))
        .random_seed(7)
        .segment_bytes(16 * 1024)
        .checkpoint_bytes(24 * 1024)
        .background(false)
        .open()
        .unwrap()
}

pub(crate) fn flow_on(disk: Arc<dyn Vfs>, clock: &ManualClock) -> TestFlow {
    TestFlow::over(&store_on(disk, clock), clock.clone()).unwrap()
}
