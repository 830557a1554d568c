import { HearthError } from '../../core/index.ts';

/** Rules for paths that a hub or an archive names, before any of them touches the disk (docs/spec/security.md §4.1). */

const DEVICES = /^(con|prn|aux|nul|com[1-9]|lpt[1-9])(\..*)?$/i;
const INVISIBLE = /[\p{Cc}\p{Cf}\u2028\u2029]/u;

/** Errors: `name_refused`. */
export function checkFilePath(path: string): void {
  const why = problem(path);
  if (why !== null) {
    const shown = path.replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, '\uFFFD').slice(0, 120);
    throw new HearthError('name_refused', `The repository names a file "${shown}", which is refused: ${why}. Nothing was written.`);
  }
}

function problem(path: string): string | null {
  if (path === '' || Buffer.byteLength(path) > 1024) return 'a path has 1 to 1,024 bytes';
  if (path.includes('\\') || path.includes('\0')) return 'it holds a backslash or NUL';
  if (INVISIBLE.test(path)) return 'it holds control or invisible characters';
  if (/%(2e|2f|5c)/i.test(path)) return 'it holds an encoded separator';
  const segments = path.split('/');
  if (segments.length > 16) return 'it is deeper than 16 directories';
  for (const segment of segments) {
    if (segment === '' || segment === '.' || segment === '..') return 'it leaves its directory or is absolute';
    if (Buffer.byteLength(segment) > 255) return 'a part of it is longer than 255 bytes';
    if (/[. ]$/.test(segment)) return 'a part of it ends with a dot or a space';
    if (DEVICES.test(segment)) return 'a part of it is the name of a device';
  }
  return /^[A-Za-z]:/.test(path) ? 'it names a drive' : null;
}

/**
 * Also refuses names that are one name on file systems that fold case or Unicode forms, and a file with the name of a directory.
 * Errors: `name_refused`.
 */
export function checkFilePaths(paths: readonly string[]): void {
  const seen = new Map<string, string>();
  const directories = new Map<string, string>();
  for (const path of paths) {
    checkFilePath(path);
    const folded = path.normalize('NFC').toLowerCase();
    const other = seen.get(folded);
    if (other !== undefined)
      throw new HearthError('name_refused', `The repository names "${other}" and "${path}", which are one file on some disks. Nothing was written.`);
    seen.set(folded, path);
    for (let at = folded.lastIndexOf('/'); at > 0; at = folded.lastIndexOf('/', at - 1)) directories.set(folded.slice(0, at), path);
  }
  for (const [folded, path] of seen) {
    const other = directories.get(folded);
    if (other !== undefined)
      throw new HearthError('name_refused', `The repository names "${path}" as a file, and "${other}" as one inside it. Nothing was written.`);
  }
}
