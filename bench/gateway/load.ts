// Clients of a server that speaks OpenAI's chat API, over bare sockets, so that they cost little of the machine that is measured.
//   node bench/gateway/load.ts --port P --model M [--clients 16] [--rate 500] [--seconds 5] [--stream] [--key K]
// Prints one JSON object: requests, seconds, errors, and percentiles of the time to the first token and to the end, in milliseconds.

import { connect, type Socket } from 'node:net';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: {
    port: { type: 'string' },
    model: { type: 'string', default: 'mock' },
    clients: { type: 'string', default: '16' },
    /** Requests per second, whatever the answers do; absent: each client sends its next one when the last answer is there. */
    rate: { type: 'string' },
    seconds: { type: 'string', default: '5' },
    warmup: { type: 'string', default: '1' },
    stream: { type: 'boolean', default: false },
    key: { type: 'string' },
    tokens: { type: 'string', default: '16' },
  },
});

const body = JSON.stringify({
  model: values.model,
  messages: [
    { role: 'system', content: 'You are a helpful assistant.' },
    { role: 'user', content: 'Say a few words about the weather in the north of France today.' },
  ],
  max_tokens: Number(values.tokens),
  ...(values.stream ? { stream: true } : {}),
});
const message = Buffer.from(
  [
    'POST /v1/chat/completions HTTP/1.1',
    `host: 127.0.0.1:${values.port}`,
    'content-type: application/json',
    ...(values.key === undefined ? [] : [`authorization: Bearer ${values.key}`]),
    `content-length: ${Buffer.byteLength(body)}`,
    '',
    body,
  ].join('\r\n'),
);

const firstMs: number[] = [];
const endMs: number[] = [];
let errors = 0;
let lastError = '';
let counting = false;

interface Client {
  send(done: () => void): void;
  readonly busy: boolean;
  close(): void;
}

function openClient(): Client {
  let socket: Socket | null = null;
  let text = '';
  let sentAt = 0;
  let firstAt = 0;
  let done: (() => void) | null = null;

  const settle = (failure: string | null): void => {
    const next = done;
    if (next === null) return;
    done = null;
    const now = performance.now();
    if (counting) {
      if (failure === null) {
        endMs.push(now - sentAt);
        if (firstAt > 0) firstMs.push(firstAt - sentAt);
      } else {
        errors += 1;
        lastError = failure;
      }
    }
    if (failure !== null) {
      socket?.destroy();
      socket = null;
    }
    next();
  };

  const onData = (piece: string): void => {
    text += piece;
    if (firstAt === 0 && text.includes('tok')) firstAt = performance.now();
    const headEnd = text.indexOf('\r\n\r\n');
    if (headEnd < 0) return;
    const head = text.slice(0, headEnd).toLowerCase();
    const length = /\r\ncontent-length: (\d+)/.exec(head);
    const complete = length === null ? text.endsWith('0\r\n\r\n') && text.length > headEnd + 4 : Buffer.byteLength(text) - headEnd - 4 >= Number(length[1]);
    if (!complete) return;
    const ok = head.startsWith('http/1.1 200') && (!values.stream || text.includes('[DONE]')) && text.includes('tok');
    if (head.includes('connection: close')) {
      socket?.destroy();
      socket = null;
    }
    settle(ok ? null : text.slice(0, 400));
  };

  return {
    get busy() {
      return done !== null;
    },
    send(next) {
      done = next;
      text = '';
      firstAt = 0;
      if (socket === null || socket.destroyed) {
        socket = connect({ host: '127.0.0.1', port: Number(values.port), noDelay: true });
        socket.setEncoding('utf8');
        socket.on('data', onData);
        socket.on('error', (error) => settle(error.message));
        socket.on('close', () => settle('closed'));
      }
      sentAt = performance.now();
      socket.write(message);
    },
    close() {
      socket?.destroy();
    },
  };
}

const seconds = Number(values.seconds);
const warmup = Number(values.warmup);
let stopped = false;
const clients = Array.from({ length: Number(values.clients) }, openClient);
let late = 0;

const finished = new Promise<void>((resolve) => {
  if (values.rate === undefined) {
    let open = clients.length;
    for (const client of clients) {
      const again = (): void => {
        if (stopped) {
          open -= 1;
          if (open === 0) resolve();
        } else client.send(again);
      };
      again();
    }
    return;
  }
  const gap = 1000 / Number(values.rate);
  const start = performance.now();
  let sent = 0;
  const pump = (): void => {
    while (!stopped && sent * gap <= performance.now() - start) {
      sent += 1;
      let client = clients.find((each) => !each.busy);
      if (client === undefined) {
        client = openClient();
        clients.push(client);
        late += 1;
      }
      client.send(() => {});
    }
    if (!stopped) setTimeout(pump, 1);
    else if (clients.some((client) => client.busy)) setTimeout(pump, 5);
    else resolve();
  };
  pump();
});

await new Promise((resolve) => setTimeout(resolve, warmup * 1000));
counting = true;
const start = performance.now();
await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
const counted = endMs.length;
const elapsed = (performance.now() - start) / 1000;
stopped = true;
counting = values.rate !== undefined;
await Promise.race([finished, new Promise((resolve) => setTimeout(resolve, 5000))]);
for (const client of clients) client.close();

const sorted = (list: number[]): number[] => [...list].sort((a, b) => a - b);
const at = (list: number[], share: number): number => list[Math.min(list.length - 1, Math.floor(list.length * share))] ?? Number.NaN;
const spread = (list: number[]) => {
  const all = sorted(list);
  return { p50: at(all, 0.5), p90: at(all, 0.9), p99: at(all, 0.99) };
};
process.stdout.write(
  `${JSON.stringify({ requests: counted, seconds: elapsed, perSecond: counted / elapsed, errors, lastError, first: spread(firstMs), end: spread(endMs), extraClients: late })}\n`,
);
process.exit(0);
