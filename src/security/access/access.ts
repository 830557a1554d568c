import type { ApiKeyRecord } from '../../contract/index.ts';
import { type Clock, HearthError, type Logger, NO_SECURITY_EVENTS, type SecurityEventSink, silentLogger } from '../../core/index.ts';
import type { ApiKeyStore } from './api-keys.ts';
import { type Caller, invalidKey } from './caller.ts';

export interface AccessOptions {
  readonly keys: ApiKeyStore;
  readonly clock: Clock;
  readonly logger?: Logger;
  /** Hears of a right key after so many wrong ones that the address had to wait. */
  readonly events?: SecurityEventSink;
  /** Wrong keys from one address in a minute before it has to wait; read at each request. */
  readonly authFailures?: () => number;
  /** `shared`: all callers use the same evaluated prefixes; read at each request. */
  readonly prefixIsolation?: () => 'key' | 'shared';
}

export interface Access {
  /**
   * The caller with its key, or without one where none is shaped like ours. Throws invalid_api_key, invalid_value for a key in the URL,
   * rate_limit_exceeded for an address with too many wrong keys.
   */
  identify(caller: Caller, headers: Headers, url: string): Caller;
}

interface Address {
  /** Times of wrong keys within the last minute. */
  failures: number[];
  /** Wrong keys since the limit was reached. */
  beyond: number;
  waitUntilMs: number;
  /** Keys that were right from here: they stay so while somebody else at this address guesses. */
  readonly known: Set<string>;
}

const MINUTE_MS = 60_000;
const MAX_WAIT_MS = 60_000;
/** Addresses that are remembered; the oldest goes first. */
const MAX_ADDRESSES = 10_000;
/** What SDKs send because they insist on some key is not ours to check. */
const SHAPE = /^hth_/;
const IN_URL = /hth_[a-z0-9]{12}_[\w-]{43}/;

/** Says whose key a request carries (docs/spec/security.md §10); addresses that guess are slowed down (§7). */
export function createAccess(options: AccessOptions): Access {
  const { keys, clock, logger = silentLogger, events = NO_SECURITY_EVENTS, authFailures = () => 5, prefixIsolation = () => 'key' as const } = options;
  const addresses = new Map<string, Address>();

  function addressOf(name: string): Address {
    const known = addresses.get(name);
    if (known) return known;
    if (addresses.size >= MAX_ADDRESSES) addresses.delete(addresses.keys().next().value!);
    const fresh: Address = { failures: [], beyond: 0, waitUntilMs: 0, known: new Set() };
    addresses.set(name, fresh);
    return fresh;
  }

  function check(credential: string, remoteAddress: string): ApiKeyRecord {
    const now = clock.monotonic();
    const address = addressOf(remoteAddress);
    const record = keys.verify(credential);
    const waiting = now < address.waitUntilMs;
    if (record && (!waiting || address.known.has(record.id))) {
      if (address.beyond > 0 && !waiting) {
        logger.warning('auth-recovered', { remote: remoteAddress, key: record.id });
        events.record({ event: 'auth.recovered', outcome: 'ok', actor: { key: record.id, ip: remoteAddress }, details: { failures: address.failures.length } });
      }
      if (!waiting) Object.assign(address, { failures: [], beyond: 0 });
      address.known.add(record.id);
      return record;
    }
    if (waiting) {
      const retryAfterS = Math.ceil((address.waitUntilMs - now) / 1000);
      throw new HearthError('rate_limit_exceeded', 'Too many wrong keys came from this address.', { details: { retryAfterS } });
    }
    address.failures = [...address.failures.filter((at) => now - at < MINUTE_MS), now];
    // Who guesses again within a minute of his wait waits longer; who was quiet that long begins anew.
    const again = address.beyond > 0 && now - address.waitUntilMs < MINUTE_MS;
    if (!again) address.beyond = 0;
    if (again || address.failures.length >= authFailures()) {
      address.waitUntilMs = now + Math.min(MAX_WAIT_MS, 1000 * 2 ** address.beyond);
      address.beyond += 1;
    }
    logger.warning('auth-fail', { remote: remoteAddress });
    throw invalidKey();
  }

  return {
    identify(caller, headers, url) {
      const salted = prefixIsolation() === 'shared' ? { ...caller, cacheSalt: 'shared' } : caller;
      if (salted.kind === 'trusted') return salted;
      if (IN_URL.test(url)) {
        throw new HearthError('invalid_value', 'A key is never taken from a URL, which others get to see: revoke it, and send a new one as a header.', {
          details: { param: 'url' },
        });
      }
      const shaped = credentialsOf(headers).filter((credential) => SHAPE.test(credential));
      const [first, second] = shaped;
      if (first === undefined) return salted;
      if (second !== undefined && second !== first) throw invalidKey();
      return { ...salted, key: check(first, salted.remoteAddress) };
    },
  };
}

function credentialsOf(headers: Headers): string[] {
  const bearer = /^Bearer +(.+)$/i.exec(headers.get('authorization') ?? '')?.[1];
  return [bearer, headers.get('x-api-key')].flatMap((value) => (value ? [value.trim()] : []));
}
