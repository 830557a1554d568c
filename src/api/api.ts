import { Hono } from 'hono';
import type { Catalog } from '../catalog/index.ts';
import {
  type Clock,
  type EventSink,
  HearthError,
  type Logger,
  NO_SECURITY_EVENTS,
  requestId as newRequestId,
  type SecurityEventSink,
  silentLogger,
  systemClock,
} from '../core/index.ts';
import { createKeyLimits, createMemoryStateStore, createRequestGateway, type Gateway, type KeyLimits, type RequestGateway } from '../gateway/index.ts';
import { type Access, type ApiKeyStore, type Caller, callerId, checkScope, createAccess, IN_PROCESS, NO_API_KEYS, policyOf } from '../security/index.ts';
import type { Store } from '../store/index.ts';
import type { HonoEnv, RequestInspector, RequestNote } from './bind.ts';
import { bindRoutes } from './bind-routes.ts';
import { errorResponse, errorShape, publicError } from './errors.ts';
import { captureAnswer } from './observe/capture.ts';
import { leakRecorder, observeGateway } from './observe/observe-gateway.ts';
import { createRequestObserver } from './observe/observe-requests.ts';
import type { LiveRequest } from './observe/request-table.ts';
import { NO_TELEMETRY, type TelemetryReader } from './observe/telemetry-port.ts';
import { NO_RELOADS } from './routes/access.ts';
import type { AlertService } from './routes/alerts.ts';
import { NO_AUDIT } from './routes/audit.ts';
import { NO_DAEMON, NO_LOGS } from './routes/daemon.ts';
import { type EngineInstalls, NO_ENGINE_INSTALLS } from './routes/engines.ts';
import { responseStore } from './routes/responses.ts';
import type { TrustService } from './routes/trust.ts';
import { routingWishes } from './routing-wishes.ts';
import type { AuditReader, ConfigReloads, DaemonControl, LogReader, Services } from './services.ts';
import { unknownRoute } from './unknown-route.ts';

export interface ApiOptions {
  readonly gateway: Gateway;
  readonly store: Store;
  /** Absent: the list of known models is empty. */
  readonly catalog?: Catalog;
  /** Absent: nothing can be installed here. */
  readonly engines?: EngineInstalls;
  /** Of the product. */
  readonly version: string;
  // Times and sizes are read at each request: getters follow a reload of the configuration.
  /** Comments on a quiet stream; 8 s. */
  readonly heartbeatMs?: number;
  /** Headers of a stream wait this long for the first token; 8 s. */
  readonly headerHoldMs?: number;
  /** A stream whose reader takes nothing is cut after this time; 30 s. */
  readonly slowClientTimeoutMs?: number;
  /** Decompressed size of a JSON body; 8 MiB. */
  readonly maxBodyBytes?: number;
  readonly images?: Partial<Services['images']>;
  /** Links of images are refused when it is absent. */
  readonly media?: Services['media'];
  readonly embeddings?: Partial<Services['embeddings']>;
  readonly listeners?: () => readonly string[];
  /** Settings that make this process less safe than it comes. */
  readonly weakened?: () => readonly string[];
  /** Absent: there are no keys, and none can be made. */
  readonly keys?: ApiKeyStore;
  readonly access?: Access;
  readonly limits?: KeyLimits;
  /** Absent: nobody judges models, and there are no signing keys. */
  readonly trust?: TrustService;
  /** Reads the configuration again; absent: this process cannot. */
  readonly reloads?: ConfigReloads;
  /** Absent: this process is no daemon. */
  readonly daemon?: DaemonControl;
  readonly logs?: LogReader;
  readonly audit?: AuditReader;
  readonly alerts?: AlertService;
  readonly inspect?: RequestInspector;
  readonly securityEvents?: SecurityEventSink;
  readonly logger?: Logger;
  readonly clock?: Clock;
  /** Hears what becomes of each request; absent: nobody. */
  readonly events?: EventSink;
  /** What was observed, for the routes that tell it. */
  readonly telemetry?: TelemetryReader;
  /** Prompts and answers go into those events too, with secrets replaced. */
  readonly observeContent?: boolean;
}

/** Where a request came from; without it the caller is the own process. */
export interface RequestOrigin {
  readonly caller: Caller;
  /** Set for a page whose origin was checked: it gets the CORS answer. */
  readonly allowedOrigin?: string;
  /** Ends the connection at once. */
  readonly cut?: () => void;
}

export interface Api {
  request(request: Request, origin?: RequestOrigin): Promise<Response>;
}

const SECURITY_HEADERS = {
  'x-content-type-options': 'nosniff',
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
} as const;

export function createApi(options: ApiOptions): Api {
  const logger = options.logger ?? silentLogger;
  const clock = options.clock ?? systemClock;
  const telemetry = options.telemetry ?? NO_TELEMETRY;
  const observer = createRequestObserver({ clock, events: options.events ?? { emit() {} }, logger });
  const services: Services = {
    gateway: observeGateway(options.gateway, {
      requests: observer.table,
      clock,
      content: options.observeContent ?? false,
      onSecret: leakRecorder(options.securityEvents),
    }),
    requests: observer.table,
    telemetry,
    store: options.store,
    catalog: options.catalog ?? null,
    engines: options.engines ?? NO_ENGINE_INSTALLS,
    images: { exif: true, context: true, ...options.images },
    embeddings: { backend: null, truncate: false, ...options.embeddings },
    media: options.media ?? { remoteUrls: 'off' },
    responses: responseStore(clock),
    version: options.version,
    get heartbeatMs() {
      return options.heartbeatMs ?? 8_000;
    },
    get headerHoldMs() {
      return options.headerHoldMs ?? 8_000;
    },
    get slowClientTimeoutMs() {
      return options.slowClientTimeoutMs ?? 30_000;
    },
    get maxBodyBytes() {
      return options.maxBodyBytes ?? 8 * 1024 * 1024;
    },
    listeners: options.listeners ?? (() => []),
    weakened: options.weakened ?? (() => []),
    keys: options.keys ?? NO_API_KEYS,
    trust: options.trust ?? null,
    reloads: options.reloads ?? NO_RELOADS,
    daemon: options.daemon ?? NO_DAEMON,
    logs: options.logs ?? NO_LOGS,
    audit: options.audit ?? NO_AUDIT,
    alerts: options.alerts ?? null,
    inspect: options.inspect ?? null,
    securityEvents: options.securityEvents ?? NO_SECURITY_EVENTS,
    logger,
    clock,
    startedAtMs: clock.now(),
  };
  const access = options.access ?? createAccess({ keys: services.keys, clock, logger });
  const limits = options.limits ?? createKeyLimits({ store: createMemoryStateStore(clock) });
  const app = createRoutes(services, {
    identify: access.identify,
    enter: (caller, { headers }, { id, trace }) =>
      createRequestGateway(services.gateway, limits, { id: callerId(caller), policy: policyOf(caller) }, routingWishes(headers, id, trace)),
  });

  return {
    async request(request, origin = { caller: IN_PROCESS }) {
      const requestId = newRequestId();
      const live = observer.begin(request, requestId, origin.caller);
      const note: RequestNote = { live };
      const { captures } = telemetry;
      const answered = await app.fetch(request, { origin, requestId, note });
      const response =
        captures !== null && live.scope === 'inference' ? captureAnswer(captures, { live, request, body: note.body }, answered, clock) : answered;
      const headers = writable(response);
      for (const [name, value] of Object.entries(SECURITY_HEADERS)) headers.set(name, value);
      if (!headers.has('cache-control')) headers.set('cache-control', 'no-store');
      headers.set('x-request-id', requestId);
      // Told, and left in: a text may need them.
      if (note.hidden !== undefined && note.hidden.length > 0) headers.set('x-hearth-hidden-text', note.hidden.join(', '));
      if (shapeOf(request) === 'anthropic') headers.set('request-id', requestId);
      if (origin.allowedOrigin !== undefined) {
        headers.set('access-control-allow-origin', origin.allowedOrigin);
        // Ids, retry times and who answered: clients in a page read them as others do.
        headers.set('access-control-expose-headers', '*');
        headers.append('vary', 'origin');
      }
      // A reader in this process, who asks for the body later, finds what came meanwhile.
      if (origin.caller === IN_PROCESS) void response.body;
      // A stream is over when its last byte is written; an error that came before its headers is no stream.
      live.streaming = note.stream !== undefined && response.ok;
      for (const [name, value] of Object.entries(note.gateway?.limitHeaders() ?? {})) headers.set(name, value);
      const end = (outcome: string | null) => {
        note.gateway?.end();
        observer.end(live, response.status, outcome);
      };
      if (note.stream && response.ok) void note.stream.then(end);
      else end(null);
      return headers === response.headers ? response : new Response(response.body, { status: response.status, headers });
    },
  };
}

/** The response's own headers; a copy where they cannot be changed, as in an answer that another server gave. */
function writable({ headers }: Response): Headers {
  try {
    headers.set('x-content-type-options', 'nosniff');
    return headers;
  } catch {
    return new Headers(headers);
  }
}

const shapeOf = ({ url, headers }: Request) => errorShape(new URL(url).pathname, headers.get('anthropic-version'));

type Bindings = { readonly origin: RequestOrigin; readonly requestId: string; readonly note: RequestNote };

/** Who comes in, and what of the gateway is open to him. */
interface Door {
  readonly identify: Access['identify'];
  enter(caller: Caller, request: Request, live: LiveRequest): RequestGateway;
}

function createRoutes(services: Services, door: Door): Hono<HonoEnv & { Bindings: Bindings }> {
  const app = new Hono<HonoEnv & { Bindings: Bindings }>();
  app.use(async (context, next) => {
    const { origin, note } = context.env;
    context.set('caller', origin.caller);
    const caller = door.identify(origin.caller, context.req.raw.headers, context.req.url);
    note.gateway = door.enter(caller, context.req.raw, note.live);
    note.live.keyId = callerId(caller);
    context.set('caller', caller);
    context.set('gateway', note.gateway);
    context.set('note', note);
    context.set('requestId', context.env.requestId);
    context.set('signal', context.req.raw.signal);
    context.set('cut', context.env.origin.cut ?? (() => {}));
    await next();
  });
  app.onError((error, context) => {
    const told = publicError(error, context.var.caller);
    refusedWith(context.env.note.live, told);
    if (told.code === 'internal_error') services.logger.error('request-error', { request_id: context.env.requestId, reason: causeOf(error) });
    return errorResponse(told, context.env.requestId, {}, shapeOf(context.req.raw));
  });
  app.notFound((context) => {
    const { pathname } = new URL(context.req.url);
    const shape = shapeOf(context.req.raw);
    const guarded = /^\/(admin|train)(\/|$)/.test(pathname);
    const { caller } = context.var;
    // Where everything needs a key, what is not there does too.
    const closed = caller.kind === 'tcp' && caller.requireKey && caller.key === undefined;
    const refusal = checkScope(caller, guarded ? 'admin' : closed ? 'inference' : 'public');
    if (refusal) {
      refusedWith(context.env.note.live, refusal);
      return errorResponse(refusal, context.env.requestId, {}, shape);
    }
    const { error, headers } = unknownRoute(context.req.method, pathname);
    return errorResponse(error, context.env.requestId, headers, shape);
  });

  bindRoutes(app as unknown as Hono<HonoEnv>, services);
  return app;
}

/** What a request was refused with, for its end to tell. */
function refusedWith(live: LiveRequest, { code, details }: HearthError): void {
  live.code = code;
  const { scope } = details;
  if (code === 'permission_denied' && typeof scope === 'string') live.refusedScope = scope;
}

const causeOf = (error: unknown): string => {
  const cause = error instanceof HearthError && error.cause !== undefined ? error.cause : error;
  return cause instanceof Error ? (cause.stack ?? cause.message) : String(cause);
};
