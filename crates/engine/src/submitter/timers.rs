//! What happens because time passes: asking silent initiators, reporting silent devices.

use super::Submitter;
use crate::clock;
use crate::session::{Place, Session};
use crate::shared::Event;
use fairlead_sched::Nanos;
use std::collections::{HashMap, HashSet};

/// Target Transfer Tag of our pings.
const PING: u32 = 0x5000_0001;

impl Submitter {
    pub(super) fn tick(&mut self) {
        for index in 0..self.sessions.len() as u32 {
            self.with_session(index, |this, session| this.keep_alive(session, index));
        }
        self.watch_devices();
        self.look_at_rings();
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

    /// Reports devices that do not answer, and those that answer again.
    fn watch_devices(&mut self) {
        let (now, stall_ns) = (self.now, self.shared.options.stall_ns);
        let unanswered = self.unanswered();
        let name = |device: u32| {
            self.shared.device(device).map(|device| device.name.clone()).unwrap_or_default()
        };
        let is_stalled = |found: &Unanswered| {
            found.oldest.is_some_and(|oldest| now.saturating_sub(oldest) >= stall_ns)
        };
        self.stalled.retain(|device| {
            let stalled = unanswered.get(device).is_some_and(is_stalled);
            if !stalled {
                self.shared.events.tell(Event::DeviceResumed { device: name(*device) });
            }
            stalled
        });
        for (device, found) in unanswered.iter().filter(|(_, found)| is_stalled(found)) {
            if self.stalled.insert(*device) {
                self.shared.events.tell(Event::DeviceStalled {
                    device: name(*device),
                    commands: found.commands,
                    clients: found.clients.len(),
                    age_ns: found.oldest.map_or(0, |oldest| now.saturating_sub(oldest)),
                });
            }
        }
    }

    /// What each device owes: everything queued or submitted, flushes too.
    fn unanswered(&self) -> HashMap<u32, Unanswered> {
        let mut devices: HashMap<u32, Unanswered> = HashMap::new();
        for session in self.sessions.iter().flatten().filter(|session| session.live > 0) {
            for job in session.jobs.iter() {
                if !matches!(job.place, Place::Submitted | Place::Queued | Place::Asked) {
                    continue;
                }
                let lun = job.lun.and_then(|lun| session.luns.get(lun));
                let Some(device) = lun.map(|lun| lun.unit.volume.device) else { continue };
                let found = devices.entry(device).or_default();
                found.commands += 1;
                found.clients.extend(job.context);
                if job.place == Place::Submitted {
                    let oldest = found.oldest.unwrap_or(job.since);
                    found.oldest = Some(oldest.min(job.since));
                }
            }
        }
        devices
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
