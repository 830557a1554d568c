/**
 * A filter of system calls as the kernel takes it: classic BPF over `struct seccomp_data` {nr u32 @0, arch u32 @4, pointer u64 @8, args u64[6]
 * @16}, one instruction = {code u16, jt u8, jf u8, k u32}, little-endian (linux/filter.h, linux/seccomp.h). No native code is needed: the
 * program that makes the namespaces reads it from a descriptor.
 */

const LOAD = 0x20; // BPF_LD | BPF_W | BPF_ABS
const JUMP_EQUAL = 0x15;
const JUMP_AT_LEAST = 0x35;
const JUMP_ANY_BIT = 0x45;
const RETURN = 0x06;
const ALLOW = 0x7fff_0000;
const KILL_PROCESS = 0x8000_0000;
const refuse = (errno: number): number => 0x0005_0000 | errno;
const EPERM = 1;
const ENOSYS = 38;
const EAFNOSUPPORT = 97;

const OFFSET = { number: 0, architecture: 4, firstArgument: 16 } as const;
const AF_UNIX = 1;
/** CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET. */
const NEW_NAMESPACES = 0x7e02_0000;

/** AUDIT_ARCH_* (linux/audit.h). */
const ARCHITECTURES: Readonly<Record<string, number>> = { x64: 0xc000_003e, arm64: 0xc000_00b7 };

/** Numbers on x86-64 and on arm64; null: the call is not there. All change the system, look into other processes, or have been ways out of cages. */
const REFUSED: Readonly<Record<string, readonly [x64: number | null, arm64: number | null]>> = {
  acct: [163, 89],
  add_key: [248, 217],
  adjtimex: [159, 171],
  bpf: [321, 280],
  chroot: [161, 51],
  clock_adjtime: [305, 266],
  clock_settime: [227, 112],
  delete_module: [176, 106],
  fanotify_init: [300, 262],
  finit_module: [313, 273],
  fsconfig: [431, 431],
  fsmount: [432, 432],
  fsopen: [430, 430],
  fspick: [433, 433],
  init_module: [175, 105],
  ioperm: [173, null],
  iopl: [172, null],
  kcmp: [312, 272],
  kexec_file_load: [320, 294],
  kexec_load: [246, 104],
  keyctl: [250, 219],
  lookup_dcookie: [212, 18],
  modify_ldt: [154, null],
  mount: [165, 40],
  mount_setattr: [442, 442],
  move_mount: [429, 429],
  name_to_handle_at: [303, 264],
  open_by_handle_at: [304, 265],
  open_tree: [428, 428],
  perf_event_open: [298, 241],
  pidfd_getfd: [438, 438],
  pivot_root: [155, 41],
  process_vm_readv: [310, 270],
  process_vm_writev: [311, 271],
  ptrace: [101, 117],
  quotactl: [179, 60],
  reboot: [169, 142],
  request_key: [249, 218],
  setdomainname: [171, 162],
  sethostname: [170, 161],
  setns: [308, 268],
  settimeofday: [164, 170],
  swapoff: [168, 225],
  swapon: [167, 224],
  syslog: [103, 116],
  umount2: [166, 39],
  unshare: [272, 97],
  userfaultfd: [323, 282],
  vhangup: [153, 58],
};
/** Answered with "not built in", after which libraries take the older way: its arguments, or its work, cannot be seen by a filter. */
const UNKNOWN: readonly number[] = [425, 426, 427, 435]; // io_uring_setup, io_uring_enter, io_uring_register, clone3
const CLONE: readonly [number, number] = [56, 220];
const SOCKET: readonly [number, number] = [41, 198];
/** Numbers of the x32 calls of x86-64 begin here. */
const X32 = 0x4000_0000;

type Instruction = readonly [code: number, ifTrue: number, ifFalse: number, value: number];

/** The filter for a processor as `process.arch` names it; null where none is known. Everything that is not refused stays allowed. */
export function seccompFilter(architecture: string = process.arch): Uint8Array | null {
  const audit = ARCHITECTURES[architecture];
  if (audit === undefined) return null;
  const column = architecture === 'x64' ? 0 : 1;
  const program: Instruction[] = [
    [LOAD, 0, 0, OFFSET.architecture],
    [JUMP_EQUAL, 1, 0, audit],
    [RETURN, 0, 0, KILL_PROCESS],
    [LOAD, 0, 0, OFFSET.number],
    ...(architecture === 'x64' ? ([[JUMP_AT_LEAST, 0, 1, X32], ret(refuse(EPERM))] as const) : []),
  ];
  for (const numbers of Object.values(REFUSED)) {
    const number = numbers[column];
    if (number !== null && number !== undefined) program.push([JUMP_EQUAL, 0, 1, number], ret(refuse(EPERM)));
  }
  for (const number of UNKNOWN) program.push([JUMP_EQUAL, 0, 1, number], ret(refuse(ENOSYS)));
  // Each of these ends with an answer, since what was loaded is no number of a call any more.
  program.push([JUMP_EQUAL, 0, 4, SOCKET[column]!], [LOAD, 0, 0, OFFSET.firstArgument], [JUMP_EQUAL, 1, 0, AF_UNIX], ret(refuse(EAFNOSUPPORT)), ret(ALLOW));
  program.push([JUMP_EQUAL, 0, 4, CLONE[column]!], [LOAD, 0, 0, OFFSET.firstArgument], [JUMP_ANY_BIT, 0, 1, NEW_NAMESPACES], ret(refuse(EPERM)), ret(ALLOW));
  program.push(ret(ALLOW));
  return assemble(program);
}

const ret = (value: number): Instruction => [RETURN, 0, 0, value];

function assemble(program: readonly Instruction[]): Uint8Array {
  const bytes = new DataView(new ArrayBuffer(program.length * 8));
  program.forEach(([code, ifTrue, ifFalse, value], index) => {
    bytes.setUint16(index * 8, code, true);
    bytes.setUint8(index * 8 + 2, ifTrue);
    bytes.setUint8(index * 8 + 3, ifFalse);
    bytes.setUint32(index * 8 + 4, value, true);
  });
  return new Uint8Array(bytes.buffer);
}
