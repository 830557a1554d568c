import { type AuditLineJson, type AuditReviewJson, type AuditVerificationJson, endpoints } from '../../contract/index.ts';
import { HearthError } from '../../core/index.ts';
import type { AuditLine } from '../../security/index.ts';
import { streamedFrames } from '../answer-response.ts';
import type { Handler } from '../bind.ts';
import type { AuditReader, Services } from '../services.ts';
import { OPENAI_EVENTS } from '../sse-dialect.ts';

/** Of a process without a home. */
export const NO_AUDIT: AuditReader = {
  verify: async () => ({
    ok: true,
    files: 0,
    lines: 0,
    firstSeq: null,
    lastSeq: null,
    head: null,
    checkpoints: 0,
    signedThroughSeq: null,
    keyFingerprint: null,
    gaps: [],
    faults: [],
  }),
  review: async () => Promise.reject(new HearthError('not_implemented', 'This process has no security log.')),
  sign: async () => Promise.reject(new HearthError('not_implemented', 'This process has no security log.')),
  tail: async () => [],
  async *lines() {},
  async *follow() {},
};

/** Binds the routes of this file. */
export function bindAudit(on: <E extends (typeof endpoints)[keyof typeof endpoints]>(endpoint: E, handler: Handler<E>) => void, services: Services): void {
  on(endpoints.auditVerify, auditVerifyHandler(services));
  on(endpoints.auditReview, auditReviewHandler(services));
  on(endpoints.auditSignReview, auditSignReviewHandler(services));
  on(endpoints.auditTail, auditTailHandler(services));
  on(endpoints.auditExport, auditExportHandler(services));
}

const timeOf = (text: string | undefined): number | null => (text === undefined ? null : Date.parse(text));
/** The same values; contract's types can be written to. */
const json = <T>(value: unknown): T => value as T;

const auditVerifyHandler =
  ({ audit }: Services): Handler<typeof endpoints.auditVerify> =>
  async (_, { signal }) =>
    json<AuditVerificationJson>(await audit.verify(signal));

const auditReviewHandler =
  ({ audit }: Services): Handler<typeof endpoints.auditReview> =>
  async ({ query: { since } }, { signal }) =>
    json<AuditReviewJson>(await audit.review(timeOf(since), signal));

const auditSignReviewHandler =
  ({ audit }: Services): Handler<typeof endpoints.auditSignReview> =>
  async ({ body: { since, name } }, context) => {
    const { review, digest, seq } = await audit.sign(timeOf(since), name, context);
    return { review: json<AuditReviewJson>(review), digest, seq };
  };

const DEFAULT_TAIL = 20;

const auditTailHandler =
  (services: Services): Handler<typeof endpoints.auditTail> =>
  async ({ query: { lines = String(DEFAULT_TAIL), follow } }, context) => {
    const { audit } = services;
    const last = await audit.tail(Number(lines));
    if (follow !== 'true') return { lines: last.map((line) => json<AuditLineJson>(line)) };
    return await stream(services, context, async function* (signal) {
      yield* last;
      yield* audit.follow(last.at(-1)?.seq ?? 0, signal);
    });
  };

const auditExportHandler =
  (services: Services): Handler<typeof endpoints.auditExport> =>
  async ({ query: { since, until } }, context) =>
    await stream(services, context, (signal) => services.audit.lines(timeOf(since), timeOf(until), signal));

async function stream(
  services: Services,
  context: Parameters<Handler<typeof endpoints.auditExport>>[1],
  lines: (signal: AbortSignal) => AsyncIterable<AuditLine>,
): Promise<Response> {
  const gone = new AbortController();
  const signal = AbortSignal.any([context.signal, gone.signal]);
  async function* frames() {
    for await (const line of lines(signal)) yield { kind: 'data' as const, data: line };
  }
  return await streamedFrames(services, context, { frames: frames(), gone, dialect: OPENAI_EVENTS });
}
