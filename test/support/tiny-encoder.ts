import { cp, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

const REFERENCE = join(import.meta.dirname, '../reference/embeddings');
const [CLS, SEP] = [2, 3];

export const TINY_ENCODER = 'hearth-test/tiny-bert';
export const ENCODER_COMMIT = 'fedcba9876543210fedcba9876543210fedcba98';

/** A tiny bert of the references with a WordPiece vocabulary of 120 tokens: four marks, letters that begin a word and letters that go on. */
export async function writeTinyEncoder(directory: string, name = 'bert-bf16-mean'): Promise<void> {
  await cp(join(REFERENCE, name), directory, { recursive: true });
  const letters = Array.from({ length: 58 }, (_, i) => String.fromCharCode(65 + i));
  const words = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', ...letters, ...letters.map((letter) => `##${letter}`)];
  const mark = (content: string) => ({
    id: words.indexOf(content),
    content,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: true,
  });
  const tokenizer = {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: words.slice(0, 4).map(mark),
    normalizer: null,
    pre_tokenizer: { type: 'BertPreTokenizer' },
    post_processor: { type: 'BertProcessing', sep: ['[SEP]', SEP], cls: ['[CLS]', CLS] },
    decoder: { type: 'WordPiece', prefix: '##', cleanup: true },
    model: {
      type: 'WordPiece',
      unk_token: '[UNK]',
      continuing_subword_prefix: '##',
      max_input_chars_per_word: 100,
      vocab: Object.fromEntries(words.map((word, id) => [word, id])),
    },
  };
  await writeFile(join(directory, 'tokenizer.json'), JSON.stringify(tokenizer));
}

/** Puts it into a Hugging Face cache, as a download leaves it. `hfHome` is the value of HF_HOME. */
export async function installTinyEncoder(hfHome: string, name = TINY_ENCODER, reference?: string): Promise<string> {
  const repository = join(hfHome, 'hub', `models--${name.replaceAll('/', '--')}`);
  const snapshot = join(repository, 'snapshots', ENCODER_COMMIT);
  await writeTinyEncoder(snapshot, reference);
  await mkdir(join(repository, 'refs'), { recursive: true });
  await writeFile(join(repository, 'refs', 'main'), ENCODER_COMMIT);
  return snapshot;
}
