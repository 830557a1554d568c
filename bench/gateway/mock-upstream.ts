// A server that speaks OpenAI's chat API and computes nothing: the first token comes after FIRST_MS, the others at once.
//   node bench/gateway/mock-upstream.ts [--first-ms 20] [--tokens 16]     prints {"port": …} when it listens

import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { parseArgs } from 'node:util';

const { values } = parseArgs({ options: { 'first-ms': { type: 'string', default: '20' }, tokens: { type: 'string', default: '16' } } });
const firstMs = Number(values['first-ms']);
const tokens = Number(values.tokens);

const usage = { prompt_tokens: 8, completion_tokens: tokens, total_tokens: 8 + tokens };
const head = { id: 'chatcmpl-mock', created: 1_700_000_000, model: 'mock' };
const chunk = (delta: object, finish: string | null, more: object = {}): string =>
  `data: ${JSON.stringify({ ...head, object: 'chat.completion.chunk', choices: [{ index: 0, delta, finish_reason: finish }], ...more })}\n\n`;
const first = chunk({ role: 'assistant', content: '' }, null) + chunk({ content: 'tok' }, null);
const rest = `${Array.from({ length: tokens - 1 }, () => chunk({ content: ' tok' }, null)).join('')}${chunk({}, 'stop')}`;
const usageChunk = `data: ${JSON.stringify({ ...head, object: 'chat.completion.chunk', choices: [], usage })}\n\n`;
const whole = JSON.stringify({
  ...head,
  object: 'chat.completion',
  choices: [{ index: 0, message: { role: 'assistant', content: Array.from({ length: tokens }, () => 'tok').join(' ') }, finish_reason: 'stop' }],
  usage,
});
const list = JSON.stringify({ object: 'list', data: [{ id: 'mock', object: 'model', created: 1_700_000_000, owned_by: 'bench' }] });

const server = createServer((request, response) => {
  if (request.method === 'GET') {
    response.writeHead(200, { 'content-type': 'application/json' }).end(list);
    return;
  }
  let body = '';
  request.setEncoding('utf8');
  request.on('data', (piece: string) => {
    body += piece;
  });
  request.on('end', () => {
    const stream = body.includes('"stream":true') || body.includes('"stream": true');
    const withUsage = body.includes('include_usage');
    setTimeout(() => {
      if (stream) {
        response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' });
        response.write(first);
        response.end(`${rest}${withUsage ? usageChunk : ''}data: [DONE]\n\n`);
      } else response.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(whole) }).end(whole);
    }, firstMs);
  });
});
server.keepAliveTimeout = 60_000;
server.listen(0, '127.0.0.1', () => process.stdout.write(`${JSON.stringify({ port: (server.address() as AddressInfo).port })}\n`));
process.on('SIGTERM', () => process.exit(0));
process.stdin.on('end', () => process.exit(0)).resume();
