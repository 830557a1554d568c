import { type EngineEntry, endpoints } from '../../contract/index.ts';
import { HearthError } from '../../core/index.ts';
import type { Frame } from '../../gateway/index.ts';
import { streamedFrames } from '../answer-response.ts';
import type { CallContext, Handler } from '../bind.ts';
import type { Services } from '../services.ts';
import { OPENAI_EVENTS } from '../sse-dialect.ts';

/** What is installed for engines; app has the real one. */
export interface EngineInstalls {
  list(signal: AbortSignal): Promise<readonly EngineEntry[]>;
  /** `update`: only what is there already. Throws invalid_value for an engine that needs no installation. */
  install(id: string, how: EngineInstallOptions): Promise<{ readonly changed: boolean; readonly engine: EngineEntry }>;
  verify(id: string, signal: AbortSignal): Promise<readonly string[]>;
  /** false: there was nothing. */
  remove(id: string): Promise<boolean>;
}

export interface EngineInstallOptions {
  readonly update: boolean;
  readonly offline?: string;
  readonly onStep: (step: number, steps: number, message: string) => void;
  readonly signal: AbortSignal;
}

const refuse = (): never => {
  throw new HearthError('not_implemented', 'This process manages no engines.');
};
export const NO_ENGINE_INSTALLS: EngineInstalls = { list: async () => [], install: refuse, verify: refuse, remove: refuse };

const enginesHandler =
  ({ engines }: Services): Handler<typeof endpoints.engines> =>
  async (_, { signal }) => ({ engines: [...(await engines.list(signal))] });

const engineVerifyHandler =
  ({ engines }: Services): Handler<typeof endpoints.engineVerify> =>
  async ({ params }, { signal }) => {
    const problems = await engines.verify(params.id, signal);
    return { id: params.id, intact: problems.length === 0, problems: [...problems] };
  };

const engineRemoveHandler =
  ({ engines, gateway }: Services): Handler<typeof endpoints.engineRemove> =>
  async ({ params }) => {
    const user = gateway.snapshot().models.find((model) => model.engine === params.id && model.pid !== null);
    if (user !== undefined) throw new HearthError('operation_in_progress', `The model ${user.id} runs on ${params.id}; unload it first.`);
    return { id: params.id, removed: await engines.remove(params.id) };
  };

interface InstallInput {
  readonly params: { readonly id: string };
  readonly body: { readonly offline?: string | undefined };
}

type InstallEvent =
  | { readonly kind: 'progress'; readonly step: number; readonly steps: number; readonly message: string }
  | { readonly kind: 'result'; readonly changed: boolean; readonly engine: EngineEntry };

/** Steps as they come, the newest one where the reader is slow, the result as the last event. */
const engineInstallHandler =
  (services: Services, update: boolean) =>
  async ({ params, body }: InstallInput, context: CallContext): Promise<Response> => {
    const gone = new AbortController();
    async function* frames(): AsyncGenerator<Frame<InstallEvent>, void> {
      let newest: InstallEvent | null = null;
      let wake = Promise.withResolvers<void>();
      let done = false;
      const installing = services.engines.install(params.id, {
        update,
        ...(body.offline === undefined ? {} : { offline: body.offline }),
        onStep(step, steps, message) {
          newest = { kind: 'progress', step, steps, message };
          wake.resolve();
        },
        signal: AbortSignal.any([context.signal, gone.signal]),
      });
      const ended = (): void => {
        done = true;
        wake.resolve();
      };
      installing.then(ended, ended);
      while (!done || newest !== null) {
        await wake.promise;
        wake = Promise.withResolvers<void>();
        if (done) wake.resolve();
        const event: InstallEvent | null = newest;
        newest = null;
        if (event !== null) yield { kind: 'data', data: event };
      }
      yield { kind: 'data', data: { kind: 'result', ...(await installing) } };
    }
    return await streamedFrames(services, context, { frames: frames(), gone, dialect: OPENAI_EVENTS });
  };

type Bind = <E extends (typeof endpoints)[keyof typeof endpoints]>(endpoint: E, handler: Handler<E>) => void;

export function bindEngines(on: Bind, services: Services): void {
  on(endpoints.engines, enginesHandler(services));
  on(endpoints.engineInstall, engineInstallHandler(services, false));
  on(endpoints.engineUpdate, engineInstallHandler(services, true));
  on(endpoints.engineVerify, engineVerifyHandler(services));
  on(endpoints.engineRemove, engineRemoveHandler(services));
}
