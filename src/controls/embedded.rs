//! The data files that come with the program, as `build.rs` found them.

include!(concat!(env!("OUT_DIR"), "/embedded_controls.rs"));
