import type { Writable } from 'node:stream';
import { cut, plain } from './plain.ts';
import { formatSeconds, formatSize } from './size.ts';

export interface Progress {
  /** Bytes done of bytes in all; `label` says of what. */
  update(doneBytes: number, totalBytes: number, label: string): void;
  /** Clears the bar, so that what follows starts on a clean line. */
  end(): void;
}

export interface ProgressOptions {
  readonly stderr: Writable;
  /** A bar that redraws itself; otherwise a plain line now and then. */
  readonly bar: boolean;
  readonly columns: number;
  readonly quiet: boolean;
  /** Milliseconds of a clock that never goes back. */
  readonly now: () => number;
}

const REDRAW_MS = 100;
const LINE_MS = 5000;

export function createProgress(options: ProgressOptions): Progress {
  let drawnAt = -Infinity;
  let startedAt: number | null = null;
  let startBytes = 0;
  let open = false;
  let lastLine = '';

  const speedOf = (doneBytes: number): number => {
    const seconds = (options.now() - (startedAt ?? 0)) / 1000;
    return seconds > 0.5 ? (doneBytes - startBytes) / seconds : 0;
  };

  return {
    update(doneBytes, totalBytes, label) {
      if (options.quiet) return;
      const now = options.now();
      if (startedAt === null) {
        startedAt = now;
        startBytes = doneBytes;
      }
      const complete = doneBytes >= totalBytes;
      if (!complete && now - drawnAt < (options.bar ? REDRAW_MS : LINE_MS)) return;
      const facts = describe(doneBytes, totalBytes, speedOf(doneBytes));
      if (options.bar) {
        open = true;
        options.stderr.write(`\r\x1b[2K${bar(plain(label), doneBytes, totalBytes, facts, options.columns)}`);
      } else {
        const line = `${plain(label)}: ${facts}`;
        if (complete && line === lastLine) return;
        lastLine = line;
        options.stderr.write(`${line}\n`);
      }
      drawnAt = now;
    },
    end() {
      if (open) options.stderr.write('\r\x1b[2K');
      open = false;
    },
  };
}

function describe(doneBytes: number, totalBytes: number, bytesPerSecond: number): string {
  const share = totalBytes > 0 ? `${String(Math.floor((100 * doneBytes) / totalBytes)).padStart(3)} %` : '';
  const left = bytesPerSecond > 0 && doneBytes < totalBytes ? `, ${formatSeconds((totalBytes - doneBytes) / bytesPerSecond)} left` : '';
  const speed = bytesPerSecond > 0 ? `, ${formatSize(Math.round(bytesPerSecond))}/s${left}` : '';
  return `${share}  ${formatSize(doneBytes)} of ${formatSize(totalBytes)}${speed}`;
}

function bar(label: string, doneBytes: number, totalBytes: number, facts: string, columns: number): string {
  const room = columns - facts.length - 4;
  const name = cut(label, Math.max(8, Math.min(label.length, room - 12)));
  const cells = Math.min(30, room - name.length - 2);
  if (cells < 6) return cut(`${name}  ${facts}`, columns - 1);
  const full = totalBytes > 0 ? Math.round((cells * Math.min(doneBytes, totalBytes)) / totalBytes) : 0;
  return `${name}  ${'█'.repeat(full)}${'░'.repeat(cells - full)}  ${facts}`;
}
