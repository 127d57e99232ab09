//! The device of a pass-through volume: where it is, and what is to be observed with it.

use super::{Link, Rules, SgLink};
use crate::volume::Kind;
use std::io;

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
