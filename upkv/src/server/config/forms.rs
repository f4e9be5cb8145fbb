//! Parameters about how values are kept, and about counters of use; those who obey them keep them.

use super::table::Parameter;
use super::value::Setting;
use crate::keyspace::engine::Engine;
use crate::storage::sync::Ordering;

macro_rules! thresholds {
    ($($name:ident)*) => {$(
        pub(super) mod $name {
            use super::{Engine, Setting};

            pub(in super::super) fn get(engine: &Engine) -> String {
                engine.hashers.forms.$name.get().to_string()
            }

            pub(in super::super) fn set(engine: &Engine, setting: &Setting) {
                engine.hashers.forms.$name.set(setting.number);
            }
        }
    )*};
}
thresholds!(hash_items hash_bytes set_items set_bytes set_ints zset_items zset_bytes list_size);

fn log_factor(engine: &Engine) -> String {
    let factor = &engine.evictor.lfu_log_factor;
    factor.load(Ordering::Relaxed).to_string()
}

fn set_log_factor(engine: &Engine, setting: &Setting) {
    let factor = &engine.evictor.lfu_log_factor;
    factor.store(setting.number, Ordering::Relaxed);
}

fn decay_time(engine: &Engine) -> String {
    let minutes = &engine.evictor.lfu_decay_time;
    minutes.load(Ordering::Relaxed).to_string()
}

fn set_decay_time(engine: &Engine, setting: &Setting) {
    let minutes = &engine.evictor.lfu_decay_time;
    minutes.store(setting.number, Ordering::Relaxed);
}

impl Parameter {
    pub(super) const fn log_factor(self) -> Self {
        self.engine(log_factor, set_log_factor)
    }

    pub(super) const fn decay_time(self) -> Self {
        self.engine(decay_time, set_decay_time)
    }
}
