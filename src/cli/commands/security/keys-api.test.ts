import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runInProcess } from '../../../../test/support/run-cli.ts';

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'hearth-keys-'));
});
afterAll(() => rm(directory, { recursive: true }));

const run = (...argv: string[]) => runInProcess(argv, { directory });

test('keys api new shows the key once and alone on stdout; list and revoke name it by its id', async () => {
  const made = await run('keys', 'api', 'new', '--name', 'laptop', '--scope', 'inference', 'observe', '--limit', 'rpm=60', 'usd=5/day', '--expires', '90d');
  expect(made.code).toBe(0);
  expect(made.stdout).toMatch(/^hth_[a-z0-9]{12}_[\w-]{43}\n$/);
  const [, id, secret] = /^hth_([a-z0-9]{12})_([\w-]{43})/.exec(made.stdout)!;
  const listed = await run('keys', 'api', 'list');
  expect(listed.stdout).toContain(`${id} | laptop | active | inference, observe | all    | 60 requests/min, $5/day`);
  expect(listed.stdout + listed.stderr).not.toContain(secret);
  expect((await run('keys', 'api', 'revoke', id!)).stdout).toBe(`Revoked ${id} (laptop).\n`);
  const { data } = JSON.parse((await run('keys', 'api', 'list', '--json')).stdout) as { data: { keys: { id: string; revokedAt: string | null }[] } };
  expect(data.keys).toMatchObject([{ id, revokedAt: expect.any(String) }]);
});

test('what is no limit, no date, no scope or no id is told, and no key is made', async () => {
  for (const [argv, code] of [
    [['new', '--limit', 'speed=1'], 2],
    [['new', '--limit', 'rpm=0'], 2],
    [['new', '--expires', 'soon'], 2],
    [['new', '--expires', '2020-01-01'], 1],
    [['new', '--scope', 'everything'], 2],
    [['revoke', 'hth_aaaaaaaaaaaa_x'], 1],
    [['revoke', 'aaaaaaaaaaaa'], 1],
    [['nothing'], 2],
  ] as const)
    expect([argv, (await run('keys', 'api', ...argv)).code]).toEqual([argv, code]);
  const { data } = JSON.parse((await run('keys', 'api', 'list', '--json')).stdout) as { data: { keys: unknown[] } };
  expect(data.keys).toHaveLength(1);
});
