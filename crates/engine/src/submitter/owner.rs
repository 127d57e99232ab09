//! Devices that one submitter schedules for all.
//!
//! One scheduler has to see everybody who uses a device, and sessions of several submitters may. The
//! submitter with the first session on a device owns it: its queue is the one that counts. The others
//! ask it ([`Message::Ask`]), submit on their own ring when they are granted a request, and say when it
//! is done; data and buffers never move. A context that was alone on the device for a while gets a
//! lease: its submitter schedules for it without asking, until somebody else comes and the owner
//! recalls it ([`super::tenure`]). Whoever has a limit or a guarantee always asks: the owner counts.

use super::device::{DeviceQueue, Offered, place_of};
use super::{Submitter, Token, parts};
use crate::message::{Ask, Grant, Message};
use crate::operation::Operation;
use crate::session::{Place, Session};
use crate::volume::Volume;
use fairlead_proto::iscsi::task::{Answer, Slot};
use fairlead_proto::scsi::status;
use fairlead_sched::scheduler::Request;
use fairlead_sched::settings::Settings;
use fairlead_sched::{ContextId, Nanos};
use std::sync::Arc;

/// Above a token: which submitter it is of, plus one; 0: the owner's own.
const ASKER_SHIFT: u32 = 48;

fn asked_token(submitter: usize, token: Token) -> Token {
    token | (submitter as u64 + 1) << ASKER_SHIFT
}

impl Submitter {
    /// Asks the owner of the device for a request's turn.
    pub(super) fn ask(
        &mut self,
        session: &mut Session,
        slot: Slot,
        owner: usize,
        place: usize,
        token: Token,
    ) {
        let submitter = self.index;
        let job = session.job(slot);
        let (Some(context), Some(operation)) = (job.context, job.operation) else { return };
        job.place = Place::Asked;
        let ask = Ask { place, submitter, context, token, operation };
        self.shared.post(owner, Message::Ask(Box::new(ask)));
    }

    /// The owner: another submitter asks.
    pub(super) fn asked(&mut self, ask: &Ask) {
        let Ask { place, submitter, context, token, operation } = ask;
        let now = self.now;
        self.recall(*place, *submitter, *context);
        let Some(queue) = self.devices.get_mut(*place).and_then(Option::as_mut) else { return };
        let offered = queue.offer(*context, asked_token(*submitter, *token), operation, now);
        match offered {
            Offered::Submit { cost_ns } => {
                let is_shared = queue.is_shared();
                let leases = queue.tenure.lease(*submitter, *context, is_shared, now);
                let grant = Grant { cost_ns, at: now, is_shared, leases };
                self.shared.post(*submitter, Message::Granted { token: *token, grant });
            }
            Offered::Full => {
                self.shared.post(*submitter, Message::Refused { token: *token });
            }
            Offered::Queued => self.make_due(*place),
        }
    }

    /// The owner: the device is wanted by another than who has a lease.
    pub(super) fn recall(&mut self, place: usize, submitter: usize, context: ContextId) {
        let now = self.now;
        let queue = self.devices.get_mut(place).and_then(Option::as_mut);
        let Some(queue) = queue else { return };
        if let Some((lessee, lessee_context)) = queue.tenure.recall(submitter, context, now) {
            queue.meet(lessee_context, now);
            self.shared.post(lessee, Message::Recall { place });
        }
    }

    /// The owner: it is the turn of a request; true: it was another submitter's.
    pub(super) fn grant(&mut self, place: usize, request: &Request) -> bool {
        let token = request.token;
        let Some(submitter) = (token >> ASKER_SHIFT).checked_sub(1) else { return false };
        let (submitter, now) = (submitter as usize, self.now);
        let Some(queue) = self.devices.get_mut(place).and_then(Option::as_mut) else { return true };
        let (is_shared, cost_ns) = (queue.is_shared(), request.cost_ns);
        let leases = queue.tenure.lease(submitter, request.context, is_shared, now);
        let grant = Grant { cost_ns, at: now, is_shared, leases };
        let token = token & ((1 << ASKER_SHIFT) - 1);
        self.shared.post(submitter, Message::Granted { token, grant });
        true
    }

    /// It is the turn of a request that was asked for.
    pub(super) fn granted(&mut self, token: Token, grant: Grant) {
        let (index, slot) = parts(token);
        self.with_session(index, |this, session| {
            let Some(volume) = Self::volume_of(session, slot) else { return };
            let job = session.job(slot);
            let (Some(context), Some(operation)) = (job.context, job.operation) else { return };
            job.place = Place::Queued;
            job.granted_at = Some(grant.at);
            job.cost_ns = grant.cost_ns;
            if session.job(slot).dead {
                // Its context may have left, and a lease with it.
                this.leave_device(session, slot, &volume, context, &operation, None);
                session.job(slot).place = Place::Collecting;
                return this.reap(session, index, slot);
            }
            let tenure = &mut this.queue(&volume).tenure;
            tenure.is_shared = grant.is_shared;
            if grant.leases {
                tenure.leased = Some(context);
            }
            this.submit(session, index, slot);
        });
    }

    /// The owner's queue is full.
    pub(super) fn refused(&mut self, token: Token) {
        let (index, slot) = parts(token);
        self.with_session(index, |this, session| {
            session.job(slot).place = Place::Collecting;
            if session.job(slot).dead {
                return this.reap(session, index, slot);
            }
            let answer = Answer { status: status::TASK_SET_FULL, sense: None, cdb_bytes: 0 };
            this.finish(session, index, slot, answer);
        });
    }

    /// Takes back a request that was asked for; it stays pinned until the owner answers.
    pub(super) fn withdraw(&mut self, session: &mut Session, slot: Slot, token: Token) {
        let Some(volume) = Self::volume_of(session, slot) else { return };
        let Some(context) = session.job(slot).context else { return };
        let (owner, submitter) = (self.queue(&volume).tenure.owner, self.index);
        let place = place_of(&volume);
        self.shared.post(owner, Message::Withdraw { place, submitter, context, token });
    }

    /// The owner: another submitter takes a request back. If it was granted, that is the answer.
    pub(super) fn withdrawal(
        &mut self,
        place: usize,
        submitter: usize,
        context: ContextId,
        token: Token,
    ) {
        let now = self.now;
        let Some(queue) = self.devices.get_mut(place).and_then(Option::as_mut) else { return };
        if queue.remove(context, asked_token(submitter, token), now) {
            self.make_due(place);
            self.shared.post(submitter, Message::Withdrawn { token });
        }
    }

    /// A request was taken back before its turn.
    pub(super) fn withdrawn(&mut self, token: Token) {
        let (index, slot) = parts(token);
        self.with_session(index, |this, session| {
            session.job(slot).place = Place::Collecting;
            this.reap(session, index, slot);
        });
    }

    /// The owner: a request that it granted is over.
    pub(super) fn returned(
        &mut self,
        place: usize,
        context: ContextId,
        operation: &Operation,
        cost_ns: u64,
        took_ns: Option<Nanos>,
    ) {
        let now = self.now;
        let queue = self.devices.get_mut(place).and_then(Option::as_mut);
        let complete =
            |queue: &mut DeviceQueue| queue.complete(context, operation, cost_ns, took_ns, now);
        if queue.is_some_and(complete) {
            self.make_due(place);
        }
    }

    /// Somebody else wants the device: what waits here waits with the owner from now on.
    pub(super) fn recalled(&mut self, place: usize) {
        let Some(queue) = self.devices.get_mut(place).and_then(Option::as_mut) else { return };
        let owner = queue.tenure.owner;
        let Some(context) = queue.tenure.leased.take() else { return };
        for token in queue.take_all(context, self.now) {
            let (index, slot) = parts(token);
            self.with_session(index, |this, session| this.ask(session, slot, owner, place, token));
        }
    }

    /// The owner: a context has sessions at another submitter, and is due this.
    pub(super) fn joined(
        &mut self,
        volume: &Arc<Volume>,
        submitter: usize,
        context: ContextId,
        settings: Settings,
    ) {
        let now = self.now;
        let place = place_of(volume);
        let queue = self.queue(volume);
        queue.tenure.join(context, submitter, &settings);
        queue.set(context, settings, now);
        // Whoever has a lease has no limit; one that it gets now has to count.
        if queue.tenure.lessee == Some((submitter, context)) {
            queue.tenure.lessee = None;
            self.shared.post(submitter, Message::Recall { place });
        }
        self.make_due(place);
    }

    /// The owner: a context has no sessions there any more.
    pub(super) fn left(&mut self, place: usize, submitter: usize, context: ContextId) {
        if let Some(queue) = self.devices.get_mut(place).and_then(Option::as_mut) {
            queue.close(context, submitter);
        }
    }
}
