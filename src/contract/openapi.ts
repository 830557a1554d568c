import { z } from 'zod';
import { type EndpointDefinition, pathNames } from './endpoint.ts';
import { anthropicErrorReply, errorReply, openAiErrorType } from './error-reply.ts';
import { ERRORS, type ErrorCode } from './errors.ts';

type Json = Record<string, unknown>;

/** OpenAPI 3.1 document of the endpoints, with the error table as `x-error-codes`. */
export function openApiDocument(endpoints: Readonly<Record<string, EndpointDefinition>>, version: string): Json {
  const paths: Record<string, Json> = {};
  for (const endpoint of Object.values(endpoints)) {
    for (const [index, path] of [endpoint.path, ...(endpoint.aliases ?? [])].entries()) {
      const key = path.replaceAll('+}', '}');
      paths[key] = { ...paths[key], [endpoint.method.toLowerCase()]: operation(endpoint, path, index) };
    }
  }
  return {
    openapi: '3.1.0',
    info: { title: 'hearth', version, license: { name: 'Apache-2.0', identifier: 'Apache-2.0' } },
    paths,
    components: { schemas: { Error: schemaOf(errorReply, 'output'), AnthropicError: schemaOf(anthropicErrorReply, 'output') } },
    'x-error-codes': Object.fromEntries(
      (Object.keys(ERRORS) as ErrorCode[]).map((code) => [
        code,
        { status: ERRORS[code].status, type: openAiErrorType(code), retryable: ERRORS[code].retryable, exitCode: ERRORS[code].exitCode },
      ]),
    ),
  };
}

function operation(endpoint: EndpointDefinition, path: string, alias: number): Json {
  const content: Json = {};
  if (endpoint.reply) content['application/json'] = { schema: schemaOf(endpoint.reply, 'output') };
  // Without `schema`: tools take it for that of one event, as the next version of OpenAPI has it.
  if (endpoint.events) content['text/event-stream'] = { 'x-event-schema': schemaOf(endpoint.events, 'output') };
  return {
    operationId: alias === 0 ? endpoint.id : `${endpoint.id}Alias${alias}`,
    summary: endpoint.summary,
    'x-scope': endpoint.scope,
    parameters: [...pathParameters(path), ...queryParameters(endpoint)],
    ...(endpoint.body ? { requestBody: { required: true, content: { 'application/json': { schema: schemaOf(endpoint.body, 'input') } } } } : {}),
    ...(endpoint.form ? { requestBody: { required: true, content: { 'multipart/form-data': { schema: formSchema(endpoint.form) } } } } : {}),
    responses: {
      200: { description: 'Done.', content },
      ...Object.fromEntries((endpoint.replyStatuses ?? []).map((status) => [status, { description: 'Answered, and not well.', content }])),
      default: {
        description: 'Failed; the code is one of x-error-codes.',
        content: { 'application/json': { schema: { $ref: `#/components/schemas/${path.startsWith('/v1/messages') ? 'AnthropicError' : 'Error'}` } } },
      },
    },
  };
}

const pathParameters = (path: string): Json[] => pathNames(path).map(({ name }) => ({ name, in: 'path', required: true, schema: { type: 'string' } }));

function queryParameters(endpoint: EndpointDefinition): Json[] {
  if (!endpoint.query) return [];
  const schema = schemaOf(endpoint.query, 'input') as { properties?: Record<string, Json>; required?: string[] };
  return Object.entries(schema.properties ?? {}).map(([name, property]) => ({
    name,
    in: 'query',
    required: schema.required?.includes(name) ?? false,
    schema: property,
  }));
}

/** The file is in the field `file`. */
function formSchema(form: z.ZodType): Json {
  const schema = schemaOf(form, 'input') as { properties: Json; required?: string[] };
  return { ...schema, properties: { file: { type: 'string', format: 'binary' }, ...schema.properties }, required: ['file', ...(schema.required ?? [])] };
}

function schemaOf(schema: z.ZodType, io: 'input' | 'output'): Json {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io, unrepresentable: 'any' }) as Json;
  return rest;
}
