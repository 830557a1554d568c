import type { AnthropicModelItem, AnthropicModelList, endpoints, ModelItem } from '../../contract/index.ts';
import { HearthError } from '../../core/index.ts';
import type { Handler } from '../bind.ts';

/** Who sends the header `anthropic-version` gets /v1/models in the shape of Anthropic's API (docs/spec/serving.md §2.5). */
const speaksAnthropic = (request: Request): boolean => request.headers.has('anthropic-version');

export const listModelsInShape =
  (plain: Handler<typeof endpoints.listModels>): Handler<typeof endpoints.listModels> =>
  async (input, context) => {
    const reply = await plain(input, context);
    if (reply instanceof Response || !speaksAnthropic(context.request)) return reply;
    return Response.json(anthropicModelPage(reply.data, context.request.url));
  };

export const getModelInShape =
  (plain: Handler<typeof endpoints.getModel>): Handler<typeof endpoints.getModel> =>
  async (input, context) => {
    const reply = await plain(input, context);
    return reply instanceof Response || !speaksAnthropic(context.request) ? reply : Response.json(anthropicModel(reply));
  };

const anthropicModel = (item: ModelItem): AnthropicModelItem => ({
  type: 'model',
  id: item.id,
  display_name: item.id.slice(item.id.lastIndexOf('/') + 1),
  created_at: new Date(item.created * 1000).toISOString(),
  max_input_tokens: item.context_length,
});

const DEFAULT_LIMIT = 20;
const MAX_LIMIT = 1000;

/** One page of the list: `limit`, and `after_id` or `before_id`. */
function anthropicModelPage(items: readonly ModelItem[], url: string): AnthropicModelList {
  const query = new URL(url).searchParams;
  const limit = limitOf(query.get('limit'));
  const [after, before] = [query.get('after_id'), query.get('before_id')];
  const place = (id: string, field: string): number => {
    const index = items.findIndex((item) => item.id === id);
    if (index < 0) throw new HearthError('invalid_value', `${field} is ${id.slice(0, 200)}, which is not in the list.`, { details: { param: field } });
    return index;
  };
  if (after !== null && before !== null)
    throw new HearthError('invalid_value', 'A page begins after one model or ends before one, not both.', { details: { param: 'before_id' } });
  const end = before === null ? items.length : place(before, 'before_id');
  const start = before === null ? (after === null ? 0 : place(after, 'after_id') + 1) : Math.max(0, end - limit);
  const data = items.slice(start, Math.min(end, start + limit)).map(anthropicModel);
  const more = before === null ? start + limit < items.length : start > 0;
  return { data, has_more: more, first_id: data[0]?.id ?? null, last_id: data.at(-1)?.id ?? null };
}

function limitOf(text: string | null): number {
  if (text === null) return DEFAULT_LIMIT;
  const limit = /^\d{1,4}$/.test(text) ? Number(text) : 0;
  if (limit < 1 || limit > MAX_LIMIT) throw new HearthError('invalid_value', `limit is 1 to ${MAX_LIMIT}.`, { details: { param: 'limit' } });
  return limit;
}
