import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import type { FeatureVerdict } from '../../src/core/index.ts';
import type { Capabilities, Engine, Feature } from '../../src/engines/port.ts';
import { connectWorker, SESSION_LIMITS, type SessionLimits } from '../../src/engines/protocol/session.ts';
import type { ProcessSpec } from '../../src/supervisor/index.ts';

/** How the fake engine behaves; its process is real (fake-engine-worker.ts). */
export interface FakeEngineFlags {
  readonly id?: string;
  readonly contextTokens?: number;
  readonly parallel?: number;
  /** Pause between tokens. */
  readonly tokenMs?: number;
  /** Time for a prompt of 20 words and more; its progress is told ten times. */
  readonly prefillMs?: number;
  /** The whole answer; absent: `echo: <prompt>`. One word is one token. */
  readonly reply?: string;
  readonly readyAfterMs?: number;
  /** Ignores SIGTERM and the stop message: only SIGKILL ends it. */
  readonly ignoreTerm?: boolean;
  /** Exits with code 7 once it has made this many tokens. */
  readonly dieAfterTokens?: number;
  /** Makes no token after this many, and stays alive. */
  readonly stallAfterTokens?: number;
  /** Sends something that is no message: right after hello, or after this many tokens. */
  readonly garbage?: 'hello' | number;
  /** Closes its channel after this many tokens, and stays alive. */
  readonly dropChannelAfterTokens?: number;
  readonly hangLoad?: boolean;
  /** Fails the load with this reason. */
  readonly failLoad?: string;
  /** Never says hello. */
  readonly silentHello?: boolean;
  readonly stopGraceMs?: number;
  readonly limits?: Partial<SessionLimits>;
  /** After this many tokens it takes memory, processor time or threads until it is ended. */
  readonly takeAfterTokens?: number;
  readonly take?: 'memory' | 'processor' | 'threads' | 'output';
  readonly processLimits?: ProcessSpec['limits'];
  /** What its estimate says. */
  readonly memoryBytes?: number;
}

/** An engine whose child is a real process with the real protocol, but without a model. */
export function createFakeEngine(flags: FakeEngineFlags = {}): Engine {
  const contextTokens = flags.contextTokens ?? 2_048;
  const yes: FeatureVerdict = { ok: true, engine: flags.id ?? 'fake', reason: null };
  const no: FeatureVerdict = { ok: false, engine: null, reason: 'the fake engine has text only' };
  return {
    id: flags.id ?? 'fake',
    async probe() {
      return { available: true, version: 'fake', device: 'none', devices: ['none'] };
    },
    canRun: () => ({ text: yes, chat: yes, vision: no, audio: no, embeddings: no, rerank: no }) satisfies Record<Feature, FeatureVerdict>,
    capabilities: () => fakeCapabilities(contextTokens),
    estimate: () => ({ weightsBytes: flags.memoryBytes ?? 1_000_000, kvBytesPerToken: 1, kvPoolBytes: contextTokens, computeBytes: 0, processBytes: 0 }),
    modelOptions: [],
    optionsSchema: z.strictObject({ contextTokens: z.int().positive().optional(), parallelSequences: z.int().positive().optional() }),
    async prepare(facts) {
      return { facts, directory: facts.directory };
    },
    processSpec: () => fakeProcessSpec(flags),
    async connect(channel, signal) {
      if (channel instanceof URL) throw new TypeError('the fake engine has a process');
      return connectWorker(channel, signal, { ...SESSION_LIMITS, ...flags.limits });
    },
  };
}

export function fakeProcessSpec(flags: FakeEngineFlags): ProcessSpec {
  const options: [string, string | number | undefined][] = [
    ['context-tokens', flags.contextTokens],
    ['parallel', flags.parallel],
    ['token-ms', flags.tokenMs],
    ['prefill-ms', flags.prefillMs],
    ['reply', flags.reply],
    ['ready-after', flags.readyAfterMs],
    ['die-after-tokens', flags.dieAfterTokens],
    ['stall', flags.stallAfterTokens],
    ['garbage', flags.garbage],
    ['drop-channel', flags.dropChannelAfterTokens],
    ['fail-load', flags.failLoad],
    ['take', flags.take],
    ['take-after', flags.takeAfterTokens],
  ];
  const switches: [string, boolean | undefined][] = [
    ['ignore-term', flags.ignoreTerm],
    ['hang-load', flags.hangLoad],
    ['silent-hello', flags.silentHello],
  ];
  const program = fileURLToPath(new URL('./fake-engine-worker.ts', import.meta.url));
  return {
    command: process.execPath,
    args: [
      program,
      ...options.flatMap(([name, value]) => (value === undefined ? [] : [`--${name}=${value}`])),
      ...switches.flatMap(([name, on]) => (on ? [`--${name}`] : [])),
    ],
    cwd: import.meta.dirname,
    env: {},
    channel: 'ipc',
    readPaths: [fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '')],
    writePaths: [],
    devices: 'none',
    memoryBytes: 512 * 1024 * 1024,
    threads: 1,
    ...(flags.processLimits === undefined ? {} : { limits: flags.processLimits }),
    startTimeoutMs: 30_000,
    stopGraceMs: flags.stopGraceMs ?? 2_000,
  };
}

export const fakeCapabilities = (contextTokens: number): Capabilities => ({
  tools: false,
  forcedToolChoice: false,
  jsonSchema: false,
  grammar: false,
  logitBias: true,
  seed: true,
  maxLogprobs: 0,
  maxChoices: 8,
  images: false,
  audio: false,
  embeddings: false,
  rerank: false,
  transcription: false,
  translation: false,
  adaptersPerRequest: false,
  batching: true,
  prefixCache: 'none',
  reasoning: false,
  contextTokens,
});
