//! Retries, timeouts, panics, cancellation, mailboxes, listing, retention: one behaviour a test.
#![cfg(feature = "test-util")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(
    clippy::too_many_lines,
    clippy::items_after_statements,
    clippy::similar_names,
    reason = "each test tells its story in one piece"
)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{Effects, flow_on, store_on};
use upflow::{
    Backoff, Ctx, Engine, Error, Filter, OpState, RunState, Start, StepError, StepErrorKind,
    StepOptions, TestFlow,
};
use upkv::storage::vfs::MemVfs;
use upkv::{Clock, ManualClock};

const SECOND: Duration = Duration::from_secs(1);

fn fast() -> StepOptions {
    StepOptions::new().backoff(Backoff::fixed(SECOND))
}

fn one_step(
    options: StepOptions,
    f: impl Fn(u32) -> Result<u32, StepError> + Send + Sync + Clone + 'static,
) -> (TestFlow, Result<u32, Error>, u64) {
    let flow = TestFlow::new().unwrap();
    let body = move |ctx: Ctx, (): ()| {
        let f = f.clone();
        async move {
            ctx.run_with("step", options, move |step| f(step.attempt()))
                .await
        }
    };
    flow.engine().register("w", 1, body).unwrap();
    let started = flow.clock().now();
    let result = flow.run("w", Start::id("r"));
    let took = flow.clock().now().saturating_since(started).as_secs();
    (flow, result, took)
}

#[test]
fn a_failing_step_is_repeated_with_pauses_and_then_fails_the_run() {
    let (flow, result, took) = one_step(fast(), |attempt| Err(format!("no {attempt}").into()));
    let Err(Error::Failed(error)) = result else {
        panic!("{result:?}")
    };
    assert_eq!(
        (error.kind(), error.message(), took),
        (StepErrorKind::Retryable, "no 4", 3)
    );
    let info = flow.engine().inspect("r").unwrap();
    let texts: Vec<_> = info.operations[0]
        .errors
        .iter()
        .map(|(_, e)| e.to_string())
        .collect();
    assert_eq!(texts, ["no 1", "no 2", "no 3", "no 4"]);
    assert!(matches!(info.operations[0].state, OpState::Failed(_)));
    assert_eq!(flow.engine().dead_letters().runs[0].id, "r".into());
}

#[test]
fn the_kind_of_an_error_decides_over_the_next_attempt() {
    let (_, result, took) = one_step(fast(), |_| Err(StepError::non_retryable("never")));
    assert!(matches!(result, Err(Error::Failed(e)) if e.kind() == StepErrorKind::NonRetryable));
    assert_eq!(took, 0);
    let late = Duration::from_mins(1);
    let (_, result, took) = one_step(fast(), move |attempt| {
        if attempt == 1 {
            Err(StepError::retry_after(late, "closed"))
        } else {
            Ok(attempt)
        }
    });
    assert_eq!((result.unwrap(), took), (2, 60));
    let (_, result, _) = one_step(fast(), |attempt| {
        assert!(attempt != 1, "the first one panics");
        Ok(attempt)
    });
    assert_eq!(result.unwrap(), 2);
}

#[test]
fn an_async_step_over_its_timeout_is_dropped() {
    let flow = TestFlow::new().unwrap();
    let clock = flow.clock().clone();
    let body = move |ctx: Ctx, (): ()| {
        let clock = clock.clone();
        async move {
            let options = fast().timeout(SECOND).retries(0);
            ctx.run_async_with("slow", options, move |step| {
                let clock = clock.clone();
                async move {
                    assert_eq!(step.remaining(), Some(SECOND));
                    clock.advance(SECOND);
                    std::future::pending::<Result<(), StepError>>().await
                }
            })
            .await
        }
    };
    flow.engine().register("w", 1, body).unwrap();
    let result = flow.run::<()>("w", Start::id("r"));
    assert!(matches!(result, Err(Error::Failed(e)) if e.kind() == StepErrorKind::Timeout));
}

#[test]
fn a_body_that_panics_is_tried_again_and_then_fails() {
    let flow = TestFlow::new().unwrap();
    let effects = Effects::default();
    let fx = effects.clone();
    let body = move |ctx: Ctx, until: u32| {
        let fx = fx.clone();
        async move {
            ctx.run("step", fx.step("step", ())).await?;
            fx.add("body");
            assert!(fx.all()["body"] > until, "too early");
            Ok(fx.all()["body"])
        }
    };
    flow.engine().register("w", 1, body).unwrap();
    assert_eq!(flow.run::<u32>("w", Start::id("a").input(&2)).unwrap(), 3);
    assert_eq!(effects.all()["step"], 1, "a replay does not repeat steps");
    let result = flow.run::<u32>("w", Start::id("b").input(&1_000));
    let Err(Error::Failed(error)) = result else {
        panic!("{result:?}")
    };
    assert_eq!(
        (error.kind(), error.message()),
        (StepErrorKind::Panicked, "panicked: too early")
    );
}

#[test]
fn a_failed_run_is_resumed_with_what_succeeded_or_restarted_from_its_input() {
    let flow = TestFlow::new().unwrap();
    let effects = Effects::default();
    let fx = effects.clone();
    let body = move |ctx: Ctx, n: u32| {
        let fx = fx.clone();
        async move {
            let a = ctx.run("good", fx.step("good", n)).await?;
            let bad = move || {
                fx.add("bad");
                if fx.all()["bad"] == 1 {
                    Err(StepError::non_retryable("first"))
                } else {
                    Ok(a + 1)
                }
            };
            ctx.run("bad", bad).await
        }
    };
    flow.engine().register("w", 1, body).unwrap();
    assert!(flow.run::<u32>("w", Start::id("r").input(&5)).is_err());
    assert!(matches!(
        flow.engine().resume("none"),
        Err(Error::NoSuchRun(_))
    ));
    flow.engine().resume("r").unwrap();
    assert_eq!(flow.engine().run::<u32>("r").unwrap().result().unwrap(), 6);
    assert_eq!((effects.all()["good"], effects.all()["bad"]), (1, 2));
    assert!(
        matches!(flow.engine().resume("r"), Err(Error::WrongState(_))),
        "it has completed"
    );
    assert_eq!(
        flow.engine()
            .restart::<u32>("r", "r2")
            .unwrap()
            .result()
            .unwrap(),
        6
    );
    assert_eq!(effects.all()["good"], 2);
}

#[test]
fn starting_an_active_run_again_gives_that_run() {
    let flow = TestFlow::new().unwrap();
    flow.engine()
        .register("w", 1, |ctx: Ctx, n: u32| async move {
            Ok(n + ctx.event::<u32>("go").await?)
        })
        .unwrap();
    let first = flow
        .engine()
        .start::<u32>("w", Start::id("r").input(&1))
        .unwrap();
    let second = flow
        .engine()
        .start::<u32>("w", Start::id("r").input(&100))
        .unwrap();
    assert!(!first.already_active() && second.already_active());
    assert_eq!(second.result_within(Duration::ZERO).unwrap(), None);
    flow.engine().notify("r", "go", &1).unwrap();
    assert_eq!((second.result().unwrap(), first.result().unwrap()), (2, 2));
    let third = flow
        .engine()
        .start::<u32>("w", Start::id("r").input(&100))
        .unwrap();
    assert!(!third.already_active(), "an id is free after its run ended");
}

#[test]
fn mail_is_kept_in_order_and_an_event_in_time_beats_the_timeout() {
    let flow = TestFlow::new().unwrap();
    let body = |ctx: Ctx, (): ()| async move {
        ctx.sleep("late", 10 * SECOND).await?;
        let mut got = Vec::new();
        while let Some(n) = ctx.event_timeout::<u32>("n", SECOND).await? {
            got.push(n);
        }
        Ok(got)
    };
    flow.engine().register("w", 1, body).unwrap();
    let run = flow
        .engine()
        .start::<Vec<u32>>("w", Start::id("r"))
        .unwrap();
    for n in 0..5 {
        flow.engine().notify("r", "n", &n).unwrap();
    }
    flow.engine().notify("r", "other", &9).unwrap();
    assert_eq!(flow.engine().inspect("r").unwrap().mail.len(), 6);
    flow.skip(20 * SECOND).unwrap();
    assert_eq!(run.result().unwrap(), [0, 1, 2, 3, 4]);
}

#[test]
fn runs_send_events_to_each_other_exactly_once() {
    let flow = TestFlow::new().unwrap();
    let ping = |ctx: Ctx, other: String| async move {
        let sent = ctx.notify(&other, "ball", &ctx.run_id().len()).await?;
        let gone = ctx.notify("nobody", "ball", &1).await?;
        Ok((sent, gone))
    };
    flow.engine().register("ping", 1, ping).unwrap();
    flow.engine()
        .register("pong", 1, |ctx: Ctx, (): ()| async move {
            ctx.event::<usize>("ball").await
        })
        .unwrap();
    let pong = flow
        .engine()
        .start::<usize>("pong", Start::id("pong"))
        .unwrap();
    assert_eq!(
        flow.run::<(bool, bool)>("ping", Start::id("ping").input("pong"))
            .unwrap(),
        (true, false)
    );
    assert_eq!(pong.result().unwrap(), 4);
}

#[test]
fn a_run_is_cancelled_in_every_state_and_leaves_nothing_behind() {
    let states: &[(&str, bool)] = &[
        ("new", false),
        ("sleep", true),
        ("event", true),
        ("timeout", true),
        ("backoff", true),
        ("join", true),
        ("stubborn", true),
    ];
    for (state, started) in states {
        let flow = TestFlow::new().unwrap();
        let effects = Effects::default();
        let fx = effects.clone();
        let body = move |ctx: Ctx, state: String| {
            let fx = fx.clone();
            async move {
                let day = Duration::from_hours(24);
                let waited = match state.as_str() {
                    "sleep" => ctx.sleep("s", day).await,
                    "event" | "new" => ctx.event::<()>("e").await,
                    "timeout" => ctx.event_timeout::<()>("e", day).await.map(drop),
                    "backoff" => {
                        let options = StepOptions::new().backoff(Backoff::fixed(day));
                        ctx.run_with("b", options, |_| Err::<(), _>("no")).await
                    }
                    "join" => ctx
                        .join((ctx.sleep("s", day), ctx.event::<()>("e")))
                        .await
                        .map(drop),
                    _ => loop {
                        let _ignored = ctx.sleep("again", day).await;
                    },
                };
                let error = waited.expect_err("it was cancelled");
                assert!(error.is_cancelled() && ctx.is_cancelled());
                ctx.run("cleanup", fx.step("cleanup", ())).await
            }
        };
        flow.engine().register("w", 1, body).unwrap();
        let run = flow
            .engine()
            .start::<()>("w", Start::id("r").input(*state))
            .unwrap();
        if *started {
            flow.engine().run_until_idle().unwrap();
        }
        assert!(flow.engine().cancel("r").unwrap(), "{state}");
        assert!(
            !flow.engine().cancel("r").unwrap(),
            "{state}: a second time changes nothing"
        );
        let began = flow.clock().now();
        flow.run_until(|_| !matches!(run.try_result(), Ok(None)))
            .unwrap();
        assert!(matches!(run.result(), Err(Error::Cancelled)), "{state}");
        let took = flow.clock().now().saturating_since(began);
        assert_eq!(
            took,
            if *state == "stubborn" {
                30 * SECOND
            } else {
                Duration::ZERO
            },
            "{state}"
        );
        assert_eq!(
            effects.all().contains_key("cleanup"),
            *state != "stubborn",
            "{state}"
        );
        let progress = flow.engine().store().maintain(Duration::ZERO).unwrap();
        assert_eq!(progress.next_timer, None, "{state}: no timer is left");
        assert!(!flow.engine().cancel("r").unwrap());
        assert!(matches!(
            flow.engine().notify("r", "e", &()),
            Err(Error::WrongState(_))
        ));
    }
}

#[test]
fn the_result_of_a_step_that_was_running_when_its_run_was_killed_is_dropped() {
    let flow = TestFlow::new().unwrap();
    let engine = flow.engine().clone();
    let weak = std::sync::Mutex::new(Some(engine));
    let weak = Arc::new(weak);
    let body = move |ctx: Ctx, (): ()| {
        let weak = Arc::clone(&weak);
        async move {
            let kill = move || {
                let engine = weak.lock().unwrap().take().unwrap();
                engine.kill(ctx_id()).map_err(|e| e.to_string())
            };
            ctx.run("suicide", kill).await
        }
    };
    fn ctx_id() -> &'static str {
        "r"
    }
    flow.engine().register("w", 1, body).unwrap();
    let result = flow.run::<bool>("w", Start::id("r"));
    assert!(matches!(result, Err(Error::Cancelled)));
    assert_eq!(flow.engine().inspect("r").unwrap().operations.len(), 0);
}

#[test]
fn what_is_random_and_what_time_it_is_does_not_change_in_a_replay() {
    let body = |ctx: Ctx, (): ()| async move {
        let first = (ctx.now().as_millis(), ctx.random(), ctx.uuid());
        ctx.sleep("nap", SECOND).await?;
        let second = (ctx.now().as_millis(), ctx.random(), ctx.uuid());
        let () = ctx.event("go").await?;
        Ok((first, second))
    };
    type Seen = ((u64, u64, String), (u64, u64, String));
    let (clock, disk) = (ManualClock::default(), MemVfs::new());
    let flow = flow_on(Arc::new(disk.clone()), &clock);
    flow.engine().register("w", 1, body).unwrap();
    let run = flow.engine().start::<Seen>("w", Start::id("r")).unwrap();
    flow.skip(5 * SECOND).unwrap();
    let left = disk.copy();
    flow.engine().notify("r", "go", &()).unwrap();
    let live = run.result().unwrap();
    let later = ManualClock::new(clock.now().saturating_add(Duration::from_hours(5)));
    let flow = flow_on(Arc::new(left), &later);
    flow.engine().register("w", 1, body).unwrap();
    flow.engine().notify("r", "go", &()).unwrap();
    assert_eq!(
        flow.engine().run::<Seen>("r").unwrap().result().unwrap(),
        live
    );
    assert_eq!(live.1.0 - live.0.0, 1_000);
    let uuid = &live.0.2;
    assert!(
        uuid.len() == 36 && uuid.as_bytes()[14] == b'4' && b"89ab".contains(&uuid.as_bytes()[19]),
        "{uuid}"
    );
}

#[test]
fn a_run_keeps_its_version_and_waits_for_it_to_be_registered() {
    let (clock, disk) = (ManualClock::default(), MemVfs::new());
    let version =
        |n: u32| move |ctx: Ctx, (): ()| async move { ctx.event::<()>("go").await.map(|()| n) };
    let flow = flow_on(Arc::new(disk.clone()), &clock);
    flow.engine().register("w", 1, version(1)).unwrap();
    flow.engine().start::<u32>("w", Start::id("old")).unwrap();
    flow.engine().register("w", 2, version(2)).unwrap();
    flow.engine().start::<u32>("w", Start::id("new")).unwrap();
    flow.engine()
        .start::<u32>("w", Start::id("pinned").version(1))
        .unwrap();
    let flow = flow_on(Arc::new(disk.copy()), &clock);
    flow.engine().register("w", 2, version(2)).unwrap();
    for id in ["old", "new", "pinned"] {
        flow.engine().notify(id, "go", &()).unwrap();
    }
    flow.engine().run_until_idle().unwrap();
    assert_eq!(
        flow.engine().run::<u32>("new").unwrap().result().unwrap(),
        2
    );
    assert_eq!(
        flow.engine().run::<u32>("old").unwrap().state().unwrap(),
        RunState::Unregistered
    );
    flow.engine().register("w", 1, version(1)).unwrap();
    for id in ["old", "pinned"] {
        assert_eq!(flow.engine().run::<u32>(id).unwrap().result().unwrap(), 1);
    }
}

#[test]
fn lists_are_filtered_and_paged() {
    let flow = TestFlow::new().unwrap();
    flow.engine()
        .register("a", 1, |_ctx: Ctx, ok: bool| async move {
            if ok { Ok(()) } else { Err("no".into()) }
        })
        .unwrap();
    flow.engine()
        .register("b", 1, |ctx: Ctx, (): ()| async move {
            ctx.event::<()>("e").await
        })
        .unwrap();
    for n in 0..7 {
        flow.engine()
            .start::<()>("a", Start::id(format!("a{n}")).input(&(n % 2 == 0)))
            .unwrap();
    }
    flow.engine().start::<()>("b", Start::id("b0")).unwrap();
    flow.engine().run_until_idle().unwrap();
    let ids = |filter: Filter| {
        let page = flow.engine().list(&filter);
        (
            page.runs
                .iter()
                .map(|run| run.id.to_string())
                .collect::<Vec<_>>(),
            page.cursor,
        )
    };
    assert_eq!(ids(Filter::new().failed()).0, ["a1", "a3", "a5"]);
    assert_eq!(ids(Filter::new().active()).0, ["b0"]);
    let (first, cursor) = ids(Filter::new().workflow("a").count(4));
    assert_eq!(first, ["a0", "a1", "a2", "a3"]);
    let (rest, end) = ids(Filter::new().workflow("a").count(4).after(cursor.unwrap()));
    assert_eq!((rest.len(), end), (3, None));
    assert_eq!(ids(Filter::new().count(0)).0.len(), 0);
}

#[test]
fn ended_runs_are_kept_by_count_and_age_and_their_space_is_reused() {
    let (clock, disk) = (ManualClock::default(), MemVfs::new());
    let store = store_on(Arc::new(disk.clone()), &clock);
    let engine = Engine::options()
        .keep_ended(10)
        .mount(&store, "flows")
        .unwrap();
    let waits = |ctx: Ctx, (): ()| async move {
        ctx.run("big", || Ok::<_, StepError>("x".repeat(1_000)))
            .await?;
        ctx.event::<u32>("go").await
    };
    engine.register("wait", 1, waits).unwrap();
    let long = engine.start::<u32>("wait", Start::id("long")).unwrap();
    let payload = |ctx: Ctx, n: u32| async move {
        ctx.run("big", move || Ok::<_, StepError>(n.to_string().repeat(500)))
            .await
            .map(|text: String| text.len())
    };
    engine.register("w", 1, payload).unwrap();
    for n in 0..400_u32 {
        let run = engine
            .start::<usize>("w", Start::id(format!("r{n}")).input(&n))
            .unwrap();
        run.result().unwrap();
        store.maintain(Duration::from_millis(50)).unwrap();
    }
    assert!(
        engine
            .list(&Filter::new().completed().count(1_000))
            .runs
            .len()
            <= 10
    );
    assert!(matches!(
        engine.run::<usize>("r0"),
        Err(Error::NoSuchRun(_))
    ));
    while store.maintain(Duration::from_millis(50)).unwrap().more {}
    store.checkpoint().unwrap();
    while store.maintain(Duration::from_millis(50)).unwrap().more {}
    let bytes: usize = disk.contents().values().map(Vec::len).sum();
    assert!(bytes < 300_000, "{bytes} bytes for eleven small runs");
    assert!(store.check().unwrap().problems.is_empty());
    // The run that lived through all of it, moved by garbage collection, replays after reopening.
    drop((long, engine, store));
    let store = store_on(Arc::new(disk.copy()), &clock);
    let engine = Engine::options()
        .keep_ended_for(Duration::from_hours(1))
        .mount(&store, "flows")
        .unwrap();
    engine.register("wait", 1, waits).unwrap();
    engine.notify("long", "go", &3).unwrap();
    assert_eq!(engine.run::<u32>("long").unwrap().result().unwrap(), 3);
    clock.advance(Duration::from_hours(2));
    store.maintain(SECOND).unwrap();
    assert_eq!(engine.list(&Filter::new()).runs.len(), 0, "too old");
}

#[test]
fn bad_input_is_refused_by_name_and_changes_nothing() {
    let flow = TestFlow::new().unwrap();
    let engine = flow.engine();
    engine
        .register("w", 1, |ctx: Ctx, n: u32| async move {
            Ok(n + ctx.event::<u32>("go").await?)
        })
        .unwrap();
    engine.start::<u32>("w", Start::id("r").input(&1)).unwrap();
    engine.run_until_idle().unwrap();
    let before = engine.store().token();
    let long = "x".repeat(257);
    let start = |workflow: &str, start: Start| engine.start::<u32>(workflow, start).map(drop);
    let cases: Vec<(Result<(), Error>, &str)> = vec![
        (
            start("nope", Start::new()),
            "no workflow is registered as \"nope\"",
        ),
        (
            start("w", Start::new().version(9)),
            "no workflow is registered as \"w version 9\"",
        ),
        (
            start("w", Start::id("")),
            "run id of 0 bytes is not in 1..=256",
        ),
        (
            start("w", Start::id(long.clone())),
            "run id of 257 bytes is not in 1..=256",
        ),
        (
            start(
                "w",
                Start::new().input(&std::collections::HashMap::from([((1, 2), 3)])),
            ),
            "the input cannot be written as JSON: key must be a string",
        ),
        (
            engine.notify("r", "", &1),
            "event name of 0 bytes is not in 1..=256",
        ),
        (
            engine.notify("r", &long, &1),
            "event name of 257 bytes is not in 1..=256",
        ),
        (engine.notify("none", "e", &1), "there is no run \"none\""),
        (engine.cancel("none").map(drop), "there is no run \"none\""),
        (engine.kill("none").map(drop), "there is no run \"none\""),
        (
            engine.resume("r"),
            "run \"r\" cannot be resumed, it is Running",
        ),
        (
            engine.restart::<u32>("r", "x").map(drop),
            "run \"r\" has not ended",
        ),
        (engine.inspect("none").map(drop), "there is no run \"none\""),
        (
            engine.run::<u32>("none").map(drop),
            "there is no run \"none\"",
        ),
        (
            engine.register("w", 1, |_ctx: Ctx, (): ()| async move { Ok(()) }),
            "workflow \"w\" version 1 is registered already",
        ),
        (
            engine.register("", 1, |_ctx: Ctx, (): ()| async move { Ok(()) }),
            "workflow name of 0 bytes is not in 1..=256",
        ),
    ];
    for (result, text) in cases {
        assert_eq!(result.unwrap_err().to_string(), text);
    }
    assert_eq!(engine.store().token(), before, "nothing was written");
    let wrong = flow.run::<u32>("w", Start::id("typed").input("text"));
    let text = wrong.unwrap_err().to_string();
    assert!(text.contains("not a u32"), "{text}");
    engine.notify("r", "go", &"text").unwrap();
    let text = engine
        .run::<u32>("r")
        .unwrap()
        .result()
        .unwrap_err()
        .to_string();
    assert!(text.contains("not a u32"), "{text}");
    for (name, text) in [
        ("", "step name of 0 bytes"),
        (&*long, "step name of 257 bytes"),
    ] {
        let flow = TestFlow::new().unwrap();
        let name = name.to_owned();
        let body = move |ctx: Ctx, (): ()| {
            let name = name.clone();
            async move { ctx.run(&name, || Ok::<_, StepError>(())).await }
        };
        flow.engine().register("w", 1, body).unwrap();
        let error = flow.run::<()>("w", Start::id("r")).unwrap_err().to_string();
        assert!(error.contains(text), "{error}");
    }
}
