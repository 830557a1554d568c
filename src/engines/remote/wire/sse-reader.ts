/** One block of an event stream: what stands before an empty line. */
export interface WireEvent {
  /** Of the `event:` line; null without one. */
  readonly name: string | null;
  /** Its data lines, joined by newlines; null when there is none. */
  readonly data: string | null;
  readonly comments: readonly string[];
  /** The block as it came, with its empty line; all blocks join to the stream, but for a byte order mark at its beginning. */
  readonly bytes: Uint8Array;
  /** false: the stream ended inside of it. */
  readonly complete: boolean;
}

/** What a stream can be refused for. */
export interface SseLimits {
  readonly maxEventBytes: number;
  readonly tooLarge: () => Error;
  readonly notUtf8: (cause: unknown) => Error;
}

const LF = 10;
const CR = 13;
const BOM = [0xef, 0xbb, 0xbf];

/**
 * Reads server-sent events from packets split anywhere; takes CR, LF and CRLF, a byte order mark, several data lines (WHATWG HTML §9.2.6). What
 * one packet completes comes together: a server that has fallen behind sends many events at once, and each turn of an iteration has its price.
 */
export async function* readWireEvents(packets: AsyncIterable<Uint8Array>, limits: SseLimits): AsyncGenerator<readonly WireEvent[], void> {
  const blocks = createBlockBuffer(limits);
  for await (const packet of packets) {
    const events: WireEvent[] = [];
    try {
      for (const block of blocks.push(packet)) events.push(toEvent(block, true, limits));
    } catch (error) {
      // What is wrong with one event is no fault of those before it.
      if (events.length > 0) yield events;
      throw error;
    }
    if (events.length > 0) yield events;
  }
  const rest = blocks.rest();
  if (rest.byteLength > 0) yield [toEvent(rest, false, limits)];
}

/** Cuts bytes into blocks; each byte is looked at once, however small the packets are. */
function createBlockBuffer({ maxEventBytes, tooLarge }: SseLimits) {
  let buffer = Buffer.alloc(0);
  let filled = 0;
  let scanned = 0;
  let blockStart = 0;
  let lineStart = 0;
  let afterCr = false;
  let begun = false;

  function append(packet: Uint8Array): void {
    if (filled + packet.byteLength > buffer.byteLength) {
      const kept = filled - blockStart;
      const target = kept + packet.byteLength > buffer.byteLength / 2 ? Buffer.allocUnsafe(2 * (kept + packet.byteLength)) : buffer;
      buffer.copy(target, 0, blockStart, filled);
      buffer = target;
      filled = kept;
      scanned -= blockStart;
      lineStart -= blockStart;
      blockStart = 0;
    }
    buffer.set(packet, filled);
    filled += packet.byteLength;
  }

  /** A byte order mark counts only at the very beginning; false while it may still come. */
  function skipMark(): boolean {
    if (begun) return true;
    const seen = buffer.subarray(0, Math.min(filled, 3));
    if (seen.some((byte, i) => byte !== BOM[i])) begun = true;
    else if (filled >= 3) {
      begun = true;
      blockStart = 3;
      lineStart = 3;
      scanned = 3;
    }
    return begun;
  }

  return {
    *push(packet: Uint8Array): Generator<Uint8Array, void> {
      append(packet);
      if (!skipMark()) return;
      while (scanned < filled) {
        const byte = buffer[scanned]!;
        const secondHalf = byte === LF && afterCr;
        afterCr = byte === CR;
        scanned += 1;
        if (byte !== LF && byte !== CR) {
          if (scanned - blockStart > maxEventBytes) throw tooLarge();
          continue;
        }
        if (secondHalf) {
          lineStart = scanned;
          continue;
        }
        const empty = scanned - 1 === lineStart;
        lineStart = scanned;
        if (!empty) continue;
        // The other half of a CRLF belongs to this block if it is here already; otherwise it is an empty line of the next.
        if (byte === CR && scanned < filled && buffer[scanned] === LF) {
          scanned += 1;
          lineStart = scanned;
          afterCr = false;
        }
        yield Buffer.from(buffer.subarray(blockStart, scanned));
        blockStart = scanned;
      }
    },
    rest: (): Uint8Array => Buffer.from(buffer.subarray(blockStart, filled)),
  };
}

function toEvent(bytes: Uint8Array, complete: boolean, limits: SseLimits): WireEvent {
  let name: string | null = null;
  const data: string[] = [];
  const comments: string[] = [];
  for (const line of decode(bytes, limits).split(/\r\n|\r|\n/)) {
    const colon = line.indexOf(':');
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1);
    if (field === 'data') data.push(value);
    else if (field === 'event') name = value;
    else if (colon === 0) comments.push(value);
  }
  return { name, data: data.length === 0 ? null : data.join('\n'), comments, bytes, complete };
}

const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function decode(bytes: Uint8Array, { notUtf8 }: SseLimits): string {
  try {
    return strict.decode(bytes);
  } catch (error) {
    throw notUtf8(error);
  }
}
