//! How a command is carried out: small state machines without I/O.
//!
//! A program is asked what to do next ([`Program::next`]) and told how it went ([`Input`]). It
//! never touches a socket, a volume or a clock, so each is tested by calling it.

mod compare_and_write;
mod deallocate;
mod pass;
mod simple;
mod transfer;
mod verify;
mod write_same;

pub use compare_and_write::CompareAndWrite;
pub use deallocate::Unmap;
pub use pass::Pass;
pub use simple::Simple;
pub use transfer::{Direction, Transfer};
pub use verify::Verify;
pub use write_same::WriteSame;

use crate::buffer::LARGEST;
use crate::operation::{Kind, Operation, sense_for};
use fairlead_proto::iscsi::task::{Answer, Task};
use fairlead_proto::scsi::sense::Sense;
use fairlead_proto::scsi::status;
use fairlead_proto::scsi::table::{Execution, Request};
use fairlead_sched::accounts::Operation as Accounted;

/// Largest piece of a command's data that is in memory at a time.
pub const PIECE_BYTES: u32 = LARGEST as u32;
/// Largest range that one deallocation or zeroing covers; larger ones are cut, and charged, in
/// pieces of this size.
pub const RANGE_BYTES: u64 = 64 << 20;

/// What has happened since the last step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// The command may run: data asked for is in the buffer.
    Ready,
    /// The range is locked.
    Locked,
    /// The volume did what it was asked, completely.
    Done,
    /// The volume failed with this errno.
    Failed(Kind, i32),
    /// The last data handed over was sent: its buffer is free.
    Sent,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Get Data-Out up to this offset in the command's data.
    Collect(u32),
    /// Ask the volume.
    Io(Operation),
    /// Keep others from writing to this range: first byte, length.
    Lock(u64, u64),
    /// Send `[from, end)` of the command's data; with an answer the command ends with it.
    Send(u32, u32, Option<Answer>),
    /// End.
    Answer(Answer),
    /// Ask Python.
    Upcall,
}

/// What a logical unit is, as far as commands need it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unit {
    /// Size.
    pub blocks: u64,
    /// Logical block length.
    pub block_bytes: u32,
    /// No command may change it.
    pub read_only: bool,
    /// UNMAP deallocates.
    pub thin: bool,
    /// Zeroing is a request of its own.
    pub can_zero: bool,
    /// Every write is stable before it is answered.
    pub write_through: bool,
    /// There is a volatile cache.
    pub has_cache: bool,
    /// MAXIMUM TRANSFER LENGTH.
    pub max_transfer_blocks: u64,
    /// MAXIMUM UNMAP LBA COUNT.
    pub max_unmap_blocks: u64,
    /// MAXIMUM UNMAP BLOCK DESCRIPTOR COUNT.
    pub max_unmap_descriptors: u64,
    /// MAXIMUM WRITE SAME LENGTH.
    pub max_write_same_blocks: u64,
    /// MAXIMUM COMPARE AND WRITE LENGTH.
    pub max_compare_and_write_blocks: u64,
}

impl Unit {
    fn bytes(&self, blocks: u64) -> u64 {
        blocks * u64::from(self.block_bytes)
    }
}

/// Bytes that the initiator expects to send or get, by direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected {
    /// R bit: Data-In up to this.
    pub in_bytes: u32,
    /// W bit: Data-Out up to this.
    pub out_bytes: u32,
}

impl Expected {
    /// What a task says.
    pub fn of(task: &Task) -> Self {
        Self {
            in_bytes: if task.reads { task.expected_bytes } else { 0 },
            out_bytes: if task.writes { task.expected_bytes } else { 0 },
        }
    }
}

/// How a command is to be carried out.
#[derive(Debug)]
pub(crate) struct Chosen {
    /// By which program, or why not at all.
    pub(crate) program: Result<Program, Sense>,
    /// A pending unit attention does not stop it.
    pub(crate) passes_attention: bool,
    /// What accounts file it under.
    pub(crate) accounted: Accounted,
}

/// A command being carried out.
#[derive(Debug)]
pub enum Program {
    /// READ and WRITE.
    Transfer(Transfer),
    /// VERIFY.
    Verify(Verify),
    /// WRITE SAME.
    WriteSame(WriteSame),
    /// UNMAP.
    Unmap(Unmap),
    /// COMPARE AND WRITE.
    CompareAndWrite(CompareAndWrite),
    /// A command that a device carries out itself.
    Pass(Pass),
    /// One request without data, a page, an upcall, or an answer known from the start.
    Simple(Simple),
}

impl Program {
    /// The program for a request to the medium.
    ///
    /// # Errors
    /// The sense to answer with.
    pub fn for_medium(
        request: &Request<'_>,
        unit: &Unit,
        expected: Expected,
    ) -> Result<Self, Sense> {
        if request.row.writes_medium && unit.read_only {
            return Err(Sense::WRITE_PROTECTED);
        }
        if request.row.execution == Execution::Unmap {
            return Unmap::new(request, unit, expected).map(Self::Unmap);
        }
        let (lba, blocks) = request.blocks(unit.blocks)?;
        let range = Range { lba, blocks };
        Ok(match request.row.execution {
            Execution::Read | Execution::Write | Execution::WriteAndVerify => {
                Self::Transfer(Transfer::new(request, range, unit, expected)?)
            }
            Execution::Verify => Self::Verify(Verify::new(request, range, unit, expected)?),
            Execution::WriteSame => {
                Self::WriteSame(WriteSame::new(request, range, unit, expected)?)
            }
            Execution::CompareAndWrite => {
                Self::CompareAndWrite(CompareAndWrite::new(request, range, unit, expected)?)
            }
            Execution::SynchronizeCache => Self::Simple(Simple::flush()),
            Execution::Prefetch => Self::Simple(Simple::prefetch(range, unit)),
            _ => Self::Simple(Simple::good()),
        })
    }

    /// Buffer that the program needs, 0 for none.
    pub fn buffer_bytes(&self) -> usize {
        match self {
            Self::Transfer(program) => program.buffer_bytes(),
            Self::Verify(program) => program.buffer_bytes(),
            Self::WriteSame(program) => program.buffer_bytes(),
            Self::Unmap(program) => program.buffer_bytes(),
            Self::CompareAndWrite(program) => program.buffer_bytes(),
            Self::Pass(program) => program.length_bytes() as usize,
            Self::Simple(program) => program.buffer_bytes(),
        }
    }

    /// Data-Out that has to be there before the program starts, as an offset in the command's
    /// data.
    pub fn first_data_bytes(&self) -> u32 {
        match self {
            Self::Transfer(program) => program.first_data_bytes(),
            Self::Verify(program) => program.first_data_bytes(),
            Self::WriteSame(program) => program.first_data_bytes(),
            Self::Unmap(program) => program.first_data_bytes(),
            Self::CompareAndWrite(program) => program.first_data_bytes(),
            Self::Pass(program) => program.first_data_bytes(),
            Self::Simple(program) => program.first_data_bytes(),
        }
    }

    /// Offset in the command's data of the buffer's first byte.
    pub fn buffer_start(&self) -> u32 {
        match self {
            Self::Transfer(program) => program.at(),
            Self::Verify(program) => program.at(),
            _ => 0,
        }
    }

    /// The next step.
    pub fn next(&mut self, input: Input, unit: &Unit, buffer: &mut [u8]) -> Step {
        if let Input::Failed(kind, errno) = input {
            return Step::Answer(check_condition(sense_of(kind, errno), 0));
        }
        match self {
            Self::Transfer(program) => program.next(input, unit, buffer),
            Self::Verify(program) => program.next(input, unit, buffer),
            Self::WriteSame(program) => program.next(input, unit, buffer),
            Self::Unmap(program) => program.next(input, unit, buffer),
            Self::CompareAndWrite(program) => program.next(input, unit, buffer),
            Self::Pass(program) => program.next(input, buffer),
            Self::Simple(program) => program.next(input, buffer),
        }
    }
}

fn sense_of(kind: Kind, errno: i32) -> Sense {
    match errno {
        crate::operation::REFUSES_WRITES => Sense::WRITES_REFUSED,
        errno => sense_for(kind, errno),
    }
}

/// Blocks on the medium, checked against its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// First block.
    pub lba: u64,
    /// How many.
    pub blocks: u64,
}

/// GOOD, after `cdb_bytes` were asked for.
pub fn good(cdb_bytes: u64) -> Answer {
    Answer { status: status::GOOD, sense: None, cdb_bytes }
}

/// CHECK CONDITION, after `cdb_bytes` were transferred.
pub fn check_condition(sense: Sense, cdb_bytes: u64) -> Answer {
    Answer { status: status::CHECK_CONDITION, sense: Some(sense), cdb_bytes }
}

/// Offset of the first difference.
fn first_difference(left: &[u8], right: &[u8]) -> Option<u32> {
    if left == right {
        return None;
    }
    let place = left.iter().zip(right).position(|(left, right)| left != right);
    Some(place.and_then(|place| u32::try_from(place).ok()).unwrap_or(0))
}

#[cfg(test)]
mod tests;
