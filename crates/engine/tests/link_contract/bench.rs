//! A link, its commands' memory, and bounded waits for their ends.

use super::Scene;
use fairlead_engine::clock::{self, SECOND};
use fairlead_engine::passthrough::{CDB_BYTES_MAX, Command, Direction, Failure, Outcome, Watch};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Longer than anything here takes, short enough for a test to fail by.
const PATIENCE: Duration = Duration::from_secs(20);
/// A command's timeout, in the link's time: [`Bench::skip`] makes it pass.
pub(crate) const TIMEOUT_NS: u64 = 60 * SECOND;

/// A command of ten bytes without data; [`Bench::submit`] gives it its memory.
pub(crate) fn command(opcode: u8, direction: Direction) -> Command {
    let mut cdb = [0; CDB_BYTES_MAX];
    cdb[0] = opcode;
    Command {
        cdb,
        cdb_bytes: 10,
        direction,
        address: std::ptr::null_mut(),
        length_bytes: 0,
        timeout_ns: TIMEOUT_NS,
    }
}

/// Bytes that differ from place to place.
pub(crate) fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|place| (place / 5 + place / 257) as u8).collect()
}

pub(crate) struct Bench {
    pub(crate) scene: Scene,
    /// Memory of the commands that are out. Declared behind the link: it is dropped later.
    out: HashMap<u64, Vec<u8>>,
    ended: HashMap<u64, (Outcome, Vec<u8>)>,
    memory: Vec<u8>,
    next_token: u64,
    skipped: u64,
}

impl Bench {
    pub(crate) fn new(scene: Scene) -> Self {
        let (out, ended, memory) = (HashMap::new(), HashMap::new(), Vec::new());
        Self { scene, out, ended, memory, next_token: 1, skipped: 0 }
    }

    /// The link's time.
    pub(crate) fn now(&self) -> u64 {
        clock::now() + self.skipped
    }

    /// Lets the link's time pass.
    pub(crate) fn skip(&mut self, by_ns: u64) {
        self.skipped += by_ns;
    }

    pub(crate) fn submit(
        &mut self,
        mut command: Command,
        mut memory: Vec<u8>,
    ) -> Result<u64, Failure> {
        if command.direction != Direction::None {
            command.address = memory.as_mut_ptr();
            command.length_bytes = memory.len() as u32;
        }
        let token = self.next_token;
        let now = self.now();
        self.scene.link.submit(token, &command, now)?;
        self.next_token += 1;
        self.out.insert(token, memory);
        Ok(token)
    }

    pub(crate) fn abort(&mut self, token: u64) {
        let now = self.now();
        self.scene.link.abort(token, now);
    }

    /// Commands that have not ended.
    pub(crate) fn out(&self) -> usize {
        self.out.len()
    }

    /// There is something to watch.
    pub(crate) fn is_watching(&self) -> bool {
        let mut watches = Vec::new();
        self.scene.link.watches(&mut watches);
        !watches.is_empty()
    }

    /// Waits once for what is watched or due, at most `patience`.
    pub(crate) fn step(&mut self, patience: Duration) {
        let mut watches: Vec<Watch> = Vec::new();
        self.scene.link.watches(&mut watches);
        let poll_of =
            |watch: &Watch| libc::pollfd { fd: watch.fd, events: watch.events, revents: 0 };
        let mut polled: Vec<libc::pollfd> = watches.iter().map(poll_of).collect();
        let due_in = self.scene.link.next_at().map(|at| at.saturating_sub(self.now()));
        let wait = due_in.map_or(patience, |due_in| patience.min(Duration::from_nanos(due_in)));
        let wait_ms = wait.as_millis() as i32 + i32::from(wait.subsec_nanos() % 1_000_000 != 0);
        // SAFETY: the array is as long as it says.
        let found = unsafe { libc::poll(polled.as_mut_ptr(), polled.len() as u64, wait_ms) };
        assert!(found >= 0, "poll: {}", std::io::Error::last_os_error());
        let now = self.now();
        let (out, ended) = (&mut self.out, &mut self.ended);
        let mut over = |token: u64, outcome: Outcome| {
            let memory = out.remove(&token).expect("a command that is out ends once");
            ended.insert(token, (outcome, memory));
        };
        for seen in polled.iter().filter(|seen| seen.revents != 0) {
            self.scene.link.ready(seen.fd, seen.revents, now, &mut over);
        }
        if self.scene.link.next_at().is_some_and(|at| at <= now) {
            self.scene.link.tick(now, &mut over);
        }
    }

    /// Goes on until this is so.
    pub(crate) fn until(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so(self) {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "waited in vain: {what}");
            self.step(left.min(Duration::from_millis(200)));
        }
    }

    /// Waits for the end of a command; its memory is [`Self::memory`] then.
    pub(crate) fn end_of(&mut self, token: u64) -> Outcome {
        self.until("the end of a command", |bench| bench.ended.contains_key(&token));
        let (outcome, memory) = self.ended.remove(&token).expect("it has just been there");
        self.memory = memory;
        outcome
    }

    /// Carries a command out.
    pub(crate) fn run(&mut self, command: Command, memory: Vec<u8>) -> Outcome {
        let token = self.submit(command, memory).expect("it is taken");
        self.end_of(token)
    }

    /// The memory of the command that [`Self::end_of`] was about last.
    pub(crate) fn memory(&self) -> &[u8] {
        &self.memory
    }
}
