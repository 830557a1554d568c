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
        const line = `${plain(label)}: ${facts[0]}`;
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

/** From all that there is to tell to the share alone. */
function describe(doneBytes: number, totalBytes: number, bytesPerSecond: number): readonly [string, ...string[]] {
  const share = totalBytes > 0 ? `${String(Math.floor((100 * doneBytes) / totalBytes)).padStart(3)} %` : '';
  const sizes = `${share}  ${formatSize(doneBytes)} of ${formatSize(totalBytes)}`;
  if (bytesPerSecond <= 0) return [sizes, share];
  const speed = `${sizes}, ${formatSize(Math.round(bytesPerSecond))}/s`;
  if (doneBytes >= totalBytes) return [speed, sizes, share];
  return [`${speed}, ${formatSeconds((totalBytes - doneBytes) / bytesPerSecond)} left`, speed, sizes, share];
}

const LEAST_NAME = 8;
const LEAST_CELLS = 6;

/** The bar, and as much in words as the line holds: the time left goes first, then the speed, then the bar itself. */
function bar(label: string, doneBytes: number, totalBytes: number, facts: readonly [string, ...string[]], columns: number): string {
  const fits = (text: string, cells: number): boolean => LEAST_NAME + 2 + cells + text.length < columns;
  const drawn = facts.find((text) => text.includes(' of ') && fits(text, LEAST_CELLS + 2));
  const words = drawn ?? facts.find((text) => fits(text, 0)) ?? facts.at(-1)!;
  const room = columns - 1 - words.length - 2 - (drawn === undefined ? 0 : LEAST_CELLS + 2);
  const name = cut(label, Math.max(1, Math.min(label.length, drawn === undefined ? room : Math.max(LEAST_NAME, room - 4))));
  if (drawn === undefined) return cut(`${name}  ${words}`, columns - 1);
  const cells = Math.min(30, columns - 1 - words.length - name.length - 4);
  const full = totalBytes > 0 ? Math.round((cells * Math.min(doneBytes, totalBytes)) / totalBytes) : 0;
  return `${name}  ${'█'.repeat(full)}${'░'.repeat(cells - full)}  ${words}`;
}
