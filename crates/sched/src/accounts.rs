//! What a context has used. One shard for each submitter, written by that submitter alone and read
//! by anybody, so that counting costs neither a lock nor an atomic read-modify-write.

use crate::histogram::{Histogram, Reading};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What a command did to the medium.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Read from it.
    Read,
    /// Wrote to it.
    Write,
    /// Neither: flush, unmap, pages.
    Other,
}

/// A counter with one writer.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds; only the owner may.
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// Takes away; only the owner may.
    pub fn subtract(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_sub(n), Relaxed);
    }

    /// Reads.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// One submitter's part of a context's accounts.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct Shard {
    /// Commands that read.
    pub commands_read: Counter,
    /// Commands that wrote.
    pub commands_write: Counter,
    /// Other commands.
    pub commands_other: Counter,
    /// Bytes to initiators.
    pub bytes_read: Counter,
    /// Bytes from initiators.
    pub bytes_written: Counter,
    /// Requests between submission and completion.
    pub in_flight: Counter,
    /// Requests submitted to a volume.
    pub submitted: Counter,
    /// Requests that came back.
    pub completed: Counter,
    /// Those of them that went by means of the context's own.
    pub steered: Counter,
    /// What they cost their device, as it was estimated when they were queued: nanoseconds of it.
    pub cost_ns: Counter,
    /// Times that a submitter entered the context.
    pub entered: Counter,
    /// Times that it left.
    pub left: Counter,
    /// From arrival to submission.
    pub queue_time: Histogram,
    /// From submission to completion.
    pub service_time: Histogram,
    /// From the command's arrival to its answer.
    pub response_time: Histogram,
}

impl Shard {
    /// Counts a command that was answered.
    pub fn command(&self, operation: Operation, bytes: u64, response_ns: u64) {
        match operation {
            Operation::Read => {
                self.commands_read.add(1);
                self.bytes_read.add(bytes);
            }
            Operation::Write => {
                self.commands_write.add(1);
                self.bytes_written.add(bytes);
            }
            Operation::Other => self.commands_other.add(1),
        }
        self.response_time.record(response_ns);
    }
}

/// A context's accounts.
#[derive(Debug)]
pub struct Accounts {
    // Made when its submitter first needs it: most contexts are on one.
    shards: Box<[OnceLock<Box<Shard>>]>,
}

impl Accounts {
    /// Accounts for this many submitters.
    pub fn new(submitters: usize) -> Self {
        Self { shards: (0..submitters).map(|_| OnceLock::new()).collect() }
    }

    /// A submitter's shard.
    ///
    /// # Panics
    /// There are as many shards as submitters; another index is a fault of the caller.
    pub fn shard(&self, submitter: usize) -> &Shard {
        let shard = self.shards.get(submitter).expect("a shard for each submitter");
        shard.get_or_init(Box::default)
    }

    /// The sum of a counter over all submitters.
    pub fn total(&self, counter: impl Fn(&Shard) -> &Counter) -> u64 {
        self.made().fold(0, |sum, shard| sum.wrapping_add(counter(shard).get()))
    }

    /// A histogram over all submitters.
    pub fn reading(&self, histogram: impl Fn(&Shard) -> &Histogram) -> Reading {
        Reading::of(self.made().map(histogram))
    }

    fn made(&self) -> impl Iterator<Item = &Shard> {
        self.shards.iter().filter_map(|shard| shard.get()).map(|shard| &**shard)
    }
}

#[cfg(test)]
mod tests {
    use super::{Accounts, Operation};

    #[test]
    fn shards_add_up() {
        let accounts = Accounts::new(2);
        accounts.shard(0).command(Operation::Read, 4096, 1_000);
        accounts.shard(1).command(Operation::Read, 8192, 2_000);
        accounts.shard(1).command(Operation::Write, 512, 3_000);
        accounts.shard(1).command(Operation::Other, 0, 4_000);
        assert_eq!(accounts.total(|shard| &shard.commands_read), 2);
        assert_eq!(accounts.total(|shard| &shard.bytes_read), 12_288);
        assert_eq!(accounts.total(|shard| &shard.bytes_written), 512);
        assert_eq!(accounts.total(|shard| &shard.commands_other), 1);
        assert_eq!(accounts.reading(|shard| &shard.response_time).count(), 4);
    }
}
