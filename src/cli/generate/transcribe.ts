import type { Client } from '../../client/index.ts';
import { endpoints, type RunData } from '../../contract/index.ts';
import type { Answer } from './answer.ts';
import type { MediaFile } from './read-media.ts';

export interface TranscriptionWish {
  /** Id that the server gave to the loaded model. */
  readonly model: string;
  readonly recording: MediaFile;
  /** Words that stand before, for names and spelling; empty: none. */
  readonly prompt: string;
  readonly language: string | undefined;
  readonly translate: boolean;
  readonly temperature: number;
  /** Put the table of segments behind the text. */
  readonly table: boolean;
}

/** Has a speech model write down a recording. Nothing is asked of it but the words: a prompt is a hint for their spelling. */
export async function transcribe(client: Client, wish: TranscriptionWish, signal: AbortSignal): Promise<Answer> {
  const startedAt = performance.now();
  const form = {
    model: wish.model,
    response_format: 'verbose_json' as const,
    temperature: wish.temperature,
    language: wish.language,
    prompt: wish.prompt === '' ? undefined : wish.prompt,
  };
  const endpoint = wish.translate ? endpoints.translations : endpoints.transcriptions;
  const file = new Blob([new Uint8Array(wish.recording.bytes)], { type: wish.recording.mediaType });
  const { text, language = null, duration = null, segments = [] } = await client.call(endpoint, { form, file }, { signal });
  const transcription = { language, duration_s: duration, segments: segments.map((segment) => ({ ...segment, text: segment.text.trim() })) };
  return {
    text: wish.table && segments.length > 0 ? `${text.trim()}\n\n${segmentTable(transcription.segments)}` : text.trim(),
    reasoning: '',
    finishReason: 'stop',
    usage: null,
    hearth: null,
    firstTokenMs: null,
    totalMs: performance.now() - startedAt,
    transcription,
  };
}

/** Exactly as scripts of MLX Knife expect it (docs/spec/store.md §10). */
function segmentTable(segments: NonNullable<RunData['transcription']>['segments']): string {
  const cell = (text: string): string => text.replaceAll(/\s*\n\s*/g, ' ').replaceAll('|', '\\|');
  return [
    '<details>',
    `<summary>Audio Segments (${segments.length} ${segments.length === 1 ? 'segment' : 'segments'})</summary>`,
    '',
    '| Start | End | Text |',
    '|-------|-----|------|',
    ...segments.map(({ start, end, text }) => `| ${start.toFixed(2)}s | ${end.toFixed(2)}s | ${cell(text)} |`),
    '',
    '</details>',
    '',
  ].join('\n');
}
