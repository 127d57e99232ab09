//! The thread that owns a context's io_context, and enters its rings. It sleeps otherwise.

use super::Means;
use super::priority;
use super::records::{Place, is_running};
use super::ring::{Producer, Ring};
use super::steward::Errand;
use crate::message::Message;
use crate::shared::Shared;
use fairlead_handoff::{Desk, Thread};
use fairlead_sched::ContextId;
use fairlead_sched::seats::Ticket;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};

const STACK_BYTES: usize = 64 * 1024;

/// What a keeper is told.
#[derive(Debug)]
pub(crate) enum Order {
    /// Make a ring for this submitter.
    Make {
        /// Which.
        submitter: usize,
        /// As it was asked for.
        ticket: Ticket,
        /// The place that it takes.
        place: Place,
    },
    /// Nobody uses this ring any more.
    Close(Arc<Ring>),
    /// End, when all rings are closed.
    Stop,
}

/// A keeper, as the steward knows it.
#[derive(Debug)]
pub(super) struct Keeper {
    desk: Arc<Desk<Order>>,
    thread: Thread,
    /// Its thread id, as in /proc.
    pub(super) id: i32,
}

/// How a keeper came to be.
struct Born {
    id: i32,
    thread: Thread,
}

/// What a keeper needs.
struct Life {
    context: ContextId,
    desk: Arc<Desk<Order>>,
    thread: Thread,
    shared: Arc<Shared>,
    /// Alive until [`Order::Close`] brings the only owner of each here. Not owned here as well: a
    /// keeper that is killed would take its share with it, and the ring would never be closed.
    rings: Vec<*const Ring>,
}

impl Keeper {
    /// Starts a keeper with this priority.
    ///
    /// # Errors
    /// No thread can be had, or it may have no priority of its own.
    pub(super) fn start(context: ContextId, ioprio: u16, shared: &Arc<Shared>) -> io::Result<Self> {
        let desk = Arc::new(Desk::default());
        let (sender, born) = channel();
        let (theirs, shared) = (Arc::clone(&desk), Arc::clone(shared));
        let builder = std::thread::Builder::new().name(format!("keeper{}", context.index));
        // Not joined: that it is gone is seen in /proc, however it went.
        builder.stack_size(STACK_BYTES).spawn(move || {
            if let Some(thread) = be_born(ioprio, &sender) {
                drop(sender);
                Life { context, desk: theirs, thread, shared, rings: Vec::new() }.live();
            }
        })?;
        let born = born.recv().map_err(io::Error::other)??;
        if !is_running(born.id) {
            // Its end could not be seen, and everything here goes by that.
            desk.order(Order::Stop, &born.thread);
            return Err(io::Error::other("/proc does not show the threads of this process"));
        }
        Ok(Self { desk, thread: born.thread, id: born.id })
    }

    /// It is gone: closes the rings that it was to close.
    pub(super) fn clear(&self) {
        self.desk.clear();
    }

    /// Tells it something.
    pub(super) fn order(&self, order: Order) {
        self.desk.order(order, &self.thread);
    }
}

/// Takes on what a context's requests are to be known by.
fn be_born(ioprio: u16, born: &Sender<io::Result<Born>>) -> Option<Thread> {
    // Also what makes the kernel give this thread an io_context.
    if let Err(error) = priority::set(0, ioprio) {
        let _ = born.send(Err(error));
        return None;
    }
    work_in_batches();
    // SAFETY: no argument.
    let id = unsafe { libc::gettid() };
    let thread = std::thread::current();
    let _ = born.send(Ok(Born { id, thread: thread.clone() }));
    Some(thread)
}

/// Waking this thread is no reason to interrupt the submitter, which may have more for it: a fifth
/// less CPU for each request on a fast device.
fn work_in_batches() {
    let none = libc::sched_param { sched_priority: 0 };
    // SAFETY: a plain struct of ours. Where it is refused it only costs more.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_BATCH, &none) };
}

impl Life {
    fn live(mut self) {
        let desk = Arc::clone(&self.desk);
        let mut is_stopping = false;
        while !is_stopping || !self.rings.is_empty() {
            let rings = &self.rings;
            // SAFETY: whoever owns a ring gives it up by an order to this thread, which takes it off
            // the list before it drops it.
            let enter = |ring: &&*const Ring| unsafe { (***ring).enter() };
            for order in desk.attend(|| rings.iter().filter(enter).count() > 0) {
                match order {
                    Order::Make { submitter, ticket, place } => self.make(submitter, ticket, place),
                    Order::Close(ring) => self.close(ring),
                    Order::Stop => is_stopping = true,
                }
            }
        }
    }

    fn make(&mut self, submitter: usize, ticket: Ticket, place: Place) {
        let polled_ms = self.shared.options.kernel.polled_ms;
        let mut uring = Ring::build(polled_ms);
        if let (Err(error), Some(_)) = (&uring, polled_ms) {
            let reason =
                format!("the kernel does not poll its ring, its keeper enters it: {error}");
            self.shared.kernel_refuses(self.context, reason);
            uring = Ring::build(None);
        }
        let means = uring.map(|uring| {
            let ring = Arc::new(Ring::new(uring, place));
            self.rings.push(Arc::as_ptr(&ring));
            if let Some(thread) = ring.kernel_thread() {
                self.shared.kernel.polls(self.context, thread);
                // It is where this thread was when it was cloned.
                self.shared.kernel.send(Errand::Weigh(self.context));
            }
            Means::Ring(Producer::new(ring, Arc::clone(&self.desk), self.thread.clone()))
        });
        let means = means.map_err(|error| format!("it can have no io_uring of its own: {error}"));
        // A submitter that does not run has no sessions: dropping the ring closes it.
        self.shared.post(submitter, Message::Means { context: self.context, ticket, means });
    }

    fn close(&mut self, ring: Arc<Ring>) {
        self.rings.retain(|known| !std::ptr::eq(*known, Arc::as_ptr(&ring)));
        drop(ring);
    }
}
