#!/usr/bin/env python3
"""Writes hot.ld: the functions and the constants that rt really uses, side by side at the front of its text.

A static binary of 3 MB is mapped 64 KiB at a time as it runs, each time for 1 to 4 microseconds, and `rt state` would
touch two dozen such pieces for 60 kB of code. This steps through the common commands one instruction at a time
(ptrace(2)), notes each instruction that was executed and the constants that it names, and prints a linker script that puts
the sections of these first. The names are those of the v0 mangling (.cargo/config.toml), which has the types of a generic
function in them and no hash of the code. Constants without a name have a number, and rt's own get other ones with every
change: so all of rt's come last. A name that is gone is just ignored.

usage: hot-text.py RT MAP BUNDLE... > hot.ld   (`make hot` calls it)

RT is a release build, MAP its link map, a BUNDLE one whose process ends soon, with a /bin/true; those that
matter most come first. As root, in a private mount namespace with cgroup2 on /sys/fs/cgroup and an empty /run.
"""
import bisect, collections, ctypes, json, os, re, subprocess, sys

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
TRACEME, PEEKUSER, SINGLESTEP, DETACH, SETOPTIONS = 0, 3, 9, 17, 0x4200
EVENT_EXEC = 4
RIP = 16 * 8
# Where the file's first byte is mapped.
BASE = 0x400000
# TRACESYSGOOD aside, all that makes children of a tracee tracees.
OPTIONS = 0x2 | 0x4 | 0x8 | 0x10


def output(*argv):
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()


def named(binary):
    """{address of an instruction: addresses that it names}"""
    lines = (line.partition(":\t") for line in output("objdump", "-d", "--no-show-raw-insn", binary))
    found = ((at, re.findall(r"(?:0x|# )([0-9a-f]{6})\b", text)) for at, colon, text in lines if colon)
    return {int(at, 16): [int(address, 16) for address in addresses] for at, addresses in found if addresses}


def sections(map_file):
    """[(address, name, length)] of what the linker was given."""
    table, name = [], None
    for line in open(map_file):
        if alone := re.match(r" (\.\S+)$", line):
            # A long name has the rest on the next line.
            name = alone[1]
        elif placed := re.match(r" (\.\S+)?\s+0x([0-9a-f]+)\s+0x([0-9a-f]+) \S", line):
            address, length = int(placed[2], 16), int(placed[3], 16)
            if address and length and (placed[1] or name):
                table.append((address, placed[1] or name, length))
            name = None
    return sorted(table)


def trace(argv, addresses, own, inside):
    """Notes what the process executes, and what its children do."""
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
    living = {pid}
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
        if at in addresses:
            (own if stopped == pid else inside)[at] = True
        signal = os.WSTOPSIG(status)
        deliver = 0 if signal in (5, 19) else signal
        libc.ptrace(SINGLESTEP, stopped, None, ctypes.c_void_p(deliver))


def making(bundle):
    """The arguments that make a container of the bundle, without limits: this host may have no controllers for them."""
    config = json.load(open(f"{bundle}/config.json"))
    config["linux"].pop("resources", None)
    changed = f"/run/{os.path.basename(bundle)}.json"
    json.dump(config, open(changed, "w"), indent=1)
    return ["--bundle", bundle, "--config", changed]


def executed(rt, bundles, addresses):
    """The instructions of the common commands, in the order in which each came first. What the child of exec runs comes
    before all, and in one piece: fork(2) does not copy the pages of the program, so it maps them once more."""
    entered, own, init, null = {}, {}, {}, subprocess.DEVNULL
    os.chdir("/run")
    # By the name of a command that enters a container rt seals itself: what runs before comes first, in one piece too.
    base = [rt, "--root", "exec"]
    for bundle in map(making, bundles):
        subprocess.run([*base, "create", *bundle, "hot1"], check=True, stdin=null, stdout=null)
        trace([*base, "state", "hot1"], addresses, own, init)
        # It works in a container that waits for its start, too. Of another user's HOME nothing is known.
        trace([*base, "exec", "--user", "0:0", "hot1", "/bin/true"], addresses, own, entered)
        for argv in (
            ["start", "hot1"], ["delete", "-f", "hot1"], ["run", *bundle, "hot"],
            ["create", *bundle, "hot2"], ["kill", "hot2", "KILL"], ["delete", "-f", "hot2"],
        ):
            trace([*base, *argv], addresses, own, init)
    return [*entered, *own, *init]


def pattern(section):
    """The number of a crate changes with the compiler, that of an object with every build. What is marked cold, an allocation
    that grows among it, runs all the same, and lies in .text.unlikely.NAME."""
    if "..Lanon." in section:
        return section
    name = re.sub(r"Cs[0-9A-Za-z]{8,}_", "Cs*_", re.sub(r"(\.llvm)?\.[0-9]+$", "*", section))
    return re.sub(r"^\.text\.(unlikely\.)?", ".text*.", name)


def main():
    rt, map_file, *bundles = map(os.path.abspath, sys.argv[1:])
    table, names_of, image, used = sections(map_file), named(rt), open(rt, "rb").read(), {}

    def use(address, kinds):
        start, section, length = table[bisect.bisect_right(table, (address, chr(0x10FFFF))) - 1]
        name = pattern(section)
        # Strings that end in NUL are one large piece, of which little is read.
        if not start <= address < start + length or not section.startswith(kinds) or ".str1." in section or name in used:
            return
        used[name] = True
        if section.startswith(".rodata"):
            # What it points to is read with it.
            words = image[start - BASE:start - BASE + length]
            for offset in range(-start % 8, length - 7, 8):
                use(int.from_bytes(words[offset:offset + 8], "little"), ".rodata")

    for at in executed(rt, bundles, range(BASE, BASE + len(image))):
        use(at, ".text.")
        for address in names_of.get(at, ()):
            use(address, ".rodata")
    unnamed = collections.Counter(name.rpartition(".")[0] for name in used if "..Lanon." in name)
    print("/* Made by tools/hot-text.py: what rt's common commands run and read, in the order of its first use. */")
    print("SECTIONS\n{\n  .text.hot :\n  {")
    # What the C library has in assembly, without a section for each function.
    for member in ("*crt1.o", *(f"*libc.a:{name}.lo" for name in ("memcpy", "memmove", "memset", "__set_thread_area"))):
        print(f"    {member}(.text)")
    for name in used:
        print(f"    *({name})")
    print(f"    *({unnamed.most_common(1)[0][0]}.*)")
    print("  }\n}\nINSERT BEFORE .text;")


main()
