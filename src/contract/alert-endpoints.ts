import { z } from 'zod';
import { defineEndpoint } from './endpoint.ts';

const time = z.string();
const count = z.int().min(0);
export const alertSeverity = z.enum(['info', 'low', 'medium', 'high', 'critical']);
const rule = z.enum(['R1', 'R2', 'R3', 'R4', 'R5', 'R6', 'R7', 'R8', 'R9', 'R10', 'R11', 'R12']);

/** What a rule of detection found (docs/spec/security.md §18). */
export const alertJson = z.strictObject({
  id: z.string(),
  rule,
  subject: z.string(),
  severity: alertSeverity,
  message: z.string(),
  details: z.record(z.string(), z.unknown()),
  firstAt: time,
  lastAt: time,
  /** How often it was found. */
  count,
  escalated: z.enum(['repeats', 'unacknowledged']).nullable(),
  acknowledged: z.strictObject({ by: z.string(), at: time }).nullable(),
});
export type AlertJson = z.infer<typeof alertJson>;

export const silenceJson = z.strictObject({
  id: z.string(),
  rule,
  /** null: all that the rule finds. */
  subject: z.string().nullable(),
  until: time,
  reason: z.string().nullable(),
  by: z.string(),
});
export type SilenceJson = z.infer<typeof silenceJson>;

export const alertList = z.strictObject({
  alerts: z.array(alertJson),
  silences: z.array(silenceJson),
  /** Who is told of alerts, and whether that works. */
  sinks: z.array(z.strictObject({ name: z.string(), waiting: count, sent: count, dropped: count, failing: z.string().nullable(), dead: z.boolean() })),
});
export type AlertListJson = z.infer<typeof alertList>;

const id = z.strictObject({ id: z.string().regex(/^[0-9a-f]{1,32}$/, { error: 'must be the id of an alert or a silence' }) });

export const alertEndpoints = {
  alerts: defineEndpoint({
    id: 'alerts',
    method: 'GET',
    path: '/admin/v1/audit/alerts',
    scope: 'audit',
    summary: 'Alerts that nobody has acknowledged, or with `all` the acknowledged ones too; silences; the state of each sink.',
    query: z.strictObject({ all: z.enum(['true', 'false']).optional() }),
    reply: alertList,
  }),
  acknowledgeAlert: defineEndpoint({
    id: 'acknowledgeAlert',
    method: 'POST',
    path: '/admin/v1/audit/alerts/{id}/ack',
    scope: 'audit',
    summary: 'Say that somebody has seen an alert: it is no longer told again.',
    params: id,
    reply: z.strictObject({ alert: alertJson }),
  }),
  silenceAlerts: defineEndpoint({
    id: 'silenceAlerts',
    method: 'POST',
    path: '/admin/v1/audit/silences',
    scope: 'audit',
    summary: 'Tell sinks nothing of a rule, or of one subject of it, until a time; the log still has it.',
    body: z.strictObject({
      rule,
      subject: z.string().min(1).max(512).nullish(),
      until: z.iso.datetime({ offset: true, error: 'must be a time such as 2027-01-31T00:00:00Z' }),
      reason: z.string().max(500).nullish(),
    }),
    reply: z.strictObject({ silence: silenceJson }),
  }),
  endSilence: defineEndpoint({
    id: 'endSilence',
    method: 'DELETE',
    path: '/admin/v1/audit/silences/{id}',
    scope: 'audit',
    summary: 'End a silence now.',
    params: id,
    reply: z.strictObject({ id: z.string(), ended: z.boolean() }),
  }),
} as const;
