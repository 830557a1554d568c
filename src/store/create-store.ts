import type { HealthData, ListData, PullData, RmData, ShowData } from '../contract/index.ts';
import { type HealthParameters, health } from './health.ts';
import { type ListParameters, list } from './list.ts';
import { type OpenModel, type OpenModelParameters, openModel } from './open-model.ts';
import type { StoreOptions } from './options.ts';
import { type PullParameters, pull } from './pull.ts';
import { type RmParameters, rm } from './rm.ts';
import { type ShowParameters, show } from './show.ts';

/** The model store: each verb takes one object and gives the `data` of its JSON document (contract/store-json.ts). */
export interface Store {
  /** Finds and judges one model for a load. */
  open(parameters: OpenModelParameters): Promise<OpenModel>;
  list(parameters?: ListParameters): Promise<ListData>;
  show(parameters: ShowParameters): Promise<ShowData>;
  health(parameters?: HealthParameters): Promise<HealthData>;
  pull(parameters: PullParameters): Promise<PullData>;
  rm(parameters: RmParameters): Promise<RmData>;
}

export function createStore(options: StoreOptions): Store {
  return {
    open: (parameters) => openModel(options, parameters),
    list: (parameters) => list(options, parameters),
    show: (parameters) => show(options, parameters),
    health: (parameters) => health(options, parameters),
    pull: (parameters) => pull(options, parameters),
    rm: (parameters) => rm(options, parameters),
  };
}
