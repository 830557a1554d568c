import { HearthError } from '../core/index.ts';

/** A model as the user typed it (docs/spec/store.md §3): an explicit path, or `NAME[:VARIANT][@REV][+ADAPTER[@VERSION]]`. */
export type Reference =
  | { readonly kind: 'path'; readonly text: string; readonly path: string }
  | {
      readonly kind: 'name';
      readonly text: string;
      readonly name: string;
      /** Part of the file name of one GGUF file set. */
      readonly variant: string | null;
      /** Start of a snapshot's hash, or a ref such as a branch. */
      readonly revision: string | null;
      readonly adapter: string | null;
    };

const MAX_NAME_CHARACTERS = 96;
const REVISION = /^[A-Za-z0-9][A-Za-z0-9._/-]{0,127}$/;
const DEVICES = /^(con|prn|aux|nul|com[1-9]|lpt[1-9])(\..*)?$/i;
const HUB_NAME = /^[\w.-]+(\/[\w.-]+)?$/;

const refuse = (text: string, why: string): HearthError =>
  new HearthError('invalid_name', `"${printable(text)}" is not a model name: ${why}.`, { details: { name: printable(text) } });

/** Control characters and bidi marks of a refused name must not reach a terminal. */
const printable = (text: string): string => text.replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, '\uFFFD').slice(0, 120);

export const isExplicitPath = (text: string): boolean => text === '.' || text === '..' || /^(\.{1,2}\/|\/|~\/|~$)/.test(text);

/** Parses and validates offline. Errors: `invalid_name`. */
export function parseReference(text: string): Reference {
  if (text.includes('\0')) throw refuse(text, 'it holds a NUL character');
  if (isExplicitPath(text)) return { kind: 'path', text, path: text };
  const [base, adapter] = splitOnce(text, '+');
  const [named, revision] = splitOnce(base, '@');
  const [name, variant] = splitOnce(named, ':');
  validateName(name);
  if (variant !== null && !/^[\w.-]{1,96}$/.test(variant)) throw refuse(text, 'what follows ":" is part of a file name, of letters, digits, ".", "-" and "_"');
  if (revision !== null) validateRevision(revision);
  if (adapter === '') throw refuse(text, 'no adapter follows "+"');
  return { kind: 'name', text, name, variant, revision, adapter };
}

function splitOnce(text: string, mark: string): [string, string | null] {
  const at = text.indexOf(mark);
  return at < 0 ? [text, null] : [text.slice(0, at), text.slice(at + 1)];
}

export function validateName(name: string): void {
  if (name === '') throw refuse(name, 'it is empty');
  if (name.length > MAX_NAME_CHARACTERS) throw refuse(name, `it is longer than ${MAX_NAME_CHARACTERS} characters`);
  if (name.startsWith('/') || name.endsWith('/')) throw refuse(name, 'it begins or ends with "/"');
  if (name.includes('//')) throw refuse(name, 'it holds "//"');
  if (/[\p{Cc}\\]/u.test(name)) throw refuse(name, 'it holds a control character or a backslash');
  if (name.split('/').some((segment) => segment === '.' || segment === '..')) throw refuse(name, 'it holds a "." or ".." segment');
}

/** The stricter rule for names that are sent to the hub. */
export function validateHubName(name: string): void {
  validateName(name);
  if (!HUB_NAME.test(name)) throw refuse(name, 'the hub knows names of the form org/name, of letters, digits, "_", "." and "-"');
  if (name.includes('--') || name.includes('..')) throw refuse(name, 'it holds "--" or ".."');
  if (name.split('/').some((segment) => /^[.-]|[.-]$/.test(segment))) throw refuse(name, 'a part of it begins or ends with "." or "-"');
  if (name.split('/').some((segment) => DEVICES.test(segment))) throw refuse(name, 'a part of it is the name of a device');
}

export function validateRevision(revision: string): void {
  const bad =
    !REVISION.test(revision) ||
    revision.includes('..') ||
    revision.endsWith('.lock') ||
    revision.split('/').some((part) => part === '' || part.endsWith('.') || DEVICES.test(part));
  if (bad) throw new HearthError('invalid_name', `"${printable(revision)}" is not a revision: use a branch, a tag or the start of a commit hash.`);
}

const PREFIX = 'models--';

/** `org/name` -> `models--org--name`; mechanical, no validation. */
export const repositoryDirectory = (name: string): string => PREFIX + name.replaceAll('/', '--');

/** `models--org--name` -> `org/name`; null for another directory. */
export const repositoryName = (directory: string): string | null =>
  directory.startsWith(PREFIX) && directory.length > PREFIX.length ? directory.slice(PREFIX.length).replaceAll('--', '/') : null;

/** What people type: the name without the organisation. */
export const shortName = (name: string): string => name.slice(name.lastIndexOf('/') + 1);
