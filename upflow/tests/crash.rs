//! A run that is stopped after every piece of work, or whose disk loses power at every operation, ends like one that was not.
#![cfg(feature = "test-util")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{Effects, flow_on, store_on};
use upflow::{Ctx, Filter, OpState, RunState, Start, StepError, StepOptions, TestFlow};
use upkv::storage::Random;
use upkv::storage::fault::SimVfs;
use upkv::storage::testing::scaled;
use upkv::storage::vfs::MemVfs;
use upkv::{Clock, Db, ManualClock};

const HOUR: Duration = Duration::from_hours(1);

type Answer = (u32, (u32, u32), Option<String>, Option<u32>, u64);

/// Steps, sleeps, events and joins, three deep.
fn register_nest(flow: &TestFlow, effects: &Effects) {
    let effects = effects.clone();
    flow.engine()
        .register("nest", 1, move |ctx: Ctx, base: u32| {
            let fx = effects.clone();
            async move {
                let a = ctx.run("a", fx.step("a", base)).await?;
                let left = {
                    let (ctx, fx) = (ctx.clone(), fx.clone());
                    async move {
                        let b = ctx.run("b", fx.step("b", a + 1)).await?;
                        ctx.sleep("nap", HOUR).await?;
                        let inner = ctx.clone();
                        let deep = async move {
                            inner.sleep("deep", HOUR).await?;
                            inner.run("d", fx.step("d", b + 1)).await
                        };
                        let (c, d) = ctx
                            .join((ctx.run("c", move || Ok::<_, StepError>(b)), deep))
                            .await?;
                        Ok((c, d))
                    }
                };
                let right = {
                    let ctx = ctx.clone();
                    async move { ctx.event_timeout::<String>("go", 3 * HOUR).await }
                };
                let (pair, go) = ctx.join((left, right)).await?;
                let flaky = Effects::default();
                let failing = move |step: &upflow::StepContext| {
                    flaky.add("try");
                    if step.attempt() < 3 {
                        Err("not yet".to_owned())
                    } else {
                        Ok(a)
                    }
                };
                ctx.run_with("flaky", StepOptions::new(), failing).await?;
                let never = ctx.event_timeout::<u32>("never", HOUR).await?;
                let last = ctx.random();
                ctx.run("e", fx.step("e", ())).await?;
                Ok((a, pair, go, never, last))
            }
        })
        .unwrap();
}

/// Starts the run, sends its event, takes it to its end.
fn finish(flow: &TestFlow, polls: &mut Option<usize>) -> Option<Answer> {
    // An ended run is not started again: its id would be free for another one.
    let run = match flow.engine().run::<Answer>("n-1") {
        Ok(run) => run,
        Err(_) => flow
            .engine()
            .start("nest", Start::id("n-1").input(&10))
            .unwrap(),
    };
    let info = flow.engine().inspect("n-1").unwrap();
    let received = info
        .operations
        .iter()
        .any(|op| &*op.op.name == "go" && matches!(op.state, OpState::Done(_)));
    if !received && info.mail.is_empty() && !info.run.state.is_ended() {
        flow.engine().notify("n-1", "go", "now").unwrap();
    }
    flow.run_until(|_| {
        if let Some(left) = polls {
            if *left == 0 {
                return true;
            }
            *left -= 1;
        }
        !matches!(run.try_result(), Ok(None))
    })
    .unwrap();
    run.try_result().unwrap()
}

fn clock_at(other: &ManualClock) -> ManualClock {
    ManualClock::new(other.now())
}

#[test]
fn stopping_after_every_piece_of_work_changes_nothing() {
    let clock = ManualClock::default();
    let effects = Effects::default();
    let flow = flow_on(Arc::new(MemVfs::new()), &clock);
    register_nest(&flow, &effects);
    let mut polls = Some(usize::MAX);
    let wanted = finish(&flow, &mut polls).unwrap();
    let total = usize::MAX - polls.unwrap();
    let once = effects.all();
    assert!(
        total > 20 && once.values().all(|n| *n == 1),
        "{total} {once:?}"
    );
    assert_eq!(
        (wanted.0, wanted.1, &wanted.2, wanted.3),
        (10, (11, 12), &Some("now".into()), None)
    );

    for stop in 0..=total {
        let (clock, effects) = (ManualClock::default(), Effects::default());
        let disk = MemVfs::new();
        let flow = flow_on(Arc::new(disk.clone()), &clock);
        register_nest(&flow, &effects);
        let early = finish(&flow, &mut Some(stop));
        // A copy while the engine is alive: what a crash of the process leaves.
        let left = disk.copy();
        let clock = clock_at(&clock);
        let flow = flow_on(Arc::new(left), &clock);
        register_nest(&flow, &effects);
        let answer = finish(&flow, &mut None);
        assert_eq!(
            answer.as_ref(),
            Some(&wanted),
            "stopped after {stop} of {total}"
        );
        assert!(early.is_none_or(|early| early == wanted));
        let seen = effects.all();
        assert_eq!(
            seen.keys().collect::<Vec<_>>(),
            once.keys().collect::<Vec<_>>()
        );
        let repeated: u32 = seen.values().map(|n| n - 1).sum();
        assert!(
            repeated <= 1,
            "stopped after {stop}: one step may have been under way: {seen:?}"
        );
    }
}

#[test]
fn a_power_cut_at_every_operation_of_the_disk_changes_nothing() {
    let clock = ManualClock::default();
    let sim = SimVfs::new();
    let flow = flow_on(Arc::new(sim.clone()), &clock);
    register_nest(&flow, &Effects::default());
    let wanted = finish(&flow, &mut None).unwrap();
    drop(flow);
    let random = Random::seeded(5);
    let mut images = 0;
    for cut in 0..=sim.operations() {
        for image in sim
            .crash_point(cut)
            .images(&random, usize::try_from(scaled(2)).unwrap())
        {
            let clock = clock_at(&clock);
            let effects = Effects::default();
            let flow = flow_on(Arc::new(image.disk().clone()), &clock);
            register_nest(&flow, &effects);
            let known = flow.engine().run::<Answer>("n-1").is_ok();
            let answer = finish(&flow, &mut None).unwrap();
            // The seed of its random numbers is chosen when a run is started, so a run started anew has others.
            assert_eq!(
                (answer.0, answer.1, answer.3),
                (wanted.0, wanted.1, wanted.3),
                "{cut} {image:?}"
            );
            assert!(!known || answer.4 == wanted.4, "cut {cut}, {image:?}");
            assert_eq!(answer.2.as_deref(), Some("now"));
            assert!(effects.all().values().all(|n| *n == 1));
            assert!(flow.engine().store().check().unwrap().problems.is_empty());
            images += 1;
        }
    }
    assert!(images > 50, "{images}");
}

const ROUNDS: i64 = 4;

fn register_counter(flow: &TestFlow, db: &Db) {
    let db = db.clone();
    flow.engine()
        .register("count", 1, move |ctx: Ctx, (): ()| {
            let db = db.clone();
            async move {
                let mut seen = Vec::new();
                for _ in 0..ROUNDS {
                    let db = db.clone();
                    let step = ctx.transact("count", move |step| {
                        db.transaction(|tx| {
                            let n = tx.incr("n")?;
                            tx.hash("log").set(n.to_string(), step.context().run_id())?;
                            let staged = tx.enlist(step)?;
                            staged.start("sink", Start::id(format!("sink-{n}")).input(&n))?;
                            staged.notify("count-1", "tick", &n)?;
                            Ok(staged.complete(step, &n)?)
                        })
                    });
                    seen.push(step.await?);
                    let tick: i64 = ctx.event("tick").await?;
                    if seen.last() != Some(&tick) {
                        return Err(StepError::non_retryable(format!("{tick} after {seen:?}")));
                    }
                }
                Ok(seen)
            }
        })
        .unwrap();
    let sink =
        |ctx: Ctx, n: i64| async move { ctx.run("echo", move || Ok::<_, StepError>(n)).await };
    flow.engine().register("sink", 1, sink).unwrap();
}

/// Counter, results in the journal and runs started must agree whatever was cut.
fn agree(flow: &TestFlow, db: &Db, context: &str) -> i64 {
    let n: i64 = db
        .get("n")
        .unwrap()
        .map_or(0, |v| String::from_utf8_lossy(&v).parse().unwrap());
    let done = match flow.engine().inspect("count-1") {
        Ok(info) => info
            .operations
            .iter()
            .filter(|op| &*op.op.name == "count")
            .count(),
        Err(_) => 0,
    };
    let sinks = flow
        .engine()
        .list(&Filter::new().workflow("sink"))
        .runs
        .len();
    assert_eq!(
        (done, sinks),
        (usize::try_from(n).unwrap(), usize::try_from(n).unwrap()),
        "{context}"
    );
    n
}

#[test]
fn a_step_in_a_transaction_happens_exactly_once_wherever_it_is_cut() {
    let clock = ManualClock::default();
    let sim = SimVfs::new();
    let open = |disk: Arc<dyn upkv::storage::vfs::Vfs>, clock: &ManualClock| {
        let store = store_on(disk, clock);
        let db = Db::mount(&store, "cache").unwrap();
        let flow = TestFlow::over(&store, clock.clone()).unwrap();
        register_counter(&flow, &db);
        (db, flow)
    };
    let wanted: Vec<i64> = (1..=ROUNDS).collect();
    let (db, flow) = open(Arc::new(sim.clone()), &clock);
    assert_eq!(
        flow.run::<Vec<i64>>("count", Start::id("count-1")).unwrap(),
        wanted
    );
    drop((db, flow));
    let random = Random::seeded(9);
    let mut partial = 0;
    for cut in 0..=sim.operations() {
        for image in sim
            .crash_point(cut)
            .images(&random, usize::try_from(scaled(3)).unwrap())
        {
            let context = format!("cut {cut}, {image:?}");
            let clock = clock_at(&clock);
            let (db, flow) = open(Arc::new(image.disk().clone()), &clock);
            let n = agree(&flow, &db, &context);
            partial += i64::from(n > 0 && n < ROUNDS);
            let result = flow.run::<Vec<i64>>("count", Start::id("count-1")).unwrap();
            flow.engine().run_until_idle().unwrap();
            // A run that had ended is started anew and counts on; one that had not ends as if nothing had happened.
            if n < ROUNDS {
                assert_eq!(result, wanted, "{context}");
                assert_eq!(agree(&flow, &db, &context), ROUNDS);
            }
            let sinks = flow
                .engine()
                .list(&Filter::new().workflow("sink").completed())
                .runs;
            assert!(sinks.len() >= wanted.len(), "{context}");
        }
    }
    assert!(partial > 20, "{partial}");
}

#[test]
fn ten_thousand_parked_runs_reopen_without_replaying_and_wake_in_time() {
    const RUNS: u32 = 10_000;
    let clock = ManualClock::default();
    let disk = MemVfs::new();
    let open = |disk: &MemVfs, clock: &ManualClock| {
        let store = upkv::Store::builder("/sim/store")
            .vfs(Arc::new(disk.clone()))
            .clock(Arc::new(clock.clone()))
            .durability(upkv::Durability::Os)
            .background(false);
        TestFlow::over(&store.open().unwrap(), clock.clone()).unwrap()
    };
    let register = |flow: &TestFlow, bodies: &Effects| {
        let bodies = bodies.clone();
        let body = move |ctx: Ctx, n: u32| {
            bodies.add("started");
            async move {
                let got: Option<u32> = ctx.event_timeout("go", HOUR).await?;
                Ok(n + got.unwrap_or(0))
            }
        };
        flow.engine().register("wait", 1, body).unwrap();
    };
    let flow = open(&disk, &clock);
    register(&flow, &Effects::default());
    for n in 0..RUNS {
        flow.engine()
            .start::<u32>("wait", Start::id(format!("w-{n}")).input(&n))
            .unwrap();
    }
    flow.engine().run_until_idle().unwrap();
    flow.engine().store().checkpoint().unwrap();
    let left = disk.copy();
    let bodies = Effects::default();
    let flow = open(&left, &clock);
    register(&flow, &bodies);
    flow.engine().run_until_idle().unwrap();
    assert_eq!(bodies.all().len(), 0, "no parked run was replayed");
    flow.engine().notify("w-7", "go", &1_u32).unwrap();
    flow.engine().run_until_idle().unwrap();
    assert_eq!(
        flow.engine()
            .run::<u32>("w-7")
            .unwrap()
            .try_result()
            .unwrap(),
        Some(8)
    );
    assert_eq!(bodies.all()["started"], 1);
    flow.skip(HOUR).unwrap();
    let all = flow
        .engine()
        .list(&Filter::new().completed().count(usize::MAX))
        .runs;
    assert_eq!(all.len(), RUNS as usize);
    assert!(all.iter().all(|run| run.state == RunState::Completed));
}
