//! What every [`Link`] owes to a submitter, whatever is behind it.
//!
//! Who implements a link makes a function that puts a [`Device`] behind one, and gives it to
//! [`link_contract!`]. The device says what is to happen; how that looks on the wire is the scene's.

mod bench;

pub(crate) use bench::{Bench, command, pattern};

use fairlead_engine::passthrough::{Direction, Failure, Link};
use fairlead_proto::scsi::sense::Sense;
use fairlead_proto::scsi::status;
use std::any::Any;

/// What a device does with a command.
pub(crate) enum Answer {
    /// It answers. Data beyond what there is room for is not sent.
    Says { status: u8, sense: Vec<u8>, data: Vec<u8> },
    /// It does not answer.
    Holds,
    /// It is gone, with all commands that are out.
    Vanishes,
}

impl Answer {
    pub(crate) fn good(data: &[u8]) -> Self {
        Self::Says { status: status::GOOD, sense: Vec::new(), data: data.to_vec() }
    }

    pub(crate) fn check(sense: &[u8]) -> Self {
        Self::Says { status: status::CHECK_CONDITION, sense: sense.to_vec(), data: Vec::new() }
    }
}

/// A scripted device. It is told the CDB, zeroes behind its end, and the data sent with it.
pub(crate) trait Device: Send {
    fn answer(&mut self, cdb: &[u8], data: &[u8]) -> Answer;
}

impl<F: FnMut(&[u8], &[u8]) -> Answer + Send> Device for F {
    fn answer(&mut self, cdb: &[u8], data: &[u8]) -> Answer {
        self(cdb, data)
    }
}

/// A link with a device behind it.
pub(crate) struct Scene {
    pub(crate) link: Box<dyn Link>,
    /// [`Link::abort`] reaches the device.
    pub(crate) aborts: bool,
    /// What has to be there as long as the link.
    _keep: Box<dyn Any>,
}

impl Scene {
    pub(crate) fn new(link: impl Link + 'static, aborts: bool, keep: impl Any) -> Self {
        Self { link: Box::new(link), aborts, _keep: Box::new(keep) }
    }
}

/// Makes the tests of the contract for a function that opens a scene, or says why it cannot and
/// returns `None`.
macro_rules! link_contract {
    ($open:path) => {
        $crate::link_contract::link_contract!($open:
            data_comes_and_goes, a_short_read_says_how_much, sense_is_what_the_device_sent,
            every_status_is_passed_on, many_at_once_end_once_each, no_more_than_may_be_out,
            commands_out_end_with_the_device, an_abort_ends_what_is_held,
            a_timeout_ends_what_is_held, a_link_may_go_with_commands_out,
        );
    };
    ($open:path: $($name:ident),+ $(,)?) => {
        mod contract {
            $(#[test] fn $name() { $crate::link_contract::$name(&|device| $open(device)); })+
        }
    };
}
pub(crate) use link_contract;

pub(crate) type Open<'a> = &'a dyn Fn(Box<dyn Device>) -> Option<Scene>;

const READ: u8 = 0x28;
const WRITE: u8 = 0x2A;
const TEST_UNIT_READY: u8 = 0x00;

fn bench(open: Open, device: impl Device + 'static) -> Option<Bench> {
    open(Box::new(device)).map(Bench::new)
}

pub(crate) fn data_comes_and_goes(open: Open) {
    let kept = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let medium = std::sync::Arc::clone(&kept);
    let device = move |cdb: &[u8], data: &[u8]| {
        let mut medium = medium.lock().expect("nobody panics");
        match cdb[0] {
            WRITE => medium.clear(),
            READ => return Answer::good(&medium),
            _ => return Answer::good(&[]),
        }
        medium.extend_from_slice(data);
        Answer::good(&[])
    };
    let Some(mut bench) = bench(open, device) else { return };
    // One block; what goes with the command, in bursts, and what is asked for.
    for bytes in [512, 8192, 65_536, 200_000, 1 << 20] {
        let outcome = bench.run(command(WRITE, Direction::Out), pattern(bytes));
        assert_eq!((outcome.status, outcome.transferred_bytes as usize), (status::GOOD, bytes));
        assert!(*kept.lock().expect("nobody panics") == pattern(bytes), "{bytes} bytes written");
        let outcome = bench.run(command(READ, Direction::In), vec![0; bytes]);
        assert_eq!((outcome.status, outcome.transferred_bytes as usize), (status::GOOD, bytes));
        assert!(bench.memory() == pattern(bytes), "{bytes} bytes read");
    }
    let outcome = bench.run(command(TEST_UNIT_READY, Direction::None), Vec::new());
    assert_eq!((outcome.status, outcome.transferred_bytes), (status::GOOD, 0));
    assert_eq!(outcome.failure, None);
}

pub(crate) fn a_short_read_says_how_much(open: Open) {
    let Some(mut bench) = bench(open, |_: &[u8], _: &[u8]| Answer::good(&pattern(36))) else {
        return;
    };
    for (room, moved) in [(96, 36), (36, 36), (8, 8)] {
        let outcome = bench.run(command(0x12, Direction::In), vec![0xEE; room]);
        assert_eq!((outcome.status, outcome.transferred_bytes), (status::GOOD, moved));
        let memory = bench.memory();
        assert_eq!(memory[..moved as usize], pattern(36)[..moved as usize]);
        assert!(memory[moved as usize..].iter().all(|byte| *byte == 0xEE), "behind the data");
    }
}

pub(crate) fn sense_is_what_the_device_sent(open: Open) {
    let (sent, next) = std::sync::mpsc::channel::<Vec<u8>>();
    let device = move |_: &[u8], _: &[u8]| Answer::check(&next.recv().expect("a script"));
    let Some(mut bench) = bench(open, device) else { return };
    let attention = Sense::unit_attention(0x2900);
    // Fixed with and without INFORMATION, descriptor format, and a vendor's descriptor of 88 bytes.
    let mut longest = attention.encode_descriptor().to_vec();
    longest[7] = 88;
    longest.extend([0x80, 86]);
    longest.resize(96, 0x5A);
    let senses = [
        (attention.encode().to_vec(), Some(0x2900)),
        (Sense::MISCOMPARE.with_information(77).encode().to_vec(), None),
        (attention.encode_descriptor().to_vec(), Some(0x2900)),
        (longest, Some(0x2900)),
    ];
    for (sense, unit_attention) in senses {
        for (direction, room) in [(Direction::None, 0), (Direction::In, 512), (Direction::Out, 512)]
        {
            sent.send(sense.clone()).expect("the device takes it");
            let outcome = bench.run(command(READ, direction), vec![0; room]);
            assert_eq!((outcome.status, outcome.failure), (status::CHECK_CONDITION, None));
            assert_eq!(outcome.sense(), sense, "{direction:?}");
            assert_eq!(outcome.unit_attention(), unit_attention);
        }
    }
}

pub(crate) fn every_status_is_passed_on(open: Open) {
    let device =
        |cdb: &[u8], _: &[u8]| Answer::Says { status: cdb[1], sense: Vec::new(), data: Vec::new() };
    let Some(mut bench) = bench(open, device) else { return };
    for status in [status::BUSY, status::RESERVATION_CONFLICT, status::TASK_SET_FULL] {
        let mut command = command(TEST_UNIT_READY, Direction::None);
        command.cdb[1] = status;
        let outcome = bench.run(command, Vec::new());
        assert_eq!((outcome.status, outcome.failure, outcome.sense()), (status, None, &[][..]));
    }
}

pub(crate) fn many_at_once_end_once_each(open: Open) {
    let device = |cdb: &[u8], _: &[u8]| Answer::good(&[cdb[2]; 512]);
    let Some(mut bench) = bench(open, device) else { return };
    let count = bench.scene.link.commands_max().min(200);
    for round in 0..3 {
        let tokens: Vec<u64> = (0..count)
            .map(|number| {
                let mut command = command(READ, Direction::In);
                command.cdb[2] = number as u8;
                bench.submit(command, vec![round; 512]).expect("there is room")
            })
            .collect();
        for (number, token) in tokens.into_iter().enumerate() {
            let outcome = bench.end_of(token);
            assert_eq!((outcome.status, outcome.transferred_bytes), (status::GOOD, 512));
            assert_eq!(bench.memory(), [number as u8; 512]);
        }
    }
}

pub(crate) fn no_more_than_may_be_out(open: Open) {
    let Some(mut bench) = bench(open, |_: &[u8], _: &[u8]| Answer::Holds) else { return };
    let count = bench.scene.link.commands_max();
    for _ in 0..count {
        bench.submit(command(TEST_UNIT_READY, Direction::None), Vec::new()).expect("there is room");
    }
    let refused = bench.submit(command(TEST_UNIT_READY, Direction::None), Vec::new());
    assert_eq!(refused, Err(Failure::Busy));
}

pub(crate) fn commands_out_end_with_the_device(open: Open) {
    let device = |cdb: &[u8], _: &[u8]| match cdb[2] {
        4 => Answer::Vanishes,
        _ => Answer::Holds,
    };
    let Some(mut bench) = bench(open, device) else { return };
    let tokens: Vec<u64> = (0..5)
        .map(|number| {
            let direction = [Direction::In, Direction::Out][number % 2];
            let mut command = command(READ, direction);
            command.cdb[2] = number as u8;
            bench.submit(command, vec![0; 4096]).expect("there is room")
        })
        .collect();
    for token in tokens {
        let failure = bench.end_of(token).failure;
        let lost = [Failure::Gone, Failure::Aborted, Failure::Broken];
        assert!(failure.is_some_and(|failure| lost.contains(&failure)), "{failure:?}");
    }
}

pub(crate) fn an_abort_ends_what_is_held(open: Open) {
    let device = |cdb: &[u8], _: &[u8]| match cdb[0] {
        TEST_UNIT_READY => Answer::good(&[]),
        _ => Answer::Holds,
    };
    let Some(mut bench) = bench(open, device) else { return };
    if !bench.scene.aborts {
        return;
    }
    for direction in [Direction::None, Direction::In, Direction::Out] {
        // Before and after the device has it; the second abort changes nothing.
        for is_there in [false, true] {
            let token = bench.submit(command(READ, direction), vec![0; 100_000]).expect("room");
            if is_there {
                let ready = bench.run(command(TEST_UNIT_READY, Direction::None), Vec::new());
                assert_eq!(ready.status, status::GOOD);
            }
            bench.abort(token);
            bench.abort(token);
            assert_eq!(bench.end_of(token).failure, Some(Failure::Aborted), "{direction:?}");
        }
    }
    bench.abort(u64::MAX);
    let ready = bench.run(command(TEST_UNIT_READY, Direction::None), Vec::new());
    assert_eq!((ready.status, ready.failure), (status::GOOD, None), "the device is still there");
}

pub(crate) fn a_timeout_ends_what_is_held(open: Open) {
    let device = |cdb: &[u8], _: &[u8]| match cdb[0] {
        TEST_UNIT_READY => Answer::good(&[]),
        _ => Answer::Holds,
    };
    let Some(mut bench) = bench(open, device) else { return };
    let token = bench.submit(command(WRITE, Direction::Out), vec![0; 4096]).expect("room");
    let ready = bench.run(command(TEST_UNIT_READY, Direction::None), Vec::new());
    assert_eq!(ready.status, status::GOOD);
    bench.skip(bench::TIMEOUT_NS);
    assert_eq!(bench.end_of(token).failure, Some(Failure::TimedOut));
}

pub(crate) fn a_link_may_go_with_commands_out(open: Open) {
    let device = |cdb: &[u8], _: &[u8]| match cdb[0] {
        TEST_UNIT_READY => Answer::good(&[]),
        _ => Answer::Holds,
    };
    let Some(mut bench) = bench(open, device) else { return };
    for direction in [Direction::In, Direction::Out] {
        bench.submit(command(READ, direction), vec![0; 300_000]).expect("room");
    }
    let ready = bench.run(command(TEST_UNIT_READY, Direction::None), Vec::new());
    assert_eq!(ready.status, status::GOOD);
    bench.submit(command(WRITE, Direction::Out), vec![0; 300_000]).expect("room");
}
