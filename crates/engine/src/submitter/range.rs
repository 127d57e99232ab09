//! Locked ranges: who waits for one, and who waits until writes to it have ended.

use super::{Submitter, Token, parts, token};
use crate::message::Message;
use crate::program::Input;
use crate::session::{Place, Session};
use crate::volume::{Acquired, Owner};
use fairlead_proto::iscsi::task::Slot;

/// Somebody wants to know when no write to a range is in flight here.
#[derive(Debug, Clone, Copy)]
pub(super) struct Quiet {
    pub(super) volume: u32,
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) submitter: usize,
    pub(super) token: Token,
}

impl Submitter {
    /// Locks the task's range, or waits for it.
    pub(super) fn lock_range(&mut self, session: &mut Session, index: u32, slot: Slot) {
        let token = token(index, slot);
        let job = session.job(slot);
        let (Some((start, length)), Some(lun)) = (job.range, job.lun) else { return };
        let Some(volume) = session.luns.get(lun).map(|lun| &lun.unit.volume) else { return };
        let (id, end) = (volume.id, start + length);
        let acquired = volume.locks.acquire(start, end, Owner { submitter: self.index, token });
        let job = session.job(slot);
        if acquired == Acquired::NotNow {
            job.place = Place::WantsRange;
            self.wants_range.push(token);
            return;
        }
        job.holds_range = true;
        job.place = Place::Quiescing;
        job.quiesce_left = 1;
        for submitter in 0..self.shared.mailboxes.len() {
            let me = self.index;
            let message = Message::Quiesce { volume: id, start, end, submitter: me, token };
            if submitter != me && self.shared.post(submitter, message) {
                session.job(slot).quiesce_left += 1;
            }
        }
        let quiet = Quiet { volume: id, start, end, submitter: self.index, token };
        self.quiet.push(quiet);
        self.check_quiet(Some(session), index);
    }

    pub(super) fn quiesce(&mut self, quiet: Quiet) {
        self.quiet.push(quiet);
        self.check_quiet(None, 0);
    }

    /// Answers those who wait for writes that have ended. `lent`: the session out of the table.
    pub(super) fn check_quiet(&mut self, lent: Option<&mut Session>, lent_index: u32) {
        if self.quiet.is_empty() {
            return;
        }
        let mut lent = lent;
        for quiet in std::mem::take(&mut self.quiet) {
            let here = lent.as_deref().is_some_and(|session| writes_to(session, &quiet));
            if here || self.sessions.iter().flatten().any(|session| writes_to(session, &quiet)) {
                self.quiet.push(quiet);
            } else if quiet.submitter != self.index {
                self.shared.post(quiet.submitter, Message::Quiesced(quiet.token));
            } else {
                match lent.as_deref_mut() {
                    Some(session) if parts(quiet.token).0 == lent_index => {
                        self.quiet_for(session, lent_index, parts(quiet.token).1);
                    }
                    _ => self.quiesced(quiet.token),
                }
            }
        }
    }

    /// A submitter has no write to the task's range in flight.
    pub(super) fn quiesced(&mut self, token: Token) {
        let (index, slot) = parts(token);
        self.with_session(index, |this, session| this.quiet_for(session, index, slot));
    }

    fn quiet_for(&mut self, session: &mut Session, index: u32, slot: Slot) {
        let job = session.job(slot);
        if job.place != Place::Quiescing {
            return;
        }
        job.quiesce_left -= 1;
        if job.quiesce_left > 0 {
            return;
        }
        job.place = Place::Collecting;
        if job.dead {
            return self.reap(session, index, slot);
        }
        self.proceed(session, index, slot, Input::Locked);
    }

    /// Releases the task's range and tells those who may wait for it.
    pub(super) fn release_range(&mut self, session: &mut Session, slot: Slot, token: Token) {
        let lun = session.job(slot).lun.and_then(|lun| session.luns.get(lun));
        let Some(volume) = lun.map(|lun| &lun.unit.volume) else { return };
        if volume.locks.release(Owner { submitter: self.index, token }) {
            for submitter in 0..self.shared.mailboxes.len() {
                self.shared.post(submitter, Message::RangeReleased);
            }
        }
    }

    /// A range was released: everybody who waits tries again.
    pub(super) fn retry_ranges(&mut self) {
        for token in std::mem::take(&mut self.wants_range) {
            let (index, slot) = parts(token);
            self.with_session(index, |this, session| {
                let job = session.job(slot);
                if job.place != Place::WantsRange || job.dead {
                    return;
                }
                if job.operation.is_some() {
                    this.enqueue(session, index, slot);
                } else {
                    this.lock_range(session, index, slot);
                }
            });
        }
    }
}

fn writes_to(session: &Session, quiet: &Quiet) -> bool {
    session.live > 0
        && session.jobs.iter().any(|job| {
            let volume =
                job.lun.and_then(|lun| session.luns.get(lun)).map(|lun| lun.unit.volume.id);
            job.place == Place::Submitted
                && !job.holds_range
                && volume == Some(quiet.volume)
                && job.operation.is_some_and(|operation| {
                    operation.kind.writes()
                        && operation.offset_bytes < quiet.end
                        && quiet.start < operation.offset_bytes + operation.length_bytes
                })
        })
}
