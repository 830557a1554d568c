import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { fileKind } from '../intake/file-kind.ts';
import { SNIFF_BYTES, sniffContent } from '../intake/sniff.ts';
import { WORKSPACE_MARKS } from './formats.ts';

const SUFFIX = /\.(safetensors|gguf|json|jinja|txt|model|tiktoken|py|pyc|so|dylib|dll|sh|npz|npy)$/i;

/** Whether an engine, or a Python loader, might read a file of this name: such a file may not be ignored by a signature. */
export const isLoadableName = (path: string): boolean => !WORKSPACE_MARKS.includes(path) && (SUFFIX.test(path) || fileKind(path) === 'refused');

/** What makes a file loadable whatever its name, as a noun; null: nothing. `#!` alone does not count, so that git's own hooks pass. */
export function loadableContent(source: string): string | null {
  const { head, whole } = readHead(source);
  if (head.subarray(0, 4).toString('latin1') === 'GGUF') return 'GGUF weights';
  if (head.length > 9 && head[8] === 0x7b && head.readBigUInt64LE(0) < 100_000_000n) return 'safetensors weights';
  const found = sniffContent(head, whole);
  return found === 'a script' ? null : found;
}

/** What makes a file one that no model may hold, as a noun (docs/spec/security.md §4.2); null: nothing. */
export function refusedContent(path: string, source: string): string | null {
  if (fileKind(path) === 'refused') return 'a file of a refused kind';
  const { head, whole } = readHead(source);
  return sniffContent(head, whole);
}

function readHead(source: string): { readonly head: Buffer; readonly whole: boolean } {
  const descriptor = openSync(source, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const facts = fstatSync(descriptor);
    if (!facts.isFile()) return { head: Buffer.alloc(0), whole: true };
    const head = Buffer.alloc(Math.min(SNIFF_BYTES, facts.size));
    return { head: head.subarray(0, readSync(descriptor, head, 0, head.length, 0)), whole: facts.size <= SNIFF_BYTES };
  } finally {
    closeSync(descriptor);
  }
}
