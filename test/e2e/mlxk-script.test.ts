import { expect, test } from 'vitest';
import { HEARTH, runMlxkScript } from '../support/run-mlxk-script.ts';

/** `node bench/mlxk-script.ts` runs the same script with MLX Knife itself, and shows both side by side. */
test('a script around mlxk goes on working when the name leads to hearth: each verb, for people and as JSON', async () => {
  const { lines } = await runMlxkScript(HEARTH);
  expect(lines).toEqual([
    'version: exit 0, text',
    'version --json: exit 0, success version 0.2.3',
    'pull: exit 0, text',
    'pull again --json: exit 0, already_exists org/tiny',
    'pull encoder --json: exit 0, success',
    'list: exit 0, text',
    'list --json: exit 0, org/encoder org/tiny',
    'show: exit 0, text',
    'show --json: exit 0, org/tiny healthy true',
    'show --files --json: exit 0, config.json model.safetensors model.safetensors.index.json tokenizer.json tokenizer_config.json',
    'show nothing: exit 1, nothing',
    'show nothing --json: exit 1, error model_not_found',
    'health: exit 0, text',
    'health --json: exit 0, 1',
    'run: exit 0, text',
    'run --json: exit 0, org/tiny hello string true',
    'clone: exit 0, text',
    'clone --json: exit 0, success two',
    'show of the clone --json: exit 0, true sha256:4e9327ec8a4323e252bf2a7dc525d4da9dacec966f530fe3fdd94ed533ac8192',
    'convert: exit 0, text',
    'convert --json: exit 0, repair-index healthy',
    'push --check-only: exit 0, text',
    'push --check-only --json: exit 0, true',
    'push --dry-run --json: exit 0, true',
    'push --json: exit 0, false true true',
    'push: exit 0, text',
    'embed: exit 0, text',
    'embed --json: exit 0, 1 48',
    'rm: exit 0, text',
    'rm --json: exit 0, deleted org/encoder',
    'list at the end --json: exit 0, 0',
  ]);
}, 600_000);
