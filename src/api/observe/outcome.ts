import { ERRORS, isErrorCode, type RequestOutcome } from '../../contract/index.ts';

const BY_CODE: Readonly<Record<string, RequestOutcome>> = {
  ok: 'ok',
  client_cancel: 'client_cancel',
  slow_client: 'slow_client',
  client_closed_request: 'client_cancel',
  cancelled: 'client_cancel',
  request_timeout: 'timeout',
  upstream_timeout: 'timeout',
  invalid_api_key: 'rejected_auth',
  permission_denied: 'rejected_auth',
  host_not_allowed: 'rejected_auth',
  origin_not_allowed: 'rejected_auth',
  rate_limit_exceeded: 'rejected_limit',
  insufficient_quota: 'rejected_limit',
  queue_full: 'rejected_overload',
  queue_timeout: 'rejected_overload',
  draining: 'rejected_overload',
  breaker_open: 'rejected_overload',
  no_tier_available: 'rejected_overload',
  memory_budget: 'rejected_memory',
  insufficient_memory: 'rejected_memory',
};

/** How a request ended, in the words of the metrics: by the end of its stream or the code of its error, else by its status. */
export function outcomeOf(end: string | null, status: number): RequestOutcome {
  if (end === null) return status < 400 ? 'ok' : byStatus(status);
  const known = BY_CODE[end];
  if (known !== undefined) return known;
  if (end.startsWith('upstream_')) return 'upstream_error';
  return byStatus(isErrorCode(end) ? ERRORS[end].status : status);
}

function byStatus(status: number): RequestOutcome {
  if (status === 401 || status === 403) return 'rejected_auth';
  if (status === 429) return 'rejected_limit';
  return status < 500 ? 'client_error' : 'engine_error';
}
