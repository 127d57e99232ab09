//! A thread of the global pool: its driver, its sessions, its part of the contexts.
//!
//! One loop: wait for completions, handle each, let devices have what is next, send what is ready.
//! A submitter owns everything it touches per command. [`network`] is the wire, [`commands`] what
//! a task does next, [`io`] requests to volumes, [`management`] aborts, [`timers`] time.

mod commands;
mod device;
mod io;
mod links;
mod management;
mod network;
mod owner;
mod pass;
mod range;
mod reservations;
mod seat;
mod start;
mod tenure;
mod timers;

use crate::batch::Batch;
use crate::buffer::Pool;
use crate::clock;
use crate::driver::{Completion, Driver, Steer};
use crate::message::Message;
use crate::session::Session;
use crate::shared::{Shared, Tables, lock};
use crate::volume::Volume;
use device::DeviceQueue;
pub use device::Discipline;
use fairlead_proto::iscsi::task::Slot;
use fairlead_sched::Nanos;
use fairlead_sched::arena::Arena;
use fairlead_sched::seats::Seats;
use links::Links;
use management::{AbortGroup, Then};
use range::Quiet;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

/// How often timers are looked at.
const TICK: Nanos = clock::SECOND / 4;

/// How often a submitter that stops looks whether the others have.
const STOPPING_TICK: Nanos = clock::SECOND / 200;
/// Times that completions may set off further requests before the wire has its turn.
const SETTLE_ROUNDS: usize = 16;

/// Names a task towards drivers and schedulers: session and slot.
type Token = u64;

fn token(session: u32, slot: Slot) -> Token {
    u64::from(session) << 16 | u64::from(slot)
}

fn parts(token: Token) -> (u32, Slot) {
    ((token >> 16) as u32, token as Slot)
}

/// One submitter.
pub struct Submitter {
    index: usize,
    shared: Arc<Shared>,
    tables: Arc<Tables>,
    messages: Receiver<Message>,
    // Before the pool: the kernel must be done with buffers when their memory goes.
    driver: Box<dyn Driver>,
    arena: Arena,
    pool: Pool,
    sessions: Vec<Option<Box<Session>>>,
    free_sessions: Vec<u32>,
    by_id: HashMap<u64, u32>,
    devices: Vec<Option<DeviceQueue>>,
    /// By what means requests go that the kernel is to see contexts of.
    seats: Seats<Steer>,
    due_devices: Vec<usize>,
    /// Volumes whose simulated device is at work.
    simulated: Vec<Arc<Volume>>,
    /// To devices that carry commands out themselves.
    links: Links,
    /// Reported as not answering.
    stalled: HashSet<u32>,
    dirty: Vec<u32>,
    wants_buffer: VecDeque<Token>,
    wants_range: Vec<Token>,
    buffers_freed: bool,
    quiet: Vec<Quiet>,
    done: VecDeque<(Token, i32)>,
    #[allow(clippy::vec_box, reason = "the kernel has the address of a batch while it is sent")]
    batches: Vec<Box<Batch>>,
    aborts: HashMap<u64, AbortGroup>,
    concluded: Vec<Then>,
    /// `None`: the task was aborted, and Python has not answered yet.
    upcalls: HashMap<u64, Option<Token>>,
    texts: HashMap<u64, (u32, u32)>,
    numbers: u64,
    /// The session that was heard last, and until when it shares the submitter with others.
    heard_last: u32,
    company_until: Nanos,
    now: Nanos,
    next_tick: Nanos,
    stopping: bool,
}

impl Submitter {
    /// A submitter that has not begun.
    pub fn new(
        index: usize,
        shared: Arc<Shared>,
        tables: Tables,
        messages: Receiver<Message>,
        driver: Box<dyn Driver>,
        pool: Pool,
    ) -> Self {
        Self {
            index,
            shared,
            tables: Arc::new(tables),
            messages,
            driver,
            arena: Arena::new(index),
            pool,
            sessions: Vec::new(),
            free_sessions: Vec::new(),
            by_id: HashMap::new(),
            devices: Vec::new(),
            seats: Seats::default(),
            due_devices: Vec::new(),
            simulated: Vec::new(),
            links: Links::default(),
            stalled: HashSet::new(),
            dirty: Vec::new(),
            wants_buffer: VecDeque::new(),
            wants_range: Vec::new(),
            quiet: Vec::new(),
            done: VecDeque::new(),
            batches: Vec::new(),
            aborts: HashMap::new(),
            concluded: Vec::new(),
            buffers_freed: false,
            upcalls: HashMap::new(),
            texts: HashMap::new(),
            numbers: 0,
            heard_last: 0,
            company_until: 0,
            now: clock::now(),
            next_tick: 0,
            stopping: false,
        }
    }

    /// Works until told to stop.
    ///
    /// # Errors
    /// The driver is broken.
    pub fn run(&mut self) -> std::io::Result<()> {
        let mut completions = Vec::with_capacity(1024);
        while !(self.stopping && self.is_last_session_over()) {
            let wakes = self.devices_wake_at().unwrap_or(Nanos::MAX).min(self.next_tick);
            let until_tick = wakes.saturating_sub(self.now);
            let patience = match (self.has_work(), self.stopping) {
                (true, _) => 0,
                (false, true) => until_tick.min(STOPPING_TICK),
                (false, false) => until_tick,
            };
            self.links.watch(self.driver.as_mut());
            self.driver.wait(Duration::from_nanos(patience), &mut completions)?;
            self.now = clock::now();
            self.begin_turn();
            for completion in completions.drain(..) {
                self.handle(completion);
            }
            self.settle();
            if self.now >= self.next_tick {
                self.next_tick = self.now + TICK;
                self.tick();
                self.settle();
            }
        }
        // What others gave back before their last session was over.
        while let Ok(message) = self.messages.try_recv() {
            self.message(message);
        }
        Ok(())
    }

    /// No session is left anywhere: until then another submitter may want an answer from here.
    fn is_last_session_over(&self) -> bool {
        self.by_id.is_empty() && lock(&self.shared.sessions).is_empty()
    }

    fn has_work(&self) -> bool {
        !self.done.is_empty()
            || !self.concluded.is_empty()
            || !self.due_devices.is_empty()
            || !self.dirty.is_empty()
    }

    fn handle(&mut self, completion: Completion) {
        match completion {
            Completion::Received { connection, result, buffer, more } => {
                self.received(connection, result, buffer, more);
            }
            Completion::ReceivedExact { connection, result } => {
                self.received_exact(connection, result);
            }
            Completion::Sent { connection, result } => self.sent(connection, result),
            Completion::Io { token, result } => self.driver_completed(token, result),
            Completion::Ready { watch, events } => self.link_ready(watch, events),
            Completion::Woken => {
                if let Some(mailbox) = self.shared.mailboxes.get(self.index) {
                    mailbox.opened();
                }
                while let Ok(message) = self.messages.try_recv() {
                    self.message(message);
                }
            }
        }
    }

    /// Follows everything that handling has set off, until only the kernel can go on.
    fn settle(&mut self) {
        // Bounded: a volume that answers at once would otherwise keep the wire waiting for as long
        // as a large command lasts.
        for _ in 0..SETTLE_ROUNDS {
            self.dispatch();
            for _ in 0..self.done.len() {
                let Some((token, result)) = self.done.pop_front() else { break };
                self.completed(token, result);
            }
            self.conclude_aborts();
            self.serve_buffers();
            if self.done.is_empty() && self.due_devices.is_empty() {
                break;
            }
        }
        for index in std::mem::take(&mut self.dirty) {
            self.with_session(index, |this, session| {
                session.dirty = false;
                this.pump(session, index);
            });
        }
    }

    fn message(&mut self, message: Message) {
        match message {
            Message::Adopt(adopt) => self.adopt(*adopt),
            Message::SetContext(context, settings) => self.set_context(context, settings),
            Message::EndSession(id, reason) => {
                if let Some(index) = self.by_id.get(&id).copied() {
                    self.with_session(index, |this, session| this.end(session, index, reason));
                }
            }
            Message::Answer { id, status, sense, data, peer_max_recv } => {
                self.answered_by_python(id, status, sense, data, peer_max_recv);
            }
            Message::Completed { token, result } => self.done.push_back((token, result)),
            Message::RunFlush(token) => self.run_flush(token),
            Message::Quiesce { volume, start, end, submitter, token } => {
                self.quiesce(Quiet { volume, start, end, submitter, token });
            }
            Message::Quiesced(token) => self.quiesced(token),
            Message::RangeReleased => self.retry_ranges(),
            Message::AbortUnit { volume, whom, attention, submitter, group } => {
                self.abort_for(volume, &whom, attention, submitter, group);
            }
            Message::Attention { about, whom, asc } => self.raise_attention(about, &whom, asc),
            Message::AnswerSettled { upcall, volume, whom } => {
                self.answer_settled(upcall, volume, &whom);
            }
            Message::VolumeClosed(volume) => self.links.close(volume, self.driver.as_mut()),
            Message::Aborted(group) => self.one_aborted(group),
            Message::Ask(ask) => self.asked(&ask),
            Message::Granted { token, grant } => self.granted(token, grant),
            Message::Refused { token } => self.refused(token),
            Message::Withdraw { place, submitter, context, token } => {
                self.withdrawal(place, submitter, context, token);
            }
            Message::Withdrawn { token } => self.withdrawn(token),
            Message::Returned { place, context, operation, cost_ns, took_ns } => {
                self.returned(place, context, &operation, cost_ns, took_ns);
            }
            Message::Recall { place } => self.recalled(place),
            Message::Joined { volume, submitter, context, settings } => {
                self.joined(&volume, submitter, context, settings);
            }
            Message::Left { place, submitter, context } => self.left(place, submitter, context),
            Message::Means { context, ticket, means } => self.seat(context, ticket, means),
            Message::Steer(context, steer) => self.seats.change(context, steer),
            Message::Stop => {
                self.stopping = true;
                for index in 0..self.sessions.len() as u32 {
                    self.with_session(index, |this, session| {
                        this.end(session, index, "the target stops");
                    });
                }
            }
        }
    }

    /// Lends a session, out of the table, so that the rest of the submitter can be used beside it.
    fn with_session<R>(
        &mut self,
        index: u32,
        work: impl FnOnce(&mut Self, &mut Session) -> R,
    ) -> Option<R> {
        let mut session = self.sessions.get_mut(index as usize)?.take()?;
        let result = work(self, &mut session);
        if session.is_over() {
            self.bury(index, *session);
        } else if let Some(place) = self.sessions.get_mut(index as usize) {
            *place = Some(session);
        }
        Some(result)
    }

    fn number(&mut self) -> u64 {
        self.numbers += 1;
        (self.index as u64) << 48 | self.numbers
    }

    /// Tells the directory that a session will not use its contexts any more.
    fn detach_contexts(&mut self, session: &Session) {
        for lun in &session.luns {
            if self.arena.detach(lun.context) {
                self.close_context(lun.context);
            }
            // A stale name cannot be: this session holds it until it is drained.
            let _ = lock(&self.shared.directory).detach(lun.context);
        }
    }
}

impl Drop for Submitter {
    fn drop(&mut self) {
        debug_assert!(self.devices.iter().flatten().all(|queue| queue.in_flight() == 0));
    }
}
