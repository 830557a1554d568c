import { readdirSync, readFileSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { COMMAND_DATA, envelopeSchema } from '../../src/contract/index.ts';
import { startFakeHub } from '../support/fake-hub.ts';
import { createTestHome, type TestHome } from '../support/hearth-process.ts';
import { type CliRun, runInProcess } from '../support/run-cli.ts';
import { writeTinyEncoder } from '../support/tiny-encoder.ts';
import { writeTinyModel } from '../support/tiny-model.ts';

const checked = (run: CliRun) => {
  const document = envelopeSchema.parse(JSON.parse(run.stdout));
  if (document.status === 'success') COMMAND_DATA[document.command as keyof typeof COMMAND_DATA].parse(document.data);
  return document;
};

async function withHome(home: TestHome, env: Readonly<Record<string, string>> = {}) {
  const workspaces = join(home.directory, 'workspaces');
  await mkdir(workspaces);
  const facts = { directory: home.directory, env: { HEARTH_WORKSPACE_HOME: workspaces, ...env } };
  return { workspaces, run: (...args: string[]) => runInProcess(args, facts) };
}

describe('clone and convert on the command line', () => {
  it('[store K60] without a target and without a home, --json prints one error document and nothing on stderr', async () => {
    await using home = await createTestHome();
    const run = await runInProcess(['clone', 'org/tiny', '--json'], { directory: home.directory });
    expect(run).toMatchObject({ code: 1, stderr: '' });
    expect(checked(run)).toMatchObject({
      status: 'error',
      command: 'clone',
      data: { clone_status: 'error' },
      error: { type: 'ValidationError', hint: expect.stringContaining('HEARTH_WORKSPACE_HOME') },
    });
    const people = await runInProcess(['clone', 'org/tiny'], { directory: home.directory });
    expect(people).toMatchObject({ code: 1, stdout: '', stderr: expect.stringMatching(/^clone: Error: .*\nHint: /) });
  });

  it('clones from the hub, quantises, and converts to GGUF and back, each with its document', async () => {
    await using home = await createTestHome();
    const folder = join(home.directory, 'hub');
    await writeTinyModel(join(folder, 'org', 'tiny', 'main'));
    await using hub = await startFakeHub(folder);
    const { workspaces, run } = await withHome(home, { HF_ENDPOINT: hub.endpoint, HEARTH_HUB_CDN_HOSTS: hub.cdnHost });
    expect(checked(await run('clone', 'org/tiny', '--json'))).toMatchObject({
      command: 'clone',
      data: { target_dir: join(workspaces, 'tiny'), health: 'healthy' },
    });
    const cloned = await run('clone', 'org/tiny', './copy');
    expect(cloned).toMatchObject({ code: 0, stdout: `Cloned org/tiny@${hub.commit('org/tiny').slice(0, 7)} to ${home.directory}/copy.\n` });
    expect(cloned.stderr).toMatch(/Downloading: 100 %/);
    const quantised = checked(await run('convert', 'tiny', 'tiny-4bit', '--quantize', '4', '--q-group-size', '32', '--json'));
    expect(quantised).toMatchObject({ data: { mode: 'quantize', bits: 4, group_size: 32, health_status: 'healthy', target: join(workspaces, 'tiny-4bit') } });
    const exported = checked(await run('convert', 'tiny-4bit', 'tiny-gguf', '--to', 'gguf', '--verify', 'full', '--skip-health', '--json'));
    expect(exported).toMatchObject({ data: { mode: 'quantize', conversion: { to: 'gguf', verdict: 'exact', inexact_elements: 0 } } });
    const back = checked(await run('convert', 'tiny-gguf', 'tiny-back', '--to', 'mlx', '--json'));
    expect(back).toMatchObject({ data: { conversion: { to: 'mlx', verdict: 'exact' }, health_status: 'healthy' } });
    const answers = await Promise.all(['tiny-4bit', 'tiny-back'].map((name) => run('run', name, 'ab', '--max-tokens', '8', '--temperature', '0')));
    expect(answers[1]!.stdout).toBe(answers[0]!.stdout);
    expect(answers[0]!.code).toBe(0);
  });

  it('[formats F36] conversion.json has every field, and show says lossless only where no number differs', async () => {
    await using home = await createTestHome();
    const { workspaces, run } = await withHome(home);
    await writeTinyModel(join(workspaces, 'plain'));
    // 4-bit codes keep their numbers in GGUF; 6-bit codes do not.
    for (const bits of ['4', '6']) {
      expect((await run('convert', 'plain', `q${bits}`, '--quantize', bits, '--q-group-size', '32')).code).toBe(0);
      expect((await run('convert', `q${bits}`, `gguf${bits}`, '--to', 'gguf', '--verify', 'full')).code).toBe(0);
      const report = JSON.parse(await readFile(join(workspaces, `gguf${bits}`, 'conversion.json'), 'utf8')) as Record<string, never>;
      expect(report).toEqual({
        schema: 1,
        converterVersion: expect.any(String),
        source: { path: `q${bits}`, ref: null, revision: null, rootDigest: expect.stringMatching(/^sha256:[0-9a-f]{64}$/) },
        target: { format: 'gguf', sizeBytes: expect.any(Number), sha256: expect.stringMatching(/^[0-9a-f]{64}$/) },
        verdict: bits === '4' ? 'exact' : 'bounded',
        totals: expect.objectContaining({
          inexactElements: bits === '4' ? 0 : expect.any(Number),
          subnormalGroups: expect.any(Number),
          bytesBefore: expect.any(Number),
        }),
        tensors: expect.arrayContaining([
          expect.objectContaining({ name: 'token_embd.weight', from: `affine-${bits}-g32`, to: bits === '4' ? 'Q4_1' : 'Q8_0' }),
        ]),
        dropped: expect.any(Array),
        warnings: [],
        verification: { mode: 'full', rows: expect.any(Number) },
        seconds: expect.any(Number),
      });
      const shown = await run('show', `gguf${bits}`);
      expect(shown.stdout).toMatch(
        bits === '4' ? /Conversion: +lossless\n/ : /Conversion: +bounded: [\d,]+ of [\d,]+ elements differ, largest error [\d.e-]+\n/,
      );
      if (bits === '6') expect(shown.stdout).not.toContain('lossless');
    }
  });

  it('[store K76] --repair exits 0 when something was mended, 2 when nothing was found, 3 when only the user can mend it', async () => {
    await using home = await createTestHome();
    const { workspaces, run } = await withHome(home);
    for (const [name, config] of [
      ['fine', {}],
      ['unsafe', { eos_token_id: null }],
      ['mended', { spatial_merge_size: 2 }],
    ] as const) {
      await writeTinyModel(join(workspaces, name));
      const path = join(workspaces, name, 'config.json');
      await writeFile(path, JSON.stringify({ ...(JSON.parse(await readFile(path, 'utf8')) as object), ...config }));
      await writeFile(join(workspaces, name, 'processor_config.json'), JSON.stringify(name === 'mended' ? { spatial_merge_size: 1 } : {}));
    }
    for (const [name, code] of [
      ['mended', 0],
      ['fine', 2],
      ['unsafe', 3],
    ] as const) {
      const found = await run('convert', name, `${name}-out`, '--repair', '--json');
      expect([name, found.code, checked(found).status]).toEqual([name, code, 'success']);
      expect(readdirSync(workspaces).includes(`${name}-out`)).toBe(code === 0);
    }
  });
});

/** HF_HOME of every child that a process has while the task runs. */
async function hubHomesDuring<T>(parent: number, task: () => Promise<T>): Promise<{ readonly result: T; readonly homes: string[] }> {
  const homes = new Set<string>();
  const look = () => {
    for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
      try {
        if (
          readFileSync(`/proc/${pid}/stat`, 'utf8')
            .replace(/^.*\) . /, '')
            .split(' ')[0] !== String(parent)
        )
          continue;
        if (!readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('--model-directory')) continue;
        const environment = readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0');
        homes.add(environment.find((line) => line.startsWith('HF_HOME=')) ?? 'none');
      } catch {
        // It has ended in between.
      }
    }
  };
  const timer = setInterval(look, 10);
  try {
    return { result: await task(), homes: [...homes] };
  } finally {
    clearInterval(timer);
  }
}

describe.skipIf(process.platform !== 'linux')('[store K71] an engine that runs a workspace has the hub cache of that workspace', () => {
  it('run and embed', async () => {
    await using home = await createTestHome();
    const { workspaces, run } = await withHome(home, { HF_HOME: join(home.directory, 'users-own') });
    await writeTinyModel(join(workspaces, 'ws'));
    await writeTinyEncoder(join(workspaces, 'encoder'));
    const answered = await hubHomesDuring(process.pid, () => run('run', 'ws', 'ab', '--max-tokens', '4'));
    expect(answered.result.code).toBe(0);
    expect(answered.homes).toEqual([`HF_HOME=${join(workspaces, 'ws', '.hf_cache')}`]);
    const embedded = await hubHomesDuring(process.pid, () => run('embed', 'encoder', 'ab'));
    expect(embedded.result.code).toBe(0);
    expect(embedded.homes).toEqual([`HF_HOME=${join(workspaces, 'encoder', '.hf_cache')}`]);
  });

  it('serve', async () => {
    await using home = await createTestHome();
    const workspaces = join(home.directory, 'workspaces');
    await writeTinyModel(join(workspaces, 'ws'));
    const server = home.start(['serve', '--port', '0', '--json'], { env: { HEARTH_WORKSPACE_HOME: workspaces } });
    const started = JSON.parse(await server.waitFor('stdout', /\n\}\n/)) as { data: { port: number } };
    const { result, homes } = await hubHomesDuring(server.child.pid!, () =>
      fetch(`http://127.0.0.1:${started.data.port}/v1/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ model: 'ws', prompt: 'ab', max_tokens: 4 }),
      }),
    );
    expect(result.status).toBe(200);
    expect(homes).toEqual([`HF_HOME=${join(workspaces, 'ws', '.hf_cache')}`]);
  });
});
