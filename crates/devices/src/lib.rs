//! Simulated devices: how long a real one would take for each request. Pure; time is an argument.
//!
//! The readable form is `fairlead.devices` in Python, which also explains the models;
//! `tests/property/test_device_differential.py` holds this one to it, request by request.

#![forbid(unsafe_code)]

pub mod disk;
pub mod ssd;

use disk::{Disk, DiskParameters};
use ssd::{Ssd, SsdParameters};

/// Nanoseconds of a clock that never goes back.
pub type Nanos = u64;

/// Nanoseconds of a second.
pub const SECOND: Nanos = 1_000_000_000;

/// What a request asks a device to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Medium to buffer.
    Read,
    /// Buffer to medium.
    Write,
    /// Everything written so far to the medium.
    Flush,
}

/// A request for a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// Its name.
    pub token: u64,
    /// What to do.
    pub operation: Operation,
    /// Where on the medium.
    pub offset_bytes: u64,
    /// How much of it.
    pub length_bytes: u64,
}

/// A device as a table of numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parameters {
    /// Flash.
    Ssd(SsdParameters),
    /// A rotating disk.
    Disk(DiskParameters),
}

/// A device at work. Whoever drives it takes each completion at or after its time, the earliest
/// first, and gives it no request before those up to that time are taken.
#[derive(Debug)]
pub enum Device {
    /// Flash.
    Ssd(Ssd),
    /// A rotating disk.
    Disk(Disk),
}

impl Device {
    /// An idle device.
    pub fn new(parameters: Parameters) -> Self {
        match parameters {
            Parameters::Ssd(parameters) => Self::Ssd(Ssd::new(parameters)),
            Parameters::Disk(parameters) => Self::Disk(Disk::new(parameters)),
        }
    }

    /// Takes a request. There is always room.
    pub fn submit(&mut self, request: Request, now: Nanos) {
        match self {
            Self::Ssd(ssd) => ssd.submit(request, now),
            Self::Disk(disk) => disk.submit(request, now),
        }
    }

    /// When the device will next be done with something; `None`: it is idle.
    pub fn next_completion(&self) -> Option<Nanos> {
        match self {
            Self::Ssd(ssd) => ssd.next_completion(),
            Self::Disk(disk) => disk.next_completion(),
        }
    }

    /// Takes that completion: the request's name, `None` for the device's own work.
    pub fn complete(&mut self) -> Option<u64> {
        match self {
            Self::Ssd(ssd) => ssd.complete(),
            Self::Disk(disk) => disk.complete(),
        }
    }
}

/// `value * factor / divisor` without overflow on the way; a divisor of 0 counts as 1.
pub(crate) fn scale(value: u64, factor: u64, divisor: u64) -> u64 {
    let scaled = u128::from(value) * u128::from(factor) / u128::from(divisor.max(1));
    u64::try_from(scaled).unwrap_or(u64::MAX)
}
