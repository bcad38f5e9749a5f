//! The words by which programs tell findings apart, and what helps against each.

macro_rules! codes {
    ($($name:ident $word:literal $remedy:literal)*) => {
        /// The kind of a finding. Its word does not change between versions.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Code { $($name,)* }

        impl Code {
            pub const ALL: &[Code] = &[$(Code::$name,)*];

            pub fn word(self) -> &'static str {
                match self { $(Code::$name => $word,)* }
            }

            /// What helps in general; a finding may know better.
            pub fn remedy(self) -> &'static str {
                match self { $(Code::$name => $remedy,)* }
            }
        }
    };
}

codes! {
    // The text.
    File "config-unreadable" "give a bundle with a config.json that can be read, or --config FILE"
    Json "json-invalid" "correct the JSON text"
    Type "type-mismatch" "use the JSON type that config.md gives the field"
    Unknown "value-unknown" "use one of the values that config.md lists"
    Missing "field-missing" "add the field"
    // The specification and what rt does of it.
    Version "version-unknown" "set ociVersion to the version the file was written for, such as 1.3.0"
    Invalid "value-invalid" "see the field's description in config.md"
    NoEffect "no-effect" "remove the field"
    // Namespaces and ids.
    Namespace "namespace-invalid" "list each type once, with an absolute path or none"
    NamespaceMissing "namespace-missing" "add the namespace to linux.namespaces, or remove the field"
    Rootless "privilege-missing" "add a user namespace (see rt spec --rootless), or run as root"
    Mappings "id-mappings-invalid" "give ranges that neither overlap nor are empty"
    Unmapped "id-unmapped" "map the id, or use one that is mapped"
    SysctlName "sysctl-invalid" "write the name as sysctl(8) does"
    Sysctl "sysctl-not-namespaced" "set it on the host, or give the container the namespace it belongs to"
    // The process.
    Args "args-invalid" "name a program in process.args[0]"
    Cwd "cwd-invalid" "give an absolute path of the container"
    Env "env-invalid" "write NAME=VALUE"
    EnvTwice "env-duplicate" "keep one of the two"
    Rlimit "rlimit-invalid" "list each type once, with soft not above hard"
    Affinity "cpu-list-invalid" "list CPUs and ranges of them, such as 0-3,7"
    MemoryPolicy "memory-policy-invalid" "see set_mempolicy(2) for what belongs together"
    NetDevice "net-device-invalid" "give each device a name of its own, of at most 15 bytes"
    Scheduler "scheduler-invalid" "see sched_setattr(2) for what belongs together"
    Capability "capability-unknown" "correct the name as in capabilities(7)"
    Lsm "lsm-missing" "enable the security module on the host, or remove the label"
    SeccompName "seccomp-syscall-unknown" "correct the name, or leave it: an unknown call is skipped"
    Seccomp "seccomp-invalid" "see config-linux.md, Seccomp"
    SeccompBlocks "seccomp-blocks-start" "allow the system call"
    // The filesystem and hooks.
    Root "root-invalid" "set root.path to the root filesystem"
    Mount "mount-invalid" "see config.md, Mounts"
    Path "path-invalid" "give an absolute path of the container"
    Device "device-invalid" "give path, type and numbers as in mknod(1)"
    Hook "hook-invalid" "give an absolute path, and a timeout above zero or none"
    Rootfs "rootfs-missing" "make the directory, or correct root.path"
    MountSource "mount-source-missing" "create the source on the host, or correct the mount"
    HookMissing "hook-missing" "install the hook, or remove its entry"
    HookMode "hook-not-executable" "make the hook an executable file"
    NamespacePath "namespace-path-invalid" "name a namespace of that type, such as /proc/PID/ns/net"
    Program "program-not-found" "correct process.args[0] or PATH, or put the program into the rootfs"
    NoExec "program-noexec" "mount without noexec, or take the program from elsewhere"
    // Cgroups.
    CgroupPath "cgroup-path-invalid" "name a cgroup below the root, such as /rt/NAME"
    CgroupManager "cgroup-manager-unavailable" "use --cgroup-manager cgroupfs"
    Resource "resource-invalid" "see config-linux.md, Control groups"
    CgroupV1 "cgroup-v1-only" "remove the field: the host has cgroup v2"
    Rdt "intel-rdt-invalid" "see config-linux.md, IntelRdt"
    Hierarchy "cgroup-hierarchy-missing" "mount cgroup v2 at /sys/fs/cgroup, or use --cgroup-manager disabled"
    Controller "cgroup-controller-missing" "have the controller delegated, or remove the limit"
    DeviceRule "device-rule-invalid" "use type a, b or c and access of r, w and m"
}

#[cfg(test)]
mod tests {
    use super::Code;

    #[test]
    fn words_are_unique() {
        for (i, code) in Code::ALL.iter().enumerate() {
            assert!(Code::ALL[..i].iter().all(|other| other.word() != code.word()), "{}", code.word());
        }
    }
}
