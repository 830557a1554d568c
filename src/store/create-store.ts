import type { CloneData, ConvertData, HealthData, ListData, PullData, PushData, RmData, ShowData } from '../contract/index.ts';
import { type CloneParameters, clone } from './clone.ts';
import { type ConvertParameters, convert } from './convert.ts';
import { type HealthParameters, health } from './health.ts';
import { type ListParameters, list } from './list.ts';
import { type OpenModel, type OpenModelParameters, openModel } from './open-model.ts';
import type { StoreOptions } from './options.ts';
import { type PullParameters, pull } from './pull.ts';
import { push } from './push/push.ts';
import type { PushParameters } from './push/push-run.ts';
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
  push(parameters: PushParameters): Promise<PushData>;
  clone(parameters: CloneParameters): Promise<CloneData>;
  convert(parameters: ConvertParameters): Promise<ConvertData>;
}

export function createStore(options: StoreOptions): Store {
  return {
    open: (parameters) => openModel(options, parameters),
    list: (parameters) => list(options, parameters),
    show: (parameters) => show(options, parameters),
    health: (parameters) => health(options, parameters),
    pull: (parameters) => pull(options, parameters),
    rm: (parameters) => rm(options, parameters),
    push: (parameters) => push(options, parameters),
    clone: (parameters) => clone(options, parameters),
    convert: (parameters) => convert(options, parameters),
  };
}
