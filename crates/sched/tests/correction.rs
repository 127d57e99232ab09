//! Wrong costs become right while a simulated device works, and right ones stay so.
#![allow(clippy::indexing_slicing, reason = "a panic here is a failed test")]

use fairlead_sched::ContextId;
use fairlead_sched::correction::{Correction, FACTOR_MAX};
use fairlead_sched::cost::Direction;
use fairlead_sched::fair::{Device, Fair};
use fairlead_sched::scheduler::{Next, Request, Scheduler};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

const US: u64 = 1_000;
const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000_000_000;
/// What every request is said to cost.
const ESTIMATE_NS: u64 = 50 * US;
const PLACES: u64 = 24;
const OUTSTANDING: u64 = 48;

/// A device of so many servers. Single requests take nothing to twice their time, at random.
struct Model {
    servers: usize,
    read_ns: u64,
    write_ns: u64,
    /// How much slower everything becomes, and faster again, twice a second.
    breath: f64,
    random: u64,
}

impl Model {
    fn new(servers: usize, ratio: f64) -> Self {
        let read_ns = 100 * US;
        let write_ns = (read_ns as f64 * ratio) as u64;
        Self { servers, read_ns, write_ns, breath: 0.0, random: 0x9E37_79B9_7F4A_7C15 }
    }

    fn draw(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random >> 11
    }

    fn kind_of(&mut self, client: &Client) -> Direction {
        let is_write = self.draw() % 100 < client.write_percent;
        if is_write { Direction::Write } else { Direction::Read }
    }

    fn service_ns(&mut self, direction: Direction, now: u64) -> u64 {
        let mean_ns = match direction {
            Direction::Read => self.read_ns,
            Direction::Write => self.write_ns,
        };
        let slowness = 1.0 + self.breath * ((now / (SECOND / 4)) % 2) as f64;
        let part = self.draw() as f64 / (1_u64 << 52) as f64;
        ((mean_ns as f64 * part * slowness) as u64).max(1)
    }
}

/// A context that always has so many requests out: all of one kind, or so many writes in a hundred.
struct Client {
    write_percent: u64,
    outstanding: u64,
}

const READER: Client = Client { write_percent: 0, outstanding: OUTSTANDING };
const WRITER: Client = Client { write_percent: 100, outstanding: OUTSTANDING };

/// What a run came to.
struct Run {
    now: u64,
    scheduler: Fair,
    correction: Correction,
    model: Model,
    free_at: Vec<u64>,
    /// When it is done, whose it is, what it is, what it was counted for, what it takes.
    flying: BinaryHeap<Reverse<(u64, u64)>>,
    requests: Vec<(u32, Direction, u64, u64)>,
    /// Real time of the device that each client had.
    had_ns: Vec<u64>,
}

impl Run {
    fn new(model: Model) -> Self {
        let device = Device {
            window_ns: PLACES,
            cost_max_ns: ESTIMATE_NS * FACTOR_MAX,
            small_ns: ESTIMATE_NS,
            reserve_ns: 2,
            place_ns: Some(1),
        };
        Self {
            now: SECOND,
            scheduler: Fair::new(device),
            correction: Correction::default(),
            free_at: vec![0; model.servers],
            model,
            flying: BinaryHeap::new(),
            requests: Vec::new(),
            had_ns: Vec::new(),
        }
    }

    fn send(&mut self, client: u32, direction: Direction) {
        let cost_ns = self.correction.cost_ns(direction, ESTIMATE_NS);
        let token = self.requests.len() as u64;
        self.requests.push((client, direction, cost_ns, 0));
        let context = ContextId { index: client, generation: 0 };
        let request = Request { context, token, cost_ns, length_bytes: 4096 };
        self.scheduler.push(request, self.now).expect("room");
    }

    /// Lets these work for so long; returns the part of the device's time that each had, over the
    /// last part of it.
    fn go(&mut self, clients: &[Client], for_ns: u64, count_ns: u64) -> Vec<f64> {
        self.had_ns = vec![0; clients.len()];
        let (ends, counts_from) = (self.now + for_ns, self.now + for_ns - count_ns);
        for (index, client) in clients.iter().enumerate() {
            for _ in 0..client.outstanding {
                let direction = self.model.kind_of(client);
                self.send(index as u32, direction);
            }
        }
        while self.now < ends {
            let outcome = self.dispatch();
            self.correction.look(outcome == Next::WindowFull, self.now);
            let Some(Reverse((done, token))) = self.flying.pop() else { break };
            self.now = done;
            let (client, direction, cost_ns, took_ns) = self.requests[token as usize];
            self.scheduler.complete(cost_ns);
            self.correction.completed(direction, ESTIMATE_NS);
            if self.now > counts_from {
                self.had_ns[client as usize] += took_ns;
            }
            let direction = self.model.kind_of(&clients[client as usize]);
            self.send(client, direction);
        }
        self.clear();
        let all: u64 = self.had_ns.iter().sum();
        self.had_ns.iter().map(|had| *had as f64 / all as f64).collect()
    }

    fn dispatch(&mut self) -> Next {
        loop {
            let request = match self.scheduler.next(self.now) {
                Next::Submit(request) => request,
                other => return other,
            };
            let direction = self.requests[request.token as usize].1;
            let took_ns = self.model.service_ns(direction, self.now);
            let server = self.free_at.iter_mut().min().expect("servers");
            *server = self.now.max(*server) + took_ns;
            self.requests[request.token as usize].3 = took_ns;
            self.flying.push(Reverse((*server, request.token)));
        }
    }

    /// What is still there is taken back.
    fn clear(&mut self) {
        while let Some(Reverse((_, token))) = self.flying.pop() {
            self.scheduler.complete(self.requests[token as usize].2);
        }
        for index in 0..self.had_ns.len() as u32 {
            self.scheduler.close(ContextId { index, generation: 0 });
        }
        self.requests.clear();
    }
}

#[test]
fn writes_that_cost_more_or_less_than_was_said_get_their_share_of_the_devices_time() {
    for (servers, ratio) in [(1, 0.25), (1, 4.0), (8, 0.25), (8, 0.5), (8, 2.0), (8, 4.0)] {
        let mut run = Run::new(Model::new(servers, ratio));
        let shares = run.go(&[READER, WRITER], 3 * SECOND, SECOND);
        let found = run.correction.ratio();
        assert!((shares[0] - 0.5).abs() < 0.05, "{servers} servers, {ratio}: {shares:?}");
        assert!((0.75..1.35).contains(&(found / ratio)), "{servers} servers, {ratio}: {found}");
    }
}

#[test]
fn contexts_that_do_both_get_theirs_too() {
    let mixed = |write_percent| Client { write_percent, outstanding: OUTSTANDING };
    let mut run = Run::new(Model::new(4, 4.0));
    let shares = run.go(&[mixed(10), mixed(80), mixed(30)], 4 * SECOND, SECOND);
    assert!(shares.iter().all(|share| (share - 1.0 / 3.0).abs() < 0.04), "{shares:?}");
}

#[test]
fn what_is_right_stays_right() {
    // Also on a device that becomes slower and faster while it is learnt from.
    for (breath, most) in [(0.0, 0.02), (0.1, 0.07), (0.3, 0.12)] {
        let mut run = Run::new(Model { breath, ..Model::new(8, 1.0) });
        let shares = run.go(&[READER, WRITER], 8 * SECOND, 7 * SECOND);
        assert!((shares[0] - 0.5).abs() < most, "breath {breath}: {shares:?}");
    }
}

#[test]
fn one_kind_alone_teaches_nothing_whatever_the_device_does() {
    for client in [READER, WRITER] {
        let alone = |outstanding| Client { outstanding, ..client };
        let mut run = Run::new(Model::new(8, 3.0));
        run.go(&[READER, WRITER], 3 * SECOND, SECOND);
        // That one has gone teaches something for the last time.
        run.go(&[alone(OUTSTANDING), alone(OUTSTANDING)], SECOND, SECOND);
        let learnt = run.correction.ratio();
        for slower in 1..6 {
            run.model.read_ns = 100 * US * slower;
            run.model.write_ns = 300 * US * slower * slower;
            run.go(&[alone(OUTSTANDING), alone(OUTSTANDING)], SECOND, SECOND);
        }
        let change = (run.correction.ratio() / learnt).ln();
        assert!(change.abs() < 1e-9, "{change}");
    }
}

#[test]
fn a_mix_that_nobodys_share_depends_on_teaches_little() {
    let both = || Client { write_percent: 30, outstanding: OUTSTANDING };
    let mut run = Run::new(Model { breath: 0.3, ..Model::new(8, 1.0) });
    for _ in 0..5 {
        run.go(&[both(), both()], SECOND, SECOND);
        let ratio = run.correction.ratio();
        assert!((0.5..2.0).contains(&ratio), "{ratio}");
    }
}

#[test]
fn a_device_that_changes_is_followed() {
    let mut run = Run::new(Model::new(8, 1.0));
    run.go(&[READER, WRITER], 3 * SECOND, SECOND);
    run.model.write_ns *= 3;
    let shares = run.go(&[READER, WRITER], 6 * SECOND, SECOND);
    assert!((shares[0] - 0.5).abs() < 0.07, "{shares:?}");
}

#[test]
fn the_ratio_has_bounds() {
    for (ratio, bound) in [(100.0, FACTOR_MAX as f64), (0.01, 1.0 / FACTOR_MAX as f64)] {
        let mut run = Run::new(Model::new(2, ratio));
        run.go(&[READER, WRITER], 4 * SECOND, SECOND);
        let found = run.correction.ratio();
        assert!((0.9..1.1).contains(&(found / bound)), "{ratio}: {found}");
        let cost = run.correction.cost_ns(Direction::Write, ESTIMATE_NS);
        assert!((ESTIMATE_NS / FACTOR_MAX..=ESTIMATE_NS * FACTOR_MAX).contains(&cost), "{cost}");
        assert_eq!(run.correction.cost_ns(Direction::Read, ESTIMATE_NS), ESTIMATE_NS);
    }
}

/// Rounds of so many reads and writes, without a device.
fn rounds(correction: &mut Correction, from: u64, mixes: &[(u64, u64)], is_busy: bool) -> u64 {
    let mut now = from;
    correction.look(is_busy, now);
    for (reads, writes) in mixes {
        (0..*reads).for_each(|_| correction.completed(Direction::Read, ESTIMATE_NS));
        (0..*writes).for_each(|_| correction.completed(Direction::Write, ESTIMATE_NS));
        now += 100 * MS;
        correction.look(is_busy, now);
    }
    now
}

/// As many of both, then fewer reads for more writes: writes cost a quarter.
const TELLING: [(u64, u64); 5] = [(500, 500), (500, 500), (400, 900), (400, 900), (500, 500)];

#[test]
fn a_device_that_lacks_work_teaches_nothing() {
    let mut correction = Correction::default();
    rounds(&mut correction, SECOND, &TELLING, false);
    assert_eq!(correction.ratio(), 1.0);
    assert_eq!(
        correction.cost_ns(Direction::Write, ESTIMATE_NS),
        ESTIMATE_NS,
        "and nothing swings"
    );
    rounds(&mut correction, 2 * SECOND, &TELLING, true);
    assert!(correction.ratio() < 0.6, "{}", correction.ratio());
}

#[test]
fn rounds_far_apart_and_rounds_with_what_nobody_can_tell_are_not_compared() {
    let mut correction = Correction::default();
    let mut now = SECOND;
    for mix in TELLING {
        now = rounds(&mut correction, now + 10 * SECOND, &[mix], true);
    }
    assert_eq!(correction.ratio(), 1.0);
    for mix in TELLING {
        correction.spoil();
        now = rounds(&mut correction, now, &[mix], true);
    }
    assert_eq!(correction.ratio(), 1.0);
}

#[test]
fn a_few_requests_are_no_round() {
    let mut correction = Correction::default();
    let few: Vec<_> = TELLING.iter().map(|(reads, writes)| (reads / 100, writes / 100)).collect();
    rounds(&mut correction, SECOND, &few, true);
    assert_eq!(correction.ratio(), 1.0);
}
