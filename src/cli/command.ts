import { z } from 'zod';
import type { Context } from './context.ts';

/** A positional argument. Its zod schema says whether it is optional; an array schema takes the rest of the words. */
export interface Argument {
  readonly name: string;
  readonly schema: z.ZodType;
}

/** How an option looks on the command line; the rest (type, default, description) is in its schema. */
export interface OptionLook {
  /** One letter: `-f`. */
  readonly short?: string;
  /** Name of the value in help; absent for a switch. */
  readonly value?: string;
  /** Values are collected into an array; one occurrence may take several words. */
  readonly repeatable?: boolean;
  /** Written `--no-NAME`; the property itself keeps its plain name and defaults to true. */
  readonly negated?: boolean;
  /** Accepted, but left out of help. */
  readonly hidden?: boolean;
}

export type Options = Readonly<Record<string, z.ZodType>>;

export interface Command<A = unknown, O extends Options = Options, D = unknown> {
  /** Words after `hearth`: `list`, `config get`. */
  readonly name: string;
  readonly aliases?: readonly string[];
  readonly group: 'Models' | 'Server' | 'Stack' | 'Security' | 'Agents and training';
  readonly summary: string;
  readonly arguments: readonly Argument[];
  readonly options: O;
  /** Known, and answers `not_implemented`; left out of the overview. */
  readonly planned?: boolean;
  /** The verb that is meant when none of its group is named: `bench MODEL` is `bench target MODEL`. */
  readonly isDefault?: boolean;
  /** Name in the JSON envelope when it is not the first word of `name`. */
  readonly envelope?: string;
  /** Does the work and returns what `--json` prints. It never prints by itself, but may stream through `context.output`. */
  readonly run: (context: Context, args: A, options: { readonly [K in keyof O]: z.output<O[K]> }) => Promise<Outcome<D>>;
  /** The same data for people. Absent when everything was streamed. */
  readonly render?: (data: D, context: Context, options: { readonly [K in keyof O]: z.output<O[K]> }) => string;
}

/** `data` alone means exit code 0. */
export interface Outcome<D> {
  readonly data: D;
  /** An exit code other than 0 for a command that did its work (findings, interruption). */
  readonly exitCode?: number;
  /** The command has written its own document or nothing is to be printed. */
  readonly silent?: boolean;
}

const looks = new WeakMap<z.ZodType, OptionLook>();

/** Gives an option's schema its look. */
export function option<S extends z.ZodType>(schema: S, description: string, look: OptionLook = {}): S {
  const described = schema.describe(description) as S;
  looks.set(described, look);
  return described;
}

export const lookOf = (schema: z.ZodType): OptionLook => looks.get(schema) ?? {};

/** A switch that is off unless given. */
export const flag = (description: string, look: OptionLook = {}) => option(z.boolean().default(false), description, look);

/** A switch that is on unless `--no-NAME` is given. */
export const onUnlessNo = (description: string, look: OptionLook = {}) => option(z.boolean().default(true), description, { ...look, negated: true });

export function defineCommand<A, O extends Options, D>(command: Command<A, O, D>): Command {
  return command as unknown as Command;
}
