import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { makePrivateDirectory, prepareManagedDatabase } from '../core/index.ts';
import type { StoreOptions } from './options.ts';

/** What a pull put on the disk, kept in `<home>/state/store.sqlite` (docs/spec/store.md §7). */
export interface ManifestFile {
  readonly path: string;
  readonly sizeBytes: number;
  /** As the hub lists it: SHA-256 of 64 hex digits, or git blob SHA-1 of 40. */
  readonly digest: string;
  /** Our own, over the bytes that came; null when the file was here before. */
  readonly sha256: string | null;
}

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS manifest (
    repository TEXT NOT NULL, revision TEXT NOT NULL, path TEXT NOT NULL,
    size INTEGER NOT NULL, digest TEXT NOT NULL, sha256 TEXT, pulled_at INTEGER NOT NULL,
    PRIMARY KEY (repository, revision, path)
  ) STRICT;
`;

type Owner = Pick<StoreOptions, 'stateDirectory' | 'clock' | 'logger'>;

/** Adds or replaces the files of one commit; an earlier SHA-256 of an unchanged file is kept. A failure is logged: the model is here all the same. */
export async function recordManifest(options: Owner, repository: string, commit: string, files: readonly ManifestFile[]): Promise<void> {
  await withDatabase(options, (database) => {
    const insert = database.prepare(`
      INSERT INTO manifest VALUES (?, ?, ?, ?, ?, ?, ?)
      ON CONFLICT DO UPDATE SET size = excluded.size, pulled_at = excluded.pulled_at,
        sha256 = CASE WHEN excluded.sha256 IS NULL AND manifest.digest = excluded.digest THEN manifest.sha256 ELSE excluded.sha256 END,
        digest = excluded.digest
    `);
    database.exec('BEGIN IMMEDIATE');
    for (const file of files) insert.run(repository, commit, file.path, file.sizeBytes, file.digest, file.sha256, options.clock.now());
    database.exec('COMMIT');
  });
}

/** Forgets a repository, or one commit of it. */
export async function forgetManifest(options: Owner, repository: string, commit: string | null): Promise<void> {
  await withDatabase(options, (database) => {
    if (commit === null) database.prepare('DELETE FROM manifest WHERE repository = ?').run(repository);
    else database.prepare('DELETE FROM manifest WHERE repository = ? AND revision = ?').run(repository, commit);
  });
}

async function withDatabase(options: Owner, use: (database: DatabaseSync) => void): Promise<void> {
  try {
    await makePrivateDirectory(options.stateDirectory);
    const path = join(options.stateDirectory, 'store.sqlite');
    prepareManagedDatabase(path);
    const database = new DatabaseSync(path, { timeout: 5000 });
    try {
      database.exec(SCHEMA);
      use(database);
    } finally {
      database.close();
    }
  } catch (error) {
    options.logger.warning('the manifest could not be written', { error: error instanceof Error ? error.message : String(error) });
  }
}
