import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { HearthError } from '../../core/index.ts';
import { openSafetensors } from '../safetensors/index.ts';
import { type AdapterConfig, readAdapterConfig } from './adapter-config.ts';
import { type Adapter, type AdapterFormat, type AdapterModule, type LowRankAdapter, sortedModules, withoutLanguagePrefix } from './adapter-table.ts';
import { buildModule, type ModuleParts, type Part, type PartRole } from './build-module.ts';

/**
 * Reads an adapter's directory: mlx-lm, mlx-vlm (new and legacy) or PEFT, told apart by adapter_config.json. What can be seen without the base
 * is checked: names, partners, shapes, ranks, finite numbers. `checkAdapter` does the rest.
 * Throws `adapter_*` and `st_*` codes.
 */
export async function readAdapter(directory: string): Promise<Adapter> {
  const config = await readAdapterConfig(directory);
  const path = join(directory, config.form === 'peft' ? 'adapter_model.safetensors' : 'adapters.safetensors');
  await access(path).catch((cause: unknown) => {
    throw new HearthError('adapter_tensor_missing', `${path} is not there; it should hold the adapter's tensors.`, { cause });
  });
  await using file = await openSafetensors(path);
  const names = [...file.tensors.keys()];
  const format = formatOf(config, names);
  const common = { baseModel: config.baseModel, fileBytes: file.sizeBytes };
  if (config.kind === 'full') return { kind: 'full', format: format === 'mlx-vlm' ? format : 'mlx-lm', tensors: names.sort(), ...common };

  const parts = new Map<string, ModuleParts>();
  for (const entry of file.tensors.values()) {
    const { module, role } = roleOf(config, entry.name, path);
    const own = parts.get(module) ?? {};
    if (own[role]) throw new HearthError('adapter_tensor_unknown', `${path} gives ${module} twice, as ${own[role].entry.name} and ${entry.name}.`);
    own[role] = { entry, read: () => file.readTensor(entry.name) } satisfies Part;
    parts.set(module, own);
  }
  const modules: AdapterModule[] = [];
  // Several at a time: on a busy machine a read that stands alone waits longer than it takes.
  for (const some of inParts([...parts], MODULES_AT_ONCE))
    modules.push(...(await Promise.all(some.map(([module, own]) => buildModule(module, own, config, path)))));
  return {
    kind: config.kind,
    format,
    modules: sortedModules(modules),
    selection: config.form === 'mlx' ? config.selection : null,
    ...common,
  } satisfies LowRankAdapter;
}

const MODULES_AT_ONCE = 16;

const inParts = <T>(list: readonly T[], size: number): T[][] =>
  Array.from({ length: Math.ceil(list.length / size) }, (_, i) => list.slice(i * size, (i + 1) * size));

function formatOf(config: AdapterConfig, names: readonly string[]): AdapterFormat {
  if (config.form === 'peft') return 'peft';
  return config.form === 'legacy-vlm' || names.some((name) => name.startsWith('language_model.')) ? 'mlx-vlm' : 'mlx-lm';
}

const MLX_LEAVES: Readonly<Record<string, PartRole>> = { lora_a: 'a', lora_b: 'b', m: 'm' };
const LEGACY_LEAVES: Readonly<Record<string, PartRole>> = { A: 'a', B: 'b' };
const PEFT_LEAVES: Readonly<Record<string, PartRole>> = {
  'lora_A.weight': 'a',
  'lora_B.weight': 'b',
  lora_embedding_A: 'a',
  lora_embedding_B: 'b',
  lora_magnitude_vector: 'm',
  'lora_magnitude_vector.weight': 'm',
};
const PEFT_PREFIX = 'base_model.model.';

/** Module and role of a tensor by its name. */
function roleOf(config: AdapterConfig, name: string, path: string): { module: string; role: PartRole } {
  const leaves = config.form === 'peft' ? PEFT_LEAVES : config.form === 'mlx' ? MLX_LEAVES : LEGACY_LEAVES;
  const leaf = Object.keys(leaves).find((candidate) => name.endsWith(`.${candidate}`));
  const role = leaf === undefined ? undefined : leaves[leaf];
  const prefix = config.form === 'peft' ? PEFT_PREFIX : '';
  if (leaf === undefined || role === undefined || !name.startsWith(prefix) || (role === 'm' && config.kind !== 'dora'))
    throw new HearthError('adapter_tensor_unknown', `${path} holds the tensor ${name}, which a ${config.kind} adapter of this format does not have.`, {
      details: { tensor: name },
    });
  return { module: withoutLanguagePrefix(name.slice(prefix.length, -leaf.length - 1)), role };
}
