//! Messages to a submitter from other threads: a queue and an eventfd that wakes it.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SendError, Sender, channel};

/// An eventfd.
#[derive(Debug)]
pub struct Wakeup(OwnedFd);

impl Wakeup {
    /// A new one.
    ///
    /// # Errors
    /// No descriptor can be had.
    pub fn new() -> io::Result<Self> {
        // SAFETY: plain integers.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is new and nobody else has it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Makes it readable.
    pub fn signal(&self) {
        let one = 1_u64.to_ne_bytes();
        // SAFETY: a valid descriptor and eight bytes of ours. It cannot fail but by a full
        // counter, and then it is readable.
        unsafe { libc::write(self.0.as_raw_fd(), one.as_ptr().cast(), one.len()) };
    }

    /// Makes it unreadable.
    pub fn reset(&self) {
        let mut count = [0_u8; 8];
        // SAFETY: a valid descriptor and eight bytes of ours; non-blocking.
        unsafe { libc::read(self.0.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) };
    }

    /// The descriptor to wait on.
    pub fn descriptor(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// Where messages for a submitter go.
#[derive(Debug)]
pub struct Mailbox<T> {
    sender: Sender<T>,
    attended: AtomicBool,
    signalled: AtomicBool,
    wakeup: Wakeup,
}

impl<T> Mailbox<T> {
    /// A mailbox and its other end.
    ///
    /// # Errors
    /// No descriptor can be had.
    pub fn new() -> io::Result<(Self, Receiver<T>)> {
        let (sender, receiver) = channel();
        let wakeup = Wakeup::new()?;
        let (attended, signalled) = (AtomicBool::new(false), AtomicBool::new(false));
        Ok((Self { sender, attended, signalled, wakeup }, receiver))
    }

    /// From now on somebody reads it.
    pub fn set_attended(&self) {
        self.attended.store(true, Ordering::SeqCst);
    }

    /// Leaves a message.
    ///
    /// # Errors
    /// The message: the submitter has not started, or has stopped.
    pub fn post(&self, message: T) -> Result<(), T> {
        if !self.attended.load(Ordering::SeqCst) {
            return Err(message);
        }
        self.sender.send(message).map_err(|SendError(message)| message)?;
        if !self.signalled.swap(true, Ordering::SeqCst) {
            self.wakeup.signal();
        }
        Ok(())
    }

    /// The submitter is about to look.
    pub fn opened(&self) {
        // In this order: see `Blocking::take`. A message after the store signals again.
        self.wakeup.reset();
        self.signalled.store(false, Ordering::SeqCst);
    }

    /// The descriptor to wait on.
    pub fn descriptor(&self) -> RawFd {
        self.wakeup.descriptor()
    }
}

#[cfg(test)]
mod tests {
    use super::Mailbox;

    #[test]
    fn no_message_is_forgotten_when_posting_races_with_looking() {
        let (mailbox, messages) = Mailbox::new().expect("a descriptor");
        assert_eq!(mailbox.post(7), Err(7), "nobody reads it yet");
        mailbox.set_attended();
        std::thread::scope(|scope| {
            scope.spawn(|| (0..50_000).for_each(|number| mailbox.post(number).expect("attended")));
            let mut seen = 0;
            while seen < 50_000 {
                let fd = mailbox.descriptor();
                let mut poll = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
                // SAFETY: one pollfd of ours.
                let ready = unsafe { libc::poll(&mut poll, 1, 10_000) };
                assert_eq!(ready, 1, "a message was never signalled");
                mailbox.opened();
                while let Ok(number) = messages.try_recv() {
                    assert_eq!(number, seen);
                    seen += 1;
                }
            }
        });
    }
}
