//! The interface of a scheduler: one instance for each backing device and submitter.

use crate::{ContextId, Nanos};

/// Names a request towards its scheduler.
pub type Token = u64;

/// What a request will cost the device, before it is known better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Bytes moved.
    pub bytes: u32,
}

/// A request that waits for its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// Whose it is.
    pub context: ContextId,
    /// Its name.
    pub token: Token,
    /// What it will cost.
    pub cost: Cost,
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
    /// Queues a request.
    ///
    /// # Errors
    /// The queue is full; the command is answered TASK SET FULL.
    fn push(&mut self, request: Request, now: Nanos) -> Result<(), Full>;

    /// Picks the next request.
    fn next(&mut self, now: Nanos) -> Next;

    /// A request that was submitted is over.
    fn complete(&mut self, context: ContextId, cost: Cost, now: Nanos);

    /// Takes a queued request back; false when it is not queued (any more).
    fn remove(&mut self, token: Token) -> bool;

    /// Takes back everything that a context has queued.
    fn close(&mut self, context: ContextId) -> Vec<Token>;

    /// When [`Self::next`] may have an answer that it does not have now; `None`: only after
    /// a push or a completion.
    fn wake_at(&self) -> Option<Nanos>;

    /// Requests queued.
    fn queued(&self) -> usize;

    /// Requests submitted and not complete.
    fn in_flight(&self) -> usize;
}
