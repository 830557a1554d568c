"""What this process gives up before it touches a model: the network, other programs, writing, and files that it does not need.

Linux: a Landlock rule set and a seccomp filter, both without any privilege. Everywhere: an audit hook, which is a seat belt, since native
code passes it by. The layers that hold are told in `hello`.
"""

import ctypes
import os
import platform
import struct
import sys

REFUSED = (
    "socket.bind",
    "socket.connect",
    "socket.getaddrinfo",
    "socket.gethostbyname",
    "socket.sendto",
    "subprocess.Popen",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.fork",
    "os.forkpty",
    "pty.spawn",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.mkdir",
    "os.symlink",
    "os.link",
    "os.truncate",
    "os.chmod",
    "os.chown",
)
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
SYSTEM = ("/usr", "/lib", "/lib64", "/bin", "/etc/ld.so.cache", "/etc/localtime", "/etc/ssl/openssl.cnf", "/etc/nsswitch.conf", "/etc/passwd", "/proc", "/sys", "/dev")


def apply(read_paths, adapters_directory):
    layers = []
    if sys.platform == "linux":
        paths = [*SYSTEM, sys.prefix, sys.base_prefix, os.path.dirname(os.path.dirname(os.path.abspath(__file__)))]
        paths += [*read_paths, *links_of(read_paths)] + ([adapters_directory] if adapters_directory else [])
        libc = ctypes.CDLL(None, use_errno=True)
        # PR_SET_NO_NEW_PRIVS, PR_SET_DUMPABLE
        if libc.prctl(38, 1, 0, 0, 0) == 0:
            libc.prctl(4, 0, 0, 0, 0)
            if landlock(libc, paths):
                layers.append("landlock")
            if seccomp(libc):
                layers.append("seccomp")
    sys.addaudithook(audit)
    return [*layers, "audit"]


def audit(event, arguments):
    if event in REFUSED:
        raise PermissionError(f"this process may not: {event}")
    if event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITING and arguments[0] != "/dev/null":
        raise PermissionError("this process may not write files")


def links_of(directories):
    """The real places of the files in a view directory, which holds links."""
    found = []
    for directory in directories:
        if os.path.isdir(directory):
            found += [os.path.realpath(entry.path) for entry in os.scandir(directory) if entry.is_symlink()]
    return found


# Landlock: what is handled is refused unless a rule gives it back.
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1, 2, 4, 8
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446


def landlock(libc, paths):
    abi = libc.syscall(CREATE_RULESET, None, ctypes.c_size_t(0), 1)
    if abi < 1:
        return False
    files = (1 << (13 if abi == 1 else 14 if abi == 2 else 15 if abi < 5 else 16)) - 1
    tcp = 3 if abi >= 4 else 0
    # Abstract sockets, and signals to others.
    scoped = 3 if abi >= 6 else 0
    attributes = struct.pack("QQQ", files, tcp, scoped)[: 24 if abi >= 6 else 16 if abi >= 4 else 8]
    rules = libc.syscall(CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0)
    if rules < 0:
        return False
    try:
        for path in paths:
            try:
                place = os.open(path, os.O_PATH | os.O_CLOEXEC)
            except OSError:
                continue
            allowed = READ_FILE | (READ_DIR if os.path.isdir(path) else 0)
            libc.syscall(ADD_RULE, rules, 1, struct.pack("=Qi", allowed, place), 0)
            os.close(place)
        place = os.open("/dev/null", os.O_PATH | os.O_CLOEXEC)
        libc.syscall(ADD_RULE, rules, 1, struct.pack("=Qi", READ_FILE | WRITE_FILE, place), 0)
        os.close(place)
        return libc.syscall(RESTRICT_SELF, rules, 0) == 0
    finally:
        os.close(rules)


# seccomp: no new sockets of any kind, no other program, no look into other processes.
NUMBERS = {
    # audit architecture, then socket, socketpair, execve, execveat, ptrace, process_vm_readv, process_vm_writev, bpf, mount, io_uring_setup
    "x86_64": (0xC000003E, (41, 53, 59, 322, 101, 310, 311, 321, 165, 425)),
    "aarch64": (0xC00000B7, (198, 199, 221, 281, 117, 270, 271, 280, 40, 425)),
}


def seccomp(libc):
    known = NUMBERS.get(platform.machine() if sys.platform != "linux" else os.uname().machine)
    if known is None:
        return False
    architecture, refused = known
    load, equal, least, give = 0x20, 0x15, 0x35, 0x06
    kill, permit, refuse = 0x80000000, 0x7FFF0000, 0x00050000 | 1
    program = [(load, 0, 0, 4), (equal, 1, 0, architecture), (give, 0, 0, kill), (load, 0, 0, 0)]
    # Calls of the x32 form have other numbers.
    program += [(least, 0, 1, 0x40000000), (give, 0, 0, kill)]
    for number in refused:
        program += [(equal, 0, 1, number), (give, 0, 0, refuse)]
    program.append((give, 0, 0, permit))
    code = b"".join(struct.pack("HBBI", *each) for each in program)
    buffer = ctypes.create_string_buffer(code, len(code))

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]

    filter = Program(len(program), ctypes.cast(buffer, ctypes.c_void_p))
    # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
    return libc.prctl(22, 2, ctypes.byref(filter), 0, 0) == 0
