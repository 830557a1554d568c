import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type BenchLine, benchLineSchema, monitorSampleSchema, monitorSummarySchema, QUALITY_FLAGS } from '../../src/contract/index.ts';
import { createTestHome, type TestHome } from '../support/hearth-process.ts';
import { runInProcess } from '../support/run-cli.ts';
import { installTinyModel, TINY_MODEL } from '../support/tiny-model.ts';

const jsonLines = async (path: string) =>
  (await readFile(path, 'utf8'))
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);

/** Any reader of the public schema: the fields that it requires and the only ones that it knows at the top. */
const KNOWN = [
  'schema_version',
  'timestamp',
  'mlx_knife_version',
  'test',
  'outcome',
  'test_start_ts',
  'test_end_ts',
  'duration',
  'model',
  'performance',
  'stop_tokens',
  'system',
  'system_health',
  'timeline',
  'metadata',
];

describe('hearth bench', () => {
  let home: TestHome;
  const bench = (...args: string[]) => runInProcess(['bench', ...args], { directory: home.directory });
  const file = (name: string) => join(home.directory, name);
  beforeAll(async () => {
    home = await createTestHome();
    await installTinyModel(home.hfHome);
    const ran = await bench('run', 'tiny-llama', '--suite', 'standard', '--report', 'new.jsonl', '--monitor', 'machine.jsonl');
    expect([ran.code, ran.stderr]).toEqual([0, expect.stringContaining('passed  cleanup [tiny-llama]')]);
  });
  afterAll(async () => {
    await home[Symbol.asyncDispose]();
  });

  it('[store K116] a run writes one line of schema 0.2.2 for each case, with flags of the list', async () => {
    const lines = await jsonLines(file('new.jsonl'));
    expect(lines.map((line) => String(line['test']))).toEqual(
      ['load', 'prompt', 'stream', 'stop-token', 'streams-2', 'streams-4', 'cancel', 'cleanup'].map((name) => `bench/standard::${name}[${TINY_MODEL}]`),
    );
    for (const line of lines) {
      expect(KNOWN).toEqual(expect.arrayContaining(Object.keys(line)));
      const checked = benchLineSchema.parse(line);
      expect(checked).toMatchObject({
        schema_version: '0.2.2',
        outcome: 'passed',
        metadata: { producer: 'hearth', engine: 'ember', inference_modality: 'text' },
      });
      const flags = checked.system_health!.quality_flags!;
      expect(flags.length).toBeGreaterThan(0);
      for (const flag of flags) expect(QUALITY_FLAGS).toContain(flag);
    }
    const stream = lines[2] as unknown as BenchLine;
    expect(stream.performance).toMatchObject({ completion_tokens: expect.any(Number), tokens_per_sec: expect.any(Number), peak_ram_gb: expect.any(Number) });
    expect(JSON.stringify(lines)).not.toContain(home.directory);
    expect(await bench('validate', 'new.jsonl')).toMatchObject({ code: 0, stdout: expect.stringContaining('8 valid lines') });
  });

  it('[store K116] validate names each line that breaks the schema', async () => {
    const [line] = await jsonLines(file('new.jsonl'));
    const bad = [
      { ...line, extra: 1 },
      { ...line, outcome: 'maybe' },
      { ...line, mlx_knife_version: 'x' },
      { ...line, system_health: { quality_flags: ['clean', 'degraded_swap'] } },
      { ...line, system_health: { quality_flags: ['sparkling'] } },
      { ...line, duration: -1 },
    ];
    const old = { schema_version: '0.1.0', timestamp: '2026-01-01T00:00:00Z', mlx_knife_version: '2.0.3', test: 't', outcome: 'skipped' };
    await writeFile(file('bad.jsonl'), [...bad.map((entry) => JSON.stringify(entry)), 'no json', JSON.stringify(old), ''].join('\n'));
    const { code, stdout } = await bench('validate', 'bad.jsonl', '--json');
    expect(code).toBe(1);
    const { data } = JSON.parse(stdout) as { data: { files: { valid: number; problems: { line: number }[] }[] } };
    expect([data.files[0]!.valid, data.files[0]!.problems.map(({ line: number }) => number)]).toEqual([1, [1, 2, 3, 4, 5, 6, 7]]);
    expect((await bench('report', 'bad.jsonl')).code).toBe(1);
    expect((await bench('validate', 'missing.jsonl')).code).toBe(1);
  });

  it('[store K116] a report is compared with an older one: slower cases are flagged, faster ones marked', async () => {
    const lines = (await jsonLines(file('new.jsonl'))) as unknown as BenchLine[];
    const write = (name: string, change: (line: BenchLine, i: number) => number) =>
      writeFile(file(name), lines.map((line, i) => JSON.stringify({ ...line, duration: change(line, i) })).join('\n'));
    await write('now.jsonl', (_, i) => (i === 1 ? 2 : 1));
    await write('old.jsonl', (_, i) => (i === 2 ? 1.5 : 1));
    const { code } = await bench('report', 'now.jsonl', '--compare', 'old.jsonl', '--memory', 'machine.jsonl', '--output', 'report.md');
    expect(code).toBe(0);
    const text = await readFile(file('report.md'), 'utf8');
    for (const title of ['# Benchmark report', '## Inputs', '## Summary', '## System health', '## Models', '## Tests', '## Machine'])
      expect(text).toContain(title);
    const row = (start: string) => text.split('\n').find((line) => line.startsWith(`| ${start} |`));
    expect(row('prompt')).toMatch(/\| 1 s \| \+100 % \| ⚠ slower \|$/);
    expect(row('stream')).toMatch(/\| 1\.5 s \| -33\.3 % \| ✓ faster \|$/);
    expect(row('load')).toMatch(/\| 0 % \| {2}\|$/);
    expect(text).toContain('(+5.9 %) — **slower than before**');
    for (const flag of QUALITY_FLAGS) expect(text).toContain(`\`${flag}\``);
  });

  it('watches the machine while a program runs, and keeps its exit code', async () => {
    const { code } = await home.run([
      'bench',
      'monitor',
      '--interval-ms',
      '50',
      '--output',
      'watch.jsonl',
      '--',
      process.execPath,
      '-e',
      'setTimeout(() => process.exit(7), 400)',
    ]);
    expect(code).toBe(7);
    const lines = await jsonLines(file('watch.jsonl'));
    const summary = monitorSummarySchema.parse(lines.at(-1)!['summary']);
    expect(summary).toMatchObject({ exit_code: 7, interval_ms: 50, samples: lines.length - 1, command: expect.stringContaining('setTimeout') });
    for (const sample of lines.slice(0, -1)) monitorSampleSchema.parse(sample);
    const timed = await bench('monitor', '--duration-s', '0.3', '--json');
    expect(JSON.parse(timed.stdout)).toMatchObject({ command: 'bench', data: { summary: { samples: expect.any(Number) } } });
  });

  it('draws samples and cases as SVG and as a page without anything from elsewhere', async () => {
    expect((await bench('plot', 'machine.jsonl', 'new.jsonl', '-o', 'plot.svg', '--title', 'A <title> & more')).code).toBe(0);
    const svg = await readFile(file('plot.svg'), 'utf8');
    expect(svg).toMatch(/^<svg [^>]*viewBox/);
    for (const part of ['Memory', 'Processor', 'GPU', 'A &#60;title&#62; &#38; more', TINY_MODEL, 'streams-2']) expect(svg).toContain(part);
    expect(svg).not.toContain('NaN');
    expect((await bench('plot', 'machine.jsonl', '--output', 'plot.html')).code).toBe(0);
    const page = await readFile(file('plot.html'), 'utf8');
    expect(page).toMatch(/^<!doctype html>/);
    expect(page.replaceAll('http://www.w3.org/2000/svg', '')).not.toMatch(/https?:/);
    expect((await bench('plot', 'machine.jsonl')).code).toBe(2);
  });

  it('measures one model by its name, and keeps the result without what was not measured', async () => {
    const { code, stdout } = await bench('tiny-llama', '--iterations', '2', '--save', '--json');
    expect(code).toBe(0);
    const { command, data } = JSON.parse(stdout) as { command: string; data: { runs: unknown[]; profile_id: string; gen_tps: unknown; class: unknown } };
    expect(command).toBe('bench');
    expect(data).toMatchObject({ model_id: TINY_MODEL, engine: 'ember', class: null, gen_tps: { mean: expect.any(Number), deviation: expect.any(Number) } });
    expect(data.runs).toHaveLength(2);
    const saved = JSON.parse(await readFile(join(home.home, 'state', 'benchmarks', `${data.profile_id}.json`), 'utf8')) as {
      results: Record<string, { memory_gb?: number }>;
    };
    const [result] = Object.values(saved.results);
    expect(result).toMatchObject({ model_id: TINY_MODEL, iterations: 2 });
    expect(result!.memory_gb ?? 1).toBeGreaterThan(0);
    expect((await bench('tiny-llama', '--iterations', '0')).code).toBe(2);
    expect((await bench('nothing-here')).code).toBe(1);
    expect((await bench()).code).toBe(2);
  });
});
