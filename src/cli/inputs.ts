/** What a command works on: the spec, its providers, and what the flags say of them. */
import { lstatSync } from "node:fs";
import { GroupSyncError } from "../errors.js";
import { GUARDS, type Spec, type SpecProblem } from "../model.js";
import type { GroupProvider } from "../provider.js";
import { builtinProviderTypes } from "../providers/builtin.js";
import { type Allowance, parseAllowance, UNLIFTABLE } from "../reconcile/guard.js";
import { loadSpec } from "../spec/index.js";
import { createSpeller, didYouMean, listSome } from "../spec/problems.js";
import { formatProblem } from "./problem.js";
import type { Session } from "./session.js";

/** Reads the spec that `--config` names, and checks that `--provider` and `--group` are in it. */
export async function readSpec(session: Session): Promise<Spec> {
  const { provider, group } = session.flags;
  const spec = await loadSpecFile(session);
  tellWarnings(spec.warnings, session);
  checkNames(
    "provider",
    provider,
    spec.providers.map(({ id }) => id),
  );
  checkNames("group", group, groupsOf(spec));
  return spec;
}

/** Reads the spec that `--config` names; its warnings are not told. */
export async function loadSpecFile({ flags }: Session): Promise<Spec> {
  if (!lstatSync(flags.config, { throwIfNoEntry: false })) {
    throw new GroupSyncError("spec-invalid", `There is no spec ${flags.config}.`, {
      hint: "Name yours with --config <file>, or write a starter with: group-sync init",
    });
  }
  return loadSpec(flags.config, { providerTypes: builtinProviderTypes });
}

/** One warning is told; several would bury what the command itself has to say. */
function tellWarnings(warnings: readonly SpecProblem[], session: Session): void {
  const { verbose, config } = session.flags;
  if (verbose || warnings.length < 2) for (const warning of warnings) session.say(formatProblem(warning));
  else session.say(`${config}: ${warnings.length} warnings; group-sync validate shows them.`);
}

function groupsOf(spec: Spec): readonly string[] {
  return [...new Set(spec.targets.map(({ group }) => group))];
}

function checkNames(what: "provider" | "group", given: readonly string[] | undefined, known: readonly string[]): void {
  const unknown = given?.find((name) => !known.includes(name));
  if (unknown === undefined) return;
  // Flags that take several names take all that follows.
  const hint = unknown.endsWith(".json")
    ? `If that is a saved plan, name it first: group-sync apply ${unknown} …`
    : `It has: ${listSome(known, 10)}.`;
  const suggestion = didYouMean(unknown, createSpeller(known));
  throw new GroupSyncError("options-invalid", `The spec has no ${what} "${unknown}".${suggestion}`, { hint });
}

/** The providers of the spec, narrowed by `--provider`. */
export function createProviders(spec: Spec, session: Session): readonly GroupProvider[] {
  const wanted = session.flags.provider;
  return spec.providers
    .filter(({ id }) => wanted?.includes(id) ?? true)
    .map(({ id, type, options }) => {
      const providerType = builtinProviderTypes.find((known) => known.type === type);
      if (!providerType) throw new GroupSyncError("options-invalid", `There is no provider type "${type}".`);
      return providerType.create(id, options);
    });
}

/** The acknowledgements of `--allow`. Throws `options-invalid` for an unknown guard or group. */
function readAllowances({ flags }: Session, spec: Spec): readonly Allowance[] {
  const liftable = GUARDS.filter((guard) => !UNLIFTABLE.includes(guard));
  return (flags.allow ?? []).map((text) => {
    const allowance = parseAllowance(text, GUARDS);
    const name = text.split(":")[0] ?? "";
    const refuse = (why: string) => {
      throw new GroupSyncError("options-invalid", `--allow ${text}: ${why}`, {
        hint: `Guards that can be acknowledged: ${liftable.join(", ")}; for one group: ${liftable[0]}:<group>.`,
      });
    };
    if (!allowance) {
      return refuse(
        text.endsWith(":")
          ? "the group is missing after the colon."
          : `there is no such guard.${didYouMean(name, createSpeller(liftable))}`,
      );
    }
    if (UNLIFTABLE.includes(allowance.guard)) return refuse("this guard cannot be acknowledged.");
    if (allowance.group !== undefined) checkNames("group", [allowance.group], groupsOf(spec));
    return allowance;
  });
}

/** What plan and apply are told by the flags. */
export function planOptions(session: Session, spec: Spec) {
  const { provider, group } = session.flags;
  return {
    spec,
    providers: createProviders(spec, session),
    allow: readAllowances(session, spec),
    removals: session.flags.removals !== false,
    only: { ...(provider && { providers: provider }), ...(group && { groups: group }) },
    signal: session.signal,
    onEvent: session.progress.onEvent,
  };
}
