/** What a file of a model is by its name (docs/spec/security.md §4.2). */
export type FileKind = 'safetensors' | 'gguf' | 'json' | 'template' | 'text' | 'document' | 'record' | 'refused' | 'other';

/** Formats that run code when they are read, that hide others, or that nothing here reads. */
export const REFUSED_SUFFIX =
  /\.(bin|pt|pth|pth\.tar|pkl|pickle|ckpt|npy|npz|h5|hdf5|keras|joblib|nemo|onnx|msgpack|pb|tflite|mlmodel|py|pyc|pyd|so|dylib|dll|exe|sh|whl|egg)$/i;

const KINDS: readonly (readonly [pattern: RegExp, kind: FileKind])[] = [
  [/\.(sig|cdx\.json|intoto\.json)$/i, 'record'],
  [/\.safetensors$/i, 'safetensors'],
  [/\.gguf$/i, 'gguf'],
  [/\.json$/i, 'json'],
  [/\.jinja$/i, 'template'],
  [/\.(txt|model|tiktoken)$/i, 'text'],
  [/\.(md|jsonl|png|jpe?g|gif|webp|svg)$/i, 'document'],
];
const LICENCE = /^(licen[cs]e|notice)/i;

export function fileKind(path: string): FileKind {
  const name = path.slice(path.lastIndexOf('/') + 1);
  if (REFUSED_SUFFIX.test(name)) return 'refused';
  const kind = KINDS.find(([pattern]) => pattern.test(name))?.[1];
  if (kind !== undefined) return kind;
  return LICENCE.test(name) && !/\.\w+$/.test(name) ? 'document' : 'other';
}

/** May enter with a model: engines get it, or a reader wants it. */
export const isAllowedFile = (path: string): boolean => !['refused', 'other'].includes(fileKind(path));
