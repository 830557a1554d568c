import { HearthError } from '../core/index.ts';
import { containsText } from './locate.ts';

/** One GGUF file set of a repository: a file, or the parts of a split file. */
export interface GgufVariant {
  /** File name without directory, part number and suffix. */
  readonly name: string;
  readonly files: readonly { readonly path: string; readonly sizeBytes: number }[];
  readonly sizeBytes: number;
}

const PART = /-\d{5}-of-\d{5}$/;

/** The GGUF file sets among files, by name; projector files (`mmproj`) are part of none. */
export function ggufVariants(files: readonly { readonly path: string; readonly sizeBytes: number }[]): GgufVariant[] {
  const sets = new Map<string, { path: string; sizeBytes: number }[]>();
  for (const file of files) {
    const base = file.path.slice(file.path.lastIndexOf('/') + 1);
    if (!base.endsWith('.gguf') || base.startsWith('mmproj')) continue;
    const stem = base.slice(0, -'.gguf'.length).replace(PART, '');
    sets.set(stem, [...(sets.get(stem) ?? []), { path: file.path, sizeBytes: file.sizeBytes }]);
  }
  return [...sets]
    .map(([name, members]) => ({ name, files: members, sizeBytes: members.reduce((sum, file) => sum + file.sizeBytes, 0) }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

/**
 * The variant whose name contains the text, case-insensitive; a text that is a whole word of one name wins over longer words (`Q4_K` over `Q4_K_M`).
 * Errors: model_not_found, ambiguous_match.
 */
export function pickVariant(model: string, variants: readonly GgufVariant[], text: string): GgufVariant {
  const matches = variants.filter((variant) => containsText(variant.name, text));
  const whole = matches.filter((variant) => variant.name.toLowerCase().split(/[-.]/).includes(text.toLowerCase()));
  const hits = whole.length > 0 ? whole : matches;
  const hit = hits[0];
  if (hit === undefined) {
    throw new HearthError('model_not_found', `${model} has no GGUF file whose name contains "${text}". It has: ${describe(variants)}.`, {
      details: variantDetails(variants),
    });
  }
  if (hits.length > 1)
    throw new HearthError('ambiguous_match', `"${text}" matches several files of ${model}: ${describe(hits)}.`, {
      details: { matches: hits.map((variant) => variant.name) },
    });
  return hit;
}

export function variantRequired(model: string, variants: readonly GgufVariant[]): HearthError {
  return new HearthError('variant_required', `${model} holds ${variants.length} GGUF variants: ${describe(variants)}.`, { details: variantDetails(variants) });
}

const describe = (variants: readonly GgufVariant[]): string =>
  variants.length === 0 ? 'none' : variants.map((variant) => `${variant.name} (${(variant.sizeBytes / 1e9).toFixed(2)} GB)`).join(', ');

const variantDetails = (variants: readonly GgufVariant[]): Record<string, unknown> => ({
  variants: variants.map((variant) => ({ name: variant.name, size_bytes: variant.sizeBytes })),
});
