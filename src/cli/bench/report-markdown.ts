import { type BenchLine, type MonitorSample, QUALITY_FLAGS } from '../../contract/index.ts';
import { mean, median, round } from './statistics.ts';

export interface ReportInput {
  readonly path: string;
  readonly lines: readonly BenchLine[];
}

export interface ReportOptions {
  readonly compare?: ReportInput;
  /** Samples of a monitor that ran meanwhile. */
  readonly memory?: { readonly path: string; readonly samples: readonly MonitorSample[] };
  readonly now: Date;
}

/** Shorter cases say more about the clock than about a model. */
const SHORTEST_S = 0.5;

/** A report for people, in Markdown: inputs, counts, health, models, tests, and what the monitor saw (docs/spec/store.md §12). */
export function renderReport(report: ReportInput, { compare, memory, now }: ReportOptions): string {
  const { lines } = report;
  const versions = unique(lines.map((line) => line.mlx_knife_version));
  const hardware = unique(lines.map((line) => line.system?.hardware).filter((name) => name !== undefined));
  const sections = [
    `# Benchmark report\n\nMade ${now.toISOString().slice(0, 19)}Z from version ${versions.join(', ')}${hardware.length === 0 ? '' : ` on ${hardware.join(', ')}`}.`,
    inputs(report, compare, memory?.path),
    totals(report, compare),
    health(lines),
    models(lines, compare?.lines),
    tests(lines, compare?.lines),
    ...(memory === undefined ? [] : [machine(lines, memory.samples)]),
  ];
  return `${sections.join('\n\n')}\n`;
}

function inputs({ path, lines }: ReportInput, compare: ReportInput | undefined, memory: string | undefined): string {
  const versions = unique(lines.map((line) => line.schema_version)).join(', ');
  const rows = [`- Report: \`${path}\` (schema ${versions})`];
  if (compare !== undefined) rows.push(`- Compared with: \`${compare.path}\``);
  if (memory !== undefined) rows.push(`- Monitor: \`${memory}\``);
  return `## Inputs\n\n${rows.join('\n')}`;
}

function totals({ lines }: ReportInput, compare: ReportInput | undefined): string {
  const count = (outcome: BenchLine['outcome']) => lines.filter((line) => line.outcome === outcome).length;
  const total = totalDuration(lines);
  const rows = [
    ['Cases', `${lines.length}`],
    ['Passed', `${count('passed')}`],
    ['Failed', `${count('failed')}`],
    ['Skipped', `${count('skipped')}`],
    ['Models', `${unique(lines.map(modelId).filter((id) => id !== null)).length}`],
    ['Duration', seconds(total)],
  ];
  const text = [`## Summary\n\n${markdownTable(['', 'Total'], rows, 1)}`];
  const failed = lines.filter((line) => line.outcome === 'failed');
  if (failed.length > 0) text.push(`Failed:\n\n${failed.map((line) => `- \`${cell(line.test)}\`${reasonOf(line)}`).join('\n')}`);
  if (compare !== undefined) {
    const before = totalDuration(compare.lines);
    const change = changeOf(before, total);
    const verdict = change !== null && change > 3 ? ' — **slower than before**' : '';
    text.push(`Duration before: ${seconds(before)}, now: ${seconds(total)} (${percent(change)})${verdict}.`);
  }
  return text.join('\n\n');
}

const reasonOf = (line: BenchLine): string => {
  const error = line.metadata?.['error'] as { message?: unknown } | undefined;
  return typeof error?.message === 'string' ? `: ${cell(error.message)}` : '';
};

function health(lines: readonly BenchLine[]): string {
  const states = lines.map((line) => line.system_health).filter((state) => state !== undefined);
  if (states.length === 0) return '## System health\n\nNo case says how the machine was.';
  const range = (title: string, values: readonly (number | undefined)[], unit: string) => {
    const known = values.filter((value) => value !== undefined);
    return known.length === 0
      ? []
      : [[title, `${round(Math.min(...known), 1)}${unit}`, `${round(Math.max(...known), 1)}${unit}`, `${round(mean(known), 1)}${unit}`]];
  };
  const rows = [
    ...range(
      'Free memory',
      states.map((state) => state.ram_free_gb),
      ' GiB',
    ),
    ...range(
      'Swap',
      states.map((state) => (state.swap_gb === undefined ? undefined : state.swap_gb * 1024)),
      ' MiB',
    ),
    ...range(
      'Processes left over',
      states.map((state) => state.zombies_detected),
      '',
    ),
  ];
  const flags = QUALITY_FLAGS.map((flag) => {
    const count = states.filter((state) => state.quality_flags?.includes(flag)).length;
    return [`\`${flag}\``, `${count}`, `${round((count * 100) / states.length, 1)} %`];
  });
  return [
    '## System health',
    ...(rows.length === 0 ? [] : [markdownTable(['', 'Least', 'Most', 'Mean'], rows, 1)]),
    markdownTable(['Flag', 'Cases', 'Share'], flags, 1),
  ].join('\n\n');
}

function models(lines: readonly BenchLine[], old: readonly BenchLine[] | undefined): string {
  const rows: string[][] = [];
  for (const [key, group] of grouped(lines.filter(longEnough), (line) => `${modelId(line)} ${modality(line)}`)) {
    if (modelId(group[0]!) === null) continue;
    const time = totalDuration(group);
    const rates = group.map((line) => line.performance?.tokens_per_sec).filter((rate) => rate !== undefined);
    const peaks = group.map((line) => line.performance?.peak_ram_gb ?? line.performance?.stable_ram_gb).filter((gb) => gb !== undefined);
    const before = old?.filter((line) => longEnough(line) && `${modelId(line)} ${modality(line)}` === key) ?? [];
    const size = group[0]!.model?.size_gb;
    rows.push([
      cell(modelId(group[0]!)!),
      size === undefined ? '-' : `${round(size, 2)} GB`,
      modality(group[0]!),
      `${group.length}`,
      seconds(time),
      rates.length === 0 ? '-' : `${round(median(rates), 1)}`,
      peaks.length === 0 ? '-' : `${round(Math.max(...peaks), 2)} GiB`,
      ...(old === undefined ? [] : change(before.length === 0 ? null : totalDuration(before), time)),
    ]);
  }
  const titles = ['Model', 'Size', 'Kind', 'Cases', 'Time', 'Tokens/s', 'Memory', ...(old === undefined ? [] : COMPARED)];
  return `## Models\n\nCases of at least ${SHORTEST_S} s.\n\n${rows.length === 0 ? 'None.' : markdownTable(titles, rows, 3, [1])}`;
}

function tests(lines: readonly BenchLine[], old: readonly BenchLine[] | undefined): string {
  const rows: string[][] = [];
  for (const [name, group] of grouped(lines, (line) => `${testName(line)}`)) {
    const times = group.map((line) => line.duration ?? 0);
    const before = old?.filter((line) => testName(line) === name).map((line) => line.duration ?? 0) ?? [];
    const failed = group.filter((line) => line.outcome === 'failed').length;
    rows.push([
      cell(name),
      `${group.length}`,
      `${failed}`,
      seconds(Math.min(...times)),
      seconds(median(times)),
      seconds(Math.max(...times)),
      ...(old === undefined ? [] : change(before.length === 0 ? null : median(before), median(times))),
    ]);
  }
  return `## Tests\n\n${markdownTable(['Test', 'Cases', 'Failed', 'Fastest', 'Median', 'Slowest', ...(old === undefined ? [] : COMPARED)], rows, 1)}`;
}

/** GPU and processor while a case ran; the first case of each model is its cold start. */
function machine(lines: readonly BenchLine[], samples: readonly MonitorSample[]): string {
  const seen = new Set<string>();
  const rows: string[][] = [];
  for (const line of lines) {
    const id = modelId(line);
    if (id === null || line.test_start_ts === undefined || line.test_end_ts === undefined) continue;
    const cold = !seen.has(id);
    seen.add(id);
    const during = samples.filter(({ ts }) => ts >= line.test_start_ts! && ts <= line.test_end_ts!);
    if (during.length === 0) continue;
    const average = (key: 'cpu_user' | 'gpu_device_util' | 'gpu_renderer_util') => {
      const known = during.map((sample) => sample[key]).filter((value) => value !== undefined);
      return known.length === 0 ? '-' : `${round(mean(known), 1)} %`;
    };
    const free = during.map((sample) => sample.ram_free_gb).filter((value) => value !== undefined);
    rows.push([
      cell(testName(line)),
      cell(id),
      cold ? 'yes' : '',
      average('cpu_user'),
      average('gpu_device_util'),
      average('gpu_renderer_util'),
      free.length === 0 ? '-' : `${round(Math.min(...free), 1)} GiB`,
      `${during.length}`,
    ]);
  }
  const titles = ['Test', 'Model', 'Cold start', 'Processor', 'GPU', 'Renderer', 'Least free', 'Samples'];
  return `## Machine\n\n${rows.length === 0 ? 'No sample was taken while a case ran.' : markdownTable(titles, rows, 3)}`;
}

const COMPARED = ['Before', 'Change', ''];

/** More than 5 % slower is flagged, more than 1 % faster is marked. */
function change(before: number | null, now: number): string[] {
  const value = before === null ? null : changeOf(before, now);
  const mark = value === null ? 'new' : value > 5 ? '⚠ slower' : value < -1 ? '✓ faster' : '';
  return [before === null ? '-' : seconds(before), percent(value), mark];
}

const changeOf = (before: number, now: number): number | null => (before <= 0 ? null : ((now - before) * 100) / before);
const percent = (value: number | null): string => (value === null ? '-' : `${value > 0 ? '+' : ''}${round(value, 1)} %`);
const seconds = (value: number): string => (value < 60 ? `${round(value, value < 1 ? 3 : 1)} s` : `${Math.floor(value / 60)} min ${Math.round(value % 60)} s`);
const totalDuration = (lines: readonly BenchLine[]): number => lines.reduce((sum, line) => sum + (line.duration ?? 0), 0);
const longEnough = (line: BenchLine): boolean => (line.duration ?? 0) >= SHORTEST_S;
const modelId = (line: BenchLine): string | null => line.model?.id ?? null;
const modality = (line: BenchLine): string => line.metadata?.inference_modality ?? 'text';
/** `bench/smoke::load[model]` → `load`. */
export const testName = (line: BenchLine): string => /::([^[]+)/.exec(line.test)?.[1] ?? line.test;
const unique = <T>(values: readonly T[]): T[] => [...new Set(values)];
const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll(/\s+/g, ' ');

function grouped<T>(items: readonly T[], keyOf: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) groups.set(keyOf(item), [...(groups.get(keyOf(item)) ?? []), item]);
  return groups;
}

/** Columns from `numbersFrom` on are aligned to the right, as are those in `alsoRight`. */
function markdownTable(titles: readonly string[], rows: readonly (readonly string[])[], numbersFrom: number, alsoRight: readonly number[] = []): string {
  const rule = titles.map((_, i) => (i >= numbersFrom || alsoRight.includes(i) ? '---:' : '---'));
  return [titles, rule, ...rows].map((row) => `| ${row.join(' | ')} |`).join('\n');
}
