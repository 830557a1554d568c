import type { Command } from '../../../command.ts';
import { benchMonitorCommand } from './monitor.ts';
import { benchPlotCommand } from './plot.ts';
import { benchReportCommand, benchValidateCommand } from './report.ts';
import { benchRunCommand } from './run.ts';
import { benchTargetCommand } from './target.ts';

/** `hearth bench …` (docs/spec/store.md §12). */
export const BENCH_COMMANDS: readonly Command[] = [
  benchTargetCommand,
  benchRunCommand,
  benchValidateCommand,
  benchReportCommand,
  benchMonitorCommand,
  benchPlotCommand,
];
