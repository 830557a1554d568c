import { z } from 'zod';
import { type ConvertData, endpoints, QUANTISE_BITS, QUANTISE_GROUPS } from '../../../contract/index.ts';
import { keepYoungHeapSmall } from '../../../core/index.ts';
import { defineCommand, flag, option } from '../../command.ts';
import { plain } from '../../render/plain.ts';
import { followWork } from '../../workspace-progress.ts';

const oneOf = <const T extends readonly number[]>(values: T) =>
  z
    .enum(values.map(String) as [string, ...string[]], { error: `must be one of ${values.join(', ')}` })
    .transform((text) => Number(text) as T[number])
    .optional();

export const convertCommand = defineCommand({
  name: 'convert',
  group: 'Models',
  summary: 'Repair, quantise or convert a model into a new workspace',
  arguments: [
    { name: 'source', schema: z.string().describe('workspace, or a GGUF file with --to mlx; a bare name lies in the workspace home') },
    { name: 'target', schema: z.string().describe('directory to make, or with --to gguf a file that ends in .gguf') },
  ],
  options: {
    quantize: option(oneOf(QUANTISE_BITS), 'make the weights smaller: 2, 3, 4, 6 or 8 bits each', { value: '<bits>' }),
    qGroupSize: option(oneOf(QUANTISE_GROUPS), 'weights that share a scale: 32, 64 or 128 (64)', { value: '<n>' }),
    to: option(z.enum(['gguf', 'mlx'], { error: 'must be gguf or mlx' }).optional(), 'the same numbers in another format: gguf or mlx', { value: '<format>' }),
    exact: flag('with --to gguf: no type that changes a number, whatever it costs'),
    verify: option(z.enum(['sample', 'full'], { error: 'must be sample or full' }).optional(), 'with --to: how much is compared with the source (sample)', {
      value: '<how>',
    }),
    repairIndex: flag('write the index of the weight files anew'),
    repair: flag('find known defects and mend those that can be mended'),
    skipHealth: flag('do not judge what was made'),
  },
  async run(context, args: { source: string; target: string }, given) {
    keepYoungHeapSmall();
    const { client } = await context.connect();
    const body = {
      source: args.source,
      target: args.target,
      workingDirectory: context.cwd,
      ...(given.quantize === undefined ? {} : { quantize: given.quantize }),
      ...(given.qGroupSize === undefined ? {} : { groupSize: given.qGroupSize }),
      ...(given.to === undefined ? {} : { to: given.to }),
      ...(given.exact ? { exact: true } : {}),
      ...(given.verify === undefined ? {} : { verify: given.verify }),
      ...(given.repairIndex ? { repairIndex: true } : {}),
      ...(given.repair ? { repair: true } : {}),
      ...(given.skipHealth ? { skipHealth: true } : {}),
    };
    const data = await followWork(context, client.stream(endpoints.storeConvert, { body }, { signal: context.signal }), false);
    return { data, exitCode: exitCodeOf(data) };
  },
  render: (data) => plain(data.message ?? 'Done.'),
});

/** Of --repair: 0 something was mended, 2 nothing was found, 3 only what nobody but the user can mend. */
function exitCodeOf({ repair }: ConvertData): number {
  if (repair === undefined || repair.applied.length > 0) return 0;
  return repair.detected_unsafe.length > 0 ? 3 : 2;
}
