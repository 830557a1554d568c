import { MAX_PATH_BYTES } from './formats.ts';

/** A relative POSIX path of a file: no empty, `.` or `..` part, no backslash, no control character, at most 1 KiB. */
export function isSoundPath(path: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is refused
  if (path === '' || Buffer.byteLength(path) > MAX_PATH_BYTES || /[\\\x00-\x1f\x7f-\x9f]/.test(path) || !path.isWellFormed()) return false;
  return path.split('/').every((part) => part !== '' && part !== '.' && part !== '..');
}

/** As `isSoundPath`; one slash at the end is a directory's. */
export const isSoundIgnorePath = (path: string): boolean => isSoundPath(path.endsWith('/') ? path.slice(0, -1) : path);

/** `path:start:end` of a shard; null for every other text. Offsets are bytes, the end is not included. */
export function splitShardName(name: string): { readonly path: string; readonly start: number; readonly end: number } | null {
  const [, path, start, end] = /^([^:]*):(0|[1-9]\d{0,15}):([1-9]\d{0,15})$/.exec(name) ?? [];
  if (path === undefined || Number(start) >= Number(end) || !Number.isSafeInteger(Number(end))) return null;
  return { path, start: Number(start), end: Number(end) };
}
