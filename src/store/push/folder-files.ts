import { lstat, readdir, realpath } from 'node:fs/promises';
import { join, sep } from 'node:path';
import { HearthError, isHearthError } from '../../core/index.ts';
import { findingByName, type PushFinding } from '../../security/index.ts';
import { checkFilePath } from '../hub/file-names.ts';
import type { StoreOptions } from '../options.ts';
import { isInWorkArea } from '../workspace/work-area.ts';
import { readIgnoreRules } from './ignore-rules.ts';

/** One file of the folder that a push would send. */
export interface FolderFile {
  /** Relative POSIX path, as the disk spells it. */
  readonly path: string;
  readonly absolute: string;
  readonly sizeBytes: number;
  readonly mtimeNs: bigint;
  readonly inode: bigint;
}

export interface Folder {
  /** The real path: no link in it. */
  readonly directory: string;
  /** Sorted by path. */
  readonly files: readonly FolderFile[];
  /** What names and kinds of files alone speak against. */
  readonly findings: readonly PushFinding[];
}

const MAX_FILES = 10_000;
const MAX_FILE_BYTES = 50 * 1024 ** 3;

/** Lists a folder without opening any of its files but .hfignore; links are never followed. Errors: push_refused for more than 10,000 files. */
export async function readFolder(options: Pick<StoreOptions, 'stateDirectory'>, path: string): Promise<Folder> {
  const directory = await realpath(path);
  const rules = await readIgnoreRules(directory);
  const files: FolderFile[] = [];
  const findings: PushFinding[] = [];
  const quarantine = join(options.stateDirectory, '..', 'quarantine') + sep;
  if ((directory + sep).startsWith(quarantine) || isInWorkArea(directory))
    findings.push({ path: '.', code: 'quarantine', message: 'the model is in quarantine' });

  const walk = async (prefix: string): Promise<void> => {
    for (const entry of await readdir(join(directory, prefix), { withFileTypes: true })) {
      const relative = prefix === '' ? entry.name : `${prefix}/${entry.name}`;
      if (rules.ignores(relative, entry.isDirectory() ? 'directory' : 'file')) continue;
      if (entry.isDirectory()) {
        // A directory that is refused as a whole is told once.
        const finding = findingByName(`${relative}/x`);
        if (finding === null) await walk(relative);
        else findings.push({ ...finding, path: `${relative}/` });
        continue;
      }
      const finding = nameFinding(relative) ?? kindFinding(relative, entry);
      if (finding !== null) {
        findings.push(finding);
        continue;
      }
      const info = await lstat(join(directory, relative), { bigint: true });
      if (info.size > BigInt(MAX_FILE_BYTES)) findings.push({ path: relative, code: 'too_large', message: 'it is larger than 50 GiB' });
      else files.push({ path: relative, absolute: join(directory, relative), sizeBytes: Number(info.size), mtimeNs: info.mtimeNs, inode: info.ino });
      if (files.length > MAX_FILES) throw new HearthError('push_refused', `The folder holds more than ${MAX_FILES} files; is it the right one?`);
    }
  };
  await walk('');
  findings.push(...sameNames(files));
  files.sort((a, b) => (a.path < b.path ? -1 : 1));
  findings.sort((a, b) => (a.path < b.path ? -1 : 1));
  return { directory, files, findings };
}

function nameFinding(path: string): PushFinding | null {
  try {
    checkFilePath(path);
  } catch (error) {
    if (!isHearthError(error)) throw error;
    return { path: path.replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, '\uFFFD'), code: 'name_refused', message: 'its name is not safe on other machines' };
  }
  return findingByName(path);
}

function kindFinding(path: string, entry: { isSymbolicLink(): boolean; isFile(): boolean }): PushFinding | null {
  if (entry.isSymbolicLink()) return { path, code: 'symlink', message: 'it is a link; hearth sends only files of the folder itself' };
  return entry.isFile() ? null : { path, code: 'special_file', message: 'it is no regular file' };
}

/** Two names that are one on file systems which fold case or Unicode forms. */
function sameNames(files: readonly FolderFile[]): PushFinding[] {
  const seen = new Map<string, string>();
  return files.flatMap(({ path }) => {
    const folded = path.normalize('NFC').toLowerCase();
    const other = seen.get(folded);
    seen.set(folded, path);
    return other === undefined ? [] : [{ path, code: 'name_refused' as const, message: `it is one name with ${other} on some disks` }];
  });
}
