import { HearthError } from '../../../core/index.ts';
import type { Ember } from '../../../ember/index.ts';
import { readAdapter } from '../../../formats/index.ts';
import { adapterPath, refuseLinksOut } from '../../model-text/adapter-path.ts';
import type { AdapterReport } from '../../protocol/messages.ts';

/** An adapter in use by one request. */
export interface AdapterUse {
  readonly slot: number;
  readonly scale: number;
  /** Names the loaded adapter and the scale: what was evaluated with another key is of no use. */
  readonly key: string;
  /** The request has left the step loop. May be called more than once. */
  release(): void;
}

export interface Adapters {
  /** `directory` lies in the adapters directory, which is all that this process may read. Throws `adapter_*`, `st_*`, `insufficient_memory`. */
  load(name: string, directory: string): Promise<AdapterReport>;
  /** New requests no longer find it; resolves when the last running one has left it and its memory is free. */
  unload(name: string): Promise<void>;
  list(): AdapterReport[];
  /** Throws adapter_not_found, invalid_value. */
  use(adapter: { readonly name: string; readonly scale: number }): AdapterUse;
  /** Bytes in the ranks' memories. */
  readonly bytes: number;
}

export interface AdaptersOptions {
  readonly ember: Pick<Ember, 'loadAdapter' | 'dropAdapter' | 'adapterBytes'>;
  /** null: this engine was started without one. */
  readonly directory: string | null;
  /** Most that are held at a time. */
  readonly most: number;
}

interface Held {
  readonly slot: number;
  readonly report: AdapterReport;
  /** Of this load: a name may come again with other numbers. */
  readonly serial: number;
  users: number;
  /** Set when it is being unloaded. */
  whenUnused: (() => void) | null;
}

/** The adapters of a loaded model, by name. */
export function createAdapters({ ember, directory, most }: AdaptersOptions): Adapters {
  const byName = new Map<string, Held>();
  /** Slots that are taken, those of adapters on their way in or out among them. */
  const slots = new Set<number>();
  const loading = new Set<string>();
  let serials = 0;

  async function load(name: string, own: string): Promise<AdapterReport> {
    if (byName.has(name) || loading.has(name)) throw new HearthError('invalid_value', `An adapter named ${name} is loaded already.`);
    const path = adapterPath(directory, own);
    const slot = Array.from({ length: most }, (_, i) => i).find((i) => !slots.has(i));
    if (slot === undefined)
      throw new HearthError('adapter_limit', `${most} adapters are loaded, which is the most: ${[...byName.keys()].join(', ')}. Unload one of them first.`);
    slots.add(slot);
    loading.add(name);
    try {
      const startedAt = performance.now();
      const before = ember.adapterBytes;
      await refuseLinksOut(directory!, own, path);
      const adapter = await readAdapter(path);
      await ember.loadAdapter(slot, adapter);
      const ranks = adapter.kind === 'full' ? [] : [...adapter.modules.values()].map(({ rank }) => rank);
      const report: AdapterReport = {
        name,
        kind: adapter.kind === 'dora' ? 'dora' : 'lora',
        rank: Math.max(0, ...ranks),
        modules: ranks.length,
        fileBytes: adapter.fileBytes,
        memoryBytes: Math.max(0, ember.adapterBytes - before),
        loadMs: performance.now() - startedAt,
      };
      byName.set(name, { slot, report, serial: serials++, users: 0, whenUnused: null });
      return report;
    } catch (error) {
      slots.delete(slot);
      throw error;
    } finally {
      loading.delete(name);
    }
  }

  async function unload(name: string): Promise<void> {
    const held = find(byName, name);
    byName.delete(name);
    if (held.users > 0)
      await new Promise<void>((done) => {
        held.whenUnused = done;
      });
    await ember.dropAdapter(held.slot);
    slots.delete(held.slot);
  }

  return {
    load,
    unload,
    list: () => [...byName.values()].map(({ report }) => report),
    use({ name, scale }) {
      if (!(scale >= 0 && scale <= 2)) throw new HearthError('invalid_value', `adapter_scale is ${scale}; 0 to 2 is allowed.`);
      const held = find(byName, name);
      held.users++;
      let released = false;
      return {
        slot: held.slot,
        scale,
        key: `${held.serial} ${scale}`,
        release() {
          if (released) return;
          released = true;
          held.users--;
          if (held.users === 0) held.whenUnused?.();
        },
      };
    },
    get bytes() {
      return ember.adapterBytes;
    },
  };
}

function find(byName: ReadonlyMap<string, Held>, name: string): Held {
  const held = byName.get(name);
  if (held) return held;
  const there = [...byName.keys()].join(', ');
  throw new HearthError('adapter_not_found', `No adapter named ${name} is loaded${there === '' ? '' : `; loaded are ${there}`}.`);
}
