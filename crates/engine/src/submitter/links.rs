//! A submitter's links to devices that carry commands out themselves, and what is watched for them.

use super::Token;
use crate::driver::Driver;
use crate::passthrough::{Command, Failure, Link, Outcome, Watch, open_link};
use crate::volume::Volume;
use fairlead_sched::Nanos;
use fairlead_sched::arena::Entered;
use std::os::fd::RawFd;

/// A link, and the watches that are set for it.
struct Open {
    volume: u32,
    link: Box<dyn Link>,
    /// Number of each, and what is watched.
    watches: Vec<(u32, Watch)>,
    /// Its watches may have to change.
    is_touched: bool,
    /// The session in which the device has answered something else than that we are new to it.
    greeted: u32,
}

/// All links of one submitter: few, so they are searched.
#[derive(Default)]
pub(super) struct Links {
    open: Vec<Open>,
    watches: u32,
    wanted: Vec<Watch>,
    over: Vec<(Token, Outcome)>,
}

impl Links {
    /// Sends a command to a volume's device. Only who has entered a context can.
    pub(super) fn submit(
        &mut self,
        entered: &Entered<'_>,
        volume: &Volume,
        token: Token,
        command: &Command,
        now: Nanos,
    ) -> Result<(), Failure> {
        debug_assert_eq!(entered.shard().entered.get(), entered.shard().left.get() + 1);
        let open = self.of(volume).ok_or(Failure::Gone)?;
        open.is_touched = true;
        open.link.submit(token, command, now)
    }

    /// Gives a command up that is out.
    pub(super) fn abort(&mut self, volume: &Volume, token: Token, now: Nanos) {
        if let Some(open) = self.open.iter_mut().find(|open| open.volume == volume.id) {
            open.is_touched = true;
            open.link.abort(token, now);
        }
    }

    /// The link of a volume, which is opened when it is first wanted, and again if that has failed.
    fn of(&mut self, volume: &Volume) -> Option<&mut Open> {
        // Its watches are over with what was out.
        self.open.retain(|open| open.volume != volume.id || !open.link.is_over());
        let found = self.open.iter().position(|open| open.volume == volume.id);
        let place = match found {
            Some(place) => place,
            None => {
                let device = volume.passes_to()?;
                let link = open_link(&device.at, device.settings.commands_max);
                let link = link.ok()?;
                self.open.push(Open {
                    volume: volume.id,
                    link,
                    watches: Vec::new(),
                    is_touched: true,
                    greeted: 0,
                });
                self.open.len() - 1
            }
        };
        self.open.get_mut(place)
    }

    /// Whether this unit attention says only that our own session is new: nothing has happened to
    /// anybody else. Whatever else a device says, it has said that before.
    pub(super) fn is_greeting(&mut self, volume: &Volume, asc: u16) -> bool {
        /// POWER ON, RESET, OR BUS DEVICE RESET; I_T NEXUS LOSS.
        const GREETINGS: [u16; 3] = [0x2900, 0x2901, 0x2907];
        let Some(open) = self.open.iter().find(|open| open.volume == volume.id) else {
            return false;
        };
        GREETINGS.contains(&asc) && open.greeted != open.link.sessions()
    }

    /// The device has answered something else than a greeting.
    pub(super) fn has_greeted(&mut self, volume: &Volume) {
        if let Some(open) = self.open.iter_mut().find(|open| open.volume == volume.id) {
            open.greeted = open.link.sessions();
        }
    }

    /// A volume is no more.
    pub(super) fn close(&mut self, volume: u32, driver: &mut dyn Driver) {
        self.open.retain(|open| {
            let stays = open.volume != volume;
            if !stays {
                open.watches.iter().for_each(|(number, watch)| driver.unwatch(*number, watch.fd));
            }
            stays
        });
    }

    /// Watches for what links wait for now.
    pub(super) fn watch(&mut self, driver: &mut dyn Driver) {
        let Self { open, watches: numbers, wanted, .. } = self;
        for open in open.iter_mut().filter(|open| open.is_touched) {
            open.is_touched = false;
            wanted.clear();
            open.link.watches(wanted);
            open.watches.retain(|(number, watch)| {
                let stays = wanted.contains(watch);
                if !stays {
                    driver.unwatch(*number, watch.fd);
                }
                stays
            });
            for watch in wanted.iter() {
                if !open.watches.iter().any(|(_, set)| set == watch) {
                    *numbers = numbers.wrapping_add(1);
                    open.watches.push((*numbers, *watch));
                    driver.watch(*numbers, watch.fd, watch.events);
                }
            }
        }
    }

    /// A watch has told something. Returns what has ended.
    pub(super) fn ready(&mut self, number: u32, events: i16, now: Nanos) -> Vec<(Token, Outcome)> {
        let mut over = std::mem::take(&mut self.over);
        for open in &mut self.open {
            let Some(fd) = open.told(number) else { continue };
            open.is_touched = true;
            open.link.ready(fd, events, now, &mut |token, outcome| over.push((token, outcome)));
        }
        over
    }

    /// Time has passed. Returns what has ended.
    pub(super) fn tick(&mut self, now: Nanos) -> Vec<(Token, Outcome)> {
        let mut over = std::mem::take(&mut self.over);
        for open in self.open.iter_mut().filter(|open| open.is_due(now)) {
            open.is_touched = true;
            open.link.tick(now, &mut |token, outcome| over.push((token, outcome)));
        }
        over
    }

    /// Takes the list back, to be used again.
    pub(super) fn give_back(&mut self, mut over: Vec<(Token, Outcome)>) {
        over.clear();
        self.over = over;
    }

    /// When [`Self::tick`] is to be called next.
    pub(super) fn next_at(&self) -> Option<Nanos> {
        self.open.iter().filter_map(|open| open.link.next_at()).min()
    }
}

impl Open {
    /// The descriptor of a watch, which is over by that.
    fn told(&mut self, number: u32) -> Option<RawFd> {
        let place = self.watches.iter().position(|(known, _)| *known == number)?;
        Some(self.watches.swap_remove(place).1.fd)
    }

    fn is_due(&self, now: Nanos) -> bool {
        self.link.next_at().is_some_and(|at| at <= now)
    }
}
