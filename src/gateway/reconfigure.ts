import { companionsOf } from './companions.ts';
import { type GatewayOptions, type GatewaySettings, withDefaults } from './gateway-options.ts';
import { engineOptionsOf, type Resident } from './resident.ts';
import type { RunLoop } from './run-loop.ts';

/** What may change while requests run. */
export type Reconfiguration = Partial<
  Pick<
    GatewayOptions,
    | 'engineOptions'
    | 'contextTokens'
    | 'parallelSequences'
    | 'ttlSeconds'
    | 'maxTokens'
    | 'sampling'
    | 'queueLimit'
    | 'ownerQueueLimit'
    | 'queueWaitMs'
    | 'fairnessMs'
    | 'requestMs'
    | 'progressTimeoutMs'
    | 'drainTimeoutMs'
  >
>;

/** Throws engine_options_invalid; nothing is changed. */
export function checkReconfiguration(settings: GatewaySettings, loop: RunLoop, next: Reconfiguration): void {
  const changed = { ...settings, ...next };
  for (const engine of settings.engines) {
    const sample = { engine, plan: {}, companions: {} };
    engineOptionsOf(withDefaults(changed), sample);
  }
  for (const resident of loop.residents()) engineOptionsOf(withDefaults(changed), resident);
}

/**
 * Puts new values in force: limits and times for the next request. A model whose engine options change lets its running requests end, is
 * unloaded, and is loaded again with the new ones (docs/spec/serving.md §5.4). Settles when all of this is ordered, not when it is done.
 */
export async function reconfigure(settings: GatewaySettings, loop: RunLoop, next: Reconfiguration, signal: AbortSignal): Promise<void> {
  const before = new Map([...loop.residents()].map((resident) => [resident, optionsText(settings, resident)]));
  Object.assign(settings, withDefaults({ ...settings, ...next }));
  for (const resident of loop.residents()) {
    resident.companions = await companionsOf(settings, resident.engine, resident.model);
    // Its memory and time to live may be others now.
    await loop.open(resident.model, resident.plan);
    if (resident.loaded && before.get(resident) !== optionsText(settings, resident)) void loadAgain(loop, resident, signal);
  }
}

const optionsText = (settings: GatewaySettings, resident: Resident): string =>
  JSON.stringify([engineOptionsOf(settings, resident), Object.keys(resident.companions)]);

async function loadAgain(loop: RunLoop, resident: Resident, signal: AbortSignal): Promise<void> {
  await loop.unload(resident, false);
  // What goes wrong is told by the load itself, and again to the next request.
  const lease = await loop.acquire(resident, 0, signal, { patient: true }).catch(() => null);
  lease?.release();
}
