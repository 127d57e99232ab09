//! Requests to volumes: queued at their device, submitted in their context, completed.

use super::device::{DeviceQueue, Discipline, Offered, place_of};
use super::pass::{self, fail_passed};
use super::start::{file_request, may_hide_lost_data, remainder, start};
use super::{Submitter, Token, parts, token};
use crate::driver::Steer;
use crate::message::Message;
use crate::operation::{Kind, Operation, REFUSES_WRITES};
use crate::program::Input;
use crate::session::{Place, Session};
use crate::shared::{Event, lock};
use crate::volume::{Owner, Volume, Waiter};
use fairlead_proto::iscsi::task::{Answer, Slot};
use fairlead_proto::scsi::status;
use fairlead_sched::settings::Settings;
use fairlead_sched::{ContextId, Nanos};
use std::sync::Arc;

impl Submitter {
    /// The queue of a volume's device.
    pub(super) fn queue(&mut self, volume: &Volume) -> &mut DeviceQueue {
        let place = place_of(volume);
        if self.devices.len() <= place {
            self.devices.resize_with(place + 1, || None);
        }
        let commands_max =
            volume.passes_to().map_or(usize::MAX, |device| device.settings.commands_max);
        let requests_max = self.driver.device_window(volume.may_block()).min(commands_max);
        let (shared, here) = (&self.shared, self.index);
        self.devices.get_mut(place).expect("just made").get_or_insert_with(|| {
            let discipline = shared.options.discipline;
            let owner = if volume.is_direct() && discipline == Discipline::Fair {
                *lock(&shared.owners).entry(volume.device).or_insert(here)
            } else {
                // What memory answers is limited by the submitter, and each shares itself.
                here
            };
            let record = shared.device(volume.device).unwrap_or_default();
            DeviceQueue::new(volume, record, owner, here, requests_max, discipline)
        })
    }

    /// A device may have something to submit.
    pub(super) fn make_due(&mut self, place: usize) {
        let queue = self.devices.get_mut(place).and_then(Option::as_mut);
        if queue.is_some_and(|queue| !std::mem::replace(&mut queue.is_due, true)) {
            self.due_devices.push(place);
        }
    }

    pub(super) fn volume_of(session: &mut Session, slot: Slot) -> Option<Arc<Volume>> {
        let lun = session.job(slot).lun?;
        session.luns.get(lun).map(|lun| Arc::clone(&lun.unit.volume))
    }

    /// Queues the task's request at its device.
    pub(super) fn enqueue(&mut self, session: &mut Session, index: u32, slot: Slot) {
        let Some(volume) = Self::volume_of(session, slot) else { return };
        let now = self.now;
        let job = session.job(slot);
        let (Some(context), Some(mut operation)) = (job.context, job.operation) else { return };
        // A piece that comes again has waited for a locked range: what follows it goes with it.
        operation.length_bytes += std::mem::take(&mut job.rest_bytes);
        job.place = Place::Queued;
        job.since = now;
        if operation.kind == Kind::Flush {
            // One flush is in flight for each volume whatever arrives. Those that wait to join the
            // next must not fill the device's window, or nothing else would get through.
            return self.submit(session, index, slot);
        }
        let (place, here) = (place_of(&volume), self.index);
        let queue = self.queue(&volume);
        let owner = queue.tenure.asks(here, context).then_some(queue.tenure.owner);
        let is_shared = match owner {
            Some(_) => queue.tenure.is_shared,
            None => queue.is_shared(),
        };
        let piece_bytes = queue.cut(&operation, is_shared);
        let piece = Operation { length_bytes: piece_bytes, ..operation };
        job.operation = Some(piece);
        job.rest_bytes = operation.length_bytes - piece_bytes;
        if let Some(owner) = owner {
            return self.ask(session, slot, owner, place, token(index, slot));
        }
        self.recall(place, here, context);
        match self.queue(&volume).offer(context, token(index, slot), &piece, now) {
            Offered::Submit { cost_ns } => {
                session.job(slot).cost_ns = cost_ns;
                self.submit(session, index, slot);
            }
            Offered::Queued => self.make_due(place),
            Offered::Full => {
                let answer = Answer { status: status::TASK_SET_FULL, sense: None, cdb_bytes: 0 };
                self.finish(session, index, slot, answer);
            }
        }
    }

    /// Gives devices what is next.
    pub(super) fn dispatch(&mut self) {
        while let Some(place) = self.due_devices.pop() {
            if let Some(queue) = self.devices.get_mut(place).and_then(Option::as_mut) {
                queue.is_due = false;
            }
            loop {
                let now = self.now;
                let queue = self.devices.get_mut(place).and_then(Option::as_mut);
                let next = queue.and_then(|queue| queue.next(now));
                let Some(request) = next else { break };
                if self.grant(place, &request) {
                    continue;
                }
                let (index, slot) = parts(request.token);
                self.with_session(index, |this, session| {
                    session.job(slot).cost_ns = request.cost_ns;
                    this.submit(session, index, slot);
                });
            }
        }
    }

    /// Submits a request that the scheduler has picked, in its context.
    pub(super) fn submit(&mut self, session: &mut Session, index: u32, slot: Slot) {
        let Some(volume) = Self::volume_of(session, slot) else { return };
        let now = self.now;
        let job = session.job(slot);
        let (Some(context), Some(operation)) = (job.context, job.operation) else { return };
        let token = token(index, slot);
        let end = operation.offset_bytes + operation.length_bytes;
        let owner = Owner { submitter: self.index, token };
        if operation.kind.writes() && volume.locks.blocks(operation.offset_bytes, end, owner) {
            job.place = Place::WantsRange;
            self.wants_range.push(token);
            self.leave_device(session, slot, &volume, context, &operation, None);
            return;
        }
        let steer = self.steer(&volume, context, &operation);
        let command = pass::command(session, slot, &volume, &operation);
        let outcome = {
            let Ok(entered) = self.arena.enter(context) else {
                // Its session is ending: everything queued has been taken back before.
                self.leave_device(session, slot, &volume, context, &operation, None);
                return;
            };
            let waiter = Waiter { submitter: self.index, token };
            let job = session.job(slot);
            if steer != Steer::None {
                entered.shard().steered.add(1);
            }
            match command {
                Some(command) => {
                    let sent = self.links.submit(&entered, &volume, token, &command, now);
                    sent.err().map(|failure| fail_passed(job, failure))
                }
                None => {
                    let driver = self.driver.as_mut();
                    start(&entered, driver, &volume, job, waiter, operation, steer, now)
                }
            }
        };
        let job = session.job(slot);
        let queue_ns = now.saturating_sub(job.since);
        job.place = Place::Submitted;
        job.since = now;
        self.arena.submitted(context, queue_ns);
        if let Some(result) = outcome {
            self.done.push_back((token, result));
        } else if volume.simulated().is_some() && !self.simulated.iter().any(|v| v.id == volume.id)
        {
            self.simulated.push(volume);
        }
    }

    /// A request's place in its device's window is free.
    pub(super) fn leave_device(
        &mut self,
        session: &mut Session,
        slot: Slot,
        volume: &Volume,
        context: ContextId,
        operation: &Operation,
        took_ns: Option<Nanos>,
    ) {
        if operation.kind == Kind::Flush {
            return;
        }
        let (place, now) = (place_of(volume), self.now);
        let job = session.job(slot);
        let cost_ns = job.cost_ns;
        if let (Some(shard), Some(_)) = (self.arena.shard(context), took_ns) {
            shard.cost_ns.add(cost_ns);
        }
        if let Some(granted_at) = job.granted_at.take() {
            let owner = self.queue(volume).tenure.owner;
            let operation = *operation;
            // As long as the owner's window holds it: the way to here and back belongs to that.
            let took_ns = took_ns.map(|_| now.saturating_sub(granted_at));
            let returned = Message::Returned { place, context, operation, cost_ns, took_ns };
            self.shared.post(owner, returned);
        } else if self.queue(volume).complete(context, operation, cost_ns, took_ns, now) {
            self.make_due(place);
        }
    }

    /// The wire has had its turn, and time has passed: devices may have something to submit.
    pub(super) fn begin_turn(&mut self) {
        let now = self.now;
        self.take_simulated();
        self.tick_links();
        for place in 0..self.devices.len() {
            let queue = self.devices.get_mut(place).and_then(Option::as_mut);
            if queue.is_some_and(|queue| queue.begin_turn(now)) {
                self.make_due(place);
            }
        }
    }

    /// What simulated devices have done by now. They are shared: it may be another submitter's.
    fn take_simulated(&mut self) {
        let Self { simulated, shared, done, index, now, .. } = self;
        simulated.retain(|volume| {
            let Some(device) = volume.simulated() else { return false };
            device.take(*now, |waiter, result| {
                if waiter.submitter == *index {
                    done.push_back((waiter.token, result));
                } else {
                    shared
                        .post(waiter.submitter, Message::Completed { token: waiter.token, result });
                }
            });
            device.next_at().is_some()
        });
    }

    /// When a context that its limit holds may go on, or at once for what only waits for its turn;
    /// and when a simulated device will be done with something.
    pub(super) fn devices_wake_at(&self) -> Option<Nanos> {
        let queues = self.devices.iter().flatten().filter_map(|queue| queue.wake_at());
        let simulated = self.simulated.iter().filter_map(|volume| volume.simulated()?.next_at());
        queues.chain(simulated).chain(self.links.next_at()).min()
    }

    /// Takes a queued request back from its device.
    pub(super) fn take_back(&mut self, session: &mut Session, slot: Slot, token: Token) {
        let now = self.now;
        let Some(volume) = Self::volume_of(session, slot) else { return };
        let Some(context) = session.job(slot).context else { return };
        if self.queue(&volume).remove(context, token, now) {
            // The one behind it may be cheaper, and fit.
            self.make_due(place_of(&volume));
        }
    }

    /// Gives a context its settings, at the devices of the units that it is used for.
    pub(super) fn set_context(&mut self, context: ContextId, settings: Settings) {
        for index in 0..self.sessions.len() as u32 {
            self.with_session(index, |this, session| {
                if session.ending.is_some() {
                    return;
                }
                for lun in session.luns.iter().filter(|lun| lun.context == context) {
                    let volume = Arc::clone(&lun.unit.volume);
                    this.apply_settings(&volume, context, settings);
                }
            });
        }
    }

    /// Gives a context its settings at the device of one volume.
    pub(super) fn apply_settings(
        &mut self,
        volume: &Arc<Volume>,
        context: ContextId,
        settings: Settings,
    ) {
        let submitter = self.index;
        self.joined(volume, submitter, context, settings);
        let owner = self.queue(volume).tenure.owner;
        if owner != submitter {
            let volume = Arc::clone(volume);
            self.shared.post(owner, Message::Joined { volume, submitter, context, settings });
        }
    }

    /// A context has left the submitter.
    pub(super) fn close_context(&mut self, context: ContextId) {
        let submitter = self.index;
        for (place, queue) in self.devices.iter_mut().enumerate() {
            let Some(queue) = queue else { continue };
            queue.close(context, submitter);
            let owner = queue.tenure.owner;
            if owner != submitter {
                self.shared.post(owner, Message::Left { place, submitter, context });
            }
        }
        self.leave_seat(context);
    }

    /// The driver has carried a request out.
    pub(super) fn driver_completed(&mut self, token: Token, result: i32) {
        let (index, slot) = parts(token);
        let flushed = self.with_session(index, |_, session| {
            let job = session.job(slot);
            let flushes = job.operation.is_some_and(|operation| operation.kind == Kind::Flush);
            flushes.then(|| Self::volume_of(session, slot)).flatten()
        });
        let result = match flushed.flatten() {
            Some(volume) => self.flush_finished(&volume, token, result),
            None => result,
        };
        self.completed(token, result);
    }

    /// Tells all flush commands that this flush has covered, and lets the next begin. Returns what
    /// the flush has come to.
    fn flush_finished(&mut self, volume: &Volume, own: Token, result: i32) -> i32 {
        if result < 0 {
            self.set_fault(volume, Kind::Flush, -result);
        }
        // The kernel reports lost data once: a flush that succeeds after another has failed proves
        // nothing about what was written before.
        let refused = volume.refuses_writes();
        let result = if refused && result >= 0 { -REFUSES_WRITES } else { result };
        // A token names a request of one submitter only; another's may be the same number.
        let own = Waiter { submitter: self.index, token: own };
        let mut flushed = volume.flushes.finished();
        loop {
            for rider in flushed.riders.iter().filter(|rider| **rider != own) {
                let message = Message::Completed { token: rider.token, result };
                self.shared.post(rider.submitter, message);
            }
            match flushed.next {
                None => return result,
                Some(next) if !refused => {
                    self.shared.post(next.submitter, Message::RunFlush(next.token));
                    return result;
                }
                Some(_) => flushed = volume.flushes.finished(),
            }
        }
    }

    /// What was answered may be lost: nothing is taken for stable until an operator has looked.
    fn set_fault(&self, volume: &Volume, kind: Kind, errno: i32) {
        let errno = std::io::Error::from_raw_os_error(errno);
        let what = if kind == Kind::Flush { "flush" } else { "write to stable storage" };
        let reason = format!("{what} failed: {errno}");
        if volume.set_fault(reason.clone()) {
            self.shared.events.tell(Event::VolumeFault { volume: volume.id, reason });
        }
    }

    /// It is this task's turn to flush its volume for all who wait.
    pub(super) fn run_flush(&mut self, token: Token) {
        let (index, slot) = parts(token);
        self.with_session(index, |this, session| {
            let Some(volume) = Self::volume_of(session, slot) else { return };
            let job = session.job(slot);
            let Some(operation) = job.operation else { return };
            // The task entered its context when it joined; who waits for it may have others.
            if let Some(request) = file_request(&volume, job, &operation, Steer::None) {
                this.driver.submit(token, request);
            }
        });
    }

    /// A request is over: the task goes on, or ends if it was aborted meanwhile.
    pub(super) fn completed(&mut self, token: Token, result: i32) {
        let (index, slot) = parts(token);
        self.with_session(index, |this, session| {
            let Some(volume) = Self::volume_of(session, slot) else { return };
            let now = this.now;
            let job = session.job(slot);
            let (Some(context), Some(operation)) = (job.context, job.operation) else { return };
            if job.place != Place::Submitted {
                return;
            }
            let service_ns = now.saturating_sub(job.since);
            job.place = Place::Collecting;
            job.operation = None;
            // What failed says nothing about how long the device takes.
            let took_ns = (result >= 0 || !volume.has_device()).then_some(service_ns);
            this.leave_device(session, slot, &volume, context, &operation, took_ns);
            if this.arena.completed(context, service_ns) {
                this.close_context(context);
            }
            if operation.kind.writes() {
                this.check_quiet(Some(session), index);
            }
            if operation.kind.is_passed() {
                this.tell_others(session, slot, &volume);
            }
            if operation.kind == Kind::WriteStable && may_hide_lost_data(&volume, result) {
                this.set_fault(&volume, operation.kind, -result);
            }
            let job = session.job(slot);
            if job.dead {
                return this.reap(session, index, slot);
            }
            if operation.kind.is_passed() {
                // Its program knows how it went.
                this.proceed(session, index, slot, Input::Done);
                return this.feed(session, index, &[]);
            }
            let rest_bytes = std::mem::take(&mut job.rest_bytes);
            let length_bytes = operation.length_bytes + rest_bytes;
            match remainder(&Operation { length_bytes, ..operation }, result) {
                Err(errno) => {
                    let input = Input::Failed(operation.kind, errno);
                    this.proceed(session, index, slot, input);
                }
                Ok(Some(rest)) => {
                    job.operation = Some(rest);
                    this.enqueue(session, index, slot);
                }
                Ok(None) => this.proceed(session, index, slot, Input::Done),
            }
            this.feed(session, index, &[]);
        });
    }
}
