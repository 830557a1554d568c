import { lstat, rm } from 'node:fs/promises';
import { join, sep } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Clock } from '../../core/index.ts';
import { hashFiles } from '../signing/hash-files.ts';
import { type ModelFile, walkModel } from '../signing/index.ts';
import { REHASH_MS } from './judge-model.ts';
import { fingerprintOf, settle } from './model-files.ts';
import type { StateDatabase } from './state-database.ts';

/** `holds`: it is what was made; `changed`: it is not; `unknown`: nobody vouched for it. */
export type OutputState = 'holds' | 'changed' | 'unknown';

/** What engines made of verified files and keep, below `<home>/converted`: a name of one says nothing of its bytes (docs/spec/security.md §6). */
export interface OwnOutputs {
  /** The directory is the right output as it is now. */
  note(directory: string, signal?: AbortSignal): Promise<void>;
  look(directory: string, signal?: AbortSignal): Promise<OutputState>;
  /** Not one that is kept elsewhere. */
  remove(directory: string): Promise<void>;
}

export interface OwnOutputsOptions {
  readonly home: string;
  readonly state: StateDatabase;
  readonly clock: Clock;
}

interface KnownOutput {
  readonly fingerprint: string;
  readonly hashes: Readonly<Record<string, string>>;
  readonly at: number;
}

/** Another process that made it is hashing it. */
const YOUNG_MS = 20_000;
const POLL_MS = 200;

export function createOwnOutputs({ home, state, clock }: OwnOutputsOptions): OwnOutputs {
  const recorded = (directory: string) => state.get('output', directory);

  async function hashesOf(files: readonly ModelFile[], signal: AbortSignal | undefined): Promise<Record<string, string>> {
    await settle(files, signal);
    const hashed = await hashFiles(files, signal === undefined ? {} : { signal });
    return Object.fromEntries(hashed.map(({ path, sha256 }) => [path, sha256]));
  }

  const put = (directory: string, value: KnownOutput): Promise<void> => state.put([{ kind: 'output', key: directory, value }]);

  async function appears(directory: string, signal: AbortSignal | undefined): Promise<void> {
    for (;;) {
      const facts = await lstat(directory).catch(() => null);
      // A time that is ahead is a wrong clock, and no reason to wait.
      if (facts === null || Math.abs(Date.now() - facts.mtimeMs) > YOUNG_MS || recorded(directory) !== undefined) return;
      await sleep(POLL_MS, undefined, signal === undefined ? {} : { signal });
    }
  }

  return {
    async note(directory, signal) {
      const walk = await walkModel({ directory });
      await put(directory, { fingerprint: fingerprintOf(walk), hashes: await hashesOf(walk.files, signal), at: clock.now() });
    },

    async look(directory, signal) {
      await appears(directory, signal);
      const row = recorded(directory);
      if (row === undefined) return 'unknown';
      if (row === 'tampered') return 'changed';
      const known = row.value as KnownOutput;
      const walk = await walkModel({ directory });
      if (walk.problems.length > 0) return 'changed';
      const fingerprint = fingerprintOf(walk);
      if (fingerprint === known.fingerprint && clock.now() - known.at < REHASH_MS) return 'holds';
      const hashes = await hashesOf(walk.files, signal);
      const paths = Object.keys(hashes);
      if (paths.length !== Object.keys(known.hashes).length || paths.some((path) => hashes[path] !== known.hashes[path])) return 'changed';
      await put(directory, { fingerprint, hashes, at: clock.now() });
      return 'holds';
    },

    async remove(directory) {
      if (!directory.startsWith(join(home, 'converted') + sep)) throw new Error(`${directory} is no output that hearth keeps.`);
      await rm(directory, { recursive: true, force: true });
    },
  };
}
