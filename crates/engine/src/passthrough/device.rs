//! The device of a pass-through volume: where it is, and what is to be observed with it.

use super::iscsi::{IscsiLink, Isid, OpenError};
use super::{Link, Rules, SgLink};
use crate::clock;
use crate::volume::Kind;
use std::collections::hash_map::RandomState;
use std::fs::{File, OpenOptions};
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};

/// What the control plane has found out and decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// What becomes of commands.
    pub rules: Rules,
    /// Nanoseconds that a command may take.
    pub timeout_ns: u64,
    /// The most data of one command.
    pub transfer_bytes_max: u32,
    /// Commands that it takes at a time.
    pub commands_max: usize,
    /// Who we are towards another target.
    pub initiator_name: String,
}

/// Where a device is, and who we are there.
#[derive(Debug, Clone)]
pub struct Whereabouts {
    /// `sg` or `iscsi`.
    pub kind: Kind,
    /// Device node, or URL.
    pub path: String,
    /// InitiatorName towards another target.
    pub initiator_name: String,
}

/// A device behind links. Each submitter has a link of its own, which it opens when it needs one.
#[derive(Debug)]
pub struct Device {
    /// Where it is.
    pub at: Whereabouts,
    /// What is to be observed.
    pub settings: Settings,
    /// Keeps this host from using the same disk.
    _guard: Option<File>,
}

impl Device {
    /// A device that nobody else on this host uses, nor will.
    ///
    /// # Errors
    /// `EBUSY`: its disk is mounted, or is part of something else.
    pub fn claim(kind: Kind, path: String, settings: Settings) -> io::Result<Self> {
        let initiator_name = settings.initiator_name.clone();
        let at = Whereabouts { kind, path, initiator_name };
        let disk = if kind == Kind::Sg { disk_of(&at.path) } else { None };
        let exclusively =
            |disk| OpenOptions::new().read(true).custom_flags(libc::O_EXCL).open(disk);
        let guard = match disk.map(exclusively) {
            // A drive without its medium has nothing to guard.
            Some(Err(error)) if error.raw_os_error() == Some(libc::ENOMEDIUM) => None,
            guard => guard.transpose()?,
        };
        Ok(Self { at, settings, _guard: guard })
    }
}

/// The block device of an sg node, if it has one: tapes and changers have none.
fn disk_of(path: &str) -> Option<PathBuf> {
    let name = std::fs::canonicalize(path).ok()?;
    let blocks = Path::new("/sys/class/scsi_generic").join(name.file_name()?).join("device/block");
    let disk = std::fs::read_dir(blocks).ok()?.next()?.ok()?;
    Some(Path::new("/dev").join(disk.file_name())).filter(|disk| disk.exists())
}

/// Links to other targets, each a session: their number tells them apart.
static SESSIONS: AtomicU16 = AtomicU16::new(0);
/// The same for all sessions of this process, and another one in the next.
static PROCESS: OnceLock<u32> = OnceLock::new();

fn next_isid() -> Isid {
    let random = *PROCESS.get_or_init(|| {
        // Keyed by the operating system's random numbers.
        RandomState::new().build_hasher().finish() as u32 & 0xFF_FFFF
    });
    Isid { random, qualifier: SESSIONS.fetch_add(1, Ordering::Relaxed) }
}

/// Opens a link. Where a host has a name and no number, that is looked up, which may wait.
///
/// # Errors
/// The device cannot be opened, or is not of this kind.
pub fn open_link(at: &Whereabouts, commands_max: usize) -> io::Result<Box<dyn Link>> {
    match at.kind {
        Kind::Sg => Ok(Box::new(SgLink::open(&at.path, commands_max)?)),
        Kind::Iscsi => {
            let name = &at.initiator_name;
            let link = IscsiLink::open(&at.path, name, next_isid(), clock::now());
            Ok(Box::new(link.map_err(|error| match error {
                // Python knows what to do about that by its number.
                OpenError::NoLibrary(_) | OpenError::ForeignLibrary(_) => {
                    io::Error::from_raw_os_error(libc::ELIBACC)
                }
                error => io::Error::other(error),
            })?))
        }
        _ => Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP)),
    }
}
