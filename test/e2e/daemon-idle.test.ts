import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { runDaemon, socketFetch } from '../../src/app/index.ts';
import { load } from '../../src/config/index.ts';

test('an on-demand daemon that nobody wants up ends when no client came for its time, and not while one is there', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'hearth_idle_'));
  const umask = process.umask();
  try {
    const { config } = await load({ flags: {}, env: {} });
    const home = join(directory, 'home');
    const { stopped } = await runDaemon({
      config,
      version: '0.0.0-test',
      home,
      userHome: directory,
      cwd: directory,
      env: { HF_HOME: join(directory, 'hf') },
      stderr: process.stderr,
      mode: 'on-demand',
      onStop: () => {},
      idleExitMs: 4_000,
    });
    let ended = false;
    const end = stopped.then(() => {
      ended = true;
    });
    const ask = socketFetch(join(home, 'run/hearthd.sock'));
    // Each request begins its time anew.
    for (let i = 0; i < 8; i += 1) {
      expect((await ask(new Request('http://localhost/admin/v1/version'))).status).toBe(200);
      await sleep(600);
    }
    expect(ended).toBe(false);
    await end;
    expect(existsSync(join(home, 'run/hearthd.sock'))).toBe(false);
  } finally {
    process.umask(umask);
    await rm(directory, { recursive: true, force: true });
  }
}, 60_000);
