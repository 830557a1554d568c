import type { ToolDefinition } from '../../../contract/index.ts';
import type { GrammarNode } from '../grammar/index.ts';

/** A call as far as a text has it. `args` only grows while more text comes. */
export interface CallReading {
  readonly name: string;
  /** JSON text of the arguments, or its beginning. */
  readonly args: string;
  readonly complete: boolean;
}

/** What a stretch of text behind an opening mark says. A pure function of the text, so that it never matters how the text is cut into pieces. */
export interface SectionReading {
  readonly calls: readonly CallReading[];
  /** Where the calls end, once that is known. */
  readonly end: number | null;
  /** Why the text can never be read as calls. */
  readonly problem?: string;
}

export interface FamilyOptions {
  /** Of the model; some families have two forms. */
  readonly template: string;
}

/** How one family of models writes calls into its text (docs/spec/agents-training.md §1.6). */
export interface ToolFamily {
  readonly id: string;
  /** Texts that open calls. */
  readonly opens: readonly string[];
  /** Calls may also begin with this text where the answer begins. */
  readonly opensAnswer?: string;
  /** Other texts that belong to the markup: where they are control tokens, they have to be seen. */
  readonly marks: readonly string[];
  /** `open`: the mark that was found. `ended`: no more text comes. */
  read(text: string, open: string, tools: readonly ToolDefinition[], ended: boolean): SectionReading;
  /** `least` to `most` calls with all their marks, or null where the family cannot be constrained. Rules that it needs are added to `rules`. */
  grammar(calls: CallGrammar): GrammarNode;
}

export interface CallGrammar {
  readonly tools: readonly ToolDefinition[];
  readonly least: number;
  /** null: any number. */
  readonly most: number | null;
  readonly template: string;
  /** Makes a node a rule, so that it can be used in many places. */
  share(node: GrammarNode): GrammarNode;
  /** JSON texts of a tool's arguments. */
  argumentsOf(tool: ToolDefinition): GrammarNode;
  /** JSON texts of one argument. */
  argumentOf(tool: ToolDefinition, name: string): GrammarNode;
}

/** Names of a tool's parameters, the required ones first told apart. */
export function parametersOf(tool: ToolDefinition): {
  readonly names: readonly string[];
  readonly required: readonly string[];
  schemaOf(name: string): unknown;
} {
  const properties = (tool.parameters?.['properties'] ?? {}) as Readonly<Record<string, unknown>>;
  const required = tool.parameters?.['required'];
  return {
    names: Object.keys(properties),
    required: Array.isArray(required) ? (required as string[]) : [],
    schemaOf: (name) => resolved(tool, properties[name]),
  };
}

/** The schema that a local reference leads to. */
function resolved(tool: ToolDefinition, schema: unknown): unknown {
  let at = schema;
  for (let steps = 0; steps < 16; steps++) {
    const reference = (at as { $ref?: unknown } | undefined)?.$ref;
    if (typeof reference !== 'string' || !reference.startsWith('#/')) break;
    at = reference
      .slice(2)
      .split('/')
      .reduce<unknown>((node, key) => (node as Record<string, unknown> | undefined)?.[key.replaceAll('~1', '/').replaceAll('~0', '~')], tool.parameters);
  }
  return at;
}
