//! What a decision of the scheduler costs: `cargo bench --manifest-path bench/decisions/Cargo.toml`.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use fairlead_sched::ContextId;
use fairlead_sched::fair::{Device, Fair};
use fairlead_sched::scheduler::{Next, Request, Scheduler};
use fairlead_sched::settings::Settings;
use std::hint::black_box;

const DEVICE: Device = Device {
    window_ns: 1 << 40,
    cost_max_ns: 400_000,
    small_ns: 100_000,
    reserve_ns: 0,
    place_ns: None,
};

fn request(context: u32, cost_ns: u64) -> Request {
    let context = ContextId { index: context, generation: 0 };
    Request { context, token: 1, cost_ns, length_bytes: 4096 }
}

/// A request that need not wait, and its completion.
fn bypass(criterion: &mut Criterion) {
    let mut fair = Fair::new(DEVICE);
    criterion.bench_function("bypass and complete, one context", |bencher| {
        bencher.iter(|| {
            assert!(fair.bypass(&black_box(request(0, 80_000)), 0));
            fair.complete(80_000);
        });
    });
    let mut fair = Fair::new(DEVICE);
    let mut turn = 0_u32;
    criterion.bench_function("bypass and complete, 1,000 contexts", |bencher| {
        bencher.iter(|| {
            turn = (turn + 389) % 1000;
            assert!(fair.bypass(&black_box(request(turn, 80_000)), 0));
            fair.complete(80_000);
        });
    });
}

/// The next request of contexts that all have some waiting, its completion, and another one queued.
fn dispatch(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("dispatch, complete and queue");
    for contexts in [16, 1_000, 10_000, 100_000] {
        let mut fair = Fair::new(DEVICE);
        for context in 0..contexts {
            let id = ContextId { index: context, generation: 0 };
            let weight = 1 + context % 16;
            fair.set(id, Settings { weight, ..Settings::default() }, 0);
            for _ in 0..2 {
                let cost_ns = 80_000 + u64::from(context.wrapping_mul(2_654_435_761) % 240_000);
                fair.push(request(context, cost_ns), 0).expect("room");
            }
        }
        group.bench_function(BenchmarkId::from_parameter(contexts), |bencher| {
            bencher.iter(|| {
                let Next::Submit(next) = black_box(fair.next(0)) else { unreachable!("they wait") };
                fair.complete(next.cost_ns);
                fair.push(next, 0).expect("room");
            });
        });
    }
}

criterion_group!(benches, bypass, dispatch);
criterion_main!(benches);
