import type { ListData, ModelObject } from '../../contract/index.ts';
import { cut } from './plain.ts';
import { formatAge, formatSize } from './size.ts';
import { type Column, table } from './table.ts';

/** Switches of `list`. */
export interface ListLook {
  readonly all: boolean;
  readonly health: boolean;
  readonly verbose: boolean;
}

export function renderList(data: ListData, look: ListLook, nowMs: number): string {
  const shown = data.models.filter((model) => look.all || (model.health === 'healthy' && model.runtime_compatible));
  const left = data.models.length - shown.length;
  const hidden = left === 0 ? '' : `\n${left} more cannot run here; \`hearth list --all --health\` tells why.`;
  if (shown.length === 0) return `No models are here yet. \`hearth run smollm2-135m\` fetches a small one.${hidden}`;
  return `${listTable(shown, look, nowMs)}${hidden}`;
}

/** The rows for people (docs/spec/store.md §1, Human tables). */
function listTable(models: readonly ModelObject[], look: ListLook, nowMs: number): string {
  const wide = look.all || look.verbose;
  const columns: (Column & { cell: (model: ModelObject) => string })[] = [
    { title: 'Name', cell: (model) => shownName(model, look.verbose) },
    { title: 'Hash', cell: (model) => shownHash(model) },
    { title: 'Size', align: 'right', cell: (model) => formatSize(model.size_bytes) },
    { title: 'Modified', cell: (model) => formatAge(model.last_modified, nowMs) },
    { title: 'Src', cell: source },
  ];
  if (wide) {
    columns.push({ title: 'Clean', cell: (model) => (model.cached || model.clean === null || model.clean === undefined ? '—' : model.clean ? '✓' : '✗') });
    columns.push({ title: 'Framework', cell: (model) => model.framework });
  }
  columns.push({ title: 'Type', cell: shownType });
  if (look.health && look.verbose) {
    columns.push({ title: 'Integrity', cell: (model) => model.health });
    columns.push({ title: 'Runtime', cell: (model) => (model.health === 'unhealthy' ? '-' : model.runtime_compatible ? 'yes' : 'no') });
    columns.push({ title: 'Reason', cell: (model) => cut(model.reason ?? '', 60) });
  } else if (look.health)
    columns.push({ title: 'Health', cell: (model) => (model.health === 'healthy' && !model.runtime_compatible ? 'healthy*' : model.health) });
  return table(
    columns,
    models.map((model) => columns.map((column) => column.cell(model))),
    look.health && look.verbose ? { column: columns.length - 1, width: 26 } : undefined,
  );
}

function shownName(model: ModelObject, verbose: boolean): string {
  if (!model.cached) return model.display_name ?? model.name;
  return verbose ? model.name : model.name.replace(/^mlx-community\//, '');
}

/** The snapshot, or the content of a workspace. */
const shownHash = ({ hash, content_hash }: ModelObject): string => (hash ?? content_hash?.replace(/^sha256:/, ''))?.slice(0, 7) ?? '—';

const source = (model: ModelObject): string => (model.cached ? 'cache' : model.clean === true ? 'ws' : model.clean === false ? 'ws*' : 'ws?');

function shownType(model: ModelObject): string {
  const vision = model.capabilities.includes('vision') ? '+vision' : '';
  const audio = model.capabilities.includes('audio') && model.model_type !== 'audio' ? '+audio' : '';
  return `${model.model_type}${vision}${audio}`;
}
