import { isJsonObject } from '../../core/index.ts';

/**
 * Checks of JSON values without a schema library: the child of a model checks each message of its parent, and loading a library for that took
 * an eighth of a load. A shape gives the value as it is, or throws TypeError naming the place.
 */
export type Shape<T> = (value: unknown, place: string) => T;
export type ShapeOf<S> = S extends Shape<infer T> ? T : never;

type Shapes = Readonly<Record<string, Shape<unknown>>>;
type Simple<T> = { [K in keyof T]: T[K] };
type Fields<R extends Shapes, O extends Shapes> = Simple<{ [K in keyof R]: ShapeOf<R[K]> } & { [K in keyof O]?: ShapeOf<O[K]> | undefined }>;

const wrong = (place: string, wanted: string): TypeError => new TypeError(`${place} is not ${wanted}`);

/** `least` and `most` are characters (UTF-16). */
export const text =
  (least = 0, most = Number.POSITIVE_INFINITY): Shape<string> =>
  (value, place) => {
    if (typeof value === 'string' && value.length >= least && value.length <= most) return value;
    throw wrong(place, 'a text of the right length');
  };

export const number =
  (least = Number.NEGATIVE_INFINITY, most = Number.POSITIVE_INFINITY): Shape<number> =>
  (value, place) => {
    if (typeof value === 'number' && Number.isFinite(value) && value >= least && value <= most) return value;
    throw wrong(place, 'a number in its range');
  };

export const whole =
  (least = 0, most = Number.MAX_SAFE_INTEGER): Shape<number> =>
  (value, place) => {
    if (Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most) return value as number;
    throw wrong(place, 'a whole number in its range');
  };

export const flag: Shape<boolean> = (value, place) => {
  if (typeof value === 'boolean') return value;
  throw wrong(place, 'true or false');
};

export const anything: Shape<unknown> = (value) => value;

export const oneOf =
  <const T extends string>(...words: readonly T[]): Shape<T> =>
  (value, place) => {
    if (words.includes(value as T)) return value as T;
    throw wrong(place, `one of ${words.join(', ')}`);
  };

export const list =
  <T>(item: Shape<T>, least = 0): Shape<T[]> =>
  (value, place) => {
    if (!Array.isArray(value) || value.length < least) throw wrong(place, `a list of ${least} or more`);
    for (let i = 0; i < value.length; i++) item(value[i], place);
    return value as T[];
  };

/** An object of any keys; `key` must match each of them. */
export const record =
  <T>(item: Shape<T>, key?: RegExp): Shape<Record<string, T>> =>
  (value, place) => {
    if (!isJsonObject(value)) throw wrong(place, 'an object');
    for (const [name, entry] of Object.entries(value)) {
      if (key?.test(name) === false) throw wrong(`${place}: ${name}`, 'such a key');
      item(entry, `${place}.${name}`);
    }
    return value as Record<string, T>;
  };

/** Strict: other keys are refused. */
export const object =
  <R extends Shapes, O extends Shapes = Record<never, never>>(required: R, optional: O = {} as O): Shape<Fields<R, O>> =>
  (value, place) => {
    if (!isJsonObject(value)) throw wrong(place, 'an object');
    for (const name of Object.keys(required)) required[name]!(value[name], `${place}.${name}`);
    for (const name of Object.keys(value)) {
      if (Object.hasOwn(required, name)) continue;
      if (!Object.hasOwn(optional, name)) throw wrong(`${place}.${name}`, 'known');
      if (value[name] !== undefined) optional[name]!(value[name], `${place}.${name}`);
    }
    return value as Fields<R, O>;
  };

export const either =
  <A, B>(first: Shape<A>, second: Shape<B>): Shape<A | B> =>
  (value, place) => {
    try {
      return first(value, place);
    } catch {
      return second(value, place);
    }
  };

type Kinds<V extends Readonly<Record<string, Shape<object>>>> = { [K in keyof V]: Simple<{ kind: K } & ShapeOf<V[K]>> }[keyof V];

/** Objects told apart by `kind`; the shapes are of what stands beside it. */
export const kinds =
  <V extends Readonly<Record<string, Shape<object>>>>(shapes: V): Shape<Kinds<V>> =>
  (value, place) => {
    if (!isJsonObject(value) || typeof value['kind'] !== 'string' || !Object.hasOwn(shapes, value['kind'])) throw wrong(place, 'of a known kind');
    const { kind, ...rest } = value;
    shapes[kind as string]!(rest, kind as string);
    return value as Kinds<V>;
  };
