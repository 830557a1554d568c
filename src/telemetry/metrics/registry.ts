import { redact } from '../../core/index.ts';

/** Values of the labels of one series, in the order in which the family names its labels. */
export type LabelValues = readonly string[];

export interface CounterSpec {
  readonly type: 'counter';
  readonly help: string;
  readonly labels?: readonly string[];
}
export interface GaugeSpec {
  readonly type: 'gauge';
  readonly help: string;
  readonly labels?: readonly string[];
}
export interface HistogramSpec {
  readonly type: 'histogram';
  readonly help: string;
  readonly labels?: readonly string[];
  /** Upper bounds, rising; +Inf is added. */
  readonly buckets: readonly number[];
}
export type FamilySpec = CounterSpec | GaugeSpec | HistogramSpec;

/** One family of series, as it is at this moment. */
export interface FamilySnapshot {
  readonly name: string;
  readonly spec: FamilySpec;
  readonly series: readonly Series[];
}

export interface Series {
  readonly labels: LabelValues;
  /** Of a counter or gauge. */
  value: number;
  /** Of a histogram: how many values were in each bucket alone, +Inf last; their sum and number. */
  readonly buckets?: number[];
  sum: number;
  count: number;
}

export interface MetricsRegistry {
  /** Adds to a counter. */
  add(name: string, labels: LabelValues, by?: number): void;
  /** Sets a gauge. */
  set(name: string, labels: LabelValues, value: number): void;
  /** Puts a value into a histogram. */
  observe(name: string, labels: LabelValues, value: number): void;
  /** Forgets the series of a gauge: those of models that are gone go with it. */
  clear(name: string): void;
  /** Called before each reading, so that gauges are of that moment. */
  onCollect(collect: () => void | Promise<void>): void;
  collect(): Promise<readonly FamilySnapshot[]>;
  /** The whole registry as Prometheus text, version 0.0.4. */
  text(): Promise<string>;
}

/** Values of one label of one family; further ones count as `other` (docs/spec/serving.md §7). */
export const LABEL_VALUE_LIMIT = 200;
const OTHER = 'other';

interface Family {
  readonly name: string;
  readonly spec: FamilySpec;
  readonly series: Map<string, Series>;
  readonly seen: readonly Set<string>[];
}

/** Families are declared once, here; a name that is not among them is a mistake of the caller. */
export function createMetricsRegistry(specs: Readonly<Record<string, FamilySpec>>): MetricsRegistry {
  const families = new Map<string, Family>();
  const collectors: (() => void | Promise<void>)[] = [];
  for (const [name, spec] of Object.entries(specs)) {
    const family: Family = { name, spec, series: new Map(), seen: (spec.labels ?? []).map(() => new Set()) };
    families.set(name, family);
    // A series without labels is there from the start, at zero.
    if (family.seen.length === 0 && spec.type !== 'gauge') seriesOf(family, []);
  }

  const find = (name: string, type: FamilySpec['type']): Family => {
    const family = families.get(name);
    if (family?.spec.type !== type) throw new TypeError(`There is no ${type} ${name}.`);
    return family;
  };

  async function collect(): Promise<FamilySnapshot[]> {
    for (const each of collectors) await each();
    return [...families.values()].map(({ name, spec, series }) => ({ name, spec, series: [...series.values()] }));
  }

  return {
    add(name, labels, by = 1) {
      if (!(by >= 0)) return;
      seriesOf(find(name, 'counter'), labels).value += by;
    },
    set(name, labels, value) {
      seriesOf(find(name, 'gauge'), labels).value = value;
    },
    observe(name, labels, value) {
      const family = find(name, 'histogram');
      if (!Number.isFinite(value)) return;
      const series = seriesOf(family, labels);
      const { buckets } = family.spec as HistogramSpec;
      const index = buckets.findIndex((bound) => value <= bound);
      series.buckets![index === -1 ? buckets.length : index]! += 1;
      series.sum += value;
      series.count += 1;
    },
    clear(name) {
      find(name, 'gauge').series.clear();
    },
    onCollect: (each) => void collectors.push(each),
    collect,
    async text() {
      return (await collect()).map(familyText).join('');
    },
  };
}

function seriesOf(family: Family, labels: LabelValues): Series {
  if (labels.length !== family.seen.length) throw new TypeError(`${family.name} has ${family.seen.length} labels, not ${labels.length}.`);
  const bounded = labels.map((value, index) => {
    const seen = family.seen[index]!;
    if (!seen.has(value)) {
      if (seen.size >= LABEL_VALUE_LIMIT) return OTHER;
      seen.add(value);
    }
    return value;
  });
  const key = bounded.join('\u0000');
  let series = family.series.get(key);
  if (!series) {
    const { spec } = family;
    series = {
      labels: bounded.map(redact),
      value: 0,
      sum: 0,
      count: 0,
      ...(spec.type === 'histogram' ? { buckets: new Array<number>(spec.buckets.length + 1).fill(0) } : {}),
    };
    family.series.set(key, series);
  }
  return series;
}

/** Text format: https://prometheus.io/docs/instrumenting/exposition_formats. */
export function familyText({ name, spec, series }: FamilySnapshot): string {
  const lines = [`# HELP ${name} ${spec.help.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')}`, `# TYPE ${name} ${spec.type}`];
  const names = spec.labels ?? [];
  for (const each of series) {
    if (spec.type !== 'histogram') {
      lines.push(`${name}${labelText(names, each.labels)} ${numberText(each.value)}`);
      continue;
    }
    let total = 0;
    for (const [index, bound] of [...spec.buckets, Number.POSITIVE_INFINITY].entries()) {
      total += each.buckets![index]!;
      lines.push(`${name}_bucket${labelText([...names, 'le'], [...each.labels, numberText(bound)])} ${total}`);
    }
    lines.push(`${name}_sum${labelText(names, each.labels)} ${numberText(each.sum)}`, `${name}_count${labelText(names, each.labels)} ${each.count}`);
  }
  return `${lines.join('\n')}\n`;
}

function labelText(names: readonly string[], values: LabelValues): string {
  if (names.length === 0) return '';
  return `{${names.map((name, index) => `${name}="${escapeLabel(values[index]!)}"`).join(',')}}`;
}

const escapeLabel = (value: string): string => value.replaceAll('\\', '\\\\').replaceAll('\n', '\\n').replaceAll('"', '\\"');

const numberText = (value: number): string => {
  if (value === Number.POSITIVE_INFINITY) return '+Inf';
  if (value === Number.NEGATIVE_INFINITY) return '-Inf';
  return Number.isNaN(value) ? 'NaN' : String(value);
};
