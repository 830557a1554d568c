import type Anthropic from '@anthropic-ai/sdk';
import { describe, expect, test } from 'vitest';
import { createCodingSession } from '../support/coding-session.ts';
import { startToolServer } from '../support/tool-server.ts';

describe('a coding agent', () => {
  test('[serving V33] of twenty turns finds at least 90 % of its prompt known from the second turn on, although a part of its system prompt changes each time', async () => {
    await using fixture = await startToolServer({ contextTokens: 32_768 });
    const { server, model } = fixture;
    const session = createCodingSession(model, { instructions: 4_000, maxTokens: 120 });
    let answer: Anthropic.Message | null = null;
    let calls = 0;
    const shares: number[] = [];
    for (let turn = 0; turn < 20; turn += 1) {
      session.next(turn, answer);
      const asked = {
        ...session.body(turn),
        temperature: 1,
        seed: turn,
        ...(turn % 2 === 0 ? { tool_choice: { type: 'any', disable_parallel_tool_use: true } } : {}),
      };
      answer = await server.anthropic.messages.stream(asked as unknown as Anthropic.MessageStreamParams).finalMessage();
      calls += answer.content.filter(({ type }) => type === 'tool_use').length;
      const { input_tokens, cache_read_input_tokens: read, cache_creation_input_tokens: created } = answer.usage;
      shares.push(read! / (input_tokens + read! + created!));
    }
    expect(calls).toBeGreaterThan(5);
    expect(shares[0]).toBe(0);
    for (const [i, share] of shares.slice(1).entries())
      expect(share, `turn ${i + 2}: ${shares.map((each) => each.toFixed(3)).join(' ')}`).toBeGreaterThanOrEqual(0.9);
  });
});
