//! Receiving and sending.

use crate::harness::{Bench, on_both_drivers, pattern};
use fairlead_engine::batch::Batch;
use fairlead_engine::driver::{Completion, Received};
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

on_both_drivers! {
    a_stream_brings_everything_in_order_and_then_the_end,
    once_is_once_and_no_more_than_asked_for,
    exact_waits_for_all_of_it,
    exact_ends_with_the_stream,
    a_pause_ends_the_stream_and_loses_nothing,
    a_pause_is_answered_once_also_when_data_comes_at_the_same_time,
    from_stream_to_exact_and_back,
    shared_buffers_that_run_out_lose_nothing,
    a_large_message_goes_out_although_its_reader_is_slow,
    sending_and_receiving_on_one_connection_at_once,
    sending_to_nobody_is_an_error_and_not_a_signal,
    what_is_no_socket_is_an_error,
    many_connections_at_once,
}

fn pair() -> (UnixStream, UnixStream) {
    UnixStream::pair().expect("a pair of sockets")
}

fn a_stream_brings_everything_in_order_and_then_the_end(mut bench: Bench) {
    let (ours, mut theirs) = pair();
    bench.driver.receive(3, ours.as_raw_fd());
    for part in [&b"one"[..], b"two", b"three"] {
        theirs.write_all(part).expect("write");
        assert_eq!(bench.received(3), (Ok(part.to_vec()), true));
    }
    let data = pattern(3 << 20);
    let (mut there, mut goes_on) = (Vec::new(), true);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            theirs.write_all(&data).expect("write");
            theirs.shutdown(Shutdown::Write).expect("shutdown");
        });
        while goes_on {
            let (bytes, more) = bench.received(3);
            there.extend(bytes.expect("bytes"));
            goes_on = more;
        }
    });
    assert!(there == data, "{} bytes of {}", there.len(), data.len());
    bench.assert_nothing_told();
}

fn once_is_once_and_no_more_than_asked_for(mut bench: Bench) {
    let (ours, mut theirs) = pair();
    let data = pattern(250);
    bench.driver.receive_once(1, ours.as_raw_fd(), 100);
    theirs.write_all(&data).expect("write");
    assert_eq!(bench.received(1), (Ok(data[..100].to_vec()), false));
    bench.assert_nothing_told();
    for part in [&data[100..200], &data[200..]] {
        bench.driver.receive_once(1, ours.as_raw_fd(), 100);
        assert_eq!(bench.received(1), (Ok(part.to_vec()), false));
    }
    drop(theirs);
    bench.driver.receive_once(1, ours.as_raw_fd(), 100);
    assert_eq!(bench.received(1), (Ok(Vec::new()), false));
}

fn exact_waits_for_all_of_it(mut bench: Bench) {
    let (ours, mut theirs) = pair();
    let data = pattern(1 << 20);
    let mut there = vec![0; data.len()];
    let length = there.len() as u32;
    bench.driver.receive_exact(9, ours.as_raw_fd(), there.as_mut_ptr(), length);
    for part in [&data[..1], &data[1..10_000]] {
        theirs.write_all(part).expect("write");
        bench.assert_nothing_told();
    }
    std::thread::scope(|scope| {
        scope.spawn(|| theirs.write_all(&data[10_000..]).expect("write"));
        let whole = Completion::ReceivedExact { connection: 9, result: length as i32 };
        assert_eq!(bench.next(), whole);
    });
    assert!(there == data);
}

fn exact_ends_with_the_stream(mut bench: Bench) {
    let (ours, mut theirs) = pair();
    let mut there = [0; 100];
    bench.driver.receive_exact(2, ours.as_raw_fd(), there.as_mut_ptr(), 100);
    theirs.write_all(&[7; 40]).expect("write");
    drop(theirs);
    assert_eq!(bench.next(), Completion::ReceivedExact { connection: 2, result: 40 });
    assert_eq!((&there[..40], &there[40..]), (&[7; 40][..], &[0; 60][..]));
    bench.driver.receive_exact(2, ours.as_raw_fd(), there.as_mut_ptr(), 100);
    assert_eq!(bench.next(), Completion::ReceivedExact { connection: 2, result: 0 });
}

fn a_pause_ends_the_stream_and_loses_nothing(mut bench: Bench) {
    let (ours, mut theirs) = pair();
    bench.driver.receive(1, ours.as_raw_fd());
    theirs.write_all(b"before").expect("write");
    assert_eq!(bench.received(1), (Ok(b"before".to_vec()), true));
    bench.driver.pause(1, ours.as_raw_fd());
    assert_eq!(bench.received(1), (Err(libc::ECANCELED), false));
    theirs.write_all(b"after").expect("write");
    bench.assert_nothing_told();
    let mut there = [0; 5];
    bench.driver.receive_exact(1, ours.as_raw_fd(), there.as_mut_ptr(), 5);
    assert_eq!(bench.next(), Completion::ReceivedExact { connection: 1, result: 5 });
    assert_eq!(&there, b"after");
}

fn a_pause_is_answered_once_also_when_data_comes_at_the_same_time(mut bench: Bench) {
    let (ours, mut theirs) = pair();
    for round in 0..200_u8 {
        bench.driver.receive(1, ours.as_raw_fd());
        theirs.write_all(&[round; 10]).expect("write");
        bench.driver.pause(1, ours.as_raw_fd());
        let (mut there, mut goes_on) = (Vec::new(), true);
        while goes_on {
            let (bytes, more) = bench.received(1);
            goes_on = more;
            match bytes {
                Ok(bytes) => there.extend(bytes),
                Err(errno) => assert_eq!(errno, libc::ECANCELED),
            }
        }
        bench.assert_nothing_told();
        // What the stream has not brought is still there.
        let mut rest = vec![0; 10 - there.len()];
        ours.set_nonblocking(true).expect("a socket");
        if !rest.is_empty() {
            (&ours).read_exact(&mut rest).expect("the rest");
        }
        there.extend(rest);
        assert_eq!(there, [round; 10]);
    }
}

/// As the submitter does it: headers by the stream, data to its place.
fn from_stream_to_exact_and_back(mut bench: Bench) {
    let (ours, mut theirs) = pair();
    let data = pattern(2 << 20);
    let writer = {
        let data = data.clone();
        std::thread::spawn(move || theirs.write_all(&data).expect("write"))
    };
    let mut there = Vec::new();
    while there.len() < data.len() {
        bench.driver.receive(4, ours.as_raw_fd());
        let (bytes, mut goes_on) = bench.received(4);
        there.extend(bytes.expect("bytes"));
        if goes_on {
            bench.driver.pause(4, ours.as_raw_fd());
        }
        while goes_on {
            let (bytes, more) = bench.received(4);
            goes_on = more;
            there.extend(bytes.unwrap_or_default());
        }
        let mut exact = vec![0; (data.len() - there.len()).min(100_000)];
        if !exact.is_empty() {
            let length = exact.len() as u32;
            bench.driver.receive_exact(4, ours.as_raw_fd(), exact.as_mut_ptr(), length);
            let result = length as i32;
            assert_eq!(bench.next(), Completion::ReceivedExact { connection: 4, result });
            there.extend(exact);
        }
    }
    writer.join().expect("the writer");
    assert!(there == data);
}

fn shared_buffers_that_run_out_lose_nothing(mut bench: Bench) {
    let (ours, mut theirs) = pair();
    let data = pattern(6 << 20);
    let writer = {
        let data = data.clone();
        std::thread::spawn(move || theirs.write_all(&data).expect("write"))
    };
    let (mut there, mut held, mut ran_out): (Vec<u8>, Vec<Received>, _) = (vec![], vec![], 0);
    let (mut receives, mut idle) = (false, 0);
    while there.len() < data.len() {
        assert!(idle < 200, "nothing comes any more after {} bytes", there.len());
        if !std::mem::replace(&mut receives, true) {
            bench.driver.receive(1, ours.as_raw_fd());
        }
        bench.wait(Duration::from_millis(50));
        let told = bench.take_told();
        // Nobody gives a buffer back before nothing goes on without.
        let mut is_stuck = told.is_empty();
        for completion in told {
            let Completion::Received { result, buffer, more, .. } = completion else {
                panic!("{completion:?}");
            };
            receives = more;
            match buffer {
                Some(buffer) => {
                    there.extend_from_slice(&bench.driver.bytes(buffer)[..result as usize]);
                    held.push(buffer);
                }
                // The end of the stream.
                None if result == 0 => {}
                None => {
                    assert_eq!(result, -libc::ENOBUFS);
                    is_stuck = true;
                }
            }
        }
        idle = if is_stuck { idle + 1 } else { 0 };
        if is_stuck && !held.is_empty() {
            ran_out += 1;
            held.drain(..).for_each(|buffer| bench.driver.give_back(buffer));
        }
    }
    writer.join().expect("the writer");
    assert!(there == data && ran_out > 0);
}

fn message(parts: &[Vec<u8>]) -> Box<Batch> {
    let mut batch = Batch::new();
    for part in parts {
        let iov_base = part.as_ptr().cast_mut().cast();
        batch.vectors.push(libc::iovec { iov_base, iov_len: part.len() });
        batch.bytes += part.len();
    }
    batch.aim();
    batch
}

/// Sends a message to its end, as often as it takes.
fn send(bench: &mut Bench, socket: &UnixStream, parts: &[Vec<u8>]) {
    let mut batch = message(parts);
    while batch.bytes > 0 {
        bench.driver.send(5, socket.as_raw_fd(), &raw const batch.message);
        match bench.next() {
            Completion::Sent { connection: 5, result } if result > 0 => {
                batch.sent = result as usize;
                assert!(batch.sent <= batch.bytes);
                batch.aim();
            }
            other => panic!("{other:?} instead of the end of a send"),
        }
    }
}

fn a_large_message_goes_out_although_its_reader_is_slow(mut bench: Bench) {
    let (ours, mut theirs) = pair();
    let parts = [pattern(48), pattern(5 << 20), Vec::new(), pattern(3), pattern(300_000)];
    let data = parts.concat();
    let mut there = vec![0; data.len()];
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // Small pieces, so that the sender finds the socket full again and again.
            there.chunks_mut(1000).for_each(|piece| theirs.read_exact(piece).expect("read"));
        });
        send(&mut bench, &ours, &parts);
    });
    assert!(there == data);
    bench.assert_nothing_told();
}

fn sending_and_receiving_on_one_connection_at_once(mut bench: Bench) {
    let (ours, theirs) = pair();
    let data = pattern(4 << 20);
    let parts = [data.clone()];
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut piece = vec![0; 64 << 10];
            for sent in data.chunks(piece.len()) {
                (&theirs).write_all(sent).expect("write");
                (&theirs).read_exact(&mut piece[..sent.len()]).expect("read");
                assert!(piece[..sent.len()] == *sent);
            }
        });
        let mut batch = message(&parts);
        let mut there = Vec::new();
        bench.driver.receive(5, ours.as_raw_fd());
        bench.driver.send(5, ours.as_raw_fd(), &raw const batch.message);
        while batch.bytes > 0 || there.len() < data.len() {
            match bench.next() {
                Completion::Sent { connection: 5, result } if result > 0 => {
                    batch.sent = result as usize;
                    batch.aim();
                    if batch.bytes > 0 {
                        bench.driver.send(5, ours.as_raw_fd(), &raw const batch.message);
                    }
                }
                Completion::Received { connection: 5, result, buffer: Some(buffer), more } => {
                    there.extend_from_slice(&bench.driver.bytes(buffer)[..result as usize]);
                    bench.driver.give_back(buffer);
                    assert!(more);
                }
                other => panic!("{other:?}"),
            }
        }
        assert!(there == data);
    });
}

fn sending_to_nobody_is_an_error_and_not_a_signal(mut bench: Bench) {
    let (ours, theirs) = pair();
    drop(theirs);
    let parts = [pattern(100)];
    let batch = message(&parts);
    bench.driver.send(1, ours.as_raw_fd(), &raw const batch.message);
    assert_eq!(bench.next(), Completion::Sent { connection: 1, result: -libc::EPIPE });
}

fn what_is_no_socket_is_an_error(mut bench: Bench) {
    let file = crate::harness::file(10, 0);
    let fd = file.as_raw_fd();
    bench.driver.receive(1, fd);
    assert_eq!(bench.received(1), (Err(libc::ENOTSOCK), false));
    bench.driver.receive_once(1, fd, 10);
    assert_eq!(bench.received(1), (Err(libc::ENOTSOCK), false));
    let mut there = [0; 10];
    bench.driver.receive_exact(1, fd, there.as_mut_ptr(), 10);
    let result = -libc::ENOTSOCK;
    assert_eq!(bench.next(), Completion::ReceivedExact { connection: 1, result });
    let parts = [pattern(100)];
    let batch = message(&parts);
    bench.driver.send(1, fd, &raw const batch.message);
    assert_eq!(bench.next(), Completion::Sent { connection: 1, result });
}

fn many_connections_at_once(mut bench: Bench) {
    let mut pairs: Vec<_> = (0..200).map(|_| pair()).collect();
    let mut there = vec![[0_u8; 64]; pairs.len()];
    for ((connection, (ours, _)), to) in (0..).zip(&pairs).zip(&mut there) {
        bench.driver.receive_exact(connection, ours.as_raw_fd(), to.as_mut_ptr(), 64);
    }
    for (mark, (_, theirs)) in (0_u8..).zip(&mut pairs) {
        theirs.write_all(&[mark; 64]).expect("write");
    }
    let mut seen = vec![false; pairs.len()];
    for _ in 0..pairs.len() {
        let Completion::ReceivedExact { connection, result: 64 } = bench.next() else {
            panic!("not what was asked for");
        };
        assert!(!std::mem::replace(&mut seen[connection as usize], true), "told twice");
    }
    bench.assert_nothing_told();
    assert!((0_u8..).zip(&there).all(|(mark, bytes)| *bytes == [mark; 64]));
}
