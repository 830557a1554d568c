import { setTimeout as sleep } from 'node:timers/promises';
import { type AuditLine, parseLine } from './line.ts';
import { listLogFiles, readLines } from './log-files.ts';

export interface ReadLogOptions {
  /** `<home>/audit`. */
  readonly directory: string;
  /** Only lines from this time on, in milliseconds since the epoch. */
  readonly sinceMs?: number;
  /** Only lines before this time. */
  readonly untilMs?: number;
  readonly signal?: AbortSignal;
}

/** The lines of the log, oldest first; what is no line is left to `verifyLog`. */
export async function* readLog({ directory, sinceMs = 0, untilMs = Number.POSITIVE_INFINITY, signal }: ReadLogOptions): AsyncGenerator<AuditLine, void> {
  for (const { path } of listLogFiles(directory))
    for await (const { text, ended } of readLines(path)) {
      signal?.throwIfAborted();
      const line = ended && text !== null ? parseLine(text) : null;
      if (line === null) continue;
      const at = Date.parse(line.ts);
      if (at >= sinceMs && at < untilMs) yield line;
    }
}

/** The last lines, oldest first. */
export async function tailLog(directory: string, count: number): Promise<AuditLine[]> {
  const found: AuditLine[] = [];
  for (const { path } of listLogFiles(directory).reverse()) {
    const lines: AuditLine[] = [];
    for await (const { text, ended } of readLines(path)) {
      const line = ended && text !== null ? parseLine(text) : null;
      if (line !== null) lines.push(line);
      if (lines.length > count) lines.shift();
    }
    found.unshift(...lines.slice(Math.max(0, lines.length - (count - found.length))));
    if (found.length >= count) break;
  }
  return found;
}

const POLL_MS = 200;

/** Lines that come from now on, whoever writes them, until the signal. */
export async function* followLog(directory: string, afterSeq: number, signal: AbortSignal): AsyncGenerator<AuditLine, void> {
  let seen = afterSeq;
  while (!signal.aborted) {
    const files = listLogFiles(directory);
    for (const [index, { path }] of files.entries()) {
      // Files whose lines were all given out already are not read again.
      if ((files[index + 1]?.firstSeq ?? Number.POSITIVE_INFINITY) <= seen + 1) continue;
      for await (const { text, ended } of readLines(path)) {
        const line = ended && text !== null ? parseLine(text) : null;
        if (line === null || line.seq <= seen) continue;
        seen = line.seq;
        yield line;
      }
    }
    await sleep(POLL_MS, undefined, { signal }).catch(() => {});
  }
}
