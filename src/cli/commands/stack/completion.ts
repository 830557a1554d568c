import { z } from 'zod';
import { type Command, defineCommand } from '../../command.ts';
import { completionScript, SHELLS } from '../../completion-script.ts';

/** `commands` is asked at the call: this command is one of them. */
export const completionCommand = (commands: () => readonly Command[]) =>
  defineCommand({
    name: 'completion',
    group: 'Stack',
    summary: 'Print a completion script for your shell',
    arguments: [{ name: 'shell', schema: z.enum(SHELLS, { error: `must be one of ${SHELLS.join(', ')}` }).describe(SHELLS.join(', ')) }],
    options: {},
    run: async (_, args: { shell: (typeof SHELLS)[number] }) => ({ data: { shell: args.shell, script: completionScript(args.shell, commands()) } }),
    render: (data) => data.script,
  });
