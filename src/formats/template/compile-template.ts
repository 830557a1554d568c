import { Template } from '@huggingface/jinja';
import { HearthError } from '../../core/index.ts';

export interface CompiledTemplate {
  /** Throws what the template raises; template_limit where it asks for too much at once. Bound its time with `withTimeLimit`. */
  render(values: Readonly<Record<string, unknown>>): string;
}

/** docs/spec/security.md §5. */
export const MAX_TEMPLATE_CHARACTERS = 1024 * 1024;
/** Templates count over messages and tools; a list that is longer is made to fill memory faster than a clock can stop it. */
const MAX_RANGE = 100_000;
/** The interpreter's own functions cannot be replaced from outside, but a template may set their names: this one does, before its first word. */
const PROLOGUE = new Template('{% set range = bounded %}').parsed.body;

/** Parses a template. Throws SyntaxError; template_limit for one that is too long or too deep. */
export function compileTemplate(source: string): CompiledTemplate {
  if (source.length > MAX_TEMPLATE_CHARACTERS) throw tooMuch('is longer than 1 MiB');
  const template = parse(source);
  template.parsed.body.unshift(...PROLOGUE);
  return { render: (values) => atDepth(() => template.render({ ...values, bounded: boundedRange })) };
}

function parse(source: string): Template {
  return atDepth(() => new Template(source));
}

/** Parser and interpreter call themselves for each level: what ends their stack is a limit, no fault of ours. */
function atDepth<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof RangeError) throw tooMuch('is nested too deeply, or makes texts or lists that are too long', error);
    throw error;
  }
}

const tooMuch = (what: string, cause?: unknown): HearthError => new HearthError('template_limit', `The chat template of this model ${what}.`, { cause });

function boundedRange(start: number, stop?: number, step = 1): number[] {
  const [from, to] = stop === undefined ? [0, start] : [start, stop];
  if (![from, to, step].every(Number.isFinite) || step === 0) throw new Error('range() takes numbers, and no step of 0');
  const length = Math.max(0, Math.ceil((to - from) / step));
  if (length > MAX_RANGE) throw tooMuch(`counts to more than ${MAX_RANGE.toLocaleString('en')} at once`);
  return Array.from({ length }, (_, index) => from + index * step);
}
