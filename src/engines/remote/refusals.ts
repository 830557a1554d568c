import { UpstreamFault } from './fault.ts';

/** 400: the request asks for what this upstream's API has no word for. */
export const unsupported = (param: string, name: string): UpstreamFault =>
  new UpstreamFault(
    'unsupported_parameter',
    `${param} is not supported by the upstream ${name}.`,
    { fallback: false, countsForBreaker: false },
    { details: { param } },
  );

/** 400: media that it does not take. */
export const notTaken = (what: string, name: string): UpstreamFault =>
  new UpstreamFault('capability_mismatch', `The upstream ${name} does not take ${what}.`, { fallback: false, countsForBreaker: false });
