// Owns: what this machine has: memory (the container's limit counts), processors, GPUs, bandwidth, the limit of a device.
// Refuses: deciding what fits; starting anything but short probes.
// Called by: catalog, gateway, training, stack, api and app.
export type { ReadText } from './memory-limit.ts';
export { createMachineMonitor, processMemory } from './monitor/machine-monitor.ts';
export { createMemoryPressure, type MemoryPressure, type PressureSample } from './monitor/memory-pressure.ts';
export type { MachineMonitor, MachineSample } from './monitor/sample.ts';
export { type HardwareSources, memoryTotalBytes, probeHardware } from './probe-hardware.ts';
export type { Gpu, HardwareProfile } from './profile.ts';
