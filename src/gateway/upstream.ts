import type { RemoteAnswer, RemoteHealth, UpstreamCall, WireApi } from '../engines/index.ts';
import type { AnswerSource, Target } from './answer.ts';

export {
  type FaultMeaning,
  type RemoteHealth as UpstreamHealth,
  type UpstreamCall,
  UpstreamFault,
  type UpstreamTimeouts,
  type UpstreamUsage,
  type WireApi,
  type WireRequest,
} from '../engines/index.ts';

/** An answer of an upstream at the commit point: in canonical events, or in the upstream's own checked bytes. */
export type UpstreamAnswer = RemoteAnswer & { readonly source: AnswerSource };

/** A server that is not ours to start or stop: health, load, send (docs/spec/serving.md §6.1). */
export interface Upstream {
  /** Its name in the configuration. */
  readonly name: string;
  readonly kind: 'openai' | 'anthropic' | 'peer';
  /** `local`: never counted as leaving the machine. */
  readonly privacy: 'local' | 'private' | 'cloud';
  readonly weight: number;
  /** Requests that it gets at a time; null = no limit of ours. */
  readonly maxConcurrent: number | null;
  /** false: it has no key, and a cloud without one is not asked; absent: nobody said. */
  readonly hasKey?: boolean;
  /** US dollars for a million tokens; absent where nobody said. */
  readonly pricePerMillionTokens?: { readonly input: number; readonly cached: number; readonly output: number };
  /** Names that hearth's users call its models by, without the prefix `<name>/`. Of a peer: what its list said last. */
  models(): readonly string[];
  /** The model of one of those names; a name that is not among them is asked for as it stands. Unknown capabilities are not declared. */
  targetOf(model: string): Target;
  /** The upstream's own name of a model of `models()`. */
  ownName(model: string): string;
  /** Whether a request of this API can go there as it is. */
  speaks(api: WireApi, path: string): boolean;
  /** Brings `models()` of a peer up to date, at most every 30 s; of others it does nothing. Throws UpstreamFault. */
  refresh(signal: AbortSignal): Promise<void>;
  /** Asks for its health now; never throws but for the signal. */
  probe(signal: AbortSignal): Promise<RemoteHealth>;
  /** One attempt. Settles at the commit point of a stream, or when a JSON answer is whole and checked. Throws UpstreamFault, or the signal's reason. */
  send(call: UpstreamCall): Promise<UpstreamAnswer>;
}
