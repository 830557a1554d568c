import { z } from 'zod';
import { defineEndpoint } from './endpoint.ts';

const engineId = z.strictObject({ id: z.string().regex(/^[a-z]{1,32}$/) });

/** One engine of the installation (docs/spec/stack.md §8). */
export const engineEntry = z.strictObject({
  id: z.string(),
  version: z.string().nullable(),
  /** Which locked set of packages it was installed from; null where it needs none. */
  lock: z.string().nullable(),
  device: z.string().nullable(),
  state: z.enum(['ready', 'missing', 'outdated', 'tampered', 'unsupported']),
  /** What to do about it; null: nothing. */
  fix: z.string().nullable(),
});
export type EngineEntry = z.infer<typeof engineEntry>;

/** The steps of an installation, and at the end its result. */
export const engineInstallEvent = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('progress'), step: z.int(), steps: z.int(), message: z.string() }),
  z.strictObject({ kind: z.literal('result'), changed: z.boolean(), engine: engineEntry }),
]);

const installBody = z.strictObject({
  /** Absolute path of a folder of packages; absent: the package index. */
  offline: z.string().min(1).optional(),
});

/** Routes of the engines. */
export const engineEndpoints = {
  engines: defineEndpoint({
    id: 'engines',
    method: 'GET',
    path: '/admin/v1/engines',
    scope: 'observe',
    summary: 'The engines of this installation and their state; installs nothing.',
    reply: z.strictObject({ engines: z.array(engineEntry) }),
  }),
  engineInstall: defineEndpoint({
    id: 'engineInstall',
    method: 'POST',
    path: '/admin/v1/engines/{id}/install',
    scope: 'admin',
    summary: 'Install an engine; its steps as events, the result as the last one.',
    params: engineId,
    body: installBody,
    events: engineInstallEvent,
  }),
  engineUpdate: defineEndpoint({
    id: 'engineUpdate',
    method: 'POST',
    path: '/admin/v1/engines/{id}/update',
    scope: 'admin',
    summary: 'Install the packages of this version beside the earlier ones, and switch.',
    params: engineId,
    body: installBody,
    events: engineInstallEvent,
  }),
  engineVerify: defineEndpoint({
    id: 'engineVerify',
    method: 'POST',
    path: '/admin/v1/engines/{id}/verify',
    scope: 'admin',
    summary: 'Read every file of an engine and compare it with what was installed.',
    params: engineId,
    reply: z.strictObject({ id: z.string(), intact: z.boolean(), problems: z.array(z.string()) }),
  }),
  engineRemove: defineEndpoint({
    id: 'engineRemove',
    method: 'DELETE',
    path: '/admin/v1/engines/{id}',
    scope: 'admin',
    summary: 'Remove what was installed for an engine.',
    params: engineId,
    reply: z.strictObject({ id: z.string(), removed: z.boolean() }),
  }),
};
