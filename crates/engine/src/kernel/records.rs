//! What all threads know of the kernel's side of contexts: how many rings there are, who keeps what.

use super::steward::Errand;
use crate::shared::lock;
use fairlead_sched::ContextId;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

/// Whether a thread of this process is there.
pub(super) fn is_running(thread: i32) -> bool {
    // What cannot be seen may be there.
    std::path::Path::new(&format!("/proc/self/task/{thread}")).try_exists().unwrap_or(true)
}

/// A ring's place among those that may be open. Free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    all: Arc<AtomicUsize>,
    of_context: Option<Arc<AtomicUsize>>,
}

impl Place {
    /// Counts it as this context's.
    pub(super) fn of(mut self, context: &Record) -> Self {
        context.rings.fetch_add(1, Ordering::Relaxed);
        self.of_context = Some(Arc::clone(&context.rings));
        self
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.all.fetch_sub(1, Ordering::Relaxed);
        if let Some(rings) = &self.of_context {
            rings.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// What the kernel has of a context.
#[derive(Debug, Clone, Default)]
pub struct Record {
    /// Thread id of its keeper.
    pub keeper: Option<i32>,
    /// Rings that are open.
    pub rings: Arc<AtomicUsize>,
    /// The kernel's threads that poll them, or have.
    pub polling: Vec<i32>,
    /// What it could not have, and why.
    pub reason: Option<String>,
    /// Its last session is over, and its keeper is about to end.
    pub is_ending: bool,
}

/// The kernel's side of all contexts.
#[derive(Debug)]
pub struct Kernel {
    rings: Arc<AtomicUsize>,
    records: Mutex<HashMap<ContextId, Record>>,
    errands: Sender<Errand>,
    waiting: Mutex<Option<Receiver<Errand>>>,
}

impl Default for Kernel {
    fn default() -> Self {
        let (errands, waiting) = channel();
        let waiting = Mutex::new(Some(waiting));
        Self { rings: Arc::default(), records: Mutex::default(), errands, waiting }
    }
}

impl Kernel {
    /// A place for a ring, if fewer than so many are open.
    pub(crate) fn place(&self, rings_max: usize) -> Option<Place> {
        let room = |open: usize| (open < rings_max).then_some(open + 1);
        self.rings.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).ok()?;
        Some(Place { all: Arc::clone(&self.rings), of_context: None })
    }

    /// Rings that are open.
    pub fn rings(&self) -> usize {
        self.rings.load(Ordering::Relaxed)
    }

    /// Sends the steward on an errand; one that has stopped has no contexts left to care for.
    pub(crate) fn send(&self, errand: Errand) {
        let _ = self.errands.send(errand);
    }

    /// The errands, for the one steward.
    pub(super) fn errands(&self) -> Option<Receiver<Errand>> {
        lock(&self.waiting).take()
    }

    /// A steward was ever needed.
    pub(crate) fn is_attended(&self) -> bool {
        lock(&self.waiting).is_none()
    }

    /// What the kernel has of a context.
    pub fn record(&self, context: ContextId) -> Option<Record> {
        lock(&self.records).get(&context).cloned()
    }

    pub(super) fn change<R>(&self, context: ContextId, change: impl FnOnce(&mut Record) -> R) -> R {
        change(lock(&self.records).entry(context).or_default())
    }

    /// Rings of a context are open.
    pub(super) fn has_rings(&self, context: ContextId) -> bool {
        let rings = |record: Record| record.rings.load(Ordering::Relaxed);
        self.record(context).map_or(0, rings) > 0
    }

    /// Notes what a context has to do without; false: that is known. Of one that has nothing here
    /// nothing is kept.
    pub(crate) fn note(&self, context: ContextId, reason: &str) -> bool {
        let mut records = lock(&self.records);
        let Some(record) = records.get_mut(&context) else { return true };
        record.reason.replace(reason.into()).is_none_or(|before| before != reason)
    }

    /// A kernel thread polls a ring of the context.
    pub(super) fn polls(&self, context: ContextId, thread: i32) {
        self.change(context, |record| {
            record.polling.retain(|thread| is_running(*thread));
            record.polling.push(thread);
        });
    }

    /// Its keeper, and those that poll its rings, or have.
    pub(super) fn threads(&self, context: ContextId) -> Vec<i32> {
        let record = self.record(context).unwrap_or_default();
        record.keeper.into_iter().chain(record.polling).collect()
    }

    /// Its last session is over.
    pub(super) fn end(&self, context: ContextId) {
        if let Some(record) = lock(&self.records).get_mut(&context) {
            record.is_ending = true;
        }
    }

    /// The keeper that a context had is not there any more.
    pub(crate) fn has_lost_its_keeper(&self, context: ContextId) -> bool {
        self.record(context).and_then(|record| record.keeper).is_some_and(|id| !is_running(id))
    }

    pub(super) fn forget(&self, context: ContextId) {
        lock(&self.records).remove(&context);
    }

    /// Every context that the kernel has something of.
    pub fn len(&self) -> usize {
        lock(&self.records).len()
    }

    /// The kernel has nothing of any context.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
