import { z } from 'zod';
import { defineEndpoint } from './endpoint.ts';

/** The listener that clients of the stack use. */
export const gatewayState = z.strictObject({
  state: z.enum(['open', 'closed']),
  host: z.string(),
  port: z.int().nullable(),
  /** `http://127.0.0.1:4000`; null while it is closed. */
  url: z.string().nullable(),
  openedAt: z.string().nullable(),
});
export type GatewayState = z.infer<typeof gatewayState>;

/** How a daemon came to be, and what it is meant to do (docs/spec/stack.md §1). */
export const daemonState = z.strictObject({
  mode: z.enum(['serve', 'on-demand', 'service', 'foreground', 'in-process']),
  desired: z.enum(['up', 'down']),
  gateway: gatewayState,
  /** Nobody would miss it: no open gateway, no request, no loaded model. */
  idle: z.boolean(),
});
export type DaemonState = z.infer<typeof daemonState>;

export const logService = z.strictObject({ service: z.string(), sizeBytes: z.int(), modifiedAt: z.string(), archives: z.int() });

/** Where a line comes from, or a line. */
export const logEvent = z.union([z.strictObject({ file: z.string() }), z.strictObject({ line: z.string() })]);

const lineCount = z
  .string()
  .regex(/^\d{1,6}$/, { error: 'must be a whole number up to 999999' })
  .optional();
const onOff = z.enum(['true', 'false']).optional();
const serviceName = z.strictObject({ service: z.string().min(1).max(256) });

/** Routes that drive the daemon itself. */
export const daemonEndpoints = {
  daemonStop: defineEndpoint({
    id: 'daemonStop',
    method: 'POST',
    path: '/admin/v1/daemon/stop',
    scope: 'admin',
    summary: 'Stop the daemon after its running requests; with onlyIdle only one that nobody would miss.',
    body: z.strictObject({ onlyIdle: z.boolean().optional(), now: z.boolean().optional() }),
    reply: z.strictObject({ stopping: z.boolean(), pid: z.int() }),
  }),
  stackUp: defineEndpoint({
    id: 'stackUp',
    method: 'POST',
    path: '/admin/v1/stack/up',
    scope: 'admin',
    summary: 'Open the gateway; models load when a request asks for them.',
    body: z.strictObject({}),
    reply: z.strictObject({ alreadyRunning: z.boolean(), gateway: gatewayState }),
  }),
  stackDown: defineEndpoint({
    id: 'stackDown',
    method: 'POST',
    path: '/admin/v1/stack/down',
    scope: 'admin',
    summary: 'Close the gateway after its running requests, then stop every model; an on-demand daemon exits afterwards.',
    body: z.strictObject({ now: z.boolean().optional() }),
    reply: z.strictObject({
      wasUp: z.boolean(),
      services: z.array(
        z.strictObject({ service: z.string(), pid: z.int().nullable(), status: z.enum(['stopped', 'not running', 'still stopping']), method: z.string() }),
      ),
      exits: z.boolean(),
    }),
  }),
  logs: defineEndpoint({
    id: 'logs',
    method: 'GET',
    path: '/admin/v1/logs',
    scope: 'audit',
    summary: 'List the logs of this home.',
    reply: z.strictObject({ services: z.array(logService) }),
  }),
  logLines: defineEndpoint({
    id: 'logLines',
    method: 'GET',
    path: '/admin/v1/logs/{service}',
    scope: 'audit',
    summary: 'The last lines of a log; with follow or all a stream: those that come, or every line from the oldest archive on.',
    params: serviceName,
    query: z.strictObject({ tail: lineCount, follow: onOff, all: onOff }),
    reply: z.strictObject({ service: z.string(), lines: z.array(z.string()) }),
    events: logEvent,
  }),
  logRotate: defineEndpoint({
    id: 'logRotate',
    method: 'POST',
    path: '/admin/v1/logs/{service}/rotate',
    scope: 'admin',
    summary: 'Put the current file of a log aside.',
    params: serviceName,
    reply: z.strictObject({ service: z.string(), rotated: z.boolean() }),
  }),
} as const;
