//! A body that differs from its journal is parked with what differs, before anything else happens.
#![cfg(feature = "test-util")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{Effects, flow_on};
use upflow::{Ctx, Engine, Reason, RunState, Start, StepError, TestFlow};
use upkv::ManualClock;
use upkv::storage::vfs::MemVfs;

type Body = fn(Ctx, Effects) -> futures::Boxed;

mod futures {
    use super::StepError;
    pub(crate) type Boxed = std::pin::Pin<Box<dyn Future<Output = Result<u32, StepError>> + Send>>;
}

const SOON: Duration = Duration::from_secs(1);

macro_rules! body {
    (|$ctx:ident, $fx:ident| $body:block) => {
        (|$ctx: Ctx, $fx: Effects| Box::pin(async move { $body })) as Body
    };
}

fn register(flow: &TestFlow, body: Body, effects: &Effects) {
    let effects = effects.clone();
    flow.engine()
        .register("w", 1, move |ctx: Ctx, (): ()| body(ctx, effects.clone()))
        .unwrap();
}

/// What every history starts from: two steps, a join, and a wait for an event.
const OLD: Body = body!(|ctx, fx| {
    ctx.run("first", fx.step("first", 1)).await?;
    ctx.sleep("nap", SOON).await?;
    ctx.join((
        ctx.run("left", fx.step("left", 1)),
        ctx.run("right", fx.step("right", 1)),
    ))
    .await?;
    ctx.run("last", fx.step("last", 1)).await?;
    let done: u32 = ctx.event("done").await?;
    Ok(done)
});

/// Runs `OLD` until it waits for its event, then `new` from its journal.
fn replay(new: Body) -> (TestFlow, Effects) {
    let (clock, disk) = (ManualClock::default(), MemVfs::new());
    let flow = flow_on(Arc::new(disk.clone()), &clock);
    register(&flow, OLD, &Effects::default());
    flow.engine().start::<u32>("w", Start::id("r")).unwrap();
    flow.skip(SOON).unwrap();
    assert_eq!(flow.engine().inspect("r").unwrap().operations.len(), 6);
    let left = disk.copy();
    let flow = flow_on(Arc::new(left), &clock);
    let effects = Effects::default();
    register(&flow, new, &effects);
    flow.engine().notify("r", "done", &7_u32).unwrap();
    flow.engine().run_until_idle().unwrap();
    (flow, effects)
}

fn reason(engine: &Engine) -> Reason {
    match engine.inspect("r").unwrap().run.state {
        RunState::Blocked(reason) => reason,
        other => panic!("not blocked but {other:?}"),
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table of changes")]
fn every_change_is_reported_and_nothing_runs_after_it() {
    let cases: &[(&str, Body, &str, &str)] = &[
        (
            "renamed",
            body!(|ctx, fx| { ctx.run("1st", fx.step("1st", 1)).await }),
            "step \"first\" at 0",
            "step \"1st\" at 0",
        ),
        (
            "other kind",
            body!(|ctx, fx| {
                ctx.sleep("first", SOON).await?;
                fx.add("after");
                Ok(1)
            }),
            "step \"first\" at 0",
            "sleep \"first\" at 0",
        ),
        (
            "removed in the middle",
            body!(|ctx, fx| {
                ctx.run("first", fx.step("first", 1)).await?;
                ctx.run("last", fx.step("last", 1)).await
            }),
            "sleep \"nap\" at 1",
            "step \"last\" at 1",
        ),
        (
            "reordered",
            body!(|ctx, fx| {
                ctx.sleep("nap", SOON).await?;
                ctx.run("first", fx.step("first", 1)).await
            }),
            "step \"first\" at 0",
            "sleep \"nap\" at 0",
        ),
        (
            "larger group",
            body!(|ctx, fx| {
                ctx.run("first", fx.step("first", 1)).await?;
                ctx.sleep("nap", SOON).await?;
                let three = ["left", "right", "third"].map(|n| ctx.run(n, fx.step(n, 1)));
                ctx.join_all(three).await?;
                Ok(1)
            }),
            "step \"left\" at 2[0/2].0",
            "step \"left\" at 2[0/3].0",
        ),
        (
            "swapped branches",
            body!(|ctx, fx| {
                ctx.run("first", fx.step("first", 1)).await?;
                ctx.sleep("nap", SOON).await?;
                ctx.join_all(["right", "left"].map(|n| ctx.run(n, fx.step(n, 1))))
                    .await?;
                Ok(1)
            }),
            "step \"left\" at 2[0/2].0",
            "step \"right\" at 2[0/2].0",
        ),
        (
            "group became a step",
            body!(|ctx, fx| {
                ctx.run("first", fx.step("first", 1)).await?;
                ctx.sleep("nap", SOON).await?;
                ctx.run("left", fx.step("left", 1)).await
            }),
            "step \"left\" at 2[0/2].0",
            "step \"left\" at 2",
        ),
        (
            "step became a group",
            body!(|ctx, fx| {
                let two = ["first", "extra"].map(|n| ctx.run(n, fx.step(n, 1)));
                ctx.join_all(two).await?;
                Ok(1)
            }),
            "step \"first\" at 0",
            "step \"first\" at 0[0/2].0",
        ),
        (
            "added in the middle",
            body!(|ctx, fx| {
                ctx.run("first", fx.step("first", 1)).await?;
                ctx.sleep("nap", SOON).await?;
                ctx.run("new", fx.step("new", 1)).await
            }),
            "step \"left\" at 2[0/2].0",
            "step \"new\" at 2",
        ),
        (
            "event renamed at the end",
            body!(|ctx, fx| {
                OLD_PREFIX(ctx.clone(), fx).await?;
                ctx.event("finished").await
            }),
            "event \"done\" at 4",
            "event \"finished\" at 4",
        ),
        (
            "returns early",
            body!(|_ctx, _fx| { Ok(1) }),
            "step \"first\" at 0",
            "nothing",
        ),
    ];
    for (name, new, recorded, requested) in cases {
        let (flow, effects) = replay(*new);
        assert_eq!(effects.all().len(), 0, "{name}: nothing is done");
        let reason = reason(flow.engine());
        let Reason::NonDeterministic {
            recorded: r,
            requested: q,
        } = &reason
        else {
            panic!("{name}: {reason}");
        };
        let text =
            |op: &Option<upflow::OpId>| op.as_ref().map_or("nothing".into(), ToString::to_string);
        assert_eq!(
            (text(r).as_str(), text(q).as_str()),
            (*recorded, *requested),
            "{name}"
        );
        assert_eq!(
            flow.engine()
                .list(&upflow::Filter::new().blocked())
                .runs
                .len(),
            1
        );
        // It stays parked whatever happens, and can be cancelled.
        flow.engine().notify("r", "done", &8_u32).unwrap();
        flow.skip(Duration::from_hours(48)).unwrap();
        assert_eq!(effects.all().len(), 0, "{name}");
        assert!(flow.engine().cancel("r").unwrap());
        assert_eq!(
            flow.engine().inspect("r").unwrap().run.state,
            RunState::Cancelled
        );
    }
}

const OLD_PREFIX: Body = body!(|ctx, fx| {
    ctx.run("first", fx.step("first", 1)).await?;
    ctx.sleep("nap", SOON).await?;
    ctx.join((
        ctx.run("left", fx.step("left", 1)),
        ctx.run("right", fx.step("right", 1)),
    ))
    .await?;
    ctx.run("last", fx.step("last", 1)).await
});

#[test]
fn appended_operations_are_fine() {
    let (flow, effects) = replay(body!(|ctx, fx| {
        let done = OLD(ctx.clone(), fx.clone()).await?;
        ctx.run("appended", fx.step("appended", done)).await
    }));
    let run = flow.engine().run::<u32>("r").unwrap();
    assert_eq!(run.try_result().unwrap(), Some(7));
    assert_eq!(effects.all().into_keys().collect::<Vec<_>>(), ["appended"]);
}

#[test]
fn a_parked_run_goes_on_once_the_code_fits_again() {
    let wrong = body!(|ctx, fx| { ctx.run("1st", fx.step("1st", 1)).await });
    let (clock, disk) = (ManualClock::default(), MemVfs::new());
    let flow = flow_on(Arc::new(disk.clone()), &clock);
    register(&flow, OLD, &Effects::default());
    flow.engine().start::<u32>("w", Start::id("r")).unwrap();
    flow.skip(SOON).unwrap();

    let disk = disk.copy();
    let flow = flow_on(Arc::new(disk.clone()), &clock);
    register(&flow, wrong, &Effects::default());
    flow.engine().notify("r", "done", &7_u32).unwrap();
    flow.engine().run_until_idle().unwrap();
    let parked = reason(flow.engine());
    let error = flow.engine().run::<u32>("r").unwrap().result().unwrap_err();
    assert!(matches!(error, upflow::Error::Blocked(_)), "{error}");
    flow.engine().resume("r").unwrap();
    flow.engine().run_until_idle().unwrap();
    assert_eq!(reason(flow.engine()), parked, "still the wrong code");

    let flow = flow_on(Arc::new(disk.copy()), &clock);
    let effects = Effects::default();
    register(&flow, OLD, &effects);
    flow.engine().run_until_idle().unwrap();
    assert_eq!(reason(flow.engine()), parked, "a block survives reopening");
    flow.engine().resume("r").unwrap();
    assert_eq!(flow.engine().run::<u32>("r").unwrap().result().unwrap(), 7);
    assert_eq!(effects.all().len(), 0, "everything was recorded");
}

#[test]
fn waiting_for_something_foreign_is_noticed() {
    let flow = TestFlow::new().unwrap();
    let never = |ctx: Ctx, (): ()| async move {
        ctx.run("before", || Ok::<_, StepError>(())).await?;
        std::future::pending::<()>().await;
        Ok(())
    };
    flow.engine().register("never", 1, never).unwrap();
    let run = flow.engine().start::<()>("never", Start::id("r")).unwrap();
    flow.engine().run_until_idle().unwrap();
    let Reason::ForeignAwait { after: Some(after) } = reason(flow.engine()) else {
        panic!("another reason");
    };
    assert_eq!(after.to_string(), "step \"before\" at 0");
    assert!(matches!(run.result(), Err(upflow::Error::Blocked(_))));
}

#[test]
fn a_wake_up_from_another_thread_is_noticed() {
    let flow = TestFlow::new().unwrap();
    let (send, receive) = std::sync::mpsc::channel::<std::task::Waker>();
    let body = move |ctx: Ctx, (): ()| {
        let send = send.clone();
        async move {
            let foreign = std::future::poll_fn(move |cx| {
                send.send(cx.waker().clone()).unwrap();
                std::task::Poll::<Result<(), StepError>>::Pending
            });
            ctx.join((ctx.event::<u32>("go"), foreign)).await?;
            Ok(())
        }
    };
    flow.engine().register("foreign", 1, body).unwrap();
    flow.engine()
        .start::<()>("foreign", Start::id("r"))
        .unwrap();
    flow.engine().run_until_idle().unwrap();
    assert_eq!(
        flow.engine().inspect("r").unwrap().run.state,
        RunState::Running
    );
    let waker = receive.recv().unwrap();
    std::thread::spawn(move || waker.wake()).join().unwrap();
    flow.engine().run_until_idle().unwrap();
    assert!(matches!(reason(flow.engine()), Reason::ForeignAwait { .. }));
}
