import type { endpoints } from '../../contract/index.ts';
import { HearthError } from '../../core/index.ts';
import { decodeMessages } from '../../gateway/index.ts';
import type { Handler } from '../bind.ts';
import { answerOfUpstream, asItCame } from '../passthrough.ts';
import type { Services } from '../services.ts';

/** POST /tokenize: `content` by llama.cpp's field names, `prompt` or `messages` by vLLM's. */
export const tokenizeHandler =
  (_services: Services): Handler<typeof endpoints.tokenize> =>
  async ({ body }, context) => {
    const { signal, gateway } = context;
    const far = await answerOfUpstream(body.model, asItCame('tokens', '/tokenize', context), context);
    if (far !== null) return far;
    const given = [body.content, body.prompt, body.messages].filter((value) => value !== null && value !== undefined);
    if (given.length !== 1) throw new HearthError('invalid_value', 'Exactly one of content, prompt and messages is needed.', { details: { param: 'content' } });
    const input = body.messages
      ? { messages: decodeMessages(body.messages) }
      : {
          text: body.content ?? body.prompt ?? '',
          addSpecial: body.add_special ?? body.add_special_tokens ?? typeof body.prompt === 'string',
          parseSpecial: body.parse_special ?? true,
        };
    const pieces = body.with_pieces === true || body.return_token_strs === true;
    return await gateway.withSession(await gateway.resolve(body.model, signal), signal, async (session, contextTokens) => {
      const tokens = await session.tokenize(input);
      const texts = pieces ? await Promise.all(tokens.map((token) => session.detokenize([token]))) : [];
      return {
        tokens: body.with_pieces === true ? tokens.map((id, index) => ({ id, piece: texts[index]! })) : [...tokens],
        count: tokens.length,
        max_model_len: contextTokens,
        ...(body.return_token_strs === true ? { token_strs: texts } : {}),
      };
    });
  };

export const detokenizeHandler =
  (_services: Services): Handler<typeof endpoints.detokenize> =>
  async ({ body }, context) => {
    const { signal, gateway } = context;
    const far = await answerOfUpstream(body.model, asItCame('tokens', '/detokenize', context), context);
    if (far !== null) return far;
    return await gateway.withSession(await gateway.resolve(body.model, signal), signal, async (session) => {
      const content = await session.detokenize(body.tokens);
      return { content, prompt: content };
    });
  };

export const applyTemplateHandler =
  (_services: Services): Handler<typeof endpoints.applyTemplate> =>
  async ({ body }, context) => {
    const { signal, gateway } = context;
    const far = await answerOfUpstream(body.model, asItCame('tokens', '/apply-template', context), context);
    if (far !== null) return far;
    const tools = body.tools ?? [];
    const messages = decodeMessages(body.messages);
    const model = await gateway.resolve(body.model, signal);
    return await gateway.withSession(model, signal, async (session) => {
      const { capabilities } = await gateway.target(model);
      if (tools.length > 0 && !capabilities.tools)
        throw new HearthError('unsupported_parameter', 'The chat template of this model has no place for tools.', { details: { param: 'tools' } });
      return { prompt: await session.applyTemplate(messages, { ...body.chat_template_kwargs, ...(tools.length === 0 ? {} : { tools }) }) };
    });
  };
