//! Thin safe wrappers over the system calls that no crate wraps. The only `unsafe` of the program lives here.
#![allow(unsafe_code)]

pub mod bpf;
