//! The submitters: how many there are, when each starts, which one a session gets.

use crate::buffer::Pool;
use crate::driver::Driver;
use crate::driver::threads::Threads;
use crate::driver::uring::Uring;
use crate::mailbox::Mailbox;
use crate::message::Message;
use crate::session::Lun;
use crate::shared::{Options, Shared, Tables, lock};
use crate::submitter::{Discipline, Submitter};
use crate::volume::Volume;
use std::io;
use std::os::fd::RawFd;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Which driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DriverChoice {
    /// io_uring where it is to be had, threads otherwise.
    Auto,
    /// io_uring or nothing.
    Uring,
    /// Threads.
    Threads,
}

/// Who shares submitters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// Everybody: a small global pool. A session gets the submitter with the fewest; under fair
    /// scheduling all sessions of a device get the same, because one scheduler must see them all.
    Shared,
    /// Each backing device has its own; a session gets the one of its first unit's device.
    PerDevice,
    /// Each context has its own; a session gets the one of its first unit's context.
    PerContext,
}

/// Submitters that `PerDevice` and `PerContext` may start; beyond that they are shared again.
/// SCST, which had no limit, was seen with hundreds of thousands of threads.
pub const SUBMITTERS_MAX: usize = 64;

/// What runs.
#[derive(Debug, Clone)]
pub struct Report {
    /// `io_uring` or `threads`.
    pub driver: &'static str,
    /// Why it is not the preferred one, where it is not.
    pub driver_reason: Option<String>,
    /// Threads that submit: at most so many.
    pub submitters: usize,
    /// SINGLE_ISSUER and DEFER_TASKRUN are in use.
    pub defer_taskrun: bool,
}

/// The submitters of an engine.
#[derive(Debug)]
pub struct Crew {
    choice: DriverChoice,
    placement: Placement,
    shared: Arc<Shared>,
    tables: Tables,
    pool_bytes: usize,
    waiting: Mutex<Vec<Option<Receiver<Message>>>>,
    done: (Sender<io::Result<()>>, Mutex<Receiver<io::Result<()>>>),
    report: Report,
}

impl Crew {
    /// Starts the shared pool, or the first submitter of the others.
    ///
    /// # Errors
    /// The driver asked for is not to be had, or a thread or memory is not.
    pub fn start(
        choice: DriverChoice,
        submitters: usize,
        placement: Placement,
        tables: Tables,
        options: Options,
    ) -> io::Result<Self> {
        let (most, now) = match placement {
            Placement::Shared => (submitters.max(1), submitters.max(1)),
            Placement::PerDevice | Placement::PerContext => (SUBMITTERS_MAX, 1),
        };
        let ends = (0..most).map(|_| Mailbox::new()).collect::<io::Result<Vec<_>>>()?;
        let (mailboxes, receivers): (Vec<_>, Vec<_>) = ends.into_iter().unzip();
        let pool_bytes = options.memory_limit_bytes / most;
        let shared = Arc::new(Shared::new(options, mailboxes)?);
        let (sender, receiver) = channel();
        let mut crew = Self {
            choice,
            placement,
            shared,
            tables,
            pool_bytes,
            waiting: Mutex::new(receivers.into_iter().map(Some).collect()),
            done: (sender, Mutex::new(receiver)),
            report: Report {
                driver: "",
                driver_reason: None,
                submitters: most,
                defer_taskrun: false,
            },
        };
        for index in 0..now {
            if let Some(made) = crew.ensure(index)? {
                crew.report.driver = made.name;
                crew.report.driver_reason = made.reason;
                crew.report.defer_taskrun = made.defer_taskrun;
            }
        }
        Ok(crew)
    }

    /// What runs.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// What the submitters share.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// The tables that each submitter has a copy of.
    pub fn tables(&self) -> &Tables {
        &self.tables
    }

    /// The submitter for a session with these units, started if it was not.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn place(&self, luns: &[Lun]) -> io::Result<usize> {
        let most = self.report.submitters;
        let place = match (self.placement, luns.first()) {
            (Placement::PerDevice, Some(lun)) => lun.unit.volume.device as usize % most,
            (Placement::PerContext, Some(lun)) => lun.context.index as usize % most,
            (Placement::Shared, Some(lun)) if self.is_scheduled(&lun.unit.volume) => {
                let device = lun.unit.volume.device;
                *lock(&self.shared.owners).entry(device).or_insert_with(|| self.least_loaded())
            }
            (Placement::Shared, _) => self.least_loaded(),
            (_, None) => 0,
        };
        self.ensure(place)?;
        Ok(place)
    }

    /// One scheduler has to see everybody who uses this volume's device. What is answered from
    /// memory, the page cache too, is limited by the submitter, and each of them shares itself.
    fn is_scheduled(&self, volume: &Volume) -> bool {
        self.shared.options.discipline == Discipline::Fair && volume.is_direct()
    }

    fn least_loaded(&self) -> usize {
        let mut counts = vec![0_usize; self.report.submitters];
        for record in lock(&self.shared.sessions).values() {
            if let Some(count) = counts.get_mut(record.submitter) {
                *count += 1;
            }
        }
        (0..counts.len()).min_by_key(|place| counts.get(*place).copied()).unwrap_or(0)
    }

    /// Starts a submitter; `None`: it runs already.
    fn ensure(&self, index: usize) -> io::Result<Option<Started>> {
        let mut waiting = lock(&self.waiting);
        let Some(messages) = waiting.get_mut(index).and_then(Option::take) else {
            return Ok(None);
        };
        let (shared, tables) = (Arc::clone(&self.shared), self.tables.clone());
        let (choice, pool_bytes, done) = (self.choice, self.pool_bytes, self.done.0.clone());
        let (started, start) = channel();
        let thread = std::thread::Builder::new().name(format!("submitter{index}"));
        thread.spawn(move || {
            wake_on_time();
            // The ring is made, enabled and used by this thread alone.
            let made = wake_descriptor(&shared, index)
                .and_then(|wake| make_driver(choice, wake, &format!("submitter{index}")))
                .and_then(|(driver, made)| Ok((driver, made, Pool::new(pool_bytes)?)));
            let (driver, pool) = match made {
                Ok((driver, made, pool)) => {
                    let _ = started.send(Ok(made));
                    (driver, pool)
                }
                Err(error) => {
                    let _ = started.send(Err((error, messages)));
                    return;
                }
            };
            let mut submitter = Submitter::new(index, shared, tables, messages, driver, pool);
            let result = submitter.run();
            if let Err(error) = &result {
                // Others wait for what it holds (flushes, locked ranges), and the kernel may still
                // write to its memory: going on would be worse than a restart.
                eprintln!("fairlead: submitter{index} cannot go on: {error}");
                std::process::abort();
            }
            let _ = done.send(result);
        })?;
        match start.recv().map_err(io::Error::other)? {
            Ok(made) => {
                if let Some(mailbox) = self.shared.mailboxes.get(index) {
                    mailbox.set_attended();
                }
                Ok(Some(made))
            }
            Err((error, messages)) => {
                if let Some(place) = waiting.get_mut(index) {
                    *place = Some(messages);
                }
                Err(error)
            }
        }
    }

    /// Stops those that run, waiting at most `patience`; false: one is left behind.
    pub fn stop(&self, patience: Duration) -> bool {
        let asked: usize = (0..self.report.submitters)
            .map(|submitter| usize::from(self.shared.post(submitter, Message::Stop)))
            .sum();
        let deadline = Instant::now() + patience;
        let finished = lock(&self.done.1);
        (0..asked).all(|_| {
            let left = deadline.saturating_duration_since(Instant::now());
            finished.recv_timeout(left).is_ok()
        })
    }
}

/// Asks the kernel to wake this thread when it wants to be, and not up to 50 us later.
fn wake_on_time() {
    // SAFETY: plain integers. Where it is refused, limits are less exact.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1 as libc::c_ulong) };
}

/// What was found when a driver was made.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) name: &'static str,
    reason: Option<String>,
    defer_taskrun: bool,
}

fn wake_descriptor(shared: &Shared, index: usize) -> io::Result<RawFd> {
    let mailbox = shared.mailboxes.get(index).ok_or_else(|| io::Error::other("no mailbox"))?;
    Ok(mailbox.descriptor())
}

/// A driver for the thread that calls; `wake` is watched.
pub(crate) fn make_driver(
    choice: DriverChoice,
    wake: RawFd,
    name: &str,
) -> io::Result<(Box<dyn Driver>, Started)> {
    let threads = |reason: Option<String>| -> io::Result<(Box<dyn Driver>, Started)> {
        let driver = Box::new(Threads::new(wake, name)?);
        Ok((driver, Started { name: "threads", reason, defer_taskrun: false }))
    };
    if choice == DriverChoice::Threads {
        return threads(None);
    }
    let ring = Uring::new(wake, name).and_then(|(ring, features)| {
        ring.enable()?;
        Ok((ring, features))
    });
    match ring {
        Ok((ring, features)) => {
            let defer_taskrun = features.defer_taskrun;
            Ok((Box::new(ring), Started { name: "io_uring", reason: None, defer_taskrun }))
        }
        Err(error) if choice == DriverChoice::Auto => threads(Some(why_no_ring(&error))),
        Err(error) => Err(io::Error::new(error.kind(), why_no_ring(&error))),
    }
}

/// What keeps us from io_uring, and the way out where there is one.
fn why_no_ring(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::ENOMEM) => {
            format!("io_uring: {error}; more memory must be lockable (ulimit -l)")
        }
        Some(libc::EPERM | libc::EACCES | libc::ENOSYS) => {
            format!("io_uring: {error}; a container or kernel.io_uring_disabled refuses it")
        }
        _ => format!("io_uring: {error}"),
    }
}
