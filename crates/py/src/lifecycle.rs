//! The directory and the arena by themselves, for the test that holds them to their specification.

use crate::scheduler::PySettings;
use fairlead_sched::ContextId;
use fairlead_sched::accounts::Accounts;
use fairlead_sched::arena::{Arena, Refused};
use fairlead_sched::directory::{Directory, Entry, Key};
use fairlead_sched::settings::{Priority, Rate, Settings};
use pyo3::prelude::*;
use std::sync::Arc;

/// A context's name as Python has it: place and generation.
type Name = (u32, u32);
type RateFields = (Option<u64>, Option<u64>);
type SettingsFields = (u32, usize, RateFields, u64, RateFields, u32);
/// Name, key, attached and draining, settings, accounts.
type EntryFields = (Name, (String, String), (u32, u32), SettingsFields, ContextAccounts);

fn id((index, generation): Name) -> ContextId {
    ContextId { index, generation }
}

fn name(id: ContextId) -> Name {
    (id.index, id.generation)
}

fn settings_fields(settings: &Settings) -> SettingsFields {
    let rate = |rate: Rate| (rate.iops, rate.bytes_per_s);
    let priority = Priority::ALL.iter().position(|each| *each == settings.priority);
    (
        settings.weight,
        priority.unwrap_or_default(),
        rate(settings.limit),
        settings.burst_ns,
        rate(settings.guarantee),
        settings.queued_max,
    )
}

fn fields(entry: &Entry) -> EntryFields {
    (
        name(entry.id),
        (entry.key.client.clone(), entry.key.device.clone()),
        (entry.attached, entry.draining),
        settings_fields(&entry.settings),
        ContextAccounts(Arc::clone(&entry.accounts)),
    )
}

/// A context's accounts; they outlive it.
#[pyclass(frozen, module = "fairlead._dataplane")]
pub(crate) struct ContextAccounts(Arc<Accounts>);

#[pymethods]
impl ContextAccounts {
    /// Entered, left, submitted, completed, in flight: over all submitters.
    fn totals(&self) -> (u64, u64, u64, u64, u64) {
        (
            self.0.total(|shard| &shard.entered),
            self.0.total(|shard| &shard.left),
            self.0.total(|shard| &shard.submitted),
            self.0.total(|shard| &shard.completed),
            self.0.total(|shard| &shard.in_flight),
        )
    }
}

/// The data plane's directory of contexts.
#[pyclass(module = "fairlead._dataplane")]
pub(crate) struct ContextDirectory(Directory);

#[pymethods]
impl ContextDirectory {
    #[new]
    fn new(submitters: usize) -> Self {
        Self(Directory::new(submitters))
    }

    fn attach(
        &mut self,
        client: String,
        device: String,
        settings: PySettings,
    ) -> PyResult<(u32, u32, ContextAccounts)> {
        let key = Key { client, device };
        let (id, accounts) = self.0.attach(&key, settings.into_settings()?);
        Ok((id.index, id.generation, ContextAccounts(accounts)))
    }

    /// False: the context was released.
    fn detach(&mut self, index: u32, generation: u32) -> bool {
        self.0.detach(id((index, generation))).is_ok()
    }

    /// False: the context was released.
    fn hold(&mut self, index: u32, generation: u32) -> bool {
        self.0.hold(id((index, generation))).is_ok()
    }

    /// Whether the name is of a context, and the entry if this released it.
    fn drained(&mut self, index: u32, generation: u32) -> (bool, Option<EntryFields>) {
        match self.0.drained(id((index, generation))) {
            Ok(entry) => (true, entry.as_ref().map(fields)),
            Err(_) => (false, None),
        }
    }

    /// False: the context was released.
    fn set(&mut self, index: u32, generation: u32, settings: PySettings) -> PyResult<bool> {
        Ok(self.0.set(id((index, generation)), settings.into_settings()?).is_ok())
    }

    fn entry(&self, index: u32, generation: u32) -> Option<EntryFields> {
        self.0.entry(id((index, generation))).ok().map(fields)
    }

    fn entries(&self) -> Vec<EntryFields> {
        self.0.entries().map(fields).collect()
    }

    fn released(&self) -> u64 {
        self.0.released()
    }
}

/// The data plane's contexts of one submitter.
#[pyclass(module = "fairlead._dataplane", unsendable)]
pub(crate) struct ContextArena(Arena);

#[pymethods]
impl ContextArena {
    #[new]
    fn new(submitter: usize) -> Self {
        Self(Arena::new(submitter))
    }

    fn attach(&mut self, index: u32, generation: u32, accounts: &ContextAccounts) {
        self.0.attach(id((index, generation)), Arc::clone(&accounts.0));
    }

    fn detach(&mut self, index: u32, generation: u32) -> bool {
        self.0.detach(id((index, generation)))
    }

    /// Enters each inside the one before. Returns in which one it was after each entering and each
    /// leaving, and why it went no further.
    fn nest(&self, contexts: Vec<Name>) -> (Vec<Option<Name>>, Option<&'static str>) {
        let mut seen = Vec::new();
        let refused = nest(&self.0, &contexts, &mut seen);
        (seen, refused)
    }

    fn current(&self) -> Option<Name> {
        self.0.current().map(name)
    }

    fn submitted(&mut self, index: u32, generation: u32) {
        self.0.submitted(id((index, generation)), 0);
    }

    fn completed(&mut self, index: u32, generation: u32) -> bool {
        self.0.completed(id((index, generation)), 0)
    }

    fn hold(&mut self, index: u32, generation: u32, bytes: i64) {
        self.0.hold(id((index, generation)), bytes);
    }

    fn held_bytes(&self, index: u32, generation: u32) -> u64 {
        self.0.held_bytes(id((index, generation)))
    }

    fn __len__(&self) -> usize {
        self.0.len()
    }
}

fn nest(arena: &Arena, contexts: &[Name], seen: &mut Vec<Option<Name>>) -> Option<&'static str> {
    let (first, rest) = contexts.split_first()?;
    let refused = match arena.enter(id(*first)) {
        Err(Refused::Stale(_)) => return Some("stale"),
        Err(Refused::Closing(_)) => return Some("closing"),
        Ok(_entered) => {
            seen.push(arena.current().map(name));
            nest(arena, rest, seen)
        }
    };
    seen.push(arena.current().map(name));
    refused
}
