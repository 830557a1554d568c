type Parts = 'body' | 'text' | 'json' | 'arrayBuffer';
const Head = Response as unknown as new (body: null, init: ResponseInit) => Omit<Response, Parts>;

/** A response whose whole body is known: the listener writes it in one piece, without a stream in between. */
export class WholeResponse extends Head {
  readonly whole: string | Buffer;
  #stream: Response['body'] | undefined;

  constructor(whole: string | Buffer, init: ResponseInit) {
    super(null, init);
    this.whole = whole;
  }

  get body(): Response['body'] {
    this.#stream ??= new Response(this.whole as ConstructorParameters<typeof Response>[0]).body;
    return this.#stream;
  }

  async text(): Promise<string> {
    return this.whole.toString();
  }

  async json(): Promise<unknown> {
    return JSON.parse(this.whole.toString());
  }

  async arrayBuffer(): Promise<ArrayBuffer> {
    const bytes = Buffer.from(this.whole);
    return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength) as ArrayBuffer;
  }
}

/** A value as JSON. */
export function jsonResponse(value: unknown, init: { readonly status?: number; readonly headers?: Readonly<Record<string, string>> } = {}): Response {
  return new WholeResponse(JSON.stringify(value), { status: init.status ?? 200, headers: { 'content-type': 'application/json', ...init.headers } });
}
