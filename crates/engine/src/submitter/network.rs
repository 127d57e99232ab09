//! The wire: receiving, sending, and the beginning and end of sessions.

use super::{Submitter, token};
use crate::batch::Batch;
use crate::driver::Received;
use crate::session::{Adopt, Job, Place, Receive, Session};
use crate::shared::{Event, lock};
use fairlead_proto::iscsi::connection::Event as Wire;
use fairlead_proto::iscsi::outbox::{Frame, Payload};
use fairlead_proto::iscsi::task::Slot;
use fairlead_sched::Nanos;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Data segments with at least this much to come are received in place.
const IN_PLACE_BYTES: u32 = 16 * 1024;
/// Between two data segments received in place: a header, and not much of the next data.
const HEADER_RECEIVE_BYTES: u32 = 512;
/// Another session was heard within this time.
const COMPANY_NS: Nanos = 100_000_000;
/// Small receives in a row after which the stream of shared buffers is resumed.
const SMALL_RECEIVES: u32 = 8;

impl Session {
    /// Nothing of it is left with the kernel.
    pub(super) fn is_over(&self) -> bool {
        self.ending.is_some()
            && self.receive == Receive::Off
            && self.batch.is_none()
            && self.live == 0
    }
}

impl Submitter {
    pub(super) fn adopt(&mut self, adopt: Adopt) {
        for lun in &adopt.luns {
            self.arena.attach(lun.context, Arc::clone(&lun.accounts));
            // Looked up now and not when the session was announced: they may have changed since.
            let settings = lock(&self.shared.directory).settings(lun.context).unwrap_or_default();
            self.apply_settings(&lun.unit.volume, lun.context, settings);
        }
        let (mut session, unread) = Session::new(adopt, self.now);
        let index = self.free_sessions.pop().unwrap_or_else(|| {
            self.sessions.push(None);
            (self.sessions.len() - 1) as u32
        });
        self.by_id.insert(session.record.id, index);
        if self.stopping {
            self.end(&mut session, index, "the target stops");
        }
        if let Some(place) = self.sessions.get_mut(index as usize) {
            *place = Some(session);
        }
        self.with_session(index, |this, session| {
            this.feed(session, index, &unread);
            this.receive(session, index);
        });
    }

    pub(super) fn received(
        &mut self,
        index: u32,
        result: i32,
        buffer: Option<Received>,
        more: bool,
    ) {
        self.with_session(index, |this, session| {
            if let Some(buffer) = buffer {
                let bytes = this.driver.bytes(buffer);
                let length = bytes.len().min(result.max(0) as usize);
                // SAFETY: the driver keeps the buffer unchanged until it is given back, which
                // happens below, after the last use of the slice.
                let bytes = unsafe { std::slice::from_raw_parts(bytes.as_ptr(), length) };
                this.feed(session, index, bytes);
                this.driver.give_back(buffer);
            }
            if !more {
                session.receive = Receive::Off;
            }
            match result {
                0 => this.end(session, index, "the initiator closed the connection"),
                1.. => {}
                _ if result == -libc::ECANCELED || result == -libc::ENOBUFS => {}
                errno => this.end_by_errno(session, index, -errno),
            }
            this.receive(session, index);
        });
    }

    pub(super) fn received_exact(&mut self, index: u32, result: i32) {
        self.with_session(index, |this, session| {
            let Receive::Exact(slot, from) = std::mem::replace(&mut session.receive, Receive::Off)
            else {
                return;
            };
            session.heard = this.now;
            session.progress = this.now;
            session.job(slot).receiving = false;
            match result {
                0 => this.end(session, index, "the initiator closed the connection"),
                1.. => {
                    let (job, from) = (session.jobs.get(usize::from(slot)), from as usize);
                    let buffer = job.and_then(|job| job.buffer.as_ref());
                    let end = from + result as usize;
                    let bytes = buffer.and_then(|buffer| buffer.bytes().get(from..end));
                    session.wire.received_in_place(bytes.unwrap_or_default());
                    this.feed(session, index, &[]);
                }
                errno => this.end_by_errno(session, index, -errno),
            }
            this.reap(session, index, slot);
            this.receive(session, index);
        });
    }

    /// Hands received bytes to the protocol and does what comes of them.
    pub(super) fn feed(&mut self, session: &mut Session, index: u32, mut bytes: &[u8]) {
        if !bytes.is_empty() {
            session.heard = self.now;
            session.asked = None;
            if std::mem::replace(&mut self.heard_last, index) != index {
                self.company_until = self.now + COMPANY_NS;
            }
        }
        while session.ending.is_none() {
            let Some(event) = session.wire.poll(&mut bytes) else { break };
            match event {
                Wire::Command(slot) => self.begin(session, slot),
                Wire::Data { slot, offset_bytes, bytes } => {
                    session.progress = self.now;
                    let job = session.job(slot);
                    let from = offset_bytes.saturating_sub(job.buffer_start()) as usize;
                    let room = job.buffer.as_mut().map(|buffer| buffer.bytes_mut());
                    if let Some(room) = room.and_then(|r| r.get_mut(from..from + bytes.len())) {
                        room.copy_from_slice(bytes);
                    }
                }
                Wire::Execute(slot) => self.execute(session, index, slot),
                Wire::Request(request) => self.request(session, index, request),
                Wire::Rejected(reason) => self.note(session, reason),
                // The end of the session is told with its reason: one fault, one line.
                Wire::Broken(violation) => self.end(session, index, &violation.to_string()),
            }
        }
        self.mark(session, index);
    }

    /// Puts the session on the list of those with something to send.
    pub(super) fn mark(&mut self, session: &mut Session, index: u32) {
        if !session.dirty && session.batch.is_none() && !session.wire.is_quiet() {
            session.dirty = true;
            self.dirty.push(index);
        }
    }

    /// Tells what the peer did wrong, each kind of fault once in a session: the log is for people,
    /// and not the peer's to fill.
    pub(super) fn note(&self, session: &mut Session, reason: &'static str) {
        if session.noted.contains(&reason) {
            return;
        }
        session.noted.push(reason);
        let (session, peer) = (session.record.id, session.record.peer.clone());
        self.shared.events.tell(Event::ProtocolNote { session, peer, reason });
    }

    /// Receives on, in the way that suits what comes next.
    pub(super) fn receive(&mut self, session: &mut Session, index: u32) {
        let fd = session.socket.as_raw_fd();
        if session.ending.is_some() {
            return;
        }
        let due = session.wire.due().filter(|(_, _, bytes)| *bytes >= IN_PLACE_BYTES);
        match (session.receive, due) {
            (Receive::Stream, Some(_)) => {
                session.receive = Receive::Pausing;
                session.small_receives = 0;
                self.driver.pause(index, fd);
            }
            (Receive::Off, Some((slot, offset, bytes))) => {
                let job = session.job(slot);
                let from = offset.saturating_sub(job.buffer_start());
                if let Some(buffer) = &job.buffer {
                    let length = bytes.min(buffer.capacity() as u32 - from);
                    let address = buffer.address(from as usize);
                    job.receiving = true;
                    session.small_receives = 0;
                    session.receive = Receive::Exact(slot, from);
                    self.driver.receive_exact(index, fd, address, length);
                }
            }
            (Receive::Off, None) if session.small_receives < SMALL_RECEIVES => {
                session.small_receives += 1;
                session.receive = Receive::Once;
                self.driver.receive_once(index, fd, HEADER_RECEIVE_BYTES);
            }
            (Receive::Off, None) => {
                session.receive = Receive::Stream;
                self.driver.receive(index, fd);
            }
            (Receive::Stream | Receive::Pausing | Receive::Once | Receive::Exact(..), _) => {}
        }
    }

    /// Sends what is ready, in one message.
    pub(super) fn pump(&mut self, session: &mut Session, index: u32) {
        if session.batch.is_some() || session.ending.is_some() {
            return;
        }
        let mut batch = self.batches.pop().unwrap_or_else(Batch::new);
        let in_company = self.now < self.company_until;
        while !batch.is_full(in_company) {
            let jobs = &session.jobs;
            let lend = |slot: Slot, offset: u32, length: u32| data_of(jobs, slot, offset, length);
            let Some(frame) = session.wire.next_frame(lend) else { break };
            session.closes |= frame.closes;
            if let Payload::Task { slot, .. } = frame.payload {
                session.job(slot).frames_out += 1;
            }
            batch.push(frame);
        }
        if batch.frames.is_empty() {
            self.batches.push(batch);
            return;
        }
        let Batch { frames, vectors, bytes, .. } = &mut *batch;
        for frame in frames.iter() {
            for part in [frame.header(), payload_of(&session.jobs, frame), frame.tail()] {
                if !part.is_empty() {
                    let iov_base = part.as_ptr().cast_mut().cast();
                    vectors.push(libc::iovec { iov_base, iov_len: part.len() });
                    *bytes += part.len();
                }
            }
        }
        batch.aim();
        self.driver.send(index, session.socket.as_raw_fd(), &raw const batch.message);
        session.batch = Some(batch);
    }

    pub(super) fn sent(&mut self, index: u32, result: i32) {
        self.with_session(index, |this, session| {
            let Some(mut batch) = session.batch.take() else { return };
            session.progress = this.now;
            batch.sent = result.max(0) as usize;
            if result > 0 && batch.sent < batch.bytes && session.ending.is_none() {
                batch.aim();
                this.driver.send(index, session.socket.as_raw_fd(), &raw const batch.message);
                session.batch = Some(batch);
                return;
            }
            if result < 0 {
                this.end_by_errno(session, index, -result);
            }
            for frame in batch.clear() {
                this.frame_sent(session, index, &frame);
            }
            this.batches.push(batch);
            if session.closes && session.wire.is_quiet() {
                this.end(session, index, "logout");
            }
            this.feed(session, index, &[]);
        });
    }

    fn frame_sent(&mut self, session: &mut Session, index: u32, frame: &Frame) {
        if let Payload::Task { slot, offset_bytes, length_bytes } = frame.payload {
            let job = session.job(slot);
            job.frames_out -= 1;
            if job.dead {
                self.reap(session, index, slot);
            } else if job.piece_end == Some(offset_bytes + length_bytes) {
                job.piece_end = None;
                self.proceed(session, index, slot, crate::program::Input::Sent);
            }
        }
        if let Some(slot) = frame.ends {
            if !session.job(slot).dead {
                self.retire(session, slot);
            }
        }
    }

    // ---- the end --------------------------------------------------------------------------

    fn end_by_errno(&mut self, session: &mut Session, index: u32, errno: i32) {
        let reason = std::io::Error::from_raw_os_error(errno).to_string();
        self.end(session, index, &reason);
    }

    /// Ends a session: what is queued is taken back, what the kernel holds is waited for.
    pub(super) fn end(&mut self, session: &mut Session, index: u32, reason: &str) {
        if session.ending.is_some() {
            return;
        }
        session.ending = Some(reason.into());
        session.record.ending.store(true, Ordering::Relaxed);
        self.lose_nexus(session);
        for slot in 0..session.jobs.len() as Slot {
            self.abort(session, index, slot, None);
        }
        self.detach_contexts(session);
        let before = self.texts.len();
        self.texts.retain(|_, (owner, _)| *owner != index);
        let forgotten = before - self.texts.len();
        self.shared.upcalls.fetch_sub(forgotten, Ordering::Relaxed);
        // The socket's own requests end with it; the descriptor is closed when they have.
        // SAFETY: a valid descriptor and a plain integer.
        unsafe { libc::shutdown(session.socket.as_raw_fd(), libc::SHUT_RDWR) };
    }

    pub(super) fn bury(&mut self, index: u32, session: Session) {
        self.by_id.remove(&session.record.id);
        self.free_sessions.push(index);
        self.dirty.retain(|dirty| *dirty != index);
        for lun in &session.luns {
            self.shared.context_drained(lun.context);
        }
        lock(&self.shared.sessions).remove(&session.record.id);
        let (id, peer) = (session.record.id, session.record.peer.clone());
        let reason = session.ending.clone().unwrap_or_default();
        drop(session);
        self.shared.events.tell(Event::SessionEnded { session: id, reason, peer });
    }

    /// Frees a task's slot and buffer: its last frame is sent, or it is dead and nothing pins it.
    pub(super) fn retire(&mut self, session: &mut Session, slot: Slot) {
        let job = std::mem::replace(session.job(slot), Job::empty());
        if job.place == Place::Empty {
            return;
        }
        if let Some(buffer) = job.buffer {
            if let Some(context) = job.context {
                self.arena.hold(context, -(buffer.capacity() as i64));
            }
            self.pool.give_back(buffer);
            self.buffers_freed = true;
        }
        session.live -= 1;
        session.record.in_flight.subtract(1);
        session.wire.release(slot);
    }

    /// Frees a dead task once nobody outside holds anything of it.
    pub(super) fn reap(&mut self, session: &mut Session, index: u32, slot: Slot) {
        let job = session.job(slot);
        if !job.dead || job.is_pinned() {
            return;
        }
        let groups = std::mem::take(&mut job.abort_groups);
        if std::mem::replace(&mut job.holds_range, false) {
            self.release_range(session, slot, token(index, slot));
        }
        self.retire(session, slot);
        for group in groups {
            self.one_aborted_here(session, index, group);
        }
    }
}

impl Job {
    /// Offset in the command's data of the buffer's first byte.
    pub(super) fn buffer_start(&self) -> u32 {
        self.program.as_ref().map_or(0, |program| program.buffer_start())
    }

    /// Nanoseconds since the command came.
    pub(super) fn age(&self, now: Nanos) -> Nanos {
        now.saturating_sub(self.arrived)
    }
}

fn data_of(jobs: &[Job], slot: Slot, offset: u32, length: u32) -> &[u8] {
    let Some(job) = jobs.get(usize::from(slot)) else { return &[] };
    let from = offset.saturating_sub(job.buffer_start()) as usize;
    let bytes = job.buffer.as_ref().map(|buffer| buffer.bytes()).unwrap_or_default();
    bytes.get(from..from + length as usize).unwrap_or_default()
}

fn payload_of<'a>(jobs: &'a [Job], frame: &'a Frame) -> &'a [u8] {
    match frame.payload {
        Payload::Task { slot, offset_bytes, length_bytes } => {
            data_of(jobs, slot, offset_bytes, length_bytes)
        }
        _ => frame.own_payload(),
    }
}
