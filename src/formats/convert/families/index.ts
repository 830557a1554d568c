import { HearthError } from '../../../core/index.ts';
import { type GgufHeader, ggufString } from '../../gguf/index.ts';
import type { Config, Family } from './family.ts';
import { gemma2, gemma3 } from './gemma.ts';
import { granite, granitemoe, llama, mixtral, smollm3 } from './llama.ts';
import { bert, gptOss, olmo2, phi3 } from './others.ts';
import { qwen2, qwen3, qwen3moe } from './qwen.ts';

export type { Config, Family, Field } from './family.ts';

export const FAMILIES: readonly Family[] = [llama, mixtral, qwen2, qwen3, qwen3moe, gemma2, gemma3, phi3, smollm3, granite, granitemoe, olmo2, gptOss, bert];

/** `model_type` that an import writes for an architecture of GGUF. */
export const modelTypeOfGguf = (architecture: string): string | undefined => FAMILIES.find((family) => family.architecture === architecture)?.modelTypes[0];

/** Throws `convert_architecture` for a family without a mapping. */
export function familyOfConfig(config: Config): Family {
  const modelType = String(config['model_type']);
  const family = FAMILIES.find((candidate) => candidate.modelTypes.includes(modelType));
  if (family === undefined) throw new HearthError('convert_architecture', `Models of type ${modelType} cannot be converted to GGUF yet.`);
  return family;
}

/** Throws `convert_architecture` for an architecture without a mapping. */
export function familyOfHeader(header: GgufHeader): Family {
  const architecture = ggufString(header, 'general.architecture')!;
  const family = FAMILIES.find((candidate) => candidate.architecture === architecture && (candidate.claims?.(header) ?? true));
  if (family !== undefined) return family;
  const known = [...new Set(FAMILIES.map((candidate) => candidate.architecture))].join(', ');
  throw new HearthError('convert_architecture', `GGUF models of the architecture ${architecture} cannot be imported yet; ${known} can.`);
}
