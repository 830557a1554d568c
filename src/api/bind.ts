import type { Hono } from 'hono';
import type { z } from 'zod';
import type { EndpointDefinition, EndpointReply, EndpointRequest } from '../contract/index.ts';
import { HearthError, isJsonObject } from '../core/index.ts';
import type { Answer, RequestGateway } from '../gateway/index.ts';
import { type Caller, callerId, checkScope } from '../security/index.ts';
import type { LiveRequest } from './observe/request-table.ts';
import { readJsonBody } from './read-body.ts';
import { jsonResponse } from './text-response.ts';

/** What every handler gets besides its validated input. */
export interface CallContext {
  readonly requestId: string;
  /** As it came; its body is read already where the endpoint declares one. */
  readonly request: Request;
  /** With its key, which was checked. */
  readonly caller: Caller;
  /** What answers, within the models and limits of the caller. */
  readonly gateway: RequestGateway;
  /** Aborted when the client goes away. */
  readonly signal: AbortSignal;
  /** Ends the connection at once. */
  readonly cut: () => void;
  /** For the access log. */
  readonly note: RequestNote;
}

/** What a handler tells the access log. */
export interface RequestNote {
  /** Set once the caller is known. */
  gateway?: RequestGateway;
  readonly live: LiveRequest;
  /** As it was parsed, for a capture. */
  body?: unknown;
  /** The same as it came, for an upstream that speaks its API. */
  bytes?: Uint8Array;
  /** Kinds of characters in it that people would not see. */
  hidden?: readonly string[];
  /** The first answer of the request. */
  answer?: Answer;
  /** Settles at the end of a stream with how it ended: `ok`, `client_cancel`, `slow_client` or the code of the error in it. */
  stream?: Promise<string>;
}

/** Hears of the body of each request that a model is to answer. */
export type RequestInspector = (body: unknown, facts: { readonly caller: string; readonly requestId: string; readonly model: string | null }) => void;

export interface HonoEnv {
  Variables: Omit<CallContext, 'request'>;
}

export type Handler<E extends EndpointDefinition> = (input: EndpointRequest<E>, context: CallContext) => Promise<EndpointReply<E> | Response>;

/** Binds a handler to an endpoint: scope first, then path, query and body, then the answer as JSON. */
export function bind<E extends EndpointDefinition>(
  app: Hono<HonoEnv>,
  endpoint: E,
  limits: { readonly maxBodyBytes: number; readonly inspect?: RequestInspector | null },
  handler: Handler<E>,
): void {
  const paths = [endpoint.path, ...(endpoint.aliases ?? [])].map((path) => path.replaceAll(/\{(\w+)\+\}/g, ':$1{.+}').replaceAll(/\{(\w+)\}/g, ':$1'));
  app.on(endpoint.method, paths, async (context) => {
    const { caller, gateway, requestId, signal, cut, note } = context.var;
    Object.assign(note.live, { route: endpoint.path, scope: endpoint.scope });
    const refusal = checkScope(caller, endpoint.scope);
    if (refusal) throw refusal;
    const input = {
      ...(endpoint.params ? { params: validate(endpoint.params, context.req.param()) } : {}),
      ...(endpoint.query ? { query: validate(endpoint.query, singleValues(context.req.queries())) } : {}),
      ...(endpoint.body ? { body: validate(endpoint.body, objectOnly(await readBody(context.req.raw, limits.maxBodyBytes, note))) } : {}),
    } as EndpointRequest<E>;
    if (limits.inspect && ANSWERED.has(endpoint.id)) limits.inspect(note.body, { caller: callerId(caller), requestId, model: modelIn(note.body) });
    const reply = await handler(input, { caller, gateway, requestId, request: context.req.raw, signal, cut, note });
    return reply instanceof Response ? reply : jsonResponse(reply);
  });
}

/** Endpoints at which a model reads what others wrote and answers it. */
const ANSWERED: ReadonlySet<string> = new Set(['chatCompletions', 'completions', 'createMessage', 'createResponse']);

const modelIn = (body: unknown): string | null => (isJsonObject(body) && typeof body['model'] === 'string' ? body['model'] : null);

async function readBody(request: Request, maxBytes: number, note: RequestNote): Promise<unknown> {
  const { value, bytes, hidden } = await readJsonBody(request, maxBytes);
  note.body = value;
  note.bytes = bytes;
  note.hidden = hidden;
  return value;
}

function singleValues(queries: Record<string, string[]>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(queries).map(([name, values]) => {
      if (values.length > 1) throw new HearthError('invalid_value', `${name} is given more than once.`, { details: { param: name } });
      return [name, values[0]!];
    }),
  );
}

function objectOnly(body: unknown): unknown {
  if (typeof body === 'object' && body !== null && !Array.isArray(body)) return body;
  throw new HearthError('invalid_json', 'The body has to be one JSON object.');
}

/** The parsed value, or invalid_value naming the first field that is wrong. */
export function validate<S extends z.ZodType>(schema: S, value: unknown): z.output<S> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = deepest(result.error.issues[0]!);
  const path = issue.path.join('.');
  const param = issue.code === 'unrecognized_keys' ? [path, issue.keys[0]].filter(Boolean).join('.') : path;
  throw new HearthError('invalid_value', messageOf(issue, param), { details: { param } });
}

type Issue = z.core.$ZodIssue;

/** For a union, the issue of the branch that came furthest. */
function deepest(issue: Issue): Issue {
  if (issue.code !== 'invalid_union') return issue;
  const inner = issue.errors.flatMap((branch) => branch.slice(0, 1)).sort((a, b) => b.path.length - a.path.length)[0];
  if (!inner || inner.path.length === 0) return issue;
  return deepest({ ...inner, path: [...issue.path, ...inner.path] });
}

function messageOf(issue: Issue, param: string): string {
  if (issue.code === 'unrecognized_keys') return `${param} is not known here.`;
  if (issue.code === 'invalid_type' && issue.message.endsWith('received undefined')) return `${param} is needed.`;
  if (issue.code === 'too_small' && issue.origin === 'array') return `${param || 'The value'} is empty.`;
  if (issue.code === 'too_small' && issue.origin === 'number') return `${param} must be ${issue.inclusive ? 'at least' : 'above'} ${issue.minimum}.`;
  if (issue.code === 'too_big' && issue.origin === 'number') return `${param} must be ${issue.inclusive ? 'at most' : 'below'} ${issue.maximum}.`;
  return `${param || 'The value'}: ${issue.message.replace(/^Invalid input: /, '')}.`;
}
