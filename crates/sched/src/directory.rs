//! Every context of the process, by key. Touched when sessions begin and end, never per command.
//!
//! Life cycle: `active -> closing -> released`. Two counters with two names decide it:
//! *attached* sessions may still issue I/O, *draining* ones only have I/O left that the kernel
//! holds. A context is closing when nobody is attached, and released when nobody is draining
//! either; released means that its exit step has run, and it runs exactly once.

use crate::ContextId;
use crate::accounts::Accounts;
use crate::settings::Settings;
use std::collections::HashMap;
use std::sync::Arc;

/// Who the I/O is for: the grouping's key and the backing device.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    /// What the grouping made of the client, e.g. the initiator's name.
    pub client: String,
    /// Name of the backing device.
    pub device: String,
}

/// Where a context stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Sessions may issue I/O.
    Active,
    /// Only I/O that was submitted before is left.
    Closing,
}

/// A context as the directory knows it.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its name.
    pub id: ContextId,
    /// Its key.
    pub key: Key,
    /// Sessions that may still issue I/O.
    pub attached: u32,
    /// Sessions that have ended and still have I/O with the kernel, and what else it has.
    pub draining: u32,
    /// What it is due.
    pub settings: Settings,
    /// What it has used.
    pub accounts: Arc<Accounts>,
}

impl Entry {
    /// Where it stands.
    pub fn state(&self) -> State {
        if self.attached > 0 { State::Active } else { State::Closing }
    }
}

/// The name is of a context that was released.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stale(pub ContextId);

/// All contexts.
#[derive(Debug)]
pub struct Directory {
    submitters: usize,
    slots: Vec<(u32, Option<Entry>)>,
    free: Vec<u32>,
    by_key: HashMap<Key, ContextId>,
    released: u64,
}

impl Directory {
    /// An empty directory for this many submitters.
    pub fn new(submitters: usize) -> Self {
        Self {
            submitters,
            slots: Vec::new(),
            free: Vec::new(),
            by_key: HashMap::new(),
            released: 0,
        }
    }

    /// A session joins the context of this key; a closing context is not revived, the session gets
    /// a new one. A new context is due what `settings` says.
    pub fn attach(&mut self, key: &Key, settings: Settings) -> (ContextId, Arc<Accounts>) {
        if let Some(entry) = self.by_key.get(key).copied().and_then(|id| self.entry_mut(id).ok()) {
            entry.attached += 1;
            return (entry.id, Arc::clone(&entry.accounts));
        }
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push((0, None));
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        let (generation, slot) =
            self.slots.get_mut(index as usize).expect("the index is of this table");
        let id = ContextId { index, generation: *generation };
        let accounts = Arc::new(Accounts::new(self.submitters));
        *slot = Some(Entry {
            id,
            key: key.clone(),
            attached: 1,
            draining: 0,
            settings,
            accounts: Arc::clone(&accounts),
        });
        self.by_key.insert(key.clone(), id);
        (id, accounts)
    }

    /// What a context is due.
    ///
    /// # Errors
    /// The context was released.
    pub fn settings(&self, id: ContextId) -> Result<Settings, Stale> {
        self.entry(id).map(|entry| entry.settings)
    }

    /// A context is due something else from now on.
    ///
    /// # Errors
    /// The context was released.
    pub fn set(&mut self, id: ContextId, settings: Settings) -> Result<(), Stale> {
        self.entry_mut(id)?.settings = settings;
        Ok(())
    }

    /// A session will issue no more I/O in this context.
    ///
    /// # Errors
    /// The context was released already.
    pub fn detach(&mut self, id: ContextId) -> Result<(), Stale> {
        let entry = self.entry_mut(id)?;
        debug_assert!(entry.attached > 0, "detached more often than attached");
        entry.attached = entry.attached.saturating_sub(1);
        entry.draining += 1;
        if entry.attached == 0 {
            let key = entry.key.clone();
            // A newer context may have the key already.
            if self.by_key.get(&key) == Some(&id) {
                self.by_key.remove(&key);
            }
        }
        Ok(())
    }

    /// Something of the context is with the kernel, and is given up with [`Self::drained`]: it is not
    /// released before.
    ///
    /// # Errors
    /// The context was released.
    pub fn hold(&mut self, id: ContextId) -> Result<(), Stale> {
        self.entry_mut(id)?.draining += 1;
        Ok(())
    }

    /// A detached session's last I/O is over, or what was held is given up. Returns the entry when this was the last of the
    /// context: it is released, and whoever gets it runs the exit step.
    ///
    /// # Errors
    /// The context was released already.
    pub fn drained(&mut self, id: ContextId) -> Result<Option<Entry>, Stale> {
        let entry = self.entry_mut(id)?;
        debug_assert!(entry.draining > 0, "drained more often than detached");
        entry.draining = entry.draining.saturating_sub(1);
        if entry.attached > 0 || entry.draining > 0 {
            return Ok(None);
        }
        let (generation, slot) = self.slots.get_mut(id.index as usize).ok_or(Stale(id))?;
        *generation = generation.wrapping_add(1);
        self.free.push(id.index);
        self.released += 1;
        Ok(slot.take())
    }

    /// The context of this name.
    ///
    /// # Errors
    /// It was released.
    pub fn entry(&self, id: ContextId) -> Result<&Entry, Stale> {
        let slot = self.slots.get(id.index as usize).and_then(|(_, entry)| entry.as_ref());
        slot.filter(|entry| entry.id == id).ok_or(Stale(id))
    }

    fn entry_mut(&mut self, id: ContextId) -> Result<&mut Entry, Stale> {
        let slot = self.slots.get_mut(id.index as usize).and_then(|(_, entry)| entry.as_mut());
        slot.filter(|entry| entry.id == id).ok_or(Stale(id))
    }

    /// All contexts that are not released.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.slots.iter().filter_map(|(_, entry)| entry.as_ref())
    }

    /// How many contexts have been released since the start.
    pub fn released(&self) -> u64 {
        self.released
    }
}

#[cfg(test)]
mod tests {
    use super::{Directory, Key, Stale, State};
    use crate::settings::Settings;

    fn key(client: &str) -> Key {
        Key { client: client.into(), device: "vda".into() }
    }

    #[test]
    fn sessions_of_one_key_share_a_context() {
        let mut directory = Directory::new(1);
        let (first, _) = directory.attach(&key("a"), Settings::default());
        let (second, _) = directory.attach(&key("a"), Settings::default());
        let (other, _) = directory.attach(&key("b"), Settings::default());
        assert_eq!(first, second);
        assert_ne!(first, other);
        assert_eq!(directory.entry(first).expect("active").attached, 2);
    }

    #[test]
    fn a_context_is_released_once_when_the_last_session_is_drained() {
        let mut directory = Directory::new(1);
        let (id, _) = directory.attach(&key("a"), Settings::default());
        directory.attach(&key("a"), Settings::default());
        directory.detach(id).expect("active");
        assert!(directory.drained(id).expect("active").is_none());
        directory.detach(id).expect("active");
        assert_eq!(directory.entry(id).expect("closing").state(), State::Closing);
        assert!(directory.drained(id).expect("closing").is_some());
        assert_eq!(directory.drained(id).err(), Some(Stale(id)));
        assert_eq!(directory.released(), 1);
    }

    #[test]
    fn a_closing_context_is_not_revived_and_its_name_not_reused() {
        let mut directory = Directory::new(1);
        let (old, _) = directory.attach(&key("a"), Settings::default());
        directory.detach(old).expect("active");
        let (new, _) = directory.attach(&key("a"), Settings::default());
        assert_ne!(old, new);
        directory.drained(old).expect("closing");
        let (third, _) = directory.attach(&key("b"), Settings::default());
        assert_eq!(third.index, old.index);
        assert_ne!(third.generation, old.generation);
        assert!(directory.entry(old).is_err());
        assert!(directory.entry(new).is_ok());
    }

    #[test]
    fn settings_are_the_contexts_and_change_while_it_lives() {
        let mut directory = Directory::new(1);
        let heavy = Settings { weight: 7, ..Settings::default() };
        let (id, _) = directory.attach(&key("a"), heavy);
        directory.attach(&key("a"), Settings::default());
        assert_eq!(directory.settings(id), Ok(heavy), "a second session changes nothing");
        directory.set(id, Settings::default()).expect("active");
        assert_eq!(directory.settings(id), Ok(Settings::default()));
        directory.detach(id).and_then(|()| directory.detach(id)).expect("active");
        directory.drained(id).and_then(|_| directory.drained(id)).expect("closing");
        assert_eq!(directory.set(id, heavy), Err(Stale(id)));
    }
}
