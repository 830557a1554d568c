import { plainHeaders } from './plain-headers.ts';

export interface PlainInit {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>> | Headers;
}

/**
 * A response of ours: the listener writes what it holds without a stream in between, and only who asks for `body` gets one. The platform's class makes
 * streams and checked copies for each answer, which costs more than a short answer itself.
 */
class PlainResponse {
  readonly status: number;
  readonly statusText = '';
  readonly headers: Headers;
  readonly #open: () => ReadableStream<Uint8Array>;
  #stream: ReadableStream<Uint8Array> | undefined;

  constructor({ status = 200, headers = {} }: PlainInit, open: () => ReadableStream<Uint8Array>) {
    this.status = status;
    this.headers = plainHeaders(headers instanceof Headers ? headers : Object.entries(headers));
    this.#open = open;
  }

  get ok(): boolean {
    return this.status >= 200 && this.status < 300;
  }

  get body(): ReadableStream<Uint8Array> {
    this.#stream ??= this.#open();
    return this.#stream;
  }

  get bodyUsed(): boolean {
    return this.#stream?.locked ?? false;
  }

  async text(): Promise<string> {
    return await new Response(this.body).text();
  }

  async json(): Promise<unknown> {
    return JSON.parse(await this.text());
  }

  async arrayBuffer(): Promise<ArrayBuffer> {
    return await new Response(this.body).arrayBuffer();
  }
}
Object.setPrototypeOf(PlainResponse.prototype, Response.prototype);
const Plain = PlainResponse as unknown as new (init: PlainInit, open: () => ReadableStream<Uint8Array>) => Response;

/** A response whose whole body is known. */
export class WholeResponse extends Plain {
  readonly whole: string | Buffer;

  constructor(whole: string | Buffer, init: PlainInit) {
    super(init, () => new Response(whole as ConstructorParameters<typeof Response>[0]).body!);
    this.whole = whole;
  }
}

/** Texts that come one after the other. */
export interface Texts {
  /** The next one; null at the end. One call at a time; never rejects. */
  next(): Promise<string | null>;
  /** Nobody reads on. */
  cancel(): void;
  /** A reader that does not bring a full buffer down to a quarter within this time is given up. */
  readonly slowMs: number;
  /** Gives it up. */
  readonly onSlow: () => void;
}

/** A response whose body is made while it is read. */
export class TextsResponse extends Plain {
  readonly texts: Texts;

  constructor(texts: Texts, init: PlainInit) {
    super(init, () => streamOf(texts));
    this.texts = texts;
  }
}

/** Bytes that may wait for a slow reader before the source is no longer asked. */
export const BUFFER_BYTES = 256 * 1024;
/** Bytes below which it is asked again. */
export const RESUME_BYTES = 64 * 1024;

function streamOf(texts: Texts): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  let slow: NodeJS.Timeout | undefined;
  let closed = false;
  const settle = (): void => {
    clearTimeout(slow);
    slow = undefined;
  };
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        if (slow !== undefined) {
          // The next read calls this again.
          if (BUFFER_BYTES - (controller.desiredSize ?? 0) >= RESUME_BYTES) return;
          settle();
        }
        const text = await texts.next();
        if (closed) return;
        if (text === null) {
          settle();
          controller.close();
          return;
        }
        controller.enqueue(encoder.encode(text));
        if ((controller.desiredSize ?? 0) <= 0) slow ??= setTimeout(texts.onSlow, texts.slowMs).unref();
      },
      cancel() {
        closed = true;
        settle();
        texts.cancel();
      },
    },
    { highWaterMark: BUFFER_BYTES, size: (chunk) => chunk.byteLength },
  );
}

/** A value as JSON. */
export function jsonResponse(value: unknown, init: { readonly status?: number; readonly headers?: Readonly<Record<string, string>> } = {}): Response {
  return new WholeResponse(JSON.stringify(value), { status: init.status ?? 200, headers: { 'content-type': 'application/json', ...init.headers } });
}
