//! libiscsi, found at run time: the functions that are called, and the fields that are read.
//!
//! The layouts are those of libiscsi 1.18 and 1.19; [`library`] looks at a task and at a URL that the
//! library itself has made, and refuses one whose fields are elsewhere.

use super::OpenError;
use std::ffi::{CStr, c_char, c_int, c_uchar, c_void};
use std::ptr;
use std::sync::OnceLock;

/// Debian's 1.17 to 1.20; Fedora's 1.19 and 1.20; Fedora's 1.18. From .8 to .9 functions were only
/// added.
const SONAMES: [&str; 3] = ["libiscsi.so.7", "libiscsi.so.9", "libiscsi.so.8"];

/// `SCSI_CDB_MAX_SIZE`: longest CDB of a task.
pub(super) const TASK_CDB_BYTES_MAX: usize = 16;
/// `MAX_STRING_SIZE`: longest part of a URL, and longest URL behind its scheme.
pub(super) const STRING_BYTES_MAX: usize = 255;
/// `ISCSI_SESSION_NORMAL`.
pub(super) const SESSION_NORMAL: c_int = 2;
/// `ISCSI_TM_ABORT_TASK`. Spec: RFC 7143 §11.5.1.
pub(super) const ABORT_TASK: c_int = 1;
/// `TCP_TRANSPORT`.
pub(super) const TCP: c_int = 0;

/// `enum scsi_xfer_dir`.
pub(super) mod transfer {
    use std::ffi::c_int;
    pub(crate) const NONE: c_int = 0;
    pub(crate) const READ: c_int = 1;
    pub(crate) const WRITE: c_int = 2;
}

/// `SCSI_RESIDUAL_UNDERFLOW`: less was moved than was expected.
pub(super) const RESIDUAL_UNDERFLOW: c_int = 1;

/// Values of `enum scsi_status` that no target sends.
pub(super) mod status {
    use std::ffi::c_int;
    pub(crate) const GOOD: c_int = 0;
    pub(crate) const REDIRECT: c_int = 0x101;
    pub(crate) const CANCELLED: c_int = 0x0f00_0000;
    pub(crate) const ERROR: c_int = 0x0f00_0001;
    pub(crate) const TIMEOUT: c_int = 0x0f00_0002;
}

/// `struct iscsi_context`, known by address alone.
#[repr(C)]
pub(super) struct Context {
    _private: [u8; 0],
}

/// `struct scsi_sense`: here for its size.
#[repr(C)]
pub(super) struct TaskSense {
    error_type: c_uchar,
    key: c_int,
    ascq: c_int,
    bits: u32,
}

/// `struct scsi_iovector`.
#[repr(C)]
pub(super) struct TaskVector {
    pub(super) iov: *mut libc::iovec,
    niov: c_int,
    nalloc: c_int,
    offset: usize,
    consumed: c_int,
}

/// `struct scsi_task`.
#[repr(C)]
pub(super) struct Task {
    pub(super) status: c_int,
    cdb_size: c_int,
    xfer_dir: c_int,
    expxferlen: c_int,
    cdb: [c_uchar; TASK_CDB_BYTES_MAX],
    pub(super) residual_status: c_int,
    pub(super) residual: usize,
    sense: TaskSense,
    pub(super) datain_size: c_int,
    pub(super) datain: *mut c_uchar,
    mem: *mut c_void,
    ptr: *mut c_void,
    pub(super) itt: u32,
    pub(super) cmdsn: u32,
    lun: u32,
    iovector_in: TaskVector,
    iovector_out: TaskVector,
}

/// One string of [`Url`].
type Text = [c_char; STRING_BYTES_MAX + 1];

/// `struct iscsi_url`.
#[repr(C)]
pub(super) struct Url {
    pub(super) portal: Text,
    pub(super) target: Text,
    pub(super) user: Text,
    passwd: Text,
    target_user: Text,
    target_passwd: Text,
    pub(super) lun: c_int,
    iscsi: *mut Context,
    pub(super) transport: c_int,
}

/// `iscsi_command_cb`: context, status, what the status comes with, what was given.
pub(super) type Callback = unsafe extern "C" fn(*mut Context, c_int, *mut c_void, *mut c_void);

macro_rules! functions {
    ($($name:ident($($argument:ty),*) $(-> $result:ty)?;)+) => {
        /// The functions, by their own names.
        pub(super) struct Library {
            $(pub(super) $name: unsafe extern "C" fn($($argument),*) $(-> $result)?,)+
            /// What keeps them in memory.
            _handle: libloading::Library,
        }

        impl Library {
            fn bind(handle: libloading::Library) -> Result<Self, libloading::Error> {
                Ok(Self {
                    // SAFETY: the types are those of the installed headers, iscsi.h and
                    // scsi-lowlevel.h; the pointers do not outlive the handle beside them.
                    $($name: *unsafe { handle.get(concat!(stringify!($name), "\0").as_bytes()) }?,)+
                    _handle: handle,
                })
            }
        }
    };
}

functions! {
    iscsi_create_context(*const c_char) -> *mut Context;
    iscsi_destroy_context(*mut Context) -> c_int;
    iscsi_parse_full_url(*mut Context, *const c_char) -> *mut Url;
    iscsi_destroy_url(*mut Url);
    iscsi_set_isid_random(*mut Context, u32, u32) -> c_int;
    iscsi_set_session_type(*mut Context, c_int) -> c_int;
    iscsi_set_noautoreconnect(*mut Context, c_int);
    iscsi_get_error(*mut Context) -> *const c_char;
    iscsi_get_target_address(*mut Context) -> *const c_char;
    iscsi_get_fd(*mut Context) -> c_int;
    iscsi_which_events(*mut Context) -> c_int;
    iscsi_service(*mut Context, c_int) -> c_int;
    iscsi_out_queue_length(*mut Context) -> c_int;
    iscsi_is_logged_in(*mut Context) -> c_int;
    iscsi_connect_async(*mut Context, *const c_char, Callback, *mut c_void) -> c_int;
    iscsi_login_async(*mut Context, Callback, *mut c_void) -> c_int;
    iscsi_scsi_command_async(*mut Context, c_int, *mut Task, Callback, *mut c_void, *mut c_void)
        -> c_int;
    iscsi_task_mgmt_async(*mut Context, c_int, c_int, u32, u32, Callback, *mut c_void) -> c_int;
    iscsi_scsi_cancel_task(*mut Context, *mut Task) -> c_int;
    scsi_create_task(c_int, *mut c_uchar, c_int, c_int) -> *mut Task;
    scsi_free_scsi_task(*mut Task);
    scsi_set_task_private_ptr(*mut Task, *mut c_void);
    scsi_task_set_iov_in(*mut Task, *mut libc::iovec, c_int);
    scsi_task_set_iov_out(*mut Task, *mut libc::iovec, c_int);
}

impl Library {
    /// A task that the library has made has its fields where [`Task`] has them.
    fn has_our_task(&self) -> bool {
        let mut cdb = [0x08, 1, 2, 3, 4, 5];
        let mut part = libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 };
        let (iov, private) = (&raw mut part, ptr::null_mut::<c_void>().wrapping_byte_add(0x5A5A));
        // SAFETY: `cdb` is six bytes, which are copied.
        let task = unsafe { (self.scsi_create_task)(6, cdb.as_mut_ptr(), transfer::READ, 0x1234) };
        if task.is_null() {
            return false;
        }
        // SAFETY: the task is a new one and not known to anybody else. It is read as bytes of its
        // own size at most: the library's is at least as long in every version up to now, and both
        // vectors, which are its end, are found where they were put.
        unsafe {
            (self.scsi_set_task_private_ptr)(task, private);
            (self.scsi_task_set_iov_in)(task, iov, 1);
            (self.scsi_task_set_iov_out)(task, iov, 1);
            let seen = &*task;
            let is_ours = seen.cdb_size == 6
                && seen.xfer_dir == transfer::READ
                && seen.expxferlen == 0x1234
                && seen.cdb.starts_with(&cdb)
                && seen.datain.is_null()
                && seen.ptr == private
                && (seen.iovector_in.iov, seen.iovector_in.niov) == (iov, 1)
                && (seen.iovector_out.iov, seen.iovector_out.niov) == (iov, 1);
            (self.scsi_free_scsi_task)(task);
            is_ours
        }
    }

    /// A URL that the library has taken apart has its parts where [`Url`] has them.
    fn has_our_url(&self) -> bool {
        let url = c"iscsi://127.0.0.1:3260/iqn.2026-01.net.fairlead:layout/7";
        // SAFETY: a URL within the library's limits; no context is allowed.
        let parts = unsafe { (self.iscsi_parse_full_url)(ptr::null_mut(), url.as_ptr()) };
        if parts.is_null() {
            return false;
        }
        // SAFETY: the library has filled it, strings with their end.
        unsafe {
            let is_ours = text(&(*parts).portal) == c"127.0.0.1:3260"
                && text(&(*parts).target) == c"iqn.2026-01.net.fairlead:layout"
                && (*parts).lun == 7;
            (self.iscsi_destroy_url)(parts);
            is_ours
        }
    }
}

/// A string of a [`Url`].
///
/// # Safety
/// It ends with a zero byte.
pub(super) unsafe fn text(field: &Text) -> &CStr {
    // SAFETY: the caller's promise.
    unsafe { CStr::from_ptr(field.as_ptr()) }
}

fn load() -> Result<Library, OpenError> {
    let mut refusal = String::new();
    for name in SONAMES {
        // SAFETY: libiscsi runs no code when it is loaded.
        let bound = unsafe { libloading::Library::new(name) }.and_then(Library::bind);
        match bound {
            Ok(library) if library.has_our_task() && library.has_our_url() => return Ok(library),
            Ok(_) => return Err(OpenError::ForeignLibrary(name)),
            // What Debian calls it is what the message is about.
            Err(error) if refusal.is_empty() => refusal = error.to_string(),
            Err(_) => {}
        }
    }
    Err(OpenError::NoLibrary(refusal))
}

/// The library, loaded with the first call.
///
/// # Errors
/// There is none, or not one that we know.
pub(super) fn library() -> Result<&'static Library, OpenError> {
    static LIBRARY: OnceLock<Result<Library, OpenError>> = OnceLock::new();
    LIBRARY.get_or_init(load).as_ref().map_err(Clone::clone)
}

#[cfg(test)]
#[path = "layout_tests.rs"]
mod tests;
