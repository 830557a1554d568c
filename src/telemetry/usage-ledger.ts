import { DatabaseSync } from 'node:sqlite';
import type { ProductEvent, UsageCounts } from '../contract/index.ts';
import { prepareManagedDatabase } from '../core/index.ts';

export interface UsageLedger extends Disposable {
  readonly listener: (event: ProductEvent) => void;
  /** Hours from `fromMs` on and before `toMs`, oldest first. */
  read(wanted: { readonly key?: string; readonly fromMs?: number; readonly toMs?: number }): readonly UsageCounts[];
  /** Writes what came since the last time; by itself every 10 s. */
  flush(): void;
}

const HOUR_MS = 3_600_000;
const FLUSH_MS = 10_000;
/** Hours that are kept. */
const KEPT_MS = 400 * 24 * HOUR_MS;

type Counts = { -readonly [Field in keyof UsageCounts]: UsageCounts[Field] };

/** Counts of requests and tokens by hour, key, model and upstream, in one SQLite file; `:memory:` keeps nothing. Prompts and answers never come here. */
export function createUsageLedger(path: string, now: () => number = Date.now): UsageLedger {
  const open = new Map<string, Counts>();
  let database: DatabaseSync | null = null;
  const timer = setInterval(flush, FLUSH_MS).unref();

  /** Made with the first row: a daemon that nobody asks writes nothing. */
  function opened(): DatabaseSync {
    if (database) return database;
    if (path !== ':memory:') prepareManagedDatabase(path);
    database = new DatabaseSync(path);
    database.exec(
      'PRAGMA journal_mode = WAL; PRAGMA busy_timeout = 2000;' +
        'CREATE TABLE IF NOT EXISTS usage (hour INTEGER, key TEXT, model TEXT, upstream TEXT, requests INTEGER, failed INTEGER,' +
        ' prompt INTEGER, cached INTEGER, completion INTEGER, PRIMARY KEY (hour, key, model, upstream)) WITHOUT ROWID, STRICT',
    );
    return database;
  }

  function flush(): void {
    if (open.size === 0) return;
    const add = opened().prepare(
      'INSERT INTO usage VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET requests = requests + excluded.requests,' +
        ' failed = failed + excluded.failed, prompt = prompt + excluded.prompt, cached = cached + excluded.cached, completion = completion + excluded.completion',
    );
    const rows = [...open.values()];
    open.clear();
    for (const row of rows)
      add.run(row.hourMs, row.key, row.model, row.upstream, row.requests, row.failed, row.promptTokens, row.cachedTokens, row.completionTokens);
    opened()
      .prepare('DELETE FROM usage WHERE hour < ?')
      .run(now() - KEPT_MS);
  }

  return {
    listener(event) {
      if (event.kind !== 'request-end' || event.scope !== 'inference' || event.model === null) return;
      const hourMs = Math.floor((event.startedAtMs + event.durationMs) / HOUR_MS) * HOUR_MS;
      const place = { hourMs, key: event.keyId, model: event.model, upstream: event.upstream ?? 'none' };
      const id = JSON.stringify(place);
      const row = open.get(id) ?? { ...place, requests: 0, failed: 0, promptTokens: 0, cachedTokens: 0, completionTokens: 0 };
      open.set(id, row);
      row.requests += 1;
      if (event.outcome !== 'ok') row.failed += 1;
      for (const { usage } of event.answers) {
        row.promptTokens += usage?.promptTokens ?? 0;
        row.cachedTokens += usage?.cachedTokens ?? 0;
        row.completionTokens += usage?.completionTokens ?? 0;
      }
    },
    read({ key, fromMs = 0, toMs = Number.MAX_SAFE_INTEGER }) {
      flush();
      return opened()
        .prepare(
          'SELECT hour AS hourMs, key, model, upstream, requests, failed, prompt AS promptTokens, cached AS cachedTokens, completion AS completionTokens' +
            ' FROM usage WHERE hour >= ? AND hour < ? AND (? IS NULL OR key = ?) ORDER BY hour, key, model, upstream',
        )
        .all(fromMs, toMs, key ?? null, key ?? null) as unknown as UsageCounts[];
    },
    flush,
    [Symbol.dispose]() {
      clearInterval(timer);
      flush();
      database?.close();
      database = null;
    },
  };
}
