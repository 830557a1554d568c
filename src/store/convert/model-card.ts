/** README.md of a converted model: what the source's card says of itself in its front matter, and how this copy was made. */
export interface CardFacts {
  readonly source_repo: string | null;
  readonly source_revision: string | null;
  readonly bits: number;
  readonly group: number;
}

const OWN_KEYS = ['library_name', 'pipeline_tag', 'base_model', 'base_model_relation', 'tags'];

export function modelCard(source: string | null, facts: CardFacts): string {
  const entries = frontMatter(source ?? '');
  const kept = entries.filter(({ key }) => !OWN_KEYS.includes(key)).map(({ text }) => text);
  const tags = [...new Set([...tagsOf(entries.find(({ key }) => key === 'tags')?.text ?? ''), 'mlx'])];
  const from = facts.source_repo === null ? 'a local model' : facts.source_repo;
  const revision = facts.source_revision === null ? '' : ` at \`${facts.source_revision}\``;
  return [
    '---',
    ...kept,
    'library_name: mlx',
    'pipeline_tag: text-generation',
    ...(facts.source_repo === null ? [] : [`base_model: ${facts.source_repo}`]),
    'tags:',
    ...tags.map((tag) => `- ${tag}`),
    '---',
    '',
    `Quantised by hearth to ${facts.bits} bits in groups of ${facts.group} from ${from}${revision}.`,
    '',
  ].join('\n');
}

/** Top-level entries of a front matter, each with the lines that belong to it. */
function frontMatter(text: string): { readonly key: string; readonly text: string }[] {
  const block = /^---\r?\n([\s\S]*?)\r?\n---\s*(\r?\n|$)/.exec(text)?.[1] ?? '';
  const entries: { key: string; text: string }[] = [];
  for (const line of block.split(/\r?\n/)) {
    const key = /^([\w-]+):/.exec(line)?.[1];
    const last = entries.at(-1);
    if (key !== undefined) entries.push({ key, text: line });
    else if (last !== undefined) last.text += `\n${line}`;
  }
  return entries;
}

function tagsOf(entry: string): string[] {
  const inline = /^tags:\s*\[(.*)\]\s*$/.exec(entry)?.[1];
  const words = inline === undefined ? [...entry.matchAll(/^\s*-\s+(.+)$/gm)].map((match) => match[1]!) : inline.split(',');
  return words.map((word) => word.trim().replace(/^["']|["']$/g, '')).filter((word) => /^[^\s:#[\]{}]+$/.test(word));
}
