//! Opens a volume and keeps others away from it.

use super::{Backing, Kind, Memory, Simulated, Spec, Volume};
use crate::driver::MayBlock;
use crate::passthrough;
use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

/// How long to wait for the lock: after kill -9 the old process's last I/O holds it until it has
/// landed.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);
const LOCK_RETRY: Duration = Duration::from_millis(20);

/// Why a volume cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The path is missing, or has a zero byte.
    #[error("volume {0:?} needs a path")]
    NoPath(String),
    /// Nothing says what is simulated.
    #[error("volume {0:?} needs a device to simulate")]
    NoModel(String),
    /// Nothing says which commands pass.
    #[error("volume {0:?} needs rules for what passes through")]
    NoRules(String),
    /// The kernel refuses.
    #[error("cannot open {path}: {source}")]
    Open {
        /// What was opened.
        path: String,
        /// Why not.
        source: io::Error,
    },
    /// Somebody else has it.
    #[error("{path} is in use by another process; stop that process or serve another volume")]
    Busy {
        /// What is in use.
        path: String,
    },
    /// It is shorter than what is to be served.
    #[error("{path} has {there_bytes} bytes, {wanted_bytes} are to be served")]
    TooSmall {
        /// What is too small.
        path: String,
        /// Its size.
        there_bytes: u64,
        /// The size asked for.
        wanted_bytes: u64,
    },
}

/// Opens, locks and measures a volume.
///
/// # Errors
/// It cannot be served; the message says why and what to do.
pub fn open(id: u32, device: u32, mut spec: Spec) -> Result<Volume, OpenError> {
    let (backing, can_zero, blocking) = match spec.kind {
        Kind::Null => (Backing::Null, true, MayBlock::Nothing),
        Kind::Memory => {
            let memory = Memory::new(spec.size_bytes)
                .map_err(|source| OpenError::Open { path: spec.name.clone(), source })?;
            (Backing::Memory(Box::new(memory)), true, MayBlock::Nothing)
        }
        Kind::Sim => {
            let name = || spec.name.clone();
            let parameters = spec.simulated.clone().ok_or_else(|| OpenError::NoModel(name()))?;
            let simulated = Simulated::new(spec.size_bytes, parameters)
                .map_err(|source| OpenError::Open { path: name(), source })?;
            (Backing::Simulated(Box::new(simulated)), true, MayBlock::Nothing)
        }
        Kind::Sg | Kind::Iscsi => {
            let path = spec.path.clone().ok_or_else(|| OpenError::NoPath(spec.name.clone()))?;
            let settings = spec.pass_through.clone();
            let settings = settings.ok_or_else(|| OpenError::NoRules(spec.name.clone()))?;
            let device = passthrough::Device::claim(spec.kind, path.clone(), settings);
            let device = device.map_err(|source| match source.raw_os_error() {
                Some(libc::EBUSY) => OpenError::Busy { path },
                _ => OpenError::Open { path, source },
            })?;
            (Backing::Passed(Box::new(device)), false, MayBlock::Nothing)
        }
        Kind::File | Kind::Direct => {
            let path = spec.path.clone().ok_or_else(|| OpenError::NoPath(spec.name.clone()))?;
            let fd = open_path(&path, &spec)?;
            lock(&fd, &path, spec.read_only)?;
            let there_bytes = size_of(&fd, &path)?;
            if there_bytes < spec.size_bytes {
                let wanted_bytes = spec.size_bytes;
                return Err(OpenError::TooSmall { path, there_bytes, wanted_bytes });
            }
            let can = if spec.read_only { Deallocation::NONE } else { probe(&fd, there_bytes) };
            spec.thin &= can.punch;
            let blocking = probe_blocking(&fd, spec.kind);
            (Backing::Descriptor(fd), can.zero, blocking)
        }
    };
    Ok(Volume::new(id, spec, device, backing, can_zero, blocking))
}

fn open_path(path: &str, spec: &Spec) -> Result<OwnedFd, OpenError> {
    let name = CString::new(path).map_err(|_| OpenError::NoPath(spec.name.clone()))?;
    let access = if spec.read_only { libc::O_RDONLY } else { libc::O_RDWR };
    let direct = if spec.kind == Kind::Direct { libc::O_DIRECT } else { 0 };
    // O_EXCL without O_CREAT: a block device that is mounted or open exclusively is refused.
    let is_device = std::fs::metadata(path)
        .is_ok_and(|meta| std::os::unix::fs::FileTypeExt::is_block_device(&meta.file_type()));
    let exclusive = if is_device { libc::O_EXCL } else { 0 };
    let deadline = Instant::now() + LOCK_PATIENCE;
    loop {
        // SAFETY: `name` is a zero-terminated string that outlives the call.
        let fd =
            unsafe { libc::open(name.as_ptr(), access | direct | exclusive | libc::O_CLOEXEC) };
        if fd >= 0 {
            // SAFETY: the descriptor is new and nobody else has it.
            return Ok(unsafe { OwnedFd::from_raw_fd(fd) });
        }
        let source = io::Error::last_os_error();
        match source.raw_os_error() {
            Some(libc::EBUSY) if Instant::now() < deadline => std::thread::sleep(LOCK_RETRY),
            Some(libc::EBUSY) => return Err(OpenError::Busy { path: path.into() }),
            _ => return Err(OpenError::Open { path: path.into(), source }),
        }
    }
}

/// Locks the open file description that does the I/O: requests that the kernel still holds keep
/// it, and so the lock, alive.
fn lock(fd: &OwnedFd, path: &str, shared: bool) -> Result<(), OpenError> {
    let mode = if shared { libc::LOCK_SH } else { libc::LOCK_EX };
    let deadline = Instant::now() + LOCK_PATIENCE;
    loop {
        // SAFETY: a valid descriptor and a plain integer.
        if unsafe { libc::flock(fd.as_raw_fd(), mode | libc::LOCK_NB) } == 0 {
            return Ok(());
        }
        let source = io::Error::last_os_error();
        match source.raw_os_error() {
            Some(libc::EWOULDBLOCK) if Instant::now() < deadline => std::thread::sleep(LOCK_RETRY),
            Some(libc::EWOULDBLOCK) => return Err(OpenError::Busy { path: path.into() }),
            _ => return Err(OpenError::Open { path: path.into(), source }),
        }
    }
}

fn size_of(fd: &OwnedFd, path: &str) -> Result<u64, OpenError> {
    // Seeking works for files and for block devices alike.
    // SAFETY: a valid descriptor; its file position is used by nobody.
    let end = unsafe { libc::lseek(fd.as_raw_fd(), 0, libc::SEEK_END) };
    u64::try_from(end)
        .map_err(|_| OpenError::Open { path: path.into(), source: io::Error::last_os_error() })
}

/// A page, aligned as O_DIRECT wants it.
#[repr(align(4096))]
struct Page([u8; 4096]);

/// Finds out which requests the file answers with "not now" instead of blocking.
fn probe_blocking(fd: &OwnedFd, kind: Kind) -> MayBlock {
    let mut page = Page([0; 4096]);
    let vector = libc::iovec { iov_base: page.0.as_mut_ptr().cast(), iov_len: page.0.len() };
    // SAFETY: a valid descriptor and one vector over memory of ours.
    let read = unsafe { libc::preadv2(fd.as_raw_fd(), &vector, 1, 0, libc::RWF_NOWAIT) };
    let refused = read < 0 && io::Error::last_os_error().raw_os_error() == Some(libc::EOPNOTSUPP);
    match kind {
        _ if refused => MayBlock::Everything,
        Kind::Direct => MayBlock::Nothing,
        _ if writes_without_blocking(fd) => MayBlock::StableWrites,
        _ => MayBlock::Writes,
    }
}

/// Whether the page cache takes writes that must not block. Asked with a byte at an address that
/// nobody has: nothing can be written, and only who would take it looks for the byte at all.
fn writes_without_blocking(fd: &OwnedFd) -> bool {
    let vector = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 1 };
    // SAFETY: a valid descriptor; the kernel answers EFAULT to an address that is not mapped, and
    // this one never is.
    let written = unsafe { libc::pwritev2(fd.as_raw_fd(), &vector, 1, 0, libc::RWF_NOWAIT) };
    let error = io::Error::last_os_error().raw_os_error();
    written < 0 && matches!(error, Some(libc::EFAULT | libc::EAGAIN))
}

struct Deallocation {
    punch: bool,
    zero: bool,
}

impl Deallocation {
    const NONE: Self = Self { punch: false, zero: false };
}

/// Finds out whether ranges can be deallocated and zeroed.
fn probe(fd: &OwnedFd, size_bytes: u64) -> Deallocation {
    let file = File::from(match fd.try_clone() {
        Ok(fd) => fd,
        Err(_) => return Deallocation::NONE,
    });
    let is_file = file.metadata().is_ok_and(|meta| meta.is_file());
    if !is_file {
        return probe_device(fd.as_raw_fd());
    }
    // Behind the end and with KEEP_SIZE nothing that anybody sees is changed.
    let Ok(end) = libc::off_t::try_from(size_bytes) else { return Deallocation::NONE };
    let behind_end = |mode: i32| {
        // SAFETY: a valid descriptor and plain integers.
        let result =
            unsafe { libc::fallocate(fd.as_raw_fd(), mode | libc::FALLOC_FL_KEEP_SIZE, end, 4096) };
        result == 0
    };
    let zero = behind_end(libc::FALLOC_FL_ZERO_RANGE);
    let punch = behind_end(libc::FALLOC_FL_PUNCH_HOLE);
    Deallocation { punch, zero }
}

/// A block device says it in sysfs.
fn probe_device(fd: RawFd) -> Deallocation {
    // SAFETY: an all-zero stat is a valid value to be written over.
    let mut stat = unsafe { std::mem::zeroed::<libc::stat>() };
    // SAFETY: a valid descriptor and a stat of ours.
    if unsafe { libc::fstat(fd, &mut stat) } != 0 {
        return Deallocation::NONE;
    }
    let (major, minor) = (libc::major(stat.st_rdev), libc::minor(stat.st_rdev));
    let limit = |name: &str| {
        [
            format!("/sys/dev/block/{major}:{minor}/queue/{name}"),
            format!("/sys/dev/block/{major}:{minor}/../queue/{name}"),
        ]
        .iter()
        .find_map(|path| std::fs::read_to_string(path).ok()?.trim().parse::<u64>().ok())
        .unwrap_or(0)
    };
    // PUNCH_HOLE on a device is a zeroing discard: it needs WRITE ZEROES below.
    let zero = limit("write_zeroes_max_bytes") > 0;
    Deallocation { punch: zero && limit("discard_max_bytes") > 0, zero }
}
