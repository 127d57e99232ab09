//! io_uring: sockets and files of one submitter on one ring.

use super::blocking::Blocking;
use super::rings::Rings;
use super::{Completion, Driver, FileRequest, Received, Steer};
use crate::kernel::{Producer, priority};
use crate::operation::Kind;
use io_uring::types::{BufRingEntry, CancelBuilder, Fd, FsyncFlags, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue};
use std::io;
use std::os::fd::RawFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

const ENTRIES: u32 = 1024;
/// Shared receive buffers: a burst of 4 KiB writes at depth 128 fits.
const BUFFERS: u16 = 256;
const BUFFER_BYTES: usize = 16 * 1024;
const BUFFER_GROUP: u16 = 0;
/// Kernel threads for requests that block after all, e.g. reads that miss the page cache on file
/// systems without asynchronous buffered reads: bounded, and one device's window is half of them.
const KERNEL_WORKERS: u32 = 64;
const DIRECT_WINDOW: usize = 256;

const RWF_DSYNC: i32 = 0x2;

/// Kinds of completion, in the upper byte of the user data.
mod tag {
    pub(super) const RECEIVE: u64 = 1 << 56;
    pub(super) const EXACT: u64 = 2 << 56;
    pub(super) const SEND: u64 = 3 << 56;
    pub(super) const FILE: u64 = 4 << 56;
    pub(super) const WAKE: u64 = 5 << 56;
    pub(super) const CANCEL: u64 = 6 << 56;
    pub(super) const BLOCKING: u64 = 7 << 56;
    pub(super) const RING: u64 = 8 << 56;
    pub(super) const READY: u64 = 9 << 56;
    pub(super) const MASK: u64 = 0xFF << 56;
}

/// What the kernel offered when asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Features {
    /// IORING_SETUP_SINGLE_ISSUER and IORING_SETUP_DEFER_TASKRUN.
    pub defer_taskrun: bool,
}

/// The shared receive buffers: their memory and the ring that gives them to the kernel.
struct SharedBuffers {
    memory: Box<[u8]>,
    ring: NonNull<BufRingEntry>,
    ring_bytes: usize,
    tail: u16,
}

/// A ring and its shared buffers.
pub struct Uring {
    // Dropped first: the kernel lets go of the buffers with the ring.
    ring: IoUring,
    buffers: SharedBuffers,
    files: Blocking,
    rings: Rings,
    overflowed: Vec<squeue::Entry>,
}

impl Uring {
    /// A ring, not yet enabled. `wake_fd` is watched.
    ///
    /// # Errors
    /// io_uring is not to be had, or lacks what is needed.
    pub fn new(wake_fd: RawFd, name: &str) -> io::Result<(Self, Features)> {
        let (ring, features) = build()?;
        check_operations(&ring)?;
        let buffers = SharedBuffers::new()?;
        // SAFETY: the ring of entries is mapped, of this many entries, and outlives the IoUring
        // (fields are dropped in order).
        unsafe {
            ring.submitter().register_buf_ring_with_flags(
                buffers.ring.as_ptr() as u64,
                BUFFERS,
                BUFFER_GROUP,
                0,
            )
        }?;
        ring.submitter().register_iowq_max_workers(&mut [KERNEL_WORKERS, KERNEL_WORKERS])?;
        let files = Blocking::new(name)?;
        let mut uring =
            Self { ring, buffers, files, rings: Rings::default(), overflowed: Vec::new() };
        (0..BUFFERS).for_each(|id| uring.buffers.offer(id));
        uring.watch_own(wake_fd, tag::WAKE);
        uring.watch_own(uring.files.descriptor(), tag::BLOCKING);
        Ok((uring, features))
    }

    /// Enables the ring: from the thread that will use it.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn enable(&self) -> io::Result<()> {
        self.ring.submitter().register_enable_rings()
    }

    /// Watches an eventfd; the descriptor travels in the user data, to watch it again.
    fn watch_own(&mut self, fd: RawFd, tag: u64) {
        let watch = opcode::PollAdd::new(Fd(fd), libc::POLLIN as u32).multi(true);
        self.push(watch.build().user_data(tag | u64::from(fd.unsigned_abs())));
    }

    fn push(&mut self, entry: squeue::Entry) {
        // SAFETY: what an entry points to is kept alive by its maker until the completion, as the
        // Driver interface demands.
        let full = unsafe { self.ring.submission().push(&entry) }.is_err();
        if full {
            // EBUSY or EAGAIN: the kernel wants completions to be reaped first.
            let _ = self.ring.submit();
            // SAFETY: as above.
            let full = unsafe { self.ring.submission().push(&entry) }.is_err();
            if full {
                self.overflowed.push(entry);
            }
        }
    }
}

fn completion(entry: &cqueue::Entry) -> Option<Completion> {
    let (data, result) = (entry.user_data(), entry.result());
    let low = data & !tag::MASK;
    let connection = low as u32;
    Some(match data & tag::MASK {
        tag::RECEIVE => {
            let buffer = cqueue::buffer_select(entry.flags()).map(Received);
            let more = cqueue::more(entry.flags());
            Completion::Received { connection, result, buffer, more }
        }
        tag::EXACT => Completion::ReceivedExact { connection, result },
        tag::SEND => Completion::Sent { connection, result },
        tag::FILE => Completion::Io { token: low, result },
        tag::WAKE => Completion::Woken,
        // One that was ended tells nothing.
        tag::READY if result == -libc::ECANCELED => return None,
        tag::READY => {
            let events = i16::try_from(result).ok().filter(|events| *events >= 0);
            Completion::Ready { watch: connection, events: events.unwrap_or(libc::POLLERR) }
        }
        _ => return None,
    })
}

fn build() -> io::Result<(IoUring, Features)> {
    let mut builder = IoUring::builder();
    builder.dontfork().setup_cqsize(ENTRIES * 4).setup_clamp().setup_submit_all();
    // Completions that wait for the submitter to enter the kernel are told by a flag: without it a
    // wait of no time, which every busy submitter asks for, would bring none.
    builder.setup_taskrun_flag();
    let mut deferring = builder.clone();
    deferring.setup_r_disabled().setup_single_issuer().setup_defer_taskrun();
    match deferring.build(ENTRIES) {
        Ok(ring) => Ok((ring, Features { defer_taskrun: true })),
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            let ring = builder.setup_r_disabled().setup_coop_taskrun().build(ENTRIES)?;
            Ok((ring, Features { defer_taskrun: false }))
        }
        Err(error) => Err(error),
    }
}

/// Moves the thread that calls to a cgroup.
fn move_to(tasks: RawFd) {
    // SAFETY: a descriptor that the steward keeps open while a context has it, and one byte of ours.
    // Where it fails the request goes as everybody's.
    unsafe { libc::write(tasks, b"0".as_ptr().cast(), 1) };
}

fn check_operations(ring: &IoUring) -> io::Result<()> {
    let mut probe = io_uring::Probe::new();
    ring.submitter().register_probe(&mut probe)?;
    let needed = [
        ("RECV", opcode::Recv::CODE),
        ("SENDMSG", opcode::SendMsg::CODE),
        ("READ", opcode::Read::CODE),
        ("WRITE", opcode::Write::CODE),
        ("FSYNC", opcode::Fsync::CODE),
        ("FALLOCATE", opcode::Fallocate::CODE),
        ("FADVISE", opcode::Fadvise::CODE),
        ("POLL_ADD", opcode::PollAdd::CODE),
        ("ASYNC_CANCEL", opcode::AsyncCancel2::CODE),
        // The same kernel that brought SEND_ZC brought multishot receive.
        ("SEND_ZC", opcode::SendZc::CODE),
    ];
    match needed.iter().find(|(_, code)| !probe.is_supported(*code)) {
        None => Ok(()),
        Some((name, _)) => Err(io::Error::other(format!("the kernel's io_uring has no {name}"))),
    }
}

impl SharedBuffers {
    fn new() -> io::Result<Self> {
        let ring_bytes = usize::from(BUFFERS) * size_of::<BufRingEntry>();
        // SAFETY: an anonymous mapping at an address of the kernel's choice touches nothing of ours.
        let ring = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                ring_bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if ring == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let ring = NonNull::new(ring.cast()).ok_or_else(|| io::Error::other("mmap gave null"))?;
        let memory = vec![0; usize::from(BUFFERS) * BUFFER_BYTES].into_boxed_slice();
        Ok(Self { memory, ring, ring_bytes, tail: 0 })
    }

    fn offer(&mut self, id: u16) {
        let place = usize::from(self.tail & (BUFFERS - 1));
        let address = self.memory.as_ptr().wrapping_add(usize::from(id) * BUFFER_BYTES);
        // SAFETY: `place` is within the mapped ring, and only this thread writes entries.
        let entry = unsafe { &mut *self.ring.as_ptr().add(place) };
        entry.set_addr(address as u64);
        entry.set_len(BUFFER_BYTES as u32);
        entry.set_bid(id);
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: the ring is mapped and its first entry holds the tail.
        let tail = unsafe { BufRingEntry::tail(self.ring.as_ptr()) };
        // SAFETY: the tail is a u16 that the kernel only reads; Release publishes the entry.
        unsafe { &*tail.cast::<AtomicU16>() }.store(self.tail, Ordering::Release);
    }
}

impl Drop for SharedBuffers {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours and of this length; the IoUring is gone already.
        unsafe { libc::munmap(self.ring.as_ptr().cast(), self.ring_bytes) };
    }
}

fn file_entry(request: &FileRequest) -> squeue::Entry {
    let (fd, offset) = (Fd(request.fd), request.offset_bytes);
    let length = u32::try_from(request.length_bytes).unwrap_or(u32::MAX);
    // 0: that of the thread that enters.
    let ioprio = match request.steer {
        Steer::Priority(ioprio) => ioprio,
        _ => 0,
    };
    match request.kind {
        Kind::Read => {
            opcode::Read::new(fd, request.address, length).offset(offset).ioprio(ioprio).build()
        }
        Kind::Write => {
            opcode::Write::new(fd, request.address, length).offset(offset).ioprio(ioprio).build()
        }
        Kind::WriteStable => opcode::Write::new(fd, request.address, length)
            .offset(offset)
            .ioprio(ioprio)
            .rw_flags(RWF_DSYNC)
            .build(),
        Kind::Flush => opcode::Fsync::new(fd).flags(FsyncFlags::DATASYNC).build(),
        Kind::Discard => opcode::Fallocate::new(fd, request.length_bytes)
            .offset(offset)
            .mode(libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE)
            .build(),
        Kind::Zero => opcode::Fallocate::new(fd, request.length_bytes)
            .offset(offset)
            .mode(libc::FALLOC_FL_ZERO_RANGE | libc::FALLOC_FL_KEEP_SIZE)
            .build(),
        Kind::Prefetch => opcode::Fadvise::new(fd, i64::from(length), libc::POSIX_FADV_WILLNEED)
            .offset(offset)
            .build(),
        // Never for a file.
        Kind::Pass(_) => opcode::Nop::new().build(),
    }
}

impl Driver for Uring {
    fn receive(&mut self, connection: u32, fd: RawFd) {
        let entry = opcode::RecvMulti::new(Fd(fd), BUFFER_GROUP).build();
        self.push(entry.user_data(tag::RECEIVE | u64::from(connection)));
    }

    fn receive_once(&mut self, connection: u32, fd: RawFd, most_bytes: u32) {
        let most = most_bytes.min(BUFFER_BYTES as u32);
        let entry = opcode::Recv::new(Fd(fd), std::ptr::null_mut(), most)
            .buf_group(BUFFER_GROUP)
            .build()
            .flags(squeue::Flags::BUFFER_SELECT);
        self.push(entry.user_data(tag::RECEIVE | u64::from(connection)));
    }

    fn pause(&mut self, connection: u32, _fd: RawFd) {
        let what = CancelBuilder::user_data(tag::RECEIVE | u64::from(connection));
        self.push(opcode::AsyncCancel2::new(what).build().user_data(tag::CANCEL));
    }

    fn receive_exact(&mut self, connection: u32, fd: RawFd, address: *mut u8, length_bytes: u32) {
        let entry = opcode::Recv::new(Fd(fd), address, length_bytes).flags(libc::MSG_WAITALL);
        self.push(entry.build().user_data(tag::EXACT | u64::from(connection)));
    }

    fn send(&mut self, connection: u32, fd: RawFd, message: *const libc::msghdr) {
        let flags = (libc::MSG_NOSIGNAL | libc::MSG_WAITALL) as u32;
        let entry = opcode::SendMsg::new(Fd(fd), message).flags(flags);
        self.push(entry.build().user_data(tag::SEND | u64::from(connection)));
    }

    fn watch(&mut self, watch: u32, fd: RawFd, events: i16) {
        let entry = opcode::PollAdd::new(Fd(fd), u32::from(events.unsigned_abs())).build();
        self.push(entry.user_data(tag::READY | u64::from(watch)));
    }

    fn unwatch(&mut self, watch: u32, _fd: RawFd) {
        let what = CancelBuilder::user_data(tag::READY | u64::from(watch));
        self.push(opcode::AsyncCancel2::new(what).build().user_data(tag::CANCEL));
    }

    fn submit(&mut self, token: u64, request: FileRequest) {
        // io_uring would hand each of these to a kernel thread of its own, one by one: flushes and
        // deallocations always, and buffered writes because on most file systems it cannot tell
        // beforehand whether one will block. What cannot say "not now" would block this thread.
        if request.blocking.includes(request.kind) {
            return self.files.submit(token, request);
        }
        let entry = file_entry(&request).user_data(tag::FILE | token & !tag::MASK);
        match request.steer {
            Steer::None | Steer::Priority(_) => self.push(entry),
            Steer::Ring(index) => {
                // SAFETY: as for every entry: its maker keeps what it points to alive.
                if !unsafe { self.rings.push(index, entry.clone()) } {
                    self.push(entry);
                }
            }
            Steer::Move { there, back } => {
                // Not what others have written before.
                let _ = self.ring.submit();
                move_to(there);
                self.push(entry);
                let _ = self.ring.submit();
                move_to(back);
            }
            Steer::SetPriority(ioprio) => {
                let _ = self.ring.submit();
                // It fails for a class that we may not have: then as everybody's.
                let _ = priority::set(0, ioprio);
                self.push(entry);
                let _ = self.ring.submit();
                let _ = priority::set(0, 0);
            }
        }
    }

    fn wait(&mut self, patience: Duration, completions: &mut Vec<Completion>) -> io::Result<()> {
        for entry in std::mem::take(&mut self.overflowed) {
            self.push(entry);
        }
        self.files.start();
        let mut rings = std::mem::take(&mut self.rings);
        rings.publish(|fd, watch| {
            let entry = opcode::PollAdd::new(Fd(fd), libc::POLLIN as u32);
            self.push(entry.build().user_data(tag::RING | watch));
        });
        self.rings = rings;
        let want = usize::from(!patience.is_zero());
        let timeout = Timespec::from(patience);
        let args = SubmitArgs::new().timespec(&timeout);
        match self.ring.submitter().submit_with_args(want, &args) {
            Ok(_) => {}
            Err(error) => match error.raw_os_error() {
                Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN) => {}
                _ => return Err(error),
            },
        }
        loop {
            let Some(entry) = self.ring.completion().next() else { break };
            let (data, kind) = (entry.user_data(), entry.user_data() & tag::MASK);
            if matches!(kind, tag::WAKE | tag::BLOCKING) && !cqueue::more(entry.flags()) {
                self.watch_own((data & !tag::MASK) as RawFd, kind);
            }
            if kind == tag::RING {
                self.rings.woken(data & !tag::MASK);
            } else if kind == tag::BLOCKING {
                self.files.take(|token, result| completions.push(Completion::Io { token, result }));
            } else {
                completions.extend(completion(&entry));
            }
        }
        self.rings.reap(|data, result| {
            completions.push(Completion::Io { token: data & !tag::MASK, result });
        });
        Ok(())
    }

    fn bytes(&self, buffer: Received) -> &[u8] {
        let start = usize::from(buffer.0) * BUFFER_BYTES;
        self.buffers.memory.get(start..start + BUFFER_BYTES).unwrap_or_default()
    }

    fn give_back(&mut self, buffer: Received) {
        self.buffers.offer(buffer.0);
    }

    fn device_window(&self, may_block: bool) -> usize {
        if may_block { KERNEL_WORKERS as usize / 2 } else { DIRECT_WINDOW }
    }

    fn open_ring(&mut self, index: u32, ring: Producer) {
        self.rings.open(index, ring);
    }

    fn close_ring(&mut self, index: u32) {
        if let Some(watch) = self.rings.close(index) {
            let what = CancelBuilder::user_data(tag::RING | watch);
            self.push(opcode::AsyncCancel2::new(what).build().user_data(tag::CANCEL));
        }
    }

    fn is_ring_idle(&self, index: u32) -> bool {
        self.rings.is_idle(index)
    }

    fn rings_not_entered(&self) -> Vec<u32> {
        self.rings.not_entered().collect()
    }

    fn enter_for_the_dead(&mut self, index: u32) {
        self.rings.enter_for_the_dead(index);
    }
}
