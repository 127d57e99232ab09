//! A bounded pool of threads for file requests that may block.
//!
//! Requests wait in lanes, one for each descriptor and class. A lane has a limit of threads of its
//! own: buffered writes to one file exclude each other in the kernel anyway and get one, which takes
//! several at a time. All lanes of a device together get half of the threads, so that a device which
//! does not answer leaves the other half to the rest.

use super::{FileRequest, Steer};
use crate::kernel::priority;
use crate::mailbox::Wakeup;
use crate::operation::Kind;
use crate::shared::lock;
use std::cell::Cell;
use std::collections::VecDeque;
use std::io;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::Thread;

/// Threads of one submitter. No device gets more than half.
pub(super) const WORKERS: usize = 16;
/// Requests that a thread takes from a lane at a time.
const BATCH: usize = 8;

/// What shares a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Read,
    Write,
    /// Flushes and deallocations: slow, and nobody's writes wait for them.
    Slow,
}

impl Class {
    fn of(kind: Kind) -> Self {
        match kind {
            Kind::Read | Kind::Prefetch => Self::Read,
            Kind::Write => Self::Write,
            Kind::WriteStable | Kind::Flush | Kind::Discard | Kind::Zero | Kind::Pass(_) => {
                Self::Slow
            }
        }
    }

    /// Threads that one lane may have, and requests each takes at a time.
    fn limits(self) -> (usize, usize) {
        match self {
            Self::Read => (WORKERS / 2 - 3, 1),
            Self::Write => (1, BATCH),
            Self::Slow => (2, 1),
        }
    }
}

struct Lane {
    fd: RawFd,
    class: Class,
    device: u32,
    queue: VecDeque<(u64, FileRequest)>,
    working: usize,
}

impl Lane {
    fn has_work_for_one_more(&self) -> bool {
        self.working < self.class.limits().0 && !self.queue.is_empty()
    }
}

#[derive(Default)]
struct Work {
    lanes: Vec<Lane>,
    next: usize,
    /// The last to become idle is the first to be woken: its cache is the warmest.
    idle: Vec<Thread>,
    stopping: bool,
}

impl Work {
    fn working_for(&self, device: u32) -> usize {
        self.lanes.iter().filter(|lane| lane.device == device).map(|lane| lane.working).sum()
    }
}

struct Inner {
    work: Mutex<Work>,
    finished: Mutex<Vec<(u64, i32)>>,
    signalled: AtomicBool,
    wakeup: Wakeup,
}

/// The pool. Requests are handed over in one go by [`Blocking::start`].
pub(super) struct Blocking {
    inner: Arc<Inner>,
    collected: Vec<(u64, FileRequest)>,
}

impl Blocking {
    /// Starts the threads.
    ///
    /// # Errors
    /// No descriptor or thread can be had.
    pub(super) fn new(name: &str) -> io::Result<Self> {
        let inner = Arc::new(Inner {
            work: Mutex::default(),
            finished: Mutex::default(),
            signalled: AtomicBool::new(false),
            wakeup: Wakeup::new()?,
        });
        for number in 0..WORKERS {
            let inner = Arc::clone(&inner);
            let thread = std::thread::Builder::new().name(format!("{name}-io{number}"));
            thread.stack_size(128 * 1024).spawn(move || inner.work_loop())?;
        }
        Ok(Self { inner, collected: Vec::new() })
    }

    /// Readable when [`Self::take`] has something.
    pub(super) fn descriptor(&self) -> RawFd {
        self.inner.wakeup.descriptor()
    }

    /// Takes a request; it begins with the next [`Self::start`].
    pub(super) fn submit(&mut self, token: u64, request: FileRequest) {
        self.collected.push((token, request));
    }

    /// Lets the threads have what was submitted. True if there was anything.
    pub(super) fn start(&mut self) -> bool {
        if self.collected.is_empty() {
            return false;
        }
        let mut work = lock(&self.inner.work);
        for (token, request) in self.collected.drain(..) {
            let class = Class::of(request.kind);
            let same = |lane: &Lane| lane.fd == request.fd && lane.class == class;
            match work.lanes.iter_mut().find(|lane| same(lane)) {
                Some(lane) => lane.queue.push_back((token, request)),
                None => {
                    let queue = VecDeque::from([(token, request)]);
                    let (fd, device) = (request.fd, request.device);
                    work.lanes.push(Lane { fd, class, device, queue, working: 0 });
                }
            }
        }
        let startable: usize = work
            .lanes
            .iter()
            .map(|lane| {
                let (threads, at_a_time) = lane.class.limits();
                lane.queue.len().div_ceil(at_a_time).min(threads.saturating_sub(lane.working))
            })
            .sum();
        let keep = work.idle.len().saturating_sub(startable);
        let wake = work.idle.split_off(keep);
        drop(work);
        wake.iter().for_each(Thread::unpark);
        true
    }

    /// Moves what is finished to `take`.
    pub(super) fn take(&self, mut take: impl FnMut(u64, i32)) {
        // In this order: what is finished after the store signals again, and what was finished
        // before it is taken below. The other way round a signal could be swallowed for good.
        self.inner.wakeup.reset();
        self.inner.signalled.store(false, Ordering::SeqCst);
        for (token, result) in lock(&self.inner.finished).drain(..) {
            take(token, result);
        }
    }
}

impl Drop for Blocking {
    fn drop(&mut self) {
        // Threads that a device keeps are left behind; they hold no memory of ours but its own.
        let mut work = lock(&self.inner.work);
        work.stopping = true;
        work.idle.iter().for_each(Thread::unpark);
    }
}

impl Inner {
    fn work_loop(&self) {
        let mut batch = Vec::with_capacity(BATCH);
        let mut results = Vec::with_capacity(BATCH);
        while let Some((fd, class)) = self.wait_for_work(&mut batch) {
            results.extend(batch.drain(..).map(|(token, request)| (token, carry_out(&request))));
            lock(&self.finished).append(&mut results);
            if !self.signalled.swap(true, Ordering::SeqCst) {
                self.wakeup.signal();
            }
            let mut work = lock(&self.work);
            if let Some(lane) = work.lanes.iter_mut().find(|l| l.fd == fd && l.class == class) {
                lane.working -= 1;
            }
            work.lanes.retain(|lane| lane.working > 0 || !lane.queue.is_empty());
        }
    }

    /// Fills `batch` from a lane, each lane in its turn; `None`: the pool is stopping.
    fn wait_for_work(&self, batch: &mut Vec<(u64, FileRequest)>) -> Option<(RawFd, Class)> {
        let me = std::thread::current().id();
        let mut work = lock(&self.work);
        loop {
            let count = work.lanes.len();
            let start = work.next;
            let place = (0..count).map(|step| (start + step) % count);
            let mut ready = place.filter(|place| {
                work.lanes.get(*place).is_some_and(|lane| {
                    lane.has_work_for_one_more() && work.working_for(lane.device) < WORKERS / 2
                })
            });
            if let Some(place) = ready.next() {
                work.next = place + 1;
                work.idle.retain(|idle| idle.id() != me);
                let lane = work.lanes.get_mut(place)?;
                let most = lane.class.limits().1.min(lane.queue.len());
                batch.extend(lane.queue.drain(..most));
                lane.working += 1;
                return Some((lane.fd, lane.class));
            }
            if work.stopping {
                return None;
            }
            // A thread that woke by itself is still on the list.
            if !work.idle.iter().any(|idle| idle.id() == me) {
                work.idle.push(std::thread::current());
            }
            drop(work);
            std::thread::park();
            work = lock(&self.work);
        }
    }
}

fn outcome(result: isize) -> i32 {
    match i32::try_from(result) {
        Ok(result) if result >= 0 => result,
        _ => -io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO),
    }
}

thread_local! {
    /// The priority that a thread of the pool has; 0: none of its own.
    static PRIORITY: Cell<u16> = const { Cell::new(0) };
}

/// Takes on the priority that a request is steered by.
fn take_on(steer: Steer) {
    let ioprio = match steer {
        Steer::Priority(ioprio) | Steer::SetPriority(ioprio) => ioprio,
        Steer::None | Steer::Ring(_) | Steer::Move { .. } => 0,
    };
    if PRIORITY.replace(ioprio) != ioprio {
        // It fails for a class that we may not have: then as before.
        let _ = priority::set(0, ioprio);
    }
}

fn carry_out(request: &FileRequest) -> i32 {
    take_on(request.steer);
    let Ok(offset) = libc::off_t::try_from(request.offset_bytes) else { return -libc::EINVAL };
    let Ok(length) = libc::off_t::try_from(request.length_bytes) else { return -libc::EINVAL };
    let vector = libc::iovec {
        iov_base: request.address.cast(),
        iov_len: usize::try_from(length).unwrap_or(0),
    };
    let keep = libc::FALLOC_FL_KEEP_SIZE;
    // SAFETY: the caller keeps the memory alive until the completion; descriptors outlive their
    // requests because the volume is kept by the session.
    let result = unsafe {
        match request.kind {
            Kind::Read => libc::preadv(request.fd, &vector, 1, offset),
            Kind::Write => libc::pwritev(request.fd, &vector, 1, offset),
            Kind::WriteStable => libc::pwritev2(request.fd, &vector, 1, offset, libc::RWF_DSYNC),
            Kind::Flush => libc::fdatasync(request.fd) as isize,
            Kind::Discard => {
                let mode = libc::FALLOC_FL_PUNCH_HOLE | keep;
                libc::fallocate(request.fd, mode, offset, length) as isize
            }
            Kind::Zero => {
                let mode = libc::FALLOC_FL_ZERO_RANGE | keep;
                libc::fallocate(request.fd, mode, offset, length) as isize
            }
            Kind::Prefetch => {
                // posix_fadvise returns its errno.
                let advice = libc::POSIX_FADV_WILLNEED;
                return -libc::posix_fadvise(request.fd, offset, length, advice);
            }
            // Never for a file.
            Kind::Pass(_) => return -libc::EOPNOTSUPP,
        }
    };
    outcome(result)
}

#[cfg(test)]
mod tests {
    use super::{Blocking, FileRequest, Steer};
    use crate::driver::MayBlock;
    use crate::operation::Kind;
    use std::io::{Read, Seek, SeekFrom};
    use std::os::fd::AsRawFd;

    fn wait_for(pool: &Blocking, count: usize) -> Vec<(u64, i32)> {
        let mut finished = Vec::new();
        while finished.len() < count {
            let mut poll = libc::pollfd { fd: pool.descriptor(), events: libc::POLLIN, revents: 0 };
            // SAFETY: one pollfd of ours.
            let ready = unsafe { libc::poll(&mut poll, 1, 10_000) };
            assert_eq!(ready, 1, "a completion was never signalled");
            pool.take(|token, result| finished.push((token, result)));
        }
        finished
    }

    #[test]
    fn many_writes_to_one_file_are_all_done_and_in_order() {
        let path = std::env::temp_dir().join(format!("fairlead-blocking-{}", std::process::id()));
        let mut file = std::fs::File::options()
            .create(true)
            .truncate(true)
            .read(true)
            .write(true)
            .open(&path)
            .expect("a file");
        std::fs::remove_file(&path).expect("the name is not needed");
        let mut data: Vec<[u8; 16]> = (0..100_u8).map(|mark| [mark; 16]).collect();
        let mut pool = Blocking::new("test").expect("threads");
        for (token, data) in (0_u64..).zip(&mut data) {
            pool.submit(
                token,
                FileRequest {
                    kind: Kind::Write,
                    fd: file.as_raw_fd(),
                    offset_bytes: 0,
                    length_bytes: 16,
                    address: data.as_mut_ptr(),
                    device: 0,
                    blocking: MayBlock::Everything,
                    steer: Steer::None,
                },
            );
        }
        assert!(pool.start() && !pool.start());
        let finished = wait_for(&pool, 100);
        assert!(finished.iter().all(|(_, result)| *result == 16));
        assert!(finished.iter().map(|(token, _)| *token).eq(0..100), "one thread, in order");
        let mut read = [0; 16];
        file.seek(SeekFrom::Start(0)).expect("seek");
        file.read_exact(&mut read).expect("read");
        assert_eq!(read, [99; 16]);
    }

    #[test]
    fn no_completion_is_forgotten_when_they_race_with_taking() {
        let mut pool = Blocking::new("test").expect("threads");
        let address = std::ptr::null_mut();
        for round in 0..20_000 {
            let request = FileRequest {
                kind: if round % 2 == 0 { Kind::Write } else { Kind::Flush },
                fd: -1,
                offset_bytes: 0,
                length_bytes: 0,
                address,
                device: 0,
                blocking: MayBlock::Everything,
                steer: Steer::None,
            };
            (0..3).for_each(|token| pool.submit(token, request));
            pool.start();
            assert_eq!(wait_for(&pool, 3).len(), 3);
        }
    }

    #[test]
    fn an_error_is_told_as_errno() {
        let mut pool = Blocking::new("test").expect("threads");
        let kind = Kind::Flush;
        let address = std::ptr::null_mut();
        pool.submit(
            7,
            FileRequest {
                kind,
                fd: -1,
                offset_bytes: 0,
                length_bytes: 0,
                address,
                device: 0,
                blocking: MayBlock::Everything,
                steer: Steer::None,
            },
        );
        pool.start();
        assert_eq!(wait_for(&pool, 1), [(7, -libc::EBADF)]);
    }
}
