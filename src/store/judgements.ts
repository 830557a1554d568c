import { dirname } from 'node:path';
import { makePrivateDirectory, readManagedFile, writeManagedFile } from '../core/index.ts';
import { isObject } from './health/json-value.ts';
import type { JudgedFields } from './model-object.ts';

/** What list found out about models, kept between runs: then a list of unchanged models reads no config, no tokenizer and no weights. */
export interface Judgements {
  /** By the model's directory; undefined when it is not known, or a file has changed since. */
  find(directory: string, fingerprint: string): JudgedFields | undefined;
  keep(directory: string, fingerprint: string, judged: JudgedFields): void;
  /** Writes what is new; a home that cannot be written is left as it is. */
  save(): Promise<void>;
}

export interface JudgementsOptions {
  /** Such as `<home>/state/judgements.json`. */
  readonly file: string;
  /** Judgements of another stamp are not used: the version, and the settings of the engines. */
  readonly stamp: string;
}

interface Entry {
  readonly fingerprint: string;
  readonly judged: JudgedFields;
}

const MAX_ENTRIES = 5000;

export function createJudgements({ file, stamp }: JudgementsOptions): Judgements {
  let entries: Map<string, Entry> | null = null;
  let changed = false;
  const known = (): Map<string, Entry> => {
    entries ??= read(file, stamp);
    return entries;
  };
  return {
    find(directory, fingerprint) {
      const entry = known().get(directory);
      return entry?.fingerprint === fingerprint ? entry.judged : undefined;
    },
    keep(directory, fingerprint, judged) {
      known().delete(directory);
      known().set(directory, { fingerprint, judged });
      changed = true;
    },
    async save() {
      if (!changed) return;
      changed = false;
      const models = Object.fromEntries([...known()].slice(-MAX_ENTRIES));
      try {
        await makePrivateDirectory(dirname(file));
        await writeManagedFile(file, JSON.stringify({ stamp, models }));
      } catch {
        // Only the speed of the next list is lost.
      }
    },
  };
}

function read(file: string, stamp: string): Map<string, Entry> {
  try {
    const value: unknown = JSON.parse(readManagedFile(file) ?? 'null');
    if (!isObject(value) || value['stamp'] !== stamp || !isObject(value['models'])) return new Map();
    return new Map(Object.entries(value['models']).filter((pair): pair is [string, Entry] => isEntry(pair[1])));
  } catch {
    return new Map();
  }
}

const isEntry = (value: unknown): boolean => isObject(value) && typeof value['fingerprint'] === 'string' && isObject(value['judged']);
