//! Programs, driven step by step against a model of a submitter and its volume.

mod compare_and_write;
mod deallocate;
mod machine;
mod random;
mod simple;
mod transfer;
mod verify;
mod write_same;
