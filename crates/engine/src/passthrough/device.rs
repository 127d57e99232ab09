//! The device of a pass-through volume: where it is, and what is to be observed with it.

use super::{Link, Rules, SgLink};
use crate::volume::Kind;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

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
}

/// A device behind links. Each submitter has a link of its own, which it opens when it needs one.
#[derive(Debug)]
pub struct Device {
    /// `sg` or `iscsi`.
    pub kind: Kind,
    /// Device node, or URL.
    pub path: String,
    /// What is to be observed.
    pub settings: Settings,
    /// Keeps this host from using the same disk.
    guard: Option<File>,
}

impl Device {
    /// A device that nobody else on this host uses, nor will.
    ///
    /// # Errors
    /// `EBUSY`: its disk is mounted, or is part of something else.
    pub fn claim(kind: Kind, path: String, settings: Settings) -> io::Result<Self> {
        let disk = if kind == Kind::Sg { disk_of(&path) } else { None };
        let exclusively =
            |disk| OpenOptions::new().read(true).custom_flags(libc::O_EXCL).open(disk);
        let guard = match disk.map(exclusively) {
            // A drive without its medium has nothing to guard.
            Some(Err(error)) if error.raw_os_error() == Some(libc::ENOMEDIUM) => None,
            guard => guard.transpose()?,
        };
        Ok(Self { kind, path, settings, guard })
    }

    /// The disk of an sg device is held exclusively.
    pub fn is_guarded(&self) -> bool {
        self.guard.is_some()
    }
}

/// The block device of an sg node, if it has one: tapes and changers have none.
fn disk_of(path: &str) -> Option<PathBuf> {
    let name = std::fs::canonicalize(path).ok()?;
    let blocks = Path::new("/sys/class/scsi_generic").join(name.file_name()?).join("device/block");
    let disk = std::fs::read_dir(blocks).ok()?.next()?.ok()?;
    Some(Path::new("/dev").join(disk.file_name())).filter(|disk| disk.exists())
}

/// Opens a link.
///
/// # Errors
/// The device cannot be opened, or is not of this kind.
pub fn open_link(kind: Kind, path: &str, commands_max: usize) -> io::Result<Box<dyn Link>> {
    match kind {
        Kind::Sg => Ok(Box::new(SgLink::open(path, commands_max)?)),
        _ => Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP)),
    }
}
