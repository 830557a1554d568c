import { closeSync, createReadStream, existsSync, fstatSync, openSync, readdirSync, readSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { createGunzip } from 'node:zlib';
import { checkManagedFile, HearthError } from '../core/index.ts';

export interface LogService {
  readonly service: string;
  readonly sizeBytes: number;
  /** ISO 8601. */
  readonly modifiedAt: string;
  readonly archives: number;
}

/** Reads the logs of a home. A service is looked up among the files that are there: its name is never joined to a path. */
export interface LogBook {
  list(): readonly LogService[];
  /** The last lines, read backwards from the end. Throws service_not_found. */
  tail(service: string, lines: number): readonly string[];
  /** Every line, oldest archive first; `file` names where the next lines come from. */
  all(service: string): AsyncGenerator<{ readonly file: string } | { readonly line: string }, void>;
  /** Lines that are written from now on; goes on over rotation and truncation until the signal. */
  follow(service: string, signal: AbortSignal): AsyncGenerator<string, void>;
}

const POLL_MS = 200;
const BLOCK = 64 * 1024;

export function createLogBook(directory: string): LogBook {
  const names = (): readonly string[] => (existsSync(directory) ? readdirSync(directory) : []);
  const services = (): readonly string[] =>
    names()
      .filter((name) => name.endsWith('.log') && !name.startsWith('.'))
      .map((name) => name.slice(0, -4))
      .sort();

  function pathOf(service: string): string {
    const known = services();
    if (!known.includes(service))
      throw new HearthError(
        'service_not_found',
        `There is no log of "${service.slice(0, 100)}"; there are ${known.length === 0 ? 'none yet' : known.join(', ')}.`,
        {
          details: { services: known },
        },
      );
    const path = join(directory, `${service}.log`);
    checkManagedFile(path);
    return path;
  }

  /** Oldest first. */
  function archivesOf(service: string): readonly string[] {
    const found = new Map<number, string>();
    for (const name of names()) {
      const match = /^(.*)\.log\.(\d{1,4})(\.gz)?$/.exec(name);
      // A plain one is still being packed: it is the whole one.
      if (match !== null && match[1] === service && (match[3] === undefined || !found.has(Number(match[2])))) found.set(Number(match[2]), name);
    }
    return [...found].sort(([a], [b]) => b - a).map(([, name]) => name);
  }

  return {
    list: () =>
      services().map((service) => {
        const { size, mtime } = statSync(join(directory, `${service}.log`));
        return { service, sizeBytes: size, modifiedAt: mtime.toISOString(), archives: archivesOf(service).length };
      }),

    tail: (service, lines) => lastLines(pathOf(service), lines),

    async *all(service) {
      const path = pathOf(service);
      for (const name of archivesOf(service)) {
        yield { file: name };
        for await (const line of linesOf(join(directory, name))) yield { line };
      }
      yield { file: `${service}.log` };
      for await (const line of linesOf(path)) yield { line };
    },

    async *follow(service, signal) {
      const path = pathOf(service);
      let file = openSync(path, 'r');
      let at = fstatSync(file).size;
      let rest: Buffer = Buffer.alloc(0);
      try {
        for (;;) {
          const { size } = fstatSync(file);
          if (size < at) at = 0; // truncated
          while (at < size) {
            const block = Buffer.alloc(Math.min(BLOCK, size - at));
            const got = readSync(file, block, 0, block.length, at);
            if (got === 0) break;
            at += got;
            rest = Buffer.concat([rest, block.subarray(0, got)]);
            for (let end = rest.indexOf(10); end >= 0; end = rest.indexOf(10)) {
              yield rest.subarray(0, end).toString('utf8');
              rest = rest.subarray(end + 1);
            }
          }
          const now = statSync(path, { throwIfNoEntry: false });
          // The file was put aside: what it still got before that has been read, for its size was looked at after its name.
          if (now !== undefined && now.ino !== fstatSync(file).ino && fstatSync(file).size === at) {
            closeSync(file);
            file = openSync(path, 'r');
            at = 0;
            continue;
          }
          if (signal.aborted) return;
          await sleep(POLL_MS, undefined, { signal }).catch(() => {});
          if (signal.aborted) return;
        }
      } finally {
        closeSync(file);
      }
    },
  };
}

function lastLines(path: string, count: number): readonly string[] {
  if (count <= 0) return [];
  const file = openSync(path, 'r');
  try {
    let at = fstatSync(file).size;
    let text: Buffer = Buffer.alloc(0);
    let newlines = 0;
    // One newline more than lines: the one that ends the line before the first.
    while (at > 0 && newlines <= count) {
      const from = Math.max(0, at - BLOCK);
      const block = Buffer.alloc(at - from);
      readSync(file, block, 0, block.length, from);
      for (const byte of block) if (byte === 10) newlines += 1;
      text = Buffer.concat([block, text]);
      at = from;
    }
    const lines = text.toString('utf8').split('\n');
    if (lines.at(-1) === '') lines.pop();
    return lines.slice(-count);
  } finally {
    closeSync(file);
  }
}

function linesOf(path: string): AsyncIterable<string> {
  const source = createReadStream(path);
  const bytes = path.endsWith('.gz') ? source.pipe(createGunzip()) : source;
  return createInterface({ input: bytes, crlfDelay: Number.POSITIVE_INFINITY });
}
