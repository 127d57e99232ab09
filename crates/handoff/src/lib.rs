//! How a submitter and a keeper work together without waiting for each other.
//!
//! A *keeper* is a thread that sleeps until there is something to do: [`Desk::attend`]. Two things
//! can be there: orders, which are rare and go through a lock, and work that was published by
//! counting it, [`Tally::publish`], which takes neither lock nor system call while the keeper is
//! awake. Nothing that was ordered or published before a wake-up is overlooked, whatever comes when:
//! `tests/interleavings.rs` tries the orders.

#![forbid(unsafe_code)]

#[cfg(shuttle)]
use shuttle::{
    sync::Mutex,
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    thread,
};
#[cfg(not(shuttle))]
use std::{
    sync::Mutex,
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    thread,
};

/// The thread that attends a desk, as those see it who wake it.
pub use thread::Thread;

/// Where orders for a keeper lie.
#[derive(Debug)]
pub struct Desk<O> {
    orders: Mutex<Vec<O>>,
    has_orders: AtomicBool,
}

impl<O> Default for Desk<O> {
    fn default() -> Self {
        Self { orders: Mutex::new(Vec::new()), has_orders: AtomicBool::new(false) }
    }
}

impl<O> Desk<O> {
    /// Leaves an order and wakes who attends.
    pub fn order(&self, order: O, keeper: &Thread) {
        // A panic elsewhere does not make the orders less true.
        self.orders.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(order);
        // After the lock was released: whoever takes the flag down finds the order.
        self.has_orders.store(true, Ordering::Release);
        keeper.unpark();
    }

    /// Takes what lies there, for a keeper that is gone.
    pub fn clear(&self) -> Vec<O> {
        std::mem::take(&mut *self.orders.lock().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }

    /// Works until there are orders, and sleeps while there is nothing to do.
    ///
    /// `work` does what was published since it last did, and says whether there was any. Only the
    /// thread that others wake may attend.
    pub fn attend(&self, mut work: impl FnMut() -> bool) -> Vec<O> {
        loop {
            if self.has_orders.swap(false, Ordering::AcqRel)
                // Held: somebody is leaving another order, and will put the flag up again.
                && let Ok(mut orders) = self.orders.try_lock()
            {
                return std::mem::take(&mut *orders);
            }
            if !work() {
                thread::park();
            }
        }
    }
}

/// How much has been published, ever. It wraps.
#[derive(Debug, Default)]
pub struct Tally(AtomicU32);

impl Tally {
    /// Says that everything up to here may be taken, and wakes who takes it. A system call only
    /// when the keeper sleeps.
    pub fn publish(&self, upto: u32, keeper: &Thread) {
        self.0.store(upto, Ordering::Release);
        keeper.unpark();
    }

    /// How much was published: what was written before is visible.
    pub fn published(&self) -> u32 {
        self.0.load(Ordering::Acquire)
    }
}
