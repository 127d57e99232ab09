//! What this kernel lets us do for contexts of its own, found out by doing it.

use super::group::Group;
use super::priority;
use io_uring::types::Fd;
use io_uring::{IoUring, opcode};
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::Duration;

/// Times that a group is tried to be removed, a millisecond apart.
const TRIES_MAX: u32 = 1000;

/// What works: `Ok`, or the kernel's reason.
#[derive(Debug)]
pub struct Finding {
    /// A ring at all.
    pub io_uring: io::Result<()>,
    /// A thread with a priority, and so an io_context, of its own.
    pub keeper: io::Result<()>,
    /// A ring that the thread which made it enters.
    pub ring: io::Result<()>,
    /// A ring that a kernel thread polls.
    pub polled: io::Result<()>,
    /// A priority for one request.
    pub ioprio: io::Result<()>,
    /// A cgroup with a weight, and a thread in it; `Ok` when none is asked for.
    pub group: io::Result<()>,
}

impl Finding {
    /// Everything by its name.
    pub fn tried(&self) -> [(&'static str, &io::Result<()>); 6] {
        [
            ("io_uring", &self.io_uring),
            ("keeper", &self.keeper),
            ("ring", &self.ring),
            ("polled", &self.polled),
            ("ioprio", &self.ioprio),
            ("cgroup", &self.group),
        ]
    }
}

/// Tries everything, in a thread that ends with it; a polled ring only when one is wanted.
///
/// # Errors
/// No thread can be had.
pub fn probe(cgroup: Option<&Path>, is_polled: bool) -> io::Result<Finding> {
    std::thread::scope(|scope| {
        let builder = std::thread::Builder::new().name("probe".into());
        let tried = builder.spawn_scoped(scope, || {
            let group = cgroup.map_or(Ok(None), try_group);
            let finding = Finding {
                io_uring: IoUring::new(2).map(drop),
                keeper: priority::set(0, priority::ioprio(Default::default(), 1, 1)),
                ring: IoUring::builder().setup_submit_all().build(2).and_then(|ring: IoUring| {
                    // SAFETY: nothing is submitted, and no argument passed by address.
                    unsafe { ring.submitter().enter::<libc::sigset_t>(0, 0, 0, None) }.map(drop)
                }),
                polled: if is_polled {
                    IoUring::builder().setup_sqpoll(1).build(2).map(|ring: IoUring| drop(ring))
                } else {
                    Ok(())
                },
                ioprio: read_with_priority(),
                group: group.as_ref().map(|_| ()).map_err(clone),
            };
            (finding, group.ok().flatten())
        })?;
        let (finding, group) = tried.join().map_err(|_| io::Error::other("the probe panicked"))?;
        // The thread that was in it has ended, and the kernel is about to take it out.
        if let Some(group) = group {
            (0..TRIES_MAX).find(|_| group.remove() || pause());
        }
        Ok(finding)
    })
}

/// A millisecond; false.
fn pause() -> bool {
    std::thread::sleep(Duration::from_millis(1));
    false
}

/// Reads nothing from nowhere, with a priority.
fn read_with_priority() -> io::Result<()> {
    let mut ring = IoUring::new(2)?;
    let nowhere = std::fs::File::open("/dev/null")?;
    let ioprio = priority::ioprio(Default::default(), 1, 1);
    let read = opcode::Read::new(Fd(nowhere.as_raw_fd()), std::ptr::null_mut(), 0).ioprio(ioprio);
    // SAFETY: no byte is read, and the file is open until the completion.
    unsafe { ring.submission().push(&read.build()) }.map_err(io::Error::other)?;
    ring.submit_and_wait(1)?;
    match ring.completion().next().map(|entry| entry.result()) {
        Some(result) if result < 0 => Err(io::Error::from_raw_os_error(-result)),
        _ => Ok(()),
    }
}

fn try_group(parent: &Path) -> io::Result<Option<Group>> {
    let group = Group::new(parent, &format!("fairlead.{}.probe", std::process::id()), 500)?;
    match group.take(0) {
        Ok(()) => Ok(Some(group)),
        Err(error) => {
            group.remove();
            Err(error)
        }
    }
}

fn clone(error: &io::Error) -> io::Error {
    error
        .raw_os_error()
        .map_or_else(|| io::Error::other(error.to_string()), io::Error::from_raw_os_error)
}
