import type { AnswerFormat, ReasoningOptions, ToolDefinition, ToolUse } from '../../../contract/index.ts';
import { HearthError, isHearthError } from '../../../core/index.ts';
import {
  checkGrammar,
  choice,
  createSchemaConverter,
  EMPTY,
  free,
  type Grammar,
  type GrammarNode,
  JSON_OBJECT_GRAMMAR,
  JSON_RULES,
  oneOf,
  optional,
  parseGbnf,
  repeat,
  rule,
  sequence,
  text,
} from '../grammar/index.ts';
import { hasToolSlot, parametersOf, type ToolFamily, toolFamilyOf } from '../tools/index.ts';
import type { ReaderOptions, ReasoningMarks } from './answer-reader.ts';
import { enforceablePart } from './enforceable.ts';
import { HARMONY_HEADERS, HARMONY_TOKENS, isHarmony, reasoningPairs } from './reasoning-marks.ts';

/** What a model's template says of its answers. */
export interface AnswerDialect {
  readonly template: string;
  readonly hasToolSlot: boolean;
  readonly family: ToolFamily | null;
  /** Marks of the reasoning part; empty where the template has none. */
  readonly reasoning: readonly ReasoningMarks[];
  /** Parts of the answer come in channels (gpt-oss). */
  readonly harmony: boolean;
  /** Texts that have to be seen in the answer, also where they are control tokens. */
  readonly marks: readonly string[];
}

export function answerDialect(template: string | null, toolParser?: string | null): AnswerDialect {
  const source = template ?? '';
  const slot = hasToolSlot(source);
  const family = slot ? toolFamilyOf(source, toolParser) : null;
  const reasoning = template === null ? [] : reasoningPairs(source);
  const marks = [...(family === null ? [] : [...family.opens, ...family.marks]), ...reasoning.flatMap(({ open, close }) => [open, close])];
  const harmony = isHarmony(source);
  return { template: source, hasToolSlot: slot, family, reasoning, harmony, marks: harmony ? [...marks, ...HARMONY_TOKENS] : marks };
}

/** What a load will say of a model with this template. */
export function templateFeatures({ source, toolParser }: { readonly source: string; readonly toolParser: string | null }) {
  const { family, reasoning } = answerDialect(source, toolParser);
  return { tools: family !== null, reasoning: reasoning.length > 0 };
}

export interface AnswerWishes {
  readonly tools?: ToolUse;
  readonly format?: AnswerFormat;
  readonly reasoning?: ReasoningOptions;
}

export interface AnswerPlan {
  readonly reader: Omit<ReaderOptions, 'stops'>;
  /** What the whole answer has to match; null: anything. */
  readonly grammar: Grammar | null;
}

const BLANK = repeat(oneOf(' ', '\n'), 0, 4);
/** Calls of one answer, where any number is allowed. */
const MOST_CALLS = 16;

/**
 * How an answer is read and what it has to be. One grammar covers all of it: the reasoning part and text before calls are free in it, so that
 * marks may lie anywhere in the tokens. `prompt`: the end of the rendered prompt, which may have opened the reasoning part.
 * Throws invalid_value, invalid_json_schema, unsupported_parameter.
 */
export function planAnswer(dialect: AnswerDialect, wishes: AnswerWishes, prompt: string): AnswerPlan {
  const tools = wishes.tools !== undefined && wishes.tools.definitions.length > 0 ? wishes.tools : null;
  if (tools !== null) requireTools(dialect);
  const inside = openIn(prompt, dialect.reasoning);
  const rules = new Map<string, GrammarNode>(JSON_RULES);
  const format = wishes.format === undefined ? null : formatNode(wishes.format, rules);
  const document = format !== null && dialect.harmony ? sequence(text('<|channel|>final<|message|>'), format) : format;
  const answer = tools === null ? document : withTools(dialect, tools, document, rules);
  const constrained = tools !== null && answer !== null;
  const reader: AnswerPlan['reader'] = {
    reasoning: {
      pairs: wishes.format === undefined || dialect.reasoning.length > 0 ? pairsOf(dialect, inside) : [],
      inside,
      ...(dialect.harmony ? { headers: HARMONY_HEADERS } : {}),
    },
    tools: tools === null || tools.choice === 'none' ? null : { family: dialect.family!, definitions: tools.definitions, constrained },
  };
  if (answer === null) return { reader, grammar: null };
  if (dialect.harmony) return { reader, grammar: { root: sequence(analysis(wishes.reasoning), answer), rules } };
  return { reader, grammar: { root: sequence(reasoningNode(dialect, inside, wishes.reasoning), answer), rules } };
}

/** Marks in the output count also where the template does not tell of them (docs/spec/store.md §10). */
const pairsOf = (dialect: AnswerDialect, inside: ReasoningMarks | null): readonly ReasoningMarks[] =>
  inside !== null ? [] : dialect.reasoning.length > 0 ? dialect.reasoning : reasoningPairs('');

function requireTools(dialect: AnswerDialect): void {
  const problem = !dialect.hasToolSlot ? 'its chat template has no place for them' : dialect.family === null ? 'how it writes calls is not known' : null;
  if (problem !== null) throw new HearthError('unsupported_parameter', `This model takes no tools: ${problem}.`, { details: { param: 'tools' } });
}

/** The pair that the prompt leaves open. */
function openIn(prompt: string, pairs: readonly ReasoningMarks[]): ReasoningMarks | null {
  const tail = prompt.trimEnd();
  return pairs.find(({ open }) => tail.endsWith(open)) ?? null;
}

function reasoningNode(dialect: AnswerDialect, inside: ReasoningMarks | null, options: ReasoningOptions | undefined): GrammarNode {
  if (inside !== null) return sequence(free(inside.close), text(inside.close), BLANK);
  if (dialect.reasoning.length === 0 || options?.budgetTokens === 0) return EMPTY;
  const parts = dialect.reasoning.map(({ open, close }) => sequence(BLANK, text(open), free(close), text(close), BLANK));
  return optional(choice(...parts));
}

/** The reasoning part of harmony, which ends in the beginning of another message. */
function analysis(options: ReasoningOptions | undefined): GrammarNode {
  if (options?.budgetTokens === 0) return EMPTY;
  return optional(sequence(text('<|channel|>analysis<|message|>'), free('<|end|>'), text('<|end|><|start|>assistant')));
}
const HARMONY_TEXT = sequence(text('<|channel|>final<|message|>'), free(...HARMONY_TOKENS));

function formatNode(format: AnswerFormat, rules: Map<string, GrammarNode>): GrammarNode {
  if (format.kind === 'json') return JSON_OBJECT_GRAMMAR.root;
  if (format.kind === 'json-schema')
    return adopt(
      blaming('response_format', '', () => createSchemaConverter(format.schema, 'answer ')),
      rules,
    );
  return adopt(parseGbnf(format.text), rules);
}

/** What of a schema can be enforced: everything that fits the schema fits it too. */
export const enforceableSchema = (schema: unknown): unknown => enforceablePart(schema, createSchemaConverter);

/** Throws invalid_value or invalid_json_schema for a format or tools that cannot be enforced on any model; loads nothing. */
export function checkAnswerWishes({ format, tools }: AnswerWishes): void {
  const rules = new Map(JSON_RULES);
  if (format !== undefined) checkGrammar({ root: formatNode(format, rules), rules });
  for (const tool of tools?.definitions ?? []) convert(tool, { type: 'object', ...tool.parameters }, '');
}

function adopt(
  { root, rules: own }: { readonly root: GrammarNode; readonly rules: ReadonlyMap<string, GrammarNode> },
  rules: Map<string, GrammarNode>,
): GrammarNode {
  for (const [name, node] of own) rules.set(name, node);
  return root;
}

function withTools(dialect: AnswerDialect, tools: ToolUse, format: GrammarNode | null, rules: Map<string, GrammarNode>): GrammarNode | null {
  const family = dialect.family!;
  const { choice: wanted, parallel } = tools;
  const plain = dialect.harmony ? HARMONY_TEXT : free(...family.opens);
  if (wanted === 'none') return format ?? plain;
  const named = typeof wanted === 'object' ? tools.definitions.filter(({ name }) => name === wanted.name) : tools.definitions;
  if (named.length === 0) throw new HearthError('invalid_value', 'tool_choice names a tool that is not in tools.', { details: { param: 'tool_choice' } });
  const most = typeof wanted === 'object' || !parallel ? 1 : MOST_CALLS;
  // Each call may be of any tool: written out for each, the schemas would make a large grammar.
  const share = (node: GrammarNode): GrammarNode => {
    const name = `shared ${rules.size}`;
    rules.set(name, node);
    return rule(name);
  };
  const calls = family.grammar({
    tools: named,
    least: 1,
    most,
    template: dialect.template,
    share,
    argumentsOf: (tool) => share(adopt(convert(tool, { type: 'object', ...tool.parameters }, `${tool.name} `), rules)),
    argumentOf: (tool, name) => share(adopt(convert(tool, withDefinitions(tool, parametersOf(tool).schemaOf(name)), `${tool.name}.${name} `), rules)),
  });
  const section = sequence(calls, BLANK);
  if (wanted !== 'auto') return dialect.harmony ? calls : sequence(BLANK, section);
  if (format !== null) return choice(sequence(BLANK, section), format);
  // An answer that begins as a call does is one; other text is free, and calls may follow it.
  const start = family.opensAnswer;
  if (start !== undefined) return choice(sequence(BLANK, section), sequence(notBeginning(start), free(...family.opens)), EMPTY);
  return dialect.harmony ? choice(calls, plain) : sequence(plain, optional(section));
}

/** Any character but white space and the one that opens calls. */
function notBeginning(start: string): GrammarNode {
  const point = start.codePointAt(0)!;
  return sequence(BLANK, choice({ kind: 'class', ranges: [[33, point - 1]] }, { kind: 'class', ranges: [[point + 1, 0x10ffff]] }));
}

/** A parameter's schema may refer to definitions of the whole. */
function withDefinitions(tool: ToolDefinition, schema: unknown): unknown {
  const { $defs, definitions } = tool.parameters ?? {};
  if (typeof schema !== 'object' || schema === null || ($defs === undefined && definitions === undefined)) return schema ?? true;
  return { ...($defs === undefined ? {} : { $defs }), ...(definitions === undefined ? {} : { definitions }), ...schema };
}

const convert = (tool: ToolDefinition, schema: unknown, prefix: string): ReturnType<typeof createSchemaConverter> =>
  blaming('tools', `Tool ${tool.name}: `, () => createSchemaConverter(tool.strict === false ? enforceablePart(schema, createSchemaConverter) : schema, prefix));

/** Names the field of the request in what is thrown. */
function blaming<T>(param: string, prefix: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!isHearthError(error)) throw error;
    throw new HearthError(error.code, prefix + error.message, { cause: error, details: { ...error.details, param } });
  }
}
