//! The interface of a scheduler: one instance for each backing device and submitter.

use crate::settings::Settings;
use crate::{ContextId, Nanos};

/// Names a request towards its scheduler.
pub type Token = u64;

/// A request that waits for its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// Whose it is.
    pub context: ContextId,
    /// Its name.
    pub token: Token,
    /// What it will cost the device, estimated.
    pub cost_ns: u64,
    /// What it moves, for rates in bytes.
    pub length_bytes: u32,
}

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Submit this request.
    Submit(Request),
    /// The device has as much as it should have; a completion changes that.
    WindowFull,
    /// Nothing waits.
    Idle,
}

/// The queue is at its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

/// Decides which request the device gets next. Pure: time is an argument.
pub trait Scheduler {
    /// Gives a context its settings, new or changed; what it has queued stays queued.
    fn set(&mut self, context: ContextId, settings: Settings, now: Nanos);

    /// Lets the device have more or less estimated work at a time.
    fn set_window(&mut self, window_ns: u64);

    /// Queues a request. A context that is new has the default settings.
    ///
    /// # Errors
    /// The queue is full; the command is answered TASK SET FULL.
    fn push(&mut self, request: Request, now: Nanos) -> Result<(), Full>;

    /// Counts a request as submitted, just as if it were pushed and picked, if nothing waits and it
    /// may go now; false: push it.
    fn bypass(&mut self, request: &Request, now: Nanos) -> bool;

    /// Picks the next request.
    fn next(&mut self, now: Nanos) -> Next;

    /// A request of this cost that was submitted is over.
    fn complete(&mut self, cost_ns: u64);

    /// Takes a queued request back; false when it is not queued (any more).
    fn remove(&mut self, context: ContextId, token: Token, now: Nanos) -> bool;

    /// Forgets a context; returns what it had queued.
    fn close(&mut self, context: ContextId) -> Vec<Token>;

    /// When [`Self::next`] may have an answer that it does not have now; `None`: only after
    /// a push or a completion.
    fn wake_at(&self) -> Option<Nanos>;

    /// A context's weight, and the weights of all that take part with it, itself included.
    fn weights(&mut self, context: ContextId) -> (u64, u64);

    /// Requests queued.
    fn queued(&self) -> usize;

    /// Requests submitted and not complete.
    fn in_flight(&self) -> usize;
}
