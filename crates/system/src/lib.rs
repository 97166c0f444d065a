//! What file systems of Unix and of Windows have in common, for programs that run on both.
//!
//! - `at`: reading and writing at a place in a file
//! - `opening`: files that are opened through no link, and without waiting for another
//! - `identity`: whether two files are one, and whether one has changed
//! - `modes`: who may do what with a file
//! - `pipes`: pipes among files, and how much room there is
//!
//! Knows nothing of images. What only Unix has, as namespaces and sockets, is not here: who needs it is
//! not built elsewhere.

// What others wrote must not end the program.
#![cfg_attr(
    not(test),
    warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)
)]

mod at;
mod identity;
mod modes;
mod opening;
mod pipes;

pub use at::At;
pub use identity::{Stamp, is_at, names};
pub use modes::{
    for_all, is_for_everybody, is_private, is_program, make_private_folder, mode_of, owner,
    set_mode, user,
};
pub use opening::Opening;
pub use pipes::{file_system, is_pipe, open_read_pipe, room, write_back};
