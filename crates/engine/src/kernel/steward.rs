//! The thread that makes and ends what the kernel has of contexts: keepers, cgroups, priorities.
//!
//! Rare work that may wait for the kernel, so that submitters never do. A context that has something
//! here is not released before all of it is gone: its keeper from /proc, its cgroup from the tree.

use super::group::Group;
use super::keeper::{Keeper, Order};
use super::priority::{self, group_weight, ioprio};
use super::records::{Kernel, Place, is_running};
use super::{Means, Mode};
use crate::driver::Steer;
use crate::message::Message;
use crate::shared::{Shared, lock};
use fairlead_sched::ContextId;
use fairlead_sched::seats::Ticket;
use fairlead_sched::settings::Priority;
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// How often it is seen whether what was told to end has ended: usually it takes less.
const LOOK: Duration = Duration::from_millis(1);
/// And when it takes longer than so much.
const SLOW_AFTER: Duration = Duration::from_secs(1);
const SLOW_LOOK: Duration = Duration::from_millis(100);
/// Then it is told.
const OVERDUE: Duration = Duration::from_secs(10);

/// What the steward is sent for.
#[derive(Debug)]
pub(crate) enum Errand {
    /// A submitter wants means for a context on a device, and has a place for a ring if it wants one.
    Fetch {
        /// For whom.
        context: ContextId,
        /// Where to.
        submitter: usize,
        /// To be given back with it.
        ticket: Ticket,
        /// What kind.
        mode: Mode,
        /// Weights are compared on it.
        device: u32,
        /// For a ring.
        place: Option<Place>,
    },
    /// A context has left a submitter that had asked for means.
    Left {
        /// Which.
        context: ContextId,
        /// Where.
        submitter: usize,
    },
    /// A context is due something else.
    Weigh(ContextId),
    /// Nobody wants anything any more; says when all is gone.
    Stop(Sender<()>),
}

/// What is kept for a context.
struct Kept {
    mode: Mode,
    device: u32,
    /// A bit for each submitter.
    submitters: u64,
    keeper: Option<Keeper>,
    group: Option<Group>,
    /// Threads that are in it.
    grouped: Vec<i32>,
    group_weight: u32,
    is_refused_group: bool,
    tasks: Option<File>,
    weight: u32,
    priority: Priority,
    /// As the kernel, or the submitters, were told.
    ioprio: u16,
}

/// What was told to end.
struct Ending {
    context: ContextId,
    keeper: Option<Keeper>,
    group: Option<Group>,
    since: Instant,
    is_told: bool,
}

struct Steward {
    shared: Arc<Shared>,
    kept: HashMap<ContextId, Kept>,
    ending: Vec<Ending>,
    /// Where submitters belong when they are in no context.
    home: Option<File>,
}

/// Starts the steward unless it runs.
///
/// # Errors
/// No thread can be had.
pub(crate) fn start(shared: &Arc<Shared>) -> io::Result<()> {
    if shared.kernel.is_attended() {
        return Ok(());
    }
    let home = shared.options.kernel.cgroup.as_deref().map(tasks_of).transpose().ok().flatten();
    let (kept, ending) = (HashMap::new(), Vec::new());
    let steward = Steward { shared: Arc::clone(shared), kept, ending, home };
    // It begins when it has the errands: they are taken when there is a thread for them.
    let (begin, errands) = channel();
    std::thread::Builder::new().name("steward".into()).spawn(move || {
        // None: another was quicker.
        if let Ok(Some(errands)) = errands.recv() {
            steward.run(&errands);
        }
    })?;
    // The thread is there and waits.
    let _ = begin.send(shared.kernel.errands());
    Ok(())
}

/// Waits until the kernel has nothing of any context, at most `patience`. False: it has.
pub(crate) fn stop(kernel: &Kernel, patience: Duration) -> bool {
    if !kernel.is_attended() {
        return true;
    }
    let (gone, is_gone) = channel();
    kernel.send(Errand::Stop(gone));
    // A steward that has stopped before drops what it is sent.
    !matches!(is_gone.recv_timeout(patience), Err(RecvTimeoutError::Timeout))
}

fn tasks_of(directory: &Path) -> io::Result<File> {
    File::options().write(true).open(directory.join("tasks"))
}

impl Steward {
    fn run(mut self, errands: &Receiver<Errand>) {
        let mut stopping = None;
        while stopping.is_none() || !self.ending.is_empty() {
            let slow = self.ending.iter().all(|ending| ending.since.elapsed() > SLOW_AFTER);
            let errand = match (self.ending.is_empty(), slow) {
                (true, _) => errands.recv().map_err(|_| RecvTimeoutError::Disconnected),
                (false, true) => errands.recv_timeout(SLOW_LOOK),
                (false, false) => errands.recv_timeout(LOOK),
            };
            match errand {
                Ok(Errand::Fetch { context, submitter, ticket, mode, device, place }) => {
                    self.fetch(context, (submitter, ticket), mode, device, place);
                }
                Ok(Errand::Left { context, submitter }) => self.left(context, submitter),
                Ok(Errand::Weigh(context)) => self.weigh(context),
                Ok(Errand::Stop(gone)) => stopping = Some(gone),
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {}
            }
            self.look_at_ending();
        }
    }

    fn fetch(
        &mut self,
        context: ContextId,
        (submitter, ticket): (usize, Ticket),
        mode: Mode,
        device: u32,
        place: Option<Place>,
    ) {
        let kept = match self.kept.remove(&context) {
            Some(kept) => Ok(kept),
            None => self.keep(context, mode, device),
        };
        let means = kept.and_then(|mut kept| {
            kept.submitters |= 1 << submitter;
            self.kept.insert(context, kept);
            // What it is due beside the others, before it is told.
            self.weigh_device(device);
            self.means(context, (submitter, ticket), place)
        });
        if let Some(means) = means.transpose() {
            self.shared.post(submitter, Message::Means { context, ticket, means });
        }
    }

    /// What the submitter is given; `None`: its keeper gives it.
    fn means(
        &self,
        context: ContextId,
        (submitter, ticket): (usize, Ticket),
        place: Option<Place>,
    ) -> Result<Option<Means>, String> {
        let kept = self.kept.get(&context).ok_or("it is gone")?;
        if let (Some(keeper), Some(place)) = (&kept.keeper, place) {
            if !is_running(keeper.id) {
                return Err("its keeper is gone".into());
            }
            let place = self.shared.kernel.change(context, |record| place.of(record));
            keeper.order(Order::Make { submitter, ticket, place });
            return Ok(None);
        }
        let steer = match (kept.mode, &kept.tasks, &self.home) {
            (Mode::MoveGroup, Some(tasks), Some(home)) => {
                Steer::Move { there: tasks.as_raw_fd(), back: home.as_raw_fd() }
            }
            (Mode::SetPriority, ..) => Steer::SetPriority(kept.ioprio),
            (Mode::Priority, ..) => Steer::Priority(kept.ioprio),
            _ => return Err("there is no cgroup to move to".into()),
        };
        Ok(Some(Means::Steer(steer)))
    }

    /// Makes what a context needs for this mode.
    fn keep(&mut self, context: ContextId, mode: Mode, device: u32) -> Result<Kept, String> {
        if self.ending.iter().any(|ending| ending.context == context) {
            return Err("what it had before has not ended yet".into());
        }
        let most = self.shared.options.kernel.keepers_max;
        let is_small = matches!(mode, Mode::Priority | Mode::SetPriority);
        if !is_small && self.kept.len() >= most {
            return Err(format!("{most} contexts have a keeper or a cgroup already"));
        }
        let settings = {
            let mut directory = lock(&self.shared.directory);
            let settings = directory.settings(context);
            // It is not released before what is made here is gone.
            settings.and_then(|settings| directory.hold(context).map(|()| settings))
        };
        let settings = settings.map_err(|_| String::from("it is gone"))?;
        let (weight, priority) = (settings.weight, settings.priority);
        let ioprio = ioprio(priority, weight, weight);
        let mut kept = Kept {
            mode,
            device,
            submitters: 0,
            keeper: None,
            group: None,
            grouped: Vec::new(),
            group_weight: 0,
            is_refused_group: false,
            tasks: None,
            weight,
            priority,
            ioprio,
        };
        match self.make(context, &mut kept) {
            Ok(()) => Ok(kept),
            Err(reason) => {
                self.end(context, kept);
                Err(reason)
            }
        }
    }

    fn make(&self, context: ContextId, kept: &mut Kept) -> Result<(), String> {
        match kept.mode {
            Mode::Ring => {
                let keeper = Keeper::start(context, kept.ioprio, &self.shared)
                    .map_err(|error| format!("it can have no keeper: {error}"))?;
                self.shared.kernel.change(context, |record| record.keeper = Some(keeper.id));
                kept.keeper = Some(keeper);
            }
            Mode::MoveGroup => {
                self.group(context, kept);
                kept.tasks = kept.group.as_ref().and_then(|group| group.tasks().ok());
            }
            Mode::Off | Mode::Priority | Mode::SetPriority => {}
        }
        Ok(())
    }

    /// Gives a context a cgroup, and moves its threads there. One that can have none is told once.
    fn group(&self, context: ContextId, kept: &mut Kept) {
        let parent = self.shared.options.kernel.cgroup.as_ref().filter(|_| !kept.is_refused_group);
        let Some(parent) = parent else { return };
        let made = match kept.group.take() {
            Some(group) => Ok(group),
            None => {
                let (index, generation) = (context.index, context.generation);
                let name = format!("fairlead.{}.{index}.{generation}", std::process::id());
                Group::new(parent, &name, group_weight(kept.priority, kept.weight, kept.weight))
            }
        };
        let moved = made.and_then(|group| {
            let mut threads = self.shared.kernel.threads(context);
            threads.retain(|thread| !kept.grouped.contains(thread) && is_running(*thread));
            let moved = threads.into_iter().try_for_each(|thread| {
                kept.grouped.push(thread);
                group.take(thread)
            });
            kept.group = Some(group);
            moved
        });
        if let Err(error) = moved {
            kept.is_refused_group = true;
            self.shared.kernel_refuses(context, format!("it has no cgroup: {error}"));
        }
    }

    fn left(&mut self, context: ContextId, submitter: usize) {
        let Some(kept) = self.kept.get_mut(&context) else { return };
        kept.submitters &= !(1 << submitter);
        if kept.submitters != 0 {
            return;
        }
        let Some(kept) = self.kept.remove(&context) else { return };
        let device = kept.device;
        self.end(context, kept);
        self.weigh_device(device);
    }

    fn end(&mut self, context: ContextId, kept: Kept) {
        if let Some(keeper) = &kept.keeper {
            keeper.order(Order::Stop);
        }
        self.shared.kernel.end(context);
        let (keeper, group, since) = (kept.keeper, kept.group, Instant::now());
        self.ending.push(Ending { context, keeper, group, since, is_told: false });
    }

    /// Releases contexts of which the kernel has nothing any more.
    fn look_at_ending(&mut self) {
        let Self { shared, ending, .. } = self;
        ending.retain_mut(|ending| {
            // Looked up each time: its keeper may have been making a ring.
            let mut threads = shared.kernel.threads(ending.context);
            threads.retain(|thread| is_running(*thread));
            if threads.is_empty() {
                // One that was killed has left rings behind, on its desk.
                ending.keeper.iter().for_each(Keeper::clear);
                let is_empty = || ending.group.as_ref().is_none_or(Group::remove);
                if !shared.kernel.has_rings(ending.context) && is_empty() {
                    shared.kernel.forget(ending.context);
                    shared.context_drained(ending.context);
                    return false;
                }
            }
            if ending.since.elapsed() > OVERDUE && !std::mem::replace(&mut ending.is_told, true) {
                let reason = match threads.first() {
                    Some(thread) => format!("thread {thread} of it does not end"),
                    None => "a ring, or a thread in its cgroup, stays".into(),
                };
                shared.kernel_refuses(ending.context, reason);
            }
            true
        });
    }

    fn weigh(&mut self, context: ContextId) {
        let Ok(settings) = lock(&self.shared.directory).settings(context) else { return };
        let Some(kept) = self.kept.get_mut(&context) else { return };
        (kept.weight, kept.priority) = (settings.weight, settings.priority);
        let device = kept.device;
        self.weigh_device(device);
    }

    /// Tells the kernel what the contexts of a device are due beside each other.
    fn weigh_device(&mut self, device: u32) {
        // Out of the table, so that each can be worked on beside the rest.
        let mut all = std::mem::take(&mut self.kept);
        let weights = || all.values().filter(|kept| kept.device == device).map(|kept| kept.weight);
        let heaviest = weights().max().unwrap_or(1);
        // Groups cost the elevator time for each request; contexts with one weight need none.
        let is_uneven = weights().any(|weight| weight != heaviest);
        for (context, kept) in all.iter_mut().filter(|(_, kept)| kept.device == device) {
            let is_grouped = kept.group.is_some();
            if kept.mode == Mode::Ring && (is_uneven || is_grouped) {
                self.group(*context, kept);
            }
            if let Some(group) = &kept.group {
                let weight = group_weight(kept.priority, kept.weight, heaviest);
                if std::mem::replace(&mut kept.group_weight, weight) != weight {
                    // A group that somebody has removed has nobody in it.
                    let _ = group.set_weight(weight);
                }
            }
            let ioprio = ioprio(kept.priority, kept.weight, heaviest);
            if std::mem::replace(&mut kept.ioprio, ioprio) == ioprio {
                continue;
            }
            if let Some(keeper) = &kept.keeper {
                // It fails for a keeper that was killed.
                let _ = priority::set(keeper.id, ioprio);
            }
            let steer = match kept.mode {
                Mode::Priority => Steer::Priority(ioprio),
                Mode::SetPriority => Steer::SetPriority(ioprio),
                _ => continue,
            };
            for submitter in (0..64).filter(|submitter| kept.submitters & 1 << submitter != 0) {
                self.shared.post(submitter, Message::Steer(*context, steer));
            }
        }
        self.kept = all;
    }
}
