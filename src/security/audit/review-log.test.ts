import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Clock, SecurityEvent } from '../../core/index.ts';
import { type AuditReview, createSecurityLog, digestOf, logPlaces, reviewLog } from './index.ts';

let home: string;
let now = Date.UTC(2027, 0, 1);
const clock: Clock = { now: () => now, monotonic: () => now };
const start = Date.UTC(2027, 0, 1);
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'hearth-review-'));
  now = start;
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

const review = (sinceMs: number | null): Promise<AuditReview> => reviewLog({ ...logPlaces(home), sinceMs, nowMs: now });

/** Every line of the files, read without any of the code that is under test. */
const rawLines = () =>
  readdirSync(join(home, 'audit'))
    .filter((name) => name.endsWith('.jsonl'))
    .flatMap((name) =>
      readFileSync(join(home, 'audit', name), 'utf8')
        .trimEnd()
        .split('\n'),
    )
    .map((text) => JSON.parse(text) as { ts: string; event: string; severity: string; reason: string | null; details: Record<string, unknown> | null });

const counted = (values: readonly string[]): Record<string, number> => {
  const counts: Record<string, number> = {};
  for (const value of values) counts[value] = (counts[value] ?? 0) + 1;
  return counts;
};

const MIX: readonly SecurityEvent[] = [
  { event: 'model.pull', outcome: 'ok', model: { id: 'org/a' }, details: { source: 'https://hub.example' } },
  { event: 'model.load', outcome: 'ok', model: { id: 'org/a' } },
  { event: 'model.refused', outcome: 'denied', model: { id: 'org/b' }, reason: 'file_changed' },
  { event: 'input.rejected', outcome: 'denied', reason: 'invalid_json' },
  { event: 'auth.fail', outcome: 'denied', reason: 'invalid_api_key' },
  { event: 'listener.open', outcome: 'ok', details: { addresses: ['http://127.0.0.1:1'], exposed: false } },
  { event: 'key.add', outcome: 'ok' },
];

describe('the review of the security log', () => {
  test('[security G81] its counts equal an independent count over the log, and who signs it is recorded with its digest', async () => {
    {
      await using log = createSecurityLog({ home, clock, maxFileBytes: 5_000 });
      for (let i = 0; i < 300; i += 1) {
        log.record(MIX[(i * i + (i % 3)) % MIX.length]!);
        if (i % 40 === 0) now += 3_600_000;
      }
    }
    const since = start + 3 * 3_600_000;
    const told = await review(since);
    const lines = rawLines().filter(({ ts }) => Date.parse(ts) >= since);
    expect(lines.length).toBeGreaterThan(150);
    expect(told.lines).toBe(lines.length);
    expect(told.byEvent).toEqual(counted(lines.map(({ event }) => event)));
    expect(Object.fromEntries(Object.entries(told.bySeverity).filter(([, count]) => count > 0))).toEqual(counted(lines.map(({ severity }) => severity)));
    const refused = lines.filter(({ event }) => ['model.refused', 'input.rejected', 'auth.fail'].includes(event));
    const refusals = Object.fromEntries(told.rejections.map(({ event, reason, count }) => [`${event} ${reason}`, count]));
    const omitted = lines.filter(({ reason }) => reason === 'sampled').reduce((sum, { details }) => sum + Number(details!['omitted']), 0);
    expect(told.omitted).toBe(omitted);
    const expected = counted(refused.filter(({ reason }) => reason !== 'sampled').map(({ event, reason }) => `${event} ${reason}`));
    if (omitted > 0) expected['input.rejected invalid_json'] = (expected['input.rejected invalid_json'] ?? 0) + omitted;
    expect(refusals).toEqual(expected);
    expect(told.chain.ok).toBe(true);
    expect(told.lastSignedBy).toBe(null);

    await using log = createSecurityLog({ home, clock });
    log.record({ event: 'review.sign', outcome: 'ok', details: { name: 'Ada', digest: digestOf(told) } });
    await log.flush();
    expect((await review(null)).lastSignedBy).toEqual({ name: 'Ada', at: new Date(now).toISOString() });
    expect(rawLines().find(({ event }) => event === 'review.sign')!.details).toMatchObject({ digest: digestOf(told) });
    expect(digestOf({ ...told, lines: told.lines + 1 })).not.toBe(digestOf(told));
  });

  test('models, sources and addresses are new only where they were never seen before', async () => {
    await using log = createSecurityLog({ home, clock });
    for (const event of MIX) log.record(event);
    await log.flush();
    now += 86_400_000;
    for (const event of MIX) log.record(event);
    log.record({ event: 'model.pull', outcome: 'ok', model: { id: 'org/new' }, details: { source: 'https://other.example' } });
    log.record({ event: 'listener.open', outcome: 'ok', severity: 'critical', details: { addresses: ['http://192.0.2.1:1'], exposed: true } });
    log.record({ event: 'verify.off', outcome: 'ok' });
    await log.flush();
    const told = await review(now);
    expect(told).toMatchObject({ newModels: ['org/new'], newSources: ['https://other.example'], newListeners: ['http://192.0.2.1:1'] });
    expect(told.weakened.map(({ event }) => event)).toEqual(['listener.open', 'verify.off']);
    expect((await review(null)).newModels).toEqual(['org/a', 'org/new']);
  });

  test('an alert is open until somebody acknowledges it, and a changed log is told', async () => {
    await using log = createSecurityLog({ home, clock });
    log.record({ event: 'alert.raise', outcome: 'ok', severity: 'critical', reason: 'R2', details: { alert: 'one' } });
    log.record({ event: 'alert.raise', outcome: 'ok', severity: 'high', reason: 'R1', details: { alert: 'two' } });
    log.record({ event: 'alert.ack', outcome: 'ok', details: { alert: 'one' } });
    await log.flush();
    now += 86_400_000;
    expect((await review(now)).openAlerts).toEqual([{ seq: 2, at: new Date(start).toISOString(), severity: 'high', reason: 'R1' }]);
    rmSync(join(home, 'audit', 'security-1.jsonl'));
    expect((await review(null)).chain).toMatchObject({ ok: false, faults: [{ code: 'truncated', seq: 1 }] });
  });
});
