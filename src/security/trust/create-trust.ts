import { join } from 'node:path';
import { type Clock, type Logger, NO_SECURITY_EVENTS, type SecurityEvent, type SecurityEventSink, silentLogger, systemClock } from '../../core/index.ts';
import type { SignatureProblem } from '../signing/index.ts';
import { withAccepted } from './content-record.ts';
import { createFileWatch } from './file-watch.ts';
import { createInstallKey } from './install-key.ts';
import { decidedBy, fileKey, type Judged, type JudgeOptions, judgeModel, type KeptVerdict, verdictKey } from './judge-model.ts';
import { inspectFile, settle, tupleOf } from './model-files.ts';
import { createOwnOutputs } from './own-outputs.ts';
import { placeOf, type TrustPlaces } from './place.ts';
import { requirementOf, type TrustPolicy } from './policy.ts';
import { createPolicyFile, type PolicyFile, type SealedPolicy } from './policy-file.ts';
import { explainedAdvice, refusalOf } from './refusal-text.ts';
import { createStateDatabase } from './state-database.ts';
import type { Admission, AdmitRequest, ModelTrust, TrustMode, TrustVerdict } from './types.ts';
import { makeViewDirectory } from './view-directory.ts';

export interface TrustOptions extends TrustPlaces {
  /** The hearth home: `trust/` in it, and `run/views/`. */
  readonly home: string;
  readonly clock?: Clock;
  readonly logger?: Logger;
  readonly events?: SecurityEventSink;
  readonly intake?: NonNullable<JudgeOptions['intake']>;
}

/** A model that a pull put on the disk, with the hashes that it took on the way. */
export interface PulledModel {
  readonly directory: string;
  readonly files: readonly { readonly path: string; readonly sha256: string | null }[];
}

/** Which rule decides about a model, and how. */
export interface Explanation {
  readonly verdict: TrustVerdict;
  readonly mode: TrustMode;
  /** The name that rules, keys and pins know it by. */
  readonly name: string;
  /** Of the rule in `sources`, from 1; null: a built-in one. */
  readonly rule: number | null;
  readonly files: number;
  readonly bytes: number;
  readonly firstSeen: number | null;
  readonly lastAccepted: number | null;
  readonly templates: readonly { readonly file: string; readonly sha256: string }[];
  /** What to do; null where nothing is wrong. */
  readonly advice: string | null;
}

export interface Trust extends ModelTrust {
  /** Before a daemon takes requests. Throws trust_tampered; a mode that weakens is logged and recorded. */
  start(): void;
  /** What of the policy makes it weaker than the built-in one, for the status. */
  weakened(): readonly string[];
  /** Changes nothing, and tells nobody. */
  explain(request: AdmitRequest): Promise<Explanation>;
  /** Takes the content as it is now. What a signature says stays as it is. */
  accept(request: AdmitRequest): Promise<Explanation>;
  /** The pulled content is the accepted one of its revision, and is not hashed a second time. */
  notePull(pulled: PulledModel): Promise<void>;
  /** The policy in force. Throws trust_tampered. */
  policy(): TrustPolicy;
  readonly policyFile: PolicyFile;
  /** Changes the policy, seals it, and records the change. */
  change(event: Pick<SecurityEvent, 'event' | 'actor' | 'reason' | 'details'>, edit: (policy: TrustPolicy) => TrustPolicy): Promise<TrustPolicy>;
  /** Takes the policy file as somebody edited it. */
  seal(): Promise<TrustPolicy>;
  /** What an earlier load decided about the files as they are; null: nothing yet. Reads and hashes nothing. */
  peek(request: AdmitRequest): Promise<Explanation | null>;
  close(): void;
}

/** Whom and what hearth trusts (docs/spec/security.md §1.3, §3, §6): a sealed policy, the contents that it knows, the door of every load. */
export function createTrust(options: TrustOptions): Trust {
  const { home, clock = systemClock, logger = silentLogger, events = NO_SECURITY_EVENTS } = options;
  const directory = join(home, 'trust');
  const installKey = createInstallKey(directory);
  const policyFile = createPolicyFile(directory, installKey);
  const state = createStateDatabase(join(directory, 'state.db'), installKey);
  const places: TrustPlaces = { adaptersDirectory: join(home, 'adapters'), ...options };
  const outputs = createOwnOutputs({ home, state, clock });
  const judgeOptions: JudgeOptions = { places, state, clock, ...(options.intake === undefined ? {} : { intake: options.intake }) };

  function verdictOf(judged: Judged, mode: TrustMode): TrustVerdict {
    const [first] = judged.problems;
    return {
      decision: first === undefined ? 'accepted' : mode === 'warn' ? 'warned' : 'refused',
      reason: first?.code ?? null,
      source: judged.place.kind,
      require: requirementOf(judged.rule),
      rootDigest: judged.rootDigest,
      revision: judged.place.revision,
      signer: judged.signer,
      firstUse: judged.firstUse,
      cached: judged.cached,
      problems: judged.problems,
    };
  }

  /** Writes what the next load can use; a content that was seen for the first time, or is accepted by hand, becomes the known one. */
  async function remember(sealed: SealedPolicy, request: AdmitRequest, judged: Judged, take: boolean): Promise<void> {
    const { place, hashed, rootDigest, problems } = judged;
    const takes = take && rootDigest !== null && hashed.length > 0;
    const files = Object.fromEntries(hashed.map(({ path, sha256 }) => [path, sha256]));
    const partial = request.only !== undefined;
    const record = takes ? withAccepted(judged.record, { revision: place.revision, rootDigest, files, at: clock.now() }, partial) : judged.record;
    const verdict: KeptVerdict = {
      fingerprint: judged.fingerprint,
      decidedBy: decidedBy(sealed.hash, record, request.revisionNamed ?? false),
      problems,
      rootDigest,
      signer: judged.signer,
      cleaned: judged.cleaned.map(({ path, sha256 }) => ({ path, sha256 })),
      templates: judged.templates,
      hashedAt: judged.hashedAt,
    };
    await state.put([
      ...hashed.map(
        (file) => ({ kind: 'file', key: fileKey(file), value: { tuple: tupleOf(file.identity), sha256: file.sha256, at: judged.hashedAt } }) as const,
      ),
      ...(takes ? [{ kind: 'model', key: place.key, value: record } as const] : []),
      ...(judged.keep && judged.fingerprint !== '' ? [{ kind: 'verdict', key: verdictKey(place, request.only), value: verdict } as const] : []),
    ]);
  }

  /** Judges the files as those of a model that was never seen, and makes them the known content where nothing else is wrong. */
  async function takeContent(sealed: SealedPolicy, request: AdmitRequest, hashes: 'known' | 'hash'): Promise<Judged> {
    const judged = await judgeModel(judgeOptions, sealed, request, hashes);
    const stored = state.get('model', judged.place.key);
    const record = stored === undefined || stored === 'tampered' ? null : (stored.value as Judged['record']);
    if (judged.problems.length === 0) await remember(sealed, request, { ...judged, record }, true);
    return judged;
  }

  /** Nothing of the model is refused: what hearth had made of it is, and is made anew. */
  const recordChangedOutput = (request: AdmitRequest, verdict: TrustVerdict): void =>
    events.record({
      event: 'model.verify.failed',
      outcome: 'failed',
      model: modelOf(request, verdict),
      reason: 'file_changed',
      details: { source: 'converted' },
    });

  /** Exactly one event for one refusal. */
  function recordRefusal(request: AdmitRequest, verdict: TrustVerdict, durationMs?: number): void {
    const [first] = verdict.problems;
    const byFiles = /^(sig_|cert_|file_)/.test(verdict.reason ?? '') && verdict.reason !== 'sig_rollback';
    events.record({
      event: byFiles ? 'model.verify.failed' : 'model.refused',
      outcome: verdict.decision === 'refused' ? 'denied' : 'failed',
      model: modelOf(request, verdict),
      ...(verdict.reason === null ? {} : { reason: verdict.reason }),
      details: {
        source: verdict.source,
        ...(durationMs === undefined ? {} : { durationMs }),
        ...(verdict.signer === null ? {} : { key: verdict.signer }),
        ...(first?.file === undefined ? {} : { file: first.file }),
        ...(first?.expected === undefined ? {} : { expected: first.expected.slice(0, 12) }),
        ...(first?.actual === undefined ? {} : { actual: first.actual.slice(0, 12) }),
      },
    });
  }

  /** The view over what was judged; a copy of a cleaned file that is gone is made anew from the files. */
  async function viewOf(sealed: SealedPolicy, request: AdmitRequest, first: Judged): Promise<{ readonly judged: Judged; readonly view: string }> {
    const root = join(home, 'run', 'views');
    const make = (judged: Judged) => makeViewDirectory({ root, of: verdictKey(judged.place, request.only), files: judged.files, cleaned: judged.cleaned });
    const view = await make(first);
    if (view !== null) return { judged: first, view };
    await state.put([{ kind: 'verdict', key: verdictKey(first.place, request.only), value: null }]);
    const judged = await judgeModel(judgeOptions, sealed, request);
    return { judged, view: (await make(judged))! };
  }

  async function admit(request: AdmitRequest): Promise<Admission> {
    const sealed = policyFile.read();
    const { mode } = sealed.policy;
    if (mode === 'off') return unchecked(request);
    events.assertWritable();
    const startedAt = performance.now();
    const looked = await judgeModel(judgeOptions, sealed, request);
    const durationMs = Math.round(performance.now() - startedAt);
    const verdict = verdictOf(looked, mode);
    if (!looked.cached) await remember(sealed, request, looked, looked.firstUse && looked.problems.length === 0);
    if (verdict.reason !== null) {
      recordRefusal(request, verdict, durationMs);
      if (verdict.decision === 'refused') throw refusalOf(request.id, verdict);
      logger.warning('model-verify-failed', { model: request.id, reason: verdict.reason });
    } else if (!looked.cached) {
      events.record({
        event: 'model.verify.ok',
        outcome: 'ok',
        model: modelOf(request, verdict),
        details: { source: verdict.source, firstUse: verdict.firstUse, durationMs },
      });
    }
    const { judged, view } = await viewOf(sealed, request, looked);
    return await admission(request, verdict, judged, view);
  }

  async function admission(request: AdmitRequest, verdict: TrustVerdict, judged: Judged, viewDirectory: string): Promise<Admission> {
    const watched = createFileWatch(judged.files);
    const refuse = async (changed: SignatureProblem): Promise<never> => {
      const refused: TrustVerdict = { ...verdict, decision: 'refused', reason: changed.code, problems: [changed] };
      await state.put([{ kind: 'verdict', key: verdictKey(judged.place, request.only), value: null }]);
      recordRefusal(request, refused);
      throw refusalOf(request.id, refused);
    };
    const stray = await watched.addLinks(viewDirectory, viewDirectory);
    if (stray !== null) return await refuse(stray);
    return {
      viewDirectory,
      files: judged.files,
      verdict,
      async watch(links, own) {
        const found = await watched.addLinks(links, own ?? viewDirectory);
        if (found !== null) await refuse(found);
      },
      async takeOutput(made, fresh) {
        if (!fresh) {
          const found = await outputs.look(made, request.signal);
          if (found === 'holds') return true;
          if (found === 'changed') recordChangedOutput(request, verdict);
          await outputs.remove(made);
          return false;
        }
        const found = await watched.changed();
        if (found !== null) {
          await outputs.remove(made);
          return await refuse(found);
        }
        await outputs.note(made, request.signal);
        return true;
      },
      async recheck() {
        const found = await watched.changed();
        if (found !== null) await refuse(found);
      },
      release() {},
    };
  }

  async function unchecked(request: AdmitRequest): Promise<Admission> {
    const place = await placeOf(places, request);
    const verdict: TrustVerdict = {
      decision: 'unchecked',
      reason: null,
      source: place.kind,
      require: null,
      rootDigest: null,
      revision: place.revision,
      signer: null,
      firstUse: false,
      cached: false,
      problems: [],
    };
    return { viewDirectory: request.directory, files: [], verdict, async watch() {}, takeOutput: async () => true, async recheck() {}, release() {} };
  }

  function explanationOf(judged: Judged, mode: TrustMode): Explanation {
    const verdict = verdictOf(judged, mode);
    return {
      verdict,
      advice: verdict.reason === null ? null : explainedAdvice(judged.place.name, verdict),
      mode,
      name: judged.place.name,
      rule: judged.rule.position,
      files: judged.files.length,
      bytes: judged.files.reduce((sum, { identity }) => sum + identity.size, 0),
      firstSeen: judged.record?.firstSeen ?? null,
      lastAccepted: judged.record?.lastAccepted ?? null,
      templates: judged.templates,
    };
  }

  return {
    admit,
    policyFile,
    policy: () => policyFile.read().policy,

    start() {
      const { mode } = policyFile.read().policy;
      if (mode === 'enforce') return;
      logger.warning('trust-weakened', { mode });
      if (mode === 'off') events.record({ event: 'verify.off', outcome: 'ok', details: { mode } });
    },

    weakened() {
      try {
        const { mode } = policyFile.read().policy;
        return mode === 'enforce' ? [] : [`trust mode ${mode}`];
      } catch {
        return ['trust policy tampered'];
      }
    },

    async explain(request) {
      const sealed = policyFile.read();
      return explanationOf(await judgeModel(judgeOptions, sealed, request), sealed.policy.mode);
    },

    async accept(request) {
      const sealed = policyFile.read();
      const judged = await takeContent(sealed, request, 'hash');
      const after = await judgeModel(judgeOptions, sealed, request);
      if (judged.problems.length === 0) {
        const model = modelOf(request, verdictOf(after, sealed.policy.mode));
        events.record({ event: 'config.change', outcome: 'ok', model, details: { what: 'trust', action: 'accept' } });
      }
      return explanationOf(judged.problems.length === 0 ? after : judged, sealed.policy.mode);
    },

    async notePull({ directory: snapshot, files }) {
      const place = await placeOf(places, { id: '', directory: snapshot });
      const roots = [place.directory, ...place.blobs];
      const found = await Promise.all(files.map(async ({ path, sha256 }) => ({ sha256, file: await inspectFile(place.directory, path, roots) })));
      const known = found.flatMap(({ sha256, file }) => (sha256 === null || file === null || 'code' in file ? [] : [{ ...file, sha256 }]));
      await settle(known);
      const at = clock.now();
      await state.put(known.map((file) => ({ kind: 'file', key: fileKey(file), value: { tuple: tupleOf(file.identity), sha256: file.sha256, at } }) as const));
      const sealed = policyFile.read();
      if (sealed.policy.mode !== 'off') await takeContent(sealed, { id: place.name, directory: snapshot }, 'known');
    },

    async peek(request) {
      const sealed = policyFile.read();
      if (sealed.policy.mode === 'off') return null;
      const judged = await judgeModel(judgeOptions, sealed, request, 'peek');
      return judged.cached || judged.rule.source.require === 'deny' ? explanationOf(judged, sealed.policy.mode) : null;
    },

    async change(event, edit) {
      const next = edit(policyFile.read().policy);
      await policyFile.write(next);
      events.record({ outcome: 'ok', ...event });
      return next;
    },

    async seal() {
      const policy = await policyFile.seal();
      events.record({ event: 'config.change', outcome: 'ok', details: { what: 'trust', action: 'seal' } });
      return policy;
    },

    close: () => state.close(),
  };
}

const modelOf = (request: AdmitRequest, { rootDigest, revision }: TrustVerdict) => ({
  id: request.id,
  ...(rootDigest === null ? {} : { rootDigest }),
  ...(revision === null ? {} : { revision }),
});
