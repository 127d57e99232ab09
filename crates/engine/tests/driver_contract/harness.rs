//! A driver, and bounded waits for what it tells.

use fairlead_engine::driver::threads::Threads;
use fairlead_engine::driver::uring::Uring;
use fairlead_engine::driver::{Completion, Driver, FileRequest, MayBlock, Steer};
use fairlead_engine::mailbox::Mailbox;
use fairlead_engine::operation::Kind;
use std::collections::VecDeque;
use std::fs::File;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

/// Longer than anything here takes, short enough for a test to fail by.
const PATIENCE: Duration = Duration::from_secs(20);

/// Makes a test of a function for each driver.
macro_rules! on_both_drivers {
    ($($name:ident),+ $(,)?) => {
        mod uring {
            $(#[test] fn $name() {
                if let Some(bench) = $crate::harness::Bench::uring() { super::$name(bench); }
            })+
        }
        mod threads {
            $(#[test] fn $name() { super::$name($crate::harness::Bench::threads()); })+
        }
    };
}
pub(crate) use on_both_drivers;

pub(crate) struct Bench {
    pub(crate) driver: Box<dyn Driver>,
    pub(crate) mailbox: Mailbox<u32>,
    pub(crate) messages: Receiver<u32>,
    told: VecDeque<Completion>,
}

impl Bench {
    fn of(make: impl FnOnce(RawFd) -> Box<dyn Driver>) -> Self {
        let (mailbox, messages) = Mailbox::new().expect("a mailbox");
        mailbox.set_attended();
        let driver = make(mailbox.descriptor());
        Self { driver, mailbox, messages, told: VecDeque::new() }
    }

    pub(crate) fn threads() -> Self {
        Self::of(|wake| Box::new(Threads::new(wake, "contract").expect("the threads driver")))
    }

    /// `None`: the kernel refuses io_uring.
    pub(crate) fn uring() -> Option<Self> {
        if let Err(refusal) = io_uring::IoUring::new(1) {
            println!("skipped: the kernel refuses io_uring: {refusal}");
            return None;
        }
        Some(Self::of(|wake| {
            let (driver, _) = Uring::new(wake, "contract").expect("the io_uring driver");
            driver.enable().expect("the ring is enabled by the thread that uses it");
            Box::new(driver)
        }))
    }

    /// Waits once, and keeps what was told.
    pub(crate) fn wait(&mut self, patience: Duration) {
        let mut told = Vec::new();
        self.driver.wait(patience, &mut told).expect("the driver works");
        self.told.extend(told);
    }

    /// The next completion.
    pub(crate) fn next(&mut self) -> Completion {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(completion) = self.told.pop_front() {
                return completion;
            }
            assert!(Instant::now() < deadline, "no completion came");
            self.wait(Duration::from_millis(200));
        }
    }

    /// What was told and not taken yet.
    pub(crate) fn take_told(&mut self) -> Vec<Completion> {
        self.told.drain(..).collect()
    }

    /// Lets the driver do all that it can do by itself, and asserts that it tells nothing.
    pub(crate) fn assert_nothing_told(&mut self) {
        self.mailbox.post(7).expect("somebody reads it");
        assert_eq!(self.next(), Completion::Woken, "something came that nobody waits for");
        self.mailbox.opened();
        assert_eq!(self.messages.try_recv(), Ok(7));
        assert_eq!(self.take_told(), []);
    }

    /// The bytes of a receive, with its buffer given back; and whether it goes on.
    pub(crate) fn received(&mut self, connection: u32) -> (Result<Vec<u8>, i32>, bool) {
        let completion = self.next();
        let Completion::Received { connection: of, result, buffer, more } = completion else {
            panic!("{completion:?} instead of a receive");
        };
        assert_eq!((of, buffer.is_some()), (connection, result > 0), "{completion:?}");
        let Some(buffer) = buffer else {
            return (if result < 0 { Err(-result) } else { Ok(Vec::new()) }, more);
        };
        let bytes = self.driver.bytes(buffer)[..result as usize].to_vec();
        self.driver.give_back(buffer);
        (Ok(bytes), more)
    }

    /// Carries out one request to a file.
    pub(crate) fn io(&mut self, request: FileRequest) -> i32 {
        static TOKENS: AtomicU32 = AtomicU32::new(1);
        // Tokens are of 48 bits.
        let token = u64::from(TOKENS.fetch_add(1, Ordering::Relaxed)) << 16 | 0xFFFF;
        self.driver.submit(token, request);
        match self.next() {
            Completion::Io { token: of, result } if of == token => result,
            other => panic!("{other:?} instead of the end of request {token}"),
        }
    }
}

pub(crate) fn request(kind: Kind, fd: RawFd, offset_bytes: u64, data: &mut [u8]) -> FileRequest {
    FileRequest {
        kind,
        fd,
        offset_bytes,
        length_bytes: data.len() as u64,
        address: data.as_mut_ptr(),
        device: 0,
        blocking: MayBlock::Writes,
        steer: Steer::None,
    }
}

/// A request without data.
pub(crate) fn range(kind: Kind, fd: &File, offset_bytes: u64, length_bytes: u64) -> FileRequest {
    let address = std::ptr::null_mut();
    let fd = fd.as_raw_fd();
    FileRequest {
        kind,
        fd,
        offset_bytes,
        length_bytes,
        address,
        device: 0,
        blocking: MayBlock::Writes,
        steer: Steer::None,
    }
}

/// A file of this many bytes, all of them `byte`, that is gone with its descriptor.
pub(crate) fn file(bytes: usize, byte: u8) -> File {
    static NAMES: AtomicU32 = AtomicU32::new(0);
    let number = NAMES.fetch_add(1, Ordering::Relaxed);
    let name = format!("{}/contract-{}-{number}", env!("CARGO_TARGET_TMPDIR"), std::process::id());
    std::fs::write(&name, vec![byte; bytes]).expect("a file");
    let file = File::options().read(true).write(true).open(&name).expect("the file");
    std::fs::remove_file(&name).expect("the name is not needed");
    file
}

/// Bytes that differ from place to place.
pub(crate) fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|place| (place / 5 + place / 257) as u8).collect()
}
