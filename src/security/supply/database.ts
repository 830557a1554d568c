import { closeSync, constants, openSync } from 'node:fs';
import { open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { checkManagedFile, HearthError, makePrivateDirectory } from '../../core/index.ts';
import { zipMembers } from '../../formats/index.ts';
import { packageName } from './osv.ts';
import type { Ecosystem, OsvRecord } from './types.ts';

export interface EcosystemState {
  readonly ecosystem: string;
  readonly records: number;
  /** When its newest record was changed, RFC 3339: the age of the database, whenever it was imported. */
  readonly newest: string;
}

export interface ImportReport {
  readonly file: string;
  readonly records: number;
  readonly withdrawn: number;
  readonly ecosystems: readonly EcosystemState[];
}

/** Vulnerability records on this disk, by package (docs/spec/security.md §15). */
export interface VulnerabilityDatabase {
  records(ecosystem: Ecosystem, name: string): readonly OsvRecord[];
  states(): readonly EcosystemState[];
  close(): void;
}

/** Largest directory of an archive that is read: some 250,000 records of one ecosystem take a tenth of it. */
const MAX_DIRECTORY_BYTES = 256 * 1024 * 1024;
const MAX_RECORD_BYTES = 32 * 1024 * 1024;
const SCHEMA = `
  CREATE TABLE IF NOT EXISTS records (ecosystem TEXT NOT NULL, name TEXT NOT NULL, id TEXT NOT NULL, record TEXT NOT NULL, PRIMARY KEY (ecosystem, name, id)) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS ecosystems (ecosystem TEXT PRIMARY KEY, records INTEGER NOT NULL, newest TEXT NOT NULL);
`;

/** null where none was ever imported. */
export function openVulnerabilityDatabase(path: string): VulnerabilityDatabase | null {
  if (!checkManagedFile(path)) return null;
  const database = new DatabaseSync(path, { readOnly: true, timeout: 5000 });
  const select = database.prepare('SELECT record FROM records WHERE ecosystem = ? AND name = ?');
  return {
    records: (ecosystem, name) =>
      (select.all(ecosystem, packageName(ecosystem, name)) as { record: string }[]).map(({ record }) => JSON.parse(record) as OsvRecord),
    states: () => statesIn(database),
    close: () => database.close(),
  };
}

const statesIn = (database: DatabaseSync): EcosystemState[] =>
  (database.prepare('SELECT ecosystem, records, newest FROM ecosystems ORDER BY ecosystem').all() as unknown as EcosystemState[]).map((row) => ({ ...row }));

/**
 * Indexes archives of OSV records (`<Ecosystem>/all.zip`). What an archive holds of an ecosystem replaces all that was known of it; the others stay. A
 * failure leaves the database as it was. Throws file_not_found, download_failed for a broken archive, invalid_argument for one without records.
 */
export async function importVulnerabilities(
  path: string,
  archives: readonly string[],
  { signal, onRecord = () => {} }: { readonly signal: AbortSignal; readonly onRecord?: (done: number, total: number) => void },
): Promise<readonly ImportReport[]> {
  await makePrivateDirectory(dirname(path));
  const fresh = `${path}.new`;
  await rm(fresh, { force: true });
  // SQLite would make it readable to others.
  closeSync(openSync(fresh, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600));
  const database = new DatabaseSync(fresh);
  try {
    // A file that is thrown away on any failure needs no journal.
    database.exec(`PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; ${SCHEMA}`);
    const reports: ImportReport[] = [];
    database.exec('BEGIN');
    for (const archive of archives) reports.push(await importArchive(database, archive, signal, onRecord));
    database.exec('COMMIT');
    if (checkManagedFile(path)) keepOthers(database, path);
    database.close();
    const written = await open(fresh, 'r');
    await written.sync();
    await written.close();
    await rename(fresh, path);
    return reports;
  } catch (error) {
    if (database.isOpen) database.close();
    await rm(fresh, { force: true });
    throw error;
  }
}

function keepOthers(database: DatabaseSync, path: string): void {
  database.prepare('ATTACH ? AS old').run(path);
  database.exec(`
    INSERT INTO records SELECT * FROM old.records WHERE ecosystem NOT IN (SELECT ecosystem FROM main.ecosystems);
    INSERT INTO ecosystems SELECT * FROM old.ecosystems WHERE ecosystem NOT IN (SELECT ecosystem FROM main.ecosystems);
    DETACH old;
  `);
}

async function importArchive(
  database: DatabaseSync,
  path: string,
  signal: AbortSignal,
  onRecord: (done: number, total: number) => void,
): Promise<ImportReport> {
  await using file = await open(path, 'r');
  const members = (await zipMembers(file, { path, checkName, maxDirectoryBytes: MAX_DIRECTORY_BYTES })).filter(({ name }) => name.endsWith('.json'));
  const insert = database.prepare('INSERT INTO records VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET record = excluded.record');
  const seen = new Map<string, { records: number; newest: string }>();
  let withdrawn = 0;
  for (const [i, member] of members.entries()) {
    signal.throwIfAborted();
    if (member.sizeBytes > MAX_RECORD_BYTES) throw new HearthError('invalid_argument', `${path} holds a record of ${member.sizeBytes} bytes: ${member.name}.`);
    const record = parseRecord((await member.bytes()).toString('utf8'), path, member.name);
    const names = new Map(
      (record.affected ?? []).flatMap(({ package: { ecosystem = '', name = '' } = {} }) => {
        const plain = ecosystem.split(':', 1)[0]!;
        return plain === '' || name === '' ? [] : [[`${plain}\n${packageName(plain, name)}`, [plain, packageName(plain, name)] as const]];
      }),
    );
    for (const ecosystem of new Set([...names.values()].map(([each]) => each))) {
      const state = seen.get(ecosystem) ?? { records: 0, newest: '' };
      state.records += 1;
      if ((record.modified ?? '') > state.newest) state.newest = record.modified ?? '';
      seen.set(ecosystem, state);
    }
    if (typeof record.withdrawn === 'string') withdrawn += 1;
    else for (const [ecosystem, name] of names.values()) insert.run(ecosystem, name, record.id, JSON.stringify(slim(record, ecosystem, name)));
    onRecord(i + 1, members.length);
  }
  if (seen.size === 0)
    throw new HearthError('invalid_argument', `${path} holds no vulnerability records; an export of the OSV database is needed, such as its npm/all.zip.`);
  const put = database.prepare(
    'INSERT INTO ecosystems VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET records = records + excluded.records, newest = max(newest, excluded.newest)',
  );
  for (const [ecosystem, { records, newest }] of seen) put.run(ecosystem, records, newest);
  return { file: path, records: members.length, withdrawn, ecosystems: [...seen].map(([ecosystem, state]) => ({ ecosystem, ...state })) };
}

/** Members are read, never written out; a name that leads elsewhere is a sign that this is no such archive. */
function checkName(name: string): void {
  if (!/^[A-Za-z0-9][A-Za-z0-9._/-]{0,255}$/.test(name) || name.includes('..'))
    throw new HearthError('name_refused', `An archive of vulnerabilities holds no file named ${JSON.stringify(name.slice(0, 100))}.`);
}

function parseRecord(text: string, path: string, name: string): OsvRecord {
  try {
    const record = JSON.parse(text) as OsvRecord;
    if (typeof record?.id === 'string' && record.id !== '') return record;
  } catch {
    // Told below, as what has no id is.
  }
  throw new HearthError('invalid_argument', `${path} holds ${name}, which is no vulnerability record.`);
}

/** What the evaluation reads, of this package alone: a tenth of the record. */
function slim(record: OsvRecord, ecosystem: string, name: string): OsvRecord {
  const { id, aliases, modified, severity, database_specific: specific } = record;
  const word = specific?.['severity'];
  const summary = record.summary ?? record.details?.split('\n', 1)[0]?.slice(0, 200);
  return {
    id,
    ...(modified === undefined ? {} : { modified }),
    ...(aliases === undefined ? {} : { aliases }),
    ...(summary === undefined ? {} : { summary }),
    ...(severity === undefined ? {} : { severity }),
    ...(typeof word === 'string' ? { database_specific: { severity: word } } : {}),
    affected: (record.affected ?? []).filter(
      ({ package: its }) => its?.ecosystem?.split(':', 1)[0] === ecosystem && packageName(ecosystem, its.name ?? '') === name,
    ),
  };
}
