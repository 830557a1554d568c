import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { createApi, listen } from '../../src/api/index.ts';
import { type Clock, systemClock } from '../../src/core/index.ts';
import { createGateway } from '../../src/gateway/index.ts';
import { createLogger } from '../../src/telemetry/index.ts';
import { fakeModels } from '../../test/support/http-fixture.ts';
import { createInProcessEngine, processlessSupervisor } from '../../test/support/in-process-engine.ts';

export interface SoakOptions {
  readonly requests: number;
  /** The first look at the memory is after so many. */
  readonly warmUp: number;
  readonly clients: number;
  /** How far the product's clock goes with each request, besides the real time. */
  readonly skipMsPerRequest: number;
  /** Stop earlier: no more requests after this time. */
  readonly budgetMs?: number;
  readonly onProgress?: (done: number, residentMib: number) => void;
}

export interface SoakReport {
  readonly requests: number;
  readonly outcomes: Readonly<Record<string, number>>;
  readonly unhandledRejections: number;
  readonly firstMib: { readonly resident: number; readonly heap: number };
  readonly lastMib: { readonly resident: number; readonly heap: number };
  /** Resident memory at the end ÷ after the warm-up: what P2 bounds. */
  readonly residentRatio: number;
  readonly heapRatio: number;
  readonly stillRunning: number;
  readonly clockHours: number;
  readonly seconds: number;
}

const LOOKS = 5;
const SETTLE_MS = 400;

/** What a client does with a request: of a hundred, so many. */
const MIX = [
  ['json', 50],
  ['stream', 40],
  ['leave-early', 4],
  ['unknown-model', 2],
  ['broken-body', 2],
  ['leave-at-once', 1],
  ['cut-body', 1],
] as const;
type Kind = (typeof MIX)[number][0];
const KINDS: readonly Kind[] = MIX.flatMap(([kind, count]) => Array.from({ length: count }, () => kind));

/** Requests of every kind against gateway, API and listener around an engine that computes nothing; clients come and go as real ones do. */
export async function soakMock(options: SoakOptions): Promise<SoakReport> {
  let done = 0;
  const clock: Clock = {
    now: () => systemClock.now() + done * options.skipMsPerRequest,
    monotonic: () => systemClock.monotonic() + done * options.skipMsPerRequest,
  };
  let unhandledRejections = 0;
  const onRejection = (): void => {
    unhandledRejections += 1;
  };
  process.on('unhandledRejection', onRejection);
  const logger = createLogger({ level: 'info', json: true, userHome: '/home/soak', output: { write: () => true } });
  const engine = createInProcessEngine({ tokens: 4 });
  const gateway = createGateway({ models: fakeModels(['mock']), engines: [engine], supervisor: processlessSupervisor, parallelSequences: 4096, logger, clock });
  const api = createApi({ gateway, store: {} as never, version: 'soak', logger, clock });
  const listener = await listen(api, { port: 0 });
  const messages = messagesFor(listener.port!);
  const outcomes: Record<string, number> = {};
  const start = performance.now();
  let sent = 0;
  const more = (): boolean => options.budgetMs === undefined || performance.now() - start < options.budgetMs;

  async function client(until: number): Promise<void> {
    let socket: Socket | null = null;
    while (sent < until && more()) {
      const kind = KINDS[(sent * 37) % KINDS.length]!;
      sent += 1;
      if (socket === null || socket.destroyed) socket = await open(listener.port!);
      const outcome = await ask(socket, kind, messages[kind]);
      outcomes[`${kind}: ${outcome}`] = (outcomes[`${kind}: ${outcome}`] ?? 0) + 1;
      done += 1;
      if (done % 10_000 === 0) options.onProgress?.(done, process.memoryUsage.rss() / 2 ** 20);
    }
    socket?.destroy();
  }
  const running = (): number => gateway.snapshot().models.reduce((sum, model) => sum + model.inFlight + model.waiting, 0);
  /** Memory once all is still: what clients left behind is noticed within a moment. */
  async function askUntil(count: number): Promise<SoakReport['firstMib']> {
    await Promise.all(Array.from({ length: options.clients }, () => client(count)));
    for (let i = 0; i < 100 && running() > 0; i += 1) await sleep(20);
    return await leastMemory();
  }
  const firstMib = await askUntil(options.warmUp);
  const last = await askUntil(options.requests);
  const stillRunning = running();
  const clockHours = (clock.monotonic() - start) / 3_600_000;
  await listener.close();
  await gateway.close({ drainTimeoutMs: 0 });
  process.off('unhandledRejection', onRejection);
  return {
    requests: done,
    outcomes,
    unhandledRejections,
    firstMib,
    lastMib: last,
    residentRatio: last.resident / firstMib.resident,
    heapRatio: last.heap / firstMib.heap,
    stillRunning,
    clockHours,
    seconds: (performance.now() - start) / 1000,
  };
}

/** The least of some looks, each after a collection: what was freed goes back to the system by and by. */
async function leastMemory(): Promise<SoakReport['firstMib']> {
  const looks: SoakReport['firstMib'][] = [];
  for (let look = 0; look < LOOKS; look += 1) {
    (globalThis as { gc?: () => void }).gc?.();
    await sleep(SETTLE_MS);
    const { rss, heapUsed } = process.memoryUsage();
    looks.push({ resident: rss / 2 ** 20, heap: heapUsed / 2 ** 20 });
  }
  return { resident: Math.min(...looks.map(({ resident }) => resident)), heap: Math.min(...looks.map(({ heap }) => heap)) };
}

function messagesFor(port: number): Readonly<Record<Kind, string>> {
  const message = (body: string, length = Buffer.byteLength(body)): string =>
    `POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:${port}\r\ncontent-type: application/json\r\ncontent-length: ${length}\r\n\r\n${body}`;
  const chat = (model: string, more: object = {}): string => JSON.stringify({ model, messages: [{ role: 'user', content: 'Say something.' }], ...more });
  return {
    json: message(chat('mock')),
    stream: message(chat('mock', { stream: true })),
    'leave-early': message(chat('mock', { stream: true })),
    'leave-at-once': message(chat('mock', { stream: true })),
    'unknown-model': message(chat('nobody')),
    'broken-body': message('{"model": "mock", "messages": ['),
    'cut-body': message('{"model"', 500),
  };
}

const open = (port: number): Promise<Socket> =>
  new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port, noDelay: true }, () => resolve(socket));
    socket.setEncoding('utf8');
    socket.once('error', reject);
    socket.on('error', () => {});
  });

/** Sends one request and answers its status, or how it ended otherwise. */
function ask(socket: Socket, kind: Kind, message: string): Promise<string> {
  return new Promise((resolve) => {
    let text = '';
    const settle = (outcome: string): void => {
      socket.off('data', onData);
      socket.off('close', onClose);
      resolve(outcome);
    };
    const leave = (): void => {
      socket.destroy();
      settle('left');
    };
    const onClose = (): void => settle('closed');
    const onData = (piece: string): void => {
      text += piece;
      if (kind === 'leave-early') {
        leave();
        return;
      }
      const end = text.indexOf('\r\n\r\n');
      if (end < 0) return;
      const head = text.slice(0, end).toLowerCase();
      const length = /\r\ncontent-length: (\d+)/.exec(head);
      if (length === null ? !text.endsWith('0\r\n\r\n') : Buffer.byteLength(text) - end - 4 < Number(length[1])) return;
      if (kind === 'stream' && head.startsWith('http/1.1 200') && !text.includes('[DONE]')) settle('200 without an end');
      else settle(head.slice(9, 12));
    };
    socket.on('data', onData);
    socket.once('close', onClose);
    socket.write(message, () => {
      if (kind === 'leave-at-once' || kind === 'cut-body') leave();
    });
  });
}
