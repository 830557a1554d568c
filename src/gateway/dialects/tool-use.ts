import { REQUEST_LIMITS, type ToolUse } from '../../contract/index.ts';
import type { Target } from '../answer.ts';
import { invalid, unsupported } from './sampling.ts';

const MAX_TOOL_BYTES = REQUEST_LIMITS.toolBytes;
const TOOL_NAME = /^[A-Za-z0-9_.:/-]{1,128}$/;

/**
 * Tools of a request of any dialect, checked: names, sizes, the choice, and whether the target takes them. `nameField` is the path of a tool's
 * name below it. No tools: nothing, unless the choice asks for one.
 */
export function checkedTools(use: ToolUse, target: Target, nameField: string): { readonly tools?: ToolUse } {
  const { definitions, choice } = use;
  if (definitions.length === 0) {
    if (choice !== 'none' && choice !== 'auto') throw invalid('tool_choice', 'tool_choice asks for a tool, but there are none in tools.');
    return {};
  }
  if (!target.capabilities.tools) throw unsupported('tools', target);
  for (const [i, tool] of definitions.entries()) {
    if (!TOOL_NAME.test(tool.name)) throw invalid(`tools.${i}.${nameField}`, 'The name of a tool has up to 128 letters, digits, and _ . : / -.');
    if (JSON.stringify(tool).length > MAX_TOOL_BYTES) throw invalid(`tools.${i}`, `A tool has at most ${MAX_TOOL_BYTES} bytes.`);
    if (definitions.findIndex(({ name }) => name === tool.name) !== i) throw invalid('tools', `Two tools have the name ${tool.name}.`);
  }
  if (typeof choice === 'object' && !definitions.some(({ name }) => name === choice.name))
    throw invalid('tool_choice', `tool_choice names ${choice.name.slice(0, 128)}, which is not in tools.`);
  if (choice !== 'auto' && choice !== 'none' && !target.capabilities.forcedToolChoice) throw unsupported('tool_choice', target);
  return { tools: use };
}
