import type { ShowData } from '../../contract/index.ts';
import { HearthError } from '../../core/index.ts';
import { formatSize } from '../render/size.ts';

/** What a command wants from a model, before anything is loaded. */
export interface Wish {
  /** As the user typed it. */
  readonly name: string;
  readonly images: boolean;
  readonly audio: boolean;
  /** Value of --translate; undefined when it was not given. */
  readonly translate: string | undefined;
}

export interface Verdict {
  /** For stderr; the request goes on. */
  readonly warnings: readonly string[];
}

/** Of a vision model, the weights may take this share of the memory. */
const MOST_OF_MEMORY = 0.7;
/** Types that answer with an image only. */
const IMAGE_FIRST_TYPES = ['mllama', 'molmo', 'molmo2', 'gemma3n'];

/**
 * The refusals of `run` in their order (docs/spec/store.md §10), each with its way out: media that the model lacks, translation,
 * a text for a model that takes none, the engines, the memory. `memoryBytes` null: unknown, nothing is refused for it.
 */
export function checkWish(wish: Wish, { model, reachable = {}, metadata }: ShowData, memoryBytes: number | null): Verdict {
  const { name } = wish;
  const has = (capability: string): boolean => model.capabilities.includes(capability);
  // What is wrong with broken files is told by the load, which names them.
  if (model.health !== 'healthy') return { warnings: [] };
  if (wish.images && !has('vision')) throw mismatch(`${name} takes no images. Choose a model with the capability vision.`);
  if (wish.audio && !has('audio')) throw mismatch(`${name} takes no audio. Choose a model with the capability audio.`);
  checkTranslation(wish, has('audio-translate-en'));
  const feature = wish.images ? 'vision' : wish.audio ? 'audio' : 'text';
  const verdict = reachable[feature];
  if (feature === 'text') {
    if (model.model_type === 'embedding') throw mismatch(`${name} is an embedding model: use \`hearth embed ${name} "…"\`.`);
    if (model.model_type === 'audio') throw mismatch(`${name} turns speech into text: use --audio FILE.`);
    const imagesOnly = has('vision') && verdict?.ok === false && (reachable['vision']?.ok === true || IMAGE_FIRST_TYPES.includes(metadata?.model_type ?? ''));
    if (imagesOnly) throw mismatch(`${name} answers to images only: attach one with --image FILE.`);
  }
  // Weights whose headers cannot be read: the load names the file and the fault.
  const unreadable = model.framework === 'PyTorch' && verdict?.reason === 'Incompatible framework: PyTorch';
  if (verdict !== undefined && !verdict.ok && !unreadable) throw unreachable(name, feature, verdict.reason ?? 'unknown reason');
  return { warnings: checkMemory(wish, model.size_bytes, has('vision'), memoryBytes) };
}

/** Three refusals in their order; without --translate none. */
function checkTranslation({ name, audio, translate }: Wish, translates: boolean): void {
  if (translate === undefined) return;
  if (translate !== 'en') throw new HearthError('invalid_argument', `--translate goes to English only: \`--translate en\`, not "${translate}".`);
  if (!audio) throw new HearthError('invalid_argument', '--translate needs a recording: add --audio FILE.');
  if (!translates)
    throw new HearthError('translation_unsupported', `${name} was not trained to translate. Choose a multilingual whisper model that is no turbo.`);
}

const mismatch = (message: string): HearthError => new HearthError('capability_mismatch', message);

/** The engine's door: declared by the model, and nothing here can run it. */
function unreachable(name: string, feature: 'vision' | 'audio' | 'text', reason: string): HearthError {
  if (feature === 'text') return mismatch(`No engine here can run ${name}: ${reason}.`);
  const what = feature === 'vision' ? 'images' : 'audio';
  return new HearthError(
    'not_implemented',
    `${name} takes ${what}, but no engine of this installation can give it any (${reason}); that needs the mlx engine.`,
  );
}

function checkMemory({ name }: Wish, sizeBytes: number, vision: boolean, memoryBytes: number | null): string[] {
  if (memoryBytes === null || memoryBytes <= 0 || sizeBytes <= MOST_OF_MEMORY * memoryBytes) return [];
  const sizes = `${name} has ${formatSize(sizeBytes)}, more than ${MOST_OF_MEMORY * 100} % of the ${formatSize(memoryBytes)} of memory`;
  if (vision) throw new HearthError('insufficient_memory', `${sizes} here.`);
  return [`${sizes} here: it may be slow, or not fit.`];
}
