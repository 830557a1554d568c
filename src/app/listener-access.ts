import type { ListenerAccess } from '../api/index.ts';
import type { Logger, SecurityEventSink } from '../core/index.ts';
import type { ApiKeyStore } from '../security/index.ts';
import type { LiveConfig } from './live-config.ts';
import { refusalEvent } from './security-events.ts';

/** Whom TCP listeners let in, by the configuration that is in force at each request (docs/spec/security.md §10). */
export function createListenerAccess({
  live,
  keys,
  logger,
  events,
}: {
  readonly live: LiveConfig;
  readonly keys: ApiKeyStore;
  readonly logger: Logger;
  readonly events: SecurityEventSink;
}): ListenerAccess {
  let exposed = false;
  return {
    get requireKey() {
      return exposed || live.config.access.requireKey;
    },
    get hosts() {
      return live.config.access.hosts;
    },
    get origins() {
      return live.config.access.origins;
    },
    hasKeys: () => keys.any(),
    onExposed(address) {
      exposed = true;
      logger.warning('Other machines reach this server, by plain HTTP: put TLS in front of it. Every request needs a key.', { address });
    },
    onOpen({ addresses, exposed }) {
      events.record({ event: 'listener.open', outcome: 'ok', ...(exposed ? { severity: 'critical' } : {}), details: { addresses, exposed } });
    },
    onRefused({ code, remoteAddress, origin }) {
      const event = refusalEvent(code);
      if (event !== null) events.record({ event, outcome: 'denied', actor: { ip: remoteAddress, ...(origin === null ? {} : { origin }) }, reason: code });
    },
  };
}
