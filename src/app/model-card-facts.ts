import { parse } from 'yaml';

export interface CardFacts {
  readonly licence: string | null;
  readonly baseModels: readonly string[];
  readonly datasets: readonly string[];
  readonly task: string | null;
  readonly metrics: readonly { readonly type: string; readonly value: string; readonly slice: string | null }[];
}

const MAX_TEXT = 300;
const MAX_ITEMS = 200;

/** What the front matter of a model card says. It is the author's word: anything may stand there, and what has another form is left out. */
export function cardFacts(text: string): CardFacts {
  const block = /^---\r?\n([\s\S]{0,200000}?)\r?\n---\s*(\r?\n|$)/.exec(text)?.[1];
  const facts = record(block === undefined ? {} : parsed(block));
  const licence = word(facts['license']);
  // `other` has its name beside it.
  return {
    licence: licence === 'other' ? (word(facts['license_name']) ?? licence) : licence,
    baseModels: words(facts['base_model']),
    datasets: words(facts['datasets']),
    task: word(facts['pipeline_tag']),
    metrics: list(facts['model-index']).flatMap((entry) => list(record(entry)['results']).flatMap(metricsOf)),
  };
}

function metricsOf(result: unknown): CardFacts['metrics'] {
  const { dataset, metrics } = record(result);
  const slice = word(record(dataset)['name']);
  return list(metrics).flatMap((metric) => {
    const { type, value } = record(metric);
    const name = word(type);
    return name === null || (typeof value !== 'number' && typeof value !== 'string') ? [] : [{ type: name, value: String(value).slice(0, MAX_TEXT), slice }];
  });
}

function parsed(block: string): unknown {
  try {
    // No expansion of repeated parts: a card may be a bomb.
    return parse(block, { maxAliasCount: 0 }) as unknown;
  } catch {
    return {};
  }
}

const record = (value: unknown): Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
const list = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value.slice(0, MAX_ITEMS) : []);
const word = (value: unknown): string | null => (typeof value === 'string' && value.trim() !== '' ? value.trim().slice(0, MAX_TEXT) : null);
const words = (value: unknown): readonly string[] => [...new Set((typeof value === 'string' ? [value] : list(value)).flatMap((each) => word(each) ?? []))];
