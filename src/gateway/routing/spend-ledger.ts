import { DatabaseSync } from 'node:sqlite';
import { prepareManagedDatabase } from '../../core/index.ts';

/** Whose money, and how much of it in one window of UTC time. */
export interface SpendLimit {
  readonly scope: 'cloud' | { readonly key: string };
  readonly window: 'hour' | 'day' | 'month';
  readonly capUsd: number;
}

export interface SpendEntry {
  readonly requestId: string;
  readonly key: string;
  readonly upstream: string;
  readonly model: string;
  /** Counts against the limits of scope `cloud`. */
  readonly cloud: boolean;
  readonly amountUsd: number;
}

export interface SpendUsage {
  readonly promptTokens: number;
  readonly cachedTokens: number;
  readonly completionTokens: number;
  readonly estimated: boolean;
}

/** What was spent and what is set aside for requests that run. */
export interface SpendLedger {
  /** Sets the amount aside where it fits into every limit, in one transaction; else the first limit that it breaks. */
  reserve(entry: SpendEntry, limits: readonly SpendLimit[], nowMs: number): { readonly id: number } | { readonly refused: SpendLimit };
  /** Puts the cost in place of what was set aside; the first call counts. Answers the difference in US dollars, null when it was settled already. */
  settle(id: number, costUsd: number, usage: SpendUsage | null): number | null;
  /** Sum of a window, with what is set aside. */
  spentUsd(scope: SpendLimit['scope'], window: SpendLimit['window'], nowMs: number): number;
  /** Answers that were booked, newest first. */
  bookings(limit: number): readonly Booking[];
  close(): void;
}

export interface Booking {
  readonly requestId: string;
  readonly key: string;
  readonly upstream: string;
  readonly model: string;
  readonly costUsd: number;
  readonly settled: boolean;
}

/** Whole billionths of a dollar: sums stay exact. */
const NANO = 1e9;

/** The ledger in one file of mode 0600; null: in memory. What a process that died had set aside stays spent. */
export function openSpendLedger(path: string | null): SpendLedger {
  if (path !== null) prepareManagedDatabase(path);
  const db = new DatabaseSync(path ?? ':memory:');
  db.exec(`
    PRAGMA journal_mode = WAL;
    PRAGMA busy_timeout = 2000;
    CREATE TABLE IF NOT EXISTS spend (
      id INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, request TEXT NOT NULL, key TEXT NOT NULL, upstream TEXT NOT NULL, model TEXT NOT NULL,
      cloud INTEGER NOT NULL, nano INTEGER NOT NULL, settled INTEGER NOT NULL DEFAULT 0,
      prompt_tokens INTEGER, cached_tokens INTEGER, completion_tokens INTEGER, estimated INTEGER
    ) STRICT;
    CREATE INDEX IF NOT EXISTS spend_at ON spend (at_ms);
  `);
  const sumCloud = db.prepare('SELECT COALESCE(SUM(nano), 0) AS nano FROM spend WHERE at_ms >= ? AND cloud = 1');
  const sumKey = db.prepare('SELECT COALESCE(SUM(nano), 0) AS nano FROM spend WHERE at_ms >= ? AND key = ?');
  const insert = db.prepare('INSERT INTO spend (at_ms, request, key, upstream, model, cloud, nano) VALUES (?, ?, ?, ?, ?, ?, ?)');
  const find = db.prepare('SELECT nano FROM spend WHERE id = ? AND settled = 0');
  const update = db.prepare(
    'UPDATE spend SET nano = ?, settled = 1, prompt_tokens = ?, cached_tokens = ?, completion_tokens = ?, estimated = ? WHERE id = ? AND settled = 0',
  );
  const newest = db.prepare('SELECT request, key, upstream, model, nano, settled FROM spend ORDER BY id DESC LIMIT ?');

  const sum = (scope: SpendLimit['scope'], window: SpendLimit['window'], nowMs: number): number => {
    const from = windowStartMs(window, nowMs);
    return Number((scope === 'cloud' ? sumCloud.get(from) : sumKey.get(from, scope.key))!['nano']);
  };
  const nanoOf = (usd: number): number => Math.ceil(usd * NANO - 1e-6);

  return {
    reserve(entry, limits, nowMs) {
      const nano = nanoOf(entry.amountUsd);
      db.exec('BEGIN IMMEDIATE');
      try {
        const refused = limits.find(({ scope, window, capUsd }) => sum(scope, window, nowMs) + nano > Math.round(capUsd * NANO));
        const id = refused ? null : insert.run(nowMs, entry.requestId, entry.key, entry.upstream, entry.model, entry.cloud ? 1 : 0, nano).lastInsertRowid;
        db.exec('COMMIT');
        return refused ? { refused } : { id: Number(id) };
      } catch (error) {
        db.exec('ROLLBACK');
        throw error;
      }
    },
    settle(id, costUsd, usage) {
      const reserved = find.get(id)?.['nano'];
      if (reserved === undefined) return null;
      const nano = nanoOf(costUsd);
      update.run(nano, usage?.promptTokens ?? null, usage?.cachedTokens ?? null, usage?.completionTokens ?? null, usage?.estimated ? 1 : 0, id);
      return (nano - Number(reserved)) / NANO;
    },
    spentUsd: (scope, window, nowMs) => sum(scope, window, nowMs) / NANO,
    bookings: (limit) =>
      newest.all(limit).map((row) => ({
        requestId: String(row['request']),
        key: String(row['key']),
        upstream: String(row['upstream']),
        model: String(row['model']),
        costUsd: Number(row['nano']) / NANO,
        settled: row['settled'] === 1,
      })),
    close: () => db.close(),
  };
}

export function windowStartMs(window: SpendLimit['window'], nowMs: number): number {
  const at = new Date(nowMs);
  const [year, month, day] = [at.getUTCFullYear(), at.getUTCMonth(), at.getUTCDate()];
  if (window === 'month') return Date.UTC(year, month);
  return window === 'day' ? Date.UTC(year, month, day) : Date.UTC(year, month, day, at.getUTCHours());
}

export function windowEndMs(window: SpendLimit['window'], nowMs: number): number {
  const at = new Date(nowMs);
  if (window === 'month') return Date.UTC(at.getUTCFullYear(), at.getUTCMonth() + 1);
  return windowStartMs(window, nowMs) + (window === 'day' ? 86_400_000 : 3_600_000);
}
