//! The window finds what a device can take, without being told.

use fairlead_sched::ContextId;
use fairlead_sched::busy::Kind;
use fairlead_sched::cost::Direction;
use fairlead_sched::window::{Size, Window};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

const US: u64 = 1_000;
const FLOOR: u64 = 4;
const EQUAL: (u64, u64) = (1, 2);
/// What a request is estimated to cost, rightly or not.
const COST: u64 = 50 * US;

fn small() -> Kind {
    Kind::of(Direction::Read, true)
}

/// A device of so many channels, each taking so long; two contexts always want more. Returns the
/// requests in flight on average over the second half.
fn in_flight_at(channels: usize, service_ns: u64, spread: u64, for_ns: u64) -> f64 {
    let mut window = Window::new(FLOOR);
    let mut free_at = vec![0_u64; channels];
    let mut flying: BinaryHeap<Reverse<(u64, u64)>> = BinaryHeap::new();
    let (mut now, mut turn, mut area, mut from, mut number) = (0, 0_u32, 0.0, 0, 0_u64);
    while now < for_ns {
        window.arrived(ContextId { index: turn % 2, generation: 0 }, 0, EQUAL, now);
        turn += 1;
        let size = window.size(flying.len() as u64, 0, now).requests;
        while (flying.len() as u64) < size {
            let channel = free_at.iter_mut().min().expect("channels");
            // Of a fifth up or down, say, in some order.
            number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(99);
            let percent = 100 - spread + (number >> 33) % (2 * spread + 1);
            *channel = now.max(*channel) + service_ns * percent / 100;
            flying.push(Reverse((*channel, now)));
        }
        let Some(Reverse((done, began))) = flying.pop() else { panic!("the floor is not nothing") };
        if now > for_ns / 2 {
            area += flying.len() as f64 * (done - now) as f64;
            from += done - now;
        }
        now = done;
        window.completed(small(), COST, now - began);
    }
    area / from as f64
}

#[test]
fn it_is_a_little_more_than_keeps_the_device_busy() {
    for (channels, spread) in [(1, 0), (8, 0), (32, 0), (8, 20), (32, 20)] {
        let in_flight = in_flight_at(channels, 80 * US, spread, 4_000_000_000);
        let least = (channels as f64).max(3.0);
        assert!((least..=least * 1.5 + 1.0).contains(&in_flight), "{channels}: {in_flight}");
    }
}

#[test]
fn a_context_alone_has_what_is_done_soon_and_company_makes_it_less() {
    let mut window = Window::new(FLOOR);
    let [one, other] = [0, 1].map(|index| ContextId { index, generation: 0 });
    window.arrived(one, 0, EQUAL, 0);
    window.arrived(one, 1, EQUAL, 10);
    assert_eq!(window.size(0, 50, 10), Size { requests: 32, is_shared: false });
    window.arrived(other, 0, EQUAL, 20);
    assert_eq!(window.size(0, 50, 20), Size { requests: FLOOR, is_shared: true });
    assert!(window.size(0, 50, 99_000_000).is_shared);
    assert!(!window.size(0, 50, 101_000_000).is_shared, "the other has gone");
}

/// The device takes this long for everything, however much it has; one context wants ever more.
fn alone_on(latency_ns: u64, wanted: u64) -> u64 {
    let mut window = Window::new(FLOOR);
    let (mut now, mut flying) = (0, BinaryHeap::new());
    let mut largest = 0;
    while now < 2_000_000_000 {
        window.arrived(ContextId { index: 0, generation: 0 }, 63, EQUAL, now);
        let size = window.size(flying.len() as u64, wanted, now).requests;
        largest = largest.max(size);
        while (flying.len() as u64) < size.min(wanted) {
            flying.push(Reverse(now + latency_ns));
        }
        let Some(Reverse(done)) = flying.pop() else { panic!("the floor is not nothing") };
        now = done;
        window.completed(small(), COST, latency_ns);
    }
    largest
}

#[test]
fn a_context_alone_gets_all_that_a_device_takes_that_does_more_the_more_it_has() {
    for latency_ns in [100 * US, 1_000 * US, 10_000 * US, 50_000 * US] {
        assert!(alone_on(latency_ns, 256) >= 256, "{latency_ns} ns");
    }
}

#[test]
fn a_context_alone_does_not_fill_a_slow_device() {
    let mut window = Window::new(FLOOR);
    // 1000 a second: 15 of them are done in the time.
    for now in (0..1_000_000_000).step_by(1_000_000) {
        window.arrived(ContextId { index: 0, generation: 0 }, 63, EQUAL, now);
        window.completed(small(), COST, 64_000_000);
        window.size(0, 256, now);
    }
    let Size { requests, .. } = window.size(0, 256, 1_000_000_000);
    assert!((32..=40).contains(&requests), "{requests}");
}

#[test]
fn among_those_that_have_many_half_of_what_they_have_is_let_through() {
    let mut window = Window::new(FLOOR);
    let [one, other] = [0, 1].map(|index| ContextId { index, generation: 0 });
    for now in (0..300_000_000).step_by(1_000_000) {
        window.arrived(one, 63, EQUAL, now);
        window.arrived(other, 63, EQUAL, now);
    }
    assert_eq!(window.size(0, 128, 299_000_000).requests, 63);
    // Somebody comes who waits for each of his requests.
    window.arrived(other, 0, EQUAL, 300_000_000);
    assert_eq!(window.size(0, 128, 300_000_000).requests, FLOOR);
}

#[test]
fn who_has_little_for_his_weight_is_not_let_run_dry() {
    let sizes = [(7, (1, 2), 7), (31, (4, 5), 19), (31, (1, 17), 263)];
    for (outstanding, weights, expected) in sizes {
        let mut window = Window::new(FLOOR);
        let [one, other] = [0, 1].map(|index| ContextId { index, generation: 0 });
        for now in (0..300_000_000).step_by(1_000_000) {
            window.arrived(one, outstanding, weights, now);
            window.arrived(other, 1000, (weights.1 - weights.0, weights.1), now);
        }
        let wanted = u64::from(outstanding) + 1000;
        assert_eq!(
            window.size(0, wanted, 299_000_000).requests,
            expected,
            "{outstanding} {weights:?}"
        );
    }
}

#[test]
fn what_waited_in_the_device_before_company_came_is_not_taken_for_its_time() {
    let mut window = Window::new(FLOOR);
    let [one, other] = [0, 1].map(|index| ContextId { index, generation: 0 });
    let (mut free_at, mut flying) = ([0_u64; 8], BinaryHeap::new());
    let (mut now, mut size) = (0, 0);
    while now < 3_000_000_000 {
        // The second comes after a second, in which the first has had the device for itself.
        let company = now > 1_000_000_000;
        window.arrived(if company && now % 2 == 0 { other } else { one }, 0, EQUAL, now);
        size = window.size(flying.len() as u64, 256, now).requests;
        while (flying.len() as u64) < size {
            let channel = free_at.iter_mut().min().expect("channels");
            *channel = now.max(*channel) + 1_500 * US + 7;
            flying.push(Reverse((*channel, now)));
        }
        let Some(Reverse((done, began))) = flying.pop() else { panic!("the floor is not nothing") };
        now = done;
        window.completed(small(), COST, now - began);
    }
    assert!((9..=12).contains(&size), "{size}");
}

#[test]
fn company_that_comes_and_goes_is_not_probed_for_each_time() {
    let mut window = Window::new(FLOOR);
    let [one, other] = [0, 1].map(|index| ContextId { index, generation: 0 });
    let (mut flying, mut now, mut comes_at, mut floor_ns) = (BinaryHeap::new(), 0, 0, 0);
    while now < 5_000_000_000 {
        let depth = if now >= comes_at { 0 } else { 63 };
        window.arrived(if depth == 0 { other } else { one }, depth, EQUAL, now);
        comes_at = if depth == 0 { now + 150_000_000 } else { comes_at };
        let size = window.size(flying.len() as u64, 64, now).requests;
        while (flying.len() as u64) < size.min(64) {
            flying.push(Reverse((now + 1_000 * US, now)));
        }
        let Some(Reverse((done, began))) = flying.pop() else { panic!("the floor is not nothing") };
        floor_ns += if size == FLOOR { done - now } else { 0 };
        now = done;
        window.completed(small(), COST, now - began);
    }
    assert!(floor_ns < 5_000_000_000 / 20, "{floor_ns} ns of 5 s at the floor");
}
