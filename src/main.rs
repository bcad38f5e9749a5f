//! The program: its entry point and its allocator. All else is in the library.
#![no_main]

#[allow(unsafe_code)]
#[path = "sys/alloc.rs"]
mod alloc;
#[allow(unsafe_code)]
#[path = "sys/start.rs"]
mod start;

#[global_allocator]
static ALLOCATOR: alloc::Bump = alloc::Bump::new();
