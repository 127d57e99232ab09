"""The experiments in the order of the report."""

from bench.fairness.experiments import (
    arrival,
    decisions,
    disk,
    idle,
    overhead,
    promises,
    shares,
    victim,
    virtual_time,
)

EXPERIMENTS = {
    experiment.name: experiment
    for experiment in (
        shares.EXPERIMENT,
        victim.EXPERIMENT,
        disk.EXPERIMENT,
        idle.EXPERIMENT,
        overhead.EXPERIMENT,
        promises.EXPERIMENT,
        arrival.EXPERIMENT,
        decisions.EXPERIMENT,
        virtual_time.EXPERIMENT,
    )
}
