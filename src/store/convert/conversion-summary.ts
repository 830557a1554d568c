import { isObject } from '../health/json-value.ts';
import type { ModelView } from '../model-view.ts';

/** What a conversion said of the numbers that it wrote (docs/spec/formats.md §8.3). */
export interface ConversionSummary {
  readonly verdict: 'exact' | 'bounded';
  readonly elements: number;
  readonly inexact_elements: number;
  readonly largest_error: number;
  /** `lossless`, or how many numbers differ and by how much at most. */
  readonly statement: string;
}

interface Totals {
  readonly elements: number;
  readonly inexactElements: number;
  readonly maxAbsError: number;
}

/** "lossless" is said only where no number differs. */
export function statementOf({ inexactElements, elements, maxAbsError }: Totals): string {
  if (inexactElements === 0) return 'lossless';
  return `bounded: ${inexactElements.toLocaleString('en')} of ${elements.toLocaleString('en')} elements differ, largest error ${maxAbsError.toPrecision(3)}`;
}

/** Of the conversion.json of a model; null where there is none that tells of numbers. */
export async function conversionSummary(view: ModelView): Promise<ConversionSummary | null> {
  const json = await view.json('conversion.json');
  const totals = json.kind === 'value' && isObject(json.value) && isObject(json.value['totals']) ? json.value['totals'] : null;
  const { elements, inexactElements, maxAbsError } = totals ?? {};
  if (typeof elements !== 'number' || typeof inexactElements !== 'number' || typeof maxAbsError !== 'number') return null;
  return {
    verdict: inexactElements === 0 ? 'exact' : 'bounded',
    elements,
    inexact_elements: inexactElements,
    largest_error: maxAbsError,
    statement: statementOf({ elements, inexactElements, maxAbsError }),
  };
}
