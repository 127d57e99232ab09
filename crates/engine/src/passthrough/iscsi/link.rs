//! A link's session: how it comes, and how it goes.

use super::address::{Address, in_numbers, numeric};
use super::library::{self, Library};
use super::session::{Mail, Session, Told};
use super::slots::{Slots, Stage};
use super::{Isid, OpenError};
use crate::clock::SECOND;
use crate::passthrough::{Failure, Outcome};
use fairlead_sched::Nanos;
use std::ffi::CString;

/// Commands out or waiting on a link. Targets commonly take 32 to 128 of a session; what is beyond a
/// target's window waits in libiscsi.
const COMMANDS_MAX: u32 = 128;
/// For connection and login together: beyond any healthy target's, below initiators' timeouts (30 s).
const LOGIN_NS: Nanos = 15 * SECOND;
/// Until the first attempt to reconnect; every failure doubles it.
const BACK_OFF_MIN_NS: Nanos = SECOND;
/// The longest pause between attempts.
const BACK_OFF_MAX_NS: Nanos = 5 * SECOND;
/// Redirections in a row: a target that sends in circles is given up.
const REDIRECTIONS_MAX: u8 = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// No session until then.
    Down(Nanos),
    /// One is being made until then.
    Coming(Nanos),
    /// There is one.
    Up,
}

/// A submitter's way to a LUN.
pub struct IscsiLink {
    // Before what its callbacks use.
    pub(super) session: Option<Session>,
    pub(super) slots: Slots,
    pub(super) mail: Mail,
    pub(super) library: &'static Library,
    address: Address,
    isid: Isid,
    pub(super) phase: Phase,
    back_off_ns: Nanos,
    /// Logins that went well.
    pub(super) sessions: u32,
    redirections: u8,
    /// The number of the last command that was sent.
    pub(super) sequence: u64,
    /// All commands up to this one have gone out.
    pub(super) written: u64,
    /// There are commands that are to be aborted as soon as they have gone out.
    pub(super) are_aborts_due: bool,
    /// The session is to be given up: libiscsi has.
    pub(super) is_lost: bool,
    trouble: String,
    /// Slots that are being looked at; kept, so that nothing is allocated.
    pub(super) looked_at: Vec<u32>,
}

// SAFETY: contexts and tasks have no thread of their own; all that points to them, and every clone of
// the reference counter, is in the link and goes with it. One thread uses it at a time.
unsafe impl Send for IscsiLink {}

impl IscsiLink {
    /// Begins to connect to the LUN at `url`, `iscsi://[user[%password]@]host[:port]/target-iqn/lun`.
    ///
    /// A host's name is looked up here and never again, which may wait for a name server; an address
    /// in numbers waits for nobody.
    ///
    /// # Errors
    /// There is no libiscsi, or no such address. What cannot be reached is no error: it is tried again.
    pub fn open(
        url: &str,
        initiator_name: &str,
        isid: Isid,
        now: Nanos,
    ) -> Result<Self, OpenError> {
        let library = library::library()?;
        let mut link = Self {
            session: None,
            slots: Slots::new(COMMANDS_MAX),
            mail: Mail::new(COMMANDS_MAX),
            library,
            address: Address::new(library, url, initiator_name)?,
            isid,
            phase: Phase::Down(now),
            back_off_ns: BACK_OFF_MIN_NS,
            redirections: 0,
            sessions: 0,
            sequence: 0,
            written: 0,
            are_aborts_due: false,
            is_lost: false,
            trouble: String::new(),
            looked_at: Vec::with_capacity(COMMANDS_MAX as usize),
        };
        link.connect_again(now);
        Ok(link)
    }

    /// Whether there is a session.
    pub fn is_up(&self) -> bool {
        self.phase == Phase::Up
    }

    /// Why there was none the last time, in libiscsi's words; empty after a login.
    pub fn last_trouble(&self) -> &str {
        &self.trouble
    }

    /// Tries the target's own address.
    pub(super) fn connect_again(&mut self, now: Nanos) {
        let portal = self.address.portal.clone();
        self.connect(&portal, now);
    }

    fn connect(&mut self, portal: &CString, now: Nanos) {
        let isid = (self.isid.random & 0xFF_FFFF, self.isid.qualifier);
        match Session::begin(self.library, &self.address, portal, isid, &self.mail) {
            Ok(session) => {
                self.session = Some(session);
                self.phase = Phase::Coming(now.saturating_add(LOGIN_NS));
            }
            Err(trouble) => self.lose(trouble, now),
        }
    }

    /// There is no session from now on: what is out ends, what waits goes on waiting.
    pub(super) fn lose(&mut self, trouble: String, now: Nanos) {
        self.session = None;
        self.mail.clear();
        self.is_lost = false;
        self.trouble = trouble;
        self.redirections = 0;
        self.phase = Phase::Down(now.saturating_add(self.back_off_ns));
        self.back_off_ns = (self.back_off_ns * 2).min(BACK_OFF_MAX_NS);
        let mut found = self.found_in(|stage| !matches!(stage, Stage::Free | Stage::Waiting));
        for index in found.drain(..) {
            let Some(slot) = self.slots.get(index) else { continue };
            slot.is_abort_out = false;
            match slot.stage {
                Stage::Ended => {}
                Stage::Told => self.slots.set_free(index),
                _ => {
                    // It may have been carried out or not: the initiator decides.
                    let failure = slot.given_up.unwrap_or(Failure::Aborted);
                    let outcome = slot.outcome.unwrap_or_else(|| Outcome::failed(failure));
                    self.slots.end(index, outcome);
                }
            }
        }
        self.looked_at = found;
    }

    /// The target does not want us, or does not say so: nobody waits for it any longer.
    pub(super) fn refuse(&mut self, trouble: String, now: Nanos) {
        self.lose(trouble, now);
        while let Some(index) = self.slots.next_waiting() {
            self.slots.end(index, Outcome::failed(Failure::Gone));
        }
    }

    /// The slots in such a stage; to be given back to `looked_at`.
    pub(super) fn found_in(&mut self, is_it: impl Fn(Stage) -> bool) -> Vec<u32> {
        let mut found = std::mem::take(&mut self.looked_at);
        found.clear();
        self.slots.in_stage(is_it, &mut found);
        found
    }

    /// Lets libiscsi read and write.
    pub(super) fn serve(&mut self, events: i16, now: Nanos) {
        let Some(session) = &self.session else { return };
        let goes_on = session.serve(events);
        if !self.hear(now) {
            return;
        }
        let Some(session) = &self.session else { return };
        if !goes_on || self.is_lost || (self.is_up() && !session.is_logged_in()) {
            return self.lose(session.trouble(), now);
        }
        // Commands go out in order: those that wait are among the last ones.
        self.written = self.written.max(self.sequence.saturating_sub(session.waiting_at_most()));
        self.send_aborts();
        self.settle();
    }

    /// Takes in what the callbacks have told; `false`: the session that they were of is gone.
    fn hear(&mut self, now: Nanos) -> bool {
        while let Some(told) = self.mail.take() {
            match told {
                Told::Connected(library::status::GOOD) => {
                    let session = self.session.as_ref();
                    self.is_lost |= !session.is_some_and(|session| session.log_in(&self.mail));
                }
                Told::Connected(_) => self.is_lost = true,
                Told::LoggedIn(library::status::GOOD) => self.come_up(),
                Told::LoggedIn(library::status::REDIRECT) => {
                    self.redirect(now);
                    return false;
                }
                Told::LoggedIn(_) => {
                    let trouble = self.session.as_ref().map_or_else(String::new, Session::trouble);
                    self.refuse(trouble, now);
                    return false;
                }
                Told::Over(index, status) => self.take_end(index, status),
                Told::Aborted(index, response) => self.take_abort(index, response),
            }
        }
        true
    }

    fn come_up(&mut self) {
        self.phase = Phase::Up;
        self.sessions = self.sessions.wrapping_add(1);
        self.back_off_ns = BACK_OFF_MIN_NS;
        self.redirections = 0;
        self.trouble.clear();
        while let Some(index) = self.slots.next_waiting() {
            if let Err(failure) = self.send(index) {
                self.slots.end(index, Outcome::failed(failure));
            }
        }
    }

    /// Spec: RFC 7143 §11.13.5, status class 1; TargetAddress, §13.8.
    fn redirect(&mut self, now: Nanos) {
        let Some(session) = self.session.take() else { return };
        let there = session.redirection();
        drop(session);
        self.mail.clear();
        self.redirections += 1;
        match there.to_str().ok().and_then(in_numbers) {
            Some(portal) if self.redirections <= REDIRECTIONS_MAX => {
                self.connect(&numeric(portal), now);
            }
            _ => self.refuse(format!("redirected to {}", there.to_string_lossy()), now),
        }
    }
}
