import type { CloneData, ConvertData, HealthData, ListData, PullData, PushData, RmData, ShowData } from '../contract/index.ts';
import type { CloneParameters } from './clone.ts';
import type { ConvertParameters } from './convert.ts';
import type { HealthParameters } from './health.ts';
import type { ListParameters } from './list.ts';
import type { OpenModel, OpenModelParameters } from './open-model.ts';
import type { StoreOptions } from './options.ts';
import type { PullParameters } from './pull.ts';
import type { PushParameters } from './push/push-run.ts';
import type { RmParameters } from './rm.ts';
import type { ShowParameters } from './show.ts';

/** The model store: each verb takes one object and gives the `data` of its JSON document (contract/store-json.ts). */
export interface Store {
  /** Finds and judges one model for a load. */
  open(parameters: OpenModelParameters): Promise<OpenModel>;
  list(parameters?: ListParameters): Promise<ListData>;
  show(parameters: ShowParameters): Promise<ShowData>;
  health(parameters?: HealthParameters): Promise<HealthData>;
  pull(parameters: PullParameters): Promise<PullData>;
  rm(parameters: RmParameters): Promise<RmData>;
  push(parameters: PushParameters): Promise<PushData>;
  clone(parameters: CloneParameters): Promise<CloneData>;
  convert(parameters: ConvertParameters): Promise<ConvertData>;
}

/** Each verb is loaded when it is first used: a list needs neither the hub client nor the converters. */
export function createStore(options: StoreOptions): Store {
  return {
    open: async (parameters) => (await import('./open-model.ts')).openModel(options, parameters),
    list: async (parameters) => (await import('./list.ts')).list(options, parameters),
    show: async (parameters) => (await import('./show.ts')).show(options, parameters),
    health: async (parameters) => (await import('./health.ts')).health(options, parameters),
    pull: async (parameters) => (await import('./pull.ts')).pull(options, parameters),
    rm: async (parameters) => (await import('./rm.ts')).rm(options, parameters),
    push: async (parameters) => (await import('./push/push.ts')).push(options, parameters),
    clone: async (parameters) => (await import('./clone.ts')).clone(options, parameters),
    convert: async (parameters) => (await import('./convert.ts')).convert(options, parameters),
  };
}
