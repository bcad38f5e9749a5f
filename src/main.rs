//! The program: all of it is in the library, its entry point in `sys::start`.
#![no_main]

use rt as _;
