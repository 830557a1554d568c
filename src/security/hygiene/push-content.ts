import { sniffContent } from '../intake/sniff.ts';
import type { PushFinding } from './push-names.ts';

/** What the first bytes (512 suffice) of a file tell against sending it. */
export function findingByContent(path: string, head: Uint8Array): PushFinding | null {
  const text = Buffer.from(head).toString('latin1');
  if (text.startsWith('SQLite format 3\0')) return { path, code: 'database', message: 'it is a database' };
  const what = sniffContent(head, false);
  return what === null ? null : { path, code: 'format_refused', message: `its content is ${what}` };
}

interface Pattern {
  readonly what: string;
  readonly pattern: RegExp;
  /** The match must look random: letters and digits, and many different ones. Vocabularies hold words of the same form. */
  readonly random: boolean;
}

const PATTERNS: readonly Pattern[] = [
  { what: 'a token of the model hub', pattern: /\bhf_[A-Za-z0-9]{30,}/g, random: true },
  { what: 'an API key', pattern: /\bsk-[A-Za-z0-9_-]{20,}/g, random: true },
  { what: 'a token of a code host', pattern: /\bgh[pousr]_[A-Za-z0-9]{36,}|\bgithub_pat_\w{40,}/g, random: true },
  { what: 'a cloud access key', pattern: /\b(?:AKIA|ASIA)[0-9A-Z]{16}\b/g, random: true },
  { what: 'a token of a package registry', pattern: /\bnpm_[A-Za-z0-9]{36}\b/g, random: true },
  { what: 'a token of a chat service', pattern: /\bxox[abprs]-[\w-]{10,}/g, random: true },
  { what: 'a key of hearth', pattern: /\bhth_\w{12}_[\w-]{43}/g, random: true },
  { what: 'a signed web token', pattern: /\beyJ[\w-]{16,}\.eyJ[\w-]{16,}\.[\w-]{16,}/g, random: true },
  { what: 'a private key', pattern: /-----BEGIN [A-Z ]*PRIVATE KEY-----/g, random: false },
];
/** Longer than any token that the patterns can tell apart at a border of two pieces. */
const OVERLAP = 512;
const DISTINCT = 10;

export interface SecretScanner {
  /** Takes the next piece of a file. */
  update(piece: Uint8Array): void;
  /** The kind of the first secret, such as `a private key`; null when there is none. */
  found(): string | null;
}

/** Looks for secrets in a file that is read in pieces; `known` are values that must not occur, such as the token in use. */
export function createSecretScanner(known: readonly string[] = []): SecretScanner {
  let rest = '';
  let found: string | null = null;
  return {
    update(piece) {
      if (found !== null) return;
      const text = rest + Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength).toString('latin1');
      found = secretIn(text, known);
      rest = text.slice(-OVERLAP);
    },
    found: () => found,
  };
}

function secretIn(text: string, known: readonly string[]): string | null {
  if (known.some((value) => value.length >= 8 && text.includes(value))) return 'the token that is in use';
  for (const { what, pattern, random } of PATTERNS) {
    for (const [match] of text.matchAll(pattern)) if (!random || looksRandom(match)) return what;
  }
  return null;
}

const looksRandom = (text: string): boolean => /\d/.test(text) && /[A-Za-z]/.test(text) && new Set(text).size >= DISTINCT;
