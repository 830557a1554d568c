import { createHash } from 'node:crypto';
import { isHearthError, isJsonObject } from '../../core/index.ts';
import { parseJsonStrictly } from '../access/json-scan.ts';
import { LEGACY_PREDICATE_TYPE, MAX_JSON_DEPTH, MAX_RESOURCES, PREDICATE_TYPE, STATEMENT_TYPE } from './formats.ts';
import { isLoadableName } from './loadable.ts';
import { comparePaths, foldedName } from './path-order.ts';
import { problem } from './problems.ts';
import { isSoundIgnorePath, isSoundPath, splitShardName } from './resource-name.ts';
import type { HashedFile, SignatureProblem } from './types.ts';

/** What was signed. */
export interface Manifest {
  readonly subjectName: string;
  /** Lower-case hex. */
  readonly rootDigest: string;
  readonly hashType: 'sha256' | 'blake2b';
  /** null: each file is one piece. */
  readonly shardBytes: number | null;
  readonly ignorePaths: readonly string[];
  /** By path; a file has one piece, its whole, unless it was signed in shards: those in the order of their start. */
  readonly files: ReadonlyMap<string, readonly Piece[]>;
}

export interface Piece {
  readonly start: number;
  /** null: the whole file. */
  readonly end: number | null;
  readonly digest: string;
}

interface Reading {
  readonly problems: SignatureProblem[];
  readonly warnings: SignatureProblem[];
}

/** The statement of a model (in-toto v1), as hearth writes it: by files, SHA-256, without links. */
export function writeStatement(parts: {
  name: string;
  files: readonly Pick<HashedFile, 'path' | 'sha256'>[];
  rootDigest: string;
  ignorePaths: readonly string[];
}): Buffer {
  return Buffer.from(
    JSON.stringify({
      _type: STATEMENT_TYPE,
      subject: [{ name: parts.name, digest: { sha256: parts.rootDigest } }],
      predicateType: PREDICATE_TYPE,
      predicate: {
        serialization: { method: 'files', hash_type: 'sha256', allow_symlinks: false, ignore_paths: parts.ignorePaths },
        resources: parts.files
          .toSorted((a, b) => comparePaths(a.path, b.path))
          .map(({ path, sha256 }) => ({ name: path, algorithm: 'sha256', digest: sha256 })),
      },
    }),
  );
}

/** Reads the signed bytes; null where they cannot be compared with a directory. Never throws. */
export function readStatement(payload: Uint8Array): Reading & { readonly manifest: Manifest | null } {
  const reading: Reading = { problems: [], warnings: [] };
  return { ...reading, manifest: manifestOf(payload, reading) };
}

function manifestOf(payload: Uint8Array, reading: Reading): Manifest | null {
  const refuse = (code: string, message: string): null => {
    reading.problems.push(problem(code, message));
    return null;
  };
  let statement: unknown;
  try {
    statement = parseJsonStrictly(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(payload), {
      depth: MAX_JSON_DEPTH,
      keys: 8 * MAX_RESOURCES,
    });
  } catch (error) {
    return refuse('sig_statement', `The signed statement is no sound JSON: ${isHearthError(error) ? error.message : 'it is not UTF-8'}`);
  }
  if (!isJsonObject(statement) || statement['_type'] !== STATEMENT_TYPE)
    return refuse('sig_statement', `What was signed is no in-toto statement of version 1.`);
  const { predicateType, predicate, subject } = statement;
  if (predicateType === LEGACY_PREDICATE_TYPE) return refuse('sig_legacy', 'The signature is of the first, experimental form (v0.1); sign the model again.');
  if (predicateType !== PREDICATE_TYPE) return refuse('sig_predicate', `What was signed is no model: its predicateType is not ${PREDICATE_TYPE}.`);
  const subjects = Array.isArray(subject) ? (subject as readonly unknown[]) : [];
  const { name, digest } = isJsonObject(subjects[0]) ? subjects[0] : {};
  const stated = isJsonObject(digest) ? digest['sha256'] : undefined;
  if (subjects.length !== 1 || typeof name !== 'string' || typeof stated !== 'string' || !isDigest(stated, 64)) {
    return refuse('sig_statement', 'The signed statement names no model with one SHA-256 digest.');
  }
  if (!isJsonObject(predicate) || !isJsonObject(predicate['serialization']))
    return refuse('sig_predicate', 'The signed statement does not say how the model was hashed.');
  const how = readSerialization(predicate['serialization'], reading);
  if (how === null) return null;
  const files = readResources(predicate['resources'], how, reading, stated.toLowerCase());
  if (stated !== stated.toLowerCase()) reading.warnings.push(upperCase());
  return files === null ? null : { subjectName: name, rootDigest: stated.toLowerCase(), files, ...how };
}

type Serialization = Pick<Manifest, 'hashType' | 'shardBytes' | 'ignorePaths'>;

function readSerialization(how: Record<string, unknown>, { problems }: Reading): Serialization | null {
  const { method, hash_type: hashType, allow_symlinks: links, ignore_paths: ignored = [], shard_size: shardSize } = how;
  if ((method !== 'files' && method !== 'shards') || (hashType !== 'sha256' && hashType !== 'blake2b')) {
    problems.push(problem('sig_method_unsupported', `hearth cannot check a model hashed as ${String(method)} by ${String(hashType)}; sign it with SHA-256.`));
    return null;
  }
  if (typeof links !== 'boolean' || !Array.isArray(ignored) || ignored.some((path) => typeof path !== 'string')) {
    problems.push(problem('sig_predicate', 'The signed statement says in no known form which files were hashed.'));
    return null;
  }
  if (method === 'shards' && !(Number.isSafeInteger(shardSize) && (shardSize as number) > 0)) {
    problems.push(problem('sig_predicate', 'The signed statement gives no size of its shards.'));
    return null;
  }
  if (links) problems.push(problem('file_symlink', 'The model was signed with links followed; what they point to is not part of it.'));
  for (const path of ignored as readonly string[]) {
    if (!isSoundIgnorePath(path) || isLoadableName(path)) {
      const why = isSoundIgnorePath(path) ? 'which an engine may read' : 'which is no path inside the model';
      problems.push(problem('sig_ignore_path', `The signature leaves out ${path === '' ? '""' : path}, ${why}.`, { file: path }));
    }
  }
  return {
    hashType,
    shardBytes: method === 'shards' ? (shardSize as number) : null,
    ignorePaths: (ignored as readonly string[]).filter(isSoundIgnorePath).map((path) => path.replace(/\/$/, '')),
  };
}

function readResources(value: unknown, how: Serialization, { problems, warnings }: Reading, rootDigest: string): Map<string, Piece[]> | null {
  const list = Array.isArray(value) ? (value as readonly unknown[]) : null;
  if (list === null || list.length === 0) {
    problems.push(problem(list === null ? 'sig_predicate' : 'sig_manifest_empty', 'The signature lists no file: it would fit any content.'));
    return null;
  }
  if (list.length > MAX_RESOURCES) {
    problems.push(problem('sig_too_large', `The signature lists ${list.length} files or shards; ${MAX_RESOURCES} are allowed.`));
    return null;
  }
  const algorithm = how.shardBytes === null ? how.hashType : `${how.hashType}-sharded-${how.shardBytes}`;
  const digits = how.hashType === 'sha256' ? 64 : 128;
  const root = createHash('sha256');
  const files = new Map<string, Piece[]>();
  const spelled = new Map<string, string>();
  const names = new Set<string>();
  let sound = true;
  let upper = false;
  const refuse = (code: string, message: string, file: string): void => {
    sound = false;
    problems.push(problem(code, message, { file: file.slice(0, 200) }));
  };
  for (const item of list) {
    const { name, digest, algorithm: stated } = isJsonObject(item) ? item : {};
    if (typeof name !== 'string' || typeof digest !== 'string' || !isDigest(digest, digits) || !sameAlgorithm(stated, algorithm)) {
      refuse('sig_predicate', 'The signature lists a file without a digest of the kind that it says.', typeof name === 'string' ? name : '');
      continue;
    }
    root.update(Buffer.from(digest, 'hex'));
    upper ||= digest !== digest.toLowerCase();
    const shard = how.shardBytes === null ? { path: name, start: 0, end: null } : splitShardName(name);
    if (shard === null || !(isSoundPath(shard.path) || (name === '.' && list.length === 1))) {
      refuse('sig_resource_name', `The signature lists ${name.slice(0, 200)}, which is no sound name of a file of a model.`, name);
      continue;
    }
    const folded = foldedName(shard.path);
    const earlier = spelled.get(folded);
    if (names.has(name) || (earlier !== undefined && earlier !== shard.path))
      refuse('sig_resource_duplicate', `The signature lists ${name} twice, or in two spellings of one name.`, name);
    names.add(name);
    spelled.set(folded, shard.path);
    const pieces = files.get(shard.path) ?? [];
    pieces.push({ start: shard.start, end: shard.end, digest: digest.toLowerCase() });
    files.set(shard.path, pieces);
  }
  for (const pieces of files.values()) pieces.sort((a, b) => a.start - b.start);
  if (upper) warnings.push(upperCase());
  if (!sound) return null;
  const actual = root.digest('hex');
  if (actual !== rootDigest) {
    problems.push(problem('sig_root_digest', 'The digest of the model is not that of the files that the signature lists.', { expected: rootDigest, actual }));
  }
  return files;
}

const isDigest = (text: string, digits: number): boolean => text.length === digits && /^[0-9a-fA-F]+$/.test(text);

/** A shard size may be written as a float: `sha256-sharded-1000000000.0`. */
const sameAlgorithm = (stated: unknown, algorithm: string): boolean => typeof stated === 'string' && stated.replace(/\.0+$/, '') === algorithm;

const upperCase = (): SignatureProblem => problem('sig_digest_case', 'The signature writes digests in upper case; they were read as lower case.');
