type Parts = 'body' | 'text' | 'json' | 'arrayBuffer';
const Head = Response as unknown as new (body: null, init: ResponseInit) => Omit<Response, Parts>;

/** A response whose whole body is known: the listener writes it in one piece, without a stream in between. */
export class TextResponse extends Head {
  readonly wholeText: string;
  #stream: Response['body'] | undefined;

  constructor(text: string, init: ResponseInit) {
    super(null, init);
    this.wholeText = text;
  }

  get body(): Response['body'] {
    this.#stream ??= new Response(this.wholeText).body;
    return this.#stream;
  }

  async text(): Promise<string> {
    return this.wholeText;
  }

  async json(): Promise<unknown> {
    return JSON.parse(this.wholeText);
  }

  async arrayBuffer(): Promise<ArrayBuffer> {
    const bytes = new TextEncoder().encode(this.wholeText);
    return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength) as ArrayBuffer;
  }
}

/** A value as JSON. */
export function jsonResponse(value: unknown, init: { readonly status?: number; readonly headers?: Readonly<Record<string, string>> } = {}): Response {
  return new TextResponse(JSON.stringify(value), { status: init.status ?? 200, headers: { 'content-type': 'application/json', ...init.headers } });
}
