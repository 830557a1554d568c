import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream, mkdirSync, statSync } from 'node:fs';
import { rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

/** One file of a commit; its bytes are on the disk, named by their SHA-256. */
export interface HubFileEntry {
  readonly sha256: string;
  readonly sizeBytes: number;
  readonly lfs: boolean;
  readonly gitSha1: string;
}

export interface HubCommit {
  readonly sha: string;
  readonly parent: string | null;
  readonly summary: string;
  readonly files: ReadonlyMap<string, HubFileEntry>;
}

export interface HubRepository {
  private: boolean;
  readonly branches: Map<string, string>;
}

/** Repositories of a fake hub: commits in memory, contents in a folder. What enters is checked against its digest and size. */
export interface HubRepositories {
  readonly all: Map<string, HubRepository>;
  create(id: string, isPrivate: boolean): Promise<HubRepository>;
  commitOf(id: string, revision: string): HubCommit | null;
  addCommit(id: string, branch: string, commit: { readonly summary: string; readonly files: ReadonlyMap<string, HubFileEntry> }): HubCommit;
  /** Stores bytes; null when digest or size differ from what was announced. */
  keep(source: Readable, expected?: { readonly sha256: string; readonly sizeBytes: number }): Promise<HubFileEntry | null>;
  pathOf(sha256: string): string;
  has(sha256: string): boolean;
  /** Joins parts that were kept one by one. */
  join(parts: readonly string[], expected: { readonly sha256: string; readonly sizeBytes: number }): Promise<HubFileEntry | null>;
}

const GITATTRIBUTES = '*.safetensors filter=lfs diff=lfs merge=lfs -text\n*.gguf filter=lfs diff=lfs merge=lfs -text\n';

export function createHubRepositories(folder: string): HubRepositories {
  mkdirSync(folder, { recursive: true });
  const all = new Map<string, HubRepository>();
  const commits = new Map<string, HubCommit>();
  let counter = 0;
  const pathOf = (sha256: string): string => join(folder, sha256);

  async function keep(source: Readable, expected?: { readonly sha256: string; readonly sizeBytes: number }): Promise<HubFileEntry | null> {
    const temporary = join(folder, `incoming-${++counter}`);
    const sha = createHash('sha256');
    let sizeBytes = 0;
    const counted = async function* (): AsyncGenerator<Buffer> {
      for await (const piece of source) {
        sha.update(piece as Buffer);
        sizeBytes += (piece as Buffer).length;
        yield piece as Buffer;
      }
    };
    try {
      await pipeline(Readable.from(counted()), createWriteStream(temporary));
    } catch (error) {
      await rm(temporary, { force: true });
      throw error;
    }
    const sha256 = sha.digest('hex');
    if (expected !== undefined && (expected.sha256 !== sha256 || expected.sizeBytes !== sizeBytes)) {
      await rm(temporary, { force: true });
      return null;
    }
    const git = createHash('sha1').update(`blob ${sizeBytes}\0`);
    for await (const piece of createReadStream(temporary)) git.update(piece as Buffer);
    await rename(temporary, pathOf(sha256));
    return { sha256, sizeBytes, lfs: false, gitSha1: git.digest('hex') };
  }

  const repositories: HubRepositories = {
    all,
    keep,
    pathOf,
    has: (sha256) => statSync(pathOf(sha256), { throwIfNoEntry: false })?.isFile() === true,
    async create(id, isPrivate) {
      const repository: HubRepository = { private: isPrivate, branches: new Map() };
      all.set(id, repository);
      await writeFile(join(folder, `attributes-${++counter}`), GITATTRIBUTES);
      const entry = await keep(createReadStream(join(folder, `attributes-${counter}`)));
      repositories.addCommit(id, 'main', { summary: 'initial commit', files: new Map([['.gitattributes', entry!]]) });
      return repository;
    },
    commitOf(id, revision) {
      const repository = all.get(id);
      return repository === undefined ? null : (commits.get(repository.branches.get(revision) ?? revision) ?? null);
    },
    addCommit(id, branch, { summary, files }) {
      const repository = all.get(id)!;
      const parent = repository.branches.get(branch) ?? null;
      const hash = createHash('sha1').update(`${id}\0${parent}\0${summary}\0${++counter}`);
      for (const [path, { sha256 }] of files) hash.update(`${path}\0${sha256}`);
      const commit: HubCommit = { sha: hash.digest('hex'), parent, summary, files };
      commits.set(commit.sha, commit);
      repository.branches.set(branch, commit.sha);
      return commit;
    },
    async join(parts, expected) {
      const pieces = async function* (): AsyncGenerator<Buffer> {
        for (const part of parts) for await (const piece of createReadStream(pathOf(part))) yield piece as Buffer;
      };
      return await keep(Readable.from(pieces()), expected);
    },
  };
  return repositories;
}
