//! How a submitter talks to the kernel: sockets and files behind one interface, two ways.
//!
//! [`uring`] for where io_uring is to be had, [`threads`] (epoll, and a bounded pool of threads for
//! files) for where it is refused. Both take requests and return [`Completion`]s; neither knows
//! what a session or a volume is.

mod blocking;
mod rings;
pub mod threads;
pub mod uring;

use crate::kernel::Producer;
use crate::operation::Kind;
use std::io;
use std::os::fd::RawFd;
use std::time::Duration;

/// A shared receive buffer that a completion has filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received(pub u16);

/// What came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completion {
    /// Bytes of a connection are in a shared buffer (`result` > 0), or its end (0), or an errno
    /// (< 0). Without `more` nothing is being received any longer.
    Received {
        /// Which connection.
        connection: u32,
        /// Bytes, or negative errno.
        result: i32,
        /// Where, when there are bytes.
        buffer: Option<Received>,
        /// The receive goes on by itself.
        more: bool,
    },
    /// A receive into the caller's memory is over: bytes or negative errno.
    ReceivedExact {
        /// Which connection.
        connection: u32,
        /// Bytes, or negative errno.
        result: i32,
    },
    /// A send is over: bytes or negative errno.
    Sent {
        /// Which connection.
        connection: u32,
        /// Bytes, or negative errno.
        result: i32,
    },
    /// A request to a file is over: bytes or negative errno.
    Io {
        /// As given to [`Driver::submit`].
        token: u64,
        /// Bytes, or negative errno.
        result: i32,
    },
    /// A watched descriptor has something, and is not watched any more.
    Ready {
        /// As given to [`Driver::watch`].
        watch: u32,
        /// What: `POLLIN`, `POLLOUT`, `POLLERR`...
        events: i16,
    },
    /// The mailbox has something.
    Woken,
}

/// Which requests to a file may block the thread that makes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MayBlock {
    /// None: direct I/O on a file that can say "not now".
    Nothing,
    /// Synchronous writes: the page cache takes writes or says "not now" (XFS, btrfs), and what
    /// makes them stable waits for the medium.
    StableWrites,
    /// Writes: the page cache of most file systems answers reads without blocking, and not writes.
    Writes,
    /// All: the file cannot say "not now" (FUSE, network file systems).
    Everything,
}

impl MayBlock {
    /// What reports call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::StableWrites => "stable writes",
            Self::Writes => "writes",
            Self::Everything => "everything",
        }
    }

    /// Whether this kind of request is among them. What moves no bytes always is: flushes and
    /// deallocations wait for the medium everywhere.
    pub fn includes(self, kind: Kind) -> bool {
        match self {
            Self::Nothing => !kind.moves_bytes(),
            Self::StableWrites => !matches!(kind, Kind::Read | Kind::Write),
            Self::Writes => kind != Kind::Read,
            Self::Everything => true,
        }
    }
}

/// How the kernel is told for whom a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Steer {
    /// Not at all: it is the submitter's.
    #[default]
    None,
    /// By its priority, in the kernel's encoding.
    Priority(u16),
    /// By the ring of the context with this index.
    Ring(u32),
    /// By the cgroup of the thread that submits: files to write "0" to.
    Move {
        /// The context's.
        there: RawFd,
        /// The submitter's own.
        back: RawFd,
    },
    /// By the priority of the thread that submits.
    SetPriority(u16),
}

/// A request to a file. The memory at `address` is the kernel's until the completion.
#[derive(Debug, Clone, Copy)]
pub struct FileRequest {
    /// What to do.
    pub kind: Kind,
    /// Where.
    pub fd: RawFd,
    /// First byte.
    pub offset_bytes: u64,
    /// How many.
    pub length_bytes: u64,
    /// Memory, for kinds that move bytes.
    pub address: *mut u8,
    /// Which device, so that none takes more than half of the threads.
    pub device: u32,
    /// What of it may block the thread that does it.
    pub blocking: MayBlock,
    /// For whom.
    pub steer: Steer,
}

// SAFETY: the address is a number to everybody but the kernel; who made the request keeps the
// memory alive until its completion.
unsafe impl Send for FileRequest {}

/// The interface of both drivers. One thread uses it.
///
/// Memory handed over by address (exact receives, sends, file requests) belongs to the kernel until
/// the completion; the caller keeps it alive and untouched.
pub trait Driver {
    /// Receives into shared buffers until told to pause.
    fn receive(&mut self, connection: u32, fd: RawFd);

    /// Receives once, at most `most_bytes`, into a shared buffer.
    fn receive_once(&mut self, connection: u32, fd: RawFd, most_bytes: u32);

    /// Ends [`Self::receive`]: a `Received` without `more` follows.
    fn pause(&mut self, connection: u32, fd: RawFd);

    /// Receives exactly `length_bytes` to `address` (fewer only at the end of the stream).
    fn receive_exact(&mut self, connection: u32, fd: RawFd, address: *mut u8, length_bytes: u32);

    /// Sends a message; it may send less than all.
    fn send(&mut self, connection: u32, fd: RawFd, message: *const libc::msghdr);

    /// Tells once when a descriptor has one of these events (`POLLIN`, `POLLOUT`) or is broken. No
    /// two watches that are not over have one number; a descriptor has one watch.
    fn watch(&mut self, watch: u32, fd: RawFd, events: i16);

    /// Ends a watch that has not told anything. What it would have told may still come.
    fn unwatch(&mut self, watch: u32, fd: RawFd);

    /// Asks for file I/O.
    fn submit(&mut self, token: u64, request: FileRequest);

    /// Submits what was asked for and waits for completions, at most `patience`.
    ///
    /// # Errors
    /// The driver itself is broken.
    fn wait(&mut self, patience: Duration, completions: &mut Vec<Completion>) -> io::Result<()>;

    /// The bytes of a shared buffer.
    fn bytes(&self, buffer: Received) -> &[u8];

    /// Lets the shared buffer be filled again.
    fn give_back(&mut self, buffer: Received);

    /// Requests that one device may have in flight.
    fn device_window(&self, may_block: bool) -> usize;

    /// A context has a ring from now on: [`Steer::Ring`]. A driver without rings drops it.
    fn open_ring(&mut self, index: u32, ring: Producer) {
        let _ = (index, ring);
    }

    /// It has none any more. Nothing may be in flight there.
    fn close_ring(&mut self, index: u32) {
        let _ = index;
    }

    /// There is a ring, and nothing is in flight on it.
    fn is_ring_idle(&self, index: u32) -> bool {
        let _ = index;
        false
    }

    /// Rings that have something which their keepers have not taken yet.
    fn rings_not_entered(&self) -> Vec<u32> {
        Vec::new()
    }

    /// The keeper of a ring is gone: what it has not taken goes all the same.
    fn enter_for_the_dead(&mut self, index: u32) {
        let _ = index;
    }
}
