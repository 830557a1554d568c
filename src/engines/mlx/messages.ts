import { z } from 'zod';
import { loadReport } from '../protocol/messages.ts';

/**
 * The messages between the text thread and the Python worker of mlx: tokens, never text (docs/spec/engines.md §3.2). Questions, `cancel`, `error`,
 * `reply` and `log` are those of the worker protocol.
 */
const count = z.int().nonnegative();
const sequence = count;
const scored = { logprob: z.number().optional(), top: z.array(z.tuple([count, z.number()])).optional() };
const drawn = z.object({ id: count, ...scored });

/** From the Python worker. */
export const fromMlxWorker = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('hello'),
    version: z.int(),
    build: z.string(),
    device: z.string(),
    /** Name of the view directory that it was given. */
    view: z.string(),
    /** What holds it back: landlock, seccomp, audit. */
    layers: z.array(z.string()),
  }),
  z.object({ kind: z.literal('load-progress'), doneBytes: z.number().nonnegative(), totalBytes: z.number().nonnegative() }),
  z.object({ kind: z.literal('ready'), report: loadReport, vocabularySize: count }),
  z.object({ kind: z.literal('start'), sequence, promptTokens: count, cachedTokens: count }),
  z.object({ kind: z.literal('prefill-progress'), sequence, doneTokens: count, totalTokens: count }),
  /** The tokens of one step. */
  z.object({ kind: z.literal('tokens'), items: z.array(drawn.extend({ sequence, choice: count })) }),
  /** A guided answer asks which token may follow its last one, `count` being how many it has. */
  z.object({ kind: z.literal('ask'), sequence, choice: count, count, token: drawn.optional() }),
  z.object({ kind: z.literal('error'), sequence: count.optional(), id: count.optional(), code: z.string(), message: z.string() }),
  z.object({ kind: z.literal('reply'), id: count, value: z.unknown() }),
]);

export type FromMlxWorker = z.infer<typeof fromMlxWorker>;
export type DrawnToken = z.infer<typeof drawn>;

/** To the Python worker. */
export type ToMlxWorker =
  | { readonly kind: 'load'; readonly options: { readonly contextTokens: number; readonly parallelSequences: number; readonly residentAdapters: number } }
  | {
      readonly kind: 'generate';
      readonly sequence: number;
      readonly tokens: readonly number[];
      readonly choices: number;
      readonly maxTokens: number;
      readonly stopTokens: readonly number[];
      readonly sampling: object;
      readonly seed: number;
      readonly guided: boolean;
      /** Tokens of all its choices that are made before its reader has to be heard of; absent: all. */
      readonly credit?: number;
      readonly logprobs?: number;
      readonly adapter?: { readonly name: string; readonly scale: number };
      readonly salt?: string;
    }
  /** Answer to `ask`: allowed tokens as bits in base64, one token, or neither: all. */
  | { readonly kind: 'mask'; readonly sequence: number; readonly choice: number; readonly words?: string; readonly forced?: number }
  /** The answer has ended by its text. */
  | { readonly kind: 'drop'; readonly sequence: number; readonly choice: number }
  /** The reader took so many tokens. */
  | { readonly kind: 'credit'; readonly sequence: number; readonly tokens: number }
  | { readonly kind: 'cancel'; readonly sequence: number }
  | { readonly kind: 'score'; readonly id: number; readonly tokens: readonly number[] }
  | { readonly kind: 'adapter-load'; readonly id: number; readonly name: string; readonly directory: string }
  | { readonly kind: 'adapter-unload'; readonly id: number; readonly name: string }
  | { readonly kind: 'adapter-list' | 'stats' | 'health' | 'clear' | 'threads'; readonly id: number }
  | { readonly kind: 'stop' };
