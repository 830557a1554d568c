import { isHearthError } from '../../src/core/index.ts';
import { mutate, randomFrom } from './mutate.ts';
import type { Target } from './targets.ts';

export interface FuzzFailure {
  readonly input: number;
  readonly why: string;
  /** The bytes, in base64. */
  readonly bytes: string;
}

export interface FuzzResult {
  readonly target: string;
  readonly inputs: number;
  /** How often each thing was said; codes of errors among them. */
  readonly said: Readonly<Record<string, number>>;
  readonly slowestMs: number;
  readonly failures: readonly FuzzFailure[];
}

export interface FuzzOptions {
  readonly seed: number;
  readonly inputs: number;
  /** Stops earlier after this time. */
  readonly maxMs?: number;
}

/** An input may take this long, as processor time. */
const LIMIT_MS = 1_000;
const MAX_FAILURES = 20;

/** Reads changed inputs. The input `n` of a seed is always the same, so that a failure can be made again. */
export function runTarget(target: Target, { seed, inputs, maxMs = Number.POSITIVE_INFINITY }: FuzzOptions): FuzzResult {
  const said: Record<string, number> = {};
  const failures: FuzzFailure[] = [];
  const start = performance.now();
  let slowestMs = 0;
  let input = 0;
  for (; input < inputs && failures.length < MAX_FAILURES && performance.now() - start < maxMs; input += 1) {
    const bytes = inputOf(target, seed, input);
    const fail = (why: string): void => void failures.push({ input, why, bytes: bytes.toString('base64') });
    const before = process.cpuUsage();
    let word: string;
    try {
      word = target.read(bytes);
    } catch (error) {
      word = isHearthError(error) ? error.code : 'failure';
      if (word === 'failure' || word === 'internal_error') fail(error instanceof Error ? (error.stack ?? error.message) : String(error));
    }
    said[word] = (said[word] ?? 0) + 1;
    // Of the processor: others may be using it too.
    const { user, system } = process.cpuUsage(before);
    const ms = (user + system) / 1_000;
    slowestMs = Math.max(slowestMs, ms);
    // A template is stopped by its own clock of a second: that is what it is for.
    if (ms > LIMIT_MS && word !== 'template_limit') fail(`took ${Math.round(ms)} ms`);
  }
  return { target: target.name, inputs: input, said, slowestMs, failures };
}

function inputOf(target: Target, seed: number, input: number): Buffer {
  const random = randomFrom(Math.imul(seed, 0x9e3779b1) ^ input);
  const pick = (): Buffer => target.seeds[random(target.seeds.length)]!;
  const bytes = mutate(pick(), pick(), target.words, random);
  target.repair?.(bytes, random);
  return bytes;
}
