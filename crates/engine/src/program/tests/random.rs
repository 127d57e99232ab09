//! Random commands on one medium, against what they should have done to it.
//!
//! A failure names its seed; `FAIRLEAD_PROGRAM_SEED` runs that seed alone.

use super::machine::{Ask, BLOCK, Machine, Ran};
use crate::program::PIECE_BYTES;
use fairlead_proto::scsi::sense::Sense;
use fairlead_proto::scsi::table::Execution;

const SEEDS: u64 = 16;
const COMMANDS: usize = 60;
/// The medium of these tests: some pieces long.
const BLOCKS: u64 = 4 * PIECE_BYTES as u64 / BLOCK as u64;

/// xorshift64*.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, limit: u64) -> u64 {
        (self.next() >> 16) % limit.max(1)
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    /// A range in the medium; short ones more often, some longer than two pieces.
    fn range(&mut self) -> (u64, u64) {
        let lba = self.below(BLOCKS);
        let most = if self.one_in(4) { BLOCKS } else { 40 };
        (lba, self.below(most.min(BLOCKS - lba) + 1))
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        let unit = self.next().to_ne_bytes().repeat(63);
        unit.into_iter().cycle().take(count).collect()
    }
}

fn seeds() -> impl Iterator<Item = u64> {
    let one = std::env::var("FAIRLEAD_PROGRAM_SEED").ok().and_then(|text| text.parse().ok());
    one.map_or(1..SEEDS + 1, |seed: u64| seed..seed + 1)
}

fn machine(random: &mut Random) -> Machine {
    let mut machine = Machine::new();
    machine.unit.blocks = BLOCKS;
    machine.unit.can_zero = random.one_in(2);
    machine.unit.write_through = random.one_in(3);
    machine.unit.has_cache = !machine.unit.write_through;
    machine
}

/// What is on the medium afterwards, from these blocks on.
type After = Vec<(u64, Vec<u8>)>;

/// A command that changes the medium, its data, and what comes of it.
fn change(random: &mut Random, model: &[u8]) -> (Ask, Vec<u8>, After) {
    let (lba, blocks) = random.range();
    let bytes = blocks as usize * BLOCK;
    let fua = random.one_in(3);
    match random.below(5) {
        0 => {
            let data = random.bytes(BLOCK);
            let ask = Ask {
                flags: (random.below(2) << 3) as u8,
                ..Ask::new(Execution::WriteSame, lba, blocks)
            };
            let data = if random.one_in(2) { vec![0; BLOCK] } else { data };
            let after = data.repeat(blocks as usize);
            (ask, data, vec![(lba, after)])
        }
        1 => {
            let blocks = blocks.min(16);
            let bytes = blocks as usize * BLOCK;
            let at = lba as usize * BLOCK;
            let (old, new) = (model[at..at + bytes].to_vec(), random.bytes(bytes));
            let ask = Ask { fua, ..Ask::new(Execution::CompareAndWrite, lba, blocks) };
            (ask, [old, new.clone()].concat(), vec![(lba, new)])
        }
        2 => {
            let mut list = vec![0, 38, 0, 32, 0, 0, 0, 0];
            let mut after = Vec::new();
            for (lba, blocks) in [(lba, blocks), random.range()] {
                list.extend_from_slice(&lba.to_be_bytes());
                list.extend_from_slice(&(blocks as u32).to_be_bytes());
                list.extend_from_slice(&[0; 4]);
                after.push((lba, vec![0; blocks as usize * BLOCK]));
            }
            (Ask::new(Execution::Unmap, 0, list.len() as u64), list, after)
        }
        kind => {
            let execution = if kind == 3 { Execution::Write } else { Execution::WriteAndVerify };
            // Sometimes the initiator sends less, or more, than the CDB asks for.
            let sent = match random.below(4) {
                0 => random.below(bytes as u64 + 1) as usize,
                1 => bytes + random.below(5000) as usize,
                _ => bytes,
            };
            let data = random.bytes(sent);
            let after = data[..sent.min(bytes) / BLOCK * BLOCK].to_vec();
            let flags = if kind == 4 { (random.below(2) << 1) as u8 } else { 0 };
            (Ask { fua, flags, ..Ask::new(execution, lba, blocks) }, data, vec![(lba, after)])
        }
    }
}

fn is_allowed(sense: Sense) -> bool {
    sense == Sense::WRITE_ERROR || sense == Sense::READ_ERROR
}

#[test]
fn a_read_returns_what_was_written_last() {
    for seed in seeds() {
        println!("FAIRLEAD_PROGRAM_SEED={seed}");
        let random = &mut Random::new(seed);
        let mut machine = machine(random);
        let mut model = vec![0; BLOCKS as usize * BLOCK];
        for number in 0..COMMANDS {
            let (ask, data, after) = change(random, &model);
            let ran = machine.run(&ask, &data).expect("a program");
            assert_eq!(ran.sense(), None, "seed {seed}, command {number}: {ask:?}");
            for (lba, bytes) in after {
                let at = lba as usize * BLOCK;
                model[at..at + bytes.len()].copy_from_slice(&bytes);
            }
            let (lba, blocks) = random.range();
            let bytes = blocks as usize * BLOCK;
            let expected =
                if random.one_in(3) { random.below(bytes as u64 + 600) } else { bytes as u64 };
            let ask =
                Ask { fua: random.one_in(3), ..Ask::read(lba, blocks).expecting(expected as u32) };
            let read = machine.run(&ask, &[]).expect("a program");
            assert!(read.is_good(bytes as u64), "seed {seed}, command {number}: {ask:?}");
            let at = lba as usize * BLOCK;
            let there = &model[at..at + bytes.min(expected as usize)];
            assert!(read.data == there, "seed {seed}, command {number}: {ask:?}");
        }
    }
}

#[test]
fn every_failure_ends_with_an_answer() {
    for seed in seeds() {
        println!("FAIRLEAD_PROGRAM_SEED={seed}");
        let random = &mut Random::new(seed);
        let model = vec![0; BLOCKS as usize * BLOCK];
        for _ in 0..COMMANDS / 4 {
            let (ask, data, _) = change(random, &model);
            let (write_through, can_zero) = (random.one_in(2), random.one_in(2));
            let run = |fails: Option<usize>| -> Ran {
                let mut machine = Machine::new();
                machine.unit.blocks = BLOCKS;
                machine.unit.write_through = write_through;
                machine.unit.can_zero = can_zero;
                machine.fails = fails.map(|number| (number, libc::EIO));
                machine.run(&ask, &data).expect("a program")
            };
            let whole = run(None);
            for number in 0..whole.operations.len() {
                let ran = run(Some(number));
                assert!(ran.sense().is_some_and(is_allowed), "seed {seed}: {ask:?} at {number}");
                assert_eq!(ran.operations, whole.operations[..number + 1]);
            }
        }
    }
}
