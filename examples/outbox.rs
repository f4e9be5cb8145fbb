//! One commit across engines: stock, order message and search document change together, or not at all: `cargo run --example outbox`.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::time::Duration;

use serde_json::json;
use upflow::{Ctx, Start, StepError, StepTransaction};
use upkv::{Db, Store};
use upqueue::{Message, Queue};
use upvector::{Index, Metric, Record, Spec};

/// A shop on one store.
#[derive(Clone, Debug)]
pub(crate) struct Shop {
    pub(crate) db: Db,
    pub(crate) queue: Queue,
    pub(crate) docs: Index,
}

impl Shop {
    pub(crate) fn mount(store: &Store) -> Result<Self, Box<dyn Error>> {
        Ok(Self {
            db: Db::mount(store, "stock")?,
            queue: Queue::mount(store, "jobs")?,
            docs: Index::mount(store, "orders", Spec::dense(2, Metric::Cosine))?,
        })
    }

    /// Takes one item out of stock, sends the order on and makes it searchable. Sold out: nothing of that happens.
    pub(crate) fn buy(&self, item: &str, order: u32) -> upkv::Result<i64> {
        self.db.transaction(|tx| {
            let left = tx.decr(format!("stock:{item}"))?;
            if left < 0 {
                return tx.abort("sold out");
            }
            let message = Message::new("orders", format!("{order} {item}"));
            tx.enlist(&self.queue)?.publish(message)?;
            let record = Record::new(format!("order-{order}"), [1.0, 2.0]);
            let record = record.metadata(json!({"item": item}));
            tx.enlist(&self.docs)?.upsert("", record)?;
            Ok(left)
        })
    }
}

/// The same as a workflow: the step's result is in the commit of its effects, so they happen once, however often the process dies.
pub(crate) async fn ship(ctx: Ctx, shop: Shop, order: u32) -> Result<i64, StepError> {
    let weight: i64 = ctx.run("weigh", || Ok::<_, StepError>(3)).await?;
    ctx.transact("ship", move |step: &StepTransaction| {
        shop.db.transaction(|tx| {
            let shipped = tx.incr_by("shipped", weight)?;
            let message = Message::new("mails", format!("order {order} is on its way"));
            tx.enlist(&shop.queue)?.publish(message)?;
            Ok(tx.enlist(step)?.complete(step, &shipped)?)
        })
    })
    .await
}

pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    let dir = examples::scratch("outbox")?;
    let store = Store::open(&dir)?;
    let shop = Shop::mount(&store)?;
    let flows = upflow::Engine::mount(&store, "flows")?;
    let of_flow = shop.clone();
    flows.register("ship", 1, move |ctx, order| {
        ship(ctx, of_flow.clone(), order)
    })?;

    shop.db.set("stock:lamp", "1")?;
    assert_eq!(shop.buy("lamp", 17)?, 0);
    println!(
        "the second lamp: {}",
        shop.buy("lamp", 18).expect_err("one was in stock")
    );
    assert_eq!(
        shop.db.get("stock:lamp")?.as_deref(),
        Some(&b"0"[..]),
        "taken back"
    );
    assert_eq!(
        (
            shop.queue.stats("orders").ready,
            shop.docs.info().vector_count
        ),
        (1, 1)
    );

    let job = shop
        .queue
        .receive("orders", Duration::ZERO)?
        .ok_or("an order waits")?;
    println!("order {}", String::from_utf8_lossy(job.body()));
    let shipped: i64 = flows
        .start("ship", Start::id("order-17").input(&17))?
        .result()?;
    job.ack()?;
    println!(
        "{shipped} kg shipped, {} mail to send",
        shop.queue.stats("mails").ready
    );
    assert_eq!((shipped, shop.queue.stats("mails").ready), (3, 1));
    Ok(())
}

#[test]
fn runs() {
    main().expect("the example runs");
}
