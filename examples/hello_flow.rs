//! A workflow that survives being stopped in the middle: `cargo run --example hello_flow`.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use upflow::{Ctx, Engine, Start, StepError};

/// An order: charge, wait for the warehouse, pack and write the invoice side by side.
async fn order(ctx: Ctx, item: String) -> Result<String, StepError> {
    let paid: u32 = ctx.run("charge", || Ok::<_, StepError>(42)).await?;
    let shelf: Option<String> = ctx
        .event_timeout("in-stock", Duration::from_hours(1))
        .await?;
    let Some(shelf) = shelf else {
        return Err(StepError::non_retryable("sold out"));
    };
    let (packed, invoice) = ctx
        .join((
            ctx.run("pack", move || {
                Ok::<_, StepError>(format!("{item} from {shelf}"))
            }),
            ctx.run("invoice", move || {
                Ok::<_, StepError>(format!("{paid} paid"))
            }),
        ))
        .await?;
    Ok(format!("{packed}, {invoice}"))
}

fn open(dir: &Path) -> upflow::Result<Engine> {
    let engine = Engine::open(dir)?;
    engine.register("order", 1, order)?;
    Ok(engine)
}

fn main() -> Result<(), Box<dyn Error>> {
    let dir = examples::scratch("hello_flow")?;
    let engine = open(&dir)?;
    engine.start::<String>("order", Start::id("order-17").input("lamp"))?;
    engine.run_until_idle()?;
    println!("the order waits for the warehouse; now the program ends");
    drop(engine);

    // Another process would do the same: the run is where it was, and "charge" is not repeated.
    let engine = open(&dir)?;
    engine.notify("order-17", "in-stock", "shelf 3")?;
    let result = engine.run::<String>("order-17")?.result()?;
    println!("{result}");
    assert_eq!(result, "lamp from shelf 3, 42 paid");
    for step in engine.inspect("order-17")?.operations {
        println!("{} {:?}", step.op.name, step.state);
    }
    Ok(())
}

#[test]
fn runs() {
    main().expect("the example runs");
}
