import { z } from 'zod';
import { type EmbedData, endpoints, type ShowData } from '../../../contract/index.ts';
import { HearthError } from '../../../core/index.ts';
import { defineCommand, flag, option } from '../../command.ts';
import type { Context } from '../../context.ts';
import { readyModel } from '../../generate/ready-model.ts';
import { type BatchLine, parseBatch, readAll } from '../../generate/text-input.ts';
import { formatSeconds } from '../../render/size.ts';

/** Texts of one request: records come out while the rest is still computed. */
const TEXTS_AT_ONCE = 64;

export const embedCommand = defineCommand({
  name: 'embed',
  group: 'Models',
  summary: 'Print embedding vectors as JSON lines',
  arguments: [
    { name: 'model', schema: z.string().describe('name, part of a name, or a path') },
    { name: 'text', schema: z.string().optional().describe('the text; - or nothing reads it from stdin') },
  ],
  options: {
    batch: flag('read JSON lines with a "text" from stdin; their other fields are kept'),
    query: flag('embed as a search query, not as a document'),
    instruct: option(z.string().min(1).optional(), 'what the query is looking for, for models that take a task (implies --query)', { value: '<text>' }),
    cpu: flag('compute on the processor'),
    verbose: flag('tell more on stderr', { short: 'v' }),
  },
  async run(context, args: { model: string; text: string | undefined }, given) {
    const lines = await inputsOf(context, args.text, given.batch);
    const { client } = await context.connect();
    const { model, loadMs } = await readyModel(context, client, { name: args.model, check: (shown) => checkEmbedder(args.model, shown) });
    if (given.verbose)
      context.output.notice(`${model.id} on ${model.engine ?? 'no engine'} (${model.device ?? 'cpu'}), loaded in ${formatSeconds(loadMs / 1000)}`);
    const records: EmbedData['records'] = [];
    for (let first = 0; first < lines.length; first += TEXTS_AT_ONCE) {
      const part = lines.slice(first, first + TEXTS_AT_ONCE);
      const body = {
        model: model.id,
        input: part.map(({ text }) => text),
        input_type: given.query || given.instruct !== undefined ? ('query' as const) : ('document' as const),
        instruct: given.instruct,
        truncate: true,
      };
      const reply = await client.call(endpoints.embeddings, { body }, { signal: context.signal });
      const from = reply.hearth;
      if (from === undefined) throw new HearthError('embedding_failed', 'The vectors came without their model: another server answered.');
      for (const index of from.truncated) context.output.notice(`Note: ${nameOf(first + index, given.batch)} is longer than the model reads; its end was cut.`);
      for (const { index, embedding } of reply.data) {
        const { text, fields } = part[index]!;
        const metadata = { model: from.model.name, dimensions: from.dimensions, content_hash: from.model.hash, device: deviceOf(from.device) };
        const record = { ...fields, text, embedding: embedding as number[], metadata };
        records.push(record);
        context.output.text(`${JSON.stringify(record)}\n`);
      }
    }
    const data: EmbedData = { records };
    return { data };
  },
  // The lines were written as they came.
  render: () => '',
});

/** Refused before a load, as the server refuses it. */
function checkEmbedder(name: string, { model, reachable }: ShowData): void {
  if (model.health !== 'healthy') return;
  if (!model.capabilities.includes('embeddings'))
    throw new HearthError(
      'not_an_embedder',
      `${name} is no embedding model: it ${model.model_type === 'audio' ? 'turns speech into text' : 'answers in text'}.`,
    );
  const verdict = reachable?.['embeddings'];
  if (verdict?.ok === false) throw new HearthError('not_implemented', `No engine here can run ${name} yet: ${verdict.reason}.`);
}

async function inputsOf(context: Context, text: string | undefined, batch: boolean): Promise<readonly BatchLine[]> {
  if (batch) {
    if (text !== undefined && text !== '-') throw new HearthError('invalid_argument', 'With --batch the texts come from stdin; leave out the text.');
    const lines = parseBatch(await readAll(context.stdin));
    if (lines.length === 0) throw new HearthError('invalid_value', 'There is no line on stdin.');
    return lines;
  }
  if (text === undefined && context.terminal.stdin) throw new HearthError('invalid_argument', 'A text is needed: as a word, or on stdin.');
  const given = text === undefined || text === '-' ? await readAll(context.stdin) : text;
  if (given.trim() === '') throw new HearthError('invalid_value', 'The text is empty.');
  return [{ text: given, fields: {} }];
}

const deviceOf = (device: string): 'gpu' | 'cpu' => (device === 'gpu' ? 'gpu' : 'cpu');
const nameOf = (index: number, batch: boolean): string => (batch ? `Text ${index + 1}` : 'The text');
