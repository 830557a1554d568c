import { anything, either, flag, kinds, list, number, object, oneOf, record, type ShapeOf, text, whole } from './shape.ts';

/** Of the messages between an engine session and its worker process (docs/spec/engines.md §1.4). */
export const PROTOCOL_VERSION = 1;

const count = whole();
const tokens = list(count);
const chatMessage = object(
  { role: oneOf('system', 'user', 'assistant', 'tool'), content: list(object({ kind: oneOf('text'), text: text() })) },
  {
    name: text(),
    toolCallId: text(),
    toolCalls: list(object({ id: text(), name: text(), arguments: text() })),
    failed: flag,
    reasoning: text(),
  },
);
const tool = object({ name: text(1) }, { description: text(), parameters: record(anything), strict: flag });
const toolUse = object({
  definitions: list(tool),
  choice: either(oneOf('none', 'auto', 'required'), object({ name: text() })),
  parallel: flag,
});
const answerFormat = kinds({
  json: object({}),
  'json-schema': object({ schema: anything }),
  grammar: object({ text: text() }),
});
const sampling = object(
  {
    temperature: number(0),
    topK: count,
    topP: number(Number.MIN_VALUE, 1),
    minP: number(0, 1),
    repetitionPenalty: number(Number.MIN_VALUE),
    repetitionContextSize: count,
    presencePenalty: number(),
    frequencyPenalty: number(),
    xtcProbability: number(0, 1),
    xtcThreshold: number(0, 1),
    logitBias: record(number(), /^\d+$/),
  },
  { seed: number() },
);
const templateArguments = record(anything);
const reasoning = object({}, { budgetTokens: count });
const generateRequest = object(
  { requestId: text(), stop: list(text(1)), sampling, choices: whole(1) },
  {
    messages: list(chatMessage),
    prompt: text(),
    tokens,
    templateArguments,
    maxTokens: whole(1),
    stopAtRoleMarks: flag,
    logprobs: whole(0, 20),
    tools: toolUse,
    format: answerFormat,
    reasoning,
    adapter: object({ name: text(), scale: number(0, 2) }),
    cacheSalt: text(0, 256),
  },
);

const id = count;
const toWorker = kinds({
  load: object({ options: record(anything) }),
  /** With `credit`, so many tokens are made before its reader has to be heard of; absent: all of them. */
  generate: object({ sequence: id, request: generateRequest }, { credit: whole(1) }),
  /** The reader took so many tokens. */
  credit: object({ sequence: id, tokens: whole(1) }),
  cancel: object({ sequence: id }),
  /** Answered with whether a reasoning part was open. */
  'end-reasoning': object({ id, sequence: id }),
  tokenize: object({ id }, { text: text(), addSpecial: flag, parseSpecial: flag, messages: list(chatMessage), templateArguments, tools: toolUse, reasoning }),
  detokenize: object({ id, tokens }),
  template: object({ id, messages: list(chatMessage) }, { templateArguments }),
  embed: object({ id, inputs: list(either(text(), tokens), 1) }, { pooling: oneOf('cls', 'mean', 'last'), prompt: text(), truncate: flag }),
  rerank: object({ id, query: text(), documents: list(text(), 1) }),
  score: object({ id, tokens: list(count, 2) }),
  'adapter-load': object({ id, name: text(1, 256), directory: text(1, 1024) }),
  'adapter-unload': object({ id, name: text() }),
  'adapter-list': object({ id }),
  threads: object({ id, threads: whole(1) }),
  stats: object({ id }),
  health: object({ id }),
  clear: object({ id }),
  stop: object({}),
});

/** Messages to the worker. `sequence` names one generate request, `id` one question that is answered by `reply` or by an `error` with that id. */
export type ToWorker = ShapeOf<typeof toWorker>;
export type WorkerGenerateRequest = ShapeOf<typeof generateRequest>;

/** Throws TypeError on whatever is not such a message. */
export const readToWorker = (message: unknown): ToWorker => toWorker(message, 'the message');
