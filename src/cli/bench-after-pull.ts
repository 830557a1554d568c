import type { Command } from './command.ts';
import type { Context } from './context.ts';
import { toCliError } from './errors.ts';
import { plain } from './render/plain.ts';

/** `pull --bench`: the verb `bench target` on the model that has just come, told on stderr. The pull has succeeded: a failure is only a warning. */
export async function benchAfterPull(context: Context, commands: readonly Command[], model: string): Promise<void> {
  try {
    const bench = commands.find((command) => command.name === 'bench target') as Command<Record<string, unknown>> | undefined;
    if (bench === undefined) throw new Error('there is no verb that measures it');
    const options = Object.fromEntries(Object.entries(bench.options).map(([name, schema]) => [name, schema.parse(undefined)]));
    // Its first argument is the target; whatever else it takes has defaults.
    const given = Object.fromEntries(
      bench.arguments.map(({ name, schema }, i) => [name, schema.parse(i > 0 ? undefined : schema.safeParse(model).success ? model : [model])]),
    );
    const { data } = await bench.run(context, given, options);
    const text = bench.render?.(data, context, options) ?? '';
    for (const line of text.split('\n').filter((line) => line !== '')) context.output.notice(line);
  } catch (error) {
    if (context.signal.aborted) throw error;
    context.output.notice(`Warning: ${plain(model)} is here, but it was not measured: ${plain(toCliError(error).message)}`);
  }
}
