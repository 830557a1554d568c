import { z } from 'zod';

const name = z.string().min(1).max(256);
const usd = z.number().min(0);

/** `routes.<name>`: the short form is a list of targets that are tried one after the other. */
const route = z.union([
  z
    .array(name)
    .min(1)
    .transform((targets) => ({ levels: targets.map((target) => [target]), balance: 'prefix-affine' as const, fallback: true })),
  z.strictObject({
    levels: z
      .array(z.union([name.transform((target) => [target]), z.array(name).min(1).max(64)]))
      .min(1)
      .max(16),
    balance: z.enum(['weighted', 'least-busy', 'prefix-affine']).default('prefix-affine'),
    fallback: z.boolean().default(true),
  }),
]);

export const routes = z
  .record(z.string().regex(/^[a-z0-9][a-z0-9_-]{0,39}$/), route)
  .default({})
  .describe('Names for ordered levels of targets: the next level is used when one is down or full. docs/guide/routing.md explains the fields.');

export const aliases = z
  .record(name, name)
  .default({})
  .describe('Further names of models and routes; `*` stands for any text, so that `claude-*` can mean one model.');

export const stateStore = z
  .union([z.literal('memory'), z.strictObject({ env: z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/) }), z.string().regex(/^rediss?:\/\/\S+$/)])
  .default('memory')
  .describe('Where limits, breakers and budgets are counted: `memory`, or the URL of a Redis server that several hearths share (or {env: NAME} of it).');

export const cloud = z
  .strictObject({
    enabled: z.boolean().default(false).describe('Requests may go to remotes whose privacy is `cloud`, and cost money.'),
    dailyCapUsd: usd.default(1).describe('Most that clouds may cost in one day (UTC), in US dollars; 0 = nothing is sent.'),
    monthlyCapUsd: usd.default(10).describe('Most that clouds may cost in one month (UTC), in US dollars; 0 = nothing is sent.'),
  })
  .prefault({});
