import { basename } from 'node:path';
import { endpoints, type ShowData, type SigningKeyRecord, type TrustExplanation, type TrustReply } from '../../contract/index.ts';
import { HearthError, isHearthError, type SecurityActor } from '../../core/index.ts';
import {
  type AdmitRequest,
  BUILT_IN_SOURCES,
  type Caller,
  callerId,
  type Explanation,
  type SigningKeyRow,
  type SigningKeys,
  type Trust,
} from '../../security/index.ts';
import type { Handler } from '../bind.ts';
import type { Services } from '../services.ts';

/** What the routes of trust work with. */
export interface TrustService {
  readonly trust: Trust;
  readonly keys: SigningKeys;
}

const DAY_MS = 86_400_000;

/** Binds the routes of this file. */
export function bindTrust(on: <E extends (typeof endpoints)[keyof typeof endpoints]>(endpoint: E, handler: Handler<E>) => void, services: Services): void {
  on(endpoints.trustPolicy, trustPolicyHandler(services));
  on(endpoints.trustAddSource, trustAddSourceHandler(services));
  on(endpoints.trustRemoveSource, trustRemoveSourceHandler(services));
  on(endpoints.trustMode, trustModeHandler(services));
  on(endpoints.trustSeal, trustSealHandler(services));
  on(endpoints.trustAccept, trustAcceptHandler(services));
  on(endpoints.trustRevoke, trustRevokeHandler(services));
  on(endpoints.trustExplain, trustExplainHandler(services));
  on(endpoints.listSigningKeys, listSigningKeysHandler(services));
  on(endpoints.newSigningKey, newSigningKeyHandler(services));
  on(endpoints.importSigningKey, importSigningKeyHandler(services));
  on(endpoints.rotateSigningKey, rotateSigningKeyHandler(services));
  on(endpoints.retireSigningKey, retireSigningKeyHandler(services));
  on(endpoints.revokeSigningKey, revokeSigningKeyHandler(services));
  on(endpoints.approveSigningKey, approveSigningKeyHandler(services));
}

/** Of a process that judges no models. */
const of = ({ trust }: Services): TrustService => {
  if (trust === null) throw new HearthError('not_implemented', 'This process keeps no trust policy.');
  return trust;
};

const actorOf = (caller: Caller): SecurityActor => ({ key: callerId(caller) });

const trustPolicyHandler =
  (services: Services): Handler<typeof endpoints.trustPolicy> =>
  async () =>
    replyOf(of(services));

const trustAddSourceHandler =
  (services: Services): Handler<typeof endpoints.trustAddSource> =>
  async ({ body }, { caller }) => {
    const service = of(services);
    const source = Object.fromEntries(Object.entries(body).filter(([, value]) => value !== undefined)) as typeof body;
    await service.trust.change(changed(caller, 'add', { ...source }), (policy) => ({ ...policy, sources: [source, ...policy.sources] }));
    return replyOf(service);
  };

const trustRemoveSourceHandler =
  (services: Services): Handler<typeof endpoints.trustRemoveSource> =>
  async ({ params }, { caller }) => {
    const service = of(services);
    const at = Number(params.position) - 1;
    if (service.trust.policy().sources[at] === undefined)
      throw new HearthError('invalid_argument', `There is no rule ${params.position}; \`hearth trust list\` shows them. Built-in rules stay.`, {
        details: { param: 'position' },
      });
    await service.trust.change(changed(caller, 'remove', { position: at + 1 }), (policy) => ({ ...policy, sources: policy.sources.toSpliced(at, 1) }));
    return replyOf(service);
  };

const trustModeHandler =
  (services: Services): Handler<typeof endpoints.trustMode> =>
  async ({ body: { mode } }, { caller }) => {
    const service = of(services);
    const event = mode === 'off' ? { ...changed(caller, 'mode', { mode }), event: 'verify.off' as const } : changed(caller, 'mode', { mode });
    await service.trust.change(event, (policy) => ({ ...policy, mode }));
    return replyOf(service);
  };

const trustSealHandler =
  (services: Services): Handler<typeof endpoints.trustSeal> =>
  async () => {
    const service = of(services);
    await service.trust.seal();
    return replyOf(service);
  };

const trustAcceptHandler =
  (services: Services): Handler<typeof endpoints.trustAccept> =>
  async ({ body }, { signal }) => {
    const request = await requestFor(services, body.model, signal);
    return explanationOf(request, await of(services).trust.accept(request));
  };

const trustExplainHandler =
  (services: Services): Handler<typeof endpoints.trustExplain> =>
  async ({ body }, { signal }) => {
    const request = await requestFor(services, body.model, signal);
    return explanationOf(request, await of(services).trust.explain(request));
  };

const trustRevokeHandler =
  (services: Services): Handler<typeof endpoints.trustRevoke> =>
  async ({ body: { rootDigest, model, reason } }, { caller, signal }) => {
    const service = of(services);
    if ((rootDigest === undefined) === (model === undefined))
      throw new HearthError('invalid_value', 'Give a model or a root digest, one of both.', { details: { param: 'model' } });
    const digest = rootDigest ?? (await service.trust.explain(await requestFor(services, model!, signal))).verdict.rootDigest;
    if (digest === null) throw new HearthError('invalid_argument', `${model} has no root digest: a workspace belongs to its editor and is not hashed.`);
    await service.trust.change(changed(caller, 'revoke', { rootDigest: digest }), (policy) => ({
      ...policy,
      revoked: [...policy.revoked, { rootDigest: digest, at: services.clock.now(), reason }],
    }));
    return replyOf(service);
  };

const listSigningKeysHandler =
  (services: Services): Handler<typeof endpoints.listSigningKeys> =>
  async () => ({ keys: of(services).keys.list().map(recordOf) });

const newSigningKeyHandler =
  (services: Services): Handler<typeof endpoints.newSigningKey> =>
  async ({ body }, { caller }) => {
    const { curve = 'P-256', role = 'developer', models = ['*'], name, passphrase } = body;
    const wish = { curve, role, models, ...(name === undefined ? {} : { name }), ...(passphrase === undefined ? {} : { passphrase }) };
    return { key: recordOf(await of(services).keys.create(wish, actorOf(caller))) };
  };

const importSigningKeyHandler =
  (services: Services): Handler<typeof endpoints.importSigningKey> =>
  async ({ body }, { caller }) => {
    const { pem, pending = false, role = 'publisher', models, name, passphrase } = body;
    const isPrivate = pem.includes('PRIVATE KEY');
    if (isPrivate && caller.kind !== 'trusted')
      throw new HearthError('permission_denied', 'A private key is taken over the socket only: use the command line on that machine.');
    if (!isPrivate && models === undefined)
      throw new HearthError('invalid_value', 'Say which models the key may vouch for, such as `org/*`.', { details: { param: 'models' } });
    const wish = {
      pem,
      role,
      models: models ?? ['*'],
      ...(name === undefined ? {} : { name }),
      ...(passphrase === undefined ? {} : { passphrase }),
      ...(pending ? { pendingBy: callerId(caller) } : {}),
    };
    return { key: recordOf(await of(services).keys.import(wish, actorOf(caller))) };
  };

const rotateSigningKeyHandler =
  (services: Services): Handler<typeof endpoints.rotateSigningKey> =>
  async ({ params, body: { days = 30, passphrase } }, { caller }) => {
    const how = { overlapMs: days * DAY_MS, ...(passphrase === undefined ? {} : { passphrase }) };
    const { old, fresh } = await of(services).keys.rotate(params.id, how, actorOf(caller));
    return { old: recordOf(old), key: recordOf(fresh) };
  };

const retireSigningKeyHandler =
  (services: Services): Handler<typeof endpoints.retireSigningKey> =>
  async ({ params, body }, { caller }) => ({
    key: recordOf(await of(services).keys.retire(params.id, body.at ?? services.clock.now(), actorOf(caller))),
  });

const revokeSigningKeyHandler =
  (services: Services): Handler<typeof endpoints.revokeSigningKey> =>
  async ({ params, body: { reason = 'revoked by its owner' } }, { caller }) => ({
    key: recordOf(await of(services).keys.revoke(params.id, reason, actorOf(caller))),
  });

const approveSigningKeyHandler =
  (services: Services): Handler<typeof endpoints.approveSigningKey> =>
  async ({ params }, { caller }) => ({ key: recordOf(await of(services).keys.approve(params.id, callerId(caller), actorOf(caller))) });

/** What the last load of a model decided, where its files are still those; null: nobody has judged them. For `show`: no file is read. */
export async function knownVerdict(services: Services, reference: string, signal: AbortSignal): Promise<ShowData['trust']> {
  if (services.trust === null) return null;
  try {
    const known = await services.trust.trust.peek(await requestFor(services, reference, signal));
    if (known === null) return null;
    const { decision, reason, rootDigest, signer } = known.verdict;
    return { decision, reason, root_digest: rootDigest, signer, templates: [...known.templates] };
  } catch (error) {
    if (!isHearthError(error)) throw error;
    return error.code === 'trust_tampered' ? { decision: 'refused', reason: error.code, root_digest: null, signer: null, templates: [] } : null;
  }
}

/** The request that a load of the model would make. */
export async function requestFor({ store }: Pick<Services, 'store'>, reference: string, signal: AbortSignal): Promise<AdmitRequest> {
  const { model, facts } = await store.open({ reference, signal });
  const id = model.cached ? model.name : basename(model.name);
  return { id, directory: facts.directory, ...(facts.framework === 'GGUF' ? { only: facts.weightFiles } : {}), revisionNamed: reference.includes('@'), signal };
}

const changed = (caller: Caller, action: string, details: Readonly<Record<string, unknown>>) =>
  ({ event: 'config.change', actor: actorOf(caller), details: { what: 'trust', action, ...details } }) as const;

export function explanationOf({ id }: AdmitRequest, explained: Explanation): TrustExplanation {
  const { verdict, name, mode, rule, files, bytes, firstSeen, lastAccepted, templates, advice } = explained;
  const { source, require, decision, reason, revision, rootDigest, signer, firstUse } = verdict;
  const problems = verdict.problems.map((problem) => ({ ...problem }));
  return {
    model: id,
    name,
    source,
    mode,
    rule,
    require,
    decision,
    reason,
    revision,
    rootDigest,
    signer,
    firstUse,
    files,
    bytes,
    firstSeen,
    lastAccepted,
    templates: [...templates],
    advice,
    problems,
  };
}

function replyOf({ trust, keys }: TrustService): TrustReply {
  const { policy, builtIn } = trust.policyFile.read();
  return {
    mode: policy.mode,
    builtIn,
    sources: [
      ...policy.sources.map((source, index) => ({ position: index + 1, ...source })),
      ...BUILT_IN_SOURCES.map((source) => ({ position: null, ...source })),
    ],
    keys: keys.list().map(recordOf),
    pins: policy.models,
    revoked: [...policy.revoked],
  };
}

const recordOf = ({ id, key, state, signs }: SigningKeyRow): SigningKeyRecord => ({
  id,
  name: key.name ?? null,
  role: key.role,
  kind: key.kind,
  state,
  signs,
  models: key.models,
  createdAt: key.createdAt,
  notBefore: key.notBefore ?? null,
  retireAt: key.retireAt ?? null,
  revokedAt: key.revokedAt ?? null,
  pem: key.pem ?? null,
});
