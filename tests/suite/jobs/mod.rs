//! Jobs against the sandbox on its virtual clock: to their end, killed at every call, cut off, denied.

mod converse;
mod file;
mod kills;
mod training;
mod world;
