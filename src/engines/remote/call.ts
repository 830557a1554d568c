import type { GenerateEvent, GenerateRequest } from '../../contract/index.ts';

/** Public APIs whose bodies can go through as they are. `other`: a JSON path that the upstream's configuration names. */
export type WireApi =
  | 'openai-chat'
  | 'openai-completions'
  | 'openai-responses'
  | 'anthropic-messages'
  | 'anthropic-count-tokens'
  | 'openai-embeddings'
  | 'rerank'
  /** Tokens of a text and back, the text of a conversation: one JSON value for another. */
  | 'tokens'
  | 'other';

/** A request as it came, for upstreams that speak the same API. */
export interface WireRequest {
  readonly api: WireApi;
  /** From the root, such as `/v1/chat/completions`. */
  readonly path: string;
  /** The body's bytes, decompressed and checked as JSON. */
  readonly bytes: Uint8Array;
  /** The same, parsed. */
  readonly body: Readonly<Record<string, unknown>>;
}

/** Milliseconds (docs/spec/serving.md §6.3). They run until the last byte. */
export interface UpstreamTimeouts {
  readonly connectMs: number;
  /** Until the first content of a stream; not for JSON answers. */
  readonly firstTokenMs: number;
  /** Between two contents of a stream, and between two pieces of a JSON body; comments do not count. */
  readonly idleMs: number;
  /** For the whole call. */
  readonly requestMs: number;
}

/** One attempt at an upstream. At least one of `request` and `raw` is there; with both the upstream takes `raw` where it speaks that API. */
export interface UpstreamCall {
  /** The upstream's own name of the model. */
  readonly model: string;
  readonly request?: GenerateRequest;
  readonly raw?: WireRequest;
  /** true: settles at the first content. false: when the whole answer is here and checked. */
  readonly stream: boolean;
  /** In place of the upstream's own. */
  readonly timeouts?: Partial<UpstreamTimeouts>;
  /** Headers of the client, names in lower case; the upstream forwards those that docs/spec/serving.md §6.5 names and no others. */
  readonly headers?: Readonly<Record<string, string>>;
  /** How many servers of this kind the request came through already; a peer is told one more. */
  readonly hops?: number;
  /** How far the evaluation of the prompt is, where the upstream tells. */
  readonly onProgress?: (doneTokens: number, totalTokens: number) => void;
  readonly signal: AbortSignal;
}

export interface UpstreamUsage {
  readonly promptTokens: number;
  readonly cachedTokens: number;
  readonly completionTokens: number;
  readonly reasoningTokens: number;
  /** The upstream told no counts: these are a guess from the length of the texts. */
  readonly estimated: boolean;
}

/** An answer of an upstream at its commit point. */
export type RemoteAnswer = {
  /** What the upstream says of itself in its answer; null where it says nothing. */
  readonly model: string | null;
  /** Milliseconds from the call to the first content. */
  readonly firstTokenMs: number;
  /** Counts so far; null before they are known. Estimated ones are there once the answer is complete. */
  usage(): UpstreamUsage | null;
  /** Rate-limit headers and the like that go back to the client. */
  readonly headers: Readonly<Record<string, string>>;
} & (
  | {
      readonly kind: 'events';
      /** Ends after `end`, or after one `error` for a fault behind the commit point; never throws. */
      readonly events: AsyncIterable<GenerateEvent>;
    }
  | {
      readonly kind: 'bytes';
      readonly status: number;
      readonly contentType: string;
      /**
       * The upstream's own bytes, checked. A stream: each item holds whole events, so that comments may stand between two items, and the
       * terminator is among them exactly once. JSON: one item. Throws an UpstreamFault where the answer breaks off: nothing may follow then
       * but the caller's in-band error. Leaving the iteration early closes the connection to the upstream.
       */
      readonly body: AsyncIterable<Uint8Array>;
    }
);
