//! epoll for sockets and a bounded pool of threads for files: for where io_uring is refused.

use super::blocking::{Blocking, WORKERS};
use super::{Completion, Driver, FileRequest, Received};
use std::collections::HashMap;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

const BUFFERS: u16 = 64;
const BUFFER_BYTES: usize = 16 * 1024;
const WAKE: u64 = u64::MAX;
const WORK: u64 = u64::MAX - 1;
/// Beside the number of a watch that is not a connection's.
const READY: u64 = 1 << 32;
/// Receives of one connection in one round, so that none keeps the others waiting.
const RECEIVES_A_ROUND: usize = 4;

#[derive(Debug, Clone, Copy)]
enum Receive {
    Off,
    On,
    Once { most_bytes: u32 },
    Exact { address: *mut u8, length_bytes: u32, done_bytes: u32 },
}

#[derive(Debug)]
struct Socket {
    fd: RawFd,
    receive: Receive,
    send: Option<*const libc::msghdr>,
    watched: u32,
}

/// epoll and workers.
pub struct Threads {
    epoll: OwnedFd,
    sockets: HashMap<u32, Socket>,
    memory: Box<[u8]>,
    free: Vec<u16>,
    ready: Vec<Completion>,
    /// Connections that had more to read than one round allows, or that no buffer was free for.
    hungry: Vec<u32>,
    files: Blocking,
}

impl Threads {
    /// A driver; `wake_fd` is watched.
    ///
    /// # Errors
    /// No descriptor or thread can be had.
    pub fn new(wake_fd: RawFd, name: &str) -> io::Result<Self> {
        // SAFETY: plain integers.
        let epoll = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if epoll < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is new and nobody else has it.
        let epoll = unsafe { OwnedFd::from_raw_fd(epoll) };
        let mut driver = Self {
            epoll,
            sockets: HashMap::new(),
            memory: vec![0; usize::from(BUFFERS) * BUFFER_BYTES].into_boxed_slice(),
            free: (0..BUFFERS).collect(),
            ready: Vec::new(),
            hungry: Vec::new(),
            files: Blocking::new(name)?,
        };
        let work_fd = driver.files.descriptor();
        driver.control(libc::EPOLL_CTL_ADD, wake_fd, libc::EPOLLIN as u32, WAKE)?;
        driver.control(libc::EPOLL_CTL_ADD, work_fd, libc::EPOLLIN as u32, WORK)?;
        Ok(driver)
    }

    fn control(&mut self, action: i32, fd: RawFd, events: u32, data: u64) -> io::Result<()> {
        let mut event = libc::epoll_event { events, u64: data };
        // SAFETY: valid descriptors and an event of ours.
        let result = unsafe { libc::epoll_ctl(self.epoll.as_raw_fd(), action, fd, &mut event) };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    fn socket(&mut self, connection: u32, fd: RawFd) -> &mut Socket {
        let fresh = Socket { fd, receive: Receive::Off, send: None, watched: 0 };
        self.sockets.entry(connection).or_insert(fresh)
    }

    /// Watches for what the socket waits for, or for nothing.
    fn watch_socket(&mut self, connection: u32) {
        let Some(socket) = self.sockets.get(&connection) else { return };
        let reads = !matches!(socket.receive, Receive::Off);
        let wanted = if reads { libc::EPOLLIN as u32 } else { 0 }
            | if socket.send.is_some() { libc::EPOLLOUT as u32 } else { 0 };
        let (fd, watched) = (socket.fd, socket.watched);
        if wanted == watched {
            if wanted == 0 {
                // The next session of this number has another descriptor.
                self.sockets.remove(&connection);
            }
            return;
        }
        let action = match (watched, wanted) {
            (0, _) => libc::EPOLL_CTL_ADD,
            (_, 0) => libc::EPOLL_CTL_DEL,
            _ => libc::EPOLL_CTL_MOD,
        };
        // A descriptor that cannot be watched is broken; its next read or write says so.
        if self.control(action, fd, wanted, u64::from(connection)).is_err() {
            self.hungry.push(connection);
        }
        match wanted {
            0 => drop(self.sockets.remove(&connection)),
            _ => {
                if let Some(socket) = self.sockets.get_mut(&connection) {
                    socket.watched = wanted;
                }
            }
        }
    }

    fn readable(&mut self, connection: u32) {
        for _ in 0..RECEIVES_A_ROUND {
            let Some(socket) = self.sockets.get(&connection) else { return };
            let fd = socket.fd;
            match socket.receive {
                Receive::Off => return,
                Receive::Exact { address, length_bytes, done_bytes } => {
                    let left = (length_bytes - done_bytes) as usize;
                    let to = address.wrapping_add(done_bytes as usize);
                    let result = self.read(fd, to, left);
                    if result == -libc::EAGAIN {
                        return;
                    }
                    let done_bytes = done_bytes + u32::try_from(result).unwrap_or(0);
                    if result > 0 && done_bytes < length_bytes {
                        let receive = Receive::Exact { address, length_bytes, done_bytes };
                        self.socket(connection, fd).receive = receive;
                        continue;
                    }
                    let failed = result < 0 && done_bytes == 0;
                    let result =
                        if failed { result } else { i32::try_from(done_bytes).unwrap_or(i32::MAX) };
                    self.socket(connection, fd).receive = Receive::Off;
                    self.ready.push(Completion::ReceivedExact { connection, result });
                    return;
                }
                Receive::On | Receive::Once { .. } => {
                    let once = match socket.receive {
                        Receive::Once { most_bytes } => Some(most_bytes as usize),
                        _ => None,
                    };
                    let Some(id) = self.free.pop() else {
                        self.hungry.push(connection);
                        return;
                    };
                    let to = self.memory.as_mut_ptr().wrapping_add(usize::from(id) * BUFFER_BYTES);
                    let most = once.unwrap_or(BUFFER_BYTES).min(BUFFER_BYTES);
                    let result = self.read(fd, to, most);
                    let buffer = (result > 0).then_some(Received(id));
                    if buffer.is_none() {
                        self.free.push(id);
                    }
                    if result == -libc::EAGAIN {
                        return;
                    }
                    let more = once.is_none() && result > 0;
                    if !more {
                        self.socket(connection, fd).receive = Receive::Off;
                    }
                    self.ready.push(Completion::Received { connection, result, buffer, more });
                    if !more || (result.unsigned_abs() as usize) < most {
                        return;
                    }
                }
            }
        }
        self.hungry.push(connection);
    }

    fn read(&mut self, fd: RawFd, to: *mut u8, length: usize) -> i32 {
        // SAFETY: `to` is a shared buffer of ours or the caller's memory, for `length` bytes.
        let result = unsafe { libc::recv(fd, to.cast(), length, libc::MSG_DONTWAIT) };
        outcome(result)
    }

    fn writable(&mut self, connection: u32) {
        let Some(socket) = self.sockets.get_mut(&connection) else { return };
        let Some(message) = socket.send else { return };
        let fd = socket.fd;
        // SAFETY: the caller keeps the message and what it points to until the completion.
        let result = unsafe { libc::sendmsg(fd, message, libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT) };
        let result = outcome(result);
        if result == -libc::EAGAIN {
            return;
        }
        socket.send = None;
        self.ready.push(Completion::Sent { connection, result });
    }

    /// Waits to the nanosecond; epoll_wait knows milliseconds.
    fn wait_readable(&self, patience: Duration) -> io::Result<()> {
        let mut poll =
            libc::pollfd { fd: self.epoll.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        let timeout = libc::timespec {
            tv_sec: libc::time_t::try_from(patience.as_secs()).unwrap_or(libc::time_t::MAX),
            tv_nsec: patience.subsec_nanos().into(),
        };
        // SAFETY: one pollfd and a timespec of ours; no signal mask.
        let ready = unsafe { libc::ppoll(&mut poll, 1, &timeout, std::ptr::null()) };
        let error = io::Error::last_os_error();
        if ready >= 0 || error.kind() == io::ErrorKind::Interrupted { Ok(()) } else { Err(error) }
    }

    fn poll(&mut self, patience: Duration) -> io::Result<()> {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; 64];
        if !patience.is_zero() {
            self.wait_readable(patience)?;
        }
        // SAFETY: a valid descriptor and an array of ours of that length.
        let count = unsafe { libc::epoll_wait(self.epoll.as_raw_fd(), events.as_mut_ptr(), 64, 0) };
        if count < 0 {
            let error = io::Error::last_os_error();
            return if error.kind() == io::ErrorKind::Interrupted { Ok(()) } else { Err(error) };
        }
        for event in events.iter().take(count.unsigned_abs() as usize) {
            let (happened, data) = (event.events, event.u64);
            match data {
                WAKE => self.ready.push(Completion::Woken),
                WORK => self.collect(),
                data if data & READY != 0 => {
                    let watch = data as u32;
                    self.ready.push(Completion::Ready { watch, events: happened as i16 });
                }
                connection => {
                    let connection = connection as u32;
                    let broken = (libc::EPOLLERR | libc::EPOLLHUP) as u32;
                    if happened & (libc::EPOLLIN as u32 | broken) != 0 {
                        self.readable(connection);
                    }
                    if happened & (libc::EPOLLOUT as u32 | broken) != 0 {
                        self.writable(connection);
                    }
                    self.watch_socket(connection);
                }
            }
        }
        Ok(())
    }

    fn collect(&mut self) {
        let ready = &mut self.ready;
        self.files.take(|token, result| ready.push(Completion::Io { token, result }));
    }
}

fn outcome(result: isize) -> i32 {
    match i32::try_from(result) {
        Ok(result) if result >= 0 => result,
        _ => -io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO),
    }
}

impl Driver for Threads {
    fn receive(&mut self, connection: u32, fd: RawFd) {
        self.socket(connection, fd).receive = Receive::On;
        self.readable(connection);
        self.watch_socket(connection);
    }

    fn receive_once(&mut self, connection: u32, fd: RawFd, most_bytes: u32) {
        self.socket(connection, fd).receive = Receive::Once { most_bytes };
        self.readable(connection);
        self.watch_socket(connection);
    }

    fn pause(&mut self, connection: u32, fd: RawFd) {
        let socket = self.socket(connection, fd);
        if !matches!(socket.receive, Receive::Off) {
            socket.receive = Receive::Off;
            let result = -libc::ECANCELED;
            self.ready.push(Completion::Received { connection, result, buffer: None, more: false });
        }
        self.watch_socket(connection);
    }

    fn receive_exact(&mut self, connection: u32, fd: RawFd, address: *mut u8, length_bytes: u32) {
        let receive = Receive::Exact { address, length_bytes, done_bytes: 0 };
        self.socket(connection, fd).receive = receive;
        self.readable(connection);
        self.watch_socket(connection);
    }

    fn send(&mut self, connection: u32, fd: RawFd, message: *const libc::msghdr) {
        self.socket(connection, fd).send = Some(message);
        self.writable(connection);
        self.watch_socket(connection);
    }

    fn watch(&mut self, watch: u32, fd: RawFd, events: i16) {
        // epoll's events have the numbers of poll's.
        let events = u32::from(events.unsigned_abs()) | libc::EPOLLONESHOT as u32;
        let data = READY | u64::from(watch);
        // One that has told stays registered, without events.
        let watched = self
            .control(libc::EPOLL_CTL_MOD, fd, events, data)
            .or_else(|_| self.control(libc::EPOLL_CTL_ADD, fd, events, data));
        if watched.is_err() {
            self.ready.push(Completion::Ready { watch, events: libc::POLLERR });
        }
    }

    fn unwatch(&mut self, _watch: u32, _fd: RawFd) {
        // It tells at most once, and nobody asks for its number any more. The descriptor may be
        // somebody else's by now.
    }

    fn submit(&mut self, token: u64, request: FileRequest) {
        self.files.submit(token, request);
    }

    fn wait(&mut self, patience: Duration, completions: &mut Vec<Completion>) -> io::Result<()> {
        for connection in std::mem::take(&mut self.hungry) {
            self.readable(connection);
            self.watch_socket(connection);
        }
        self.files.start();
        let idle = self.ready.is_empty() && (self.hungry.is_empty() || self.free.is_empty());
        self.poll(if idle { patience } else { Duration::ZERO })?;
        completions.append(&mut self.ready);
        Ok(())
    }

    fn bytes(&self, buffer: Received) -> &[u8] {
        let start = usize::from(buffer.0) * BUFFER_BYTES;
        self.memory.get(start..start + BUFFER_BYTES).unwrap_or_default()
    }

    fn give_back(&mut self, buffer: Received) {
        self.free.push(buffer.0);
    }

    fn device_window(&self, may_block: bool) -> usize {
        // Every request holds a thread, whatever is behind it.
        let _ = may_block;
        WORKERS / 2
    }
}
