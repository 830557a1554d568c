import { ADAPTER_FILE_CODES, CHECKPOINT_CODES, GGUF_CODES, SAFETENSORS_CODES } from './parser-codes.ts';

/** One row of the error table. */
export interface ErrorRow {
  /** HTTP status. */
  readonly status: number;
  /** Exit code of the command line (docs/spec/stack.md §10). */
  readonly exitCode: number;
  /** Whether the same request may succeed later without a change. */
  readonly retryable: boolean;
  /** The next step, in one sentence. */
  readonly hint: string;
  /** `error.type` of the JSON envelope where the published spelling differs from the code (docs/spec/store.md §2). */
  readonly type?: string;
}

const row = (status: number, exitCode: number, hint: string, extra: { retryable?: boolean; type?: string } = {}): ErrorRow => ({
  status,
  exitCode,
  retryable: extra.retryable ?? false,
  hint,
  ...(extra.type === undefined ? {} : { type: extra.type }),
});
const again = { retryable: true };

const REFUSED_FILE = 'The file breaks its format. Pull the model again, or take it from another source.';
const fileRows = Object.fromEntries([...SAFETENSORS_CODES, ...GGUF_CODES].map((code) => [code, row(422, 1, REFUSED_FILE)])) as Record<
  (typeof SAFETENSORS_CODES)[number] | (typeof GGUF_CODES)[number],
  ErrorRow
>;
const checkpointRows = Object.fromEntries(
  CHECKPOINT_CODES.map((code) => [code, row(422, 1, 'This model cannot be used as it is. `hearth show <model>` tells what hearth sees in it.')]),
) as Record<(typeof CHECKPOINT_CODES)[number], ErrorRow>;

const adapterRows = Object.fromEntries(
  ADAPTER_FILE_CODES.map((code) => [code, row(422, 1, 'Take the adapter from its source again, or write it once more with the tool that trained it.')]),
) as Record<(typeof ADAPTER_FILE_CODES)[number], ErrorRow>;

/**
 * The one table of error codes: what each means over HTTP, at the command line, and what to do next.
 * A code is never reused. docs/errors.md is printed from this table.
 */
export const ERRORS = {
  // Requests (docs/spec/serving.md §2.2)
  invalid_value: row(400, 1, 'Correct the field that the message names.', { type: 'ValidationError' }),
  invalid_json: row(400, 1, 'Send one JSON object as the body.'),
  invalid_json_schema: row(400, 1, 'Remove the keyword that the message names from the schema.'),
  unsupported_parameter: row(400, 1, 'Leave the named parameter out; the model or engine cannot honour it.'),
  context_length_exceeded: row(400, 1, 'Shorten the prompt, or load the model with a larger context.'),
  ambiguous_match: row(400, 1, 'Type more of the name; the matches are listed.'),
  capability_mismatch: row(400, 1, 'Choose a model that has the capability; `hearth show <model>` lists them.'),
  not_an_embedder: row(400, 1, 'Choose an embedding model; `hearth list` shows the type of each.'),
  embedding_failed: row(500, 1, 'Run again with `--log-level debug` for more.'),
  template_limit: row(400, 1, 'The chat template of this model could not be rendered within its limits.'),
  invalid_api_key: row(401, 1, 'Send a valid key as `Authorization: Bearer`.'),
  api_key_not_found: row(404, 1, '`hearth keys api list` shows the ids of all keys.'),
  permission_denied: row(403, 3, 'Check who owns the file or directory that the message names.'),
  host_not_allowed: row(403, 1, 'Use the address that hearth listens on, or add the name to `access.hosts`.'),
  origin_not_allowed: row(403, 1, 'Add the origin to `access.origins` if this page may use hearth.'),
  secret_in_answer: row(403, 1, 'The answer was cut, because it held a secret of this server; `hearth audit alerts` tells which.'),
  model_refused: row(403, 1, 'The model is refused by policy; `hearth trust explain <model>` tells why.'),
  previous_response_not_found: row(400, 1, 'Send the whole conversation; answers are kept for an hour, by key.'),
  response_not_found: row(404, 1, 'Answers are kept for an hour, by key, where `store` is not false.'),
  trust_tampered: row(403, 1, 'Look at the file that the message names; `hearth trust seal` accepts it as it is.'),
  signing_key_not_found: row(404, 1, '`hearth keys list` shows the signing keys.'),
  model_not_found: row(404, 1, '`hearth list --all` shows what is here; `hearth pull <model>` fetches one.'),
  alert_not_found: row(404, 1, '`hearth audit alerts` shows the ids of open alerts and of silences.'),
  prompt_refused: row(400, 1, 'The text looks like an attempt to take over the model; `security.injection.block` refuses such requests.'),
  capture_not_found: row(404, 1, '`GET /admin/v1/captures` lists those that are kept; they go after a day.'),
  request_not_found: row(404, 1, '`GET /admin/v1/requests` lists the requests that wait or run.'),
  route_not_found: row(404, 1, 'docs/openapi.json lists the routes.'),
  method_not_allowed: row(405, 1, 'docs/openapi.json lists the methods of each route.'),
  operation_in_progress: row(409, 1, 'Wait for the running operation to end.', again),
  locked: row(409, 1, 'Another hearth process holds the lock; the message names it.', again),
  request_too_large: row(413, 1, 'Send a smaller body.'),
  url_too_long: row(414, 1, 'Send a shorter URL.'),
  translation_unsupported: row(422, 1, 'Choose a model with the capability audio-translate-en; `hearth show <model>` lists them.'),
  unsupported_media_type: row(415, 1, 'Send `content-type: application/json`.'),
  expectation_failed: row(417, 1, 'Leave out the header Expect, or send `Expect: 100-continue`.'),
  headers_too_large: row(431, 1, 'Send fewer or shorter headers.'),
  rate_limit_exceeded: row(429, 1, 'Wait as long as Retry-After says.', again),
  insufficient_quota: row(429, 1, 'The budget is spent; Retry-After says when its time begins again.'),
  queue_full: row(503, 1, 'Try again in a moment.', again),
  queue_timeout: row(503, 1, 'Try again in a moment, or raise `gateway.queueWaitMs`.', again),
  memory_budget: row(503, 1, 'Unload another model, or try again when it is idle.', again),
  engine_killed: row(503, 1, 'The engine went over its limit and was ended; try again.', again),
  draining: row(503, 1, 'The server is stopping; try again after its restart.', again),
  breaker_open: row(503, 1, 'The model crashed three times in ten minutes; its log tells why.', again),
  no_tier_available: row(503, 1, 'Try again in a moment; the message tells why each target of the route was passed over.', again),
  state_store_unavailable: row(503, 1, 'Check that the Redis server of `stateStore` runs and answers within 50 ms.', again),
  insufficient_memory: row(507, 1, 'Choose a smaller model or a lower precision.'),
  engine_crashed: row(500, 1, 'Try again; if it happens again, report the log of the engine.', again),
  model_load_failed: row(500, 1, '`hearth show <model>` tells what hearth sees in the model.'),
  internal_error: row(500, 1, 'This is a fault in hearth. Please report it with the request id.', { type: 'InternalError' }),
  not_implemented: row(501, 1, 'This version cannot do it yet; CHANGELOG.md says what it can.'),
  dependency_missing: row(501, 1, 'Install what the message names.'),
  upstream_not_found: row(404, 1, '`remotes` in the configuration names the upstreams.'),
  upstream_unreachable: row(502, 1, 'Check that the server that the message names runs and answers.', again),
  upstream_unauthorized: row(401, 1, 'Check the key of the remote that the message names.'),
  upstream_refused: row(422, 1, 'The server that the message names does not take this request; the message says why.'),
  upstream_error: row(500, 1, 'Try again later; the message is that of the server behind the model.'),
  upstream_overloaded: row(503, 1, 'Wait as long as Retry-After says; the server behind the model is busy.', again),
  upstream_malformed: row(502, 1, 'The server behind the model sent something that its API does not allow; look at its log.'),
  upstream_truncated: row(502, 1, 'The answer broke off; look at the log of the server that the message names.', again),
  upstream_empty: row(502, 1, 'The server behind the model answered with nothing; look at its log.', again),
  upstream_event_too_large: row(502, 1, 'The server behind the model sent an event over the limit; look at its log.'),
  upstream_wrong_type: row(502, 1, 'Check `baseUrl` of the remote that the message names: it may be no API but a page.'),
  upstream_timeout: row(504, 1, 'Try again; if it happens again, look at the server that the message names.', again),
  request_timeout: row(504, 1, 'Ask for less, or raise `gateway.requestMs`.', again),

  // Store and hub (docs/spec/store.md §2)
  usage: row(400, 2, '`hearth <command> --help` shows the arguments.', { type: 'CommandError' }),
  invalid_argument: row(400, 1, '`hearth <command> --help` shows what fits together.', { type: 'InvalidArgumentError' }),
  invalid_name: row(400, 1, 'A name is `org/name`, with `:VARIANT` and `@REVISION` where needed.', { type: 'ValidationError' }),
  model_not_cached: row(404, 1, '`hearth pull <model>` fetches it.'),
  hash_not_found: row(404, 1, 'The revisions that are here are listed.'),
  snapshots_not_found: row(404, 1, '`hearth pull <model>` fetches the files again.'),
  cache_not_found: row(404, 1, '`hearth pull <model>` makes the cache with its first model.'),
  access_denied: row(403, 1, 'Accept the licence on the model page and set HF_TOKEN, or choose an open model.'),
  invalid_target: row(409, 1, 'Choose another target; it must not be there yet, or be an empty directory outside any model cache.', {
    type: 'InvalidTargetError',
  }),
  workspace_home_missing: row(400, 1, 'Name a target directory, or set `workspaces.home` (HEARTH_WORKSPACE_HOME) to an existing directory.', {
    type: 'ValidationError',
  }),
  clone_failed: row(500, 3, 'Run the same command again; what was fetched is kept.', { retryable: true, type: 'CloneFailedError' }),
  conversion_failed: row(422, 1, 'The source was not changed; the message says what cannot be converted.'),
  converted_unhealthy: row(422, 1, '`hearth health <target>` checks it again; --skip-health leaves the check out.', { type: 'HealthCheckFailed' }),
  unsupported_multimodal: row(400, 1, 'Quantise a text model, or one of the types that the message lists.'),
  workspace_model: row(409, 1, 'Delete the directory yourself if it is not needed.'),
  locks_present: row(409, 1, 'Wait for the download to end, or use --force.', again),
  requires_confirmation: row(409, 1, 'Confirm it with the option that the message names.'),
  variant_required: row(400, 1, 'Name one as `NAME:VARIANT`; the variants are listed.', { type: 'ValidationError' }),
  execution_error: row(500, 1, 'Run again with `--log-level debug` for more.'),
  show_operation_failed: row(500, 1, 'Run again with `--log-level debug` for more.'),
  pull_operation_failed: row(500, 1, 'Run the same command again; what was fetched is kept.', again),
  download_failed: row(502, 2, 'Check the network, then run the same command again; what was fetched is kept.', again),
  hub_unreachable: row(502, 2, 'Check the network or HF_ENDPOINT, or give hearth a local folder or GGUF file instead.', {
    retryable: true,
    type: 'download_failed',
  }),
  checksum_mismatch: row(502, 2, 'The bytes differ from what the hub lists; nothing was kept. Pull again.', { retryable: true, type: 'download_failed' }),
  offline: row(503, 2, 'HF_HUB_OFFLINE is set; unset it to use the hub.'),
  name_refused: row(422, 1, 'The repository or archive names files that must not be written; take the model from another source.'),
  repo_not_found: row(404, 2, 'Check the name on the hub.'),
  auth_error: row(401, 1, 'Make a token with write access in the settings of your account on the hub, and put it into the variable HF_TOKEN.'),
  repo_not_private: row(403, 1, 'Make the repository private in its settings, or choose another; hearth pushes to private ones only.'),
  push_refused: row(403, 1, 'Take the named files out of the folder, or leave them out with lines in .hfignore.'),
  push_conflict: row(409, 2, 'Somebody else wrote to the branch; run the same command again.', { retryable: true, type: 'upload_failed' }),
  push_operation_failed: row(500, 1, 'Run the same command again; what is on the hub is not sent again.', again),
  upload_failed: row(502, 2, 'Run the same command again; what is on the hub is not sent again.', again),
  branch_create_failed: row(502, 2, 'Make the branch on the hub, or push to one that exists.'),
  workspace_not_found: row(404, 1, 'Name a directory that exists, or the beginning of the path of one workspace.'),
  ambiguous_workspace: row(400, 1, 'Type more of the path; the matches are listed.'),
  insufficient_space: row(507, 3, 'Free some space on the file system that the message names, then run the command again.'),
  deletion_failed: row(500, 3, 'Check who owns the files.'),
  file_system_error: row(500, 3, 'The message names the file and what the system said.', { type: 'execution_error' }),
  cancelled: row(499, 130, 'Run the command again to go on.', { type: 'UserCancelledError' }),
  client_closed_request: row(499, 130, 'The client went away before the answer.'),

  // Daemon, home, config (docs/spec/stack.md)
  config_invalid: row(400, 1, 'Correct the lines that the message names; `hearth config path` tells where the file is.'),
  home_not_owned: row(403, 1, 'Set HEARTH_HOME to a directory that belongs to you.'),
  unsafe_path: row(403, 1, 'Remove the link or special file that the message names.'),
  port_in_use: row(409, 1, 'Choose another with --port, or stop the program that the message names.'),
  bind_without_auth: row(403, 1, 'Listen on 127.0.0.1, or make a key first.'),
  daemon_start_failed: row(500, 1, 'The log names the reason: `hearth logs hearthd`.', again),
  service_not_found: row(404, 1, '`hearth logs` lists what has a log.'),
  daemon_version_mismatch: row(409, 1, 'Restart the daemon: `hearth down --daemon`, then the command again.'),
  sandbox_unavailable: row(503, 1, 'Install bubblewrap (`bwrap`), or set `security.sandbox` to auto.'),
  engine_options_invalid: row(400, 1, 'Remove or correct the option that the message names.'),
  server_unreachable: row(502, 1, 'Check that the server runs: `hearth serve` starts one.', again),
  engine_tampered: row(409, 1, 'Remove the environment and install it again: `hearth engines remove mlx`, `hearth engines install mlx`.'),
  dependency_check_failed: row(502, 1, 'Check the network, or use a database on this disk: `hearth deps update` imports one.', again),
  engine_install_failed: row(502, 1, 'The message tells what went wrong; the same command again starts over.', again),
  engine_protocol: row(500, 1, 'The engine process sent something that is not its protocol and was ended.', again),

  // Signing (docs/spec/security.md §1, §2)
  sig_key_type: row(422, 1, 'Sign with an EC key on P-256, P-384 or P-521; `openssl ecparam -name prime256v1 -genkey -noout` makes one.'),
  cert_chain: row(422, 1, 'Give one PEM file with the certificate of the key first, then those that issued it.'),
  passphrase_wrong: row(403, 1, 'Type the passphrase again, or name where it is with --passphrase-fd or --passphrase-env.'),
  token_unavailable: row(503, 1, 'Check the PKCS#11 URI: module, token, object and PIN.'),

  // Adapters (docs/spec/agents-training.md §10)
  adapter_not_found: row(404, 1, 'Load the adapter first; the message names those that are there.'),
  adapter_conflict: row(400, 1, 'Name the adapter in one place: behind `+` in the name of the model, or in the field `adapter`.'),
  adapter_base_mismatch: row(409, 1, 'Use the base model that the adapter was trained on.'),
  adapter_kind_unsupported: row(400, 1, 'Fuse the adapter into its base model, or keep it in a format that can hold it.'),
  adapter_limit: row(409, 1, 'Unload an adapter that is not needed, or raise `adapters.maxResident`.', again),

  ...fileRows,
  ...checkpointRows,
  ...adapterRows,
} as const satisfies Record<string, ErrorRow>;

export type ErrorCode = keyof typeof ERRORS;

export const isErrorCode = (value: string): value is ErrorCode => Object.hasOwn(ERRORS, value);
