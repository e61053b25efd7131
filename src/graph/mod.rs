//! Addresses of resources, and the order that their references impose.
//!
//! Pure: no I/O, no clock. Identity is an [`Address`] or a [`PhysicalId`], never a user's `name`.

mod address;
mod order;

pub(crate) use address::is_identifier;
pub use address::{Address, AddressError, PhysicalId};
pub use order::{Cycle, levels, topological};
