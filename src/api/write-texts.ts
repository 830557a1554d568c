import type { ServerResponse } from 'node:http';
import { BUFFER_BYTES, RESUME_BYTES, type Texts } from './text-response.ts';

/** Writes texts as fast as the client takes them: what waits for it is bounded, and who takes too little for too long is given up. */
export async function writeTexts(texts: Texts, outgoing: ServerResponse): Promise<void> {
  const waiting: { readonly text: string; readonly bytes: number }[] = [];
  let waitingBytes = 0;
  let full = false;
  let relieved: (() => void) | null = null;
  const relieve = (): void => {
    relieved?.();
    relieved = null;
  };
  const onDrain = (): void => {
    full = false;
    while (!full && waiting.length > 0) {
      const { text, bytes } = waiting.shift()!;
      waitingBytes -= bytes;
      full = !outgoing.write(text);
    }
    if (waitingBytes < RESUME_BYTES) relieve();
  };
  const onClose = (): void => {
    texts.cancel();
    relieve();
  };
  outgoing.on('drain', onDrain);
  outgoing.once('close', onClose);
  // What is there already goes out with the head, in one write; what is not must not keep the head.
  const alone = setImmediate(() => outgoing.flushHeaders());
  for (let first = true; ; first = false) {
    const text = await texts.next();
    clearImmediate(alone);
    if (outgoing.destroyed) return;
    if (text === null) break;
    if (!full) {
      full = !outgoing.write(text);
      // A write goes out with the next tick. Who waits for the first token does not wait for what is done to the second one before that.
      if (first) await new Promise((resolve) => process.nextTick(resolve));
      continue;
    }
    const bytes = Buffer.byteLength(text);
    waiting.push({ text, bytes });
    waitingBytes += bytes;
    if (waitingBytes < BUFFER_BYTES) continue;
    const slow = setTimeout(texts.onSlow, texts.slowMs).unref();
    await new Promise<void>((resolve) => {
      relieved = resolve;
    });
    clearTimeout(slow);
  }
  outgoing.off('close', onClose);
  outgoing.off('drain', onDrain);
  for (const { text } of waiting) outgoing.write(text);
  outgoing.end();
}
