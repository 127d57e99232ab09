//! A SCSI device of this host by Linux's sg driver, third version of its interface: a command is
//! written, `poll` tells when something has ended, and reading gives it back.
//!
//! Writing and reading copy; between them the driver does not touch our memory. One descriptor takes
//! [`COMMANDS_A_DESCRIPTOR`] commands, so there are several. The driver aborts what does not end in time.
//! Spec: Linux, include/scsi/sg.h.

mod reserve;

use super::{Command, Direction, Failure, Link, Outcome, SENSE_BYTES_MAX, Watch};
use fairlead_sched::Nanos;
use reserve::{RESERVE_BYTES, Reserve};
use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// SG_MAX_QUEUE.
const COMMANDS_A_DESCRIPTOR: usize = 16;
/// A few: more commands than theirs gain nothing at any device that has an sg node.
const DESCRIPTORS_MAX: usize = 4;
const VERSION_3: i32 = 30_000;
const SG_GET_VERSION_NUM: libc::Ioctl = 0x2282;
/// Behind what is queued already, not before it.
const SG_FLAG_Q_AT_TAIL: u32 = 0x10;
const SG_DXFER_NONE: i32 = -1;
const SG_DXFER_TO_DEV: i32 = -2;
const SG_DXFER_FROM_DEV: i32 = -3;
/// How often to look for what has ended when the driver says only that the device is gone.
const GONE_TICK: Nanos = 10_000_000;

/// `struct sg_io_hdr`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
struct Header {
    interface_id: i32,
    dxfer_direction: i32,
    cmd_len: u8,
    mx_sb_len: u8,
    iovec_count: u16,
    dxfer_len: u32,
    dxferp: *mut u8,
    cmdp: *const u8,
    sbp: *mut u8,
    timeout: u32,
    flags: u32,
    pack_id: i32,
    usr_ptr: usize,
    status: u8,
    masked_status: u8,
    msg_status: u8,
    sb_len_wr: u8,
    host_status: u16,
    driver_status: u16,
    resid: i32,
    duration: u32,
    info: u32,
}

/// What the host adapter's `DID_` codes mean here; those that are not named are [`Failure::Broken`].
/// Spec: Linux, include/scsi/scsi_status.h.
const FAILURE_OF_HOST_STATUS: [(u16, Failure); 12] = [
    (0x01, Failure::Gone),     // NO_CONNECT
    (0x02, Failure::Busy),     // BUS_BUSY
    (0x03, Failure::TimedOut), // TIME_OUT
    (0x04, Failure::Gone),     // BAD_TARGET
    (0x05, Failure::Aborted),  // ABORT
    (0x08, Failure::Reset),    // RESET
    (0x0B, Failure::Aborted),  // SOFT_ERROR
    (0x0C, Failure::Busy),     // IMM_RETRY
    (0x0D, Failure::Busy),     // REQUEUE
    (0x0E, Failure::Aborted),  // TRANSPORT_DISRUPTED
    (0x0F, Failure::Gone),     // TRANSPORT_FAILFAST
    (0x14, Failure::Gone),     // TRANSPORT_MARGINAL
];
/// DRIVER_TIMEOUT, in the low half of the driver's status.
const DRIVER_TIMEOUT: u16 = 0x06;

/// What the driver's refusal to take a command means; others are [`Failure::Broken`].
const FAILURE_OF_ERRNO: [(i32, Failure); 8] = [
    (libc::ENODEV, Failure::Gone),
    (libc::ENXIO, Failure::Gone),
    (libc::EDOM, Failure::Busy),
    (libc::EAGAIN, Failure::Busy),
    (libc::EBUSY, Failure::Busy),
    (libc::ENOMEM, Failure::Busy),
    (libc::EMSGSIZE, Failure::Unsendable),
    (libc::EINVAL, Failure::Unsendable),
];

fn failure_of<T: PartialEq + Copy>(table: &[(T, Failure)], code: T) -> Failure {
    let found = table.iter().find(|(known, _)| *known == code);
    found.map_or(Failure::Broken, |(_, failure)| *failure)
}

/// A place for a command that is out. The driver keeps its address: places never move.
#[derive(Debug)]
struct Place {
    token: Option<u64>,
    length_bytes: u32,
    has_reserve: bool,
    sense: [u8; SENSE_BYTES_MAX],
}

#[derive(Debug)]
struct Descriptor {
    fd: OwnedFd,
    out: usize,
    /// Where the driver lets us see it.
    reserve: Option<Reserve>,
    /// A command has it.
    is_reserve_out: bool,
}

/// A link by the sg driver.
#[derive(Debug)]
pub struct SgLink {
    descriptors: Vec<Descriptor>,
    places: Box<[Place]>,
    free: Vec<usize>,
    /// The device is gone; the driver says so again and again.
    is_gone: bool,
    looks_at: Option<Nanos>,
}

impl SgLink {
    /// Opens the device by as many descriptors as so many commands need, at most
    /// [`DESCRIPTORS_MAX`].
    ///
    /// # Errors
    /// It is not there, may not be opened, or is not an sg device (`ENOTTY`).
    pub fn open(path: &str, commands_max: usize) -> io::Result<Self> {
        let name = CString::new(path)?;
        let wanted = commands_max.div_ceil(COMMANDS_A_DESCRIPTOR).clamp(1, DESCRIPTORS_MAX);
        let fds = (0..wanted).map(|_| open_one(&name)).collect::<io::Result<_>>()?;
        Ok(Self::over(fds, commands_max))
    }

    /// A link over open descriptors.
    pub fn over(fds: Vec<OwnedFd>, commands_max: usize) -> Self {
        let commands_max = commands_max.clamp(1, fds.len() * COMMANDS_A_DESCRIPTOR);
        let place = |_| Place {
            token: None,
            length_bytes: 0,
            has_reserve: false,
            sense: [0; SENSE_BYTES_MAX],
        };
        let descriptor = |fd| {
            let reserve = Reserve::of(&fd).ok();
            Descriptor { fd, out: 0, reserve, is_reserve_out: false }
        };
        Self {
            descriptors: fds.into_iter().map(descriptor).collect(),
            places: (0..commands_max).map(place).collect(),
            free: (0..commands_max).rev().collect(),
            is_gone: false,
            looks_at: None,
        }
    }

    /// Reads everything that has ended on a descriptor.
    fn reap(&mut self, number: usize, over: &mut dyn FnMut(u64, Outcome)) {
        while let Some(descriptor) = self.descriptors.get_mut(number).filter(|d| d.out > 0) {
            let mut header = NO_COMMAND;
            let fd = descriptor.fd.as_raw_fd();
            // SAFETY: a header of ours of that size. The addresses in it are those that were written
            // with the command: its data is kept until the command is over, its place for good.
            let read = unsafe { libc::read(fd, (&raw mut header).cast(), size_of::<Header>()) };
            if read < 0 {
                let error = io::Error::last_os_error().raw_os_error();
                if error == Some(libc::EINTR) {
                    continue;
                }
                self.is_gone |= matches!(error, Some(libc::ENODEV | libc::ENXIO));
                return;
            }
            let Some(place) = self.places.get_mut(header.usr_ptr) else { return };
            let Some(token) = place.token.take() else { return };
            descriptor.out -= 1;
            descriptor.is_reserve_out &= !std::mem::take(&mut place.has_reserve);
            self.free.push(header.usr_ptr);
            over(token, outcome(&header, place));
        }
    }
}

const NO_COMMAND: Header = Header {
    interface_id: 'S' as i32,
    dxfer_direction: -1,
    cmd_len: 0,
    mx_sb_len: 0,
    iovec_count: 0,
    dxfer_len: 0,
    dxferp: std::ptr::null_mut(),
    cmdp: std::ptr::null(),
    sbp: std::ptr::null_mut(),
    timeout: 0,
    flags: 0,
    pack_id: -1,
    usr_ptr: usize::MAX,
    status: 0,
    masked_status: 0,
    msg_status: 0,
    sb_len_wr: 0,
    host_status: 0,
    driver_status: 0,
    resid: 0,
    duration: 0,
    info: 0,
};

fn outcome(header: &Header, place: &Place) -> Outcome {
    let left = u32::try_from(header.resid).unwrap_or(0);
    let sense = place.sense.get(..usize::from(header.sb_len_wr)).unwrap_or_default();
    // What the device said counts, whatever else is wrong.
    if header.status != 0
        || header.host_status == 0 && header.driver_status & 0x0F != DRIVER_TIMEOUT
    {
        return Outcome::heard(header.status, sense, place.length_bytes, left);
    }
    if header.host_status == 0 {
        return Outcome::failed(Failure::TimedOut);
    }
    Outcome::failed(failure_of(&FAILURE_OF_HOST_STATUS, header.host_status))
}

/// Hands a command to the driver, or says by what errno it is refused.
fn write(fd: RawFd, header: &Header) -> Result<(), i32> {
    // SAFETY: a header of ours of that size; the CDB is copied by the call, the data is kept by the
    // caller and the sense data's place by the link until the command is read back.
    let written =
        unsafe { libc::write(fd, std::ptr::from_ref(header).cast(), size_of::<Header>()) };
    match written < 0 {
        true => Err(io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO)),
        false => Ok(()),
    }
}

fn open_one(name: &CString) -> io::Result<OwnedFd> {
    // SAFETY: `name` is a zero-terminated string that outlives the call.
    let fd =
        unsafe { libc::open(name.as_ptr(), libc::O_RDWR | libc::O_NONBLOCK | libc::O_CLOEXEC) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new and nobody else has it.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    let mut version: i32 = 0;
    // SAFETY: the ioctl writes one int of ours; other drivers do not know it.
    let known = unsafe { libc::ioctl(fd.as_raw_fd(), SG_GET_VERSION_NUM, &raw mut version) };
    if known < 0 || version < VERSION_3 {
        return Err(io::Error::from_raw_os_error(libc::ENOTTY));
    }
    Ok(fd)
}

impl Link for SgLink {
    fn submit(&mut self, token: u64, command: &Command, _now: Nanos) -> Result<(), Failure> {
        let free = |d: &Descriptor| d.out < COMMANDS_A_DESCRIPTOR;
        let least = self.descriptors.iter_mut().filter(|d| free(d));
        let descriptor = least.min_by_key(|d| d.out).ok_or(Failure::Busy)?;
        let index = self.free.last().copied().ok_or(Failure::Busy)?;
        let place = self.places.get_mut(index).ok_or(Failure::Busy)?;
        let header = Header {
            dxfer_direction: match command.direction {
                Direction::None => SG_DXFER_NONE,
                Direction::Out => SG_DXFER_TO_DEV,
                Direction::In => SG_DXFER_FROM_DEV,
            },
            cmd_len: command.cdb_bytes,
            mx_sb_len: SENSE_BYTES_MAX as u8,
            dxfer_len: command.length_bytes,
            dxferp: match command.direction {
                Direction::None => std::ptr::null_mut(),
                _ => command.address,
            },
            cmdp: command.cdb.as_ptr(),
            sbp: place.sense.as_mut_ptr(),
            timeout: u32::try_from(command.timeout_ns / 1_000_000).unwrap_or(u32::MAX).max(1),
            flags: SG_FLAG_Q_AT_TAIL,
            usr_ptr: index,
            ..NO_COMMAND
        };
        let fd = descriptor.fd.as_raw_fd();
        // The first that fits gets the driver's own buffer.
        let has_reserve = command.direction != Direction::None
            && command.length_bytes as usize <= RESERVE_BYTES
            && !std::mem::replace(&mut descriptor.is_reserve_out, true);
        if let (true, Some(reserve)) = (has_reserve, &mut descriptor.reserve) {
            reserve.clear();
        }
        if let Err(errno) = write(fd, &header) {
            descriptor.is_reserve_out &= !has_reserve;
            let failure = failure_of(&FAILURE_OF_ERRNO, errno);
            self.is_gone |= failure == Failure::Gone;
            return Err(failure);
        }
        self.free.pop();
        place.token = Some(token);
        place.length_bytes = command.length_bytes;
        place.has_reserve = has_reserve;
        descriptor.out += 1;
        Ok(())
    }

    fn watches(&self, watches: &mut Vec<Watch>) {
        // A device that is gone is told at once, again and again: then time does.
        let busy = self.descriptors.iter().filter(|d| d.out > 0 && !self.is_gone);
        watches.extend(busy.map(|d| Watch { fd: d.fd.as_raw_fd(), events: libc::POLLIN }));
    }

    fn ready(&mut self, fd: RawFd, events: i16, now: Nanos, over: &mut dyn FnMut(u64, Outcome)) {
        let found = self.descriptors.iter().position(|d| d.fd.as_raw_fd() == fd);
        if let Some(number) = found {
            self.reap(number, over);
        }
        self.is_gone |= events & libc::POLLHUP != 0;
        let is_out = self.free.len() < self.places.len();
        self.looks_at = (self.is_gone && is_out).then_some(now + GONE_TICK);
    }

    fn tick(&mut self, now: Nanos, over: &mut dyn FnMut(u64, Outcome)) {
        if self.looks_at.is_none_or(|at| at > now) {
            return;
        }
        (0..self.descriptors.len()).for_each(|number| self.reap(number, over));
        let is_out = self.free.len() < self.places.len();
        self.looks_at = is_out.then_some(now + GONE_TICK);
    }

    fn next_at(&self) -> Option<Nanos> {
        self.looks_at
    }

    fn is_over(&self) -> bool {
        self.is_gone && self.free.len() == self.places.len()
    }

    fn commands_max(&self) -> usize {
        self.places.len()
    }
}

#[cfg(test)]
mod tests;
