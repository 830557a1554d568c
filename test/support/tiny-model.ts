import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { byteLevelTokenizer } from './byte-level-tokenizer.ts';

const golden = join(import.meta.dirname, '../reference/goldens/llama-bf16-tied');

export const TINY_MODEL = 'hearth-test/tiny-llama';
export const TINY_COMMIT = '0123456789abcdef0123456789abcdef01234567';

const SPECIAL = ['<|im_start|>', '<|im_end|>', '<|endoftext|>'];

/** One token for each character from space to tilde, newline and tab, three marks, and filler up to the model's 128. */
function vocabulary(): Record<string, number> {
  const tokens = ['Ġ', ...Array.from({ length: 94 }, (_, i) => String.fromCharCode(33 + i)), 'Ċ', 'ĉ'];
  tokens.push(...SPECIAL);
  while (tokens.length < 128) tokens.push(`Ġword${tokens.length}`);
  return Object.fromEntries(tokens.map((token, id) => [token, id]));
}

/** Writes a whole little model: real weights of a golden, and a byte-level tokenizer with a chat template. */
export async function writeTinyModel(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true });
  for (const file of ['config.json', 'model.safetensors', 'model.safetensors.index.json']) await copyFile(join(golden, file), join(directory, file));
  await writeFile(join(directory, 'tokenizer.json'), JSON.stringify(byteLevelTokenizer(vocabulary(), SPECIAL)));
  const template =
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
  await writeFile(
    join(directory, 'tokenizer_config.json'),
    JSON.stringify({ tokenizer_class: 'PreTrainedTokenizerFast', eos_token: '<|im_end|>', chat_template: template }),
  );
}

/** Puts the tiny model into a Hugging Face cache, as a download leaves it. `hfHome` is the value of HF_HOME. */
export async function installTinyModel(hfHome: string, name = TINY_MODEL): Promise<void> {
  const repository = join(hfHome, 'hub', `models--${name.replaceAll('/', '--')}`);
  await writeTinyModel(join(repository, 'snapshots', TINY_COMMIT));
  await mkdir(join(repository, 'refs'), { recursive: true });
  await writeFile(join(repository, 'refs', 'main'), TINY_COMMIT);
}
