//! The command window: numbering and order of commands. Spec: RFC 7143 §4.2.2.1.

use std::collections::VecDeque;

/// `a` before `b` in serial number arithmetic (RFC 1982, 32 bits).
pub const fn precedes(a: u32, b: u32) -> bool {
    a != b && b.wrapping_sub(a) < 0x8000_0000
}

/// Where a CmdSN falls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// It is the expected one.
    Next,
    /// In the window, but others are missing before it.
    Early,
    /// Outside the window or there already: ignored silently, as the standard asks.
    Outside,
}

/// ExpCmdSN, MaxCmdSN, and what waits for a missing number.
#[derive(Debug)]
pub struct CommandWindow<T> {
    exp_cmd_sn: u32,
    max_cmd_sn: u32,
    early: VecDeque<(u32, T)>,
}

impl<T> CommandWindow<T> {
    /// A window of `depth` commands from `exp_cmd_sn` on.
    pub fn new(exp_cmd_sn: u32, depth: u16) -> Self {
        let max_cmd_sn = exp_cmd_sn.wrapping_add(u32::from(depth)).wrapping_sub(1);
        Self { exp_cmd_sn, max_cmd_sn, early: VecDeque::new() }
    }

    /// The next CmdSN expected.
    pub fn exp_cmd_sn(&self) -> u32 {
        self.exp_cmd_sn
    }

    /// The last CmdSN that the initiator may use.
    pub fn max_cmd_sn(&self) -> u32 {
        self.max_cmd_sn
    }

    /// True when the initiator may send nothing but immediate commands.
    pub fn is_closed(&self) -> bool {
        self.max_cmd_sn.wrapping_add(1) == self.exp_cmd_sn
    }

    /// Makes room for `free` more commands; the window never shrinks.
    pub fn open(&mut self, free: u16) {
        let max = self.exp_cmd_sn.wrapping_add(u32::from(free)).wrapping_sub(1);
        if precedes(self.max_cmd_sn, max) {
            self.max_cmd_sn = max;
        }
    }

    /// Where the CmdSN of a command that is not immediate falls.
    pub fn place(&self, cmd_sn: u32) -> Place {
        let places = self.max_cmd_sn.wrapping_sub(self.exp_cmd_sn).wrapping_add(1);
        match cmd_sn.wrapping_sub(self.exp_cmd_sn) {
            ahead if ahead >= places => Place::Outside,
            0 => Place::Next,
            _ if self.early.iter().any(|(sn, _)| *sn == cmd_sn) => Place::Outside,
            _ => Place::Early,
        }
    }

    /// As [`Self::place`]; the expected number counts as received from now on.
    pub fn arrive(&mut self, cmd_sn: u32) -> Place {
        let place = self.place(cmd_sn);
        if place == Place::Next {
            self.exp_cmd_sn = self.exp_cmd_sn.wrapping_add(1);
        }
        place
    }

    /// Keeps an early command; there are never more than the window has places.
    pub fn hold(&mut self, cmd_sn: u32, command: T) {
        self.early.push_back((cmd_sn, command));
    }

    /// Takes the held command whose turn has come.
    pub fn take_next(&mut self) -> Option<T> {
        let place = self.early.iter().position(|(sn, _)| *sn == self.exp_cmd_sn)?;
        self.exp_cmd_sn = self.exp_cmd_sn.wrapping_add(1);
        self.early.remove(place).map(|(_, command)| command)
    }

    /// What waits for a missing number.
    pub fn held(&self) -> impl Iterator<Item = &T> {
        self.early.iter().map(|(_, command)| command)
    }
}

#[cfg(test)]
mod tests {
    use super::{CommandWindow, Place, precedes};

    #[test]
    fn serial_numbers_wrap() {
        assert!(precedes(0xFFFF_FFFF, 0));
        assert!(!precedes(0, 0xFFFF_FFFF));
        assert!(!precedes(5, 5));
    }

    #[test]
    fn outside_the_window_is_ignored_on_both_sides() {
        let mut window = CommandWindow::<()>::new(0xFFFF_FFFE, 4);
        assert_eq!(window.max_cmd_sn(), 1);
        assert_eq!(window.arrive(0xFFFF_FFFD), Place::Outside);
        assert_eq!(window.arrive(2), Place::Outside);
        assert_eq!(window.arrive(0xFFFF_FFFE), Place::Next);
        assert_eq!(window.arrive(0xFFFF_FFFE), Place::Outside, "a duplicate");
    }

    #[test]
    fn a_number_half_way_round_is_outside_too() {
        let mut window = CommandWindow::<()>::new(10, 1);
        assert_eq!(window.place(10_u32.wrapping_add(0x8000_0000)), Place::Outside);
        assert_eq!(window.arrive(10), Place::Next);
        for ahead in [0, 1, 0x7FFF_FFFF, 0x8000_0000, 0x8000_0001, 0xFFFF_FFFF] {
            assert_eq!(window.place(11_u32.wrapping_add(ahead)), Place::Outside, "closed");
        }
    }

    #[test]
    fn looking_takes_nothing() {
        let window = CommandWindow::<()>::new(10, 4);
        assert_eq!((window.place(10), window.place(10)), (Place::Next, Place::Next));
        assert_eq!(window.exp_cmd_sn(), 10);
    }

    #[test]
    fn a_gap_holds_what_comes_after_it() {
        let mut window = CommandWindow::new(10, 8);
        assert_eq!(window.arrive(12), Place::Early);
        window.hold(12, "twelve");
        assert_eq!(window.arrive(12), Place::Outside, "held already");
        assert_eq!(window.arrive(11), Place::Early);
        window.hold(11, "eleven");
        assert_eq!(window.take_next(), None);
        assert_eq!(window.arrive(10), Place::Next);
        assert_eq!(window.take_next(), Some("eleven"));
        assert_eq!(window.take_next(), Some("twelve"));
        assert_eq!(window.exp_cmd_sn(), 13);
    }

    #[test]
    fn the_window_closes_and_never_shrinks() {
        let mut window = CommandWindow::<()>::new(1, 2);
        assert_eq!((window.arrive(1), window.arrive(2)), (Place::Next, Place::Next));
        assert!(window.is_closed());
        assert_eq!(window.arrive(3), Place::Outside);
        window.open(0);
        assert!(window.is_closed());
        window.open(2);
        assert_eq!(window.max_cmd_sn(), 4);
        window.open(1);
        assert_eq!(window.max_cmd_sn(), 4);
    }
}
