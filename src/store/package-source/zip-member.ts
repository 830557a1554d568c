import { type FileHandle, open } from 'node:fs/promises';
import { brokenArchive, type ZipMember, zipMembers } from '../../formats/index.ts';
import { checkFilePath } from '../hub/file-names.ts';

/** Finds the one member with that base name. The handle must stay open until the content is read. Errors: download_failed, name_refused. */
export async function findZipMember(file: FileHandle, path: string, baseName: string): Promise<ZipMember> {
  const members = await zipMembers(file, { path, checkName: checkFilePath });
  const matches = members.filter(({ name }) => name.slice(name.lastIndexOf('/') + 1) === baseName);
  const [member] = matches;
  if (member === undefined || matches.length > 1) throw brokenArchive(path, `it holds ${matches.length} files named ${baseName}`);
  return member;
}

export const openArchive = (path: string): Promise<FileHandle> => open(path, 'r');
