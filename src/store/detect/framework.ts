import { isObject } from '../health/json-value.ts';
import type { ModelView } from '../model-view.ts';
import { safetensorsFormat } from './weight-headers.ts';

export type Framework = 'MLX' | 'GGUF' | 'PyTorch' | 'Unknown';

/** First hit of docs/spec/store.md §5. `nameHint` is the repository, or a workspace's origin, else its basename. */
export async function detectFramework(view: ModelView, nameHint: string): Promise<Framework> {
  if (nameHint.includes('mlx-community/') || (await readmeSaysMlx(view))) return 'MLX';
  const config = await view.json('config.json');
  if (config.kind === 'value' && isObject(config.value) && Object.hasOwn(config.value, 'quantization')) return 'MLX';
  const safetensors = view.files.filter((file) => file.path.endsWith('.safetensors'));
  if (safetensors[0] !== undefined && (await safetensorsFormat(safetensors[0])) === 'mlx') return 'MLX';
  if (view.files.some((file) => file.path.endsWith('.gguf'))) return 'GGUF';
  if (safetensors.length > 0 || view.files.some((file) => /(?:^|\/)pytorch_model[^/]*\.bin$/.test(file.path))) return 'PyTorch';
  return 'Unknown';
}

/** `tags` (inline or block list) or `library_name` of the README's front matter says `mlx`. */
async function readmeSaysMlx(view: ModelView): Promise<boolean> {
  const head = new TextDecoder().decode(await view.head('README.md', 64 * 1024));
  const matter = /^---\r?\n([\s\S]*?)\r?\n---/.exec(head)?.[1];
  if (matter === undefined) return false;
  const says = (text: string): boolean =>
    text
      .trim()
      .replace(/^["']|["']$/g, '')
      .toLowerCase() === 'mlx';
  let inTags = false;
  for (const line of matter.split(/\r?\n/)) {
    const [, key, value] = /^(\w+):\s*(.*)$/.exec(line) ?? [];
    if (key !== undefined && value !== undefined) {
      inTags = key.toLowerCase() === 'tags';
      if (key.toLowerCase() === 'library_name' && says(value)) return true;
      if (
        inTags &&
        value
          .replace(/^\[|\]$/g, '')
          .split(',')
          .some(says)
      )
        return true;
    } else if (inTags && says(line.replace(/^\s*-\s*/, ''))) return true;
  }
  return false;
}
