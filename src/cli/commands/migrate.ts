import { renderCount } from "../../collections.js";
import { GroupSyncError } from "../../errors.js";
import { ROLES, type Role, type Spec } from "../../model.js";
import type { GroupProvider } from "../../provider.js";
import {
  type MigrationOptions,
  type MigrationProposal,
  migrate,
  proposeMigration,
  readMigration,
  renderLosses,
} from "../../migrate/transfer.js";
import { parseWorksheet, renderWorksheet, type Worksheet } from "../../migrate/worksheet.js";
import { viewPlan, viewReport } from "../../report/model.js";
import { renderText } from "../../report/text.js";
import { brokenProviders, exitCodeOfPlan, exitCodeOfReport } from "../exit.js";
import { mustBeWritable, readText, writeText } from "../files.js";
import { createProviders, readSpec } from "../inputs.js";
import { type CommonFlags, configFlag, type Session } from "../session.js";
import { confirm, mustBeAbleToAsk, saveReport } from "./apply.js";
import { textOptions } from "./plan.js";

/** Flags of `migrate`. */
export interface MigrateFlags extends CommonFlags {
  readonly from: string;
  readonly to: string;
  readonly active?: boolean;
  readonly map?: string;
  readonly worksheet?: string;
  readonly role?: readonly string[];
  readonly dryRun?: boolean;
  readonly yes?: boolean;
  readonly force?: boolean;
  readonly report?: string;
}

/** `migrate --from X --to Y`: brings the groups of one provider to another. */
export async function runMigrate(session: Session, flags: MigrateFlags): Promise<number> {
  if (flags.worksheet === undefined && !flags.dryRun) {
    mustBeAbleToAsk(flags, "Look at it first with --dry-run, then migrate with --yes.");
  }
  await mustBeWritable(flags.worksheet);
  await mustBeWritable(flags.report);
  const options = await readOptions(session, flags);
  if (flags.worksheet !== undefined) return writeWorksheet(flags.worksheet, options, session, flags);
  if (flags.dryRun) {
    const proposal = await proposeMigration(options);
    session.progress.stop();
    if (flags.json) session.json({ ...proposal.plan, ...machinePart(proposal) });
    else {
      session.result(describe(proposal, flags));
      session.result(renderText(viewPlan(proposal.plan), textOptions(flags, session)));
    }
    brokenProviders(proposal.plan.providers).forEach(session.say);
    return exitCodeOfPlan(proposal.plan);
  }
  const { report, ...proposal } = await migrate({
    ...options,
    confirm: async (proposed) => {
      session.progress.stop();
      // Beside the report, which alone is the result.
      session.say(describe(proposed, flags).trimEnd());
      return flags.yes === true || confirm(proposed.plan, session, flags);
    },
  });
  session.progress.stop();
  if (!report) return exitCodeOfPlan(proposal.plan);
  if (flags.json) {
    session.json({ ...report, ...machinePart(proposal) });
    brokenProviders(report.providers).forEach(session.say);
  } else session.result(renderText(viewReport(report), textOptions(flags, session)));
  await saveReport({ ...report, ...machinePart(proposal) }, session, flags);
  return exitCodeOfReport(report);
}

async function readOptions(session: Session, flags: MigrateFlags): Promise<MigrationOptions> {
  // `--group` names groups at the source here, not of the spec.
  const { group: _groupsThere, ...common } = session.flags;
  const narrowed: Session = { ...session, flags: { ...common, provider: [flags.from, flags.to] } };
  const spec = await readSpec(narrowed);
  const providers = createProviders(spec, narrowed);
  return {
    from: pick(flags.from, providers),
    to: pick(flags.to, providers),
    people: Object.values(spec.people),
    guards: guardsOf(spec, flags.to),
    roles: readRoles(flags.role ?? []),
    active: flags.active === true,
    signal: session.signal,
    onEvent: session.progress.onEvent,
    ...(flags.group && { groups: flags.group }),
    ...(flags.map !== undefined && { worksheet: await readWorksheet(flags.map, flags) }),
  };
}

function pick(id: string, providers: readonly GroupProvider[]): GroupProvider {
  const found = providers.find((provider) => provider.id === id);
  if (!found) throw new GroupSyncError("options-invalid", `The spec has no provider "${id}".`);
  return found;
}

function guardsOf(spec: Spec, provider: string) {
  return spec.providers.find(({ id }) => id === provider)?.guards ?? spec.guards;
}

async function readWorksheet(file: string, { from, to }: MigrateFlags): Promise<Worksheet> {
  return parseWorksheet(await readText(file), { from, to, file });
}

function readRoles(texts: readonly string[]): Readonly<Partial<Record<Role, Role>>> {
  const isRole = (word: string | undefined): word is Role => ROLES.some((role) => role === word);
  return Object.fromEntries(
    texts.map((text) => {
      const [before, after, more] = text.split("=");
      if (isRole(before) && isRole(after) && more === undefined) return [before, after];
      throw new GroupSyncError("options-invalid", `--role ${text}: write two roles, such as manager=owner.`, {
        hint: `Roles: ${ROLES.join(", ")}.`,
      });
    }),
  );
}

async function writeWorksheet(
  file: string,
  options: MigrationOptions,
  session: Session,
  flags: MigrateFlags,
): Promise<number> {
  const { worksheet } = await readMigration(options);
  session.progress.stop();
  // A worksheet that is read and written in one go is kept up to date: its decisions are in the new one.
  await writeText(file, renderWorksheet(worksheet), flags.force === true || file === flags.map);
  if (flags.json) session.json({ kind: "worksheet", formatVersion: 1, ...worksheet });
  else session.result(`${countMatches(worksheet)}\n`);
  session.say(
    `Written to ${file}. Fill in the column "decision" (take or leave), then: group-sync migrate${configFlag(flags)} --from ${flags.from} --to ${flags.to} --map ${file}`,
  );
  return 0;
}

function describe({ worksheet, losses }: MigrationProposal, flags: MigrateFlags): string {
  const { from, to, verbose } = flags;
  const lines = [`From ${from} to ${to}: ${countMatches(worksheet)}`, "", renderLosses(losses, verbose ? 0 : 5)];
  if (worksheet.rows.some(({ decision }) => decision === undefined)) {
    lines.push(
      `Who is whom can be settled in a table: group-sync migrate${configFlag(flags)} --from ${from} --to ${to} --worksheet people.csv`,
      "",
    );
  }
  return `${lines.join("\n")}\n`;
}

function countMatches({ rows }: Worksheet): string {
  const words = {
    pinned: "pinned",
    email: "found by e-mail",
    alias: "found by an alias",
    likeness: "only alike",
    none: "not found",
  };
  const counts = Object.entries(words).flatMap(([match, word]) => {
    const number = rows.filter((row) => row.match === match).length;
    return number === 0 ? [] : [`${number} ${word}`];
  });
  const open = rows.filter(({ decision }) => decision === undefined).length;
  return `${renderCount(rows.length, "person", "people")}: ${counts.join(", ") || "nobody"}; ${open === 0 ? "everyone is decided" : `${open} undecided`}.`;
}

function machinePart({ losses, worksheet: { from, to, rows } }: Pick<MigrationProposal, "losses" | "worksheet">) {
  return { from, to, losses, undecided: rows.filter(({ decision }) => decision === undefined) };
}
