export { isJsonObject as isObject } from '../../core/index.ts';
