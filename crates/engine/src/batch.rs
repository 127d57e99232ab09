//! What is sent to a peer in one go.

use fairlead_proto::iscsi::outbox::{Frame, Payload};

/// A message being sent: its frames and where their bytes are.
#[derive(Debug)]
pub struct Batch {
    /// The frames.
    pub frames: Vec<Frame>,
    /// Their parts.
    pub vectors: Vec<libc::iovec>,
    /// What the kernel is given.
    pub message: libc::msghdr,
    /// Bytes in all.
    pub bytes: usize,
    /// Bytes sent.
    pub sent: usize,
    own_bytes: usize,
    task_bytes: usize,
}

// SAFETY: the pointers are into the batch itself and into buffers of the submitter that has it.
unsafe impl Send for Batch {}

/// Frames in one message.
const FRAMES_MAX: usize = 64;
/// Ping and text data in one message: it is outside the pool of buffers.
const OWN_BYTES_MAX: usize = 32 * 1024;
/// In company, a message is full with so many bytes: nobody else is served while the kernel copies
/// them.
const COMPANY_BYTES: usize = 256 * 1024;

impl Batch {
    /// An empty batch.
    pub fn new() -> Box<Self> {
        // SAFETY: an all-zero msghdr is a valid one: no name, no vectors, no control data.
        let message = unsafe { std::mem::zeroed() };
        Box::new(Self {
            frames: Vec::with_capacity(FRAMES_MAX),
            vectors: Vec::with_capacity(3 * FRAMES_MAX),
            message,
            bytes: 0,
            sent: 0,
            own_bytes: 0,
            task_bytes: 0,
        })
    }

    /// There is no room for another frame; less is room enough where others want the submitter too.
    pub fn is_full(&self, in_company: bool) -> bool {
        self.frames.len() >= FRAMES_MAX
            || self.own_bytes >= OWN_BYTES_MAX
            || in_company && self.task_bytes >= COMPANY_BYTES
    }

    /// Takes a frame.
    pub fn push(&mut self, frame: Frame) {
        if let Payload::Task { length_bytes, .. } = frame.payload {
            self.task_bytes += length_bytes as usize;
        }
        self.own_bytes += frame.own_payload().len();
        self.frames.push(frame);
    }

    /// Empties what was sent, but for the frames, which are returned.
    pub fn clear(&mut self) -> std::vec::Drain<'_, Frame> {
        self.vectors.clear();
        (self.bytes, self.sent, self.own_bytes, self.task_bytes) = (0, 0, 0, 0);
        self.frames.drain(..)
    }

    /// Points the message at what is still to be sent.
    pub fn aim(&mut self) {
        let mut skip = self.sent;
        let mut first = 0;
        for vector in &mut self.vectors {
            if skip < vector.iov_len {
                vector.iov_base = vector.iov_base.cast::<u8>().wrapping_add(skip).cast();
                vector.iov_len -= skip;
                break;
            }
            skip -= vector.iov_len;
            first += 1;
        }
        self.vectors.drain(..first);
        self.bytes -= self.sent;
        self.sent = 0;
        self.message.msg_iov = self.vectors.as_mut_ptr();
        self.message.msg_iovlen = self.vectors.len();
    }
}

#[cfg(test)]
mod tests {
    use super::{Batch, COMPANY_BYTES, OWN_BYTES_MAX};

    #[test]
    fn in_company_a_message_is_short() {
        let mut batch = Batch::new();
        batch.task_bytes = COMPANY_BYTES - 1;
        assert!(!batch.is_full(true));
        batch.task_bytes += 1;
        assert!(batch.is_full(true) && !batch.is_full(false));
        batch.own_bytes = OWN_BYTES_MAX;
        assert!(batch.is_full(false));
        assert_eq!(batch.clear().count(), 0);
        assert!(!batch.is_full(true));
    }

    #[test]
    fn a_batch_goes_on_where_a_short_send_ended() {
        let parts = [[0_u8; 48].as_slice(), &[0; 100], &[0; 4]];
        let mut batch = Batch::new();
        for part in parts {
            let iov_base = part.as_ptr().cast_mut().cast();
            batch.vectors.push(libc::iovec { iov_base, iov_len: part.len() });
            batch.bytes += part.len();
        }
        batch.sent = 50;
        batch.aim();
        let lengths: Vec<_> = batch.vectors.iter().map(|vector| vector.iov_len).collect();
        assert_eq!((lengths, batch.bytes), (vec![98, 4], 102));
        assert_eq!(batch.vectors[0].iov_base as usize, parts[1].as_ptr() as usize + 2);
        batch.sent = 98;
        batch.aim();
        assert_eq!((batch.vectors.len(), batch.bytes, batch.message.msg_iovlen), (1, 4, 1));
    }
}
