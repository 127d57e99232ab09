//! A cgroup of the blkio controller (version 1) for one context, with the weight that BFQ gives it.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// A group, and who was moved into it.
#[derive(Debug)]
pub(super) struct Group {
    directory: PathBuf,
}

impl Group {
    /// Makes the group `name` in `parent`.
    ///
    /// # Errors
    /// It cannot be made, or has no weight.
    pub(super) fn new(parent: &Path, name: &str, weight: u32) -> io::Result<Self> {
        let directory = parent.join(name);
        fs::create_dir(&directory)?;
        let group = Self { directory };
        match group.set_weight(weight) {
            Ok(()) => Ok(group),
            Err(error) => {
                let _ = fs::remove_dir(&group.directory);
                Err(error)
            }
        }
    }

    /// Gives it a weight, 1 to 1000.
    pub(super) fn set_weight(&self, weight: u32) -> io::Result<()> {
        fs::write(self.directory.join("blkio.bfq.weight"), weight.to_string())
    }

    /// Moves a thread into it. 0: the one that calls.
    pub(super) fn take(&self, thread: i32) -> io::Result<()> {
        fs::write(self.directory.join("tasks"), thread.to_string())
    }

    /// The file by which a thread moves itself in: a write of "0".
    pub(super) fn tasks(&self) -> io::Result<File> {
        File::options().write(true).open(self.directory.join("tasks"))
    }

    /// Removes it; false: a thread is in it still.
    pub(super) fn remove(&self) -> bool {
        match fs::remove_dir(&self.directory) {
            Ok(()) => true,
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        }
    }
}
