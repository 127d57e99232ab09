//! Requests to files.

use crate::harness::{Bench, file, on_both_drivers, pattern, range, request};
use fairlead_engine::driver::{Completion, FileRequest, MayBlock};
use fairlead_engine::operation::Kind;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

on_both_drivers! {
    what_is_written_is_read,
    a_read_at_the_end_of_the_file_is_short,
    flushes_and_read_ahead_are_done,
    deallocated_and_zeroed_ranges_read_as_zeroes,
    errors_are_negative_errnos,
    a_range_that_no_file_has_is_an_error,
    many_requests_at_once_are_each_done_once,
}

const BYTES: usize = 256 << 10;
/// A driver may carry a request out in different ways; they have to come to the same.
const WAYS: [MayBlock; 4] =
    [MayBlock::Nothing, MayBlock::StableWrites, MayBlock::Writes, MayBlock::Everything];

fn what_is_written_is_read(mut bench: Bench) {
    let file = file(BYTES, 0xAA);
    let fd = file.as_raw_fd();
    for blocking in WAYS {
        for kind in [Kind::Write, Kind::WriteStable] {
            for (offset, length) in [(0, 1), (4096, 4096), (100, 100_000), (BYTES - 1, 1)] {
                let mut data = pattern(length);
                let write = request(kind, fd, offset as u64, &mut data);
                let result = bench.io(FileRequest { blocking, ..write });
                assert_eq!(result, length as i32, "{kind:?} {offset} {length}");
                let mut there = vec![0; length];
                let read = request(Kind::Read, fd, offset as u64, &mut there);
                assert_eq!(bench.io(FileRequest { blocking, ..read }), length as i32);
                assert!(there == data, "{kind:?} {offset} {length}");
                let mut around = [0; 1];
                file.read_at(&mut around, (offset + length) as u64).expect("read");
                assert!(around != [0; 1] || offset + length == BYTES);
                file.write_all_at(&vec![0xAA; length], offset as u64).expect("write");
            }
        }
    }
}

fn a_read_at_the_end_of_the_file_is_short(mut bench: Bench) {
    let file = file(1000, 7);
    let mut there = [0; 600];
    let read = |offset, there: &mut [u8]| request(Kind::Read, file.as_raw_fd(), offset, there);
    assert_eq!(bench.io(read(900, &mut there)), 100);
    assert_eq!((&there[..100], &there[100..]), (&[7; 100][..], &[0; 500][..]));
    assert_eq!(bench.io(read(1000, &mut there)), 0);
    assert_eq!(bench.io(read(1 << 40, &mut there)), 0);
}

fn flushes_and_read_ahead_are_done(mut bench: Bench) {
    let file = file(BYTES, 1);
    for blocking in WAYS {
        for (kind, length) in [(Kind::Flush, 0), (Kind::Prefetch, BYTES as u64)] {
            let request = FileRequest { blocking, ..range(kind, &file, 0, length) };
            assert_eq!(bench.io(request), 0, "{kind:?}");
        }
    }
}

/// What the file system itself says to such a request, as a driver has to tell it.
fn fallocate(kind: Kind) -> i32 {
    let file = file(BYTES, 1);
    let mode = match kind {
        Kind::Discard => libc::FALLOC_FL_PUNCH_HOLE,
        _ => libc::FALLOC_FL_ZERO_RANGE,
    };
    let mode = mode | libc::FALLOC_FL_KEEP_SIZE;
    // SAFETY: a valid descriptor and plain integers.
    match unsafe { libc::fallocate(file.as_raw_fd(), mode, 0, 4096) } {
        0 => 0,
        _ => -std::io::Error::last_os_error().raw_os_error().expect("an errno"),
    }
}

fn deallocated_and_zeroed_ranges_read_as_zeroes(mut bench: Bench) {
    for blocking in WAYS {
        for kind in [Kind::Discard, Kind::Zero] {
            let file = file(BYTES, 1);
            let expected = fallocate(kind);
            let request = FileRequest { blocking, ..range(kind, &file, 8192, 100_000) };
            assert_eq!(bench.io(request), expected, "{kind:?}");
            let mut there = vec![0; BYTES];
            file.read_exact_at(&mut there, 0).expect("read");
            let zeroed = if expected == 0 { 8192..108_192 } else { 0..0 };
            for (place, byte) in there.iter().enumerate() {
                assert_eq!(*byte == 0, zeroed.contains(&place), "{kind:?}: byte {place}");
            }
            // Beyond the end: the size stays.
            let beyond = range(kind, &file, BYTES as u64 - 4096, 8192);
            assert_eq!(bench.io(FileRequest { blocking, ..beyond }), expected);
            assert_eq!(file.metadata().expect("metadata").len(), BYTES as u64);
        }
    }
}

fn errors_are_negative_errnos(mut bench: Bench) {
    let mut data = [0; 512];
    let name = format!("{}/contract-errors-{:p}", env!("CARGO_TARGET_TMPDIR"), &data);
    std::fs::write(&name, data).expect("a file");
    let reads = File::open(&name).expect("the file");
    let writes = File::options().write(true).open(&name).expect("the file");
    std::fs::remove_file(&name).expect("the name is not needed");
    let (pipe, _other_end) = std::io::pipe().expect("a pipe");
    for blocking in WAYS {
        let mut of = |fd, kind| {
            let request = request(kind, fd, 0, &mut data);
            bench.io(FileRequest { blocking, ..request })
        };
        assert_eq!(of(writes.as_raw_fd(), Kind::Read), -libc::EBADF);
        assert_eq!(of(reads.as_raw_fd(), Kind::Write), -libc::EBADF);
        assert_eq!(of(reads.as_raw_fd(), Kind::WriteStable), -libc::EBADF);
        assert_eq!(of(reads.as_raw_fd(), Kind::Discard), -libc::EBADF);
        assert_eq!(of(reads.as_raw_fd(), Kind::Zero), -libc::EBADF);
        assert_eq!(of(pipe.as_raw_fd(), Kind::Flush), -libc::EINVAL);
        assert_eq!(of(pipe.as_raw_fd(), Kind::Prefetch), -libc::ESPIPE);
        for kind in [Kind::Read, Kind::Write, Kind::Flush, Kind::Prefetch] {
            assert_eq!(of(-1, kind), -libc::EBADF, "{kind:?}");
        }
    }
}

fn a_range_that_no_file_has_is_an_error(mut bench: Bench) {
    let file = file(512, 0);
    let mut data = [0; 512];
    for blocking in WAYS {
        for kind in [Kind::Read, Kind::Write] {
            let request = request(kind, file.as_raw_fd(), 1 << 63, &mut data);
            assert!(bench.io(FileRequest { blocking, ..request }) < 0, "{kind:?}");
        }
        for kind in [Kind::Discard, Kind::Zero] {
            let request = range(kind, &file, i64::MAX as u64 - 100, 4096);
            assert!(bench.io(FileRequest { blocking, ..request }) < 0, "{kind:?}");
            let empty = FileRequest { blocking, ..range(kind, &file, 0, 0) };
            assert_eq!(bench.io(empty), -libc::EINVAL, "{kind:?}");
        }
    }
    assert_eq!(file.metadata().expect("metadata").len(), 512);
}

fn many_requests_at_once_are_each_done_once(mut bench: Bench) {
    const REQUESTS: usize = 3000;
    let files: Vec<_> = (0..4).map(|_| file(REQUESTS * 512, 0)).collect();
    let mut data: Vec<_> = (0..REQUESTS).map(|number| vec![number as u8 | 1; 512]).collect();
    for (kind, blocking) in WAYS.iter().flat_map(|way| [(Kind::Write, *way), (Kind::Read, *way)]) {
        for (number, data) in data.iter_mut().enumerate() {
            let fd = files[number % files.len()].as_raw_fd();
            let request = request(kind, fd, number as u64 * 512, data);
            bench.driver.submit(number as u64, FileRequest { blocking, ..request });
        }
        let mut done = vec![false; REQUESTS];
        for _ in 0..REQUESTS {
            let Completion::Io { token, result: 512 } = bench.next() else {
                panic!("not what was asked for");
            };
            assert!(!std::mem::replace(&mut done[token as usize], true), "{token} told twice");
        }
        bench.assert_nothing_told();
        for (number, data) in data.iter_mut().enumerate() {
            assert!(*data == [number as u8 | 1; 512], "{kind:?} {number}");
            if kind == Kind::Write {
                data.fill(0);
            }
        }
    }
}
