import type { EngineInstalls } from '../api/index.ts';
import type { EngineEntry } from '../contract/index.ts';
import { HearthError } from '../core/index.ts';
import type { Engine, MlxEnvironments } from '../engines/index.ts';

/** What is installed for each engine: mlx has an environment, the others come with hearth. */
export function createEngineInstalls(engines: readonly Engine[], environments: MlxEnvironments): EngineInstalls {
  const deviceOf = async (id: string, signal: AbortSignal): Promise<string | null> =>
    (await engines.find((each) => each.id === id)?.probe(signal))?.device ?? null;
  const mlx = async (signal: AbortSignal): Promise<EngineEntry> => {
    const { state, version, lock, fix } = await environments.state();
    return { id: 'mlx', version, lock, device: state === 'unsupported' ? null : await deviceOf('mlx', signal), state, fix };
  };
  const requireMlx = (id: string): void => {
    if (id === 'mlx') return;
    const known = engines.some((each) => each.id === id);
    throw new HearthError('invalid_value', known ? `The engine ${id} comes with hearth: there is nothing to install.` : `There is no engine ${id}.`, {
      details: { param: 'id' },
    });
  };
  return {
    list: (signal) =>
      Promise.all(
        engines.map(async (engine): Promise<EngineEntry> => {
          if (engine.id === 'mlx') return mlx(signal);
          const { available, version, device, fix } = await engine.probe(signal);
          return { id: engine.id, version, lock: null, device, state: available ? 'ready' : 'unsupported', fix: fix ?? null };
        }),
      ),
    async install(id, { update, offline, onStep, signal }) {
      requireMlx(id);
      if (update && (await environments.state()).state === 'missing')
        throw new HearthError('dependency_missing', 'The engine mlx is not installed. Install it with `hearth engines install mlx`.');
      const { changed } = await environments.install({ onStep, signal, ...(offline === undefined ? {} : { offline }) });
      return { changed, engine: await mlx(signal) };
    },
    async verify(id, signal) {
      requireMlx(id);
      return environments.check(signal);
    },
    async remove(id) {
      requireMlx(id);
      return environments.remove();
    },
  };
}
