import { PAGE_TOKENS, type PageCache, type PageTables, pagesFor } from '../../../ember/index.ts';
import type { AnswerGuide, AnswerText, Sampler } from '../../text/index.ts';
import type { AdapterUse } from './adapters.ts';
import type { PrefixTree } from './prefix-tree.ts';

/** One request of the gateway; its choices are sequences of their own. */
export interface ActiveRequest {
  readonly id: number;
  readonly promptTokens: number;
  /** Whose prefixes it may use and leave behind; null: none. */
  readonly salt: string | null;
  /** Released when the request has left; null: the bare base. */
  readonly adapter: AdapterUse | null;
  /** Tokens of the prompt that were found evaluated. */
  cachedTokens: number;
  /** Tokens that its choices may make until its reader takes more; absent: any number. */
  credit?: number;
  openChoices: number;
  completionTokens: number;
  reasoningTokens: number;
  started: boolean;
  cancelled: boolean;
}

/** What a sequence has whose tokens are brought into the cache. */
export interface Evaluated {
  readonly request: ActiveRequest;
  /** Prompt, then answer. */
  readonly tokens: number[];
  readonly promptTokens: number;
  /** The answer ends here. */
  readonly maxTokens: number;
  /** The first choice of the same request, whose evaluated prompt the others use. */
  readonly leader: Evaluated | null;
  /** Cells in the cache. */
  computed: number;
  /** Empty where it has none. */
  pages: PageTables;
  /** Cells of the longest known prefix, perhaps more than could be taken up. */
  parting: number;
  ended: boolean;
}

/** One choice on its way, with its own sampler and text. */
export interface Sequence extends Evaluated {
  readonly kind: 'answer';
  readonly choice: number;
  readonly sampler: Sampler;
  readonly answer: AnswerText;
  /** What holds the answer to a grammar or a budget. */
  readonly guide?: AnswerGuide | null;
  /** Raw candidates for log probabilities; absent: none are told. */
  readonly rawCandidates?: number;
  /** Whether its next tokens may be guessed: its adjustments do not depend on them. */
  readonly guessable: boolean;
}

/** Given tokens, read for their hidden rows or their log probabilities. */
export interface Reading extends Evaluated {
  readonly kind: 'reading';
  readonly wants: 'hidden' | 'scores';
  /** Every token sees all others, so that all are evaluated in one step. */
  readonly whole: boolean;
  /** Of a pair of texts: where the second begins. */
  readonly secondText?: number;
  /** How many of the last of these tokens it needs a hidden row of. */
  rows(position: number, count: number): number;
  /** Hidden rows, or log probabilities of the tokens after position … position + count − 1. A reading that was paused starts again at 0. */
  take(values: Float32Array, position: number): void;
  finish(): void;
}

/** Its reader is behind: no token of it is made. */
export const isStalled = ({ request: { credit } }: Evaluated): boolean => credit !== undefined && credit <= 0;

export const generatedTokens = (sequence: Evaluated): number => sequence.tokens.length - sequence.promptTokens;

/** Pages that it holds of the context. */
export const heldPages = ({ pages }: Evaluated): number => pages[0]?.length ?? 0;

/** Room for `tokens` cells; false when a pool has too few pages (nothing is taken then). */
export function growPages(sequence: Evaluated, tokens: number, cache: PageCache, prefixes: PrefixTree): boolean {
  const pages = sequence.pages.length === 0 ? cache.empty : sequence.pages;
  for (const [group, count] of cache.missing(pages, tokens).entries()) prefixes.free(group, count - cache.groups[group]!.pool.free);
  const grown = cache.grow(pages, tokens);
  if (grown === null) return false;
  sequence.pages = grown;
  return true;
}

export function freePages(sequence: Evaluated, cache: PageCache): void {
  cache.release(sequence.pages);
  sequence.pages = [];
  sequence.computed = 0;
}

/** Full pages of the prompt, at least one token of it left out: what choices of one request have in common. */
const commonPages = (sequence: Evaluated): number => Math.floor((sequence.promptTokens - 1) / PAGE_TOKENS);

/** A choice waits until the first one has evaluated what they have in common. */
export function awaitsLeader(sequence: Evaluated): boolean {
  const { leader } = sequence;
  if (leader === null || leader.ended) return false;
  const common = commonPages(leader) * PAGE_TOKENS;
  return sequence.computed < common && leader.computed < common;
}

const sharedPages = (sequence: Evaluated): number => {
  const { leader } = sequence;
  return leader === null || leader.ended || awaitsLeader(sequence) ? 0 : commonPages(leader);
};

/** Takes what is evaluated already: the leader's pages, which are full, so that nobody writes them again, or a known prefix. */
export function takePrefix(sequence: Evaluated, cache: PageCache, prefixes: PrefixTree): void {
  const { leader, request } = sequence;
  const count = sharedPages(sequence);
  // A leader that is far ahead has given back the windows that the others would begin with.
  const shared = count > 0 && leader !== null ? cache.share(leader.pages, count) : null;
  if (shared !== null) sequence.pages = shared;
  else if (request.salt !== null) {
    const { pages, known } = prefixes.take(request.salt, sequence.tokens);
    sequence.pages = pages;
    sequence.parting = known * PAGE_TOKENS;
  }
  sequence.computed = heldPages(sequence) * PAGE_TOKENS;
}

/** New tokens that an admission reserves room for (docs/spec/serving.md §4 item 2). */
const RESERVED_TOKENS = 1_024;

/** Whether a sequence may join those that run: its tokens and the answer's first 1,024 fit beside what the others already hold or still have to prefill. */
export function mayEnter(next: Evaluated, running: readonly Evaluated[], cache: PageCache, prefixes: PrefixTree): boolean {
  if (running.length === 0) return true;
  const owed = running.reduce((sum, other) => sum + Math.max(0, pagesFor(other.tokens.length) - heldPages(other)), 0);
  const left = next.maxTokens - generatedTokens(next);
  return pagesFor(next.tokens.length + Math.min(left, RESERVED_TOKENS)) - heldPages(next) <= cache.groups[0]!.pool.free + prefixes.idle - owed;
}
