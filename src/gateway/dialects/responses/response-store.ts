import type { ChatMessage, ResponseOutputItem, ResponseReply } from '../../../contract/index.ts';
import { type Clock, HearthError, systemClock } from '../../../core/index.ts';
import { outputMessages } from './decode-input.ts';

/** An answer with all that led to it. */
export interface StoredResponse {
  readonly reply: ResponseReply;
  /** Without instructions; the answer itself is in `reply`. */
  readonly conversation: readonly ChatMessage[];
}

/** Answers of one key, in memory only: what one key stored is not there for another one. */
export interface ResponseStore {
  /** null when it is unknown, forgotten, deleted or older than an hour. */
  get(owner: string, id: string): StoredResponse | null;
  put(owner: string, stored: StoredResponse): void;
  delete(owner: string, id: string): boolean;
  /** An item of a stored answer by the item's own id. */
  item(owner: string, id: string): ResponseOutputItem | null;
}

export interface ResponseStoreOptions {
  /** For each key. */
  readonly maxResponses?: number;
  readonly maxBytes?: number;
  readonly ttlMs?: number;
  readonly clock?: Clock;
}

interface Entry extends StoredResponse {
  readonly bytes: number;
  readonly expiresAt: number;
}

/** The oldest answer goes first when a key has too many or too large ones (docs/spec/serving.md §2.4). */
export function createResponseStore(options: ResponseStoreOptions = {}): ResponseStore {
  const { maxResponses = 256, maxBytes = 64 * 1024 * 1024, ttlMs = 3_600_000, clock = systemClock } = options;
  const owners = new Map<string, Map<string, Entry>>();

  /** The entries of a key that are not too old; Map keeps them in the order in which they came. */
  function fresh(owner: string): Map<string, Entry> | undefined {
    const entries = owners.get(owner);
    for (const [id, { expiresAt }] of entries ?? []) {
      if (expiresAt > clock.monotonic()) break;
      entries!.delete(id);
    }
    if (entries?.size === 0) owners.delete(owner);
    return entries;
  }

  return {
    get: (owner, id) => fresh(owner)?.get(id) ?? null,

    put(owner, { reply, conversation }) {
      // Keys that no longer ask leave nothing behind.
      for (const other of [...owners.keys()]) fresh(other);
      const bytes = sizeOf(reply) + sizeOf(conversation);
      if (bytes > maxBytes) return;
      const entries = owners.get(owner) ?? new Map<string, Entry>();
      owners.set(owner, entries);
      entries.set(reply.id, { reply, conversation, bytes, expiresAt: clock.monotonic() + ttlMs });
      let total = [...entries.values()].reduce((sum, entry) => sum + entry.bytes, 0);
      for (const [id, entry] of entries) {
        if (entries.size <= maxResponses && total <= maxBytes) break;
        entries.delete(id);
        total -= entry.bytes;
      }
    },

    delete: (owner, id) => fresh(owner)?.delete(id) ?? false,

    item(owner, id) {
      for (const { reply } of fresh(owner)?.values() ?? []) for (const item of reply.output) if (item.id === id) return item;
      return null;
    },
  };
}

/** Two bytes for each character of a text, and media as they are: what it takes in memory, about. */
function sizeOf(value: unknown): number {
  if (typeof value === 'string') return 16 + value.length * 2;
  if (value instanceof Uint8Array) return value.byteLength;
  if (typeof value !== 'object' || value === null) return 8;
  return Object.entries(value).reduce((sum, [key, part]) => sum + key.length + sizeOf(part), 16);
}

/** All that was said up to the end of the answer. */
export const conversationAfter = ({ conversation, reply }: StoredResponse): ChatMessage[] => [...conversation, ...outputMessages(reply.output)];

export const previousNotFound = (id: string): HearthError =>
  new HearthError(
    'previous_response_not_found',
    `There is no response ${id.slice(0, 64)} any more, or it was made with another key; send the whole conversation.`,
    {
      details: { param: 'previous_response_id' },
    },
  );
