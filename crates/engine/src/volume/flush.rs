//! One flush in flight for each volume. A flush that comes while one runs cannot count on it (what
//! it has to cover may have been written after that one began): it joins the next.

use std::sync::Mutex;

/// A flush command waiting for its volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiter {
    /// Which submitter it belongs to.
    pub submitter: usize,
    /// Its request.
    pub token: u64,
}

/// What a flush command does now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Join {
    /// Flush the volume.
    Run,
    /// Wait to be told.
    Wait,
}

/// What follows the end of a flush.
#[derive(Debug, PartialEq, Eq)]
pub struct Flushed {
    /// The commands that it covered.
    pub riders: Vec<Waiter>,
    /// Who runs the next.
    pub next: Option<Waiter>,
}

#[derive(Debug, Default)]
struct State {
    riders: Vec<Waiter>,
    waiting: Vec<Waiter>,
}

/// The flushes of one volume.
#[derive(Debug, Default)]
pub struct FlushGate(Mutex<State>);

impl FlushGate {
    /// A flush command arrives.
    pub fn join(&self, waiter: Waiter) -> Join {
        let mut state = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if state.riders.is_empty() {
            state.riders.push(waiter);
            return Join::Run;
        }
        state.waiting.push(waiter);
        Join::Wait
    }

    /// The flush that ran is over.
    pub fn finished(&self) -> Flushed {
        let mut state = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let next = std::mem::take(&mut state.waiting);
        let riders = std::mem::replace(&mut state.riders, next);
        Flushed { riders, next: state.riders.first().copied() }
    }
}

#[cfg(test)]
mod tests {
    use super::{FlushGate, Flushed, Join, Waiter};

    #[test]
    fn those_who_come_during_a_flush_share_the_next() {
        let gate = FlushGate::default();
        let waiters = [1, 2, 3].map(|token| Waiter { submitter: 0, token });
        assert_eq!(gate.join(waiters[0]), Join::Run);
        assert_eq!(gate.join(waiters[1]), Join::Wait);
        assert_eq!(gate.join(waiters[2]), Join::Wait);
        let first = Flushed { riders: vec![waiters[0]], next: Some(waiters[1]) };
        assert_eq!(gate.finished(), first);
        let second = Flushed { riders: vec![waiters[1], waiters[2]], next: None };
        assert_eq!(gate.finished(), second);
        assert_eq!(gate.join(waiters[0]), Join::Run);
    }
}
