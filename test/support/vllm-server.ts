import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/**
 * A server that speaks vLLM's HTTP API: the shapes of its answers are those of its documentation and of its `entrypoints/openai/protocol.py`
 * (fields that are null there are null here), its tokens are bytes, and its text follows from the prompt.
 */
export interface VllmServer extends AsyncDisposable {
  readonly url: string;
  readonly requests: readonly { readonly path: string; readonly headers: IncomingMessage['headers']; readonly body: Record<string, unknown> }[];
  /** Answers that are being written. */
  readonly running: number;
}

interface Body {
  readonly model?: string;
  readonly messages?: readonly { readonly role: string; readonly content: unknown }[];
  readonly prompt?: string | readonly number[];
  readonly tokens?: readonly number[];
  readonly stream?: boolean;
  readonly stream_options?: { readonly include_usage?: boolean };
  readonly max_tokens?: number;
  readonly max_completion_tokens?: number;
  readonly stop?: string | readonly string[];
  readonly n?: number;
}

const WORDS = ['alpha ', 'beta ', 'gamma ', 'delta ', 'epsilon ', 'zeta '];
const bytesOf = (text: string): number[] => [...Buffer.from(text)];
const contentOf = (content: unknown): string =>
  typeof content === 'string' ? content : (content as { text?: string }[]).map(({ text = '' }) => text).join('');
/** ChatML, as Qwen's template writes it. */
const render = (messages: NonNullable<Body['messages']>): string =>
  `${messages.map(({ role, content }) => `<|im_start|>${role}\n${contentOf(content)}<|im_end|>\n`).join('')}<|im_start|>assistant\n`;

export async function startVllmServer({ model = 'Qwen/Qwen3-0.6B', contextTokens = 256 } = {}): Promise<VllmServer> {
  const requests: { path: string; headers: IncomingMessage['headers']; body: Record<string, unknown> }[] = [];
  let running = 0;
  const json = (response: ServerResponse, status: number, body: unknown): void => {
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  };
  const refuse = (response: ServerResponse, code: number, message: string, type = 'BadRequestError', param: string | null = null): void =>
    json(response, code, { error: { message, type, param, code } });

  async function complete(response: ServerResponse, body: Body, chat: boolean): Promise<void> {
    const prompt = chat ? bytesOf(render(body.messages!)) : typeof body.prompt === 'string' ? bytesOf(body.prompt) : [...(body.prompt ?? [])];
    const room = contextTokens - prompt.length;
    if (room <= 0)
      return refuse(
        response,
        400,
        `This model's maximum context length is ${contextTokens} tokens. However, your request has ${prompt.length} input tokens. Please reduce the length of the input messages.`,
      );
    const asked = body.max_completion_tokens ?? body.max_tokens ?? (chat ? room : 16);
    if (asked > room)
      return refuse(
        response,
        400,
        `'max_tokens' or 'max_completion_tokens' is too large: ${asked}. This model's maximum context length is ${contextTokens} tokens and your request has ${prompt.length} input tokens (${asked} > ${contextTokens} - ${prompt.length}).`,
        'BadRequestError',
        'max_tokens',
      );
    const start = prompt.reduce((sum, id) => sum + id, 0);
    const whole = Array.from({ length: Math.ceil(asked / 5) + 1 }, (_, i) => WORDS[(start + i * i) % WORDS.length]!)
      .join('')
      .slice(0, asked);
    const stops = typeof body.stop === 'string' ? [body.stop] : (body.stop ?? []);
    const [hit] = stops.filter((stop) => whole.includes(stop)).sort((a, b) => whole.indexOf(a) - whole.indexOf(b));
    const text = hit === undefined ? whole : whole.slice(0, whole.indexOf(hit));
    const finish = { finish_reason: hit === undefined ? 'length' : 'stop', stop_reason: hit ?? null };
    const prompts = Array.isArray(body.prompt) && typeof body.prompt[0] !== 'number' ? body.prompt.length : 1;
    const n = (body.n ?? 1) * prompts;
    const completion = n * (hit === undefined ? asked : text.length + hit.length);
    const usage = { prompt_tokens: prompt.length, total_tokens: prompt.length + completion, completion_tokens: completion, prompt_tokens_details: null };
    const id = `${chat ? 'chatcmpl' : 'cmpl'}-5d2f6e1d2b7f4a0fbc7f0e6c`;
    const created = 1_764_000_000;
    if (body.stream !== true) {
      const choices = Array.from({ length: n }, (_, index) =>
        chat
          ? {
              index,
              message: {
                role: 'assistant',
                content: text,
                refusal: null,
                annotations: null,
                audio: null,
                function_call: null,
                tool_calls: [],
                reasoning_content: null,
              },
              logprobs: null,
              ...finish,
              token_ids: null,
            }
          : { index, text, logprobs: null, ...finish, prompt_logprobs: null, prompt_token_ids: null, token_ids: null },
      );
      const object = chat ? 'chat.completion' : 'text_completion';
      return json(response, 200, {
        id,
        object,
        created,
        model,
        choices,
        service_tier: null,
        system_fingerprint: null,
        usage,
        prompt_logprobs: null,
        kv_transfer_params: null,
      });
    }
    const object = chat ? 'chat.completion.chunk' : 'text_completion';
    const send = (choices: readonly unknown[], more = {}): void =>
      void response.write(`data: ${JSON.stringify({ id, object, created, model, choices, ...more })}\n\n`);
    response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' });
    const indices = [...Array(n).keys()];
    if (chat)
      for (const index of indices)
        send([{ index, delta: { role: 'assistant', content: '' }, logprobs: null, finish_reason: null }], { prompt_token_ids: null });
    for (let at = 0; at < text.length && !response.destroyed; at += 3) {
      const piece = text.slice(at, at + 3);
      for (const index of indices)
        send([
          chat
            ? { index, delta: { content: piece }, logprobs: null, finish_reason: null, token_ids: null }
            : { index, text: piece, logprobs: null, finish_reason: null, stop_reason: null, prompt_token_ids: null, token_ids: null },
        ]);
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    for (const index of indices)
      send([
        chat
          ? { index, delta: { content: '' }, logprobs: null, ...finish, token_ids: null }
          : { index, text: '', logprobs: null, ...finish, prompt_token_ids: null, token_ids: null },
      ]);
    if (body.stream_options?.include_usage === true) send([], { usage });
    response.end('data: [DONE]\n\n');
  }

  async function answer(path: string, body: Body, response: ServerResponse): Promise<void> {
    if (body.model !== model) return refuse(response, 404, `The model \`${body.model}\` does not exist.`, 'NotFoundError', 'model');
    if (path === '/tokenize') {
      const tokens = bytesOf(body.messages === undefined ? String(body.prompt) : render(body.messages));
      return json(response, 200, { count: tokens.length, max_model_len: contextTokens, tokens, token_strs: null });
    }
    if (path === '/detokenize') return json(response, 200, { prompt: Buffer.from(body.tokens ?? []).toString() });
    if (path === '/v1/chat/completions' || path === '/v1/completions') return await complete(response, body, path === '/v1/chat/completions');
    json(response, 404, { detail: 'Not Found' });
  }

  const server = createServer(async (incoming, response) => {
    const path = incoming.url ?? '';
    if (incoming.method === 'GET') {
      if (path === '/health') return void response.writeHead(200).end();
      if (path === '/v1/models') {
        const entry = {
          id: model,
          object: 'model',
          created: 1_764_000_000,
          owned_by: 'vllm',
          root: model,
          parent: null,
          max_model_len: contextTokens,
          permission: [],
        };
        return json(response, 200, { object: 'list', data: [entry] });
      }
      return json(response, 404, { detail: 'Not Found' });
    }
    const pieces: Buffer[] = [];
    for await (const piece of incoming) pieces.push(piece as Buffer);
    const body = JSON.parse(Buffer.concat(pieces).toString()) as Record<string, unknown>;
    requests.push({ path, headers: incoming.headers, body });
    running += 1;
    response.once('close', () => {
      running -= 1;
    });
    await answer(path, body as Body, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    get running() {
      return running;
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
