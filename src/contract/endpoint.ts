import type { z } from 'zod';

/** What a key or listener may do (docs/spec/security.md §10). `admin` implies all others. */
export const SCOPES = ['public', 'inference', 'observe', 'models', 'push', 'train', 'agent', 'audit', 'admin'] as const;
export type Scope = (typeof SCOPES)[number];

export type Method = 'GET' | 'POST' | 'DELETE' | 'PATCH';

/** One HTTP endpoint, declared once: the server binds it, the client is typed from it, docs/openapi.json is printed from it. */
export interface EndpointDefinition {
  /** Stable name in camelCase; `operationId` in OpenAPI. */
  readonly id: string;
  readonly method: Method;
  /** `{name}` matches one segment (percent-encoded slashes allowed), `{name+}` matches the rest with raw slashes too. */
  readonly path: `/${string}`;
  /** Other paths of the same endpoint. */
  readonly aliases?: readonly `/${string}`[];
  /** Required, so that no route can lack an access decision. */
  readonly scope: Scope;
  readonly summary: string;
  /** Object of the path's names. */
  readonly params?: z.ZodType;
  readonly query?: z.ZodType;
  readonly body?: z.ZodType;
  /** Fields of a multipart form beside its file; the handler reads it. */
  readonly form?: z.ZodType;
  /** JSON answer. */
  readonly reply?: z.ZodType;
  /** Statuses beside 200 that answer with `reply` as well. */
  readonly replyStatuses?: readonly number[];
  /** One `data:` value of the server-sent events, where the endpoint can stream. */
  readonly events?: z.ZodType;
}

export const defineEndpoint = <const E extends EndpointDefinition>(definition: E): E => Object.freeze(definition);

type InputPart<E, K extends 'params' | 'query' | 'body'> = E extends { readonly [P in K]: infer S extends z.ZodType }
  ? Record<never, never> extends z.input<S>
    ? { readonly [P in K]?: z.input<S> }
    : { readonly [P in K]: z.input<S> }
  : { readonly [P in K]?: undefined };
/** A form of texts with one file. */
type FormPart<E> = E extends { readonly form: infer S extends z.ZodType } ? { readonly form: z.input<S>; readonly file: Blob } : { readonly form?: undefined };
type OutputPart<E, K extends 'params' | 'query' | 'body'> = E extends { readonly [P in K]: infer S extends z.ZodType }
  ? { readonly [P in K]: z.output<S> }
  : { readonly [P in K]?: undefined };

/** What a caller passes: only the parts that the endpoint declares. */
export type EndpointInput<E extends EndpointDefinition> = InputPart<E, 'params'> & InputPart<E, 'query'> & InputPart<E, 'body'> & FormPart<E>;
/** What a handler gets after validation. */
export type EndpointRequest<E extends EndpointDefinition> = OutputPart<E, 'params'> & OutputPart<E, 'query'> & OutputPart<E, 'body'>;
export type EndpointReply<E extends EndpointDefinition> = E extends { readonly reply: infer S extends z.ZodType } ? z.output<S> : undefined;
export type EndpointEvent<E extends EndpointDefinition> = E extends { readonly events: infer S extends z.ZodType } ? z.output<S> : never;

/** Names in the path, in order. */
export const pathNames = (path: string): readonly { readonly name: string; readonly rest: boolean }[] =>
  [...path.matchAll(/\{(\w+)(\+?)\}/g)].map((match) => ({ name: match[1]!, rest: match[2] === '+' }));

/** The path with values filled in, each percent-encoded (slashes too: servers take both forms). */
export const fillPath = (path: string, params: Readonly<Record<string, string>> = {}): string =>
  path.replace(/\{(\w+)\+?\}/g, (_, name: string) => {
    const value = params[name];
    if (value === undefined || value === '') throw new TypeError(`The path ${path} needs a value for ${name}.`);
    return encodeURIComponent(value);
  });
