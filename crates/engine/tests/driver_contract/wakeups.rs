//! The mailbox and the clock.

use crate::harness::{Bench, on_both_drivers};
use fairlead_engine::driver::Completion;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

on_both_drivers! {
    a_message_ends_the_wait,
    a_message_before_the_wait_is_not_forgotten,
    every_message_after_a_look_wakes_again,
    waiting_for_no_time_brings_what_is_there,
    waiting_for_nothing_ends_in_time,
    a_watch_tells_once_what_it_was_set_for,
    a_watch_that_was_ended_tells_nothing_and_may_be_set_anew,
    a_watch_tells_that_the_other_end_is_gone,
}

fn pair() -> (UnixStream, UnixStream) {
    UnixStream::pair().expect("a pair of sockets")
}

fn a_watch_tells_once_what_it_was_set_for(mut bench: Bench) {
    let (ours, mut theirs) = pair();
    bench.driver.watch(1, ours.as_raw_fd(), libc::POLLIN);
    theirs.write_all(b"x").expect("room for a byte");
    assert_eq!(bench.next(), Completion::Ready { watch: 1, events: libc::POLLIN });
    // Nobody has read the byte, and nobody is told again.
    bench.driver.watch(2, ours.as_raw_fd(), libc::POLLOUT);
    assert_eq!(bench.next(), Completion::Ready { watch: 2, events: libc::POLLOUT });
    let mut told = Vec::new();
    bench.driver.wait(Duration::from_millis(20), &mut told).expect("the driver works");
    assert_eq!(told, []);
}

fn a_watch_that_was_ended_tells_nothing_and_may_be_set_anew(mut bench: Bench) {
    let (ours, mut theirs) = pair();
    bench.driver.watch(1, ours.as_raw_fd(), libc::POLLIN);
    let mut told = Vec::new();
    bench.driver.wait(Duration::ZERO, &mut told).expect("the driver works");
    bench.driver.unwatch(1, ours.as_raw_fd());
    bench.driver.wait(Duration::from_millis(20), &mut told).expect("the driver works");
    theirs.write_all(b"x").expect("room for a byte");
    bench.driver.watch(2, ours.as_raw_fd(), libc::POLLIN);
    assert_eq!(bench.next(), Completion::Ready { watch: 2, events: libc::POLLIN });
    assert_eq!(told, []);
}

fn a_watch_tells_that_the_other_end_is_gone(mut bench: Bench) {
    let (ours, theirs) = pair();
    bench.driver.watch(1, ours.as_raw_fd(), libc::POLLIN);
    drop(theirs);
    let Completion::Ready { watch: 1, events } = bench.next() else { panic!("something else") };
    assert_ne!(events & libc::POLLHUP, 0);
}

fn a_message_ends_the_wait(mut bench: Bench) {
    let start = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| bench.mailbox.post(1).expect("somebody reads it"));
        let mut told = Vec::new();
        bench.driver.wait(Duration::from_secs(15), &mut told).expect("the driver works");
        assert_eq!(told, [Completion::Woken]);
    });
    assert!(start.elapsed() < Duration::from_secs(15));
}

fn a_message_before_the_wait_is_not_forgotten(mut bench: Bench) {
    for round in 0..10 {
        bench.mailbox.post(round).expect("somebody reads it");
        bench.mailbox.post(round).expect("somebody reads it");
        assert_eq!(bench.next(), Completion::Woken);
        bench.mailbox.opened();
        assert_eq!(bench.messages.try_iter().collect::<Vec<_>>(), [round, round]);
    }
}

/// Ping pong: a message that wakes nobody stops the game.
fn every_message_after_a_look_wakes_again(bench: Bench) {
    const ROUNDS: u32 = 5000;
    let Bench { mut driver, mailbox, messages, .. } = bench;
    let (answer, answers) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let mailbox = &mailbox;
        scope.spawn(move || {
            for round in 0..ROUNDS {
                mailbox.post(round).expect("somebody reads it");
                if answers.recv() != Ok(round) {
                    return;
                }
            }
        });
        let mut told = Vec::new();
        let mut round = 0;
        let deadline = Instant::now() + Duration::from_secs(60);
        while round < ROUNDS {
            assert!(Instant::now() < deadline, "message {round} woke nobody");
            driver.wait(Duration::from_secs(1), &mut told).expect("the driver works");
            if told.is_empty() {
                continue;
            }
            assert!(told.drain(..).all(|completion| completion == Completion::Woken));
            mailbox.opened();
            for message in messages.try_iter() {
                assert_eq!(message, round);
                answer.send(round).expect("the other side plays");
                round += 1;
            }
        }
    });
}

/// A submitter that has work waits for no time at all: the wire has its turn all the same.
fn waiting_for_no_time_brings_what_is_there(mut bench: Bench) {
    const WAITS: usize = 100_000;
    let (ours, mut theirs) = UnixStream::pair().expect("a pair of sockets");
    bench.driver.receive(1, ours.as_raw_fd());
    bench.wait(Duration::ZERO);
    assert_eq!(bench.take_told(), []);
    theirs.write_all(b"bytes").expect("write");
    bench.mailbox.post(1).expect("somebody reads it");
    let mut told = Vec::new();
    for _ in 0..WAITS {
        bench.wait(Duration::ZERO);
        told.extend(bench.take_told());
        if told.len() == 2 {
            break;
        }
    }
    let is_received = |completion: &Completion| matches!(completion, Completion::Received { .. });
    assert!(told.contains(&Completion::Woken) && told.iter().any(is_received), "{told:?}");
}

fn waiting_for_nothing_ends_in_time(mut bench: Bench) {
    for patience in [Duration::ZERO, Duration::from_millis(5)] {
        let start = Instant::now();
        bench.wait(patience);
        assert!(start.elapsed() >= patience && start.elapsed() < Duration::from_secs(10));
        assert_eq!(bench.take_told(), []);
    }
}
