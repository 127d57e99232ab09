//! What happens because time passes: asking silent initiators, reporting silent devices.

use super::Submitter;
use crate::clock;
use crate::session::{Place, Session};
use crate::shared::{Event, lock};
use fairlead_sched::Nanos;
use fairlead_sched::scheduler::Scheduler;
use std::collections::HashSet;

/// Target Transfer Tag of our pings.
const PING: u32 = 0x5000_0001;

impl Submitter {
    pub(super) fn tick(&mut self) {
        for index in 0..self.sessions.len() as u32 {
            self.with_session(index, |this, session| this.keep_alive(session, index));
        }
        for place in 0..self.devices.len() {
            self.watch_device(place);
        }
    }

    fn keep_alive(&mut self, session: &mut Session, index: u32) {
        let (interval, timeout) =
            (self.shared.options.nop_interval_ns, self.shared.options.nop_timeout_ns);
        if session.ending.is_some() {
            return;
        }
        // Only while somebody waits for buffers: a slow peer is no nuisance as long as there is room.
        let moves = self.now.saturating_sub(session.progress) < timeout.max(clock::SECOND);
        if !self.wants_buffer.is_empty() && !moves && session.holds_idle_buffers() {
            return self.end(
                session,
                index,
                "it holds buffers that others wait for, and moves no data",
            );
        }
        if interval == 0 {
            return;
        }
        match session.asked {
            None if self.now.saturating_sub(session.heard) >= interval => {
                session.asked = Some(self.now);
                session.wire.ping(PING);
                self.mark(session, index);
            }
            Some(asked) if self.now.saturating_sub(asked) >= timeout => {
                self.end(session, index, "no sign of life from the initiator");
            }
            _ => {}
        }
    }

    fn watch_device(&mut self, place: usize) {
        let (now, stall_ns) = (self.now, self.shared.options.stall_ns);
        let Some(queue) = self.devices.get(place).and_then(Option::as_ref) else { return };
        let (device, reported, busy) = (queue.device, queue.reported, queue.fifo.in_flight() > 0);
        let unanswered = if busy { self.unanswered(device) } else { Unanswered::default() };
        let age_ns = unanswered.oldest.map_or(0, |since| now.saturating_sub(since));
        let is_stalled = age_ns >= stall_ns;
        let name = || lock(&self.shared.devices).get(device as usize).cloned().unwrap_or_default();
        let event = match (is_stalled, reported) {
            (true, None) => Event::DeviceStalled {
                device: name(),
                commands: unanswered.commands,
                clients: unanswered.clients.len(),
                age_ns,
            },
            (false, Some(_)) => Event::DeviceResumed { device: name() },
            _ => return,
        };
        self.shared.events.tell(event);
        if let Some(queue) = self.devices.get_mut(place).and_then(Option::as_mut) {
            queue.reported = is_stalled.then_some(now);
        }
    }

    fn unanswered(&self, device: u32) -> Unanswered {
        let mut found = Unanswered::default();
        for session in self.sessions.iter().flatten().filter(|session| session.live > 0) {
            for job in session.jobs.iter().filter(|job| job.place == Place::Submitted) {
                let lun = job.lun.and_then(|lun| session.luns.get(lun));
                if lun.is_some_and(|lun| lun.unit.volume.device == device) {
                    found.commands += 1;
                    found.clients.extend(job.context);
                    found.oldest =
                        Some(found.oldest.map_or(job.since, |oldest| oldest.min(job.since)));
                }
            }
        }
        found
    }
}

impl Session {
    /// Buffers wait for the peer, not for a device.
    fn holds_idle_buffers(&self) -> bool {
        self.jobs.iter().any(|job| {
            job.buffer.is_some() && matches!(job.place, Place::Collecting | Place::Sending)
        })
    }
}

#[derive(Default)]
struct Unanswered {
    commands: usize,
    clients: HashSet<fairlead_sched::ContextId>,
    oldest: Option<Nanos>,
}
