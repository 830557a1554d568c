import { HearthError } from '../../core/index.ts';

// The entry file of `hearthd`. The daemon that starts on demand or with the machine comes with `hearth up`; `hearth serve` is it in the foreground.
const error = new HearthError('not_implemented', 'hearthd cannot be started by itself in this version yet.');
process.stderr.write(`hearthd: Error: ${error.message}\nHint: \`hearth serve\` runs the daemon in the foreground.\n`);
process.exitCode = error.row.exitCode;
