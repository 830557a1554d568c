import { writeFileSync } from 'node:fs';

/** One call of the system: its number on x86-64 and its arguments; a text is passed as a pointer to it, zero at its end. */
export interface SystemCall {
  readonly number: number;
  readonly args: readonly (number | bigint | string)[];
  /** By the gate of 32-bit programs, where numbers mean other calls. */
  readonly gate32?: boolean;
}

/** What the program ends with when the call succeeded; else with the error number. */
export const CALL_DONE = 200;

const BASE = 0x40_0000n;
const HEADERS = 64 + 56;
/** mov r64, imm64 for rdi, rsi, rdx, r10, r8, r9. */
const LOADS = [
  [0x48, 0xbf],
  [0x48, 0xbe],
  [0x48, 0xba],
  [0x49, 0xba],
  [0x49, 0xb8],
  [0x49, 0xb9],
] as const;
const SYSCALL = [0x0f, 0x05];
const INT_80 = [0xcd, 0x80];

/** Writes a program for Linux on x86-64 that makes the call and tells by its exit status how it went; no compiler and no other language is needed. */
export function writeSystemCallProgram(path: string, { number, args, gate32 = false }: SystemCall): void {
  const imm = (value: number | bigint, bytes: 4 | 8): number[] => {
    const view = new DataView(new ArrayBuffer(8));
    view.setBigUint64(0, BigInt.asUintN(64, BigInt(value)), true);
    return [...new Uint8Array(view.buffer)].slice(0, bytes);
  };
  const codeBytes = args.length * 10 + 5 + 2 + 3 + 5 + 3 + 2 + 2 + 5 + 2;
  const texts: number[] = [];
  const loads = args.flatMap((arg, i) => {
    if (typeof arg !== 'string') return [...LOADS[i]!, ...imm(arg, 8)];
    const address = BASE + BigInt(HEADERS + codeBytes + texts.length);
    texts.push(...Buffer.from(arg), 0);
    return [...LOADS[i]!, ...imm(address, 8)];
  });
  const code = [
    ...loads,
    ...[0xb8, ...imm(number, 4)], // mov eax, number
    ...(gate32 ? INT_80 : SYSCALL),
    ...[0x48, 0xf7, 0xd8], // neg rax
    ...[0xbf, ...imm(CALL_DONE, 4)], // mov edi, CALL_DONE
    ...[0x48, 0x85, 0xc0], // test rax, rax
    ...[0x7e, 0x02], // jle over the next
    ...[0x89, 0xc7], // mov edi, eax
    ...[0xb8, ...imm(60, 4)], // mov eax, exit
    ...SYSCALL,
  ];
  const size = BigInt(HEADERS + code.length + texts.length);
  const word = (value: number): number[] => imm(value, 4).slice(0, 2);
  const header = [0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0].concat(
    word(2), // an executable
    word(62), // for x86-64
    imm(1, 4),
    imm(BASE + BigInt(HEADERS), 8), // entry
    imm(64, 8), // program headers
    imm(0, 8),
    imm(0, 4),
    [64, 56, 1, 0, 0, 0].flatMap(word),
  );
  const segment = [...imm(1, 4), ...imm(7, 4), ...imm(0, 8), ...imm(BASE, 8), ...imm(BASE, 8), ...imm(size, 8), ...imm(size, 8), ...imm(4096, 8)];
  writeFileSync(path, Uint8Array.from([...header, ...segment, ...code, ...texts]), { mode: 0o755 });
}
