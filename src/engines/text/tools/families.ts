import { harmony } from './harmony-family.ts';
import { granite, jsonTools, llama3Json, nemotron } from './json-families.ts';
import { functionGemma, gemma4, pythonic } from './literal-families.ts';
import { deepseek, kimiK2, mistral } from './named-families.ts';
import { glm47, longcat, minimaxM2, qwen3Coder } from './tagged-families.ts';
import type { ToolFamily } from './tool-family.ts';

/** In the order in which templates are probed (docs/spec/agents-training.md §1.6). */
const PROBES: readonly { readonly family: ToolFamily; readonly all: readonly string[] }[] = [
  { family: minimaxM2, all: ['<minimax:tool_call>'] },
  { family: gemma4, all: ['<|tool_call>', '<tool_call|>'] },
  { family: functionGemma, all: ['<start_function_call>'] },
  { family: longcat, all: ['<longcat_tool_call>'] },
  { family: glm47, all: ['<arg_key>'] },
  { family: pythonic, all: ['<|tool_list_start|>'] },
  { family: qwen3Coder, all: ['<tool_call>', '<function='] },
  { family: kimiK2, all: ['<|tool_calls_section_begin|>'] },
  { family: mistral, all: ['[TOOL_CALLS]'] },
  { family: harmony, all: ['<|channel|>'] },
  { family: deepseek, all: ['<｜tool▁calls▁begin｜>'] },
  { family: nemotron, all: ['<TOOLCALL>'] },
  { family: granite, all: ['<|tool_call|>'] },
  { family: llama3Json, all: ['"parameters"', '<|start_header_id|>'] },
  { family: jsonTools, all: ['<tool_call>'] },
];
const ALIASES: Readonly<Record<string, string>> = { hermes: 'json_tools', qwen3_xml: 'qwen3_coder', glm: 'glm47' };

export const TOOL_FAMILIES: readonly ToolFamily[] = PROBES.map(({ family }) => family);

/** The family that `id` names (tokenizer_config.json's `tool_parser_type`, the catalog), else the first whose marks the template has; null: none. */
export function toolFamilyOf(template: string, id?: string | null): ToolFamily | null {
  const named = id === undefined || id === null ? undefined : TOOL_FAMILIES.find((family) => family.id === (ALIASES[id] ?? id));
  return named ?? PROBES.find(({ all }) => all.every((mark) => template.includes(mark)))?.family ?? null;
}

/** Whether the template has a place for tools at all. */
export const hasToolSlot = (template: string): boolean => /\btools\b/.test(template);
