//! Waiters of many threads.

use super::*;

const KEYS: [&str; 3] = ["a", "b", "c"];

/// Takes from all keys until it gets an element that says so.
fn take_until_told(f: &Fixture, first: usize) -> Vec<String> {
    let key = |step: usize| KEYS[(first + step) % KEYS.len()];
    let line = format!("TAKE {} {} {} 0", key(0), key(1), key(2));
    let mut taken = Vec::new();
    loop {
        let reply = match f.start(&TAKE, &line).expect("no error") {
            Started::Done(reply) => reply,
            Started::Parked(waiter) => {
                let parked = Parked::new(&f.db.engine, &f.db.store, waiter);
                parked.wait().expect("no error")
            }
        };
        let Reply::Bulk(member) = reply else {
            panic!("{reply:?}")
        };
        if member.starts_with(b"zz-stop") {
            return taken;
        }
        taken.push(member.to_string());
    }
}

/// Many threads push and take; each element is delivered once.
#[test]
fn many_threads_deliver_each_element_once() {
    const PUSHERS: usize = 3;
    const TAKERS: usize = 4;
    const EACH: usize = 400;
    let f = &fixture();
    let mut taken: Vec<String> = std::thread::scope(|scope| {
        let takers: Vec<_> = (0..TAKERS)
            .map(|taker| scope.spawn(move || take_until_told(f, taker)))
            .collect();
        let push = |pusher: usize| {
            for n in 0..EACH {
                let key = KEYS[(pusher + n) % KEYS.len()];
                f.run(&format!("ZADD {key} {n} {pusher}-{n:04}"));
            }
        };
        let pushers: Vec<_> = (0..PUSHERS)
            .map(|pusher| scope.spawn(move || push(pusher)))
            .collect();
        for pusher in pushers {
            pusher.join().expect("no panic");
        }
        for taker in 0..TAKERS {
            let key = KEYS[taker % KEYS.len()];
            f.run(&format!("ZADD {key} 999999 zz-stop{taker}"));
        }
        let takers = takers.into_iter();
        takers
            .flat_map(|taker| taker.join().expect("no panic"))
            .collect()
    });
    taken.sort_unstable();
    let mut expected: Vec<String> = (0..PUSHERS)
        .flat_map(|pusher| (0..EACH).map(move |n| format!("{pusher}-{n:04}")))
        .collect();
    expected.sort_unstable();
    assert_eq!(taken, expected);
    assert_eq!(f.run("EXISTS a b c"), Reply::Int(0));
    assert_eq!(f.count(), 0);
    f.db.audit().expect("the counts agree");
}

/// Writes down who is woken.
struct Note(usize, Arc<Mutex<Vec<usize>>>);

impl Wake for Note {
    fn wake(self: Arc<Self>) {
        self.1.lock().push(self.0);
    }
}

/// Waiters that parked in a known order get elements in that order, whatever threads push.
#[test]
fn pushes_of_many_threads_keep_the_order_of_waiters() {
    const WAITERS: usize = 300;
    let f = fixture();
    let mut waiting: Vec<Parked> = (0..WAITERS).map(|_| f.park(&TAKE, "TAKE k 0")).collect();
    let order = Arc::new(Mutex::new(Vec::new()));
    for (at, parked) in waiting.iter_mut().enumerate() {
        let waker = Waker::from(Arc::new(Note(at, Arc::clone(&order))));
        assert!(
            Pin::new(parked)
                .poll(&mut Context::from_waker(&waker))
                .is_pending()
        );
    }
    // A single pusher serves in order; several may serve at once, but whoever is woken holds an element.
    f.run(
        &std::iter::once("ZADD k".to_string())
            .chain((0..WAITERS / 2).map(|n| format!("0 {n:04}")))
            .collect::<Vec<_>>()
            .join(" "),
    );
    assert_eq!(*order.lock(), (0..WAITERS / 2).collect::<Vec<_>>());
    std::thread::scope(|scope| {
        for pusher in 0..3 {
            let f = &f;
            scope.spawn(move || {
                for n in 0..WAITERS / 6 {
                    f.run(&format!("ZADD k 0 {pusher}-{n}"));
                }
            });
        }
    });
    let mut woken = order.lock().clone();
    assert_eq!(woken.len(), WAITERS);
    woken.sort_unstable();
    woken.dedup();
    assert_eq!(woken.len(), WAITERS, "each was woken once");
    let replies: std::collections::BTreeSet<String> = waiting
        .iter_mut()
        .map(|parked| match got(parked) {
            Some(Reply::Bulk(member)) => member.to_string(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(replies.len(), WAITERS, "each got another element");
}
