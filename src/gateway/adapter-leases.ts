import { isHearthError } from '../core/index.ts';
import type { AdapterSet } from '../engines/index.ts';

/** Adapters of one loaded model, loaded by the first request that names them. */
export interface AdapterLeases {
  /** Resolves when the adapter is loaded, with the function that ends this use of it. Throws what the engine said. */
  take(name: string): Promise<() => void>;
  /** Names of those that are loaded. */
  loaded(): readonly string[];
  /** Settles when the last answer that uses it has ended; false where it is not loaded. A request that names it afterwards loads it again. */
  unload(name: string): Promise<boolean>;
}

interface Held {
  readonly name: string;
  readonly ready: Promise<unknown>;
  users: number;
  usedAt: number;
  /** Somebody waits for its last user. */
  onFree?: () => void;
}

/** Where no more adapters fit, the one that was idle longest gives way. `onBytes` hears what all of them take together. */
export function createAdapterLeases(adapters: AdapterSet, onBytes: (bytes: number) => void): AdapterLeases {
  const held = new Map<string, Held>();
  /** Memory of each that is loaded. */
  const bytes = new Map<string, number>();
  const tell = (): void => onBytes([...bytes.values()].reduce((sum, one) => sum + one, 0));
  const leaving = new Map<string, Promise<void>>();
  let uses = 0;

  async function drop(one: Held): Promise<void> {
    const { name } = one;
    held.delete(name);
    const { promise, resolve } = Promise.withResolvers<void>();
    leaving.set(name, promise);
    try {
      await one.ready;
      if (one.users > 0)
        await new Promise<void>((free) => {
          one.onFree = free;
        });
      await adapters.unload(name);
    } finally {
      bytes.delete(name);
      leaving.delete(name);
      resolve();
      tell();
    }
  }

  async function load(name: string): Promise<void> {
    for (;;) {
      await leaving.get(name);
      try {
        const { memoryBytes } = await adapters.load(name, name);
        bytes.set(name, memoryBytes);
        tell();
        return;
      } catch (error) {
        const idle = [...held.values()].filter(({ users }) => users === 0).toSorted((x, y) => x.usedAt - y.usedAt)[0];
        if (!isHearthError(error) || error.code !== 'adapter_limit' || idle === undefined) throw error;
        await drop(idle);
      }
    }
  }

  return {
    async take(name) {
      const known = held.get(name);
      const own: Held = known ?? { name, ready: load(name), users: 0, usedAt: 0 };
      held.set(name, own);
      own.users++;
      own.usedAt = ++uses;
      try {
        await own.ready;
      } catch (error) {
        if (held.get(name) === own) held.delete(name);
        throw error;
      }
      let using = true;
      return () => {
        if (!using) return;
        using = false;
        own.users--;
        if (own.users === 0) own.onFree?.();
      };
    },
    loaded: () => [...bytes.keys()].sort(),
    async unload(name) {
      const known = held.get(name);
      if (known === undefined) return false;
      await drop(known);
      return true;
    },
  };
}
