//! A queue with retries and dead letters: `cargo run --example hello_queue`.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::time::Duration;

use upqueue::{Backoff, Message, Queue};

fn main() -> Result<(), Box<dyn Error>> {
    let dir = examples::scratch("hello_queue")?;
    let queue = Queue::open(&dir)?;

    // Durable when it returns; the second one is recognised as the same.
    let message = || Message::new("emails", "to: ada").deduplication_id("order-17");
    assert!(!queue.publish(message())?.deduplicated);
    assert!(queue.publish(message())?.deduplicated);
    let shaky = Message::new("emails", "to: nobody")
        .retries(1)
        .backoff(Backoff::none());
    queue.publish(shaky)?;

    // A message is on lease to its consumer until it is answered. A failure is delivered again, here once.
    while let Some(mut job) = queue.receive("emails", Duration::ZERO)? {
        let to = String::from_utf8_lossy(job.body()).into_owned();
        println!("delivery {} of {to}", job.attempt());
        job.extend(Duration::from_mins(1))?;
        if to.ends_with("nobody") {
            job.nack("unknown address")?;
        } else {
            job.ack()?;
        }
    }

    // What used up its deliveries waits with the reason, and can be sent round again.
    let dead: Vec<_> = queue.dead_letters("emails").collect::<Result<_, _>>()?;
    for letter in &dead {
        println!("dead after {} deliveries: {}", letter.attempts, letter.why);
    }
    assert_eq!((dead.len(), dead[0].attempts), (1, 2));
    assert!(queue.redrive(dead[0].id)?);
    assert_eq!(queue.stats("emails").ready, 1);
    queue.close()?;
    Ok(())
}

#[test]
fn runs() {
    main().expect("the example runs");
}
