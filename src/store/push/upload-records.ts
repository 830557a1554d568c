import { createHash } from 'node:crypto';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { makePrivateDirectory, writeFileAtomic } from '../../core/index.ts';

/** A multipart upload that has begun: where its parts go, and what the storage said of those that it has. */
export interface UploadRecord {
  readonly action: { readonly href: string; readonly header?: Record<string, string> | null | undefined };
  /** By part number, from 1. */
  readonly etags: ReadonlyMap<number, string>;
}

/** Uploads that were interrupted, so that the next push sends only the parts that are missing. The addresses are secrets: files of mode 0600. */
export interface UploadRecords {
  read(sha256: string): Promise<UploadRecord | null>;
  write(sha256: string, record: UploadRecord): Promise<void>;
  remove(sha256: string): Promise<void>;
}

/** Signed addresses live for hours; an older record is dropped unread. */
const MAX_AGE_MS = 12 * 3600 * 1000;

const recordSchema = z.object({
  at: z.number(),
  href: z.url(),
  header: z.record(z.string(), z.string()),
  etags: z.array(z.tuple([z.int().min(1), z.string().min(1)])),
});

export function createUploadRecords(options: {
  readonly stateDirectory: string;
  readonly endpoint: string;
  readonly repository: string;
  readonly now: () => number;
}): UploadRecords {
  const directory = join(options.stateDirectory, 'push');
  const pathOf = (sha256: string): string => {
    const target = createHash('sha256').update(`${options.endpoint}\0${options.repository}`).digest('hex').slice(0, 16);
    return join(directory, `${sha256}-${target}.json`);
  };
  let last: Promise<unknown> = Promise.resolve();
  return {
    async read(sha256) {
      try {
        const record = recordSchema.parse(JSON.parse(await readFile(pathOf(sha256), 'utf8')));
        if (Math.abs(options.now() - record.at) < MAX_AGE_MS) return { action: { href: record.href, header: record.header }, etags: new Map(record.etags) };
      } catch {
        // None, or one that cannot be used.
      }
      await rm(pathOf(sha256), { force: true });
      return null;
    },
    write(sha256, record) {
      const text = JSON.stringify({ at: options.now(), href: record.action.href, header: record.action.header ?? {}, etags: [...record.etags] });
      const written = last.then(async () => {
        await makePrivateDirectory(directory);
        await writeFileAtomic(pathOf(sha256), text, 0o600);
      });
      // A disk that cannot keep it costs a resend, not the push.
      last = written.catch(() => {});
      return last as Promise<void>;
    },
    async remove(sha256) {
      await last;
      await rm(pathOf(sha256), { force: true });
    },
  };
}
