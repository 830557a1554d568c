// A script with each verb, as a user of `mlxk` has it, run with MLX Knife and then with hearth: what it prints, line by line.
//   npx node bench/mlxk-script.ts        MLX Knife is looked for in .env-peers/mlx-knife (bench/mlx-knife.ts says how to install it)
import { join } from 'node:path';
import { HEARTH, runMlxkScript } from '../test/support/run-mlxk-script.ts';

const mlxk = join(process.env['MLX_KNIFE'] ?? join(import.meta.dirname, '../.env-peers/mlx-knife'), 'bin/mlxk');
const theirs = await runMlxkScript(mlxk);
const ours = await runMlxkScript(HEARTH);
for (const [index, line] of ours.lines.entries()) {
  const other = theirs.lines[index] ?? '';
  console.log(line === other ? `  ${line}` : `- ${other}\n+ ${line}`);
}
console.log(`\n${theirs.stderr.slice(-3_000)}`);
