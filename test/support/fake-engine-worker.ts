/*
 * A worker process that speaks the worker protocol (docs/spec/engines.md §1.4) without a model. It answers `echo: <last message or prompt>`,
 * one word per token, round robin over the requests that run, one token each per step. Flags make it misbehave; see FakeEngineFlags.
 */
import { closeSync, writeSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { Worker } from 'node:worker_threads';
import { openParentChannel } from '../../src/engines/protocol/parent-channel.ts';
import type { ToWorker, WorkerGenerateRequest } from '../../src/engines/protocol/to-worker.ts';
import { PROTOCOL_VERSION } from '../../src/engines/protocol/to-worker.ts';
import { createStopMatcher } from '../../src/engines/text/stop-matcher.ts';

const { values: flags } = parseArgs({
  options: {
    'hearth-launch': { type: 'string' },
    'context-tokens': { type: 'string', default: '2048' },
    parallel: { type: 'string', default: '4' },
    'token-ms': { type: 'string', default: '0' },
    'prefill-ms': { type: 'string', default: '0' },
    reply: { type: 'string' },
    'ready-after': { type: 'string', default: '0' },
    'ignore-term': { type: 'boolean', default: false },
    'die-after-tokens': { type: 'string' },
    stall: { type: 'string' },
    garbage: { type: 'string' },
    'drop-channel': { type: 'string' },
    'hang-load': { type: 'boolean', default: false },
    'fail-load': { type: 'string' },
    'silent-hello': { type: 'boolean', default: false },
    take: { type: 'string' },
    'take-after': { type: 'string', default: '0' },
  },
});

const contextTokens = Number(flags['context-tokens']);
const parallel = Number(flags.parallel);
const startedAt = Date.now();

interface Choice {
  readonly sequence: number;
  readonly choice: number;
  readonly words: string[];
  readonly matcher: ReturnType<typeof createStopMatcher>;
  maxTokens: number;
  made: number;
}
interface Request {
  promptTokens: number;
  open: number;
  completionTokens: number;
}

const requests = new Map<number, Request>();
const waiting: Choice[] = [];
let running: Choice[] = [];
const batchSizes: number[] = [];
let generated = 0;
let steps = 0;
let scheduled = false;

const wordsOf = (text: string): string[] => text.match(/\s*\S+|\s+$/g) ?? [];
const promptOf = (request: WorkerGenerateRequest): string =>
  request.prompt ??
  request.messages
    ?.at(-1)
    ?.content.map((part) => part.text)
    .join('') ??
  (request.tokens ?? []).map((id) => ` ${id}`).join('');

const channel = openParentChannel((message) => receive(message));
channel.watchParent();
if (!flags['silent-hello']) channel.send({ kind: 'hello', version: PROTOCOL_VERSION, build: 'fake', device: 'none' });
if (flags.garbage === 'hello') writeSync(3, 'this is no message\n');
process.on('SIGTERM', () => {
  if (!flags['ignore-term']) process.exit(0);
});
setInterval(() => {}, 1_000);

function receive(message: ToWorker): void {
  switch (message.kind) {
    case 'load':
      load();
      break;
    case 'generate':
      admit(message.sequence, message.request);
      break;
    case 'cancel':
      cancel(message.sequence);
      break;
    case 'tokenize':
      reply(
        message.id,
        [...(message.text ?? message.messages?.map((m) => m.content.map((part) => part.text).join('')).join('\n') ?? '')].map((c) => c.codePointAt(0)),
      );
      break;
    case 'detokenize':
      reply(message.id, message.tokens.map((code) => String.fromCodePoint(code)).join(''));
      break;
    case 'template':
      reply(message.id, message.messages.map((m) => `${m.role}: ${m.content.map((part) => part.text).join('')}\n`).join(''));
      break;
    case 'stats':
      reply(message.id, {
        memory: { weightsBytes: 1, kvBytes: 1, computeBytes: 1, processBytes: 1 },
        running: running.length,
        waiting: waiting.length,
        promptTokensComputed: 0,
        promptTokensCached: 0,
        generatedTokens: generated,
        steps,
        batchSizes: Array.from(batchSizes, (n) => n ?? 0),
        draftedTokens: 0,
        acceptedTokens: 0,
        lastStepMs: 0,
        lastProgressAtMs: Date.now(),
      });
      break;
    case 'embed':
    case 'rerank':
    case 'score':
    case 'adapter-load':
    case 'adapter-unload':
    case 'adapter-list':
      channel.send({ kind: 'error', id: message.id, code: 'not_implemented', message: 'The fake engine has no model.' });
      break;
    case 'end-reasoning':
      reply(message.id, false);
      break;
    case 'threads':
    case 'health':
    case 'clear':
      reply(message.id, null);
      break;
    case 'stop':
      if (!flags['ignore-term']) process.exit(0);
  }
}

function reply(id: number, value: unknown): void {
  channel.send({ kind: 'reply', id, value });
}

function load(): void {
  if (flags['fail-load'] !== undefined) {
    channel.send({ kind: 'error', code: 'model_load_failed', message: flags['fail-load'] });
    return;
  }
  channel.send({ kind: 'load-progress', doneBytes: 50, totalBytes: 100 });
  if (flags['hang-load']) return;
  setTimeout(() => {
    channel.send({ kind: 'load-progress', doneBytes: 100, totalBytes: 100 });
    channel.send({
      kind: 'ready',
      report: {
        version: 'fake',
        device: 'none',
        contextTokens,
        modelContextTokens: contextTokens,
        parallelSequences: parallel,
        ranks: 1,
        measured: { weightsBytes: 1, kvBytes: 1, computeBytes: 1, processBytes: 1 },
        loadMs: Date.now() - startedAt,
      },
    });
  }, Number(flags['ready-after']));
}

function admit(sequence: number, request: WorkerGenerateRequest): void {
  const prompt = promptOf(request);
  const promptTokens = wordsOf(prompt).length;
  if (promptTokens >= contextTokens) {
    channel.send({
      kind: 'error',
      sequence,
      code: 'context_length_exceeded',
      message: `The prompt has ${promptTokens} tokens; the context holds ${contextTokens}.`,
    });
    return;
  }
  requests.set(sequence, { promptTokens, open: request.choices, completionTokens: 0 });
  channel.send({ kind: 'start', sequence, promptTokens, cachedTokens: 0 });
  const prefillMs = promptTokens < LONG_PROMPT ? 0 : Number(flags['prefill-ms']);
  if (prefillMs > 0) prefill(sequence, promptTokens, prefillMs, 1, () => enter(sequence, request, prompt, promptTokens));
  else enter(sequence, request, prompt, promptTokens);
}

/** Words of a prompt that --prefill-ms is for. */
const LONG_PROMPT = 20;
const PREFILL_STEPS = 10;

function prefill(sequence: number, promptTokens: number, ms: number, step: number, then: () => void): void {
  setTimeout(() => {
    if (!requests.has(sequence)) return;
    if (step === PREFILL_STEPS) return then();
    channel.send({ kind: 'prefill-progress', sequence, doneTokens: Math.floor((promptTokens * step) / PREFILL_STEPS), totalTokens: promptTokens });
    prefill(sequence, promptTokens, ms, step + 1, then);
  }, ms / PREFILL_STEPS);
}

function enter(sequence: number, request: WorkerGenerateRequest, prompt: string, promptTokens: number): void {
  for (let choice = 0; choice < request.choices; choice++) {
    waiting.push({
      sequence,
      choice,
      words: wordsOf(flags.reply ?? `echo: ${prompt}`),
      matcher: createStopMatcher(request.stop),
      maxTokens: Math.min(request.maxTokens ?? contextTokens, contextTokens - promptTokens),
      made: 0,
    });
  }
  channel.send({ kind: 'prefill-progress', sequence, doneTokens: promptTokens, totalTokens: promptTokens });
  schedule();
}

function cancel(sequence: number): void {
  running = running.filter((choice) => choice.sequence !== sequence);
  for (let i = waiting.length - 1; i >= 0; i--) if (waiting[i]?.sequence === sequence) waiting.splice(i, 1);
  requests.delete(sequence);
}

function schedule(): void {
  if (scheduled) return;
  scheduled = true;
  setTimeout(step, Number(flags['token-ms']));
}

function step(): void {
  scheduled = false;
  while (running.length < parallel && waiting.length > 0) running.push(waiting.shift() as Choice);
  if (running.length === 0) return;
  steps++;
  batchSizes[running.length] = (batchSizes[running.length] ?? 0) + 1;
  for (const choice of [...running]) emit(choice);
  if (flags['drop-channel'] !== undefined && generated >= Number(flags['drop-channel'])) {
    closeSync(3);
    return;
  }
  if (flags.stall === undefined || generated < Number(flags.stall)) schedule();
}

function emit(choice: Choice): void {
  const word = choice.words[choice.made];
  const { sequence } = choice;
  if (word === undefined) {
    finish(choice, 'stop', choice.matcher.flush());
    return;
  }
  choice.made++;
  generated++;
  const request = requests.get(sequence);
  if (request !== undefined) request.completionTokens++;
  const out = choice.matcher.push(word);
  if (out.stopString !== undefined) {
    finish(choice, 'stop', out);
    return;
  }
  channel.send({ kind: 'step', sequence, choice: choice.choice, tokens: [choice.made], text: out.text });
  if (flags['die-after-tokens'] !== undefined && generated >= Number(flags['die-after-tokens'])) {
    process.stderr.write('the fake engine was told to die here\n');
    process.exit(7);
  }
  if (flags.take !== undefined && generated >= Number(flags['take-after'])) take(flags.take);
  if (flags.garbage !== undefined && generated >= Number(flags.garbage)) writeSync(3, '{"kind":"step","sequence":"no"}\n');
  if (choice.made >= choice.maxTokens) finish(choice, 'length', choice.matcher.flush());
}

function finish(choice: Choice, reason: 'stop' | 'length', last: { text: string; stopString?: string }): void {
  const { sequence } = choice;
  running = running.filter((other) => other !== choice);
  if (last.text !== '') channel.send({ kind: 'step', sequence, choice: choice.choice, tokens: [], text: last.text });
  channel.send({
    kind: 'finish',
    sequence,
    choice: choice.choice,
    reason: last.stopString === undefined ? reason : 'stop',
    ...(last.stopString === undefined ? {} : { stopString: last.stopString }),
  });
  const request = requests.get(sequence);
  if (request === undefined || --request.open > 0) return;
  requests.delete(sequence);
  channel.send({
    kind: 'done',
    sequence,
    promptTokens: request.promptTokens,
    cachedTokens: 0,
    completionTokens: request.completionTokens,
    reasoningTokens: 0,
  });
}

/** Takes ever more, as a program that runs away does; it goes on answering meanwhile. */
const taken: unknown[] = [];
function take(what: string): void {
  if (taken.length > 0) return;
  taken.push(what);
  setInterval(() => {
    if (what === 'memory') taken.push(Buffer.alloc(64 * 1024 * 1024, 1));
    else if (what === 'threads') taken.push(new Worker('setInterval(() => {}, 1000)', { eval: true }));
    else if (what === 'output') process.stdout.write('x'.repeat(65_536));
    else for (const until = performance.now() + 15; performance.now() < until; );
  }, 20);
}
