#!/usr/bin/env python3
"""Writes hot.ld: the functions that rt really runs, side by side at the front of its text.

A static binary of 3 MB is mapped 64 KiB at a time as it runs, each time for about 4 microseconds, and `rt state` would
touch two dozen such pieces for 60 kB of code. This steps through the common commands one instruction at a time
(ptrace(2)), notes each function that was entered, and prints a linker script that puts these first. Names carry a hash
that changes with every compiler: the script has a wildcard there where it can, and a name that is gone is just ignored.

usage: hot-text.py RT BUNDLE > hot.ld      RT: an unstripped release build, BUNDLE: any with a /bin/true that ends at once; as root, in a
                                           private mount namespace with a cgroup2 hierarchy on /sys/fs/cgroup
"""
import bisect, collections, ctypes, os, re, subprocess, sys

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
TRACEME, PEEKUSER, SINGLESTEP, DETACH, SETOPTIONS = 0, 3, 9, 17, 0x4200
EVENT_EXEC = 4
RIP = 16 * 8
# TRACESYSGOOD aside, all that makes children of a tracee tracees.
OPTIONS = 0x2 | 0x4 | 0x8 | 0x10


def symbols(binary):
    table = []
    for line in subprocess.run(["nm", binary], capture_output=True, text=True, check=True).stdout.splitlines():
        address, kind, name = line.split(" ", 2)
        if kind in "tT":
            table.append((int(address, 16), name))
    table.sort()
    return [address for address, _ in table], [name for _, name in table]


def trace(argv, addresses, seen):
    top = addresses[-1] + 65536
    pid = os.fork()
    if pid == 0:
        null = os.open("/dev/null", os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        libc.ptrace(TRACEME, 0, None, None)
        os.execv(argv[0], argv)
    os.waitpid(pid, 0)
    libc.ptrace(SETOPTIONS, pid, None, ctypes.c_void_p(OPTIONS))
    libc.ptrace(SINGLESTEP, pid, None, None)
    living, last = {pid}, None
    while living:
        stopped, status = os.waitpid(-1, 0x40000000)
        if os.WIFEXITED(status) or os.WIFSIGNALED(status):
            living.discard(stopped)
            if stopped == pid:
                break
            continue
        living.add(stopped)
        if status >> 8 == 5 | EVENT_EXEC << 8 and os.readlink(f"/proc/{stopped}/exe") not in ("/", argv[0]):
            # The container's program, whose addresses mean nothing here.
            libc.ptrace(DETACH, stopped, None, None)
            living.discard(stopped)
            continue
        at = libc.ptrace(PEEKUSER, stopped, ctypes.c_void_p(RIP), None) & 0xFFFFFFFFFFFFFFFF
        if addresses[0] <= at < top:
            where = bisect.bisect_right(addresses, at) - 1
            if where != last:
                last = where
                seen.setdefault(where, len(seen))
        signal = os.WSTOPSIG(status)
        deliver = 0 if signal in (5, 19) else signal
        libc.ptrace(SINGLESTEP, stopped, None, ctypes.c_void_p(deliver))


def main():
    rt, bundle = map(os.path.abspath, sys.argv[1:])
    addresses, names = symbols(rt)
    # The name of a command that enters a container: what seals rt, and runs from other pages than the rest, comes first.
    os.chdir("/run")
    seen, base = {}, [rt, "--root", "exec"]
    plain = base + ["run", "--bundle", bundle, "hot"]
    subprocess.run(base + ["create", "--bundle", bundle, "hot1"], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    # exec works in a container that waits for its start, too.
    for argv in (["state", "hot1"], ["exec", "hot1", "/bin/true"], ["start", "hot1"], ["kill", "hot1", "KILL"], ["delete", "-f", "hot1"]):
        trace(base + argv, addresses, seen)
    trace(plain, addresses, seen)
    trace(base + ["create", "--bundle", bundle, "hot2"], addresses, seen)
    trace(base + ["delete", "-f", "hot2"], addresses, seen)
    print("/* Made by tools/hot-text.py: the functions that rt's common commands run, in the order of their first call. */")
    print("SECTIONS\n{\n  .text.hot :\n  {")
    # What the C library has in assembly, without a section for each function.
    for member in ("*crt1.o", *(f"*libc.a:{name}.lo" for name in ("memcpy", "memmove", "memset", "__set_thread_area"))):
        print(f"    {member}(.text)")
    base_of = lambda name: re.sub(r"17h[0-9a-f]{16}E.*$", "17h*", name)
    alike = collections.Counter(map(base_of, names))
    for where in seen:
        base = base_of(names[where])
        # A generic function has many instances of one name, most of them never run: only the exact one will do. What is
        # marked cold, an allocation that grows among it, runs all the same, and lies in .text.unlikely.NAME.
        print(f"    *(.text*.{base if alike[base] < 3 else names[where]})")
    print("  }\n}\nINSERT BEFORE .text;")


main()
