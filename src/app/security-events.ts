import type { ModelContent, ProductEvent, RequestEndEvent } from '../contract/index.ts';
import type { Clock, Logger, SecurityEvent, SecurityEventSink } from '../core/index.ts';
import { logPlaces, type SecurityLog, verifyLog } from '../security/index.ts';
import type { Telemetry } from '../telemetry/index.ts';

/** Refusals of what was sent, by the code of the error. */
const REJECTED = new Set([
  'host_not_allowed',
  'origin_not_allowed',
  'invalid_value',
  'invalid_json',
  'invalid_json_schema',
  'unsupported_parameter',
  'unsupported_media_type',
  'template_limit',
  'prompt_refused',
]);
/** Refusals of how much. */
const LIMITED = new Set([
  'request_too_large',
  'url_too_long',
  'headers_too_large',
  'context_length_exceeded',
  'rate_limit_exceeded',
  'insufficient_quota',
  'queue_full',
  'queue_timeout',
  'request_timeout',
  'memory_budget',
  'insufficient_memory',
  'adapter_limit',
]);

/** Which security event a refusal is; null for what is none. */
export const refusalEvent = (code: string): 'input.rejected' | 'limit.hit' | null =>
  REJECTED.has(code) ? 'input.rejected' : LIMITED.has(code) ? 'limit.hit' : null;

/** The security events among the product's events, each once (docs/spec/security.md §16). */
export function recordProductEvents(sink: SecurityEventSink): (event: ProductEvent) => void {
  return (event) => {
    const told = securityEventOf(event);
    if (told !== null) sink.record(told);
  };
}

function securityEventOf(event: ProductEvent): SecurityEvent | null {
  switch (event.kind) {
    case 'request-end':
      return ofRequest(event);
    case 'model-load-end':
      return { event: 'model.load', outcome: 'ok', model: modelOf(event), details: { engine: event.engine, durationMs: Math.round(event.durationMs) } };
    case 'model-unload-end':
      // A crash is told as one.
      return event.reason === 'crash'
        ? null
        : { event: 'model.unload', outcome: 'ok', model: modelOf(event), reason: event.reason, details: { engine: event.engine } };
    case 'engine-kill':
      return {
        event: 'engine.killed',
        outcome: 'failed',
        model: { id: event.model },
        reason: event.reason,
        details: { limit: event.limit, value: event.value },
      };
    case 'engine-restart':
      return event.reason === 'killed' ? null : { event: 'engine.crashed', outcome: 'failed', model: { id: event.model }, reason: event.reason };
    default:
      return null;
  }
}

const modelOf = ({ model: id, content }: { readonly model: string; readonly content?: ModelContent }) => ({
  id,
  ...(content?.rootDigest ? { rootDigest: content.rootDigest } : {}),
  ...(content?.revision ? { revision: content.revision } : {}),
});

/** Requests of this user's own commands are no attempts of anybody. */
function ofRequest({ code, remoteAddress, origin, keyId, requestId, traceId, route, method, refusedScope }: RequestEndEvent): SecurityEvent | null {
  if (code === null || remoteAddress === null) return null;
  const name = code === 'invalid_api_key' ? 'auth.fail' : refusedScope !== null ? 'authz.deny' : refusalEvent(code);
  if (name === null) return null;
  return {
    event: name,
    outcome: 'denied',
    actor: { key: keyId, ip: remoteAddress, ...(origin === null ? {} : { origin }) },
    requestId,
    traceId,
    reason: code,
    details: { method, route, ...(refusedScope === null ? {} : { scope: refusedScope }) },
  };
}

/** Counts the lines of the log, and keeps the gauge that says whether its chain holds. The whole of it is verified in quiet once a day. */
export function watchSecurityLog({
  log,
  home,
  telemetry,
  clock,
  logger,
  onVerified = () => {},
}: {
  readonly log: SecurityLog;
  readonly home: string;
  readonly telemetry: Pick<Telemetry, 'events' | 'registry'>;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Hears how each verification of the whole log ended. */
  readonly onVerified?: (ok: boolean, fault: string | null) => void;
}): Disposable {
  const gone = new AbortController();
  let verifiedAt: number | null = null;
  const set = (ok: boolean) => telemetry.registry.set('hearth_audit_chain_ok', [], ok ? 1 : 0);
  const stop = log.subscribe(({ event, severity, reason, details }) => {
    telemetry.events.emit({ kind: 'security-event', type: event, severity });
    if (event === 'audit.gap' && reason !== 'torn') set(false);
    if (event !== 'model.verify.ok' && event !== 'model.verify.failed') return;
    telemetry.registry.add('hearth_model_verify_total', [event === 'model.verify.ok' ? 'ok' : (reason ?? 'failed')]);
    const durationMs = details?.['durationMs'];
    if (typeof durationMs === 'number') telemetry.registry.observe('hearth_model_verify_seconds', [], durationMs / 1000);
  });
  async function verify(): Promise<void> {
    verifiedAt = clock.monotonic();
    try {
      await log.flush();
      const { ok, faults } = await verifyLog({ ...logPlaces(home), signal: gone.signal });
      set(ok);
      onVerified(ok, faults[0]?.code ?? null);
      if (!ok) logger.error('The security log is not as it was written; `hearth audit verify` tells more.', { faults: faults.slice(0, 3) });
    } catch (error) {
      if (gone.signal.aborted) return;
      set(false);
      logger.error('The security log could not be verified.', { error });
    }
  }
  const first = setTimeout(() => void verify(), VERIFY_AFTER_MS).unref();
  telemetry.registry.onCollect(async () => {
    if (verifiedAt === null || clock.monotonic() - verifiedAt > DAY_MS) await verify();
  });
  return {
    [Symbol.dispose]() {
      clearTimeout(first);
      gone.abort();
      stop();
    },
  };
}

const DAY_MS = 86_400_000;
/** A daemon that has just begun has better things to do. */
const VERIFY_AFTER_MS = 3_000;
