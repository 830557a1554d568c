import { Socket } from 'node:net';
import { basename } from 'node:path';
import { parseArgs } from 'node:util';
import { createJsonLineReader, encodeJsonLine } from '../../src/core/index.ts';
import type { FromMlxWorker, ToMlxWorker } from '../../src/engines/mlx/messages.ts';

/*
 * Stands for the Python worker of mlx where there is none: it speaks the same messages, one token of each answer in a step. An answer is its
 * prompt over and over; with an adapter, backwards. A guided one takes the lowest token that is allowed.
 */
type Generate = Extract<ToMlxWorker, { kind: 'generate' }>;
interface Answer {
  readonly request: Generate;
  readonly choice: number;
  count: number;
  last: number | null;
  /** Waits for a mask. */
  asking: boolean;
}

const { values } = parseArgs({ strict: false, options: { 'model-directory': { type: 'string' } } });
const socket = new Socket({ fd: 3, readable: true, writable: true });
const send = (message: FromMlxWorker): void => void socket.write(encodeJsonLine(message));
socket.on('end', () => process.exit(0));
let answers: Answer[] = [];
const adapters = new Set<string>();
const batchSizes: number[] = [];
let generated = 0;
const MEMORY = { weightsBytes: 1, kvBytes: 1, computeBytes: 1, processBytes: 1 };

const reader = createJsonLineReader((raw) => receive(raw as ToMlxWorker));
socket.on('data', (bytes) => reader.push(bytes));
send({ kind: 'hello', version: 1, build: 'fake', device: 'cpu', view: basename(String(values['model-directory'])), layers: [] });
setInterval(step, 2);

function receive(message: ToMlxWorker): void {
  switch (message.kind) {
    case 'load':
      send({ kind: 'load-progress', doneBytes: 1, totalBytes: 1 });
      send({ kind: 'ready', vocabularySize: 256, report: report(message.options.contextTokens, message.options.parallelSequences) });
      break;
    case 'generate':
      if (message.adapter !== undefined && !adapters.has(message.adapter.name)) {
        send({ kind: 'error', sequence: message.sequence, code: 'adapter_not_found', message: `No adapter named ${message.adapter.name} is loaded.` });
        break;
      }
      send({ kind: 'start', sequence: message.sequence, promptTokens: message.tokens.length, cachedTokens: 0 });
      for (let choice = 0; choice < message.choices; choice++) answers.push({ request: message, choice, count: 0, last: null, asking: false });
      break;
    case 'cancel':
      answers = answers.filter(({ request }) => request.sequence !== message.sequence);
      break;
    // It makes few tokens.
    case 'credit':
      break;
    case 'drop':
      answers = answers.filter(({ request, choice }) => request.sequence !== message.sequence || choice !== message.choice);
      break;
    case 'mask': {
      const answer = answers.find(({ request, choice }) => request.sequence === message.sequence && choice === message.choice);
      if (answer === undefined) break;
      answer.asking = false;
      if (answer.count >= answer.request.maxTokens || answer.request.stopTokens.includes(answer.last ?? -1)) {
        answers = answers.filter((other) => other !== answer);
        break;
      }
      const bits = message.words === undefined ? null : Buffer.from(message.words, 'base64');
      const allowed = bits === null ? 0 : Array.from({ length: 256 }, (_, id) => id).find((id) => (bits[id >> 3]! >> (id & 7)) & 1);
      answer.last = message.forced ?? allowed ?? 0;
      answer.count++;
      generated++;
      break;
    }
    case 'adapter-load':
      adapters.add(message.name);
      send({ kind: 'reply', id: message.id, value: { name: message.name, kind: 'lora', rank: 1, modules: 1, fileBytes: 1, memoryBytes: 1, loadMs: 1 } });
      break;
    case 'adapter-unload':
      adapters.delete(message.name);
      send({ kind: 'reply', id: message.id, value: null });
      break;
    case 'stats':
      send({ kind: 'reply', id: message.id, value: stats() });
      break;
    case 'stop':
      process.exit(0);
      break;
    default:
      send({ kind: 'reply', id: message.id, value: null });
  }
}

function step(): void {
  const items: Extract<FromMlxWorker, { kind: 'tokens' }>['items'] = [];
  for (const answer of answers) {
    const { request, choice } = answer;
    const { sequence, tokens } = request;
    if (request.guided) {
      if (answer.asking) continue;
      answer.asking = true;
      send({ kind: 'ask', sequence, choice, count: answer.count, ...(answer.last === null ? {} : { token: { id: answer.last } }) });
      continue;
    }
    const at = answer.count++ % tokens.length;
    const id = tokens[request.adapter === undefined ? at : tokens.length - 1 - at]!;
    generated++;
    items.push({ sequence, choice, id });
  }
  if (items.length > 0) {
    batchSizes[items.length] = (batchSizes[items.length] ?? 0) + 1;
    send({ kind: 'tokens', items });
  }
  const ended = ({ request, count }: Answer, id: number | undefined): boolean =>
    count >= request.maxTokens || (id !== undefined && request.stopTokens.includes(id));
  answers = answers.filter(
    (answer) =>
      answer.request.guided || !ended(answer, items.find(({ sequence, choice }) => sequence === answer.request.sequence && choice === answer.choice)?.id),
  );
}

function stats(): object {
  const counts = { promptTokensComputed: 0, promptTokensCached: 0, steps: 1, draftedTokens: 0, acceptedTokens: 0, lastStepMs: 0, lastProgressAtMs: 0 };
  return { memory: MEMORY, running: answers.length, waiting: 0, generatedTokens: generated, batchSizes: Array.from(batchSizes, (n) => n ?? 0), ...counts };
}

function report(contextTokens: number, parallelSequences: number): Extract<FromMlxWorker, { kind: 'ready' }>['report'] {
  return { version: 'fake', device: 'cpu', contextTokens, modelContextTokens: contextTokens, parallelSequences, ranks: 1, measured: MEMORY, loadMs: 1 };
}
