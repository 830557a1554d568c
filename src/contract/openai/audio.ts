import { z } from 'zod';
import { defineEndpoint } from '../endpoint.ts';

/** Fields of the form of POST /v1/audio/transcriptions and /v1/audio/translations beside `file` (docs/spec/serving.md §1.1); unknown ones are ignored. */
export const transcriptionForm = z.looseObject({
  model: z.string().min(1).max(256),
  language: z
    .string()
    .regex(/^[A-Za-z]{2,3}(-[A-Za-z]{2,4})?$/)
    .optional(),
  prompt: z.string().max(16_384).optional(),
  temperature: z.coerce.number().min(0).max(1).optional(),
  response_format: z.enum(['json', 'text', 'verbose_json', 'srt', 'vtt']).optional(),
  timestamp_granularities: z.array(z.enum(['segment', 'word'])).optional(),
  stream: z.enum(['true', 'false']).optional(),
});
export type TranscriptionForm = z.infer<typeof transcriptionForm>;

/** `json` has the text alone, `verbose_json` all of it. */
export const transcriptionReply = z.looseObject({
  text: z.string(),
  task: z.enum(['transcribe', 'translate']).optional(),
  language: z.string().optional(),
  /** Of the audio, in seconds. */
  duration: z.number().optional(),
  segments: z.array(z.looseObject({ id: z.int(), start: z.number(), end: z.number(), text: z.string() })).optional(),
});
export type TranscriptionReply = z.infer<typeof transcriptionReply>;

export const audioEndpoints = {
  transcriptions: defineEndpoint({
    id: 'transcriptions',
    method: 'POST',
    path: '/v1/audio/transcriptions',
    scope: 'inference',
    summary: 'Write down what is said in a sound file, sent as a form with `file`.',
    form: transcriptionForm,
    reply: transcriptionReply,
  }),
  translations: defineEndpoint({
    id: 'translations',
    method: 'POST',
    path: '/v1/audio/translations',
    scope: 'inference',
    summary: 'Write down in English what is said in a sound file, sent as a form with `file`.',
    form: transcriptionForm,
    reply: transcriptionReply,
  }),
} as const;
