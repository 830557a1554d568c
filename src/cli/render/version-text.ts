import { totalmem } from 'node:os';
import type { VersionData } from '../../contract/index.ts';

/** Version of the JSON documents (docs/spec/store.md §2). */
const JSON_API_VERSION = '0.2.3';

export const versionData = (version: string): VersionData => ({
  cli_version: version,
  json_api_spec_version: JSON_API_VERSION,
  system: { memory_total_bytes: totalmem() },
});

export const renderVersion = (program: string, data: VersionData): string => `${program} ${data.cli_version}`;
