//! A submitter and a volume in small: carries out the steps of one program at a time and checks
//! that each is one that the real ones could carry out.

use crate::operation::{Kind, Operation};
use crate::program::{Expected, Input, Program, Step, Unit};
use fairlead_proto::iscsi::task::Answer;
use fairlead_proto::scsi::sense::Sense;
use fairlead_proto::scsi::status;
use fairlead_proto::scsi::table::{Access, Execution, Request, Row, ZeroLength};
use std::collections::BTreeMap;

/// What a buffer holds before anything is put there: another command's data.
const RUBBISH: u8 = 0xEE;
/// No program takes more steps than this in these tests.
const STEPS_MAX: usize = 10_000;

pub(super) const BLOCK: usize = 512;

/// What a CDB asks for, and what the initiator expects to get.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ask {
    pub(super) execution: Execution,
    pub(super) lba: u64,
    pub(super) length: u64,
    pub(super) zero_length: ZeroLength,
    pub(super) fua: bool,
    pub(super) flags: u8,
    pub(super) in_bytes: u32,
}

impl Ask {
    pub(super) fn new(execution: Execution, lba: u64, length: u64) -> Self {
        let zero_length = ZeroLength::Nothing;
        Self { execution, lba, length, zero_length, fua: false, flags: 0, in_bytes: 0 }
    }

    /// A READ whose initiator expects what the CDB asks for.
    pub(super) fn read(lba: u64, blocks: u64) -> Self {
        let in_bytes = u32::try_from(blocks).expect("few blocks") * BLOCK as u32;
        Self { in_bytes, ..Self::new(Execution::Read, lba, blocks) }
    }

    pub(super) fn flags(self, flags: u8) -> Self {
        Self { flags, ..self }
    }

    pub(super) fn fua(self) -> Self {
        Self { fua: true, ..self }
    }

    pub(super) fn expecting(self, in_bytes: u32) -> Self {
        Self { in_bytes, ..self }
    }

    fn row(&self) -> Row {
        let writes_medium = matches!(
            self.execution,
            Execution::Write
                | Execution::WriteAndVerify
                | Execution::WriteSame
                | Execution::Unmap
                | Execution::CompareAndWrite
        );
        Row {
            opcode: 0,
            service_action: None,
            execution: self.execution,
            lba: None,
            length: None,
            allocation: None,
            zero_length: self.zero_length,
            refused: Vec::new(),
            has_fua: true,
            page_key: Vec::new(),
            writes_medium,
            passes_unit_attention: false,
            access: Access::Everything,
            harmless: (0, 0),
        }
    }

    /// The program for it on this unit.
    pub(super) fn program(&self, unit: &Unit, out_bytes: usize) -> Result<Program, Sense> {
        let row = self.row();
        let request = Request {
            row: &row,
            lba: self.lba,
            length: self.length,
            allocation: u64::MAX,
            fua: self.fua,
            flags: self.flags,
        };
        let out_bytes = u32::try_from(out_bytes).expect("little data");
        Program::for_medium(&request, unit, Expected { in_bytes: self.in_bytes, out_bytes })
    }
}

/// What a program did.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ran {
    pub(super) answer: Answer,
    /// Data-In.
    pub(super) data: Vec<u8>,
    pub(super) operations: Vec<Operation>,
    pub(super) locked: Option<(u64, u64)>,
    /// Ends of the Data-Out that was asked for, one after another.
    pub(super) collected: Vec<u32>,
}

impl Ran {
    pub(super) fn kinds(&self) -> Vec<Kind> {
        self.operations.iter().map(|operation| operation.kind).collect()
    }

    /// Offset and length on the medium of every operation.
    pub(super) fn ranges(&self) -> Vec<(u64, u64)> {
        let range = |operation: &Operation| (operation.offset_bytes, operation.length_bytes);
        self.operations.iter().map(range).collect()
    }

    /// It ended well, after this many bytes were asked for.
    pub(super) fn is_good(&self, cdb_bytes: u64) -> bool {
        self.answer == Answer { status: status::GOOD, sense: None, cdb_bytes }
    }

    pub(super) fn sense(&self) -> Option<Sense> {
        assert_eq!(self.answer.sense.is_some(), self.answer.status == status::CHECK_CONDITION);
        self.answer.sense
    }
}

/// A unit and its medium: blocks that were never written, or were deallocated, are zeroes.
pub(super) struct Machine {
    pub(super) unit: Unit,
    blocks: BTreeMap<u64, Vec<u8>>,
    /// The volume fails the operation of this number with this errno.
    pub(super) fails: Option<(usize, i32)>,
}

impl Machine {
    /// A thin unit of 256 MiB.
    pub(super) fn new() -> Self {
        let unit = Unit {
            blocks: 512 << 10,
            block_bytes: BLOCK as u32,
            read_only: false,
            thin: true,
            can_zero: true,
            write_through: false,
            has_cache: true,
            max_transfer_blocks: 16 << 10,
            max_unmap_blocks: 512 << 10,
            max_unmap_descriptors: 8,
            max_write_same_blocks: 512 << 10,
            max_compare_and_write_blocks: 16,
        };
        Self { unit, blocks: BTreeMap::new(), fails: None }
    }

    pub(super) fn medium(&self, lba: u64, blocks: u64) -> Vec<u8> {
        let mut bytes = vec![0; blocks as usize * BLOCK];
        for (at, block) in self.blocks.range(lba..lba + blocks) {
            let start = (at - lba) as usize * BLOCK;
            bytes[start..start + BLOCK].copy_from_slice(block);
        }
        bytes
    }

    pub(super) fn put(&mut self, lba: u64, data: &[u8]) {
        assert_eq!(data.len() % BLOCK, 0);
        for (lba, block) in (lba..).zip(data.chunks(BLOCK)) {
            self.blocks.insert(lba, block.to_vec());
        }
    }

    /// Runs the command to its answer; an error is a refusal before anything was done.
    pub(super) fn run(&mut self, ask: &Ask, data_out: &[u8]) -> Result<Ran, Sense> {
        let program = ask.program(&self.unit, data_out.len())?;
        Ok(self.carry_out(program, data_out))
    }

    pub(super) fn carry_out(&mut self, mut program: Program, data_out: &[u8]) -> Ran {
        let mut buffer = vec![RUBBISH; program.buffer_bytes()];
        let mut received = program.first_data_bytes() as usize;
        buffer[..received].copy_from_slice(&data_out[..received]);
        let answer = Answer { status: u8::MAX, sense: None, cdb_bytes: 0 };
        let mut ran = Ran {
            answer,
            data: Vec::new(),
            operations: Vec::new(),
            locked: None,
            collected: Vec::new(),
        };
        let mut input = Input::Ready;
        for _ in 0..STEPS_MAX {
            let has_failed = matches!(input, Input::Failed(..));
            let step = program.next(input, &self.unit, &mut buffer);
            assert!(!has_failed || matches!(step, Step::Answer(_)), "{step:?} after a failure");
            let start = program.buffer_start() as usize;
            input = match step {
                Step::Collect(end) => {
                    let to = end as usize;
                    assert!(to > received, "the wire tells a command again only for more data");
                    let data = &data_out[received..to];
                    buffer[received - start..to - start].copy_from_slice(data);
                    received = to;
                    ran.collected.push(end);
                    Input::Ready
                }
                Step::Io(operation) => {
                    ran.operations.push(operation);
                    match self.fails {
                        Some((number, errno)) if number + 1 == ran.operations.len() => {
                            Input::Failed(operation.kind, errno)
                        }
                        _ => {
                            self.volume(&operation, ran.locked, &mut buffer);
                            Input::Done
                        }
                    }
                }
                Step::Lock(first, length) => {
                    assert!(ran.locked.is_none() && ran.operations.is_empty() && length > 0);
                    ran.locked = Some((first, length));
                    Input::Locked
                }
                Step::Send(from, end, answer) => {
                    let (from, end) = (from as usize, end as usize);
                    assert_eq!(from, ran.data.len(), "Data-In goes out in order");
                    ran.data.extend_from_slice(&buffer[from - start..end - start]);
                    match answer {
                        Some(answer) => return Ran { answer, ..ran },
                        None => Input::Sent,
                    }
                }
                Step::Answer(answer) => return Ran { answer, ..ran },
                Step::Upcall => panic!("a program for the medium asks Python"),
            };
        }
        panic!("no answer after {STEPS_MAX} steps");
    }

    fn volume(&mut self, operation: &Operation, locked: Option<(u64, u64)>, buffer: &mut [u8]) {
        let Operation { kind, offset_bytes, length_bytes, buffer_offset } = *operation;
        let block_bytes = BLOCK as u64;
        assert!(offset_bytes % block_bytes == 0 && length_bytes % block_bytes == 0);
        assert!(offset_bytes + length_bytes <= self.unit.blocks * block_bytes, "{operation:?}");
        if let (true, Some((first, length))) = (kind.writes(), locked) {
            let is_inside = first <= offset_bytes && offset_bytes + length_bytes <= first + length;
            assert!(is_inside, "{operation:?} outside of the locked range");
        }
        let (lba, blocks) = (offset_bytes / block_bytes, length_bytes / block_bytes);
        let moved = if kind.moves_bytes() { length_bytes as usize } else { 0 };
        assert!(kind == Kind::Flush || length_bytes > 0, "{operation:?} of nothing");
        let place = buffer_offset..buffer_offset + moved;
        match kind {
            Kind::Read => buffer[place].copy_from_slice(&self.medium(lba, blocks)),
            Kind::Write | Kind::WriteStable => {
                let data = buffer[place].to_vec();
                self.put(lba, &data);
            }
            Kind::Discard | Kind::Zero => {
                self.blocks.retain(|at, _| !(lba..lba + blocks).contains(at));
            }
            Kind::Flush | Kind::Prefetch => {}
            Kind::Pass(_) => panic!("a medium carries out no commands"),
        }
    }
}

/// Bytes that differ from place to place and from seed to seed, none of them zero.
pub(super) fn pattern(seed: u8, bytes: usize) -> Vec<u8> {
    let byte = |place: usize| (place / 7 + place / 509 + usize::from(seed)) as u8 | 1;
    (0..bytes).map(byte).collect()
}
