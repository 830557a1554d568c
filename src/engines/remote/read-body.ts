import { isHearthError } from '../../core/index.ts';
import type { Faults } from './faults.ts';
import type { CallWatch } from './wire/call-watch.ts';
import type { WireResponse } from './wire/transport.ts';

/** The whole body, under the idle limit between its pieces. Throws upstream_truncated, upstream_timeout, upstream_event_too_large. */
export async function readBody(response: WireResponse, watch: CallWatch, faults: Faults, maxBytes: number): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  let size = 0;
  try {
    watch.waiting();
    for await (const piece of response.body) {
      watch.received(true);
      size += piece.byteLength;
      if (size > maxBytes) throw faults.tooLarge(maxBytes);
      pieces.push(piece);
      watch.waiting();
    }
    watch.received(true);
    if (watch.signal.aborted) throw watch.signal.reason;
    return Buffer.concat(pieces);
  } catch (error) {
    response.destroy();
    if (watch.signal.aborted) throw watch.signal.reason;
    throw isHearthError(error) ? error : faults.truncated('the connection was closed', error);
  }
}

/** The body as a JSON value. Throws upstream_malformed. */
export function parseBody(bytes: Uint8Array, faults: Faults): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (error) {
    throw faults.malformed('an answer that is no JSON', error);
  }
}
