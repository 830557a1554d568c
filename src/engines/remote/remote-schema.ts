import { z } from 'zod';

/** Options of a load: nothing of where the server is, which its configuration says. */
export const remoteOptionsSchema = z.strictObject({
  /** What the server calls the model. */
  model: z.string().min(1),
  /** Where the server does not tell it. */
  contextTokens: z.int().min(1).optional(),
});
