import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { zip } from '../../../test/support/wheels.ts';
import { checkDependencies } from './check-dependencies.ts';
import { importVulnerabilities, openVulnerabilityDatabase } from './database.ts';
import { readNpmLock } from './npm-lock.ts';
import { comparePep440 } from './pep440-order.ts';
import { readPythonLock } from './python-lock.ts';
import { compareSemver } from './semver-order.ts';
import { cvss3Score } from './severity.ts';

const directory = mkdtempSync(join(tmpdir(), 'hearth-osv-'));
afterAll(() => rmSync(directory, { recursive: true }));

const NOW = Date.parse('2027-03-10T00:00:00Z');
const MODIFIED = '2027-03-09T00:00:00Z';

const npmLock = (packages: Record<string, string | Record<string, unknown>>, lockfileVersion = 3): string =>
  JSON.stringify({
    lockfileVersion,
    packages: {
      '': { name: 'project', version: '1.0.0' },
      ...Object.fromEntries(Object.entries(packages).map(([path, entry]) => [`node_modules/${path}`, typeof entry === 'string' ? { version: entry } : entry])),
    },
  });

type Events = readonly Record<string, string>[];
const range = (...events: Events) => ({ ranges: [{ type: 'ECOSYSTEM', events }] });
const record = (id: string, ecosystem: string, name: string, affected: object, more: object = {}) => ({
  id,
  modified: MODIFIED,
  summary: id,
  affected: [{ package: { ecosystem, name }, ...affected }],
  ...more,
});
const npm = (id: string, name: string, affected: object, more: object = {}) => record(id, 'npm', name, affected, more);
const pypi = (id: string, name: string, affected: object, more: object = {}) => record(id, 'PyPI', name, affected, more);
const all = { introduced: '0' };

interface Case {
  readonly what: string;
  readonly lock: string;
  readonly file?: string;
  readonly records: readonly object[];
  /** `id name version`, by hand. */
  readonly truth: readonly string[];
}

const ADVISORY = [npm('A', 'a', range(all, { fixed: '2.0.0' }, { introduced: '3.0.0' }, { fixed: '3.4.0' }))];
const CASES: readonly Case[] = [
  { what: 'before the repair', lock: npmLock({ a: '1.9.9' }), records: ADVISORY, truth: ['A a 1.9.9'] },
  { what: 'the repair itself', lock: npmLock({ a: '2.0.0' }), records: ADVISORY, truth: [] },
  { what: 'a pre-release of the repair', lock: npmLock({ a: '2.0.0-rc.1' }), records: ADVISORY, truth: ['A a 2.0.0-rc.1'] },
  { what: 'between two windows', lock: npmLock({ a: '2.5.0' }), records: ADVISORY, truth: [] },
  { what: 'a pre-release of where it came back', lock: npmLock({ a: '3.0.0-beta' }), records: ADVISORY, truth: [] },
  { what: 'where it came back', lock: npmLock({ a: '3.0.0' }), records: ADVISORY, truth: ['A a 3.0.0'] },
  {
    what: 'events in any order',
    lock: npmLock({ a: '3.1.0' }),
    records: [npm('A', 'a', range({ fixed: '3.4.0' }, { introduced: '3.0.0' }, { fixed: '2.0.0' }, all))],
    truth: ['A a 3.1.0'],
  },
  {
    what: 'two packages, one of them at the last affected version',
    lock: npmLock({ a: '1.2.3', 'b/node_modules/a': '1.2.4', b: '1.0.0' }),
    records: [npm('A', 'a', range(all, { last_affected: '1.2.3' }))],
    truth: ['A a 1.2.3'],
  },
  {
    what: 'withdrawn',
    lock: npmLock({ a: '1.0.0' }),
    records: [npm('A', 'a', range(all), { withdrawn: '2027-01-01T00:00:00Z' })],
    truth: [],
  },
  {
    what: 'three records of one vulnerability',
    lock: npmLock({ a: '1.0.0' }),
    records: [
      npm('GHSA-1', 'a', range(all), { aliases: ['CVE-2027-1'] }),
      npm('X-9', 'a', range(all), { aliases: ['GHSA-1'] }),
      npm('CVE-2027-1', 'a', range(all)),
    ],
    truth: ['CVE-2027-1 a 1.0.0'],
  },
  {
    what: 'a list of versions, with build metadata in the lock',
    lock: npmLock({ a: '1.0.1+7', b: '1.0.2' }),
    records: [npm('A', 'a', { versions: ['1.0.1'] }), npm('B', 'b', { versions: ['1.0.1'] })],
    truth: ['A a 1.0.1+7'],
  },
  {
    what: 'a malicious package under another name in the tree',
    lock: npmLock({ friendly: { name: '@evil/one', version: '0.0.1' } }),
    records: [npm('MAL-1', '@evil/one', range(all))],
    truth: ['MAL-1 @evil/one 0.0.1'],
  },
  {
    what: 'a limit',
    lock: npmLock({ a: '1.6.0', 'b/node_modules/a': '1.4.0', b: '1.0.0' }),
    records: [npm('A', 'a', range(all, { limit: '1.5.0' }))],
    truth: ['A a 1.4.0'],
  },
  {
    what: 'pre-releases by number',
    lock: npmLock({ a: '1.0.0-alpha.9', b: '1.0.0-alpha.11' }),
    records: [npm('A', 'a', range(all, { fixed: '1.0.0-alpha.10' })), npm('B', 'b', range(all, { fixed: '1.0.0-alpha.10' }))],
    truth: ['A a 1.0.0-alpha.9'],
  },
  { what: 'a lock of version 2', lock: npmLock({ a: '1.0.0' }, 2), records: ADVISORY, truth: ['A a 1.0.0'] },
  { what: 'the same name elsewhere', lock: npmLock({ a: '1.0.0' }), records: [pypi('P', 'a', range(all))], truth: [] },
  {
    what: 'commits tell nothing of versions',
    lock: npmLock({ a: '1.0.0' }),
    records: [npm('A', 'a', { ranges: [{ type: 'GIT', events: [all] }] })],
    truth: [],
  },
  { what: 'a later epoch', file: 'r.txt', lock: 'a==1!1.0\n', records: [pypi('P', 'a', range(all, { fixed: '2.0' }))], truth: [] },
  { what: 'before an epoch', file: 'r.txt', lock: 'a==2027.1\n', records: [pypi('P', 'a', range(all, { fixed: '1!0.1' }))], truth: ['P a 2027.1'] },
  { what: 'a release candidate', file: 'r.txt', lock: 'a==2.0rc1\n', records: [pypi('P', 'a', range(all, { fixed: '2.0' }))], truth: ['P a 2.0rc1'] },
  {
    what: 'post-releases come after',
    file: 'r.txt',
    lock: 'a==1.0.post1\nb==1.0\n',
    records: [pypi('P', 'a', range(all, { last_affected: '1.0' })), pypi('Q', 'b', range(all, { last_affected: '1.0' }))],
    truth: ['Q b 1.0'],
  },
  {
    what: 'development releases come first',
    file: 'r.txt',
    lock: 'a==1.0.dev3\n',
    records: [pypi('P', 'a', range({ introduced: '1.0a1' })), pypi('Q', 'a', range(all, { fixed: '1.0a1' }))],
    truth: ['Q a 1.0.dev3'],
  },
  {
    what: 'local parts count only where the record has them',
    file: 'r.txt',
    lock: 'a==2.4.0+cpu\nb==2.4.0+cpu\n',
    records: [pypi('P', 'a', range(all, { fixed: '2.4.0' })), pypi('Q', 'b', range(all, { last_affected: '2.4.0' }))],
    truth: ['Q b 2.4.0+cpu'],
  },
  {
    what: 'one spelling of names, numbers by value, hashes over lines',
    file: 'r.txt',
    lock: `# made\n--index-url x\nFlask_Login==1.10 \\\n  --hash=sha256:${'a'.repeat(64)}\n`,
    records: [pypi('P', 'flask.login', range({ introduced: '1.9' }))],
    truth: ['P flask-login 1.10'],
  },
  {
    what: 'pylock.toml',
    file: 'pylock.toml',
    lock: 'lock-version = "1.0"\n[[packages]]\nname = "a"\nversion = "1.0"\n[[packages.wheels]]\nname = "x.whl"\n[[packages]]\nname = "b"\nversion = "3.0"\n',
    records: [pypi('P', 'a', range(all, { fixed: '1.0.0.1' })), pypi('Q', 'b', { versions: ['3'] })],
    truth: ['P a 1.0', 'Q b 3.0'],
  },
  {
    what: 'uv.lock, with the project itself',
    file: 'uv.lock',
    lock: 'version = 1\n[[package]]\nname = "mine"\nversion = "0.1"\nsource = { editable = "." }\n[[package]]\nname = "a"\nversion = "1.0b2"\n',
    records: [pypi('P', 'a', range(all, { fixed: '1.0' })), pypi('Q', 'mine', range(all))],
    truth: ['P a 1.0b2'],
  },
  {
    what: 'a version that is none hides nothing',
    file: 'r.txt',
    lock: 'a==weird_one\n',
    records: [pypi('P', 'a', range(all, { fixed: '1.0' }))],
    truth: ['P a weird_one'],
  },
];

describe('known vulnerabilities', () => {
  test.each(CASES)(
    '[security G67] $what: the result of a database on this disk is the truth by hand',
    async ({ lock, file = 'package-lock.json', records, truth }) => {
      const path = join(directory, 'db.sqlite');
      const archive = join(directory, 'all.zip');
      writeFileSync(archive, zip(Object.fromEntries(records.map((each, i) => [`${i}.json`, JSON.stringify(each)]))));
      await importVulnerabilities(path, [archive], { signal: new AbortController().signal });
      const read = file.endsWith('.json') ? readNpmLock(lock, file) : readPythonLock(lock, file);
      const database = openVulnerabilityDatabase(path)!;
      const { findings } = checkDependencies({
        locks: [read],
        knowledge: { kind: 'database', records: database.records, states: database.states() },
        exceptions: [],
        failOn: 'high',
        nowMs: NOW,
      });
      database.close();
      rmSync(path);
      expect(findings.map(({ id, package: name, version }) => `${id} ${name} ${version}`).sort()).toEqual([...truth].sort());
    },
  );

  test('[security G67] there are at least twenty locks with a truth', () => {
    expect(new Set(CASES.map(({ lock }) => lock)).size).toBeGreaterThanOrEqual(20);
  });

  test('an import replaces what was known of its ecosystems, keeps the others, and a broken one changes nothing', async () => {
    const path = join(directory, 'kept.sqlite');
    const archive = (name: string, ...records: readonly object[]): string => {
      const file = join(directory, name);
      writeFileSync(file, zip(Object.fromEntries(records.map((each, i) => [`${i}.json`, JSON.stringify(each)]))));
      return file;
    };
    const signal = new AbortController().signal;
    const ids = (): string[] => {
      const database = openVulnerabilityDatabase(path)!;
      const found = (['npm', 'PyPI'] as const).flatMap((ecosystem) => database.records(ecosystem, 'a')).map(({ id }) => id);
      database.close();
      return found;
    };
    await importVulnerabilities(path, [archive('n1.zip', npm('N1', 'a', range(all))), archive('p.zip', pypi('P', 'a', range(all)))], { signal });
    await importVulnerabilities(path, [archive('n2.zip', npm('N2', 'a', range(all)))], { signal });
    expect(ids()).toEqual(['N2', 'P']);
    await expect(importVulnerabilities(path, [archive('none.zip', { id: 'x' })], { signal })).rejects.toMatchObject({ code: 'invalid_argument' });
    writeFileSync(join(directory, 'no.zip'), 'no archive');
    await expect(importVulnerabilities(path, [join(directory, 'no.zip')], { signal })).rejects.toMatchObject({ code: 'download_failed' });
    const escaping = join(directory, 'escaping.zip');
    writeFileSync(escaping, zip({ '../x.json': '{}' }));
    await expect(importVulnerabilities(path, [escaping], { signal })).rejects.toMatchObject({ code: 'name_refused' });
    expect(ids()).toEqual(['N2', 'P']);
  });
});

describe('versions', () => {
  test('npm versions have the order that semver 2.0.0 gives as its example', () => {
    const order = [
      '1.0.0-alpha',
      '1.0.0-alpha.1',
      '1.0.0-alpha.beta',
      '1.0.0-beta',
      '1.0.0-beta.2',
      '1.0.0-beta.11',
      '1.0.0-rc.1',
      '1.0.0',
      '1.0.1',
      '1.10.0',
      '2.0.0',
    ];
    for (const [i, a] of order.entries())
      for (const [j, b] of order.entries()) expect([a, b, Math.sign(compareSemver(a, b)!)]).toEqual([a, b, Math.sign(i - j)]);
    expect([compareSemver('v1.2', '1.2.0+x'), compareSemver('x', '1.0.0')]).toEqual([0, null]);
  });

  test('Python versions have the order that PEP 440 gives as its examples', () => {
    const order =
      '1.dev0 1.0.dev456 1.0a1 1.0a2.dev456 1.0a12.dev456 1.0a12 1.0b1.dev456 1.0b2 1.0b2.post345.dev456 1.0b2.post345 1.0rc1.dev456 1.0rc1 1.0 1.0+abc.5 1.0+abc.7 1.0+5 1.0.post456.dev34 1.0.post456 1.0.15 1.1.dev1 1!0.1'.split(
        ' ',
      );
    for (const [i, a] of order.entries())
      for (const [j, b] of order.entries()) expect([a, b, Math.sign(comparePep440(a, b)!)]).toEqual([a, b, Math.sign(i - j)]);
    expect([comparePep440('1.0', '1'), comparePep440('v1.0-RC.1', '1.0c1'), comparePep440('1.0-4', '1.0.post4'), comparePep440('1.x', '1')]).toEqual([
      0,
      0,
      0,
      null,
    ]);
  });

  test('scores of CVSS 3.1 are those of its calculator', () => {
    expect(
      [
        'CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H',
        'CVSS:3.0/AV:N/AC:L/PR:N/UI:R/S:C/C:L/I:L/A:N',
        'CVSS:3.1/AV:L/AC:H/PR:H/UI:N/S:U/C:N/I:N/A:N',
        'CVSS:3.1/AV:N/AC:H/PR:N/UI:N/S:U/C:N/I:N/A:H',
        'CVSS:4.0/AV:N',
      ].map(cvss3Score),
    ).toEqual([9.8, 6.1, 0, 5.9, null]);
  });
});
