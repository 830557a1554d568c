// Owns: wiring: createHearth is the only place that constructs everything; the daemon: lock, socket, signals.
// Refuses: deciding anything of the domain.
// Called by: cli, bin/hearthd.js.
import type { LoadedConfig } from '../config/index.ts';
import type { ListData } from '../contract/index.ts';
import type { SecurityEvent } from '../core/index.ts';
import type { BillRequest } from './bill-of-materials.ts';
import type { DaemonOptions, DaemonStart } from './daemon/run-daemon.ts';
import type { Hearth, HearthOptions } from './hearth-options.ts';
import type { LimitRow } from './limit-rows.ts';
import type { ListModelsOptions } from './list-models.ts';

export { createDaemonLauncher, type LauncherOptions } from './daemon/launcher.ts';
export type { DaemonOptions, DaemonStart } from './daemon/run-daemon.ts';
export { socketFetch } from './daemon/socket-fetch.ts';
export { socketPath } from './daemon/socket-path.ts';
export type { Hearth, HearthOptions } from './hearth-options.ts';

/** The product in this process. Loaded on use: most commands need only a part of it. */
export async function createHearth(options: HearthOptions): Promise<Hearth> {
  const module = await import('./create-hearth.ts');
  return await module.createHearth(options);
}

export type { HardwareProfile, MachineMonitor, MachineSample } from '../hardware/index.ts';

/** What this machine has, and what it does: for `bench`. */
export async function machine() {
  const { createMachineMonitor, probeHardware, processMemory } = await import('../hardware/index.ts');
  return { monitor: createMachineMonitor(), profile: await probeHardware(), processMemory };
}

/** Memory of the machine, or of the container where that is less, in bytes. */
export async function memoryTotalBytes(): Promise<number> {
  const module = await import('../hardware/index.ts');
  return await module.memoryTotalBytes();
}

/** The list of models alone, without the rest of the product: it starts fast. */
export async function listModels(options: ListModelsOptions): Promise<ListData> {
  const module = await import('./list-models.ts');
  return await module.listModels(options);
}

/** Runs the daemon until it is told to stop. */
export async function runDaemon(options: DaemonOptions): Promise<DaemonStart> {
  const module = await import('./daemon/run-daemon.ts');
  return await module.runDaemon(options);
}

export type { SigningPlaces, SignRequest, VerifyRequest } from './model-signing.ts';

/** Signs and verifies models on this disk. */
export async function modelSigning() {
  const { signModel, verifyModel } = await import('./model-signing.ts');
  return { signModel, verifyModel };
}

/** A key file that the user names; a private key that others may read is refused. */
export async function readKeyFile(path: string): Promise<string> {
  const [{ forbidCoreDumps }, module] = await Promise.all([import('../supervisor/index.ts'), import('../security/index.ts')]);
  await forbidCoreDumps();
  return await module.readKeyFile(path);
}

/** Writes one event into the security log of a home; for what a command does by itself, with no daemon to notice it. */
export async function recordSecurityEvent(home: string, event: SecurityEvent): Promise<void> {
  const { createSecurityLog } = await import('../security/index.ts');
  await using log = createSecurityLog({ home });
  log.record(event);
}

export type { BillRequest } from './bill-of-materials.ts';
export type { DependencyPlaces } from './dependencies.ts';

/** Checks what hearth is made of against known vulnerabilities. */
export async function dependencies() {
  const { checkOwnDependencies, checkLocks, updateVulnerabilities } = await import('./dependencies.ts');
  return { checkOwnDependencies, checkLocks, updateVulnerabilities };
}

/** Writes down what hearth, or a model, is made of. */
export async function billOfMaterials(request: BillRequest): Promise<Readonly<Record<string, unknown>>> {
  const module = await import('./bill-of-materials.ts');
  return await module.billOfMaterials(request);
}

/** The rules of detection, and how well the injection score does. */
export async function detection() {
  const { evaluateInjectionScore, RULES } = await import('../security/index.ts');
  return { rules: Object.entries(RULES).map(([id, rule]) => ({ id, ...rule })), evaluation: evaluateInjectionScore };
}

export type { Finding } from './doctor/finding.ts';

/** What `doctor` looks at on this disk and this machine. */
export async function doctor() {
  const [{ checkDependencyState }, { checkHome }, { checkMachine, hasStaleSocket }, { checkOpenFiles, checkProtection }] = await Promise.all([
    import('./doctor/check-dependency-state.ts'),
    import('./doctor/check-home.ts'),
    import('./doctor/check-machine.ts'),
    import('./doctor/check-protection.ts'),
  ]);
  return { checkDependencyState, checkHome, checkMachine, checkOpenFiles, checkProtection, hasStaleSocket };
}

export type { LimitRow } from './limit-rows.ts';

/** Limits of requests, for `status --limits`. */
export async function requestLimits(loaded: LoadedConfig): Promise<readonly LimitRow[]> {
  const { limitRows } = await import('./limit-rows.ts');
  return limitRows(loaded);
}
