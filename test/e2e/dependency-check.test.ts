import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { collectDependencyGauges } from '../../src/app/dependency-state.ts';
import { silentLogger, systemClock } from '../../src/core/index.ts';
import { createTelemetry } from '../../src/telemetry/index.ts';
import { temporaryDirectory } from '../support/engine-run.ts';
import { runInProcess } from '../support/run-cli.ts';
import { zip } from '../support/wheels.ts';

const daysAgo = (days: number): string => new Date(Date.now() - days * 86_400_000).toISOString();
const day = (text: string): string => text.slice(0, 10);

function place(modified = daysAgo(1)) {
  const directory = temporaryDirectory();
  const run = async (...argv: string[]) => {
    const { code, stdout, stderr } = await runInProcess([...argv, '--json'], { directory: directory.path });
    return {
      code,
      stderr,
      ...(JSON.parse(stdout) as { data: { ok: boolean; findings: { id: string; counts: boolean; severity: string }[]; faults: { code: string }[] } }),
    };
  };
  const lock = (packages: Record<string, string>): string => {
    const path = join(directory.path, 'package-lock.json');
    const entries = Object.entries(packages).map(([name, version]) => [`node_modules/${name}`, { version }]);
    writeFileSync(path, JSON.stringify({ lockfileVersion: 3, packages: Object.fromEntries(entries) }));
    return path;
  };
  const archive = (...records: readonly { id: string; name: string; severity?: string; ecosystem?: string }[]): string => {
    const path = join(directory.path, 'all.zip');
    const files = records.map(({ id, name, severity, ecosystem = 'npm' }) => {
      const affected = [{ package: { ecosystem, name }, ranges: [{ type: 'SEMVER', events: [{ introduced: '0' }] }] }];
      return [`${id}.json`, JSON.stringify({ id, modified, affected, ...(severity ? { database_specific: { severity } } : {}) })];
    });
    writeFileSync(path, zip(Object.fromEntries(files)));
    return path;
  };
  const except = (...exceptions: readonly object[]): void => {
    mkdirSync(join(directory.path, 'home'), { recursive: true, mode: 0o700 });
    writeFileSync(join(directory.path, 'home', 'deps-exceptions.json'), JSON.stringify({ v: 1, exceptions }), { mode: 0o600 });
  };
  return { ...directory, run, lock, archive, except, [Symbol.dispose]: () => directory[Symbol.dispose]() };
}

const codes = (answer: { data: { faults: { code: string }[] } }): string[] => answer.data.faults.map(({ code }) => code);

test('[security G68] a malicious package ends with code 1 and `malicious`, whatever exception there is', async () => {
  using it = place();
  await it.run('deps', 'update', it.archive({ id: 'MAL-2027-1', name: 'evil' }));
  it.except({ id: 'MAL-2027-1', package: 'evil', reason: 'we like it', owner: 'me', expires: day(daysAgo(-30)) });
  const answer = await it.run('deps', 'check', it.lock({ evil: '1.0.0' }));
  expect([answer.code, codes(answer), answer.data.findings[0]]).toMatchObject([1, ['malicious'], { id: 'MAL-2027-1', counts: true, severity: 'critical' }]);
});

test('[security G68] an exception holds until its last day; after it the check ends with code 1 and `exception_expired`', async () => {
  using it = place();
  const exception = { id: 'GHSA-1', package: 'a', reason: 'not reachable', owner: 'me' };
  await it.run('deps', 'update', it.archive({ id: 'GHSA-1', name: 'a', severity: 'HIGH' }));
  const lock = it.lock({ a: '1.0.0' });
  expect(codes(await it.run('deps', 'check', lock))).toEqual(['vulnerable']);
  it.except({ ...exception, expires: day(daysAgo(0)) });
  expect(await it.run('deps', 'check', lock)).toMatchObject({ code: 0, data: { ok: true, findings: [{ counts: false, exception: { expired: false } }] } });
  it.except({ ...exception, expires: day(daysAgo(1)) });
  const ended = await it.run('deps', 'check', lock);
  expect([ended.code, codes(ended)]).toEqual([1, ['vulnerable', 'exception_expired']]);
  // Also when what it was for is gone.
  expect(codes(await it.run('deps', 'check', it.lock({ b: '1.0.0' })))).toEqual(['exception_expired']);
});

test('[security G68] a database that ends more than 14 days ago, or that is not there, ends with code 1 and its code', async () => {
  using it = place(daysAgo(15.5));
  const lock = it.lock({ a: '1.0.0' });
  expect(codes(await it.run('deps', 'check', lock))).toEqual(['database_missing']);
  await it.run('deps', 'update', it.archive({ id: 'GHSA-2', name: 'other' }));
  const stale = await it.run('deps', 'check', lock);
  expect([stale.code, codes(stale)]).toEqual([1, ['database_stale']]);
});

test('findings below deps.failOn are told and do not count', async () => {
  using it = place();
  await it.run('deps', 'update', it.archive({ id: 'GHSA-3', name: 'a', severity: 'MODERATE' }, { id: 'GHSA-4', name: 'b' }));
  expect(await it.run('deps', 'check', it.lock({ a: '1.0.0' }))).toMatchObject({ code: 0, data: { findings: [{ severity: 'medium', counts: false }] } });
  // What nobody has judged counts as high.
  expect(await it.run('deps', 'check', it.lock({ b: '1.0.0' }))).toMatchObject({ code: 1, data: { findings: [{ severity: null, counts: true }] } });
});

test('what hearth is made of is checked; a finding is an event once, and a metric', async () => {
  using it = place();
  const archives = [it.archive({ id: 'GHSA-5', name: 'hono', severity: 'CRITICAL' }, { id: 'PYSEC-9', name: 'unused', ecosystem: 'PyPI' })];
  await it.run('deps', 'update', ...archives);
  for (let i = 0; i < 2; i += 1) expect(await it.run('deps', 'check')).toMatchObject({ code: 1, data: { findings: [{ id: 'GHSA-5', counts: true }] } });
  const tail = await runInProcess(['audit', 'tail', '--json'], { directory: it.path });
  const lines = (JSON.parse(tail.stdout) as { data: { lines: { event: string; severity: string; details: object }[] } }).data.lines;
  const found = lines.filter(({ event }) => event === 'dep.vuln.found');
  expect(found).toMatchObject([{ severity: 'critical', details: { id: 'GHSA-5', package: 'hono' } }]);

  const logger = silentLogger;
  const telemetry = createTelemetry({
    version: '0',
    aliases: [],
    otlpEndpoint: null,
    latestNames: false,
    captureDirectory: null,
    usagePath: null,
    clock: systemClock,
    logger,
  });
  collectDependencyGauges(telemetry, join(it.path, 'home'), systemClock.now);
  const text = await telemetry.metricsText();
  await telemetry[Symbol.asyncDispose]();
  expect(text).toMatch(/^hearth_sbom_vulnerabilities\{severity="critical"\} 1$/m);
  const age = Number(/^hearth_vuln_db_age_seconds (\S+)$/m.exec(text)?.[1]);
  // The newest record is of yesterday.
  expect(Math.abs(age - 86_400)).toBeLessThan(3_600);
});
