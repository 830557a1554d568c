import type { TranscriptionForm, TranscriptionReply } from '../../../contract/index.ts';
import type { Transcription } from '../../../engines/index.ts';

/** The answer in the form that was asked for: an object, or the text of a file. */
export function encodeTranscription(
  { segments, text, language, seconds }: Transcription,
  task: 'transcribe' | 'translate',
  format: NonNullable<TranscriptionForm['response_format']>,
): TranscriptionReply | string {
  switch (format) {
    case 'json':
      return { text };
    case 'text':
      return `${text}\n`;
    case 'verbose_json': {
      const parts = segments.map((segment, id) => ({ id, start: segment.startSeconds, end: segment.endSeconds, text: segment.text }));
      return { task, language, duration: seconds, text, segments: parts };
    }
    case 'srt':
      return segments
        .map((segment, i) => `${i + 1}\n${clock(segment.startSeconds, ',')} --> ${clock(segment.endSeconds, ',')}\n${cue(segment.text)}\n\n`)
        .join('');
    case 'vtt':
      return `WEBVTT\n\n${segments.map((segment) => `${clock(segment.startSeconds, '.')} --> ${clock(segment.endSeconds, '.')}\n${cue(segment.text)}\n\n`).join('')}`;
  }
}

/** Hours, minutes, seconds and milliseconds. */
function clock(seconds: number, mark: ',' | '.'): string {
  const ms = Math.round(seconds * 1000);
  const two = (value: number): string => String(Math.floor(value)).padStart(2, '0');
  return `${two(ms / 3_600_000)}:${two((ms / 60_000) % 60)}:${two((ms / 1000) % 60)}${mark}${String(ms % 1000).padStart(3, '0')}`;
}

/** An empty line or an arrow would end a cue or begin another one. */
const cue = (text: string): string =>
  text
    .trim()
    .replaceAll(/\s*\n\s*/g, '\n')
    .replaceAll('-->', '→');
