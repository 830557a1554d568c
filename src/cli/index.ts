// Owns: the command line: commands as values, their parsing, rendering, exit codes and the JSON envelope.
// Refuses: doing the work itself; a command speaks to the product through the client only.
// Called by: bin/ (through main.ts) and the printer of docs/cli.md.
export { COMMANDS } from './commands/index.ts';
export { completionScript } from './completion-script.ts';
export { printCliDocs } from './print-cli-docs.ts';
export { runCli } from './run.ts';
