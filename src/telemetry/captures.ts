import { constants } from 'node:fs';
import { lstat, open, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { zstdCompress, zstdDecompress } from 'node:zlib';
import type { CapturedRequest } from '../contract/index.ts';
import { type Clock, type Logger, makePrivateDirectory, readManagedBytes, redactFields, silentLogger, systemClock } from '../core/index.ts';

export interface CaptureStore {
  /** Writes one file; failures are logged, never thrown: no request fails because of its capture. */
  save(capture: CapturedRequest): Promise<void>;
  list(): Promise<readonly { readonly id: string; readonly atMs: number; readonly sizeBytes: number }[]>;
  /** null when there is none of that id. */
  read(id: string): Promise<CapturedRequest | null>;
}

export interface CaptureOptions {
  /** Made 0700 with the first capture. */
  readonly directory: string;
  readonly clock?: Clock;
  readonly logger?: Logger;
  readonly limit?: number;
  readonly maxAgeMs?: number;
}

const NAME = /^(\d{13})-(req_[0-9a-f-]{36})\.json\.zst$/;
const SECRET_HEADERS = /token|secret|password|key/i;
const compress = promisify(zstdCompress);
const decompress = promisify(zstdDecompress);

/** A ring of files: the newest `limit` of the last `maxAgeMs` (docs/spec/serving.md §7). */
export function createCaptureStore({
  directory,
  clock = systemClock,
  logger = silentLogger,
  limit = 200,
  maxAgeMs = 24 * 3_600_000,
}: CaptureOptions): CaptureStore {
  let writing: Promise<void> = Promise.resolve();

  async function files(): Promise<{ name: string; atMs: number; id: string }[]> {
    const names = await readdir(directory).catch(() => []);
    return names
      .flatMap((name) => {
        const [, at, id] = NAME.exec(name) ?? [];
        return at === undefined ? [] : [{ name, atMs: Number(at), id: id! }];
      })
      .sort((a, b) => b.atMs - a.atMs || (b.name < a.name ? -1 : 1));
  }

  /** Newest first; those that are too many or too old are removed on the way. */
  async function kept(): Promise<{ name: string; atMs: number; id: string }[]> {
    const all = await files();
    const keep = all.filter(({ atMs }, index) => index < limit && clock.now() - atMs <= maxAgeMs);
    await Promise.all(all.filter((file) => !keep.includes(file)).map(({ name }) => rm(join(directory, name), { force: true })));
    return keep;
  }

  async function write(capture: CapturedRequest): Promise<void> {
    await makePrivateDirectory(directory);
    const text = JSON.stringify(redactFields({ ...capture, requestHeaders: named(capture.requestHeaders), responseHeaders: named(capture.responseHeaders) }));
    const path = join(directory, `${String(capture.atMs).padStart(13, '0')}-${capture.id}.json.zst`);
    const file = await open(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600);
    try {
      await file.chmod(0o600);
      await file.writeFile(await compress(text));
    } finally {
      await file.close();
    }
    await kept();
  }

  return {
    save(capture) {
      writing = writing
        .then(() => write(capture))
        .catch((error: unknown) => logger.warning('A request could not be captured.', { request_id: capture.id, error }));
      return writing;
    },
    async list() {
      await writing;
      return await Promise.all(
        (await kept()).map(async ({ id, atMs, name }) => ({
          id,
          atMs,
          sizeBytes: (await lstat(join(directory, name)).catch(() => null))?.size ?? 0,
        })),
      );
    },
    async read(id) {
      await writing;
      const found = (await kept()).find((file) => file.id === id);
      const bytes = found && readManagedBytes(join(directory, found.name));
      return bytes ? (JSON.parse((await decompress(bytes)).toString()) as CapturedRequest) : null;
    },
  };
}

/** Values of headers that are made to hold secrets are not kept at all, whatever they look like. */
const named = (headers: Readonly<Record<string, string>>): Record<string, string> =>
  Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, SECRET_HEADERS.test(name) ? redactFields({ secret: value }).secret : value]));
