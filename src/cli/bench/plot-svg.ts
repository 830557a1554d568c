import type { BenchLine, MonitorSample } from '../../contract/index.ts';
import { testName } from './report-markdown.ts';
import { round } from './statistics.ts';

/** One line of a chart. */
interface Series {
  readonly name: string;
  readonly colour: string;
  readonly points: readonly (readonly [seconds: number, value: number])[];
  readonly filled?: boolean;
}

interface Chart {
  readonly title: string;
  readonly unit: string;
  readonly series: readonly Series[];
  /** Upper end of the scale; absent: from the values. */
  readonly most?: number;
}

interface Band {
  readonly from: number;
  readonly to: number;
  readonly test: string;
  readonly model: string;
}

const WIDTH = 1120;
const LEFT = 64;
const RIGHT = 24;
const PLOT = WIDTH - LEFT - RIGHT;
const CHART_HEIGHT = 168;
const CHART_GAP = 58;
const TOP = 146;

/** Memory, processor and GPU over time in three rows, with the cases as bands and the models over them. One SVG that needs nothing else. */
export function plotSvg(samples: readonly MonitorSample[], lines: readonly BenchLine[], title: string): string {
  const start = samples[0]!.ts - samples[0]!.elapsed_s;
  const end = Math.max(...samples.map((sample) => sample.elapsed_s), 1);
  const x = (seconds: number): number => LEFT + (Math.min(Math.max(seconds, 0), end) / end) * PLOT;
  const bands = bandsOf(lines, start, end);
  const charts = chartsOf(samples);
  const height = TOP + charts.length * (CHART_HEIGHT + CHART_GAP) + 4;
  const chartTop = (index: number): number => TOP + index * (CHART_HEIGHT + CHART_GAP);
  const body = charts.map((chart, i) => drawChart(chart, { top: chartTop(i), namesCases: i === 0 }, x, end, bands)).join('\n');
  const labels = modelLabels(bands, x);
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" aria-label="${escapeMarkup(title)}" font-family="system-ui, -apple-system, 'Segoe UI', sans-serif">
<rect width="${WIDTH}" height="${height}" fill="#ffffff"/>
<text x="${LEFT}" y="38" font-size="21" font-weight="600" fill="#1b1f24">${escapeMarkup(title)}</text>
<text x="${LEFT}" y="61" font-size="13" fill="#59636e">${escapeMarkup(subtitle(samples, end, bands))}</text>
${labels}
${body}
</svg>
`;
}

function subtitle(samples: readonly MonitorSample[], end: number, bands: readonly Band[]): string {
  const at = new Date(samples[0]!.ts * 1000).toISOString().slice(0, 16).replace('T', ' ');
  const cases = bands.length === 0 ? '' : ` · ${bands.length} ${bands.length === 1 ? 'case' : 'cases'}`;
  return `${at} UTC · ${clock(end)} · ${samples.length} samples${cases}`;
}

function chartsOf(samples: readonly MonitorSample[]): Chart[] {
  const series = (name: string, key: keyof MonitorSample, colour: string, more: { scale?: number; filled?: boolean } = {}): Series[] => {
    const points = samples.flatMap((sample): [number, number][] => {
      const value = sample[key];
      return typeof value === 'number' ? [[sample.elapsed_s, value * (more.scale ?? 1)]] : [];
    });
    return points.length === 0 ? [] : [{ name, colour, points, ...(more.filled ? { filled: true } : {}) }];
  };
  return [
    {
      title: 'Memory',
      unit: 'GiB',
      series: [...series('free', 'ram_free_gb', '#1f883d', { filled: true }), ...series('swap used', 'swap_used_mb', '#bc4c00', { scale: 1 / 1024 })],
    },
    {
      title: 'Processor',
      unit: '%',
      most: 100,
      series: [...series('user', 'cpu_user', '#0969da', { filled: true }), ...series('system', 'cpu_sys', '#8250df')],
    },
    {
      title: 'GPU',
      unit: '%',
      most: 100,
      series: [
        ...series('device', 'gpu_device_util', '#cf222e', { filled: true }),
        ...series('renderer', 'gpu_renderer_util', '#9a6700'),
        ...series('tiler', 'gpu_tiler_util', '#6e7781'),
      ],
    },
  ];
}

function bandsOf(lines: readonly BenchLine[], start: number, end: number): Band[] {
  return lines.flatMap((line) => {
    if (line.test_start_ts === undefined || line.test_end_ts === undefined) return [];
    const [from, to] = [line.test_start_ts - start, line.test_end_ts - start];
    return to < 0 || from > end ? [] : [{ from: Math.max(0, from), to: Math.min(end, to), test: testName(line), model: line.model?.id ?? '' }];
  });
}

function drawChart(
  chart: Chart,
  { top, namesCases }: { readonly top: number; readonly namesCases: boolean },
  x: (seconds: number) => number,
  end: number,
  bands: readonly Band[],
): string {
  const bottom = top + CHART_HEIGHT;
  const most = chart.most ?? niceCeiling(Math.max(1, ...chart.series.flatMap((one) => one.points.map(([, value]) => value))));
  const y = (value: number): number => bottom - (Math.min(Math.max(value, 0), most) / most) * CHART_HEIGHT;
  const parts = [`<text x="${LEFT}" y="${top - 12}" font-size="14" font-weight="600" fill="#1b1f24">${chart.title}</text>`, legend(chart, top - 12)];
  bands.forEach((band, i) => {
    const width = Math.max(1, x(band.to) - x(band.from));
    parts.push(
      `<rect x="${n(x(band.from))}" y="${top}" width="${n(width)}" height="${CHART_HEIGHT}" fill="${i % 2 === 0 ? '#eef4fb' : '#f6f8fa'}"><title>${escapeMarkup(`${band.test} · ${band.model}`)}</title></rect>`,
    );
    if (namesCases && width > band.test.length * 6.4 + 8)
      parts.push(`<text x="${n(x(band.from) + 5)}" y="${top + 14}" font-size="10.5" fill="#59636e">${escapeMarkup(band.test)}</text>`);
  });
  for (let i = 0; i <= 4; i += 1) {
    const value = (most * i) / 4;
    parts.push(`<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${n(y(value))}" y2="${n(y(value))}" stroke="#d1d9e0" stroke-width="${i === 0 ? 1 : 0.6}"/>`);
    parts.push(`<text x="${LEFT - 8}" y="${n(y(value) + 4)}" font-size="11" text-anchor="end" fill="#59636e">${label(value)}</text>`);
  }
  for (const seconds of ticks(end))
    parts.push(`<text x="${n(x(seconds))}" y="${bottom + 17}" font-size="11" text-anchor="middle" fill="#59636e">${clock(seconds)}</text>`);
  if (chart.series.length === 0)
    parts.push(`<text x="${WIDTH / 2}" y="${top + CHART_HEIGHT / 2 + 5}" font-size="13" text-anchor="middle" fill="#818b98">no data</text>`);
  for (const one of chart.series) parts.push(...drawSeries(one, x, y, bottom));
  return parts.join('\n');
}

function drawSeries({ colour, points, filled }: Series, x: (seconds: number) => number, y: (value: number) => number, bottom: number): string[] {
  const path = points.map(([seconds, value], i) => `${i === 0 ? 'M' : 'L'}${n(x(seconds))} ${n(y(value))}`).join('');
  const [first, last] = [points[0]!, points.at(-1)!];
  const area = filled ? [`<path d="${path}L${n(x(last[0]))} ${bottom}L${n(x(first[0]))} ${bottom}Z" fill="${colour}" opacity="0.12"/>`] : [];
  return [...area, `<path d="${path}" fill="none" stroke="${colour}" stroke-width="1.6" stroke-linejoin="round"/>`];
}

/** At the right end, over the chart: the unit, then each line's name and colour. */
function legend({ series, unit }: Chart, y: number): string {
  let right = WIDTH - RIGHT;
  const parts: string[] = [];
  for (const { name, colour } of [...series].reverse()) {
    right -= name.length * 6.6;
    parts.push(`<text x="${n(right)}" y="${y}" font-size="12" fill="#393f46">${name}</text>`);
    right -= 20;
    parts.push(`<line x1="${n(right)}" x2="${n(right + 14)}" y1="${y - 4}" y2="${y - 4}" stroke="${colour}" stroke-width="2.5"/>`);
    right -= 14;
  }
  if (series.length > 0) parts.push(`<text x="${n(right)}" y="${y}" font-size="12" fill="#818b98" text-anchor="end">${unit}</text>`);
  return parts.join('\n');
}

/** One label over the cases of each model in a row. */
function modelLabels(bands: readonly Band[], x: (seconds: number) => number): string {
  const spans: { model: string; from: number; to: number }[] = [];
  for (const band of bands) {
    const last = spans.at(-1);
    if (last?.model === band.model) last.to = Math.max(last.to, band.to);
    else spans.push({ model: band.model, from: band.from, to: band.to });
  }
  const visible = spans.filter(({ model }) => model !== '');
  return visible
    .map(({ model, from, to }) => {
      const [left, width] = [x(from), Math.max(2, x(to) - x(from))];
      const most = Math.floor(width / 6.6);
      const short = model.length <= most ? model : most < 6 ? '' : `${model.slice(0, most - 1)}…`;
      return `<rect x="${n(left)}" y="104" width="${n(width)}" height="3" rx="1.5" fill="#0969da" opacity="0.65"><title>${escapeMarkup(model)}</title></rect><text x="${n(left)}" y="98" font-size="11.5" fill="#393f46">${escapeMarkup(short)}</text>`;
    })
    .join('\n');
}

/** About eight marks at round times. */
function ticks(end: number): number[] {
  const steps = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400];
  const step = steps.find((candidate) => end / candidate <= 9) ?? 28_800;
  return Array.from({ length: Math.floor(end / step) + 1 }, (_, i) => round(i * step, 1));
}

function niceCeiling(value: number): number {
  const scale = 10 ** Math.floor(Math.log10(value));
  return ([1, 2, 4, 5, 8, 10].find((step) => value <= step * scale) ?? 10) * scale;
}

const clock = (seconds: number): string =>
  seconds < 60
    ? `${round(seconds, 1)} s`
    : seconds < 3600
      ? `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, '0')} min`
      : `${round(seconds / 3600, 1)} h`;
const label = (value: number): string => String(round(value, value < 10 ? 1 : 0));
const n = (value: number): string => String(round(value, 1));
export const escapeMarkup = (text: string): string => text.replaceAll(/[&<>"']/g, (mark) => `&#${mark.charCodeAt(0)};`).replaceAll(/\p{Cc}/gu, '');
