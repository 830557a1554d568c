import { z } from 'zod';
import { HearthError } from '../../core/index.ts';
import { type Argument, type Command, defineCommand, type Options } from '../command.ts';

/** Verbs that the specifications name and this version cannot do: known, with their usage checked, and told plainly. */
function planned(group: Command['group'], name: string, summary: string, args: readonly Argument[] = [anything], options: Options = {}): Command {
  return defineCommand({
    name,
    group,
    summary,
    arguments: args,
    options,
    planned: true,
    async run() {
      throw new HearthError('not_implemented', `\`hearth ${name}\` is not part of this version yet.`);
    },
  });
}

const anything: Argument = { name: 'arguments', schema: z.array(z.string()).optional().describe('passed to the command') };

export const PLANNED: readonly Command[] = [
  planned('Stack', 'setup', 'Choose, fetch and start models for this machine'),
  planned('Stack', 'recommend', 'Recommend models for this machine'),
  planned('Stack', 'service', 'Start the daemon with the machine'),
  planned('Agents and training', 'agent', 'Run an agent on a task'),
  planned('Agents and training', 'session', 'List and export recorded sessions'),
  planned('Agents and training', 'data', 'Build and check datasets'),
  planned('Agents and training', 'train', 'Train an adapter'),
  planned('Agents and training', 'adapter', 'Manage adapters'),
  planned('Agents and training', 'eval', 'Evaluate a model'),
];
