import { describe, expect, test } from 'vitest';
import { chat, chatReply, chunk, data, json, startMockUpstream, status, stream } from '../../../test/support/mock-upstream.ts';
import { hear, MODEL, makeUpstream, raw, request } from '../../../test/support/upstream-run.ts';
import { decodeChat } from '../index.ts';

/**
 * Streams as servers of docs/spec/serving.md §2.7 write them, by hand from their public sources: mlx-lm `server.py`, Ollama `openai/openai.go`,
 * vllm-mlx `server.py`, LM Studio and llama.cpp `tools/server` (README).
 */
const call = (index: number, id: string, name: string, args: unknown) => ({ index, id, type: 'function', function: { name, arguments: args } });
const tools = { definitions: [{ name: 'f' }, { name: 'g' }], choice: 'auto', parallel: true } as const;

describe('the departures of known servers are repaired', () => {
  test('mlx_lm server: a role in every delta, whole calls, reasoning, its usage chunk, progress in comments', async () => {
    await using mock = await startMockUpstream();
    using upstream = makeUpstream(mock.url, { dialect: 'mlx-lm' });
    const progress: number[][] = [];
    mock.script(
      stream([
        ': keepalive 128/512\n\n',
        ': keepalive 512/512\n\n',
        chunk({ role: 'assistant', reasoning: 'Hm. ' }),
        chunk({ role: 'assistant', content: 'Calling' }),
        chunk({ role: 'assistant', tool_calls: [call(0, 'a', 'f', '{"x":1}'), call(0, 'b', 'g', '{}')] }),
        chunk({ role: 'assistant' }, 'tool_calls'),
        data({ id: 'c1', object: 'chat.completion', choices: [], usage: { prompt_tokens: 512, completion_tokens: 9, total_tokens: 521 } }),
        chat.done,
      ]),
    );
    const { events, answer } = await hear(upstream, { request: request({ tools }), onProgress: (...numbers) => progress.push(numbers) });
    expect(progress).toEqual([
      [128, 512],
      [512, 512],
    ]);
    expect(events.filter(({ kind }) => kind.startsWith('tool') || kind === 'finish')).toEqual([
      { kind: 'tool-start', choice: 0, toolIndex: 0, id: 'a', name: 'f' },
      { kind: 'tool-delta', choice: 0, toolIndex: 0, argumentsJson: '{"x":1}' },
      { kind: 'tool-end', choice: 0, toolIndex: 0 },
      { kind: 'tool-start', choice: 0, toolIndex: 1, id: 'b', name: 'g' },
      { kind: 'tool-delta', choice: 0, toolIndex: 1, argumentsJson: '{}' },
      { kind: 'tool-end', choice: 0, toolIndex: 1 },
      { kind: 'finish', choice: 0, reason: 'tool_calls' },
    ]);
    expect(events).toContainEqual({ kind: 'reasoning-delta', choice: 0, text: 'Hm. ' });
    expect(answer.usage()).toMatchObject({ promptTokens: 512, completionTokens: 9, estimated: false });
    mock.script(status(404, { error: 'generation failed' }));
    await expect(hear(upstream)).rejects.toMatchObject({ code: 'upstream_error', countsForBreaker: true });
    const { capabilities } = upstream.targetOf('m');
    expect(capabilities).toMatchObject({ forcedToolChoice: false, jsonSchema: false, maxChoices: 1, maxLogprobs: 0, tools: true });
    expect(upstream.speaks('openai-chat', '/v1/chat/completions')).toBe(false);
  });

  test('Ollama: arguments as an object, an error as an empty event', async () => {
    await using mock = await startMockUpstream();
    using upstream = makeUpstream(mock.url, { dialect: 'ollama' });
    mock.script(stream([chunk({ tool_calls: [call(0, 'a', 'f', { x: 1 })] }), chunk({}, 'stop'), chat.done]), stream([chat.text('one'), 'data: {}\n\n']));
    const { events } = await hear(upstream, { request: request({ tools }) });
    expect(events).toContainEqual({ kind: 'tool-delta', choice: 0, toolIndex: 0, argumentsJson: '{"x":1}' });
    expect(events).toContainEqual({ kind: 'finish', choice: 0, reason: 'tool_calls' });
    expect(await hear(upstream)).toMatchObject({ text: 'one', broken: 'upstream_truncated' });
    const forced = request({ tools: { ...tools, choice: 'required' } });
    await expect(hear(upstream, { request: forced })).rejects.toMatchObject({ code: 'unsupported_parameter', details: { param: 'tool_choice' } });
  });

  test('vllm-mlx: [DONE] without a finish is no end, its errors have a detail, its key is a Bearer, its vectors are numbers', async () => {
    await using mock = await startMockUpstream();
    using upstream = makeUpstream(mock.url, { dialect: 'vllm-mlx', apiKey: () => 'key-of-vllm-mlx' });
    mock.script(
      stream([chat.text('one'), chat.done]),
      status(400, { detail: 'no such field' }),
      json({ data: [{ index: 0, embedding: [0.5, -2] }], usage: { prompt_tokens: 3 } }),
    );
    expect(await hear(upstream)).toMatchObject({ broken: 'upstream_truncated' });
    await expect(hear(upstream)).rejects.toMatchObject({ code: 'invalid_value', message: expect.stringContaining('no such field') });
    const wire = raw('openai-embeddings', '/v1/embeddings', '{"model":"up","input":"x","encoding_format":"base64"}');
    const { bytes, answer } = await hear(upstream, { ...wire, stream: false });
    expect([...new Float32Array(Uint8Array.from(Buffer.from(JSON.parse(bytes.toString()).data[0].embedding, 'base64')).buffer)]).toEqual([0.5, -2]);
    expect(answer.usage()).toMatchObject({ promptTokens: 3 });
    expect(mock.requests.at(-1)!.headers['authorization']).toBe('Bearer key-of-vllm-mlx');
    using messages = makeUpstream(mock.url, { kind: 'anthropic', dialect: 'vllm-mlx', apiKey: () => 'key-of-vllm-mlx' });
    mock.script(status(500, { detail: 'x' }));
    await expect(hear(messages)).rejects.toMatchObject({ code: 'upstream_error' });
    expect(mock.requests.at(-1)!.headers).toMatchObject({ authorization: 'Bearer key-of-vllm-mlx' });
  });

  test('LM Studio and llama-server: progress, extras, bare comments, 503 while loading', async () => {
    await using mock = await startMockUpstream();
    for (const dialect of ['lm-studio', 'llama-server'] as const) {
      using upstream = makeUpstream(mock.url, { dialect });
      const progress: number[][] = [];
      const extras = data({ choices: [{ index: 0, delta: {}, finish_reason: 'stop' }], timings: { predicted_n: 3 }, __verbose: { x: 1 }, usage: null });
      mock.script(
        stream([':\n\n', ': prompt-progress 3/9\n\n', chat.text('one'), ':\n', extras, chat.done]),
        status(503, { error: { code: 503, message: 'Loading model', type: 'unavailable_error' } }),
      );
      expect(await hear(upstream, { onProgress: (...numbers) => progress.push(numbers) })).toMatchObject({ text: 'one', broken: null });
      expect(progress).toEqual(dialect === 'lm-studio' ? [[3, 9]] : []);
      await expect(hear(upstream)).rejects.toMatchObject({ code: 'upstream_overloaded', fallback: true });
    }
  });
});

describe('only what the client asked for is sent', () => {
  test('defaults of ours stay here; JSON schema, logprobs, choices and a limit go in the words of the API', async () => {
    await using mock = await startMockUpstream();
    using upstream = makeUpstream(mock.url);
    mock.script(json(chatReply('x')));
    const base = request();
    await hear(upstream, { stream: false, request: { ...base, sampling: { ...base.sampling, temperature: 0.7, topP: 0.9 } } });
    expect(mock.requests.at(-1)!.body).toEqual({ model: 'up', messages: [{ role: 'user', content: 'Hello' }] });
    const format = { kind: 'json-schema', schema: { type: 'object' } } as const;
    await hear(upstream, {
      stream: false,
      request: request({ format, logprobs: 2, maxTokens: 5, remote: { asked: ['temperature', 'seed'] }, sampling: { ...base.sampling, seed: 4 } }),
    });
    expect(mock.requests.at(-1)!.body).toMatchObject({
      temperature: 0,
      seed: 4,
      logprobs: true,
      top_logprobs: 2,
      max_completion_tokens: 5,
      response_format: { type: 'json_schema', json_schema: { schema: { type: 'object' }, strict: true } },
    });
  });
});

describe('[engines E38] what is not known of a remote is not declared', () => {
  test('without words of its configuration a model has no capability, and its memory costs nothing here', () => {
    using upstream = makeUpstream('http://127.0.0.1:9', { models: [{ ...MODEL, capabilities: [] }] });
    for (const name of ['m', 'of nobody']) {
      const { capabilities } = upstream.targetOf(name);
      expect(capabilities).toMatchObject({
        tools: false,
        jsonSchema: false,
        grammar: false,
        logitBias: false,
        seed: false,
        images: false,
        audio: false,
        reasoning: false,
        embeddings: false,
        rerank: false,
        maxLogprobs: 0,
        maxChoices: 1,
      });
    }
  });

  test('a request for what is not declared is 400 naming it', () => {
    using upstream = makeUpstream('http://127.0.0.1:9', { models: [{ ...MODEL, capabilities: ['chat'] }] });
    const target = upstream.targetOf('m');
    const ask = { model: 'far/m', messages: [{ role: 'user' as const, content: 'x' }] };
    const wanted = {
      tools: [{ type: 'function', function: { name: 'f' } }],
      response_format: { type: 'json_object' },
      logprobs: true,
      logit_bias: { 5: 1 },
      n: 2,
      grammar: 'root ::= "a"',
      reasoning_effort: 'high',
    };
    const defaults = { temperature: 0.7, topP: 0.9, repetitionPenalty: 1 };
    for (const [param, value] of Object.entries(wanted)) {
      expect(() => decodeChat({ ...ask, [param]: value }, target, 'req', defaults)).toThrow(
        expect.objectContaining({ row: expect.objectContaining({ status: 400 }), details: { param } }),
      );
    }
    // A seed asks for no more than luck that can be repeated: it is left out, and told in x-hearth-dropped.
    expect(decodeChat({ ...ask, seed: 1 }, target, 'req', defaults).messages).toHaveLength(1);
  });

  test('counts that the upstream does not tell are guessed, and say so', async () => {
    await using mock = await startMockUpstream();
    using upstream = makeUpstream(mock.url);
    for (const more of [{}, raw('openai-chat', '/v1/chat/completions', '{"model":"up","stream":true}')]) {
      mock.script(stream([chat.head(), chat.text('twelve chars'), chat.finish(), chat.done]));
      expect((await hear(upstream, more)).answer.usage()).toMatchObject({ completionTokens: 3, estimated: true });
    }
  });
});

describe('health', () => {
  const metrics = `# HELP vllm:num_requests_waiting Number of requests waiting.
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0",model_name="up"} 2.0
vllm:num_requests_waiting{engine="1",model_name="up"} 1.0
vllm:num_requests_running{engine="0",model_name="up"} 4.0
vllm:kv_cache_usage_perc{engine="0",model_name="up"} 0.25
`;
  const text = (body: string) => (response: Parameters<ReturnType<typeof json>>[0]) => void response.writeHead(200, { 'content-type': 'text/plain' }).end(body);
  const list = json({ object: 'list', data: [{ id: 'up' }, { id: 'up-lora' }] });

  test('GET /health, the list, and the load of vLLM and SGLang', async () => {
    await using vllm = await startMockUpstream({ '/health': text(''), '/v1/models': list, '/metrics': text(metrics) });
    await using sglang = await startMockUpstream({
      '/health': text(''),
      '/v1/models': list,
      '/metrics': text('sglang:num_queue_reqs 0\nsglang:num_running_reqs{a="b"} 1\nsglang:token_usage 0.5\n'),
    });
    using first = makeUpstream(vllm.url);
    using second = makeUpstream(`${sglang.url}/v1/`);
    const signal = new AbortController().signal;
    expect(await first.probe(signal)).toEqual({ state: 'busy', models: ['up', 'up-lora'], running: 4, waiting: 3, kvUsage: 0.25 });
    expect(await second.probe(signal)).toEqual({ state: 'ready', models: ['up', 'up-lora'], running: 1, waiting: 0, kvUsage: 0.5 });
  });

  test('without /health the list decides; loading, draining and dead are told apart', async () => {
    const signal = new AbortController().signal;
    const stateOf = async (get: Parameters<typeof startMockUpstream>[0]) => {
      await using mock = await startMockUpstream(get);
      using upstream = makeUpstream(mock.url);
      return (await upstream.probe(signal)).state;
    };
    expect(await stateOf({ '/v1/models': list })).toBe('ready');
    expect(await stateOf({ '/health': status(503, { error: { message: 'Loading model' } }) })).toBe('starting');
    expect(await stateOf({ '/health': status(503, { status: 'draining', message: 'draining' }) })).toBe('draining');
    expect(await stateOf({})).toBe('dead');
    using gone = makeUpstream('http://127.0.0.1:9');
    expect(await gone.probe(signal)).toMatchObject({ state: 'dead', reason: expect.stringContaining('far'), models: null });
  });

  test('the list of a peer brings names and capabilities, without what it has from others again; hops are counted', async () => {
    const item = (id: string, local: boolean) => ({
      id,
      object: 'model',
      context_length: 4096,
      capabilities: ['chat', 'tools', 'json_schema'],
      hearth: { local },
    });
    await using mock = await startMockUpstream({ '/v1/models': json({ object: 'list', data: [item('org/a', true), item('other/b', false)] }) });
    using upstream = makeUpstream(mock.url, { kind: 'peer', models: [] });
    await upstream.refresh(new AbortController().signal);
    expect(upstream.models()).toEqual(['org/a']);
    expect(upstream.targetOf('org/a')).toMatchObject({ id: 'far/org/a', capabilities: { tools: true, jsonSchema: true, contextTokens: 4096 } });
    mock.script(stream([chat.text('x'), chat.finish(), chat.done]));
    await hear(upstream, { model: 'org/a', hops: 2 });
    expect(mock.requests.at(-1)!.headers['x-hearth-hops']).toBe('3');
    await expect(hear(upstream, { hops: 3 })).rejects.toMatchObject({ code: 'invalid_value', fallback: false });
  });
});
