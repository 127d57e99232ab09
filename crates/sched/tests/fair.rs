//! The fair scheduler's promises. Decision by decision it is held to its specification from Python
//! (`tests/property/test_scheduler_differential.py`); here is what holds in Rust alone.

use fairlead_sched::ContextId;
use fairlead_sched::fair::{Device, Fair};
use fairlead_sched::scheduler::{Full, Next, Request, Scheduler};
use fairlead_sched::settings::{Priority, Rate, Settings};

const MS: u64 = 1_000_000;
const DEVICE: Device =
    Device { window_ns: 1_000, cost_max_ns: 400, small_ns: 100, reserve_ns: 200, place_ns: None };

fn id(index: u32) -> ContextId {
    ContextId { index, generation: 0 }
}

fn request(context: u32, token: u64, cost_ns: u64) -> Request {
    Request { context: id(context), token, cost_ns, length_bytes: 4096 }
}

fn picked(fair: &mut Fair, now: u64) -> Option<Request> {
    match fair.next(now) {
        Next::Submit(request) => Some(request),
        Next::WindowFull | Next::Idle => None,
    }
}

/// Serves one request after the other for so long, everybody always wanting more.
fn serve(fair: &mut Fair, contexts: &[u32], rounds: usize) -> Vec<usize> {
    let mut served = vec![0; contexts.len()];
    let mut token = 0;
    for context in contexts {
        (0..2).for_each(|_| {
            token += 1;
            fair.push(request(*context, token, 100), 0).expect("room");
        });
    }
    for _ in 0..rounds {
        let Some(done) = picked(fair, 0) else { panic!("somebody waits") };
        fair.complete(done.cost_ns);
        token += 1;
        fair.push(request(done.context.index, token, 100), 0).expect("room");
        let place = contexts.iter().position(|context| *context == done.context.index);
        let count = place.and_then(|place| served.get_mut(place)).expect("one of them");
        *count += 1;
    }
    served
}

#[test]
fn contexts_share_by_weight() {
    let mut fair = Fair::new(DEVICE);
    for (context, weight) in [(0, 1), (1, 4), (7, 15)] {
        fair.set(id(context), Settings { weight, ..Settings::default() }, 0);
    }
    assert_eq!(serve(&mut fair, &[0, 1, 7], 2000), [100, 400, 1500]);
}

#[test]
fn the_clock_may_come_round() {
    let orders = [0, u64::MAX - 40_000, u64::MAX / 2 - 40_000].map(|clock| {
        let mut fair = Fair::starting_at(DEVICE, clock);
        fair.set(id(1), Settings { weight: 3, ..Settings::default() }, 0);
        let mut order = Vec::new();
        for token in 0..400 {
            fair.push(request(token % 4, u64::from(token), 100), 0).expect("room");
            if token > 20 {
                let done = picked(&mut fair, 0).expect("many wait");
                fair.complete(done.cost_ns);
                order.push(done);
            }
        }
        order
    });
    assert!(orders.iter().all(|order| *order == orders[0]));
}

#[test]
fn the_window_holds_and_leaves_room_for_small_requests() {
    let mut fair = Fair::new(DEVICE);
    (0..4).for_each(|token| fair.push(request(0, token, 400), 0).expect("room"));
    assert!(picked(&mut fair, 0).is_some() && picked(&mut fair, 0).is_some());
    assert_eq!(fair.next(0), Next::WindowFull);
    fair.complete(400);
    // Somebody sends small ones: 800 of 1000 are for large ones, 400 are there already.
    fair.push(request(1, 10, 100), 0).expect("room");
    assert_eq!(picked(&mut fair, 0).map(|request| request.token), Some(10));
    assert_eq!(picked(&mut fair, 0).map(|request| request.token), Some(2));
    assert_eq!(fair.next(0), Next::WindowFull, "900 are there");
    fair.push(request(1, 11, 100), 0).expect("room");
    assert_eq!(picked(&mut fair, 0).map(|request| request.token), Some(11));
}

#[test]
fn a_limit_holds_its_context_alone() {
    let mut fair = Fair::new(DEVICE);
    let limit = Rate { iops: Some(1000), bytes_per_s: None };
    fair.set(id(0), Settings { limit, burst_ns: 0, ..Settings::default() }, 0);
    (0..3).for_each(|token| fair.push(request(0, token, 100), 5 * MS).expect("room"));
    assert_eq!(picked(&mut fair, 5 * MS).map(|request| request.token), Some(0));
    assert_eq!(fair.next(5 * MS), Next::Idle);
    assert_eq!(fair.wake_at(), Some(6 * MS));
    fair.push(request(1, 9, 100), 5 * MS).expect("room");
    assert_eq!(picked(&mut fair, 5 * MS).map(|request| request.token), Some(9));
    assert_eq!(picked(&mut fair, 6 * MS).map(|request| request.token), Some(1));
    assert_eq!((fair.next(6 * MS), fair.wake_at()), (Next::Idle, Some(7 * MS)));
    assert!(!fair.bypass(&request(1, 10, 100), 6 * MS), "something waits");
}

#[test]
fn a_guarantee_goes_first_and_is_not_paid_for() {
    let mut fair = Fair::new(DEVICE);
    let guarantee = Rate { iops: Some(1000), bytes_per_s: None };
    fair.set(id(0), Settings { guarantee, burst_ns: 0, ..Settings::default() }, 0);
    fair.set(id(1), Settings { weight: 1000, ..Settings::default() }, 0);
    let mut served = [0; 2];
    for token in 0..20_u64 {
        fair.push(request(0, token, 100), MS).expect("room");
        fair.push(request(1, token, 100), MS).expect("room");
    }
    for now in 1..=10 {
        for _ in 0..2 {
            let request = picked(&mut fair, now * MS).expect("both wait");
            fair.complete(request.cost_ns);
            served[request.context.index as usize] += 1;
        }
    }
    assert_eq!(served, [10, 10]);
}

#[test]
fn a_lower_class_waits_for_the_higher_ones() {
    let mut fair = Fair::new(DEVICE);
    for (context, priority) in (0..).zip([Priority::Idle, Priority::Normal, Priority::Urgent]) {
        fair.set(id(context), Settings { priority, ..Settings::default() }, 0);
        (0..2).for_each(|token| fair.push(request(context, token, 100), 0).expect("room"));
    }
    let order: Vec<_> =
        std::iter::from_fn(|| picked(&mut fair, 0)).map(|r| r.context.index).collect();
    assert_eq!(order, [2, 2, 1, 1, 0, 0]);
}

#[test]
fn what_bypasses_leaves_everything_as_if_it_had_queued() {
    let (mut left, mut right) = (Fair::new(DEVICE), Fair::new(DEVICE));
    for (token, context) in (0..).zip([0, 1, 0, 0, 1, 2]) {
        let request = request(context, token, 90 + token * 10);
        assert!(left.bypass(&request, token));
        right.push(request, token).expect("room");
        assert_eq!(picked(&mut right, token), Some(request));
    }
    for fair in [&mut left, &mut right] {
        (0..12).for_each(|token| fair.push(request(token as u32 % 3, token, 50), 9).expect("room"));
    }
    loop {
        let (one, other) = (left.next(9), right.next(9));
        assert_eq!(one, other);
        match one {
            Next::Submit(_) => {}
            Next::WindowFull => (0..2).for_each(|_| {
                left.complete(100);
                right.complete(100);
            }),
            Next::Idle => break,
        }
    }
}

#[test]
fn a_full_queue_and_a_context_that_goes() {
    let mut fair = Fair::new(DEVICE);
    fair.set(id(0), Settings { queued_max: 2, ..Settings::default() }, 0);
    assert_eq!(fair.push(request(0, 1, 1), 0), Ok(()));
    assert_eq!(fair.push(request(0, 2, 1), 0), Ok(()));
    assert_eq!(fair.push(request(0, 3, 1), 0), Err(Full));
    assert!(fair.remove(id(0), 1, 0) && !fair.remove(id(0), 1, 0));
    fair.push(request(0, 4, 1), 0).expect("room again");
    let stale = ContextId { index: 0, generation: 9 };
    assert!(!fair.remove(stale, 2, 0) && fair.close(stale).is_empty());
    assert_eq!(fair.close(id(0)), [2, 4]);
    assert_eq!((fair.next(0), fair.queued(), fair.in_flight()), (Next::Idle, 0, 0));
    fair.push(Request { context: stale, ..request(0, 5, 1) }, 0).expect("its place is free");
    assert_eq!(picked(&mut fair, 0).map(|request| request.token), Some(5));
}
