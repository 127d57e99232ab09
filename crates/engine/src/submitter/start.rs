//! A request leaves for its volume, and what its answer means.

use super::Token;
use crate::driver::{Driver, FileRequest, Steer};
use crate::operation::{Kind, Operation, REFUSES_WRITES};
use crate::session::Job;
use crate::volume::{Backing, Join, Volume, Waiter};
use fairlead_sched::Nanos;
use fairlead_sched::arena::Entered;

/// Submits a file request. Only who has entered a context can.
fn submit_file(entered: &Entered<'_>, driver: &mut dyn Driver, token: Token, request: FileRequest) {
    debug_assert_eq!(entered.shard().entered.get(), entered.shard().left.get() + 1);
    driver.submit(token, request);
}

/// A synchronous write through the page cache also reports, once, that the write-back of other data
/// failed; whoever asks next is told that all is well.
pub(super) fn may_hide_lost_data(volume: &Volume, result: i32) -> bool {
    let harmless = [-libc::EINVAL, -libc::EBADF, -libc::EROFS, -REFUSES_WRITES];
    result < 0 && volume.may_block() && !harmless.contains(&result)
}

/// What is left of a request after `result`.
pub(super) fn remainder(operation: &Operation, result: i32) -> Result<Option<Operation>, i32> {
    if result < 0 {
        return Err(-result);
    }
    let done = u64::from(result.unsigned_abs());
    if !operation.kind.is_divisible() || done >= operation.length_bytes {
        return Ok(None);
    }
    if done == 0 {
        // The end of the file: somebody has cut it behind our back.
        return Err(libc::EIO);
    }
    Ok(Some(Operation {
        kind: operation.kind,
        offset_bytes: operation.offset_bytes + done,
        length_bytes: operation.length_bytes - done,
        buffer_offset: operation.buffer_offset + done as usize,
    }))
}

pub(super) fn file_request(
    volume: &Volume,
    job: &Job,
    operation: &Operation,
    steer: Steer,
) -> Option<FileRequest> {
    let address = match (&job.buffer, operation.kind.moves_bytes()) {
        (Some(buffer), true) => buffer.address(operation.buffer_offset),
        (None, true) => return None,
        (_, false) => std::ptr::null_mut(),
    };
    Some(FileRequest {
        kind: operation.kind,
        fd: volume.descriptor()?,
        offset_bytes: operation.offset_bytes,
        length_bytes: operation.length_bytes,
        address,
        device: volume.device,
        blocking: volume.blocking,
        steer,
    })
}

/// Starts a request; `Some` when it is over already.
#[allow(clippy::too_many_arguments, reason = "parts of one submitter, lent beside its session")]
pub(super) fn start(
    entered: &Entered<'_>,
    driver: &mut dyn Driver,
    volume: &Volume,
    job: &mut Job,
    waiter: Waiter,
    operation: Operation,
    steer: Steer,
    now: Nanos,
) -> Option<i32> {
    let changes = operation.kind.writes() || operation.kind == Kind::Flush;
    if changes && volume.refuses_writes() {
        return Some(-REFUSES_WRITES);
    }
    match &volume.backing {
        Backing::Null => {
            if let (Kind::Read, Some(buffer)) = (operation.kind, &mut job.buffer) {
                let (from, length) = (operation.buffer_offset, operation.length_bytes as usize);
                if let Some(bytes) = buffer.bytes_mut().get_mut(from..from + length) {
                    bytes.fill(0);
                }
            }
            Some(i32::try_from(operation.length_bytes).unwrap_or(i32::MAX))
        }
        Backing::Memory(memory) => {
            let buffer = job.buffer.as_mut().map(|buffer| buffer.bytes_mut()).unwrap_or_default();
            Some(match memory.execute(&operation, buffer) {
                Ok(()) => i32::try_from(operation.length_bytes).unwrap_or(i32::MAX),
                Err(errno) => -errno,
            })
        }
        Backing::Simulated(simulated) => {
            let buffer = job.buffer.as_mut().map(|buffer| buffer.bytes_mut()).unwrap_or_default();
            simulated.submit(&operation, buffer, waiter, now);
            None
        }
        // Those go by a link.
        Backing::Passed(_) => Some(-libc::EOPNOTSUPP),
        Backing::Descriptor(_) => {
            if operation.kind == Kind::Flush && volume.flushes.join(waiter) == Join::Wait {
                return None;
            }
            match file_request(volume, job, &operation, steer) {
                None => Some(-libc::EINVAL),
                Some(request) => {
                    submit_file(entered, driver, waiter.token, request);
                    None
                }
            }
        }
    }
}
