import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, it } from 'vitest';

/** Keeps 20 MB, and beside it the last 4 MB of what comes and goes: tells the largest heap that this took. */
const PROGRAM = `
const { keepOldHeapSmall } = await import(process.argv[1]);
if (process.argv[2] === 'small') keepOldHeapSmall();
const make = () => Array.from({ length: 1_000 }, (_, i) => ({ i }));
const kept = Array.from({ length: 400 }, make);
const passing = [];
let largest = 0;
for (let count = 0; count < 20_000; count += 1) {
  passing[count % 80] = make();
  if (count % 20 === 0) largest = Math.max(largest, process.memoryUsage().heapTotal);
}
console.log(JSON.stringify({ largest, kept: kept.length }));
`;
const heapOf = (how: 'small' | 'usual'): number =>
  JSON.parse(
    execFileSync(process.execPath, ['--max-semi-space-size=1', '--input-type=module', '-e', PROGRAM, join(import.meta.dirname, 'small-heap.ts'), how], {
      encoding: 'utf8',
    }),
  ).largest;

it('a process that keeps its old heap small takes far less for the same work', () => {
  expect(heapOf('small')).toBeLessThan(0.75 * heapOf('usual'));
});
