import { describe, expect, test } from 'vitest';
import type { FeatureVerdict } from '../core/index.ts';
import { chooseEngineFor, type EngineCandidate, type EngineQuestion } from './choose-engine.ts';
import type { Feature } from './port.ts';

const FEATURES: readonly Feature[] = ['text', 'chat', 'vision', 'audio', 'embeddings', 'rerank'];
const candidate = (id: string, can: readonly Feature[], available = true): EngineCandidate => ({
  id,
  available,
  ...(available ? {} : { unavailableReason: `${id} needs its environment` }),
  verdicts: Object.fromEntries(
    FEATURES.map((feature) => [
      feature,
      can.includes(feature) ? { ok: true, engine: id, reason: null } : { ok: false, engine: null, reason: `${id} cannot do ${feature}` },
    ]),
  ) as Record<Feature, FeatureVerdict>,
});

const TEXT: readonly Feature[] = ['text', 'chat', 'embeddings', 'rerank'];
const ember = candidate('ember', TEXT);
const emberBlind = candidate('ember', []);
const mlx = candidate('mlx', ['text', 'chat', 'vision', 'audio', 'embeddings']);
const mlxAbsent = candidate('mlx', ['text', 'chat', 'vision', 'audio', 'embeddings'], false);
const remote = candidate('remote', TEXT);
const other = candidate('spark', TEXT);
const MAC = { os: 'darwin', arch: 'arm64' };
const INTEL_MAC = { os: 'darwin', arch: 'x64' };
const LINUX = { os: 'linux', arch: 'x64' };
const chat: readonly Feature[] = ['chat'];

type Row = readonly [
  platform: EngineQuestion['platform'],
  framework: 'MLX' | 'GGUF' | 'PyTorch',
  needs: readonly Feature[],
  engines: readonly EngineCandidate[],
  wanted: string | null,
  engine: string | null,
  reason: string,
];
const ROWS: readonly Row[] = [
  [LINUX, 'MLX', chat, [ember], null, 'ember', 'every machine'],
  [LINUX, 'MLX', chat, [ember, mlx], null, 'ember', 'every machine'],
  [LINUX, 'GGUF', chat, [ember, mlx], null, 'ember', 'GGUF'],
  [LINUX, 'PyTorch', chat, [ember], null, 'ember', 'every machine'],
  [LINUX, 'MLX', ['chat', 'vision'], [ember, mlx], null, 'mlx', 'images'],
  [LINUX, 'MLX', ['chat', 'vision'], [ember], null, null, 'ember cannot do vision'],
  [LINUX, 'MLX', ['audio'], [ember, mlxAbsent], null, null, 'needs its environment'],
  [LINUX, 'MLX', chat, [emberBlind, mlx], null, 'mlx', 'only mlx'],
  [LINUX, 'MLX', chat, [ember, mlx], 'mlx', 'mlx', 'asked for'],
  [LINUX, 'MLX', chat, [ember, mlxAbsent], 'mlx', null, 'needs its environment'],
  [LINUX, 'MLX', chat, [ember], 'mlx', null, 'not installed'],
  [LINUX, 'MLX', ['vision'], [ember, mlx], 'ember', null, 'ember cannot do vision'],
  [LINUX, 'MLX', chat, [remote, ember], null, 'ember', 'every machine'],
  [LINUX, 'MLX', chat, [remote], null, null, 'no engine'],
  [LINUX, 'MLX', chat, [ember, remote], 'remote', 'remote', 'asked for'],
  [MAC, 'MLX', chat, [ember, mlx], null, 'mlx', 'Apple silicon'],
  [MAC, 'PyTorch', chat, [ember, mlx], null, 'mlx', 'Apple silicon'],
  [MAC, 'GGUF', chat, [ember, mlx], null, 'ember', 'GGUF'],
  [MAC, 'MLX', chat, [ember, mlxAbsent], null, 'ember', 'only ember'],
  [INTEL_MAC, 'MLX', chat, [ember, mlx], null, 'ember', 'every machine'],
  [LINUX, 'MLX', chat, [emberBlind, other], null, 'spark', 'only spark'],
];

const question = (more: Partial<EngineQuestion>): EngineQuestion => ({
  candidates: [ember],
  platform: LINUX,
  facts: { framework: 'MLX', architecture: 'llama', config: {}, weightBytes: 1e9 },
  needs: chat,
  wanted: null,
  ...more,
});

describe('[engines E39] the choice of an engine', () => {
  test.each(ROWS)('on %o with %s files for %s', (platform, framework, needs, candidates, wanted, engine, reason) => {
    const facts = { framework, architecture: 'llama', config: {}, weightBytes: 1e9 };
    expect(chooseEngineFor(question({ platform, facts, needs, candidates, wanted }))).toEqual({ engine, reason: expect.stringContaining(reason) });
  });

  test('embeddings of encoders run on ember, on Apple silicon too, and those of decoders where text runs', () => {
    const of = (architecture: string) =>
      chooseEngineFor(
        question({ platform: MAC, candidates: [ember, mlx], needs: ['embeddings'], facts: { framework: 'MLX', architecture, config: {}, weightBytes: 1e8 } }),
      ).engine;
    expect([of('bert'), of('qwen3')]).toEqual(['ember', 'mlx']);
  });

  test('a model with many active parameters gets a warning with its expected speed; one with few of many experts does not', () => {
    const facts = { framework: 'MLX', architecture: 'llama', config: { quantization: { bits: 4, group_size: 64 } }, weightBytes: 4.5e9 } as const;
    const dense = chooseEngineFor(question({ facts, readBytesPerSecond: 20e9 }));
    expect(dense.warning).toMatch(/8\.0 × 10\^9 .* 2\.4 tokens per second/);
    expect(chooseEngineFor(question({ facts })).warning).toContain('slowly');
    const config = { ...facts.config, num_experts: 128, num_experts_per_tok: 8 };
    expect(chooseEngineFor(question({ facts: { ...facts, config } })).warning).toBeUndefined();
    expect(chooseEngineFor(question({ facts, candidates: [mlx], platform: MAC })).warning).toBeUndefined();
  });
});
