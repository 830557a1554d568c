type Init = Iterable<readonly [string, string]>;

/**
 * Headers that came through Node's parser, or go to its writer: both check names and values, so that the platform's own class, which checks each
 * access again, only costs time.
 */
class PlainHeaders {
  readonly #fields = new Map<string, string>();

  constructor(init: Init) {
    for (const [name, value] of init) this.append(name, value);
  }

  get(name: string): string | null {
    return this.#fields.get(name.toLowerCase()) ?? null;
  }

  has(name: string): boolean {
    return this.#fields.has(name.toLowerCase());
  }

  set(name: string, value: string): void {
    this.#fields.set(name.toLowerCase(), value);
  }

  append(name: string, value: string): void {
    const key = name.toLowerCase();
    const before = this.#fields.get(key);
    this.#fields.set(key, before === undefined ? value : `${before}, ${value}`);
  }

  delete(name: string): void {
    this.#fields.delete(name.toLowerCase());
  }

  getSetCookie(): string[] {
    return [this.get('set-cookie') ?? []].flat();
  }

  forEach(each: (value: string, name: string, all: Headers) => void): void {
    for (const [name, value] of this.#fields) each(value, name, this as unknown as Headers);
  }

  entries(): MapIterator<[string, string]> {
    return this.#fields.entries();
  }

  keys(): MapIterator<string> {
    return this.#fields.keys();
  }

  values(): MapIterator<string> {
    return this.#fields.values();
  }

  [Symbol.iterator](): MapIterator<[string, string]> {
    return this.#fields.entries();
  }
}
Object.setPrototypeOf(PlainHeaders.prototype, Headers.prototype);

export const plainHeaders = (init: Init): Headers => new PlainHeaders(init) as unknown as Headers;
