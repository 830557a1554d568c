import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Ajv } from 'ajv';
import addFormats from 'ajv-formats';

const PLACE = new URL('./res/schema/', import.meta.resolve('@cyclonedx/cyclonedx-library/package.json'));
const load = (name: string): object => JSON.parse(readFileSync(fileURLToPath(new URL(name, PLACE)), 'utf8')) as object;
const PARTS = ['spdx.SNAPSHOT.schema.json', 'jsf-0.82.SNAPSHOT.schema.json', 'cryptography-defs.SNAPSHOT.schema.json'];

/** What the published schema of CycloneDX has against a document; empty: nothing. */
export function cycloneDxErrors(version: '1.6' | '1.7', document: unknown): readonly string[] {
  const ajv = validator();
  for (const name of PARTS) ajv.addSchema(load(name), `http://cyclonedx.org/schema/${name}`);
  return errorsOf(ajv, load(`bom-${version}.SNAPSHOT.schema.json`), document);
}

/** The same for any schema of draft 7. */
export const schemaErrors = (schema: object, document: unknown): readonly string[] => errorsOf(validator(), schema, document);

function validator(): Ajv {
  const ajv = new Ajv({ strict: false, allErrors: true });
  addFormats.default(ajv);
  // Names that the formats package does not know.
  ajv.addFormat('idn-email', /^[^@\s]+@[^@\s]+$/);
  ajv.addFormat('iri-reference', { validate: (text: string) => !/[\s<>"{}|\\^`]/.test(text) && URL.canParse(text, 'http://base.invalid/') });
  return ajv;
}

function errorsOf(ajv: Ajv, schema: object, document: unknown): readonly string[] {
  ajv.validate(schema, document);
  return (ajv.errors ?? []).map(({ instancePath, message }) => `${instancePath}: ${message}`);
}
