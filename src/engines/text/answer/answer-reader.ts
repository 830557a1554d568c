import { randomInt } from 'node:crypto';
import type { AnswerPart, InvalidToolCall, ToolDefinition } from '../../../contract/index.ts';
import { isJsonObject } from '../../../core/index.ts';
import { parsed, type SectionReading, type ToolFamily } from '../tools/index.ts';
import { scanMarks } from './marks.ts';

export interface ReasoningMarks {
  readonly open: string;
  readonly close: string;
  /** What closes the part and leads on to the answer, where a budget ends it. */
  readonly forced: string;
}

export interface ReaderOptions {
  readonly stops: readonly string[];
  /** null: no part of the answer is reasoning. */
  readonly reasoning?: {
    readonly pairs: readonly ReasoningMarks[];
    readonly inside: ReasoningMarks | null;
    /** Marks that say which part follows: the parts may come in any order, and these are no text. */
    readonly headers?: readonly string[];
  } | null;
  readonly tools?: {
    readonly family: ToolFamily;
    readonly definitions: readonly ToolDefinition[];
    /** The text is constrained, so that what has begun as a call will be one: its arguments are told as they come. */
    readonly constrained: boolean;
  } | null;
}

/** What became of the text, in its order. `skip`: so many characters are no content. */
export type ReaderOutput =
  | Exclude<AnswerPart, { kind: 'text-delta' }>
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'skip'; readonly length: number };

export interface AnswerReader {
  /** Takes whole characters. Nothing may be pushed after a stop string. */
  push(text: string): { readonly parts: readonly ReaderOutput[]; readonly stopString?: string };
  /** What is held, when the answer ends for another reason. */
  flush(): { readonly parts: readonly ReaderOutput[]; readonly stopString?: string };
  /** The reasoning part was closed for the model: the next mark that closes one is the model's own end of it, and no content. */
  closedForModel(): void;
  readonly inReasoning: boolean;
  readonly calls: number;
  readonly invalidToolCalls: readonly InvalidToolCall[];
}

type Mode = 'start' | 'reasoning' | 'content' | 'tools';

/** Tells the parts of an answer's text apart: content, reasoning, tool calls, stop strings (docs/spec/serving.md §3.1). */
export function createAnswerReader(options: ReaderOptions): AnswerReader {
  const { stops } = options;
  const reasoning = options.reasoning ?? null;
  const tools = options.tools ?? null;
  const invalid: InvalidToolCall[] = [];
  const headers = reasoning?.headers ?? [];
  const plain = headers.length > 0 || ((reasoning?.pairs ?? []).length === 0 && tools?.family.opensAnswer === undefined);
  let mode: Mode = reasoning?.inside ? 'reasoning' : plain ? 'content' : 'start';
  let marks = reasoning?.inside ?? null;
  let held = '';
  /** White space that is content only if content follows. */
  let space = '';
  /** White space at the beginning of a part is dropped. */
  let dropSpace = mode === 'reasoning';
  let open = '';
  let told: { readonly name: string; sent: number; done: boolean }[] = [];
  let calls = 0;
  /** What the model may write to end a part that was closed for it. */
  let late: string | null = null;
  let parts: ReaderOutput[] = [];
  let stopString: string | undefined;

  const skip = (length: number): void => {
    if (length > 0) parts.push({ kind: 'skip', length });
  };
  const take = (length: number): string => {
    const text = held.slice(0, length);
    held = held.slice(length);
    return text;
  };

  /** Content, or reasoning. Trailing white space waits for what follows. */
  function write(text: string): void {
    let rest = text;
    if (dropSpace) {
      rest = text.trimStart();
      skip(text.length - rest.length);
      if (rest === '') return;
      dropSpace = false;
    }
    const waits = mode === 'reasoning' || tools !== null;
    const body = waits ? rest.trimEnd() : rest;
    if (body === '') {
      space += rest;
      return;
    }
    emit(space + body);
    space = rest.slice(body.length);
  }
  function emit(text: string): void {
    if (text === '') return;
    if (mode === 'reasoning') {
      parts.push({ kind: 'reasoning-delta', text });
      skip(text.length);
    } else parts.push({ kind: 'text', text });
  }
  const dropHeldSpace = (): void => {
    skip(space.length);
    space = '';
  };

  /** One step through `held`; false when more text is needed. */
  function advance(ended: boolean): boolean {
    if (held === '') return false;
    if (mode === 'start') return start(ended);
    if (mode === 'tools') return readCalls(ended);
    const pairs = headers.length > 0 && mode === 'content' ? reasoning!.pairs : [];
    const between = late === null ? headers : [...headers, late];
    const close = mode === 'reasoning' ? [marks!.close] : [...(tools?.family.opens ?? []), ...between, ...pairs.map((pair) => pair.open)];
    const { found, safe } = scanMarks(held, [...close, ...stops], ended);
    write(take(safe));
    if (found === null) return false;
    if (!close.includes(found.mark)) {
      stopString = found.mark;
      return false;
    }
    if (mode === 'reasoning') {
      dropHeldSpace();
      skip(take(found.mark.length).length);
      mode = 'content';
      dropSpace = true;
    } else if (tools?.family.opens.includes(found.mark)) enterTools(found.mark);
    else {
      if (found.mark === late) late = null;
      skip(take(found.mark.length).length);
      const pair = pairs.find(({ open: mark }) => mark === found.mark);
      if (pair !== undefined) {
        marks = pair;
        mode = 'reasoning';
      }
      dropSpace = true;
    }
    return held !== '';
  }

  /** The beginning of an answer: a reasoning part, a call without a mark, or content. */
  function start(ended: boolean): boolean {
    const text = held.trimStart();
    const lead = held.length - text.length;
    if (text === '' && !ended && scanMarks(held, stops).found === null) return false;
    const pairs = reasoning?.pairs ?? [];
    const pair = pairs.find(({ open: mark }) => text.startsWith(mark));
    if (pair !== undefined) {
      skip(take(lead + pair.open.length).length);
      marks = pair;
      mode = 'reasoning';
      dropSpace = true;
      return true;
    }
    if (!ended && pairs.some(({ open: mark }) => mark.startsWith(text))) return false;
    mode = 'content';
    const opens = tools?.family.opensAnswer;
    if (opens !== undefined && text.startsWith(opens)) {
      space += take(lead);
      enterTools(opens);
    }
    return true;
  }

  function enterTools(mark: string): void {
    open = mark;
    mode = 'tools';
    told = [];
    held = held.slice(mark.length);
  }

  function readCalls(ended: boolean): boolean {
    const { family, definitions, constrained } = tools!;
    const reading = family.read(held, open, definitions, ended);
    const broken = reading.problem ?? problemOf(reading, ended);
    if (broken !== null && told.length === 0) {
      giveUp(reading, broken);
      return held !== '';
    }
    const done = reading.end !== null || ended;
    for (const [i, call] of reading.calls.entries()) if (constrained || done || told[i] !== undefined) tell(i, call, constrained);
    if (!done) return false;
    dropHeldSpace();
    skip(open.length + take(reading.end ?? held.length).length);
    mode = 'content';
    dropSpace = true;
    return held !== '';
  }

  /** Calls that were told cannot be taken back; before that, what is no call is text. */
  function problemOf(reading: SectionReading, ended: boolean): string | null {
    if (tools!.constrained) return null;
    const wrong = reading.calls.find(({ args, complete }) => complete && !isJsonObject(parsed(args)));
    if (wrong !== undefined) return 'the arguments are not a JSON object';
    return ended && reading.end === null && !reading.calls.every(({ complete }) => complete) ? 'the call is not complete' : null;
  }

  function giveUp(reading: SectionReading, reason: string): void {
    invalid.push({ name: reading.calls[0]?.name ?? null, raw: open + held, reason });
    mode = 'content';
    const text = open + take(reading.end ?? held.length);
    dropSpace = false;
    emit(space + text);
    space = '';
  }

  function tell(i: number, call: { readonly name: string; readonly args: string; readonly complete: boolean }, asItComes: boolean): void {
    let known = told[i];
    if (known === undefined) {
      known = { name: call.name, sent: 0, done: false };
      told.push(known);
      parts.push({ kind: 'tool-start', toolIndex: calls++, id: newCallId(), name: call.name });
    }
    if (known.done) return;
    const toolIndex = calls - told.length + i;
    const rest = call.args.slice(known.sent);
    // Known as a whole: still told in pieces, as clients expect.
    const size = asItComes ? rest.length : 64;
    for (let at = 0; at < rest.length; at += size) parts.push({ kind: 'tool-delta', toolIndex, argumentsJson: rest.slice(at, at + size) });
    known.sent = call.args.length;
    if (!call.complete) return;
    known.done = true;
    parts.push({ kind: 'tool-end', toolIndex });
  }

  const result = (): { parts: ReaderOutput[]; stopString?: string } => {
    const out = parts;
    parts = [];
    return stopString === undefined ? { parts: out } : { parts: out, stopString };
  };
  return {
    push(text) {
      held += text;
      while (stopString === undefined && advance(false));
      if (stopString !== undefined) finish();
      return result();
    },
    flush() {
      while (stopString === undefined && advance(true));
      finish();
      return result();
    },
    closedForModel() {
      if (headers.length === 0) late = marks?.close ?? null;
    },
    get inReasoning() {
      return mode === 'reasoning';
    },
    get calls() {
      return calls;
    },
    get invalidToolCalls() {
      return invalid;
    },
  };

  function finish(): void {
    // Behind calls and behind reasoning white space is nobody's.
    if (mode !== 'reasoning' && calls === 0) emit(space);
    else skip(space.length);
    space = '';
    skip(held.length);
    held = '';
  }
}

const ID_CHARACTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';
const newCallId = (): string => `call_${Array.from({ length: 24 }, () => ID_CHARACTERS[randomInt(ID_CHARACTERS.length)]).join('')}`;
