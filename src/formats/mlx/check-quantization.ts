import { HearthError } from '../../core/index.ts';
import { isFloatDtype, type TensorEntry } from '../safetensors/index.ts';
import type { Quantization, QuantizationPlan } from './quantization.ts';

type Tensors = ReadonlyMap<string, TensorEntry>;

/** The module path of `P.scales`, of every quantised module. */
const quantisedModules = (tensors: Tensors): string[] =>
  [...tensors.keys()].filter((name) => name.endsWith('.scales')).map((name) => name.slice(0, -'.scales'.length));

/** How module P is quantised: listed wins, else the fallback if there are scales; null = plain. */
export function quantizationOf(plan: QuantizationPlan | null, tensors: Tensors, path: string): Quantization | null {
  if (!plan) return null;
  const listed = plan.modules.get(path);
  if (listed !== undefined) return listed || null;
  return tensors.has(`${path}.scales`) ? plan.fallback : null;
}

/**
 * Checks that block and tensors agree (docs/spec/formats.md §2.2). AWQ and GPTQ tensors have shapes of their own and are not looked at.
 * Throws `mlx_quant_shape`, `mlx_quant_missing`, `mlx_quant_unknown_path`.
 */
export function checkQuantization(plan: QuantizationPlan | null, tensors: Tensors): void {
  if (plan && plan.layout !== 'mlx') return;
  for (const [path, listed] of plan?.modules ?? []) {
    if (!tensors.has(`${path}.weight`))
      throw new HearthError('mlx_quant_unknown_path', `config.json lists the quantisation of ${path}, but no ${path}.weight exists.`);
    if (listed && !tensors.has(`${path}.scales`)) throw missing(`config.json says that ${path} is quantised, but ${path}.scales does not exist.`);
    if (!listed && tensors.has(`${path}.scales`)) throw missing(`config.json says that ${path} is plain, but ${path}.scales exists.`);
  }
  for (const path of quantisedModules(tensors)) {
    const quantization = quantizationOf(plan, tensors, path);
    if (!quantization) throw missing(`${path}.scales exists, but config.json has no quantization block.`);
    checkModule(path, quantization, tensors);
  }
}

function checkModule(path: string, { mode, bits, group }: Quantization, tensors: Tensors): void {
  const weight = tensors.get(`${path}.weight`);
  const scales = tensors.get(`${path}.scales`)!;
  const biases = tensors.get(`${path}.biases`);
  if (!weight) throw missing(`${path}.scales exists without ${path}.weight.`);
  if (mode === 'affine' && !biases) throw missing(`${path} is quantised by scale and bias, but ${path}.biases does not exist.`);
  if (mode !== 'affine' && biases) throw new HearthError('mlx_quant_shape', `${path} is quantised as ${mode}, which has no biases, but ${path}.biases exists.`);
  const says = `${path}: weight ${show(weight)}, scales ${show(scales)}${biases ? `, biases ${show(biases)}` : ''}`;
  const fits =
    weight.dtype === 'U32' &&
    weight.shape.length >= 2 &&
    (mode === 'affine' ? isFloatDtype(scales.dtype) : scales.dtype === 'U8' || scales.dtype === 'F8_E4M3' || scales.dtype === 'F8_E8M0') &&
    weight.shape.at(-1)! * 32 === scales.shape.at(-1)! * group * bits &&
    sameShape(weight.shape.slice(0, -1), scales.shape.slice(0, -1)) &&
    (!biases || (biases.dtype === scales.dtype && sameShape(biases.shape, scales.shape)));
  if (!fits) throw new HearthError('mlx_quant_shape', `${says} do not fit ${mode} with ${bits} bits in groups of ${group}.`);
}

const missing = (message: string): HearthError => new HearthError('mlx_quant_missing', message);
const show = (entry: TensorEntry): string => `${entry.dtype} [${entry.shape.join(', ')}]`;
const sameShape = (a: readonly number[], b: readonly number[]): boolean => a.length === b.length && a.every((dimension, i) => dimension === b[i]);
