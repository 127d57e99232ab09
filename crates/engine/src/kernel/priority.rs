//! I/O priorities: best effort, eight levels. Elevators give a level a share of 8 - level, in eighths
//! of the first's: so a weight becomes the level whose share is nearest, beside the heaviest.

use fairlead_sched::settings::Priority;
use std::io;

const BEST_EFFORT: u16 = 2;
const IDLE: u16 = 3;
const CLASS_SHIFT: u16 = 13;
const LEVELS: u32 = 8;
const WHO_PROCESS: libc::c_int = 1;

/// Class and level for the kernel.
///
/// `weight` is compared with the `heaviest` on the device. Who is idle gets the idle class, who is
/// urgent the first level.
pub(crate) fn ioprio(priority: Priority, weight: u32, heaviest: u32) -> u16 {
    match priority {
        Priority::Urgent => BEST_EFFORT << CLASS_SHIFT,
        Priority::Idle => IDLE << CLASS_SHIFT,
        Priority::Normal => {
            let heaviest = u64::from(heaviest.max(weight).max(1));
            let eighths = (u64::from(weight) * u64::from(LEVELS) * 2 + heaviest) / (2 * heaviest);
            let eighths = eighths.clamp(1, u64::from(LEVELS)) as u16;
            BEST_EFFORT << CLASS_SHIFT | (LEVELS as u16 - eighths)
        }
    }
}

/// The cgroup's weight, 1 to 1000. Groups have no classes: who is urgent or idle gets the most or the
/// least.
pub(crate) fn group_weight(priority: Priority, weight: u32, heaviest: u32) -> u32 {
    let heaviest = u64::from(heaviest.max(weight).max(1));
    match priority {
        Priority::Urgent => 1000,
        Priority::Idle => 1,
        Priority::Normal => (u64::from(weight) * 1000).div_ceil(heaviest).clamp(1, 1000) as u32,
    }
}

/// Gives a thread of this process an I/O priority, and with its first one an io_context. 0: the
/// thread that calls.
pub(crate) fn set(thread: i32, ioprio: u16) -> io::Result<()> {
    // SAFETY: plain integers; ioprio_set(2) has no wrapper.
    let result = unsafe {
        libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, thread, libc::c_int::from(ioprio))
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::{group_weight, ioprio};
    use fairlead_sched::settings::Priority;

    fn level(weight: u32, heaviest: u32) -> u16 {
        let ioprio = ioprio(Priority::Normal, weight, heaviest);
        assert_eq!(ioprio >> 13, 2, "best effort");
        ioprio & 0x1FFF
    }

    #[test]
    fn levels_are_to_each_other_as_weights_are() {
        assert_eq!([level(4, 4), level(1, 4)], [0, 6], "8 and 2 of 8");
        assert_eq!([level(2, 2), level(1, 2)], [0, 4]);
        assert_eq!([level(1, 1), level(1000, 1000)], [0, 0]);
        assert_eq!(level(1, 1000), 7, "nobody is given nothing");
        assert_eq!(level(3, 2), 0, "the heaviest has changed meanwhile");
    }

    #[test]
    fn classes_are_the_kernels() {
        assert_eq!(ioprio(Priority::Urgent, 1, 1000), 2 << 13);
        assert_eq!(ioprio(Priority::Idle, 1000, 1000), 3 << 13);
    }

    #[test]
    fn group_weights_use_the_whole_range() {
        let normal = |weight, heaviest| group_weight(Priority::Normal, weight, heaviest);
        assert_eq!([normal(4, 4), normal(1, 4)], [1000, 250]);
        assert_eq!([normal(1, 1), normal(1, 1000)], [1000, 1]);
        assert_eq!(group_weight(Priority::Urgent, 1, 9), 1000);
        assert_eq!(group_weight(Priority::Idle, 9, 9), 1);
    }
}
