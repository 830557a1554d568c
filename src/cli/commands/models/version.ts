import { defineCommand } from '../../command.ts';
import { renderVersion, versionData } from '../../render/version-text.ts';

export const versionCommand = defineCommand({
  name: 'version',
  group: 'Models',
  summary: 'Print the version',
  arguments: [],
  options: {},
  run: async (context) => ({ data: versionData(context.version) }),
  render: (data, context) => renderVersion(context.program, data),
});
