import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { Clock, SecurityEvent, SecurityEventSink } from '../../src/core/index.ts';
import { createTrust, type Trust, type TrustOptions } from '../../src/security/index.ts';

export const COMMIT = 'a'.repeat(40);
export const OTHER_COMMIT = 'b'.repeat(40);

export interface RecordedEvents extends SecurityEventSink {
  readonly all: SecurityEvent[];
  /** What was recorded since the last call. */
  take(): SecurityEvent[];
}

export function recordEvents(): RecordedEvents {
  const all: SecurityEvent[] = [];
  let taken = 0;
  return {
    all,
    record: (event) => void all.push(event),
    assertWritable() {},
    take() {
      const fresh = all.slice(taken);
      taken = all.length;
      return fresh;
    },
  };
}

export interface TrustHome extends Disposable {
  readonly path: string;
  readonly home: string;
  readonly cache: string;
  readonly workspaces: string;
  readonly events: RecordedEvents;
  readonly clock: Clock & { ms: number };
  /** A new one each time: what it knows, it knows from the disk. */
  open(options?: Partial<TrustOptions>): Trust;
  /** Files of a snapshot as links into blobs; LFS files are named by their SHA-256. Gives the snapshot's directory. */
  addToCache(name: string, files: Readonly<Record<string, string>>, commit?: string): string;
  /** Plain files in a directory. */
  addDirectory(path: string, files: Readonly<Record<string, string>>): string;
}

export const MODEL_FILES = {
  'config.json': '{"model_type":"llama"}',
  'model.safetensors': 'weights of a model',
  'tokenizer.json': '{}',
  'README.md': '# A model',
};

/** A home with a cache and a workspace home in a temporary directory. */
export function createTrustHome(): TrustHome {
  const path = mkdtempSync(join(tmpdir(), 'hearth-trust-'));
  const [home, cache, workspaces] = [join(path, 'home'), join(path, 'hub'), join(path, 'workspaces')];
  for (const directory of [home, cache, workspaces]) mkdirSync(directory, { mode: 0o700 });
  const events = recordEvents();
  const clock = { ms: Date.now(), now: () => clock.ms, monotonic: () => clock.ms };
  const opened: Trust[] = [];
  return {
    path,
    home,
    cache,
    workspaces,
    events,
    clock,
    open(options = {}) {
      const trust = createTrust({ home, cacheDirectory: cache, workspaceHome: workspaces, events, clock, ...options });
      opened.push(trust);
      return trust;
    },
    addToCache(name, files, commit = COMMIT) {
      const repository = join(cache, `models--${name.replaceAll('/', '--')}`);
      const snapshot = join(repository, 'snapshots', commit);
      for (const [file, text] of Object.entries(files)) {
        const hash = createHash(file.endsWith('.safetensors') || file.endsWith('.gguf') ? 'sha256' : 'sha1')
          .update(text)
          .digest('hex');
        const blob = join(repository, 'blobs', hash);
        mkdirSync(dirname(blob), { recursive: true });
        writeFileSync(blob, text);
        mkdirSync(dirname(join(snapshot, file)), { recursive: true });
        const up = '../'.repeat(file.split('/').length + 1);
        rmSync(join(snapshot, file), { force: true });
        symlinkSync(`${up}blobs/${hash}`, join(snapshot, file));
      }
      return snapshot;
    },
    addDirectory(at, files) {
      for (const [file, text] of Object.entries(files)) {
        mkdirSync(dirname(join(at, file)), { recursive: true });
        writeFileSync(join(at, file), text);
      }
      return at;
    },
    [Symbol.dispose]() {
      for (const trust of opened) trust.close();
      rmSync(path, { recursive: true, force: true });
    },
  };
}
