//! The longest single call of the scheduler while contexts come and go:
//! `cargo bench --manifest-path bench/decisions/Cargo.toml --bench churn`, `-- --json` for a script.
//!
//! Every call is timed. The calls are the same in every pass, so what a call takes in the shortest
//! of its passes is the scheduler's doing, and the rest is what else the machine does. Two readings
//! of the clock, some 25 ns each, are in every figure.

use fairlead_sched::ContextId;
use fairlead_sched::fair::{Device, Fair};
use fairlead_sched::scheduler::{Next, Request, Scheduler};
use fairlead_sched::settings::{Priority, Rate, Settings};
use std::time::Instant;

const DEVICE: Device = Device {
    window_ns: 1 << 40,
    cost_max_ns: 400_000,
    small_ns: 100_000,
    reserve_ns: 0,
    place_ns: None,
};
const CONTEXTS: u32 = 100_000;
const ACTIVE: u32 = 10_000;
/// Requests of each active context.
const QUEUED: u32 = 2;
const STEPS: u32 = 500_000;
const PASSES: usize = 7;
/// Between two steps, and now and then, as if the thread had been away.
const STEP_NS: u64 = 1_000;
const ABSENCE_NS: u64 = 1_000_000;
const ABSENCE_STEPS: u32 = 10_000;

/// What is timed, each kind of call by itself.
#[derive(Clone, Copy)]
enum Call {
    Arrive,
    Set,
    Push,
    Next,
    Complete,
    Close,
    CloseAll,
}

const CALLS: [(Call, &str); 7] = [
    (Call::Arrive, "arrive"),
    (Call::Set, "set"),
    (Call::Push, "push"),
    (Call::Next, "next"),
    (Call::Complete, "complete"),
    (Call::Close, "close"),
    (Call::CloseAll, "close all"),
];

/// The times of one pass, of each kind of call in their order.
type Times = [Vec<u32>; CALLS.len()];

fn timed<T>(times: &mut Vec<u32>, call: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = call();
    times.push(u32::try_from(start.elapsed().as_nanos()).unwrap_or(u32::MAX));
    result
}

/// Contexts, which of them are active, and the scheduler.
struct Churn {
    fair: Fair,
    ids: Vec<ContextId>,
    /// Requests of each that wait.
    queued: Vec<u32>,
    random: u64,
    now: u64,
    times: Times,
}

impl Churn {
    fn new() -> Self {
        Self {
            fair: Fair::new(DEVICE),
            ids: (0..CONTEXTS).map(|index| ContextId { index, generation: 0 }).collect(),
            queued: vec![0; CONTEXTS as usize],
            random: 1,
            now: 0,
            times: Default::default(),
        }
    }

    /// Below `limit`, from the high bits of a linear congruential generator.
    fn draw(&mut self, limit: u32) -> u32 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (((self.random >> 32) * u64::from(limit)) >> 32) as u32
    }

    /// Some have a limit, some a guarantee, some another priority.
    fn settings(&mut self) -> Settings {
        let weight = 1 + self.draw(16);
        let plain = Settings { weight, ..Settings::default() };
        let rate = Rate { iops: Some(u64::from(1 + self.draw(5_000))), bytes_per_s: None };
        match self.draw(8) {
            0 => Settings { limit: rate, ..plain },
            1 => {
                Settings { guarantee: Rate { iops: Some(1 + u64::from(weight)), ..rate }, ..plain }
            }
            2 => Settings { priority: Priority::Idle, ..plain },
            _ => plain,
        }
    }

    fn set(&mut self, index: u32, call: Call) {
        let settings = self.settings();
        let (fair, id, now) = (&mut self.fair, self.ids[index as usize], self.now);
        timed(&mut self.times[call as usize], || fair.set(id, settings, now));
    }

    fn push(&mut self, index: u32) {
        let cost_ns = 80_000 + u64::from(self.draw(240_000));
        let context = self.ids[index as usize];
        let request = Request { context, token: 1, cost_ns, length_bytes: 4096 };
        let (fair, now) = (&mut self.fair, self.now);
        timed(&mut self.times[Call::Push as usize], || fair.push(request, now)).expect("room");
        self.queued[index as usize] += 1;
    }

    /// An idle context begins.
    fn activate(&mut self) {
        let index = loop {
            let index = self.draw(CONTEXTS);
            if self.queued[index as usize] == 0 {
                break index;
            }
        };
        for _ in 0..QUEUED {
            self.push(index);
        }
    }

    /// The next request, its completion, and another one of its context, which now and then stops
    /// for another to begin.
    fn dispatch(&mut self) {
        let (fair, now) = (&mut self.fair, self.now);
        let next = timed(&mut self.times[Call::Next as usize], || fair.next(now));
        let Next::Submit(request) = next else { return };
        timed(&mut self.times[Call::Complete as usize], || fair.complete(request.cost_ns));
        let index = request.context.index;
        self.queued[index as usize] -= 1;
        if self.draw(8) != 0 {
            self.push(index);
        } else if self.queued[index as usize] == 0 {
            self.activate();
        }
    }

    /// A context leaves, with what it has queued, and another comes in its place.
    fn replace(&mut self) {
        let index = self.draw(CONTEXTS);
        let (fair, id) = (&mut self.fair, self.ids[index as usize]);
        timed(&mut self.times[Call::Close as usize], || fair.close(id));
        self.ids[index as usize].generation += 1;
        self.set(index, Call::Arrive);
        if std::mem::take(&mut self.queued[index as usize]) > 0 {
            self.activate();
        }
    }

    fn run(mut self) -> Times {
        for index in 0..CONTEXTS {
            self.set(index, Call::Arrive);
        }
        for _ in 0..ACTIVE {
            self.activate();
        }
        for step in 1..=STEPS {
            self.now += if step % ABSENCE_STEPS == 0 { ABSENCE_NS } else { STEP_NS };
            self.dispatch();
            if step % 8 == 0 {
                self.replace();
            }
            if step % 8 == 4 {
                let index = self.draw(CONTEXTS);
                self.set(index, Call::Set);
            }
        }
        for index in 0..CONTEXTS {
            let (fair, id) = (&mut self.fair, self.ids[index as usize]);
            timed(&mut self.times[Call::CloseAll as usize], || fair.close(id));
        }
        self.times
    }
}

/// Of one kind of call.
struct Figures {
    calls: usize,
    p50_ns: u32,
    p99_9_ns: u32,
    longest_ns: u32,
    longest_interrupted_ns: u32,
}

/// From the times of the same calls in every pass.
fn figures(passes: &[Times], call: Call) -> Figures {
    let calls = passes[0][call as usize].len();
    assert!(passes.iter().all(|pass| pass[call as usize].len() == calls), "passes differ");
    let of = |number: usize| passes.iter().map(move |pass| pass[call as usize][number]);
    let mut shortest: Vec<u32> = (0..calls).map(|n| of(n).min().unwrap_or(0)).collect();
    shortest.sort_unstable();
    let at = |per_mille: usize| shortest[(calls * per_mille).div_ceil(1000).max(1) - 1];
    Figures {
        calls,
        p50_ns: at(500),
        p99_9_ns: at(999),
        longest_ns: at(1000),
        longest_interrupted_ns: (0..calls).flat_map(of).max().unwrap_or(0),
    }
}

fn main() {
    let passes: Vec<Times> = (0..PASSES).map(|_| Churn::new().run()).collect();
    let all: Vec<(&str, Figures)> =
        CALLS.iter().map(|(call, name)| (*name, figures(&passes, *call))).collect();
    if std::env::args().any(|argument| argument == "--json") {
        let parts: Vec<String> = all.iter().map(|(name, of)| json(name, of)).collect();
        println!("{{\"calls\":{{{}}}}}", parts.join(","));
        return;
    }
    println!(
        "{CONTEXTS} contexts, {ACTIVE} active; times in ns, two readings of the clock included"
    );
    println!("call           calls      p50    p99.9  longest  with interruptions");
    for (name, of) in &all {
        println!(
            "{name:<10} {:>9} {:>8} {:>8} {:>8} {:>19}",
            of.calls, of.p50_ns, of.p99_9_ns, of.longest_ns, of.longest_interrupted_ns
        );
    }
}

fn json(name: &str, of: &Figures) -> String {
    format!(
        "\"{name}\":{{\"calls\":{},\"p50_ns\":{},\"p99_9_ns\":{},\"longest_ns\":{},\
         \"longest_interrupted_ns\":{}}}",
        of.calls, of.p50_ns, of.p99_9_ns, of.longest_ns, of.longest_interrupted_ns
    )
}
