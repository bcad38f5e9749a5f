//! Control groups, version 2.
// The launch that calls this is another room.
#![allow(dead_code)]

pub mod devices;
