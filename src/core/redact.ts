import { createHmac, randomBytes } from 'node:crypto';
import { findSecrets, type SecretSpan } from './find-secrets.ts';
import { secretKindOf } from './secret-names.ts';

/** Secrets that this process knows, in every form that a text may hold them in. */
const known = new Map<string, { readonly kind: string; readonly value: string }>();
let key: Buffer | null = null;

/** Registers a secret value that this process knows, so that every later text is stripped of it, also where it is encoded. */
export function registerSecret(kind: string, value: string): void {
  if (value.length < 8) return;
  for (const form of formsOf(value)) if (form.length >= 8) known.set(form, { kind, value });
  names.clear();
}

/** Fingerprints are made with this key from now on, so that equal secrets look alike in all files of an installation; before, with one of this process. */
export function keyRedaction(installDerived: Uint8Array): void {
  key = Buffer.from(installDerived);
  names.clear();
}

/** The text with secrets replaced by `[redacted:<kind>:<8 hex>]`. */
export function redact(text: string): string {
  const spans = secretsIn(text);
  if (spans.length === 0) return text;
  let result = '';
  let at = 0;
  // A fingerprint costs more than all else here, and a text that is made to be slow repeats itself.
  const marks = new Map<string, string>();
  for (const { kind, value, start, end } of spans) {
    const mark = marks.get(kind + value) ?? markOf(kind, value);
    marks.set(kind + value, mark);
    result += text.slice(at, start) + mark;
    at = end;
  }
  return result + text.slice(at);
}

/** Where the secrets of a text are. */
export const secretsIn = (text: string): readonly SecretSpan[] => findSecrets(text, knownIn);

const MAX_DEPTH = 32;

/**
 * A plain copy of a value with its secrets replaced: in every string, in names of fields, and whatever a field of a secret's name holds, at any depth.
 * What is deeper than 32 levels, or contains itself, is left out.
 */
export function redactFields<T>(value: T): T {
  return walk(value, null, [], MAX_DEPTH) as T;
}

function walk(value: unknown, kind: string | null, above: readonly unknown[], depth: number): unknown {
  if (typeof value === 'string') return kind === null || value === '' ? redact(value) : redactWhole(kind, value);
  if ((typeof value === 'number' || typeof value === 'bigint') && (kind === 'password' || kind === 'passphrase')) return markOf(kind, String(value));
  if (typeof value !== 'object' || value === null) return value;
  if (depth === 0 || above.includes(value)) return '[left out]';
  const inside = [...above, value];
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`;
  if (Array.isArray(value)) return value.map((item) => walk(item, kind, inside, depth - 1));
  if (value instanceof Error) return walk({ ...value, name: value.name, message: value.message }, kind, inside, depth - 1);
  if ('toJSON' in value && typeof value.toJSON === 'function') return walk(value.toJSON(), kind, inside, depth - 1);
  const entries = value instanceof Map ? [...value] : Object.entries(value);
  // A piece of text that a model weighed is called `token` in the answers of every API.
  const weighed = 'logprob' in value;
  const copy: Record<string, unknown> = {};
  for (const [name, item] of entries) {
    const { shown, kind: own } = fieldName(String(name));
    if (shown !== '__proto__') copy[shown] = walk(item, kind ?? (weighed && name === 'token' ? null : own), inside, depth - 1);
  }
  return copy;
}

interface FieldName {
  readonly shown: string;
  /** Of the secret that a field of this name holds. */
  readonly kind: string | null;
}

/** Every line of a log has the same few names. Forgotten when there are many, since who sends a body chooses its names. */
const names = new Map<string, FieldName>();
const MOST_NAMES = 500;

function fieldName(name: string): FieldName {
  const seen = names.get(name);
  if (seen !== undefined) return seen;
  const looked = { shown: redact(name), kind: secretKindOf(name) };
  if (names.size >= MOST_NAMES) names.clear();
  if (name.length <= 64) names.set(name, looked);
  return looked;
}

/** A value that was stripped before stays as it is. */
const redactWhole = (kind: string, value: string): string => {
  const inner = redact(value);
  return /^(?:\w+ )?\[redacted:[a-z0-9-]+:[0-9a-f]{8}\]$/.test(inner) ? inner : markOf(kind, value);
};

/** The user's home as `~`, where it is a whole part of a path. */
export function shortenHome(text: string, userHome: string): string {
  if (userHome.length < 2 || !text.includes(userHome)) return text;
  return text.replaceAll(new RegExp(`${userHome.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}(?![\\w.-])`, 'g'), '~');
}

function knownIn(text: string): readonly SecretSpan[] {
  const found: SecretSpan[] = [];
  for (const [form, { kind, value }] of known)
    for (let start = text.indexOf(form); start >= 0; start = text.indexOf(form, start + form.length))
      found.push({ start, end: start + form.length, kind, value });
  return found;
}

/** Shorter secrets are words that a model may say by chance. */
export const LEAK_CHARACTERS = 16;

/** Hears a text in pieces and tells the kind of a secret of this process as soon as one is whole in it, in any of its forms; null as long as none is. */
export function createLeakWatch(): (piece: string) => string | null {
  let tail = '';
  return (piece) => {
    if (known.size === 0) return null;
    const text = tail + piece;
    let longest = 0;
    for (const [form, { kind, value }] of known) {
      if (value.length < LEAK_CHARACTERS) continue;
      longest = Math.max(longest, form.length);
      if (text.includes(form)) return kind;
    }
    tail = longest < 2 ? '' : text.slice(-(longest - 1));
    return null;
  };
}

function markOf(kind: string, value: string): string {
  key ??= randomBytes(32);
  return `[redacted:${kind}:${createHmac('sha256', key).update(value).digest('hex').slice(0, 8)}]`;
}

function formsOf(value: string): ReadonlySet<string> {
  const escaped = JSON.stringify(value).slice(1, -1);
  const forms = new Set([value, escaped, JSON.stringify(escaped).slice(1, -1), encodeURIComponent(value.toWellFormed())]);
  forms.add(new URLSearchParams({ '': value }).toString().slice(1));
  const bytes = Buffer.from(value);
  // As it is read where each byte of a URL is taken for a character.
  forms.add(bytes.toString('latin1')).add(Buffer.from(escaped).toString('latin1'));
  for (let shift = 0; shift < 3; shift += 1) {
    // What the neighbours of the value do not change, wherever it lies in what was encoded.
    const text = Buffer.concat([Buffer.alloc(shift), bytes])
      .toString('base64')
      .replace(/=+$/, '');
    const stable = text.slice(Math.ceil((shift * 8) / 6), Math.floor(((shift + bytes.length) * 8) / 6));
    forms.add(stable).add(stable.replaceAll('+', '-').replaceAll('/', '_')).add(encodeURIComponent(stable));
  }
  return forms;
}
