//! One command at a time, for the control plane: to find out what a device is before it is served.

use super::{Command, Direction, Link, Outcome, Watch, Whereabouts, open_link};
use crate::clock;
use fairlead_sched::Nanos;
use std::io;

/// A link for one command at a time; its calls wait.
pub struct Single {
    link: Box<dyn Link>,
    /// Of the last command.
    token: u64,
}

/// How long a command that has been given up may take until it is over.
const ABORT_PATIENCE: Nanos = 30 * clock::SECOND;

impl Single {
    /// Opens a device.
    ///
    /// # Errors
    /// See [`open_link`].
    pub fn open(at: &Whereabouts) -> io::Result<Self> {
        Ok(Self { link: open_link(at, 1)?, token: 0 })
    }

    /// Sends a command of 6 to 16 bytes that gives at most so much data, and waits for its end.
    ///
    /// # Errors
    /// `EINVAL`: the CDB is not of that length. `ETIMEDOUT`: it does not end, not even by abort; the
    /// device must not be used again.
    pub fn execute(
        &mut self,
        cdb: &[u8],
        data_in: &mut [u8],
        timeout_ns: Nanos,
    ) -> io::Result<Outcome> {
        let mut whole = [0; super::CDB_BYTES_MAX];
        let is_length = (6..=16).contains(&cdb.len());
        let place = whole.get_mut(..cdb.len()).filter(|_| is_length);
        place.ok_or_else(|| io::Error::from_raw_os_error(libc::EINVAL))?.copy_from_slice(cdb);
        let direction = if data_in.is_empty() { Direction::None } else { Direction::In };
        let command = Command {
            cdb: whole,
            cdb_bytes: u8::try_from(cdb.len()).unwrap_or(0),
            direction,
            address: data_in.as_mut_ptr(),
            length_bytes: u32::try_from(data_in.len()).unwrap_or(u32::MAX),
            timeout_ns,
        };
        let begun = clock::now();
        self.token += 1;
        if let Err(failure) = self.link.submit(self.token, &command, begun) {
            return Ok(Outcome::failed(failure));
        }
        let gives_up_at = begun.saturating_add(timeout_ns).saturating_add(ABORT_PATIENCE);
        let mut ended = None;
        while ended.is_none() {
            let now = clock::now();
            if self.link.trouble().is_some() {
                // It would be tried again; who asks wants to know now.
                self.link.abort(self.token, now);
            }
            if now > gives_up_at {
                // Its memory may still be written to.
                std::mem::forget(std::mem::replace(&mut self.link, Box::new(super::Closed)));
                return Err(io::Error::from_raw_os_error(libc::ETIMEDOUT));
            }
            let until = self.link.next_at().unwrap_or(gives_up_at).min(gives_up_at);
            self.wait(until.saturating_sub(now), &mut ended)?;
        }
        Ok(ended.expect("the loop ends with it"))
    }

    /// Why the device cannot be reached; see [`Link::trouble`].
    pub fn trouble(&self) -> Option<&str> {
        self.link.trouble()
    }

    fn wait(&mut self, patience: Nanos, ended: &mut Option<Outcome>) -> io::Result<()> {
        let mut watches: Vec<Watch> = Vec::new();
        self.link.watches(&mut watches);
        let poll = |watch: &Watch| libc::pollfd { fd: watch.fd, events: watch.events, revents: 0 };
        let mut polled: Vec<_> = watches.iter().map(poll).collect();
        let timeout = i32::try_from(patience.div_ceil(1_000_000)).unwrap_or(i32::MAX);
        let count = libc::nfds_t::try_from(polled.len()).unwrap_or(0);
        // SAFETY: an array of ours of that length.
        if unsafe { libc::poll(polled.as_mut_ptr(), count, timeout) } < 0 {
            let error = io::Error::last_os_error();
            return if error.kind() == io::ErrorKind::Interrupted { Ok(()) } else { Err(error) };
        }
        let now = clock::now();
        let own = self.token;
        let mut over = |token, outcome| {
            if token == own {
                *ended = Some(outcome);
            }
        };
        for told in polled.iter().filter(|told| told.revents != 0) {
            self.link.ready(told.fd, told.revents, now, &mut over);
        }
        if self.link.next_at().is_some_and(|at| at <= now) {
            self.link.tick(now, &mut over);
        }
        Ok(())
    }
}
