import { z } from 'zod';
import { remotes } from './remotes.ts';
import { aliases, cloud, routes, stateStore } from './routing.ts';

/** Commas separate the items of a list in the environment and on the command line. */
const list = z.array(z.string());
const positive = z.int().min(1);

/** The whole configuration. A key is here when some module reads it; docs/config.md is printed from the descriptions. */
export const configSchema = z.strictObject({
  version: z.literal(1).default(1).describe('Version of this file.'),
  memory: z
    .strictObject({
      hardLimitPct: z.int().min(1).max(100).default(90).describe('Share of the device limit that loaded models may take together, in percent.'),
    })
    .prefault({}),
  models: z
    .strictObject({
      dir: z.string().nullable().default(null).describe('Directory that holds `models--*`; null = the Hugging Face cache.'),
      defaultQuant: z.enum(['int4', 'int8', 'bf16']).default('int4').describe('Which source of a catalog model `pull` takes.'),
    })
    .prefault({}),
  engines: z
    .strictObject({
      default: z
        .enum(['auto', 'ember', 'mlx'])
        .default('auto')
        .describe('Engine of every model whose load names none; `auto` = chosen by the model and the machine.'),
      mlx: z
        .strictObject({
          python: z
            .string()
            .min(1)
            .nullable()
            .default(null)
            .describe('Absolute path of the Python that `hearth engines install mlx` makes its environment from; null = one is looked for.'),
        })
        .prefault({}),
      ember: z
        .strictObject({
          threads: positive.nullable().default(null).describe('Compute threads of one model; null = the physical cores.'),
          quantize: z
            .union([z.literal(4), z.literal(8)])
            .nullable()
            .default(null)
            .describe('Bits that models with plain weights are quantised to before their first load; null = they run as they are.'),
          activations: z.enum(['mixed', 'int8', 'int16', 'f32']).default('mixed').describe('Form of the activations in matrix products.'),
          kvType: z.enum(['bf16', 'f32', 'int8']).nullable().default(null).describe('Form of the cells of the KV cache; null = bf16, for encoders f32.'),
          promptLookup: z
            .boolean()
            .default(false)
            .describe('Guess next tokens from what followed the same ones earlier, and check the guesses in one step; no answer changes.'),
          draftModel: z
            .string()
            .min(1)
            .nullable()
            .default(null)
            .describe(
              'Name or path of a small model that guesses the next tokens of every larger one with the same vocabulary; no answer changes. null = none.',
            ),
        })
        .prefault({}),
    })
    .prefault({}),
  media: z
    .strictObject({
      remoteUrls: z
        .enum(['off', 'public'])
        .default('off')
        .describe('Links of images in requests: `off` refuses them; `public` fetches those that lead into the open internet.'),
    })
    .prefault({}),
  serve: z
    .strictObject({
      host: z.string().min(1).default('127.0.0.1').describe('Address that `hearth serve` listens on.'),
      port: z.int().min(0).max(65535).default(8000).describe('Port of `hearth serve`; 0 = any free one.'),
      model: z.string().min(1).nullable().default(null).describe('Model that `hearth serve` loads at its start.'),
      maxTokens: positive.nullable().default(null).describe('New tokens of an answer when the request names no limit.'),
      embedBackend: z
        .url({ protocol: /^https?$/ })
        .nullable()
        .default(null)
        .describe('Base URL of another server that answers /v1/embeddings in place of the local models.'),
    })
    .prefault({}),
  gateway: z
    .strictObject({
      host: z.string().min(1).default('127.0.0.1').describe('Address that the gateway of `hearth up` listens on.'),
      port: z.int().min(0).max(65535).default(4000).describe('Port of the gateway of `hearth up`; 0 = any free one.'),
      queueWaitMs: positive.default(60_000).describe('Longest time that a request waits for its model, in milliseconds.'),
      requestMs: positive.default(600_000).describe('Longest time for one request from its arrival to its last token, in milliseconds.'),
      fairnessMs: positive
        .default(10_000)
        .describe('A request that has waited this long for another model stops the loaded ones from taking new requests; in milliseconds.'),
      progressTimeoutMs: positive.default(30_000).describe('An engine that works and gives no sign of it for this long is ended, in milliseconds.'),
      heartbeatMs: positive.default(8_000).describe('A stream in which nothing happens gets a comment line this often, in milliseconds.'),
      headerHoldMs: z
        .int()
        .min(0)
        .default(8_000)
        .describe('The status line of a stream waits this long for the first token, so that an early error has its own status; in milliseconds.'),
      slowClientTimeoutMs: positive.default(30_000).describe('A stream whose reader takes nothing for this long is cut, in milliseconds.'),
      drainTimeoutMs: z.int().min(0).default(30_000).describe('Time for running requests to end when the daemon stops, in milliseconds.'),
      ttlSeconds: positive.default(300).describe('An idle model is unloaded after this many seconds.'),
      contextTokens: positive
        .nullable()
        .default(null)
        .describe('Size of the key-value cache of a loaded model, in tokens; null = chosen by the model and the memory.'),
      parallelSequences: positive.default(4).describe('Requests that one loaded model answers at the same time.'),
      maxAttempts: positive.max(10).default(3).describe('Most attempts of one request, over all targets of its route.'),
      spillAtQueueDepth: z
        .int()
        .min(0)
        .max(10_000)
        .default(8)
        .describe('When more requests than this wait for every target of a level, the next level is used.'),
      connectMs: positive.default(3_000).describe('Longest time to connect to a remote that says none of its own, in milliseconds.'),
      firstTokenMs: positive.default(120_000).describe('Longest time to the first content of a stream of a remote that says none of its own, in milliseconds.'),
      idleMs: positive.default(60_000).describe('Longest time between two contents of a remote that says none of its own, in milliseconds.'),
    })
    .prefault({}),
  run: z
    .strictObject({
      exifMetadata: z.boolean().default(true).describe('Read place, day and camera out of images, for the table in front of an answer.'),
      metadataContext: z.boolean().default(true).describe('Tell the model what was read out of its images.'),
      imageChunk: z.int().min(1).max(5).default(1).describe('Images that a model sees together when `run` gets no `--chunk`.'),
      audioSegments: z.boolean().default(false).describe('Put a table of the segments and their times behind what was written down of a recording.'),
    })
    .prefault({}),
  embeddings: z
    .strictObject({ truncate: z.boolean().default(false).describe('Cut inputs of /v1/embeddings that are too long, and say so, in place of refusing them.') })
    .prefault({}),
  adapters: z
    .strictObject({
      maxResident: z.int().min(0).max(256).nullable().default(null).describe('Adapters held beside one model at a time; null = 16.'),
    })
    .prefault({}),
  sampling: z
    .strictObject({
      temperature: z.number().min(0).max(2).default(0.7).describe('Where neither the request nor the model says one; 0 = always the likeliest token.'),
      topP: z
        .number()
        .gt(0)
        .max(1)
        .default(0.9)
        .describe('Where neither the request nor the model says one: the smallest set of tokens that holds this share.'),
      repetitionPenalty: z.number().gt(0).max(100).default(1).describe('Where neither the request nor the model says one; above 1: less repetition.'),
    })
    .prefault({}),
  access: z
    .strictObject({
      requireKey: z.boolean().default(false).describe('Ask for a key also where the listener would answer without one: inference on loopback.'),
      hosts: list.default([]).describe('Further host names under which the listener may be addressed.'),
      origins: list.default([]).describe('Web origins whose pages may call the listener.'),
      rateLimitRpm: z
        .int()
        .min(0)
        .default(0)
        .describe('Requests a minute of a key that names no number of its own, and of all callers without a key together; 0 = no limit.'),
    })
    .prefault({}),
  security: z
    .strictObject({
      sandbox: z
        .enum(['auto', 'required', 'off'])
        .default('auto')
        .describe('Cage of engines: `auto` = the strongest that this machine allows; `required` = no engine starts without one; `off` = none.'),
      injection: z
        .strictObject({
          block: z
            .boolean()
            .default(false)
            .describe('Refuse requests whose new texts look like a prompt injection (score 5 or more), in place of only telling of them.'),
        })
        .prefault({}),
      canaryEnv: z
        .string()
        .regex(/^[A-Za-z_][A-Za-z0-9_]*$/)
        .default('HEARTH_CANARIES')
        .describe('Environment variable with texts, one a line, of which none may be in an answer: put one into a system prompt to hear when that leaks.'),
    })
    .prefault({}),
  deps: z
    .strictObject({
      failOn: z
        .enum(['low', 'medium', 'high', 'critical'])
        .default('high')
        .describe('From which severity on a known vulnerability makes `hearth deps check` fail; one that nobody has judged counts as high.'),
    })
    .prefault({}),
  limits: z
    .strictObject({
      bodyBytes: positive.default(8 * 1024 * 1024).describe('Largest JSON body of a request, after decompression, in bytes.'),
      queuePerKey: positive.default(64).describe('Requests of one API key that may wait for a model; one more is answered 429.'),
      queueTotal: positive.default(512).describe('Requests that may wait for a model; one more is answered 503.'),
      authFailures: positive.default(5).describe('Wrong API keys that one address may send in a minute, before it has to wait.'),
    })
    .prefault({}),
  prefixCache: z
    .strictObject({
      isolation: z
        .enum(['key', 'shared'])
        .default('key')
        .describe('Who may use a prompt again that was evaluated before: requests of the same API key only, or all.'),
    })
    .prefault({}),
  alerts: z
    .strictObject({
      minSeverity: z.enum(['low', 'medium', 'high', 'critical']).default('low').describe('Alerts that weigh less are only recorded: nobody is told of them.'),
      file: z.boolean().default(true).describe('Append alerts to `logs/alerts.jsonl` in the home.'),
      stderr: z.boolean().default(true).describe('Write alerts into the log of the daemon.'),
      desktop: z.boolean().default(false).describe('Show alerts on the desktop (notify-send, osascript).'),
      syslog: z.string().min(1).nullable().default(null).describe('Receiver of alerts in the form of RFC 5424 over UDP: udp://HOST:PORT.'),
      otlp: z.boolean().default(false).describe('Send alerts as logs to the collector of `telemetry.otlpEndpoint`.'),
      webhook: z
        .strictObject({
          url: z
            .url({ protocol: /^https?$/ })
            .nullable()
            .default(null)
            .describe('Address that gets each alert by POST, at most 10 a minute; redirects are not followed.'),
          secretEnv: z
            .string()
            .regex(/^[A-Za-z_][A-Za-z0-9_]*$/)
            .default('HEARTH_WEBHOOK_SECRET')
            .describe('Environment variable with the secret that the messages are signed with.'),
        })
        .prefault({}),
      command: list.default([]).describe('Program with its arguments that is run for each alert, without a shell; the alert is in the variable HEARTH_ALERT.'),
    })
    .prefault({}),
  logs: z
    .strictObject({
      level: z.enum(['debug', 'info', 'warning', 'error']).default('info').describe('Least severe log line that is written.'),
      json: z.boolean().default(false).describe('Log lines as JSON objects.'),
      maxSizeMib: positive.default(50).describe('A log file is put aside before it grows larger than this, in MiB.'),
      maxFiles: positive.max(1000).default(5).describe('Packed older files that are kept of each log.'),
    })
    .prefault({}),
  captures: z
    .strictObject({
      enabled: z
        .boolean()
        .default(false)
        .describe('Keep requests and answers of the last day, at most 200, with secrets replaced, in files that only you can read.'),
    })
    .prefault({}),
  metrics: z
    .strictObject({
      aliases: z
        .array(z.enum(['vllm', 'llamacpp']))
        .default([])
        .describe('Servers under whose names /metrics tells the same once more.'),
    })
    .prefault({}),
  telemetry: z
    .strictObject({
      otlpEndpoint: z
        .url({ protocol: /^https?$/ })
        .nullable()
        .default(null)
        .describe('Base URL of an OpenTelemetry collector that takes OTLP over HTTP as JSON; null = no traces leave.'),
      content: z.boolean().default(false).describe('Put prompts and answers into traces, with secrets replaced.'),
    })
    .prefault({}),
  hub: z
    .strictObject({
      endpoint: z.url().default('https://huggingface.co').describe('Origin of the model hub.'),
      cdnHosts: list.default(['*.huggingface.co', '*.hf.co']).describe('Hosts that the hub may send a download to, besides its own.'),
    })
    .prefault({}),
  push: z
    .strictObject({
      targets: list
        .default([])
        .describe('Repositories (`org/model`, `*` for any part) that may be pushed to; a push over HTTP is refused unless one of them matches.'),
    })
    .prefault({}),
  remotes,
  routes,
  aliases,
  cloud,
  stateStore,
  workspaces: z
    .strictObject({ home: z.string().nullable().default(null).describe('Directory of editable models; ignored when it does not exist.') })
    .prefault({}),
});

type DeepReadonly<T> = T extends object ? { readonly [K in keyof T]: DeepReadonly<T[K]> } : T;

/** Frozen, valid configuration. */
export type Config = DeepReadonly<z.output<typeof configSchema>>;
