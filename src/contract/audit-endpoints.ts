import { z } from 'zod';
import { defineEndpoint } from './endpoint.ts';

const count = z.int().min(0);
const severities = ['info', 'low', 'medium', 'high', 'critical'] as const;
const severity = z.enum(severities);

/** One line of the security log, as it stands in the file (docs/spec/security.md §16). */
export const auditLine = z.strictObject({
  v: z.literal(1),
  seq: z.int().min(1),
  ts: z.string(),
  mono: count,
  boot: z.string(),
  host: z.string(),
  pid: count,
  event: z.string(),
  severity,
  outcome: z.enum(['ok', 'denied', 'failed', 'error']),
  actor: z.strictObject({ key: z.string().optional(), ip: z.string().optional(), origin: z.string().optional() }).nullable(),
  model: z.strictObject({ id: z.string(), rootDigest: z.string().optional(), revision: z.string().optional() }).nullable(),
  requestId: z.string().nullable(),
  traceId: z.string().nullable(),
  reason: z.string().nullable(),
  details: z.record(z.string(), z.unknown()).nullable(),
  prev: z.string(),
  hash: z.string(),
});
export type AuditLineJson = z.infer<typeof auditLine>;

export const auditVerification = z.strictObject({
  ok: z.boolean(),
  files: count,
  lines: count,
  firstSeq: z.int().nullable(),
  lastSeq: z.int().nullable(),
  /** Hash of the last line. */
  head: z.string().nullable(),
  checkpoints: count,
  signedThroughSeq: z.int().nullable(),
  keyFingerprint: z.string().nullable(),
  gaps: z.array(z.strictObject({ seq: z.int(), file: z.string(), from: count, to: count })),
  faults: z.array(z.strictObject({ code: z.string(), seq: z.int(), file: z.string().nullable(), byte: z.int().nullable(), message: z.string() })),
});
export type AuditVerificationJson = z.infer<typeof auditVerification>;

export const auditReview = z.strictObject({
  since: z.string().nullable(),
  until: z.string(),
  lines: count,
  omitted: count,
  bySeverity: z.strictObject(Object.fromEntries(severities.map((name) => [name, count])) as Record<(typeof severities)[number], typeof count>),
  byEvent: z.record(z.string(), count),
  newModels: z.array(z.string()),
  newSources: z.array(z.string()),
  newListeners: z.array(z.string()),
  rejections: z.array(z.strictObject({ event: z.string(), reason: z.string(), count })),
  openAlerts: z.array(z.strictObject({ seq: z.int(), at: z.string(), severity, reason: z.string() })),
  weakened: z.array(z.strictObject({ event: z.string(), reason: z.string(), count, last: z.string() })),
  chain: auditVerification,
  lastSignedBy: z.strictObject({ name: z.string(), at: z.string() }).nullable(),
});
export type AuditReviewJson = z.infer<typeof auditReview>;

const time = z.iso.datetime({ offset: true, error: 'must be a time such as 2027-01-31T00:00:00Z' }).optional();

/** The security log of this home. */
export const auditEndpoints = {
  auditVerify: defineEndpoint({
    id: 'auditVerify',
    method: 'GET',
    path: '/admin/v1/audit/verify',
    scope: 'audit',
    summary: 'Read the whole security log and say whether it is as it was written, and where not.',
    reply: auditVerification,
  }),
  auditReview: defineEndpoint({
    id: 'auditReview',
    method: 'GET',
    path: '/admin/v1/audit/review',
    scope: 'audit',
    summary: 'What the security log tells since a time: counts, what is new, refusals, open alerts, weakened settings, the state of the chain.',
    query: z.strictObject({ since: time }),
    reply: auditReview,
  }),
  auditSignReview: defineEndpoint({
    id: 'auditSignReview',
    method: 'POST',
    path: '/admin/v1/audit/review',
    scope: 'audit',
    summary: 'The same, and write into the log who has read it.',
    body: z.strictObject({ since: time, name: z.string().min(1).max(100) }),
    reply: z.strictObject({ review: auditReview, digest: z.string(), seq: z.int().nullable() }),
  }),
  auditTail: defineEndpoint({
    id: 'auditTail',
    method: 'GET',
    path: '/admin/v1/audit/tail',
    scope: 'audit',
    summary: 'The last lines of the security log; with follow a stream that goes on with those that come.',
    query: z.strictObject({
      lines: z
        .string()
        .regex(/^\d{1,4}$/, { error: 'must be a whole number up to 9999' })
        .optional(),
      follow: z.enum(['true', 'false']).optional(),
    }),
    reply: z.strictObject({ lines: z.array(auditLine) }),
    events: auditLine,
  }),
  auditExport: defineEndpoint({
    id: 'auditExport',
    method: 'GET',
    path: '/admin/v1/audit/export',
    scope: 'audit',
    summary: 'Lines of the security log between two times as a stream, oldest first.',
    query: z.strictObject({ since: time, until: time }),
    events: auditLine,
  }),
} as const;
