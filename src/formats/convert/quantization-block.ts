import type { Quantization } from '../mlx/index.ts';
import type { ImportStep } from './import-plan.ts';

/** `quantization` and `quantization_config` of config.json: the commonest layout on top, the others by module (docs/spec/formats.md §2.2). */
export function quantizationBlock(steps: readonly ImportStep[]): Record<string, unknown> {
  const modules = steps.flatMap((step) => (step.layout === null ? [] : [{ module: step.module, quantization: step.layout.type.quantization }]));
  const counts = new Map<string, { quantization: Quantization; modules: number }>();
  for (const { quantization } of modules) {
    const key = JSON.stringify(entryOf(quantization));
    const found = counts.get(key);
    counts.set(key, { quantization, modules: (found?.modules ?? 0) + 1 });
  }
  const common = [...counts.values()].toSorted((a, b) => b.modules - a.modules)[0]?.quantization;
  if (common === undefined) return {};
  const others = modules.filter(({ quantization }) => JSON.stringify(entryOf(quantization)) !== JSON.stringify(entryOf(common)));
  const block = { ...entryOf(common), ...Object.fromEntries(others.map(({ module, quantization }) => [module, entryOf(quantization)])) };
  return { quantization: block, quantization_config: block };
}

const entryOf = (quantization: Quantization) => ({ group_size: quantization.group, bits: quantization.bits, mode: quantization.mode });
