import type { endpoints } from '../../contract/index.ts';
import { embed, rerank } from '../../gateway/index.ts';
import type { Handler } from '../bind.ts';
import { answerOfUpstream, asItCame } from '../passthrough.ts';
import type { Services } from '../services.ts';

/** POST /v1/embeddings. What was cut is told in a header too (docs/spec/serving.md §2.5). */
export const embeddingsHandler =
  ({ embeddings }: Services): Handler<typeof endpoints.embeddings> =>
  async ({ body }, context) => {
    const { signal, gateway } = context;
    const far = await answerOfUpstream(body.model, asItCame('openai-embeddings', '/v1/embeddings', context), context);
    if (far !== null) return far;
    const reply = await embed(gateway, { body, signal, truncate: embeddings.truncate });
    gateway.charge(reply.usage.total_tokens);
    const truncated = reply.hearth?.truncated ?? [];
    return Response.json(reply, truncated.length === 0 ? {} : { headers: { 'x-hearth-truncated': truncated.join(',') } });
  };

/** POST /v1/rerank. */
export const rerankHandler =
  (_services: Services): Handler<typeof endpoints.rerank> =>
  async ({ body }, context) => {
    const { signal, gateway } = context;
    const far = await answerOfUpstream(body.model, asItCame('rerank', '/v1/rerank', context), context);
    if (far !== null) return far;
    const reply = await rerank(gateway, body, signal);
    gateway.charge(reply.usage.total_tokens);
    return reply;
  };
