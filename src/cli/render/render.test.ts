import { describe, expect, it } from 'vitest';
import { plain, printable } from './plain.ts';
import { createProgress } from './progress.ts';
import { formatAge, formatSeconds, formatSize } from './size.ts';
import { table } from './table.ts';

describe('sizes, times and ages', () => {
  it('sizes are decimal, with one digit', () => {
    expect([0, 588, 1234, 98_400_000, 999_960, 2_300_000_000].map(formatSize)).toEqual(['0 B', '588 B', '1.2 kB', '98.4 MB', '1.0 MB', '2.3 GB']);
  });

  it('ages are those of the list', () => {
    const now = Date.parse('2026-03-01T12:00:00Z');
    const age = (seconds: number) => formatAge(new Date(now - seconds * 1000).toISOString(), now);
    expect([0, 44, 45, 3599, 3600, 86_399, 86_400, 29 * 86_400].map(age)).toEqual([
      'just now',
      'just now',
      '1m ago',
      '59m ago',
      '1h ago',
      '23h ago',
      '1d ago',
      '29d ago',
    ]);
    expect(age(30 * 86_400)).toBe('2026-01-30');
  });

  it('seconds are told as people say them', () => {
    expect([0.42, 9.96, 12.4, 185].map(formatSeconds)).toEqual(['0.4 s', '10.0 s', '12 s', '3 min 5 s']);
  });
});

describe('tables', () => {
  it('align their cells and leave no blanks at the ends', () => {
    const text = table(
      [{ title: 'Name' }, { title: 'Size', align: 'right' }],
      [
        ['a', '1 B'],
        ['bbbbbb', '12 MB'],
      ],
    );
    expect(text.split('\n')).toEqual(['Name   |  Size', '-------+------', 'a      |   1 B', 'bbbbbb | 12 MB']);
  });

  it('break a long column at words', () => {
    const text = table([{ title: 'A' }, { title: 'Why' }], [['x', 'one two three four']], { column: 1, width: 9 });
    expect(text.split('\n').slice(2)).toEqual(['x | one two', '  | three', '  | four']);
  });

  it('escape what would move the cursor, hide or reverse text', () => {
    const text = table([{ title: 'Name' }], [['evil\x1b[31mred\u202e\nsecond line']]);
    expect(text).toContain('evil\\x1b[31mred\\u202e second line');
    expect(plain('a\x07b\x9bc\nd')).toBe('a\\x07b\\x9bc\nd');
    expect(printable('a\x1b[2Jb\r\nc\td')).toBe('a[2Jb\nc\td');
  });
});

describe('progress', () => {
  const run = (bar: boolean, columns = 80) => {
    let text = '';
    let now = 0;
    const write = (piece: string): boolean => {
      text += piece;
      return true;
    };
    const progress = createProgress({ stderr: { write } as never, bar, columns, quiet: false, now: () => now });
    for (let done = 0; done <= 100; done += 10) {
      progress.update(done * 1e6, 100e6, 'org/name');
      now += 1000;
    }
    progress.end();
    return text;
  };

  it('is a bar that fits the line on a terminal, and is gone at its end', () => {
    const text = run(true);
    expect(text.endsWith('\r\x1b[2K')).toBe(true);
    const last = text.split('\r\x1b[2K').at(-2)!;
    expect(last).toContain('100 %  100.0 MB of 100.0 MB, 10.0 MB/s');
    expect(last.length).toBeLessThanOrEqual(80);
    expect(
      run(true, 40)
        .split('\r\x1b[2K')
        .every((line) => line.length <= 40),
    ).toBe(true);
    // What does not fit is left out as a whole: no number loses its end.
    for (const columns of [60, 40, 24])
      for (const line of run(true, columns)
        .split('\r\x1b[2K')
        .filter((each) => each !== ''))
        expect(line).toMatch(/ +\d+ %( {2}[\d.]+ k?M?B of [\d.]+ MB(, [\d.]+ MB\/s(, [\d.]+ s left)?)?)?$/);
  });

  it('is a plain line now and then elsewhere, without escapes, and nothing when quiet', () => {
    const lines = run(false).trim().split('\n');
    expect(lines.length).toBeGreaterThan(1);
    expect(lines.length).toBeLessThan(6);
    expect(lines.at(-1)).toBe('org/name: 100 %  100.0 MB of 100.0 MB, 10.0 MB/s');
    expect(lines.join('')).not.toContain('\x1b');
  });
});
