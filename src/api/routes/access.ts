import { DEFAULT_KEY_POLICY, type endpoints, type ReloadResult } from '../../contract/index.ts';
import { HearthError } from '../../core/index.ts';
import { actorOf, callerId } from '../../security/index.ts';
import type { Handler } from '../bind.ts';
import type { ConfigReloads, Services } from '../services.ts';

/** POST /admin/v1/apikeys: the only answer that holds a key. */
export const createApiKeyHandler =
  ({ keys, clock, logger, securityEvents }: Services): Handler<typeof endpoints.createApiKey> =>
  async ({ body }, { caller, requestId }) => {
    const { name = null, expiresAt = null, ...policy } = body;
    const expiresAtMs = expiresAt === null ? null : Date.parse(expiresAt);
    if (expiresAtMs !== null && expiresAtMs <= clock.now())
      throw new HearthError('invalid_value', 'expiresAt is in the past.', { details: { param: 'expiresAt' } });
    const made = keys.create({ name, expiresAtMs, policy: { ...DEFAULT_KEY_POLICY, ...withoutAbsent(policy) } });
    logger.info('apikey-add', { key: made.record.id, scopes: made.record.policy.scopes, by: callerId(caller) });
    const { id, policy: given } = made.record;
    securityEvents.record({
      event: 'apikey.add',
      outcome: 'ok',
      actor: actorOf(caller),
      requestId,
      details: { key: id, name, scopes: given.scopes, expiresAt },
    });
    return made;
  };

export const listApiKeysHandler =
  ({ keys }: Services): Handler<typeof endpoints.listApiKeys> =>
  async () => ({ keys: keys.list() });

export const revokeApiKeyHandler =
  ({ keys, logger, securityEvents }: Services): Handler<typeof endpoints.revokeApiKey> =>
  async ({ params }, { caller, requestId }) => {
    const record = keys.revoke(params.id);
    if (!record) throw new HearthError('api_key_not_found', `There is no API key ${params.id}.`, { details: { param: 'id' } });
    logger.info('apikey-revoke', { key: record.id, by: callerId(caller) });
    securityEvents.record({ event: 'apikey.revoke', outcome: 'ok', actor: actorOf(caller), requestId, details: { key: record.id, name: record.name } });
    return { record };
  };

export const reloadConfigHandler =
  ({ reloads }: Services): Handler<typeof endpoints.reloadConfig> =>
  async () =>
    await reloads.reload('admin');

export const lastReloadHandler =
  ({ reloads }: Services): Handler<typeof endpoints.lastReload> =>
  async () =>
    reloads.last();

const NEVER: ReloadResult = { at: null, cause: 'start', ok: true, problems: [], changed: [], needRestart: [] };

/** Of a process that ends with its command. */
export const NO_RELOADS: ConfigReloads = {
  async reload() {
    throw new HearthError('not_implemented', 'This process reads its configuration once.');
  },
  last: () => NEVER,
};

const withoutAbsent = <T extends object>(value: T) =>
  Object.fromEntries(Object.entries(value).filter(([, field]) => field !== undefined)) as { [K in keyof T]: Exclude<T[K], undefined> };
