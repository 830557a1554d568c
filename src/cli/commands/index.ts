import type { Command } from '../command.ts';
import { BENCH_COMMANDS } from './models/bench/index.ts';
import { cloneCommand } from './models/clone.ts';
import { convertCommand } from './models/convert.ts';
import { embedCommand } from './models/embed.ts';
import { healthCommand } from './models/health.ts';
import { listCommand } from './models/list.ts';
import { pullCommand } from './models/pull.ts';
import { pushCommand } from './models/push.ts';
import { rmCommand } from './models/rm.ts';
import { runCommand } from './models/run.ts';
import { showCommand } from './models/show.ts';
import { versionCommand } from './models/version.ts';
import { PLANNED } from './planned.ts';
import { ALERT_COMMANDS } from './security/alerts.ts';
import { AUDIT_COMMANDS } from './security/audit.ts';
import { DEPENDENCY_COMMANDS } from './security/deps.ts';
import { API_KEY_COMMANDS } from './security/keys-api.ts';
import { sbomCommand } from './security/sbom.ts';
import { signCommand } from './security/sign.ts';
import { SIGNING_KEY_COMMANDS } from './security/signing-keys.ts';
import { TRUST_COMMANDS } from './security/trust.ts';
import { verifyCommand } from './security/verify.ts';
import { serveCommand } from './server/serve.ts';
import { catalogCommand } from './stack/catalog.ts';
import { completionCommand } from './stack/completion.ts';
import { CONFIG_COMMANDS } from './stack/config.ts';
import { doctorCommand } from './stack/doctor.ts';
import { downCommand } from './stack/down.ts';
import { ENGINE_COMMANDS } from './stack/engines.ts';
import { logsCommand } from './stack/logs.ts';
import { statusCommand } from './stack/status.ts';
import { upCommand } from './stack/up.ts';

/** Every verb, in the order of the overview. */
export const COMMANDS: readonly Command[] = [
  runCommand,
  embedCommand,
  listCommand,
  showCommand,
  healthCommand,
  pullCommand(() => COMMANDS),
  rmCommand,
  cloneCommand,
  convertCommand,
  pushCommand,
  ...BENCH_COMMANDS,
  versionCommand,
  serveCommand,
  upCommand,
  downCommand,
  statusCommand,
  doctorCommand,
  logsCommand,
  catalogCommand,
  ...CONFIG_COMMANDS,
  ...ENGINE_COMMANDS,
  signCommand,
  verifyCommand,
  ...TRUST_COMMANDS,
  ...SIGNING_KEY_COMMANDS,
  ...API_KEY_COMMANDS,
  ...AUDIT_COMMANDS,
  ...ALERT_COMMANDS,
  ...DEPENDENCY_COMMANDS,
  sbomCommand,
  completionCommand(() => COMMANDS),
  ...PLANNED,
];
