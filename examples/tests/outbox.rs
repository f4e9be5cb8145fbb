//! The outbox example with a power cut at every operation of the disk: all of a purchase is there, or nothing of it, and a step's
//! effects happen once.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../outbox.rs"]
mod outbox;

use std::path::Path;
use std::sync::Arc;

use outbox::{Shop, ship};
use upflow::{Engine, Start};
use upkv::storage::Random;
use upkv::storage::fault::SimVfs;
use upkv::storage::testing::scaled;
use upkv::storage::vfs::Vfs;
use upkv::{Durability, ManualClock, Store};

const LAMPS: u64 = 3;

fn store(disk: Arc<dyn Vfs>) -> Store {
    Store::builder(Path::new("/sim/shop"))
        .vfs(disk)
        .clock(Arc::new(ManualClock::default()))
        .random_seed(3)
        .segment_bytes(16 * 1024)
        .checkpoint_bytes(24 * 1024)
        .durability(Durability::Disk)
        .background(false)
        .open()
        .unwrap()
}

fn images_per_cut() -> usize {
    usize::try_from(scaled(2)).unwrap()
}

#[test]
fn a_purchase_is_whole_or_did_not_happen() {
    let sim = SimVfs::new();
    let shop = Shop::mount(&store(Arc::new(sim.clone()))).unwrap();
    shop.db.set("stock:lamp", LAMPS.to_string()).unwrap();
    // After which operation of the disk each purchase was acknowledged.
    let mut acknowledged = Vec::new();
    for order in 0..4 {
        match shop.buy("lamp", order) {
            Ok(left) => assert_eq!(left, 2 - i64::from(order)),
            Err(error) => assert_eq!((order, error.to_string().as_str()), (3, "sold out")),
        }
        if order < 3 {
            acknowledged.push(sim.operations());
        }
    }
    drop(shop);
    let random = Random::seeded(1);
    let mut seen = [0; 4];
    for cut in 0..=sim.operations() {
        for image in sim.crash_point(cut).images(&random, images_per_cut()) {
            let store = store(Arc::new(image.disk().clone()));
            let shop = Shop::mount(&store).unwrap();
            let stock = shop.db.get("stock:lamp").unwrap();
            let stock: Option<u64> = stock.map(|stock| stock.to_string().parse().unwrap());
            let sold = stock.map_or(0, |stock| LAMPS - stock);
            let place = format!("cut {cut}, {}", image.label());
            assert_eq!(shop.queue.stats("orders").ready, sold, "{place}");
            assert_eq!(shop.docs.info().vector_count as u64, sold, "{place}");
            for order in 0..sold {
                let found = shop
                    .docs
                    .namespace("")
                    .fetch([format!("order-{order}")])
                    .unwrap();
                assert!(found[0].is_some(), "{place}");
            }
            let promised = acknowledged.iter().filter(|at| **at <= cut).count() as u64;
            assert!(sold >= promised, "{place}: {sold} of {promised}");
            assert!(store.check().unwrap().problems.is_empty(), "{place}");
            seen[usize::try_from(sold).unwrap()] += 1;
        }
    }
    assert!(seen.iter().all(|images| *images > 0), "{seen:?}");
}

/// Takes the run to its end, from wherever it is.
fn finish(store: &Store) -> (Shop, i64) {
    let shop = Shop::mount(store).unwrap();
    let flows = Engine::mount(store, "flows").unwrap();
    let of_flow = shop.clone();
    flows
        .register("ship", 1, move |ctx, order| {
            ship(ctx, of_flow.clone(), order)
        })
        .unwrap();
    // An ended run is not started again: its id would be free for another one.
    let run = match flows.run::<i64>("order-17") {
        Ok(run) => run,
        Err(_) => flows
            .start("ship", Start::id("order-17").input(&17))
            .unwrap(),
    };
    let result = run.result().unwrap();
    (shop, result)
}

#[test]
fn the_effects_of_a_step_happen_once() {
    let sim = SimVfs::new();
    let (shop, shipped) = finish(&store(Arc::new(sim.clone())));
    assert_eq!(shipped, 3);
    drop(shop);
    let random = Random::seeded(2);
    let (mut before, mut after) = (0, 0);
    for cut in 0..=sim.operations() {
        for image in sim.crash_point(cut).images(&random, images_per_cut()) {
            let store = store(Arc::new(image.disk().clone()));
            let place = format!("cut {cut}, {}", image.label());
            let shop = Shop::mount(&store).unwrap();
            let done = shop.db.exists("shipped").unwrap();
            assert_eq!(shop.queue.stats("mails").ready, u64::from(done), "{place}");
            *(if done { &mut after } else { &mut before }) += 1;
            let (shop, shipped) = finish(&store);
            assert_eq!(shipped, 3, "{place}");
            assert_eq!(shop.db.get("shipped").unwrap().unwrap(), "3", "{place}");
            assert_eq!(shop.queue.stats("mails").ready, 1, "{place}");
        }
    }
    assert!(before > 0 && after > 0, "{before} {after}");
}
