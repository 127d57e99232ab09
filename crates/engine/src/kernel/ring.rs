//! A context's ring: written by one submitter, entered by its keeper.
//!
//! Neither SINGLE_ISSUER nor DEFER_TASKRUN: the thread that enters is not the one that reaps. Where a
//! kernel thread polls the ring (SQPOLL), that thread was cloned from the keeper and shares its
//! io_context (CLONE_IO), and nobody needs to enter but to wake it.

use super::keeper::Order;
use super::records::{Place, is_running};
use fairlead_handoff::{Desk, Tally, Thread};
use io_uring::{IoUring, squeue};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Requests that may be written before the keeper enters.
const ENTRIES: u32 = 128;
/// Requests that may be out: as many have room to come back. More wait beside the ring.
pub(crate) const OUT_MAX: u32 = 2 * ENTRIES;

/// Times that something is tried again that the kernel is to do at once, a millisecond apart.
const TRIES_MAX: u32 = 1000;

/// A ring as its keeper made it.
#[derive(Debug)]
pub(crate) struct Ring {
    uring: Unmoved,
    tally: Tally,
    entered: AtomicU32,
    kernel_thread: Option<i32>,
    // Free again when the ring is closed.
    _place: Place,
}

/// An [`IoUring`] whose two ends are used by two threads.
struct Unmoved(IoUring);

impl std::fmt::Debug for Unmoved {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("IoUring").field(&self.0.as_raw_fd()).finish()
    }
}

impl Ring {
    /// Sets a ring up in the io_context of the thread that calls, and says which of the kernel's
    /// threads polls it.
    ///
    /// # Errors
    /// The kernel refuses, or its thread cannot be seen.
    pub(crate) fn build(polled_ms: Option<u32>) -> io::Result<(IoUring, Option<i32>)> {
        let mut builder = IoUring::builder();
        builder.dontfork().setup_cqsize(OUT_MAX).setup_clamp().setup_submit_all();
        if let Some(idle_ms) = polled_ms {
            builder.setup_sqpoll(idle_ms);
        }
        let uring = builder.build(ENTRIES)?;
        let kernel_thread = match polled_ms {
            None => None,
            Some(_) => Some(kernel_thread(uring.as_raw_fd()).ok_or(io::ErrorKind::TimedOut)?),
        };
        Ok((uring, kernel_thread))
    }

    /// A ring that was set up.
    pub(crate) fn new((uring, kernel_thread): (IoUring, Option<i32>), place: Place) -> Self {
        let (tally, entered) = (Tally::default(), AtomicU32::new(0));
        Self { uring: Unmoved(uring), tally, entered, kernel_thread, _place: place }
    }

    /// The kernel's thread that polls it.
    pub(crate) fn kernel_thread(&self) -> Option<i32> {
        self.kernel_thread
    }

    /// Lets the kernel have what was published; true: there was something. By one thread at a time.
    pub(crate) fn enter(&self) -> bool {
        let entered = self.entered.load(Ordering::Relaxed);
        let count = self.tally.published().wrapping_sub(entered);
        if count == 0 || self.kernel_thread.is_some() {
            return false;
        }
        // SAFETY: no argument is passed by address.
        match unsafe { self.uring.0.submitter().enter::<libc::sigset_t>(count, 0, 0, None) } {
            Ok(taken) => {
                let taken = u32::try_from(taken).unwrap_or(count);
                self.entered.store(entered.wrapping_add(taken), Ordering::Relaxed);
            }
            Err(error) if error.raw_os_error() == Some(libc::EINTR) => {}
            // No memory, or completions must be reaped first: both pass.
            Err(_) => std::thread::park_timeout(Duration::from_millis(1)),
        }
        true
    }

    /// Published, and not entered.
    pub(super) fn waiting(&self) -> u32 {
        self.tally.published().wrapping_sub(self.entered.load(Ordering::Relaxed))
    }
}

/// Which thread polls the ring, as the kernel tells it in its fdinfo. Until that thread has begun the
/// kernel names the one that made the ring, which is the one that calls.
fn kernel_thread(fd: RawFd) -> Option<i32> {
    // SAFETY: no argument.
    let maker = unsafe { libc::gettid() };
    let mut tries = (0..TRIES_MAX).map(|_| {
        let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("SqThread:"))?;
        let thread: i32 = line.trim().parse().ok()?;
        if thread == maker || !is_running(thread) {
            std::thread::park_timeout(Duration::from_millis(1));
            return None;
        }
        Some(thread)
    });
    tries.find_map(|thread| thread)
}

/// The submitter's end of a ring. Dropping it closes the ring: whoever has it sees to it that nothing
/// is in flight.
#[derive(Debug)]
pub struct Producer {
    // None only while it is dropped.
    ring: Option<Arc<Ring>>,
    desk: Arc<Desk<Order>>,
    keeper: Thread,
    pushed: u32,
}

impl Producer {
    pub(crate) fn new(ring: Arc<Ring>, desk: Arc<Desk<Order>>, keeper: Thread) -> Self {
        Self { ring: Some(ring), desk, keeper, pushed: 0 }
    }

    /// Readable when something has come back.
    pub(crate) fn descriptor(&self) -> RawFd {
        self.ring.as_ref().map_or(-1, |ring| ring.uring.0.as_raw_fd())
    }

    /// Writes a request; false: the ring is full.
    ///
    /// # Safety
    /// What the entry points to stays alive and untouched until it comes back.
    pub(crate) unsafe fn push(&mut self, entry: &squeue::Entry) -> bool {
        let Some(ring) = &self.ring else { return false };
        // SAFETY: nobody but this end, which is borrowed, writes requests; the entry is as the
        // caller promises.
        let pushed = unsafe { ring.uring.0.submission_shared().push(entry) }.is_ok();
        self.pushed = self.pushed.wrapping_add(u32::from(pushed));
        pushed
    }

    /// Lets the keeper, or the kernel's thread, have what was written.
    pub(crate) fn publish(&self) {
        let Some(ring) = &self.ring else { return };
        if ring.kernel_thread.is_some() {
            // A system call only when that thread sleeps. It fails when that thread is gone, and
            // that only goes with the ring.
            let _ = ring.uring.0.submit();
        } else {
            ring.tally.publish(self.pushed, &self.keeper);
        }
    }

    /// Takes what has come back.
    pub(crate) fn reap(&mut self, mut take: impl FnMut(u64, i32)) {
        let Some(ring) = &self.ring else { return };
        // SAFETY: nobody but this end, which is borrowed, reaps.
        for entry in unsafe { ring.uring.0.completion_shared() } {
            take(entry.user_data(), entry.result());
        }
    }

    /// The keeper has not entered what was published. Enters it in its stead: in the wrong
    /// io_context, but nothing is lost. Only when the keeper is gone.
    pub(crate) fn enter_for_the_dead(&self) {
        if let Some(ring) = &self.ring {
            (0..TRIES_MAX).find(|_| !ring.enter());
        }
    }

    /// Published, and not entered.
    pub(crate) fn waiting(&self) -> u32 {
        self.ring.as_ref().map_or(0, |ring| ring.waiting())
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        if let Some(ring) = self.ring.take() {
            // The keeper closes it: that may wait for the kernel's thread.
            self.desk.order(Order::Close(ring), &self.keeper);
        }
    }
}
