//! Reservations, as far as a submitter has to do with them: who is turned away, what ends with a
//! nexus, and what a preemption aborts. Spec: SPC-4 r37 §5.13; SAM-5, I_T nexus loss.

use super::management::{AbortGroup, COMMANDS_CLEARED, Then};
use super::{Submitter, pass};
use crate::message::{Subject, Whom};
use crate::reservation::conflicts;
use crate::session::{Lun, Session};
use crate::shared::Event;
use fairlead_proto::iscsi::task::Slot;

impl Submitter {
    /// A command whose turn has come ends with RESERVATION CONFLICT.
    pub(super) fn is_reserved_for_others(&self, session: &mut Session, slot: Slot) -> bool {
        let lun = session.job(slot).lun;
        let Some(lun) = lun.and_then(|lun| session.luns.get(lun)) else { return false };
        let reservation = &lun.unit.reservation;
        reservation.is_held() && {
            let cdb = &session.wire.task(slot).cdb;
            let needs = match lun.unit.volume.passes_to() {
                Some(device) => pass::access(device, &self.tables.commands, cdb),
                None => self.tables.commands.access(cdb),
            };
            conflicts(reservation, session.record.tsih, needs)
        }
    }

    /// A session ends: so does what its nexus has reserved by RESERVE, before anybody can know.
    pub(super) fn lose_nexus(&self, session: &Session) {
        for lun in &session.luns {
            lun.unit.reservation.lapse(Some(session.record.tsih));
        }
        self.shared.events.tell(Event::NexusLost { session: session.record.id });
    }

    /// A unit of a session is reset.
    pub(super) fn reset_reservation(&self, session: &Session, lun: Option<usize>) {
        let Some(unit) = lun.and_then(|lun| session.luns.get(lun)).map(|lun| &lun.unit) else {
            return;
        };
        unit.reservation.lapse(None);
        self.shared.events.tell(Event::UnitReset { logical_unit: unit.id });
    }

    /// Raises a unit attention for the nexuses of these sessions that are here.
    pub(super) fn raise_attention(&mut self, about: Subject, whom: &Whom, asc: u16) {
        let is_about = |lun: &Lun| match about {
            Subject::Unit(unit) => lun.unit.id == unit,
            Subject::Volume(volume) => lun.unit.volume.id == volume,
        };
        for session in self.sessions.iter_mut().flatten() {
            if whom.includes(session.record.id) {
                let luns = session.luns.iter_mut().filter(|lun| is_about(lun));
                luns.for_each(|lun| lun.attentions.raise(asc));
            }
        }
    }

    /// Sends GOOD when the tasks of these sessions can no longer touch the medium. The other
    /// submitters answer in order, so that by then they have also done what was posted before.
    pub(super) fn answer_settled(&mut self, upcall: u64, volume: u32, whom: &Whom) {
        let group = self.number();
        self.aborts.insert(group, AbortGroup { left: 1, then: Then::AnswerUpcall(upcall) });
        self.abort_unit_of_those(volume, whom, COMMANDS_CLEARED, group, upcall);
        self.have_others_abort(volume, whom, COMMANDS_CLEARED, group);
        self.one_aborted(group);
    }
}
