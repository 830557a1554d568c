import type { GenerateEvent } from '../../contract/index.ts';
import { isHearthError } from '../../core/index.ts';
import { type AnswerDecoder, isContent } from './decoded.ts';
import { UpstreamFault } from './fault.ts';
import type { Faults } from './faults.ts';
import type { CallWatch } from './wire/call-watch.ts';
import { readWireEvents, type WireEvent } from './wire/sse-reader.ts';
import type { WireResponse } from './wire/transport.ts';

export interface StreamReading {
  readonly response: WireResponse;
  readonly decoder: AnswerDecoder;
  readonly watch: CallWatch;
  readonly faults: Faults;
  readonly maxEventBytes: number;
  /** Finds how far the prompt is, in comments. */
  readonly progress: RegExp | null;
  readonly onProgress?: ((doneTokens: number, totalTokens: number) => void) | undefined;
  /** Something was left out of an answer that is otherwise whole. */
  readonly onViolation?: ((kind: string) => void) | undefined;
}

/** A piece of an answer: what it says, and the bytes that say it. */
export interface AnswerPiece {
  readonly events: readonly GenerateEvent[];
  readonly bytes: Uint8Array;
}

const encoder = new TextEncoder();

/**
 * Settles with the pieces of a stream when its first content is here: all before it come as one with it. The iteration throws an UpstreamFault
 * where the answer breaks off, and ends after one piece that holds the counts and the terminator. Leaving it closes the connection.
 */
export async function readStream(reading: StreamReading): Promise<AsyncGenerator<AnswerPiece, void>> {
  const pieces = piecesOf(reading);
  const held: AnswerPiece[] = [];
  reading.watch.awaitingContent();
  for (;;) {
    const next = await pieces.next();
    if (next.done) break;
    held.push(next.value);
    if (next.value.events.some(isContent)) break;
  }
  reading.watch.received(true);
  return (async function* () {
    try {
      if (held.length > 0) yield { events: held.flatMap(({ events }) => events), bytes: Buffer.concat(held.map(({ bytes }) => bytes)) };
      yield* pieces;
    } finally {
      await pieces.return();
    }
  })();
}

async function* piecesOf(reading: StreamReading): AsyncGenerator<AnswerPiece, void> {
  const { response, decoder, watch, faults, maxEventBytes } = reading;
  const events = readWireEvents(response.body, {
    maxEventBytes,
    tooLarge: () => faults.tooLarge(maxEventBytes),
    notUtf8: (cause) => faults.malformed('bytes that are no UTF-8', cause),
  });
  let committed = false;
  let left = false;
  try {
    for (;;) {
      if (committed) watch.waiting();
      const packet = await nextEvents(events, reading);
      if (packet === null) break;
      const { piece, content, fault } = readPacket(packet, reading, committed);
      if (committed) watch.received(content);
      committed ||= content;
      if (decoder.terminated) {
        left = true;
        response.leave();
        watch[Symbol.dispose]();
      }
      if (piece !== null) yield piece;
      if (fault !== null) throw fault.error;
      if (decoder.terminated) {
        yield { events: decoder.finish(), bytes: new Uint8Array() };
        return;
      }
    }
    const rest = decoder.finish();
    reading.onViolation?.('missing-terminator');
    yield { events: rest, bytes: encoder.encode(decoder.terminator) };
  } finally {
    watch[Symbol.dispose]();
    if (!left) response.destroy();
  }
}

interface PacketReading {
  /** What the packet says, up to a fault in it; null for nothing. */
  readonly piece: AnswerPiece | null;
  readonly content: boolean;
  readonly fault: { readonly error: unknown } | null;
}

/** All events of a packet as one piece: each piece takes a turn of every iteration between here and the client. */
function readPacket(packet: readonly WireEvent[], reading: StreamReading, committed: boolean): PacketReading {
  const events: GenerateEvent[] = [];
  const bytes: Uint8Array[] = [];
  let content = false;
  let fault: PacketReading['fault'] = null;
  for (const event of packet) {
    try {
      const piece = readEvent(event, reading, committed || content);
      if (piece === null) continue;
      content ||= piece.events.some(isContent);
      events.push(...piece.events);
      bytes.push(piece.bytes);
    } catch (error) {
      fault = { error };
      break;
    }
    if (reading.decoder.terminated) break;
  }
  return { piece: bytes.length === 0 ? null : { events, bytes: bytes.length === 1 ? bytes[0]! : Buffer.concat(bytes) }, content, fault };
}

/** The events of the next packet, or null at the end; an answer that is whole may end as it likes. */
async function nextEvents(events: AsyncGenerator<readonly WireEvent[], void>, { watch, faults, decoder }: StreamReading): Promise<readonly WireEvent[] | null> {
  try {
    const { done, value } = await events.next();
    if (watch.signal.aborted) throw watch.signal.reason;
    return done ? null : value;
  } catch (error) {
    const reason: unknown = watch.signal.aborted ? watch.signal.reason : error;
    const fault = isHearthError(reason) ? reason : watch.signal.aborted ? reason : faults.truncated('the connection was closed', reason);
    if (fault instanceof UpstreamFault && (fault.code === 'upstream_truncated' || fault.code === 'upstream_timeout') && isWhole(decoder)) return null;
    throw fault;
  }
}

function isWhole(decoder: AnswerDecoder): boolean {
  try {
    decoder.finish();
    return true;
  } catch {
    return false;
  }
}

function readEvent(event: WireEvent, reading: StreamReading, committed: boolean): AnswerPiece | null {
  const { decoder, faults } = reading;
  if (event.data === null) {
    reportProgress(event, reading);
    return committed && event.complete ? { events: [], bytes: event.bytes } : null;
  }
  if (!event.complete && !isJson(event.data)) throw faults.truncated('it ended in the middle of an event');
  const decoded = decoder.push(event.name, event.data);
  if (decoded.kind === 'surplus' || decoded.kind === 'rewritten') reading.onViolation?.('surplus');
  if (decoded.kind === 'surplus') return null;
  if (decoded.kind === 'rewritten') return { events: decoded.events, bytes: encoder.encode(`data: ${decoded.data}\n\n`) };
  return { events: decoded.events, bytes: event.complete ? event.bytes : Buffer.concat([event.bytes, encoder.encode('\n\n')]) };
}

function isJson(data: string): boolean {
  if (data.trim() === '[DONE]') return true;
  try {
    JSON.parse(data);
    return true;
  } catch {
    return false;
  }
}

function reportProgress({ comments }: WireEvent, { progress, onProgress }: StreamReading): void {
  if (progress === null) return;
  for (const comment of comments) {
    const match = progress.exec(comment);
    if (match) onProgress?.(Number(match[1]), Number(match[2]));
  }
}
