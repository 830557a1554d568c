import { type endpoints, REQUEST_LIMITS, transcriptionForm } from '../../contract/index.ts';
import { HearthError } from '../../core/index.ts';
import { checkAudio, encodeTranscription } from '../../gateway/index.ts';
import { type Handler, validate } from '../bind.ts';
import { readUploadForm } from '../read-form.ts';

/** Of an upload (docs/spec/security.md §7). */
const MAX_FILE_BYTES = REQUEST_LIMITS.uploadBytes;

/** POST /v1/audio/transcriptions and /v1/audio/translations. */
export const audioHandler =
  (task: 'transcribe' | 'translate'): Handler<(typeof endpoints)['transcriptions' | 'translations']> =>
  async (_, { gateway, request, signal }) => {
    const { fields, file } = await readUploadForm(request, MAX_FILE_BYTES);
    const form = validate(transcriptionForm, fields);
    const format = form.response_format ?? 'json';
    const granularities = form.timestamp_granularities ?? [];
    if (form.stream === 'true') throw unsupported('stream', 'A transcription comes as a whole.');
    if (granularities.includes('word')) throw unsupported('timestamp_granularities', 'There are times of segments, not of words.');
    if (granularities.length > 0 && format !== 'verbose_json')
      throw unsupported('timestamp_granularities', 'Times of segments are in verbose_json, srt and vtt.');
    const model = await gateway.resolve(form.model, signal);
    const { capabilities } = await gateway.target(model);
    if (!capabilities.transcription) throw new HearthError('capability_mismatch', `${model.id} does not understand speech.`, { details: { param: 'model' } });
    if (task === 'translate' && !capabilities.translation)
      throw new HearthError('translation_unsupported', `${model.id} cannot translate what is said.`, { details: { param: 'model' } });
    const { mediaType } = checkAudio(file, 'file');
    const transcription = await gateway.withSession(model, signal, async (session) => {
      if (session.transcribe === undefined) throw new HearthError('not_implemented', 'The engine of this model cannot transcribe yet.');
      return await session.transcribe(
        {
          task,
          bytes: file,
          mediaType,
          temperature: form.temperature ?? 0,
          ...(form.language === undefined ? {} : { language: form.language.toLowerCase() }),
          ...(form.prompt === undefined ? {} : { prompt: form.prompt }),
        },
        signal,
      );
    });
    const reply = encodeTranscription(transcription, task, format);
    if (typeof reply !== 'string') return reply;
    const type = format === 'vtt' ? 'text/vtt' : format === 'srt' ? 'application/x-subrip' : 'text/plain';
    return new Response(reply, { headers: { 'content-type': `${type}; charset=utf-8` } });
  };

const unsupported = (param: string, message: string): HearthError => new HearthError('unsupported_parameter', message, { details: { param } });
