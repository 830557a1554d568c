import type { Command } from '../command.ts';
import { versionCommand } from './models/version.ts';
import { PLANNED } from './planned.ts';
import { completionCommand } from './stack/completion.ts';
import { CONFIG_COMMANDS } from './stack/config.ts';

/** Every verb, in the order of the overview. */
export const COMMANDS: readonly Command[] = [versionCommand, ...CONFIG_COMMANDS, completionCommand(() => COMMANDS), ...PLANNED];
