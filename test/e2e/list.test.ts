import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createTestHome, type TestHome } from '../support/hearth-process.ts';
import { runInProcess } from '../support/run-cli.ts';
import { installTinyModel, TINY_COMMIT } from '../support/tiny-model.ts';

describe('hearth list', () => {
  let home: TestHome;
  const list = async (...args: string[]) => (await runInProcess(['list', ...args], { directory: home.directory })).stdout;
  const titles = (text: string): string[] =>
    text
      .split('\n')[0]!
      .split(' | ')
      .map((title) => title.trim());

  beforeAll(async () => {
    home = await createTestHome();
    const broken = (name: string) => join(home.hfHome, 'hub', `models--${name.replaceAll('/', '--')}`, 'snapshots', TINY_COMMIT);
    for (const name of ['mlx-community/Good-1B', 'org/broken', 'org/foreign']) await installTinyModel(home.hfHome, name);
    await rm(join(broken('org/broken'), 'model.safetensors'));
    const config = { model_type: 'no_such_type', architectures: ['NoSuchModel'], max_position_embeddings: 512, vocab_size: 128 };
    await writeFile(join(broken('org/foreign'), 'config.json'), JSON.stringify(config));
  });
  afterAll(async () => {
    await home[Symbol.asyncDispose]();
  });

  it('[store K11] shows healthy and runnable rows only, unless --all; JSON returns all', async () => {
    const shown = await list();
    expect(shown).toContain('Good-1B');
    expect(shown).not.toMatch(/broken|foreign/);
    expect(shown).toContain('2 more cannot run here');
    const all = await list('--all');
    for (const name of ['Good-1B', 'org/broken', 'org/foreign']) expect(all).toContain(name);
    for (const args of [[], ['--all']]) {
      const { data } = JSON.parse(await list('--json', ...args)) as { data: { models: { name: string }[]; count: number } };
      expect(data.count).toBe(3);
      expect(data.models.map((model) => model.name)).toEqual(['mlx-community/Good-1B', 'org/broken', 'org/foreign']);
    }
  });

  it('[store K12] six compact columns; verbose adds Clean and Framework; both forms of --health', async () => {
    const compact = ['Name', 'Hash', 'Size', 'Modified', 'Src', 'Type'];
    const wide = ['Name', 'Hash', 'Size', 'Modified', 'Src', 'Clean', 'Framework', 'Type'];
    expect(titles(await list())).toEqual(compact);
    expect(titles(await list('--verbose'))).toEqual(wide);
    expect(titles(await list('--all'))).toEqual(wide);
    expect(titles(await list('--health'))).toEqual([...compact, 'Health']);
    expect(titles(await list('--health', '--verbose'))).toEqual([...wide, 'Integrity', 'Runtime', 'Reason']);
    const judged = await list('--all', '--health');
    const cells = (text: string, name: string): string[] =>
      text
        .split('\n')
        .find((line) => line.includes(name))!
        .split('|')
        .map((cell) => cell.trim());
    expect(cells(judged, 'Good-1B').at(-1)).toBe('healthy');
    expect(cells(judged, 'org/foreign').at(-1)).toBe('healthy*');
    expect(cells(judged, 'org/broken').at(-1)).toBe('unhealthy');
    const reasons = await list('--all', '--health', '--verbose');
    expect(cells(reasons, 'org/foreign').slice(-3, -1)).toEqual(['healthy', 'no']);
    expect(cells(reasons, 'org/broken').slice(-3, -1)).toEqual(['unhealthy', '-']);
    for (const line of reasons.split('\n').slice(2)) expect(line.split('|').at(-1)!.trim().length).toBeLessThanOrEqual(26);
    expect(cells(judged, 'Good-1B').slice(0, 3)).toEqual(['Good-1B', TINY_COMMIT.slice(0, 7), '170.8 kB']);
    expect(cells(reasons, 'Good-1B')[0]).toBe('mlx-community/Good-1B');
  });

  it('[store K13] finds a case-insensitive part of the name', async () => {
    expect(await list('--all', 'BROK')).toContain('org/broken');
    expect(await list('--all', 'BROK')).not.toContain('org/foreign');
    expect((await runInProcess(['list', 'nothing-like-it'], { directory: home.directory })).code).toBe(0);
  });
});
