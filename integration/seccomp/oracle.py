#!/usr/bin/env python3
"""Asks libseccomp what profiles mean, for the tests in src/seccomp/tests.

Writes, beside itself, docker.bpf and podman.bpf (the profiles of both engines, resolved for x86_64 with x86 and x32 and
the engine's default capabilities) and random.jsonl (profiles of its own making, one a line). Each is built through
libseccomp as runc does it and exported. A .bpf file has a line about its origin and then an instruction a line: code,
jt, jf and k in hexadecimal.

    LIBSECCOMP=/path/to/libseccomp.so.2 integration/seccomp/oracle.py DATA

DATA holds docker-default-seccomp.json (moby/profiles, seccomp/default.json) and podman-default-seccomp.json
(go.podman.io/common, pkg/seccomp/seccomp.json), which the tests look for in ../shared/data. The library must know every call the profiles name: 2.6.1 does. To have it where the distribution's is older, build the
release from source; it need not be installed.
"""

import ctypes
import errno
import json
import os
import random
import struct
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
LIB = ctypes.CDLL(os.environ.get("LIBSECCOMP", "libseccomp.so.2"))

ACTIONS = {
    "SCMP_ACT_KILL": 0,
    "SCMP_ACT_KILL_THREAD": 0,
    "SCMP_ACT_KILL_PROCESS": 0x80000000,
    "SCMP_ACT_TRAP": 0x00030000,
    "SCMP_ACT_ERRNO": 0x00050000,
    "SCMP_ACT_NOTIFY": 0x7FC00000,
    "SCMP_ACT_TRACE": 0x7FF00000,
    "SCMP_ACT_LOG": 0x7FFC0000,
    "SCMP_ACT_ALLOW": 0x7FFF0000,
}
OPS = ["", "NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"]
ARCHS = {"SCMP_ARCH_X86_64": 0xC000003E, "SCMP_ARCH_X86": 0x40000003, "SCMP_ARCH_X32": 0x4000003E}
NO_SUCH_CALL = -1


class ArgCmp(ctypes.Structure):
    _fields_ = [("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64)]


class Version(ctypes.Structure):
    _fields_ = [("major", ctypes.c_uint), ("minor", ctypes.c_uint), ("micro", ctypes.c_uint)]


LIB.seccomp_init.restype = ctypes.c_void_p
LIB.seccomp_init.argtypes = [ctypes.c_uint32]
LIB.seccomp_release.argtypes = [ctypes.c_void_p]
LIB.seccomp_arch_add.argtypes = [ctypes.c_void_p, ctypes.c_uint32]
LIB.seccomp_rule_add_array.argtypes = [
    ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint, ctypes.POINTER(ArgCmp)]
LIB.seccomp_export_bpf.argtypes = [ctypes.c_void_p, ctypes.c_int]
LIB.seccomp_syscall_resolve_name.argtypes = [ctypes.c_char_p]
LIB.seccomp_version.restype = ctypes.POINTER(Version)


def version():
    v = LIB.seccomp_version().contents
    return f"{v.major}.{v.minor}.{v.micro}"


def answer(action, ret):
    if action in ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE"):
        return ACTIONS[action] | (1 if ret is None else ret)
    return ACTIONS[action]


def comparison(arg):
    return ArgCmp(arg["index"], OPS.index(arg["op"].removeprefix("SCMP_CMP_")), arg["value"], arg.get("valueTwo") or 0)


def add_rules(ctx, profile):
    """Adds the rules; false when libseccomp says that two of them exclude each other."""
    default = answer(profile["defaultAction"], profile.get("defaultErrnoRet"))
    for entry in profile["syscalls"]:
        action = answer(entry["action"], entry.get("errnoRet"))
        args = entry.get("args") or []
        indices = [a["index"] for a in args]
        # A second comparison of an argument cannot be in the same rule.
        rules = [args] if len(set(indices)) == len(indices) else [[a] for a in args]
        for name in entry["names"]:
            number = LIB.seccomp_syscall_resolve_name(name.encode())
            if action == default or (number == NO_SUCH_CALL and name.startswith("no_such")):
                continue
            assert number != NO_SUCH_CALL, f"this libseccomp does not know {name}"
            for rule in rules:
                array = (ArgCmp * max(len(rule), 1))(*map(comparison, rule))
                rc = LIB.seccomp_rule_add_array(ctx, action, number, len(rule), array)
                if rc == -errno.EEXIST:
                    return False
                assert rc == 0, (name, rc)
    return True


def export(profile):
    """The profile's instructions as (code, jt, jf, k), or None when rules exclude each other."""
    ctx = LIB.seccomp_init(answer(profile["defaultAction"], profile.get("defaultErrnoRet")))
    try:
        for arch in profile.get("architectures", []):
            assert LIB.seccomp_arch_add(ctx, ARCHS[arch]) in (0, -errno.EEXIST)
        if not add_rules(ctx, profile):
            return None
        fd = os.memfd_create("bpf")
        assert LIB.seccomp_export_bpf(ctx, fd) == 0
        size = os.lseek(fd, 0, os.SEEK_END)
        program = os.pread(fd, size, 0)
        os.close(fd)
        return list(struct.iter_unpack("<HBBI", program))
    finally:
        LIB.seccomp_release(ctx)


def resolve(template, caps):
    """An engine's template for amd64 and a current kernel (every minKernel is older), as its own loader does it."""
    profile = {
        "defaultAction": template["defaultAction"],
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "syscalls": [],
    }
    if "defaultErrnoRet" in template:
        profile["defaultErrnoRet"] = template["defaultErrnoRet"]
    for entry in template["syscalls"]:
        includes, excludes = entry.get("includes") or {}, entry.get("excludes") or {}
        wanted = (
            ("amd64" in includes["arches"] if includes.get("arches") else True)
            and not "amd64" in (excludes.get("arches") or [])
            and all(c in caps for c in includes.get("caps") or [])
            and not any(c in caps for c in excludes.get("caps") or [])
        )
        if wanted:
            profile["syscalls"].append({k: entry[k] for k in ("names", "action", "args", "errnoRet") if entry.get(k) is not None})
    return profile


DOCKER_CAPS = """CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT
    KILL AUDIT_WRITE"""
PODMAN_CAPS = "CHOWN DAC_OVERRIDE FOWNER FSETID KILL NET_BIND_SERVICE SETFCAP SETGID SETPCAP SETUID SYS_CHROOT"


def engine(data, name, caps):
    template = json.loads((data / f"{name}-default-seccomp.json").read_text())
    profile = resolve(template, {"CAP_" + c for c in caps.split()})
    lines = [f"# {name}'s default profile for x86_64, x86, x32 and its default capabilities; libseccomp {version()}"]
    lines += ["%x %x %x %x" % i for i in export(profile)]
    (HERE / f"{name}.bpf").write_text("\n".join(lines) + "\n")


# libseccomp (2.5.4 and 2.6.1 alike) makes some wrong programs, which the test lists. Two causes are kept out: names that
# x86_64 lacks, beside x32 (the number is compared before it is loaded), and orders (LT, LE, GT, GE) of one argument with
# different actions or in longer rules (equal upper halves are merged although what follows differs).
NAMES = ["read", "write", "socket", "connect", "personality", "clone", "shmget", "semop", "clone3", "rt_sigaction",
         "mseal", "no_such_call"]
VALUES = [0, 1, 2, 5, 8, 16, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x100000000, 0x100000005, 0xFFFFFFFF00000000,
          0x7FFFFFFFFFFFFFFF, 0xFFFFFFFFFFFFFFFF]


def random_profile(rng):
    def action(kinds=tuple(ACTIONS)):
        chosen = {"action": rng.choice(kinds)}
        if chosen["action"] in ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE") and rng.random() < 0.5:
            chosen["errnoRet"] = rng.choice([0, 1, 22, 38, 4094])
        return chosen

    orders = rng.random() < 0.5

    def arg(index):
        op = rng.choice(OPS[1:] if orders else ["EQ", "NE", "MASKED_EQ"])
        found = {"index": index, "op": "SCMP_CMP_" + op, "value": rng.choice(VALUES)}
        if op == "MASKED_EQ":
            found["valueTwo"] = rng.choice(VALUES)
        return found

    # Few actions a profile, so that rules meet others that say the same.
    actions = rng.sample(sorted(ACTIONS), 2 if orders else 3)
    default = action([a for a in actions if a != "SCMP_ACT_NOTIFY"])
    profile = {"defaultAction": default["action"], "syscalls": []}
    if "errnoRet" in default:
        profile["defaultErrnoRet"] = default["errnoRet"]
    profile["architectures"] = [a for a in ARCHS if rng.random() < 0.7]
    for _ in range(rng.randint(0, 7)):
        entry = {"names": rng.sample(NAMES, rng.randint(1, 3)), **action([actions[-1]] if orders else actions)}
        if orders:
            entry.pop("errnoRet", None)
        if rng.random() < 0.8:
            count = 1 if orders else rng.choice([1, 1, 1, 2, 2, 3])
            entry["args"] = [arg(rng.choice([0, 0, 1, 5])) for _ in range(count)]
        profile["syscalls"].append(entry)
    return profile


def randoms(path, count, seed):
    """`count` profiles, those whose rules exclude each other with a program of null."""
    rng = random.Random(seed)
    with open(path, "w") as out:
        for _ in range(count):
            profile = random_profile(rng)
            program = export(profile)
            packed = program and " ".join("%x,%x,%x,%x" % i for i in program)
            line = {"libseccomp": version(), "profile": profile, "program": packed}
            out.write(json.dumps(line, separators=(",", ":")) + "\n")


def main():
    data = Path(sys.argv[1])
    engine(data, "docker", DOCKER_CAPS)
    engine(data, "podman", PODMAN_CAPS)
    # Another file, count and seed may be named, to look further than the checked-in ones.
    path, count, seed = (sys.argv[2:] + [HERE / "random.jsonl", 100, 1])[:3] if len(sys.argv) < 5 else sys.argv[2:5]
    randoms(path, int(count), int(seed))


main()
