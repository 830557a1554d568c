import { readFileSync } from 'node:fs';

/** Version of the package that these sources belong to. */
export const HEARTH_VERSION: string = (JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }).version;
