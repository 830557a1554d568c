import type { AnomalyCode, WorkspaceHealth } from '../../contract/index.ts';
import { hasGgufHead } from '../health/check-health.ts';
import { isObject } from '../health/json-value.ts';
import { findPointers } from '../health/lfs-pointer.ts';
import { weightFilesOf } from '../health/weight-files.ts';
import type { ModelView } from '../model-view.ts';

const SHARD = /^(.*)-(\d{5})-of-(\d{5})\.(safetensors|bin|gguf)$/;
const INDEXES = ['model.safetensors.index.json', 'pytorch_model.bin.index.json'];
const MARKER = /\.(partial|tmp|incomplete)$/;

type Anomaly = WorkspaceHealth['anomalies'][number];

/** What is wrong with the files that would be sent, by the files alone (docs/spec/store.md §9). All findings, not only the first. */
export async function checkWorkspace(view: ModelView): Promise<WorkspaceHealth> {
  const weights = weightFilesOf(view);
  const anomalies: Anomaly[] = [];
  const error = (code: AnomalyCode, message: string, path?: string): void => {
    anomalies.push({ severity: 'error', code, message, ...(path === undefined ? {} : { path }) });
  };
  const config = await checkConfig(view);
  if (config === 'missing' && !(await isGgufOnly(view))) error('config_missing', 'There is no config.json.', 'config.json');
  if (config === 'invalid') error('config_invalid_json', 'config.json holds no JSON object.', 'config.json');
  if (weights.length === 0) error('no_weights_found', 'There are no .safetensors, .gguf or .bin files.');
  for (const file of weights.filter(({ sizeBytes }) => sizeBytes === 0)) error('empty_weight_file', `${file.path} is empty.`, file.path);
  const paths = view.files.map(({ path }) => path);
  for (const path of await findPointers(view, paths)) error('lfs_pointer_detected', `${path} is an LFS pointer in place of the file.`, path);
  const missing: string[] = [];
  const indexes = INDEXES.filter((name) => view.find(name) !== undefined);
  for (const name of indexes) {
    const shards = await shardsOf(view, name);
    if (shards === null) error('index_parse_error', `${name} cannot be read as an index.`, name);
    for (const shard of (shards ?? []).filter((path) => view.find(path) === undefined)) {
      missing.push(shard);
      error('index_missing_shard', `${name} names ${shard}, which is not there.`, shard);
    }
  }
  for (const path of paths.filter((name) => MARKER.test(name))) {
    anomalies.push({ severity: 'warn', code: 'partial_marker', message: `${path} looks like a download that did not end.`, path });
  }
  return {
    files_count: view.files.length,
    total_bytes: view.files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
    config: { exists: config !== 'missing', valid_json: config === 'valid', path: config === 'missing' ? null : 'config.json' },
    weights: {
      count: weights.length,
      formats: [...new Set(weights.map(({ path }) => path.slice(path.lastIndexOf('.') + 1)))].sort(),
      index: { has_index: indexes.length > 0, missing },
      pattern_complete: patternComplete(weights.map(({ path }) => path)),
    },
    anomalies,
    healthy: anomalies.every(({ severity }) => severity !== 'error'),
  };
}

async function checkConfig(view: ModelView): Promise<'missing' | 'invalid' | 'valid'> {
  const config = await view.json('config.json');
  if (config.kind === 'missing') return 'missing';
  return config.kind === 'value' && isObject(config.value) && Object.keys(config.value).length > 0 ? 'valid' : 'invalid';
}

/** The headers of GGUF files are their configuration. */
async function isGgufOnly(view: ModelView): Promise<boolean> {
  const weights = weightFilesOf(view);
  if (weights.length === 0 || weights.some(({ path }) => !path.endsWith('.gguf'))) return false;
  for (const { path } of weights) if (!(await hasGgufHead(view, path))) return false;
  return true;
}

async function shardsOf(view: ModelView, name: string): Promise<string[] | null> {
  const index = await view.json(name);
  const map = index.kind === 'value' && isObject(index.value) ? index.value['weight_map'] : null;
  if (!isObject(map)) return null;
  const shards = [...new Set(Object.values(map))];
  return shards.length > 0 && shards.every((shard) => typeof shard === 'string') ? (shards as string[]).sort() : null;
}

function patternComplete(paths: readonly string[]): boolean {
  const sets = Map.groupBy(
    paths.flatMap((path) => {
      const match = SHARD.exec(path);
      return match === null ? [] : [{ set: `${match[1]}-${match[3]}.${match[4]}`, number: Number(match[2]), total: Number(match[3]) }];
    }),
    ({ set }) => set,
  );
  return [...sets.values()].every((shards) => new Set(shards.map(({ number }) => number)).size >= shards[0]!.total);
}
