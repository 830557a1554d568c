import { z } from 'zod';
import { defineEndpoint } from './endpoint.ts';
import { pushDataSchema } from './push-json.ts';

const pushRequest = z.strictObject({
  /** Folder: a path over the socket or in process, else the name of a workspace in the workspace home. */
  directory: z.string().min(1).max(4096),
  /** `org/model`. */
  repository: z.string().min(1).max(512),
  /** Consent: the target is private, or nothing is sent. */
  private: z.literal(true),
  create: z.boolean().optional(),
  branch: z.string().min(1).max(256).optional(),
  message: z.string().min(1).max(4096).optional(),
  delete: z.boolean().optional(),
  checkOnly: z.boolean().optional(),
  dryRun: z.boolean().optional(),
  /** Tell every file that is going to be sent, not only the first 20. */
  verbose: z.boolean().optional(),
});

/** Progress of reading and sending, notices with what is going to be sent, then the result once as the last event. */
const pushEvent = z.discriminatedUnion('kind', [
  z.looseObject({ kind: z.literal('progress'), phase: z.enum(['check', 'upload']), doneBytes: z.number(), totalBytes: z.number() }),
  z.looseObject({ kind: z.literal('notice'), message: z.string() }),
  z.looseObject({ kind: z.literal('result'), data: pushDataSchema }),
]);

export const pushEndpoints = {
  storePush: defineEndpoint({
    id: 'storePush',
    method: 'POST',
    path: '/admin/v1/store/push',
    scope: 'push',
    summary: 'Send a folder to a private repository of the hub. Refused unless `push.targets` lists the repository.',
    body: pushRequest,
    events: pushEvent,
  }),
} as const;
