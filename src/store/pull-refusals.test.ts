import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { FakeHubBehaviour } from '../../test/support/fake-hub.ts';
import { codeOf, HUB_MODEL as NAME, namesIn as names, makeHubStore as setup, HUB_WEIGHTS as WEIGHTS } from '../../test/support/hub-store.ts';
import { makeTempStore } from '../../test/support/temp-store.ts';

test('[security G16] bodies that are tampered, short, long, or of another digest than listed are refused and removed', async () => {
  const weights = 'model.safetensors';
  const cases: readonly FakeHubBehaviour[] = [
    { corrupt: [weights] },
    { corrupt: ['config.json'] },
    { wrongListing: [weights] },
    { wrongEtag: [weights] },
    { wrongEtag: ['config.json'] },
    { lengthChange: { [weights]: -1 } },
    { lengthChange: { [weights]: 1 } },
    { lengthChange: { [weights]: 70_000 }, withoutLength: [weights] },
    { lengthChange: { 'config.json': -1 } },
    { lengthChange: { 'config.json': 5 }, withoutLength: ['config.json'] },
  ];
  for (const behaviour of cases) {
    await using fixture = await setup(behaviour);
    expect([behaviour, await codeOf(fixture.store.pull({ reference: NAME, workers: 1 }))]).toEqual([behaviour, 'checksum_mismatch']);
    expect(await names(join(fixture.directory, 'snapshots'))).toEqual([]);
    expect((await names(join(fixture.directory, 'blobs'))).filter((name) => name.includes('.'))).toEqual([]);
  }
});

test('[security G16] a body that ends early without a length is tried again from there, never taken for whole', async () => {
  await using fixture = await setup({ lengthChange: { 'model.safetensors': -100 }, withoutLength: ['model.safetensors'] });
  expect(await codeOf(fixture.store.pull({ reference: NAME }))).toBe('download_failed');
  expect(await names(join(fixture.directory, 'snapshots'))).toEqual([]);
  expect(
    fixture.hub.requests
      .filter((request) => request.origin === 'cdn')
      .slice(1)
      .every((request) => request.range === `bytes=${WEIGHTS.length - 100}-`),
  ).toBe(true);
});

test('[security G16] redirects to another host, to another scheme or without end, and encoded bodies, are refused and leave nothing', async () => {
  for (const behaviour of [
    { redirectTo: 'http://evil.example/x' },
    { redirectTo: 'https://evil.example/x' },
    { redirectTo: 'https://127.0.0.1.evil.example/x' },
    { redirectTo: 'file:///etc/passwd' },
    { redirectTo: '?again' },
    { contentEncoding: 'gzip' },
  ]) {
    await using fixture = await setup(behaviour);
    const asked: string[] = [];
    const store = fixture.temp.with({
      hub: {
        endpoint: fixture.hub.endpoint,
        fetch: (input, init) => {
          asked.push(new URL(String(input)).host);
          return fetch(input, init);
        },
      },
    });
    expect([behaviour, await codeOf(store.pull({ reference: NAME, workers: 1 }))]).toEqual([behaviour, 'download_failed']);
    expect(asked.every((host) => host.startsWith('127.0.0.1:'))).toBe(true);
    expect((await names(join(fixture.directory, 'blobs'))).filter((name) => name.includes('.'))).toEqual([]);
  }
});

test('[security G16] plain http is refused for a hub that is not on this machine', async () => {
  await using temp = await makeTempStore();
  const store = temp.with({ hub: { endpoint: 'http://hub.example', fetch: () => Promise.reject(new Error('asked')) } });
  expect(await codeOf(store.pull({ reference: NAME }))).toBe('download_failed');
});

const HOSTILE = [
  '../evil',
  '/etc/passwd',
  'a\\b',
  'a\0b',
  'a/../../b',
  '%2e%2e/x',
  'x%2fy',
  'CON',
  'sub/nul.txt',
  'x.',
  'a'.repeat(300),
  'a\u202Eb',
  'C:x',
  'a//b',
  './x',
];

test('[security G17] hostile file names of a repository are refused before anything is written', async () => {
  const colliding = ['CONFIG.json', 'config.json/x', 'Config.JSON/deep/er', 'config.json', 'conﬁg/\u200Bx'];
  for (const name of [...HOSTILE, ...colliding, `${'d/'.repeat(16)}x`, '%2E%2e/x', 'a/..%2Fx', 'LPT9.json', 'x ', ' /x']) {
    await using fixture = await setup({ extraNames: [name] });
    expect([name, await codeOf(fixture.store.pull({ reference: NAME }))]).toEqual([name, 'name_refused']);
    expect(await names(fixture.temp.root)).toEqual(['repositories', 'workspaces']);
  }
});

test('[store K47] names of more than 96 characters, with //, or with / at an edge, and what the hub has no names for, are rejected offline', async () => {
  await using fixture = await setup();
  const names_ = [
    'a'.repeat(97),
    `org/${'a'.repeat(93)}`,
    'org//tiny',
    '/org/tiny/',
    'org/tiny/',
    '',
    'a/b/c',
    'org/ti--ny',
    'org/-tiny',
    '.org/tiny',
    'org/tiny.',
    'org/t iny',
    'https://x/y',
  ];
  for (const name of names_) expect([name, await codeOf(fixture.store.pull({ reference: name }))]).toEqual([name, 'invalid_name']);
  expect(fixture.hub.requests).toEqual([]);
  expect(await codeOf(fixture.store.pull({ reference: `${'o'.repeat(40)}/${'n'.repeat(55)}` }))).toBe('access_denied');
  expect(fixture.hub.requests).toHaveLength(1);
});

test('[security G17] hostile repository names and revisions are refused without a request', async () => {
  await using fixture = await setup();
  for (const name of HOSTILE) {
    // In a name a colon begins the variant.
    if (name !== 'C:x') expect([name, await codeOf(fixture.store.pull({ reference: `org/${name}` }))]).toEqual([name, 'invalid_name']);
    expect([name, await codeOf(fixture.store.pull({ reference: `${NAME}@${name}` }))]).toEqual([name, 'invalid_name']);
  }
  expect(fixture.hub.requests).toEqual([]);
  expect(await names(fixture.temp.root)).toEqual(['repositories', 'workspaces']);
});
