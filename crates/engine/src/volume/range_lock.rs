//! Ranges of a volume that one command has for itself: COMPARE AND WRITE, WRITE SAME and every
//! other read-modify-write.
//!
//! Plain writes take no lock: they look at one counter that is almost always zero. Whoever locks a
//! range makes the counter non-zero first, and then waits until every submitter has said that
//! no plain write to the range is in flight any more. Saying it is a message, so from then on that
//! submitter sees the counter.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

/// Who holds or wants a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// Submitter of the command.
    pub submitter: usize,
    /// Its request.
    pub token: u64,
}

#[derive(Debug, Clone, Copy)]
struct Held {
    start: u64,
    end: u64,
    owner: Owner,
}

impl Held {
    fn meets(&self, start: u64, end: u64) -> bool {
        self.start < end && start < self.end
    }
}

/// How an attempt to lock went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acquired {
    /// The range is taken; plain writes in flight are still to be waited for.
    Yes,
    /// Somebody else has part of it: try again when a range is released.
    NotNow,
}

/// The locked ranges of a volume.
#[derive(Debug, Default)]
pub struct RangeLocks {
    count: AtomicU32,
    held: Mutex<Vec<Held>>,
}

impl RangeLocks {
    /// Some range is locked; false needs no further look.
    pub fn any(&self) -> bool {
        self.count.load(Ordering::Acquire) != 0
    }

    /// Tries to lock `[start, end)`.
    pub fn acquire(&self, start: u64, end: u64, owner: Owner) -> Acquired {
        let mut held = self.held.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if held.iter().any(|range| range.meets(start, end)) {
            return Acquired::NotNow;
        }
        held.push(Held { start, end, owner });
        self.count.fetch_add(1, Ordering::Release);
        Acquired::Yes
    }

    /// Releases what `owner` has locked; true if it had something.
    pub fn release(&self, owner: Owner) -> bool {
        let mut held = self.held.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let before = held.len();
        held.retain(|range| range.owner != owner);
        let released = u32::try_from(before - held.len()).unwrap_or(0);
        self.count.fetch_sub(released, Ordering::Release);
        released > 0
    }

    /// True when a write by `owner` to `[start, end)` has to wait for somebody else's range.
    pub fn blocks(&self, start: u64, end: u64, owner: Owner) -> bool {
        if !self.any() {
            return false;
        }
        let held = self.held.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        held.iter().any(|range| range.owner != owner && range.meets(start, end))
    }
}

#[cfg(test)]
mod tests {
    use super::{Acquired, Owner, RangeLocks};

    #[test]
    fn overlap_excludes_and_neighbours_do_not() {
        let locks = RangeLocks::default();
        let [first, second] = [1, 2].map(|token| Owner { submitter: 0, token });
        assert!(!locks.any());
        assert_eq!(locks.acquire(0, 10, first), Acquired::Yes);
        assert_eq!(locks.acquire(9, 11, second), Acquired::NotNow);
        assert_eq!(locks.acquire(10, 20, second), Acquired::Yes);
        assert!(locks.blocks(5, 6, second) && !locks.blocks(5, 6, first));
        assert!(!locks.blocks(20, 30, first));
        assert!(locks.release(first) && !locks.release(first));
        assert!(!locks.blocks(0, 10, second) && locks.any());
    }
}
