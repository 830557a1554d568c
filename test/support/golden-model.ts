import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ModelFacts } from '../../src/core/index.ts';
import { byteLevelTokenizer } from './byte-level-tokenizer.ts';

const GOLDENS = join(import.meta.dirname, '../reference/goldens');

export interface GoldenModel {
  readonly facts: ModelFacts;
  /** A prompt as ids, the 64 ids that the reference continues it with, and their text. */
  readonly golden: { readonly prompt: readonly number[]; readonly greedy: readonly number[]; readonly text: string };
  readonly eosId: number;
}

export interface GoldenModelOptions {
  readonly name?: string;
  /** Jinja source; a ChatML template when absent; null for none. */
  readonly chatTemplate?: string | null;
  /** Changes config.json. */
  readonly config?: Readonly<Record<string, unknown>>;
  /** The golden's token at this place of the continuation becomes the end of an answer. */
  readonly endAtToken?: number;
}

const CHATML =
  "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";
const SPECIAL = ['<|endoftext|>', '<|im_start|>', '<|im_end|>'];
const EMOJI = [...Buffer.from('🌍')];

/**
 * A directory with a tiny golden model (random weights, 256 tokens) and a byte-level tokenizer made for it: one token is one byte, three are
 * control tokens, and the reference's greedy continuation reads as letters with one character of four bytes in it.
 */
export function makeGoldenModel(directory: string, options: GoldenModelOptions = {}): GoldenModel {
  const source = join(GOLDENS, options.name ?? 'llama-q4-g64');
  mkdirSync(directory, { recursive: true });
  for (const file of ['model.safetensors', 'model.safetensors.index.json']) cpSync(join(source, file), join(directory, file));
  const config = { ...(JSON.parse(readFileSync(join(source, 'config.json'), 'utf8')) as Record<string, unknown>), ...options.config };
  writeFileSync(join(directory, 'config.json'), JSON.stringify(config));
  const { prompt, greedy } = JSON.parse(readFileSync(join(source, 'expected.json'), 'utf8')) as { prompt: number[]; greedy: number[] };

  const bytes = assignBytes(greedy, prompt);
  const special = Array.from(bytes.keys()).filter((id) => bytes[id] === null);
  const vocabulary = Object.fromEntries(bytes.map((byte, id) => [byte === null ? SPECIAL[special.indexOf(id)]! : characterOf(byte), id]));
  write(directory, 'tokenizer.json', byteLevelTokenizer(vocabulary, SPECIAL));
  const eosId = options.endAtToken === undefined ? special[2]! : greedy[options.endAtToken]!;
  write(directory, 'generation_config.json', { eos_token_id: eosId });
  const template = options.chatTemplate === undefined ? CHATML : options.chatTemplate;
  write(directory, 'tokenizer_config.json', template === null ? {} : { chat_template: template });
  return {
    facts: {
      directory,
      framework: 'MLX',
      architecture: String(config['model_type']),
      config,
      weightFiles: ['model.safetensors'],
      weightBytes: readFileSync(join(directory, 'model.safetensors')).length,
      hasChatTemplate: template !== null,
    },
    golden: { prompt, greedy, text: Buffer.from(greedy.map((id) => bytes[id] ?? 0x3f)).toString('utf8') },
    eosId,
  };
}

const write = (directory: string, name: string, value: unknown): void => writeFileSync(join(directory, name), JSON.stringify(value));

/** The byte of each of 256 ids; null for the three control tokens. */
function assignBytes(greedy: readonly number[], prompt: readonly number[]): (number | null)[] {
  const once = (id: number): boolean => greedy.filter((other) => other === id).length === 1;
  const start = greedy.findIndex((_, i) => i > 4 && greedy.slice(i, i + 4).length === 4 && greedy.slice(i, i + 4).every(once));
  const byte = new Map(EMOJI.map((value, i) => [greedy[start + i]!, value]));
  const used = new Set<number>([...EMOJI, ...Array.from({ length: 8 }, (_, i) => 0xf8 + i)]);
  const letters = [...Buffer.from('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-*/=')];
  for (const id of greedy) {
    if (byte.has(id)) continue;
    const letter = letters.shift()!;
    byte.set(id, letter);
    used.add(letter);
  }
  const rest = Array.from({ length: 256 }, (_, value) => value).filter((value) => !used.has(value));
  const free = Array.from({ length: 256 }, (_, id) => id).filter((id) => !byte.has(id));
  const special = free.filter((id) => !prompt.includes(id)).slice(-3);
  return Array.from({ length: 256 }, (_, id) => byte.get(id) ?? (special.includes(id) ? null : (rest.shift() ?? 0xf8)));
}

/** The printable character that stands for a byte in byte-level vocabularies. */
function characterOf(byte: number): string {
  const printable = (b: number): boolean => (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
  if (printable(byte)) return String.fromCharCode(byte);
  let next = 0x100;
  for (let b = 0; b < byte; b++) if (!printable(b)) next++;
  return String.fromCharCode(next);
}
