# Everyday work on fairlead. `make help` lists the targets; ./demo and ./test call this on a bare
# machine, after installing what it lacks.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/stamps
PIP := $(BIN)/python -m pip --disable-pip-version-check
RUST_SOURCES := $(shell find crates -name '*.rs' -o -name Cargo.toml -o -name build.rs) \
                Cargo.toml Cargo.lock

# What `make serve` serves: volumes and options of `fairlead serve`.
ARGS ?= disk.img:1G
# What `make bench` measures: arguments of bench/run.py.
BENCH ?=
# What `make bench-fairness` measures: arguments of bench/fairness/run.py.
FAIRNESS ?=
# What `make bench-kernel-contexts` measures: arguments of bench/kernel_contexts/run.py.
KERNEL_CONTEXTS ?=
# How long `make fuzz` goes on: seconds for each target, rounds of each random test.
FUZZ_SECONDS ?= 300
FUZZ_ROUNDS ?= 200000
# Ends of sessions for each driver and pool in `make soak`; ./test runs fewer.
SOAK_ROUNDS ?= 1000
# Power cuts and other faults of each kind in `make guest`, and MiB that fio verifies each time.
GUEST_ROUNDS ?= 10
GUEST_MIB ?= 48

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | \
	    while IFS='|' read -r name text; do printf '  %-14s %s\n' "$$name" "$$text"; done

.PHONY: setup
setup: $(STAMPS)/extension $(STAMPS)/dev ## everything for development, into .venv (quick when repeated)

$(STAMPS)/venv:
	@test -x $(BIN)/python || { echo "== virtual environment"; $(PYTHON) -m venv $(VENV); }
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/runtime: requirements/runtime.txt requirements/build.txt | $(STAMPS)/venv
	@echo "== Python packages to build and run"
	@$(PIP) install -q --require-hashes --only-binary :all: \
	    -r requirements/runtime.txt -r requirements/build.txt
	@touch $@

$(STAMPS)/dev: requirements/dev.txt | $(STAMPS)/runtime
	@echo "== Python packages for development"
	@$(PIP) install -q --require-hashes --only-binary :all: -r requirements/dev.txt
	@touch $@

# The Python part is installed in place: only Rust sources and metadata need this again.
$(STAMPS)/extension: $(RUST_SOURCES) pyproject.toml | $(STAMPS)/runtime
	@echo "== data plane (cargo, release)"
	@. $(BIN)/activate && maturin develop --release --locked
	@touch $@

.PHONY: serve
serve: $(STAMPS)/extension ## serve volumes until interrupted: make serve ARGS='disk.img:1G'
	$(BIN)/python -m fairlead serve $(ARGS)

.PHONY: demo
demo: $(STAMPS)/extension $(STAMPS)/dev ## real initiators in their own contexts, and what each got, as tables and a picture
	@$(BIN)/python -m scripts.demo

.PHONY: test
test: setup ## every check; the last lines are the table of drivers and pools, and the counts
	@$(BIN)/python -m scripts.run_checks

.PHONY: quick
quick: setup ## the checks without real initiators
	@$(BIN)/python -m scripts.run_checks --only lint --only rust --only python \
	    --pytest 'not e2e and not slow'

.PHONY: lint
lint: setup ## ruff, mypy, import layers, rustfmt, clippy
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings

.PHONY: format
format: setup ## rewrite the sources as `make lint` wants them
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	cargo fmt --all

.PHONY: interleavings
interleavings: ## the orders in which a submitter and a keeper can take their steps, by shuttle
	RUSTFLAGS='--cfg shuttle' CARGO_TARGET_DIR=target/shuttle \
	    cargo test --locked -p fairlead-handoff

.PHONY: conformance
conformance: setup ## libiscsi's conformance suite on every driver and pool
	$(BIN)/python -m scripts.run_checks --only conformance

.PHONY: fuzz
fuzz: setup ## every decoder and state machine of both languages, for long: make fuzz FUZZ_SECONDS=3600
	fuzz/run $(FUZZ_SECONDS)
	FAIRLEAD_FUZZ_ROUNDS=$(FUZZ_ROUNDS) cargo test --release --locked -p fairlead-proto --test fuzz
	$(BIN)/python -m pytest -m hypothesis --hypothesis-profile=long --timeout=0

.PHONY: soak
soak: setup ## ends of sessions, crashes, hostile peers, for long: make soak SOAK_ROUNDS=10000
	FAIRLEAD_TEARDOWNS=$(SOAK_ROUNDS) FAIRLEAD_MODEL_ROUNDS=50 FAIRLEAD_SEED=$$$$ \
	    $(BIN)/python -m pytest tests/teardown tests/durability tests/hostile

.PHONY: guest
guest: setup ## Linux's own initiator in an emulated machine, for long: make guest GUEST_ROUNDS=50
	@sh -c '. ./scripts/prepare.sh; prepare test'
	rm -f .results/guest/figures.json
	FAIRLEAD_GUEST_ROUNDS=$(GUEST_ROUNDS) FAIRLEAD_GUEST_MIB=$(GUEST_MIB) \
	    FAIRLEAD_SEED=$${FAIRLEAD_SEED:-$$$$} $(BIN)/python -m pytest tests/guest
	$(BIN)/python -m tests.guest.report

.PHONY: bench
bench: setup ## measure against tgt and a bare loop (bench/README.md): make bench BENCH='--help'
	@sh -c '. ./scripts/prepare.sh; prepare bench'
	$(MAKE) -C bench
	$(BIN)/python bench/run.py $(BENCH)

.PHONY: bench-fairness
bench-fairness: setup ## measure who gets what beside whom (bench/fairness/README.md)
	@sh -c '. ./scripts/prepare.sh; prepare bench'
	$(MAKE) -C bench
	$(BIN)/python bench/fairness/run.py $(FAIRNESS)

.PHONY: bench-kernel-contexts
bench-kernel-contexts: setup ## measure what the kernel's elevator makes of clients, as root (bench/kernel-contexts/README.md)
	@sh -c '. ./scripts/prepare.sh; prepare bench'
	$(MAKE) -C bench
	$(BIN)/python bench/kernel_contexts/run.py $(KERNEL_CONTEXTS)

.PHONY: wheel
wheel: $(STAMPS)/runtime ## dist/*.whl, which installs and serves without cargo
	$(BIN)/maturin build --release --locked --out dist

.PHONY: pins
pins: setup ## compile requirements/*.in to pinned versions with hashes
	@sh scripts/pin_requirements.sh

.PHONY: clean
clean: ## remove what was built, except the virtual environment
	rm -rf target dist .guest .results .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .hypothesis
