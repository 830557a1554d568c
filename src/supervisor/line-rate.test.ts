import { describe, expect, test } from 'vitest';
import { createSupervisor } from './index.ts';
import { createLineRate } from './line-rate.ts';

describe('lines of a child', () => {
  test('of one second a thousand are passed on, and one line tells how many were not', () => {
    let now = 0;
    const lines: string[] = [];
    const rate = createLineRate((line) => lines.push(line), { monotonic: () => now });
    for (let i = 0; i < 2500; i += 1) rate.push(`line ${i}`);
    expect(lines).toHaveLength(1000);
    now = 1000;
    rate.push('next');
    expect(lines.slice(1000)).toEqual(['dropped 1500 lines', 'next']);
    rate.end();
    expect(lines).toHaveLength(1002);
  });

  test('a child that writes without end, or lines of any length, fills no log', async () => {
    const lines: string[] = [];
    await using supervisor = createSupervisor({ environment: process.env, onLine: (line) => lines.push(line) });
    const program = "process.stdout.write('x'.repeat(300_000) + '\\n'); process.stdout.write('y\\n'.repeat(50_000)); setTimeout(() => {}, 1)";
    const child = await supervisor.start({
      command: process.execPath,
      args: ['-e', program, '--'],
      cwd: process.cwd(),
      env: {},
      channel: 'ipc',
      readPaths: [process.cwd()],
      writePaths: [],
      devices: 'none',
      memoryBytes: 2 ** 30,
      threads: 2,
      startTimeoutMs: 10_000,
      stopGraceMs: 1_000,
    });
    await child.channel.exited;
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(64 * 1024);
    expect(lines.at(-1)).toMatch(/^dropped \d+ lines$/);
    expect(lines.length).toBeLessThan(10_000);
  });
});
