import type { HashResult } from './hash-work.ts';
import { isLoadableName, loadableContent } from './loadable.ts';
import { foldedName, isCovered } from './path-order.ts';
import { addLimited, problem } from './problems.ts';
import type { Manifest } from './statement.ts';
import type { HashedFile, ModelFile, SignatureProblem } from './types.ts';
import type { ModelWalk } from './walk-model.ts';

/** The walked files, by what the signature says of them. */
export interface SortedFiles {
  readonly listed: readonly ModelFile[];
  readonly extra: readonly ModelFile[];
  readonly ignored: readonly ModelFile[];
}

export function sortFiles(walk: ModelWalk, manifest: Pick<Manifest, 'files'> | null, ignored: readonly string[]): SortedFiles {
  const sorted = { listed: [] as ModelFile[], extra: [] as ModelFile[], ignored: [] as ModelFile[] };
  for (const file of walk.files) {
    if (manifest?.files.has(file.path)) sorted.listed.push(file);
    else if (isCovered(file.path, ignored)) sorted.ignored.push(file);
    else sorted.extra.push(file);
  }
  return sorted;
}

/** Files that the signature lists against what was found and hashed. `results` are those of `sorted.listed`, in order. */
export function compareListed(manifest: Manifest, sorted: SortedFiles, results: readonly HashResult[]): SignatureProblem[] {
  const changed: SignatureProblem[] = [];
  const found = new Set(sorted.listed.map(({ path }) => path));
  for (const [index, file] of sorted.listed.entries()) {
    const difference = differenceOf(manifest, file, results[index]!);
    if (difference !== null) changed.push(difference);
  }
  const missing = [...manifest.files.keys()].filter((path) => !found.has(path));
  const problems: SignatureProblem[] = [];
  addLimited(problems, changed);
  addLimited(
    problems,
    missing.map((file) => problem('file_missing', `${file} is part of the signed model and is not here.`, { file })),
  );
  return problems;
}

function differenceOf(manifest: Manifest, file: ModelFile, result: HashResult): SignatureProblem | null {
  const { path } = file;
  if (result.kind === 'unreadable') return problem('file_unreadable', `${path} could not be read (${result.reason}).`, { file: path });
  if (result.kind === 'changed') return problem('file_changed', `${path} changed while it was read.`, { file: path });
  const expected = manifest.files.get(path)!;
  const actual = manifest.shardBytes === null && manifest.hashType === 'sha256' ? [result.digest] : result.pieces;
  const { size } = file.identity;
  const ends = expected.every(({ start, end }, index) => {
    if (manifest.shardBytes === null) return true;
    return start === index * manifest.shardBytes && end === Math.min(size, (index + 1) * manifest.shardBytes);
  });
  const at = expected.findIndex(({ digest }, index) => digest !== actual[index]);
  if (ends && at < 0 && actual.length === expected.length) return null;
  const digests = at < 0 ? {} : { expected: expected[at]!.digest, actual: actual[at] ?? '' };
  return problem('file_changed', `${path} is not as it was signed.`, { file: path, ...digests });
}

/** Files that nobody signed. An empty file has no shard: where the model was signed in shards, one that nothing reads is let be. */
export function extraProblems(sorted: SortedFiles, manifest: Manifest | null): SignatureProblem[] {
  const names = new Set([...(manifest?.files.keys() ?? [])].map(foldedName));
  const isEmptyShard = ({ path, identity }: ModelFile): boolean =>
    manifest?.shardBytes !== null && manifest !== null && identity.size === 0 && !isLoadableName(path);
  const problems: SignatureProblem[] = [];
  addLimited(
    problems,
    sorted.extra
      .filter((file) => !isEmptyShard(file))
      .map(({ path: file }) =>
        problem('file_extra', `${file} is not part of the signed model${names.has(foldedName(file)) ? ', but has the name of a file of it' : ''}.`, { file }),
      ),
  );
  return problems;
}

/** Files under ignored paths that an engine might read nonetheless. `signature`: the path of the signature itself, which is none of them. */
export function ignoredProblems(sorted: SortedFiles, signature: string): SignatureProblem[] {
  const problems: SignatureProblem[] = [];
  const found = sorted.ignored.flatMap((file) => {
    if (file.path === signature) return [];
    const why = isLoadableName(file.path) ? 'its name is one that engines read' : contentOf(file);
    return why === null ? [] : [problem('file_extra_ignored', `${file.path} is left out of the signature, but ${why}.`, { file: file.path })];
  });
  addLimited(problems, found);
  return problems;
}

function contentOf(file: ModelFile): string | null {
  try {
    const content = loadableContent(file.source);
    return content === null ? null : `it is ${content}`;
  } catch {
    return 'it could not be read';
  }
}

/** One warning for each ignored path with empty directories, which no signature can cover. */
export function emptyDirectoryWarnings(walk: ModelWalk): SignatureProblem[] {
  const counts = new Map<string, number>();
  for (const path of walk.emptyDirectories) {
    const top = path.split('/')[0]!;
    counts.set(top, (counts.get(top) ?? 0) + 1);
  }
  return [...counts].map(([file, count]) =>
    problem('directory_empty', `${count} empty director${count === 1 ? 'y' : 'ies'} at ${file}; signatures do not cover them.`, { file }),
  );
}

/** Listed files as they were hashed, for who builds on the verdict. */
export const hashedFiles = (files: readonly ModelFile[], results: readonly HashResult[]): HashedFile[] =>
  files.flatMap((file, index) => {
    const result = results[index]!;
    return result.kind === 'hashed' ? [{ ...file, sha256: result.digest }] : [];
  });
