//! The orders in which submitters, the steward and a keeper can take their steps, by shuttle:
//! `make interleavings`. A wake-up that is lost is a keeper that sleeps and somebody who waits for
//! it, which is reported as a deadlock.
#![cfg(shuttle)]

use fairlead_handoff::{Desk, Tally, Thread};
use shuttle::sync::Arc;
use shuttle::sync::atomic::{AtomicU32, Ordering};
use shuttle::thread::{self, current};

const ENTRIES: u32 = 2;

/// Something like a submission queue: written by one, read by another once it is published.
#[derive(Default)]
struct Queue {
    written: AtomicU32,
    tally: Tally,
    entered: AtomicU32,
}

impl Queue {
    /// The submitter: writes entries, and publishes each.
    fn submit_all(&self, keeper: &Thread) {
        for count in 1..=ENTRIES {
            self.written.store(count, Ordering::Relaxed);
            self.tally.publish(count, keeper);
        }
    }

    /// The keeper: takes what was published; says whether there was any.
    fn enter(&self) -> bool {
        let published = self.tally.published();
        assert!(self.written.load(Ordering::Relaxed) >= published);
        self.entered.swap(published, Ordering::Relaxed) != published
    }
}

enum Order {
    /// This submitter has something.
    Open(Thread),
    /// Nothing will be published any more.
    Close,
    /// The context is released.
    Stop,
}

/// Attends until it was told to stop and the queue is closed, as the engine's keeper does.
/// The submitter hears of what was entered.
fn keep(desk: &Desk<Order>, queue: &Queue) {
    let (mut is_open, mut is_stopping, mut submitter) = (true, false, None::<Thread>);
    while is_open || !is_stopping {
        let work = || {
            let any = queue.enter();
            submitter.iter().for_each(Thread::unpark);
            any
        };
        for order in desk.attend(work) {
            match order {
                Order::Open(from) => submitter = Some(from),
                Order::Close => is_open = false,
                Order::Stop => is_stopping = true,
            }
        }
    }
}

/// A submitter that closes its ring when everything has come back.
fn submitter(desk: &Arc<Desk<Order>>, queue: &Arc<Queue>) -> thread::JoinHandle<()> {
    let (desk, queue, keeper) = (Arc::clone(desk), Arc::clone(queue), current());
    thread::spawn(move || {
        desk.order(Order::Open(current()), &keeper);
        queue.submit_all(&keeper);
        while queue.entered.load(Ordering::Relaxed) != ENTRIES {
            thread::park();
        }
        desk.order(Order::Close, &keeper);
    })
}

/// In many orders, found at random and by few, well placed preemptions.
fn play(scene: impl Fn() + Send + Sync + Clone + 'static) {
    shuttle::check_random(scene.clone(), 20_000);
    shuttle::check_pct(scene, 20_000, 3);
}

#[test]
fn everything_published_is_entered_and_every_order_heard() {
    play(|| {
        let (desk, queue) = (Arc::new(Desk::default()), Arc::<Queue>::default());
        let submitter = submitter(&desk, &queue);
        desk.order(Order::Stop, &current());
        keep(&desk, &queue);
        assert_eq!(queue.entered.load(Ordering::Relaxed), ENTRIES);
        submitter.join().expect("it ends");
    });
}

#[test]
fn two_who_order_at_once_are_both_heard() {
    play(|| {
        let (desk, queue) = (Arc::new(Desk::default()), Arc::<Queue>::default());
        let orders = [Order::Close, Order::Stop].map(|order| {
            let (desk, keeper) = (Arc::clone(&desk), current());
            thread::spawn(move || desk.order(order, &keeper))
        });
        keep(&desk, &queue);
        orders.into_iter().for_each(|order| order.join().expect("it ends"));
    });
}

#[test]
fn a_keeper_told_to_stop_first_waits_for_its_ring_to_be_closed() {
    play(|| {
        let (desk, queue) = (Arc::new(Desk::default()), Arc::<Queue>::default());
        let submitter = submitter(&desk, &queue);
        let steward = {
            let (desk, keeper) = (Arc::clone(&desk), current());
            thread::spawn(move || desk.order(Order::Stop, &keeper))
        };
        keep(&desk, &queue);
        assert_eq!(queue.entered.load(Ordering::Relaxed), ENTRIES);
        submitter.join().expect("it ends");
        steward.join().expect("it ends");
    });
}
