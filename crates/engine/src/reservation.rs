//! Whether a reservation stands in a command's way.
//!
//! What reservations there are, and which commands make and end them, the control plane knows
//! (`fairlead.scsi.reservations`). Here is what that comes to for everybody else: one rule for each
//! unit. Spec: SPC-4 r37 §5.13, SPC-2 (RESERVE and RELEASE).

use fairlead_proto::scsi::table::Access;
use std::sync::RwLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// What a reservation permits, and whom it does not concern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Everybody may do what needs no more than this.
    pub permits: Access,
    /// TSIHs of the sessions that may do everything; a session's number is known too late, when
    /// its commands may be there already.
    pub nexuses: Vec<u16>,
    /// It is gone with a logical unit reset and with the session of its holder: RESERVE.
    pub ends_with_session: bool,
}

impl Rule {
    /// Nobody has reserved the unit.
    pub const OPEN: Self =
        Self { permits: Access::Everything, nexuses: Vec::new(), ends_with_session: false };
}

/// The rule of a unit, for all submitters. Units of one volume are one to SCSI, and share it.
#[derive(Debug)]
pub struct Reservation {
    /// Read for every command; nothing else is, while there is no reservation.
    is_held: AtomicBool,
    rule: RwLock<Rule>,
}

impl Default for Reservation {
    fn default() -> Self {
        Self { is_held: AtomicBool::new(false), rule: RwLock::new(Rule::OPEN) }
    }
}

impl Reservation {
    /// From the return on every command whose turn comes is checked against this rule.
    pub fn set(&self, rule: Rule) {
        let mut held = self.rule.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        let is_held = rule.permits < Access::Everything;
        *held = rule;
        // Under the lock, so that two who set rules leave what belongs together. The answer that
        // tells of the rule is sent afterwards: who hears of it finds it.
        self.is_held.store(is_held, Ordering::SeqCst);
    }

    /// Somebody has reserved the unit.
    pub fn is_held(&self) -> bool {
        self.is_held.load(Ordering::Relaxed)
    }

    /// The unit is reset, or (`nexus`) a session has ended: drops what does not outlive that.
    pub fn lapse(&self, nexus: Option<u16>) {
        if !self.is_held() {
            return;
        }
        let mut held = self.rule.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        if held.ends_with_session && nexus.is_none_or(|nexus| held.nexuses == [nexus]) {
            *held = Rule::OPEN;
            self.is_held.store(false, Ordering::SeqCst);
        }
    }
}

/// A command that needs this much ends with RESERVATION CONFLICT where it comes from this nexus.
pub fn conflicts(reservation: &Reservation, nexus: u16, needs: Access) -> bool {
    let rule = reservation.rule.read().unwrap_or_else(|poisoned| poisoned.into_inner());
    needs > rule.permits && !rule.nexuses.contains(&nexus)
}

#[cfg(test)]
mod tests {
    use super::{Access, Reservation, Rule, conflicts};

    const ALL: [Access; 4] = [Access::Nothing, Access::Status, Access::Read, Access::Everything];

    fn reserved(permits: Access, nexuses: &[u16], ends_with_session: bool) -> Reservation {
        let reservation = Reservation::default();
        reservation.set(Rule { permits, nexuses: nexuses.to_vec(), ends_with_session });
        reservation
    }

    #[test]
    fn nothing_conflicts_without_a_reservation() {
        let reservation = Reservation::default();
        assert!(!reservation.is_held());
        assert!(ALL.iter().all(|needs| !conflicts(&reservation, 7, *needs)));
    }

    #[test]
    fn others_may_do_what_is_permitted_and_no_more() {
        for permits in [Access::Nothing, Access::Status, Access::Read] {
            let reservation = reserved(permits, &[3, 7], false);
            assert!(reservation.is_held());
            for needs in ALL {
                assert_eq!(conflicts(&reservation, 5, needs), needs > permits, "{needs:?}");
                assert!(!conflicts(&reservation, 7, needs));
            }
        }
    }

    #[test]
    fn a_rule_is_replaced_whole() {
        let reservation = reserved(Access::Status, &[3], false);
        reservation.set(Rule { permits: Access::Read, nexuses: vec![5], ..Rule::OPEN });
        assert!(conflicts(&reservation, 3, Access::Everything));
        assert!(!conflicts(&reservation, 3, Access::Read));
        assert!(!conflicts(&reservation, 5, Access::Everything));
        reservation.set(Rule::OPEN);
        assert!(!reservation.is_held() && !conflicts(&reservation, 3, Access::Everything));
    }

    #[test]
    fn reserve_lapses_with_its_holder_and_by_a_reset_and_others_do_not() {
        for (ends_with_session, nexus, is_left) in [
            (true, Some(3), false),
            (true, Some(4), true),
            (true, None, false),
            (false, Some(3), true),
            (false, None, true),
        ] {
            let reservation = reserved(Access::Nothing, &[3], ends_with_session);
            reservation.lapse(nexus);
            assert_eq!(reservation.is_held(), is_left, "{ends_with_session} {nexus:?}");
            assert_eq!(conflicts(&reservation, 9, Access::Status), is_left);
        }
    }
}
