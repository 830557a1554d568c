import { HearthError } from '../../core/index.ts';
import { fileKind, isAllowedFile } from '../../security/index.ts';
import { type GgufVariant, ggufVariants, pickVariant, variantRequired } from '../variants.ts';

/** One file of a repository at a commit. */
export interface HubFile {
  readonly path: string;
  readonly sizeBytes: number;
  /** SHA-256 of the content for LFS files, else the git blob SHA-1; also the blob's name. */
  readonly digest: string;
}

export interface FileSet {
  readonly files: readonly HubFile[];
  /** Listed by the hub, but of a kind that is never fetched. */
  readonly skipped: readonly string[];
}

export interface FileSetOptions {
  readonly model: string;
  readonly include: readonly string[];
  readonly exclude: readonly string[];
  readonly variant: string | null;
  /** Paths that the signature of the repository lists: files of unknown kinds are fetched when it does, since it would not hold without them. */
  readonly signed?: ReadonlySet<string>;
}

/**
 * Which files of a repository are fetched. A repository of several GGUF variants alone needs one to be named.
 * Errors: variant_required, model_not_found and ambiguous_match for a variant, invalid_argument when nothing is left.
 */
export function chooseFiles(listed: readonly HubFile[], options: FileSetOptions): FileSet {
  const isFetched = ({ path }: HubFile): boolean => isAllowedFile(path) || (fileKind(path) === 'other' && options.signed?.has(path) === true);
  const skipped = listed.filter((file) => !isFetched(file)).map((file) => file.path);
  let files = listed.filter(isFetched);
  const variants = ggufVariants(files);
  if (options.variant !== null) files = onlyVariant(files, pickVariant(options.model, variants, options.variant));
  else if (variants.length > 1 && options.include.length === 0 && !files.some((file) => file.path.endsWith('.safetensors'))) {
    throw variantRequired(options.model, variants);
  }
  if (options.include.length > 0) files = files.filter((file) => matchesAny(file.path, options.include));
  files = files.filter((file) => !matchesAny(file.path, options.exclude));
  if (files.length === 0)
    throw new HearthError(
      'invalid_argument',
      `Nothing of ${options.model} is left to fetch: it lists ${listed.length} files, of which ${skipped.length} are of refused kinds.`,
    );
  return { files, skipped };
}

function onlyVariant(files: readonly HubFile[], variant: GgufVariant): HubFile[] {
  const wanted = new Set(variant.files.map((file) => file.path));
  return files.filter((file) => wanted.has(file.path) || !file.path.endsWith('.gguf'));
}

/** A glob on the whole path or on the file name: `*` any text, `?` one character, `dir/` everything below. */
function matchesAny(path: string, globs: readonly string[]): boolean {
  const name = path.slice(path.lastIndexOf('/') + 1);
  return globs.some((glob) => {
    const pattern = globPattern(glob.endsWith('/') ? `${glob}*` : glob);
    return pattern.test(path) || pattern.test(name);
  });
}

const globPattern = (glob: string): RegExp =>
  new RegExp(`^${[...glob].map((char) => (char === '*' ? '[^]*' : char === '?' ? '[^]' : char.replace(/[.+^${}()|[\]\\]/g, '\\$&'))).join('')}$`);
