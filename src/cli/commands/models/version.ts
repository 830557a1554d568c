import { totalmem } from 'node:os';
import { defineCommand } from '../../command.ts';

/** Version of the JSON documents (docs/spec/store.md §2). */
const JSON_API_VERSION = '0.2.3';

export const versionCommand = defineCommand({
  name: 'version',
  group: 'Models',
  summary: 'Print the version',
  arguments: [],
  options: {},
  run: async (context) => ({
    data: { cli_version: context.version, json_api_spec_version: JSON_API_VERSION, system: { memory_total_bytes: totalmem() } },
  }),
  render: (data, context) => `${context.program} ${data.cli_version}`,
});
