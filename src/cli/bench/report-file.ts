import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { z } from 'zod';
import { type BenchLine, benchLineSchema, type MonitorSample, type MonitorSummary, monitorSampleSchema, monitorSummarySchema } from '../../contract/index.ts';
import { HearthError } from '../../core/index.ts';

export interface LineProblem {
  readonly line: number;
  readonly problem: string;
}

export interface ReportFile {
  readonly path: string;
  readonly lines: readonly BenchLine[];
  readonly problems: readonly LineProblem[];
}

/** A report with what is wrong in it: one JSON object on each line. Throws invalid_value when there is no such file. */
export async function readReport(cwd: string, path: string): Promise<ReportFile> {
  const lines: BenchLine[] = [];
  const problems: LineProblem[] = [];
  for (const { text, line } of await readLines(cwd, path)) {
    const parsed = parseJson(text);
    const result = benchLineSchema.safeParse(parsed);
    if (result.success) lines.push(result.data);
    else problems.push({ line, problem: parsed === undefined ? 'not JSON' : told(result.error) });
  }
  return { path, lines, problems };
}

/** As readReport, for those that need a whole report: throws invalid_value with the first problem. */
export async function requireReport(cwd: string, path: string): Promise<ReportFile> {
  const report = await readReport(cwd, path);
  const [first] = report.problems;
  if (first !== undefined) throw new HearthError('invalid_value', `${path}, line ${first.line}: ${first.problem}. \`hearth bench validate\` lists all.`);
  if (report.lines.length === 0) throw new HearthError('invalid_value', `${path} holds no case.`);
  return report;
}

export interface MonitorFile {
  readonly samples: readonly MonitorSample[];
  readonly summary: MonitorSummary | null;
}

/** Samples of `bench monitor`, and the summary of their last line. */
export async function readMonitor(cwd: string, path: string): Promise<MonitorFile> {
  const samples: MonitorSample[] = [];
  let summary: MonitorSummary | null = null;
  for (const { text, line } of await readLines(cwd, path)) {
    const value = parseJson(text);
    const last = z.looseObject({ summary: monitorSummarySchema }).safeParse(value);
    if (last.success) {
      summary = last.data.summary;
      continue;
    }
    const sample = monitorSampleSchema.safeParse(value);
    if (!sample.success) throw new HearthError('invalid_value', `${path}, line ${line}: ${value === undefined ? 'not JSON' : told(sample.error)}.`);
    samples.push(sample.data);
  }
  if (samples.length === 0) throw new HearthError('invalid_value', `${path} holds no samples.`);
  return { samples, summary };
}

async function readLines(cwd: string, path: string): Promise<readonly { readonly text: string; readonly line: number }[]> {
  const content = await readFile(resolve(cwd, path), 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') throw new HearthError('invalid_value', `${path}: there is no such file.`, { cause: error });
    throw error;
  });
  return content.split('\n').flatMap((text, i) => (text.trim() === '' ? [] : [{ text, line: i + 1 }]));
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

function told(error: z.ZodError): string {
  const issue = error.issues[0]!;
  const where = issue.path.join('.');
  return `${where === '' ? '' : `${where}: `}${issue.message}`;
}
