import { setTimeout as sleep } from 'node:timers/promises';
import { type GenerateEvent, type GenerateRequest, isErrorCode } from '../../contract/index.ts';
import { HearthError } from '../../core/index.ts';
import type { ProcessChannel, ProcessExit } from '../../supervisor/index.ts';
import type { EngineSession, LoadReport, PromptSource } from '../port.ts';
import { createEventQueue, type EventQueue } from './event-queue.ts';
import { adapterReport, embedReply, type FromWorker, fromWorker, loadReport, rerankReply, scoreReply, sessionStats } from './messages.ts';
import { PROTOCOL_VERSION, type ToWorker } from './to-worker.ts';
import { floatsOf, splitInputs } from './vectors.ts';

/** Limits of docs/spec/engines.md §1.5, in milliseconds. */
export interface SessionLimits {
  readonly helloMs: number;
  /** A load without progress for this long has failed. */
  readonly loadIdleMs: number;
  readonly loadTotalMs: number;
  readonly healthMs: number;
  /** How long `close` waits for the worker to leave by itself. */
  readonly closeMs: number;
}

export const SESSION_LIMITS: SessionLimits = { helloMs: 10_000, loadIdleMs: 30_000, loadTotalMs: 600_000, healthMs: 1_000, closeMs: 10_000 };

/** Tokens of an answer that its worker makes before the reader has taken any; it hears of those that were taken in parts. */
const READ_AHEAD = { tokens: 256, part: 64 } as const;

interface Question {
  resolve(value: unknown): void;
  reject(error: HearthError): void;
}

/** The error for a worker that is gone. */
function deathError(exit: ProcessExit): HearthError {
  if (exit.violation !== undefined) return new HearthError('engine_protocol', `The engine process was ended: ${exit.violation}.`);
  const how = exit.signal === null ? `with code ${exit.code}` : `by ${exit.signal}`;
  // The worker writes its reason last. Stacks stay in the log: messages reach clients.
  const reason = exit.lastLines.findLast((line) => line.trim() !== '' && !/^\s*at /.test(line));
  return new HearthError('engine_crashed', `The engine process ended ${how}${reason === undefined ? '.' : `: ${reason}`}`, {
    details: { code: exit.code, signal: exit.signal },
  });
}

const workerError = (message: { code: string; message: string }, otherwise: 'internal_error' | 'model_load_failed'): HearthError =>
  new HearthError(isErrorCode(message.code) && message.code !== 'internal_error' ? message.code : otherwise, message.message);

/**
 * A session over a worker that speaks the protocol of §1.4. Resolves when the worker has said hello; after any rejection of this call or of
 * `load`, the caller ends the process.
 */
export async function connectWorker(channel: ProcessChannel, signal: AbortSignal, limits: SessionLimits = SESSION_LIMITS): Promise<EngineSession> {
  let nextId = 1;
  let gone: HearthError | undefined;
  let onLoad: ((message: FromWorker) => void) | undefined;
  const streams = new Map<number, EventQueue<FromWorker> & { readonly requestId: string }>();
  const questions = new Map<number, Question>();
  const hello = Promise.withResolvers<Extract<FromWorker, { kind: 'hello' }>>();
  const lost = Promise.withResolvers<never>();
  lost.promise.catch(() => {});

  const receive = (raw: unknown): void => {
    const parsed = fromWorker.safeParse(raw);
    if (!parsed.success) {
      channel.refuse(`it sent a message that is not in the protocol (${parsed.error.issues[0]?.message ?? 'unknown'})`);
      return;
    }
    const message = parsed.data;
    if (message.kind === 'hello') hello.resolve(message);
    else if (message.kind === 'reply') questions.get(message.id)?.resolve(message.value);
    else if (message.kind === 'error' && message.id !== undefined) questions.get(message.id)?.reject(workerError(message, 'internal_error'));
    else if ('sequence' in message && message.sequence !== undefined) streams.get(message.sequence)?.push(message);
    else if (message.kind !== 'log') onLoad?.(message);
  };
  const closed = channel.exited.then((exit) => {
    gone = deathError(exit);
    for (const stream of streams.values()) stream.push({ kind: 'error', code: gone.code, message: gone.message });
    for (const question of questions.values()) question.reject(gone);
    lost.reject(gone);
    return { reason: gone.message };
  });
  const send = (message: ToWorker): void => {
    if (gone !== undefined) throw gone;
    channel.send(message);
  };
  const ask = async (make: (id: number) => ToWorker, timeoutMs?: number, askSignal?: AbortSignal): Promise<unknown> => {
    const id = nextId++;
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    questions.set(id, { resolve, reject });
    const cancel = (): void => {
      if (gone === undefined) channel.send({ kind: 'cancel', sequence: id });
      reject(new HearthError('cancelled', 'The request was cancelled.'));
    };
    askSignal?.addEventListener('abort', cancel, { once: true });
    try {
      askSignal?.throwIfAborted();
      send(make(id));
      return await (timeoutMs === undefined
        ? promise
        : withTimeout(promise, timeoutMs, () => new HearthError('request_timeout', 'The engine did not answer.')));
    } finally {
      questions.delete(id);
      askSignal?.removeEventListener('abort', cancel);
    }
  };

  channel.onMessage(receive);
  const greeting = await abortable(
    Promise.race([
      withTimeout(hello.promise, limits.helloMs, () => new HearthError('model_load_failed', 'The engine process did not say hello.')),
      lost.promise,
    ]),
    signal,
  );
  if (greeting.version !== PROTOCOL_VERSION)
    throw new HearthError('engine_protocol', `The engine process speaks version ${greeting.version} of the protocol; ${PROTOCOL_VERSION} is needed.`);

  const session: EngineSession = {
    closed,
    async load(options, onProgress, loadSignal): Promise<LoadReport> {
      const { promise, resolve, reject } = Promise.withResolvers<LoadReport>();
      promise.catch(() => {});
      const failed = (message: string): void => reject(new HearthError('model_load_failed', message));
      const idle = setTimeout(() => failed(`The load made no progress for ${limits.loadIdleMs / 1_000} s.`), limits.loadIdleMs);
      const total = setTimeout(() => failed(`The load took longer than ${limits.loadTotalMs / 1_000} s.`), limits.loadTotalMs);
      let doneBytes = -1;
      onLoad = (message) => {
        if (message.kind === 'load-progress') {
          if (message.doneBytes > doneBytes) idle.refresh();
          doneBytes = message.doneBytes;
          onProgress(message.doneBytes, message.totalBytes);
        } else if (message.kind === 'ready') resolve(loadReport.parse(message.report));
        else if (message.kind === 'error') reject(workerError(message, 'model_load_failed'));
      };
      try {
        send({ kind: 'load', options: { ...(options as object) } });
        return await abortable(Promise.race([promise, lost.promise]), loadSignal);
      } catch (error) {
        // A worker that dies while it loads has failed to load; its last lines are the reason.
        if (error === gone && gone !== undefined) throw new HearthError('model_load_failed', gone.message, { cause: gone });
        throw error;
      } finally {
        clearTimeout(idle);
        clearTimeout(total);
        onLoad = undefined;
      }
    },
    generate: (request, generateSignal) => generate(request, generateSignal),
    async endReasoning(requestId) {
      const own = [...streams].filter(([, stream]) => stream.requestId === requestId || stream.requestId.startsWith(`${requestId}.`));
      const ended = await Promise.all(own.map(([sequence]) => ask((id) => ({ kind: 'end-reasoning', id, sequence }))));
      return ended.includes(true);
    },
    async tokenize(input) {
      return (await ask((id) => ({ kind: 'tokenize', id, ...('text' in input ? input : plainPrompt(input)) }))) as number[];
    },
    async detokenize(tokens) {
      return (await ask((id) => ({ kind: 'detokenize', id, tokens: [...tokens] }))) as string;
    },
    async applyTemplate(messages, templateArguments) {
      return (await ask((id) => ({
        kind: 'template',
        id,
        messages: plainMessages(messages),
        ...(templateArguments === undefined ? {} : { templateArguments: { ...templateArguments } }),
      }))) as string;
    },
    async embed(inputs, { pooling, prompt, truncate, signal: embedSignal } = {}) {
      const vectors: Float32Array[] = [];
      const promptTokens: number[] = [];
      const truncated: number[] = [];
      for (const part of splitInputs(inputs)) {
        const more = {
          ...(pooling === undefined ? {} : { pooling }),
          ...(prompt === undefined ? {} : { prompt }),
          ...(truncate === undefined ? {} : { truncate }),
        };
        const reply = embedReply.parse(await ask((id) => ({ kind: 'embed', id, inputs: part, ...more }), undefined, embedSignal));
        for (const index of reply.truncated ?? []) truncated.push(vectors.length + index);
        vectors.push(...reply.vectors.map(floatsOf));
        promptTokens.push(...reply.promptTokens);
      }
      return { vectors, promptTokens, truncated };
    },
    async rerank(query, documents, rerankSignal) {
      const scores: number[] = [];
      let promptTokens = 0;
      for (const part of splitInputs(documents)) {
        const reply = rerankReply.parse(await ask((id) => ({ kind: 'rerank', id, query, documents: part as string[] }), undefined, rerankSignal));
        scores.push(...reply.scores);
        promptTokens += reply.promptTokens;
      }
      return { scores, promptTokens };
    },
    async score(tokens, scoreSignal) {
      const reply = scoreReply.parse(await ask((id) => ({ kind: 'score', id, tokens: [...tokens] }), undefined, scoreSignal));
      return floatsOf(reply.logProbabilities);
    },
    adapters: {
      async load(name, directory) {
        return adapterReport.parse(await ask((id) => ({ kind: 'adapter-load', id, name, directory })));
      },
      async unload(name) {
        await ask((id) => ({ kind: 'adapter-unload', id, name }));
      },
      async list() {
        return adapterReport.array().parse(await ask((id) => ({ kind: 'adapter-list', id })));
      },
    },
    async setThreads(threads) {
      await ask((id) => ({ kind: 'threads', id, threads }));
    },
    async health() {
      try {
        await ask((id) => ({ kind: 'health', id }), limits.healthMs);
        return { ok: true };
      } catch {
        return { ok: false };
      }
    },
    async stats() {
      return sessionStats.parse(await ask((id) => ({ kind: 'stats', id })));
    },
    async clearCache() {
      await ask((id) => ({ kind: 'clear', id }));
    },
    async close() {
      if (gone === undefined) channel.send({ kind: 'stop' });
      await Promise.race([closed, sleep(limits.closeMs, undefined, { ref: false })]);
    },
    async [Symbol.asyncDispose]() {
      await session.close();
    },
  };
  return session;

  async function* generate(request: GenerateRequest, generateSignal: AbortSignal): AsyncGenerator<GenerateEvent> {
    if (gone !== undefined) {
      yield { kind: 'error', code: gone.code, message: gone.message };
      return;
    }
    const sequence = nextId++;
    const queue = { ...createEventQueue<FromWorker>(), requestId: request.requestId };
    streams.set(sequence, queue);
    let running = true;
    let taken = 0;
    const cancel = (): void => queue.push({ kind: 'error', code: 'cancelled', message: 'The request was cancelled.' });
    generateSignal.addEventListener('abort', cancel, { once: true });
    try {
      if (generateSignal.aborted) cancel();
      else send({ kind: 'generate', sequence, request: plainRequest(request), credit: READ_AHEAD.tokens });
      while (running) {
        const message = await queue.next();
        // The abort is our own word, not the worker's: it still has to be told (below).
        if (message.kind === 'done' || (message.kind === 'error' && message.sequence !== undefined)) running = false;
        for (const event of toEvents(message)) yield event;
        if (message.kind === 'error') return;
        if (message.kind === 'step') taken += message.tokens.length;
        if (taken < READ_AHEAD.part || !running || gone !== undefined) continue;
        send({ kind: 'credit', sequence, tokens: taken });
        taken = 0;
      }
    } catch (error) {
      if (!(error instanceof HearthError)) throw error;
      running = false;
      yield { kind: 'error', code: error.code, message: error.message };
    } finally {
      generateSignal.removeEventListener('abort', cancel);
      streams.delete(sequence);
      if (running && gone === undefined) channel.send({ kind: 'cancel', sequence });
    }
  }
}

/** The canonical events of one worker message. */
function toEvents(message: FromWorker): GenerateEvent[] {
  switch (message.kind) {
    case 'start':
      return [{ kind: 'start', promptTokens: message.promptTokens, cachedTokens: message.cachedTokens }];
    case 'prefill-progress':
      return [{ kind: 'prefill-progress', doneTokens: message.doneTokens, totalTokens: message.totalTokens }];
    case 'step':
      if (message.parts !== undefined) return message.parts.map((part) => ({ ...part, choice: message.choice }) as GenerateEvent);
      return message.text === '' ? [] : [{ kind: 'text-delta', choice: message.choice, text: message.text }];
    case 'finish':
      return [
        {
          kind: 'finish',
          choice: message.choice,
          reason: message.reason,
          ...(message.stopString === undefined ? {} : { stopString: message.stopString }),
          ...(message.invalidToolCalls === undefined ? {} : { invalidToolCalls: message.invalidToolCalls }),
        },
      ];
    case 'done': {
      const { promptTokens, cachedTokens, completionTokens, reasoningTokens } = message;
      return [{ kind: 'usage', promptTokens, cachedTokens, completionTokens, reasoningTokens }, { kind: 'end' }];
    }
    case 'error':
      return [
        {
          kind: 'error',
          code: isErrorCode(message.code) ? message.code : 'internal_error',
          message: message.message,
          ...(message.param === undefined ? {} : { param: message.param }),
        },
      ];
    default:
      return [];
  }
}

/** Only what makes the prompt: a whole request may be given. */
const plainPrompt = ({ messages, templateArguments, tools, reasoning }: PromptSource) =>
  JSON.parse(JSON.stringify({ messages: ownMessages(messages), templateArguments, tools, reasoning })) as Pick<
    Extract<ToWorker, { kind: 'tokenize' }>,
    keyof PromptSource
  >;

const plainRequest = ({ remote: _, messages, ...request }: GenerateRequest) =>
  JSON.parse(JSON.stringify({ ...request, ...(messages === undefined ? {} : { messages: ownMessages(messages) }) }));

const plainMessages = (messages: GenerateRequest['messages'] & object): Extract<ToWorker, { kind: 'template' }>['messages'] =>
  JSON.parse(JSON.stringify(ownMessages(messages)));

/** Marks that remotes want to see again mean nothing to a worker. */
const ownMessages = (messages: GenerateRequest['messages'] & object) => messages.map(({ reasoningSignature: _, ...message }) => message);

async function withTimeout<T>(promise: Promise<T>, timeoutMs: number, error: () => HearthError): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(error()), timeoutMs);
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

async function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const stop = (): void => reject(new HearthError('cancelled', 'The operation was cancelled.'));
  signal.addEventListener('abort', stop, { once: true });
  try {
    if (signal.aborted) stop();
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}
