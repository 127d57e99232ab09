//! One session: a libiscsi context with what it has told, and nothing of what is made of it.

use super::address::Address;
use super::library::{self, Context, Library, RESIDUAL_UNDERFLOW, Task};
use crate::passthrough::{Command, Direction};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::ffi::{CStr, CString, c_int, c_uchar, c_void};
use std::os::fd::RawFd;
use std::ptr::{self, NonNull};
use std::rc::Rc;

/// What a callback was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// The connection is there, or could not be made.
    Connected(c_int),
    /// The login is over.
    LoggedIn(c_int),
    /// The command of a slot is over, with this status.
    Over(u32, c_int),
    /// ABORT TASK for the command of a slot was answered. Spec: RFC 7143 §11.6.1, Response.
    Aborted(u32, u8),
}

/// What the callbacks have told and nobody has taken.
type Inbox = Rc<RefCell<VecDeque<Told>>>;

/// What a callback is given: whose it is, and where to say it.
pub(super) struct Sender {
    slot: u32,
    inbox: Inbox,
}

/// Makes a callback that tells this.
macro_rules! callback {
    ($name:ident, |$sender:ident, $status:ident, $data:ident| $told:expr) => {
        unsafe extern "C" fn $name(
            _: *mut Context,
            $status: c_int,
            $data: *mut c_void,
            private: *mut c_void,
        ) {
            // SAFETY: it was given the address of a sender, and senders outlive the context.
            let $sender = unsafe { &*private.cast::<Sender>() };
            let told: Option<Told> = $told;
            $sender.inbox.borrow_mut().extend(told);
        }
    };
}
callback!(connected, |_sender, status, _data| Some(Told::Connected(status)));
callback!(logged_in, |_sender, status, _data| Some(Told::LoggedIn(status)));
callback!(over, |sender, status, _data| Some(Told::Over(sender.slot, status)));
callback!(aborted, |sender, status, data| {
    // SAFETY: with GOOD comes the address of a 32-bit response code. Anything else is told with
    // the end of the session.
    (status == library::status::GOOD && !data.is_null())
        .then(|| Told::Aborted(sender.slot, unsafe { *data.cast::<u32>() } as u8))
});

/// Who speaks in the callbacks, and what they have said. It outlives every session.
pub(super) struct Mail {
    inbox: Inbox,
    /// One for each slot and, last, one for the session itself.
    senders: Box<[Sender]>,
}

impl Mail {
    /// Room for what `slots` commands can be told: their end, and that they were aborted.
    pub(super) fn new(slots: u32) -> Self {
        let inbox: Inbox = Rc::new(RefCell::new(VecDeque::with_capacity(2 * slots as usize + 4)));
        let senders = (0..=slots).map(|slot| Sender { slot, inbox: Rc::clone(&inbox) }).collect();
        Self { inbox, senders }
    }

    /// The next of what was told.
    pub(super) fn take(&self) -> Option<Told> {
        self.inbox.borrow_mut().pop_front()
    }

    /// Forgets what was told.
    pub(super) fn clear(&self) {
        self.inbox.borrow_mut().clear();
    }

    fn sender(&self, slot: Option<u32>) -> *mut c_void {
        let place = slot.map_or(self.senders.len() - 1, |slot| slot as usize);
        let sender = self.senders.get(place).map_or(ptr::null(), ptr::from_ref);
        sender.cast_mut().cast()
    }
}

/// The sense data in the data segment of a SCSI Response: behind two bytes of SenseLength, and before
/// padding and response data. Spec: RFC 7143 §11.4.7.2.
fn sense_in(segment: &[u8]) -> &[u8] {
    let [high, low, sense @ ..] = segment else { return &[] };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    sense.get(..length.min(sense.len())).unwrap_or_default()
}

/// A task of libiscsi's, freed when it is dropped. No context may know it then.
pub(super) struct OwnTask {
    library: &'static Library,
    task: NonNull<Task>,
}

impl OwnTask {
    /// `None`: libiscsi has no memory.
    ///
    /// `part` is where the command's data is described; it is libiscsi's as long as the task is.
    pub(super) fn new(
        library: &'static Library,
        command: &Command,
        part: *mut libc::iovec,
    ) -> Option<Self> {
        let length = c_int::try_from(command.length_bytes).ok()?;
        let direction = match command.direction {
            Direction::In if length > 0 => library::transfer::READ,
            Direction::Out if length > 0 => library::transfer::WRITE,
            _ => library::transfer::NONE,
        };
        let mut cdb = command.cdb;
        let cdb_bytes = command.cdb_bytes.min(library::TASK_CDB_BYTES_MAX as u8);
        let at: *mut c_uchar = cdb.as_mut_ptr();
        // SAFETY: the CDB is longer than that, and is copied; no longer than a task's.
        let task =
            unsafe { (library.scsi_create_task)(c_int::from(cdb_bytes), at, direction, length) };
        let task = Self { library, task: NonNull::new(task)? };
        let part_of = libc::iovec {
            iov_base: command.address.cast(),
            iov_len: command.length_bytes as usize,
        };
        // SAFETY: nobody else knows the task; the part stays where it is (caller's promise), and
        // the memory that it describes is the link's until the command is over.
        unsafe {
            part.write(part_of);
            match direction {
                library::transfer::READ => {
                    (library.scsi_task_set_iov_in)(task.task.as_ptr(), part, 1);
                }
                library::transfer::WRITE => {
                    (library.scsi_task_set_iov_out)(task.task.as_ptr(), part, 1);
                }
                _ => {}
            }
        }
        Some(task)
    }

    /// Bytes of `length` that the target says it has not moved.
    pub(super) fn residual_bytes(&self) -> usize {
        // SAFETY: the task is ours, and libiscsi writes to it in its own calls alone.
        let (kind, residual) = unsafe {
            let task = self.task.as_ptr();
            ((*task).residual_status, (*task).residual)
        };
        if kind == RESIDUAL_UNDERFLOW { residual } else { 0 }
    }

    /// The sense data of a command that ended with CHECK CONDITION, as the target sent it.
    pub(super) fn sense(&self) -> &[u8] {
        // SAFETY: as above.
        let (data, size) = unsafe {
            let task = self.task.as_ptr();
            ((*task).datain, (*task).datain_size)
        };
        if data.is_null() || size <= 0 {
            return &[];
        }
        // SAFETY: libiscsi has allocated that many bytes, and frees them with the task.
        let segment = unsafe { std::slice::from_raw_parts(data, size.unsigned_abs() as usize) };
        sense_in(segment)
    }
}

impl Drop for OwnTask {
    fn drop(&mut self) {
        // SAFETY: it was made by the library, is freed once, and no context knows it any more.
        unsafe { (self.library.scsi_free_scsi_task)(self.task.as_ptr()) };
    }
}

/// A context. Dropping it closes the connection; callbacks are called then for the last time.
pub(super) struct Session {
    library: &'static Library,
    context: NonNull<Context>,
    lun: c_int,
}

impl Session {
    /// Begins to connect.
    ///
    /// # Errors
    /// Not even that was possible: what libiscsi says.
    pub(super) fn begin(
        library: &'static Library,
        address: &Address,
        portal: &CStr,
        isid: (u32, u16),
        mail: &Mail,
    ) -> Result<Self, String> {
        // SAFETY: a string with its end.
        let context = unsafe { (library.iscsi_create_context)(address.initiator.as_ptr()) };
        let context = NonNull::new(context).ok_or("libiscsi has no memory")?;
        let session = Self { library, context, lun: address.lun };
        let context = session.context.as_ptr();
        // SAFETY: a new context; strings with their ends; the sender outlives it.
        let is_begun = unsafe {
            // This also gives the context the target's name, and users and passwords.
            let parts = (library.iscsi_parse_full_url)(context, address.url.as_ptr());
            if parts.is_null() {
                return Err("libiscsi takes the URL no longer".to_owned());
            }
            (library.iscsi_destroy_url)(parts);
            (library.iscsi_set_noautoreconnect)(context, 1);
            let (connect, sender) = (library.iscsi_connect_async, mail.sender(None));
            (library.iscsi_set_session_type)(context, library::SESSION_NORMAL) == 0
                && (library.iscsi_set_isid_random)(context, isid.0, isid.1.into()) == 0
                && connect(context, portal.as_ptr(), connected, sender) == 0
        };
        if is_begun { Ok(session) } else { Err(session.trouble()) }
    }

    /// Begins to log in.
    pub(super) fn log_in(&self, mail: &Mail) -> bool {
        let (context, sender) = (self.context.as_ptr(), mail.sender(None));
        // SAFETY: the context is ours, and the sender outlives it.
        unsafe { (self.library.iscsi_login_async)(context, logged_in, sender) == 0 }
    }

    /// Where the target wants to be asked instead.
    pub(super) fn redirection(&self) -> CString {
        // SAFETY: a string with its end within the context.
        unsafe { CStr::from_ptr((self.library.iscsi_get_target_address)(self.context.as_ptr())) }
            .to_owned()
    }

    /// What libiscsi says of its last error.
    pub(super) fn trouble(&self) -> String {
        // SAFETY: a string with its end within the context.
        let said = unsafe { CStr::from_ptr((self.library.iscsi_get_error)(self.context.as_ptr())) };
        said.to_string_lossy().into_owned()
    }

    /// The connection's descriptor.
    pub(super) fn fd(&self) -> RawFd {
        // SAFETY: the context is ours.
        unsafe { (self.library.iscsi_get_fd)(self.context.as_ptr()) }
    }

    /// `POLLIN`, `POLLOUT`, or both.
    pub(super) fn events(&self) -> i16 {
        // SAFETY: the context is ours.
        unsafe { (self.library.iscsi_which_events)(self.context.as_ptr()) as i16 }
    }

    /// Lets libiscsi read and write; `false`: it has given the connection up.
    pub(super) fn serve(&self, events: i16) -> bool {
        // SAFETY: the context is ours, and so is all that its callbacks are given.
        unsafe { (self.library.iscsi_service)(self.context.as_ptr(), events.into()) == 0 }
    }

    /// The target has let us in, and has not logged us out.
    pub(super) fn is_logged_in(&self) -> bool {
        // SAFETY: the context is ours.
        unsafe { (self.library.iscsi_is_logged_in)(self.context.as_ptr()) != 0 }
    }

    /// Nothing of a command that was sent waits to be written: a PDU half written and Data-Out,
    /// whose CmdSN is in the window, would be waited for.
    pub(super) fn has_written_all_it_may(&self) -> bool {
        self.events() & libc::POLLOUT == 0
    }

    /// PDUs that wait to be written.
    pub(super) fn waiting_at_most(&self) -> u64 {
        // SAFETY: the context is ours.
        let queued = unsafe { (self.library.iscsi_out_queue_length)(self.context.as_ptr()) };
        u64::from(queued.unsigned_abs()) + u64::from(!self.has_written_all_it_may())
    }

    /// Queues a command. `false`: it was not, and never will be.
    pub(super) fn send(&self, task: &OwnTask, slot: u32, mail: &Mail) -> bool {
        let (context, task) = (self.context.as_ptr(), task.task.as_ptr());
        let (send, sender) = (self.library.iscsi_scsi_command_async, mail.sender(Some(slot)));
        // SAFETY: context and task are ours and stay until the callback; the sender outlives both.
        unsafe { send(context, self.lun, task, over, ptr::null_mut(), sender) == 0 }
    }

    /// Asks the target to abort a command. Spec: RFC 7143 §11.5.1.
    pub(super) fn abort(&self, task: &OwnTask, slot: u32, mail: &Mail) -> bool {
        // SAFETY: the task is ours; its tag and CmdSN were set when it was queued.
        let (itt, cmdsn) = unsafe { ((*task.task.as_ptr()).itt, (*task.task.as_ptr()).cmdsn) };
        let (context, sender) = (self.context.as_ptr(), mail.sender(Some(slot)));
        let (manage, lun) = (self.library.iscsi_task_mgmt_async, self.lun);
        // SAFETY: the context is ours, and the sender outlives it.
        unsafe { manage(context, lun, library::ABORT_TASK, itt, cmdsn, aborted, sender) == 0 }
    }

    /// Makes libiscsi forget a command. Only where [`Self::has_written_all_it_may`]: a PDU that is
    /// half written would be cut.
    pub(super) fn forget(&self, task: &OwnTask) {
        // SAFETY: context and task are ours.
        unsafe {
            (self.library.iscsi_scsi_cancel_task)(self.context.as_ptr(), task.task.as_ptr());
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // SAFETY: made by the library and destroyed once. Tasks, senders and the commands' memory,
        // which its callbacks are told about, are still there: the link drops them later.
        unsafe { (self.library.iscsi_destroy_context)(self.context.as_ptr()) };
    }
}

#[cfg(test)]
mod tests {
    use super::sense_in;

    #[test]
    fn sense_is_as_long_as_it_says_and_no_longer_than_what_came() {
        let cases: [(&[u8], &[u8]); 6] = [
            (&[], &[]),
            (&[0], &[]),
            (&[0, 0], &[]),
            (&[0, 3, 1, 2, 3], &[1, 2, 3]),
            (&[0, 3, 1, 2, 3, 0, 0, 0], &[1, 2, 3]),
            (&[0xFF, 0xFF, 1, 2], &[1, 2]),
        ];
        for (segment, sense) in cases {
            assert_eq!(sense_in(segment), sense, "{segment:?}");
        }
    }
}
