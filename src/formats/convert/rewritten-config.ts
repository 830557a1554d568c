import type { Checkpoint, Quantization } from '../mlx/index.ts';

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null;

type Config = Readonly<Record<string, unknown>>;

const blockOf = ({ group, bits, mode }: Quantization) => ({ group_size: group, bits, mode });

/** config.json of a checkpoint whose codes were kept, or made: `chosen` by module path. */
export function rewrittenConfig(checkpoint: Checkpoint, chosen: ReadonlyMap<string, Quantization>, common: Quantization | null): Config {
  const { quantization_config: _, ...config } = checkpoint.config;
  const plan = checkpoint.quantization;
  if (chosen.size === 0 && plan !== null) {
    const listed = [...plan.modules].map(([path, value]) => [path, value && blockOf(value)] as const);
    const block = { ...blockOf(plan.fallback), ...Object.fromEntries(listed) };
    return { ...config, quantization: block, quantization_config: block };
  }
  if (common === null || chosen.size === 0) return config;
  const { quantization: __, ...plain } = config as Record<string, unknown>;
  const others = [...chosen].filter(([, own]) => own.bits !== common.bits || own.group !== common.group).map(([path, own]) => [path, blockOf(own)] as const);
  const block = { ...blockOf(common), ...Object.fromEntries(others) };
  return { ...plain, quantization: block, quantization_config: block };
}

/** As mlx-lm's `convert` leaves it: sorted, without the place that the model came from and the tower that text does not need. */
export function publishedConfig(config: Config): Config {
  const { _name_or_path: _, vision_config: __, ...rest } = config as Record<string, unknown>;
  const block = rest['quantization'];
  if (typeof block === 'object' && block !== null) {
    // mlx-lm names no mode for what it keeps at 8 bits; readers take affine.
    const short = Object.fromEntries(
      Object.entries(block).map(([path, own]) => [path, isObject(own) ? { group_size: own['group_size'], bits: own['bits'] } : own]),
    );
    rest['quantization'] = short;
    rest['quantization_config'] = short;
  }
  return Object.fromEntries(Object.entries(rest).sort(([a], [b]) => (a < b ? -1 : 1)));
}
