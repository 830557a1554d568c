import { createHash } from 'node:crypto';
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';

/** What the mock got. */
export interface MockRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly bytes: Buffer;
  readonly body: Record<string, unknown>;
  readonly sha256: string;
  /** Settles when the connection of this request is closed by the other side before the answer was complete. */
  readonly aborted: Promise<void>;
}

/** How one request is answered; it may take its time, and do what no server should. */
export type MockAnswer = (response: ServerResponse, request: MockRequest) => void | Promise<void>;

export interface MockUpstream extends AsyncDisposable {
  readonly url: string;
  readonly requests: readonly MockRequest[];
  /** Connections so far. */
  readonly connections: number;
  /** Next requests, one answer each; the last one stays for all further ones. */
  script(...answers: MockAnswer[]): void;
}

/** A real HTTP server on a free port that answers as it is told. GET is 404 unless `get` has the path. */
export async function startMockUpstream(get: Readonly<Record<string, MockAnswer>> = {}): Promise<MockUpstream> {
  const requests: MockRequest[] = [];
  const sockets = new Set<Socket>();
  let answers: MockAnswer[] = [];
  let connections = 0;
  const server = createServer(async (incoming, response) => {
    const pieces: Buffer[] = [];
    for await (const piece of incoming) pieces.push(piece as Buffer);
    const bytes = Buffer.concat(pieces);
    const aborted = new Promise<void>((resolve) => response.on('close', () => !response.writableFinished && resolve()));
    const request: MockRequest = {
      method: incoming.method ?? '',
      path: incoming.url ?? '',
      headers: incoming.headers,
      bytes,
      body: bytes.byteLength > 0 ? JSON.parse(bytes.toString()) : {},
      sha256: createHash('sha256').update(bytes).digest('hex'),
      aborted,
    };
    if (request.method === 'GET') return await (get[request.path] ?? status(404, { error: 'no such path' }))(response, request);
    requests.push(request);
    const answer = answers.length > 1 ? answers.shift() : answers[0];
    await (answer ?? status(500, { error: { message: 'the mock has no answer' } }))(response, request);
  });
  server.on('connection', (socket) => {
    connections += 1;
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    get connections() {
      return connections;
    },
    script(...next) {
      answers = next;
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

export const json =
  (body: unknown, headers: Readonly<Record<string, string>> = {}): MockAnswer =>
  (response) => {
    response.writeHead(200, { 'content-type': 'application/json', ...headers });
    response.end(typeof body === 'string' ? body : JSON.stringify(body));
  };

export const status =
  (code: number, body: unknown, headers: Readonly<Record<string, string>> = {}): MockAnswer =>
  (response) => {
    response.writeHead(code, { 'content-type': typeof body === 'string' ? 'text/html' : 'application/json', ...headers });
    response.end(typeof body === 'string' ? body : JSON.stringify(body));
  };

/** One step of a stream: text that goes out, milliseconds to wait, or an end that is none. */
export type Step = string | Uint8Array | number | 'CUT' | 'STALL';

/** A stream by its steps; `CUT` breaks the connection, `STALL` leaves it open for good. */
export const stream =
  (steps: readonly Step[], { type = 'text/event-stream', splitEvery }: { readonly type?: string; readonly splitEvery?: number } = {}): MockAnswer =>
  async (response) => {
    response.writeHead(200, { 'content-type': type, 'cache-control': 'no-cache' });
    response.flushHeaders();
    for (const step of steps) {
      if (response.destroyed) return;
      if (step === 'STALL') return;
      if (step === 'CUT') {
        await pause(5);
        response.destroy();
        return;
      }
      if (typeof step === 'number') await pause(step);
      else await write(response, typeof step === 'string' ? Buffer.from(step) : step, splitEvery);
    }
    response.end();
  };

async function write(response: ServerResponse, bytes: Uint8Array, splitEvery = bytes.byteLength): Promise<void> {
  for (let at = 0; at < bytes.byteLength; at += splitEvery) {
    response.write(bytes.subarray(at, at + splitEvery));
    if (splitEvery < bytes.byteLength) await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Closes the connection without a word. */
export const hangUp: MockAnswer = (response) => void response.destroy();

/** Takes the request and says nothing. */
export const silent: MockAnswer = () => {};

/** Chunks of a chat stream in the form of the OpenAI API reference ("Chat", "The chat completion chunk object"). */
export const chat = {
  head: (model = 'up') => chunk({ role: 'assistant', content: '' }, null, model),
  text: (content: string, index = 0) => chunk({ content }, null, 'up', index),
  finish: (reason = 'stop', index = 0) => chunk({}, reason, 'up', index),
  usage: (prompt = 9, completion = 4, cached = 3) =>
    data({ id: 'c1', object: 'chat.completion.chunk', created: 1, model: 'up', choices: [], usage: usage(prompt, completion, cached) }),
  done: 'data: [DONE]\n\n',
};

export const data = (value: unknown): string => `data: ${JSON.stringify(value)}\n\n`;
export const chunk = (delta: unknown, finish_reason: string | null = null, model = 'up', index = 0): string =>
  data({ id: 'c1', object: 'chat.completion.chunk', created: 1, model, choices: [{ index, delta, finish_reason, logprobs: null }] });

const usage = (prompt: number, completion: number, cached: number) => ({
  prompt_tokens: prompt,
  completion_tokens: completion,
  total_tokens: prompt + completion,
  prompt_tokens_details: { cached_tokens: cached },
  completion_tokens_details: { reasoning_tokens: 0 },
});

/** A good stream of the given pieces of text. */
export const goodChat = (...texts: string[]): string[] => [chat.head(), ...texts.map((text) => chat.text(text)), chat.finish(), chat.usage(), chat.done];

export const chatReply = (content: string, more: Readonly<Record<string, unknown>> = {}, finish = 'stop') => ({
  id: 'c1',
  object: 'chat.completion',
  created: 1,
  model: 'up',
  choices: [{ index: 0, message: { role: 'assistant', content, refusal: null, ...more }, finish_reason: finish, logprobs: null }],
  usage: usage(9, 4, 3),
});

/** One event of Anthropic's API ("Streaming messages"): its name is its type. */
export const named = (value: { readonly type: string } & Readonly<Record<string, unknown>>): string =>
  `event: ${value.type}\ndata: ${JSON.stringify(value)}\n\n`;

export const message = {
  start: named({
    type: 'message_start',
    message: {
      id: 'msg_1',
      type: 'message',
      role: 'assistant',
      model: 'up',
      content: [],
      stop_reason: null,
      stop_sequence: null,
      usage: { input_tokens: 6, cache_read_input_tokens: 3, cache_creation_input_tokens: 2, output_tokens: 1 },
    },
  }),
  open: (index: number, content_block: unknown) => named({ type: 'content_block_start', index, content_block }),
  delta: (index: number, delta: unknown) => named({ type: 'content_block_delta', index, delta }),
  close: (index: number) => named({ type: 'content_block_stop', index }),
  end: (stop_reason = 'end_turn', stop_sequence: string | null = null, output_tokens = 7) =>
    named({ type: 'message_delta', delta: { stop_reason, stop_sequence }, usage: { output_tokens } }),
  stop: named({ type: 'message_stop' }),
};

/** A good Anthropic stream with one text block. */
export const goodMessage = (...texts: string[]): string[] => [
  message.start,
  message.open(0, { type: 'text', text: '' }),
  ...texts.map((text) => message.delta(0, { type: 'text_delta', text })),
  message.close(0),
  message.end(),
  message.stop,
];
