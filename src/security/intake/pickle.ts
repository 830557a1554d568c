/**
 * Walks the opcodes of a Python pickle (pickletools of Python 3.13: protocols 0 to 5) without building anything. `count`: opcodes that were sound;
 * `ended`: offset after STOP, null where it was not reached; `cut`: the bytes ended inside a sound opcode.
 */
export function pickleOpcodes(bytes: Uint8Array): { readonly count: number; readonly ended: number | null; readonly cut: boolean } {
  let count = 0;
  for (let at = 0; at < bytes.length; ) {
    const next = afterOpcode(bytes, at);
    if (next === null) return { count, ended: null, cut: false };
    count += 1;
    if (next > bytes.length) return { count, ended: null, cut: true };
    if (bytes[at] === STOP) return { count, ended: next, cut: false };
    at = next;
  }
  return { count, ended: null, cut: count > 0 };
}

const STOP = 0x2e;
const code = (letter: string): number => letter.charCodeAt(0);

/** Opcodes without an argument. */
const BARE = new Set([...'(.012N)]}lteudsbaoRQ'].map(code).concat([0x81, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8f, 0x90, 0x91, 0x92, 0x93, 0x94, 0x97, 0x98]));
/** Opcodes with an argument of so many bytes. */
const FIXED: ReadonlyMap<number, number> = new Map(
  (
    [
      ['K', 1],
      ['M', 2],
      ['J', 4],
      ['G', 8],
      ['q', 1],
      ['r', 4],
      ['h', 1],
      ['j', 4],
    ] as const
  )
    .map(([letter, size]): [number, number] => [code(letter), size])
    .concat([
      [0x80, 1],
      [0x82, 1],
      [0x83, 2],
      [0x84, 4],
      [0x95, 8],
    ]),
);
/** Opcodes whose argument begins with its own length of so many bytes. */
const COUNTED: ReadonlyMap<number, number> = new Map([
  [code('U'), 1],
  [code('T'), 4],
  [code('C'), 1],
  [code('B'), 4],
  [code('X'), 4],
  [0x8a, 1],
  [0x8b, 4],
  [0x8c, 1],
  [0x8d, 8],
  [0x8e, 8],
  [0x96, 8],
]);
/** Opcodes whose argument is so many lines, and what each line must look like. */
const LINES: ReadonlyMap<number, readonly [lines: number, pattern: RegExp]> = new Map([
  [code('I'), [1, /^-?\d+$/]],
  [code('L'), [1, /^-?\d+L?$/]],
  [code('F'), [1, /^[-+.\deEinfa]+$/]],
  [code('S'), [1, /^(['"]).*\1$/]],
  [code('V'), [1, /^/]],
  [code('P'), [1, /^/]],
  [code('c'), [2, /^[\w.<>]+$/]],
  [code('i'), [2, /^[\w.<>]+$/]],
  [code('p'), [1, /^\d+$/]],
  [code('g'), [1, /^\d+$/]],
]);
const LONGEST_LINE = 65_536;

/** Offset after the opcode at `at`, beyond the bytes where they end in it; null: no opcode. */
function afterOpcode(bytes: Uint8Array, at: number): number | null {
  const opcode = bytes[at]!;
  if (BARE.has(opcode)) return at + 1;
  const fixed = FIXED.get(opcode);
  if (fixed !== undefined) return at + 1 + fixed;
  const counted = COUNTED.get(opcode);
  if (counted !== undefined) return at + 1 + counted + littleEndian(bytes, at + 1, counted);
  const [lines, pattern] = LINES.get(opcode) ?? [0, /^/];
  return lines === 0 ? null : afterLines(bytes, at + 1, lines, pattern);
}

function littleEndian(bytes: Uint8Array, at: number, size: number): number {
  let value = 0;
  for (let index = size - 1; index >= 0; index -= 1) value = value * 256 + (bytes[at + index] ?? 0);
  return value;
}

function afterLines(bytes: Uint8Array, start: number, lines: number, pattern: RegExp): number | null {
  let at = start;
  for (let line = 0; line < lines; line += 1) {
    const end = bytes.indexOf(0x0a, at);
    if (end < 0) return bytes.length - at > LONGEST_LINE ? null : bytes.length + 1;
    if (
      !pattern.test(
        Buffer.from(bytes.buffer, bytes.byteOffset + at, Math.min(end - at, 1024))
          .toString('latin1')
          .replace(/\r$/, ''),
      )
    )
      return null;
    at = end + 1;
  }
  return at;
}
