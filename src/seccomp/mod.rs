//! Seccomp: from an OCI profile to a BPF program.
