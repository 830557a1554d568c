import type { GenerateRequest } from '../../../contract/index.ts';
import type { Target } from '../../answer.ts';
import { invalid, isPresent, unsupported } from '../sampling.ts';

/** Never a path. */
export const ADAPTER_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

/** `adapter` and `adapter_scale` (docs/spec/agents-training.md §6.2): a name, never a path; null is the plain base. */
export function decodeAdapter(
  body: { readonly adapter?: string | null | undefined; readonly adapter_scale?: number | null | undefined },
  target: Target,
): Pick<GenerateRequest, 'adapter'> {
  const { adapter: name, adapter_scale: scale } = body;
  if (!isPresent(name)) {
    if (isPresent(scale)) throw invalid('adapter_scale', 'adapter_scale needs an adapter to scale.');
    return {};
  }
  if (!target.capabilities.adaptersPerRequest) throw unsupported('adapter', target);
  if (!ADAPTER_NAME.test(name)) throw invalid('adapter', `${JSON.stringify(name)} is no name of an adapter.`);
  if (isPresent(scale) && !(scale >= 0 && scale <= 2)) throw invalid('adapter_scale', `adapter_scale is ${scale}; 0 to 2 is allowed.`);
  return { adapter: { name, scale: scale ?? 1 } };
}
