import type { endpoints } from '../../contract/index.ts';
import { HearthError } from '../../core/index.ts';
import type { Frame } from '../../gateway/index.ts';
import { streamedFrames } from '../answer-response.ts';
import type { Handler } from '../bind.ts';
import type { DaemonControl, LogReader, Services } from '../services.ts';
import { OPENAI_EVENTS } from '../sse-dialect.ts';

const refuse = (): never => {
  throw new HearthError('not_implemented', 'This process is no daemon.');
};

/** The control of a process that ends with its command. */
export const NO_DAEMON: DaemonControl = {
  state: () => ({
    mode: 'in-process',
    desired: 'down',
    gateway: { state: 'closed', host: '127.0.0.1', port: null, url: null, openedAt: null },
    idle: false,
  }),
  stop: refuse,
  up: refuse,
  down: refuse,
  rotate: refuse,
};

export const NO_LOGS: LogReader = { list: () => [], tail: refuse, all: refuse, follow: refuse };

export const daemonStopHandler =
  ({ daemon }: Services): Handler<typeof endpoints.daemonStop> =>
  async ({ body: { onlyIdle = false, now = false } }) => ({ stopping: daemon.stop({ onlyIdle, now }), pid: process.pid });

export const stackUpHandler =
  ({ daemon }: Services): Handler<typeof endpoints.stackUp> =>
  async () =>
    await daemon.up();

export const stackDownHandler =
  ({ daemon }: Services): Handler<typeof endpoints.stackDown> =>
  async ({ body: { now = false } }) => {
    const { services, ...rest } = await daemon.down({ now });
    return { ...rest, services: services.map((service) => ({ ...service })) };
  };

export const logsHandler =
  ({ logs }: Services): Handler<typeof endpoints.logs> =>
  async () => ({ services: logs.list().map((service) => ({ ...service })) });

const DEFAULT_TAIL = 50;

/** GET logs/{service}: the last lines as JSON; with `follow` or `all` a stream that ends with its client or with the file. */
export const logLinesHandler =
  (services: Services): Handler<typeof endpoints.logLines> =>
  async ({ params: { service }, query: { tail = String(DEFAULT_TAIL), follow, all } }, context) => {
    const { logs } = services;
    if (follow !== 'true' && all !== 'true') return { service, lines: [...logs.tail(service, Number(tail))] };
    // An unknown service is refused with a status of its own, not inside a stream.
    const last = logs.tail(service, follow === 'true' ? Number(tail) : 0);
    const gone = new AbortController();
    const signal = AbortSignal.any([context.signal, gone.signal]);
    async function* frames(): AsyncGenerator<Frame<{ file: string } | { line: string }>, void> {
      if (all === 'true') for await (const piece of logs.all(service)) yield { kind: 'data', data: piece };
      else for (const line of last) yield { kind: 'data', data: { line } };
      if (follow === 'true') for await (const line of logs.follow(service, signal)) yield { kind: 'data', data: { line } };
    }
    return await streamedFrames(services, context, { frames: frames(), gone, dialect: OPENAI_EVENTS });
  };

export const logRotateHandler =
  ({ daemon }: Services): Handler<typeof endpoints.logRotate> =>
  async ({ params: { service } }) => ({ service, rotated: daemon.rotate(service) });
