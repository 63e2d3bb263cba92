/**
 * Moving groups from one provider to another:
 *
 *     export → map → plan → apply → verify
 *
 * Everything that cannot come along is told before anything is written. A migration adds: unless asked otherwise it
 * removes nobody at the target.
 */
import { groupBy, renderCount } from "../collections.js";
import { GroupSyncError } from "../errors.js";
import type {
  DesiredMember,
  GuardSettings,
  Member,
  Mode,
  Person,
  Plan,
  Report,
  Role,
  Snapshot,
  Spec,
  Target,
} from "../model.js";
import { ABOVE_ROLES } from "../model.js";
import type { GroupProvider } from "../provider.js";
import { effectiveRole } from "../reconcile/diff.js";
import { createMeter } from "../reconcile/events.js";
import { applyPlan, createPlan, type PlanOptions } from "../reconcile/reconcile.js";
import { printable } from "../report/text.js";
import { digestSpec } from "../spec/digest.js";
import { withoutPrototype } from "../spec/people.js";
import { listSome } from "../spec/problems.js";
import { createNamer, readSource, type Source } from "./source.js";
import { createWorksheet, type Worksheet, type WorksheetOptions, type WorksheetRow } from "./worksheet.js";

/** What is lost: a whole group, someone, some memberships, a role, a description, a part of a name. */
export type LossKind = "group" | "person" | "membership" | "role" | "description" | "name" | "invitation";

/** Something of the source that the target will not have as it was. */
export interface Loss {
  readonly kind: LossKind;
  /** The group's name at the source. */
  readonly group?: string;
  /** The account at the source. */
  readonly account?: string;
  /** In plain words, without the group's name. */
  readonly message: string;
}

/** How the groups should stand at the target. */
export interface TransferOptions {
  readonly source: Source;
  readonly worksheet: Worksheet;
  readonly to: Pick<GroupProvider, "id" | "type" | "capabilities">;
  /** `authoritative` also removes whoever is in a group at the target and not at the source. @default "additive" */
  readonly mode?: Exclude<Mode, "owned">;
  /** Roles that become others on the way, such as `{ manager: "owner" }`. @default each stays what it is */
  readonly roles?: Readonly<Partial<Record<Role, Role>>>;
  /** @default 50 removals or 25 %, nobody protected, one owner */
  readonly guards?: Partial<GuardSettings>;
}

/** The desired state at the target, and what got lost on the way there. */
export interface Transfer {
  readonly spec: Spec;
  readonly losses: readonly Loss[];
}

/** What a migration may be told. */
export interface MigrationOptions
  extends Omit<PlanOptions, "spec" | "providers" | "only">,
    Omit<TransferOptions, "source" | "worksheet" | "to" | "guards">,
    Pick<WorksheetOptions, "people" | "candidates"> {
  readonly from: GroupProvider;
  readonly to: GroupProvider;
  /** Only groups of these names or ids at the source; each must be there. @default all */
  readonly groups?: readonly string[];
  /** True: without people whose account is switched off or whose invitation is still open. @default false */
  readonly active?: boolean;
  /** Decisions, read back from a worksheet that people filled in. @default what an e-mail or alias proves */
  readonly worksheet?: Worksheet;
}

/** {@link MigrationOptions} for one that is carried out. */
export interface MigrateOptions extends MigrationOptions {
  /** Shown everything before anything is written; false ends the migration. */
  readonly confirm?: (proposal: MigrationProposal) => boolean | Promise<boolean>;
}

/** What would happen. */
export interface MigrationProposal extends Transfer {
  readonly worksheet: Worksheet;
  readonly plan: Plan;
}

/** What happened. */
export interface Migration extends MigrationProposal {
  /** As read back from the target. Absent: `confirm` said no, and nothing was written. */
  readonly report?: Report;
}

/**
 * Brings the groups of one provider to another: reads the source, matches its people, plans, applies, verifies. Run
 * again, it does what is missing. Throws `bad-answer` when the source cannot be read whole and `options-invalid` when
 * both are the same place; nothing is written then.
 *
 * @example
 * const { losses, report } = await migrate({ from: docs, to: calls, confirm: ({ losses }) => losses.length === 0 });
 */
export async function migrate({ confirm, ...options }: MigrateOptions): Promise<Migration> {
  const proposal = await proposeMigration(options);
  if (!((await confirm?.(proposal)) ?? true)) return proposal;
  return { ...proposal, report: await applyPlan(proposal.plan, { ...options, providers: [options.to] }) };
}

/** All of {@link migrate} that comes before the first write. */
export async function proposeMigration(options: MigrationOptions): Promise<MigrationProposal> {
  const { source, worksheet } = await readMigration(options);
  const transfer = buildTransfer({ ...options, source, worksheet });
  const plan = await createPlan({ ...options, spec: transfer.spec, providers: [options.to] });
  return { ...transfer, worksheet, plan };
}

/** The first half of {@link proposeMigration}: reads the source and matches its people. */
export async function readMigration(
  options: MigrationOptions,
): Promise<{ readonly source: Source; readonly worksheet: Worksheet }> {
  const { from, to, groups, active, worksheet: decided, people, candidates, signal } = options;
  const onEvent = options.onEvent ?? (() => {});
  const context = createMeter(onEvent).context(signal);
  if (from.id === to.id) throw samePlace(`${from.id} cannot be moved to itself.`);
  const source = await readSource({
    provider: from,
    context,
    onProgress: (done, total) => onEvent({ type: "progress", provider: from.id, phase: "read", done, total }),
    ...(groups && { groups }),
    ...(active !== undefined && { active }),
  });
  const { identity } = await to.checkAccess(context);
  if (from.type === to.type && identity === source.identity) {
    throw samePlace(`${from.id} and ${to.id} are the same place: ${identity}.`);
  }
  onEvent({ type: "phase", provider: to.id, phase: "resolve" });
  const worksheet = await createWorksheet({
    source,
    to,
    context,
    ...(people && { people }),
    ...(decided && { decided }),
    ...(candidates && { candidates }),
  });
  return { source, worksheet };
}

function samePlace(message: string): GroupSyncError {
  return new GroupSyncError("options-invalid", message, { hint: "Name two different accounts of your services." });
}

const DEFAULT_GUARDS: GuardSettings = { maxRemovals: { count: 50, percent: 25 }, protect: [], minOwners: 1 };

/** Pure: the source's groups as they should stand at the target, and everything that cannot come along. */
export function buildTransfer(options: TransferOptions): Transfer {
  const { source, worksheet, to, mode = "additive" } = options;
  const guards = { ...DEFAULT_GUARDS, ...options.guards };
  const rows = new Map(worksheet.rows.map((row) => [row.account, row]));
  const namePerson = createNamer();
  const ids = new Map(worksheet.rows.map((row) => [row.account, namePerson(wishedIdOf(row))]));
  const nameGroup = createNamer();
  const nameAtTarget = createTargetNamer(to.capabilities.groups.maxNameLength?.value);
  const targets: Target[] = [];
  const losses: Loss[] = [...lostBeforehand(source), ...lostPeople(worksheet, to.id)];

  for (const snapshot of source.snapshots) {
    const { group } = snapshot;
    const lose = (kind: LossKind, message: string) => losses.push({ kind, group: group.name, message });
    const { members, lost } = settleMembers(snapshot, rows, options);
    for (const message of lost.roles) lose("role", message);
    for (const message of lost.memberships) lose("membership", message);
    const limit = to.capabilities.maxMembers.value;
    if (limit !== null && members.length > limit) {
      lose("group", `has ${members.length} members, and a group at ${to.id} takes at most ${limit}; it is left out`);
      continue;
    }
    const { name, because } = nameAtTarget(group.name);
    if (because !== undefined) lose("name", `is called "${name}" at ${to.id}: ${because}`);
    const described = to.capabilities.groups.description.value;
    if (group.description && !described) lose("description", `its description is lost: ${to.id} has none`);
    targets.push({
      group: nameGroup(group.name),
      provider: to.id,
      name,
      ...(described && group.description && { description: group.description }),
      previously: [],
      mode,
      adopt: false,
      absent: false,
      guards,
      managed: {
        member: true,
        manager: to.capabilities.roles.manager !== undefined,
        owner: to.capabilities.roles.owner !== undefined,
      },
      members: members.map((member) => ({ ...member, person: ids.get(member.person) ?? member.person })),
    });
  }
  if (to.capabilities.invitations.value && targets.some(({ members }) => members.length > 0)) {
    losses.push({ kind: "invitation", message: `${to.id} only invites people; they are in when they have accepted` });
  }
  const providers = [{ id: to.id, type: to.type, options: {}, guards }];
  const people = withoutPrototype(
    worksheet.rows.map((row) => {
      const id = ids.get(row.account) ?? row.account;
      return [id, toPerson(id, row, worksheet)] as const;
    }),
  );
  const digest = digestSpec({ providers, people, targets, guards, providerTypes: [] });
  return { spec: { version: 1, mode, providers, people, targets, guards, digest, warnings: [] }, losses };
}

/** A plan names people as their colleagues do. */
function wishedIdOf({ email, name, account }: WorksheetRow): string {
  return email?.split("@")[0] || name || account;
}

function toPerson(
  id: string,
  { account, name, email, target, decision }: WorksheetRow,
  { from, to }: Worksheet,
): Person {
  const atTarget = decision === "take" ? target : decision === "leave" ? null : undefined;
  return {
    id,
    ...(email !== undefined && { email }),
    aliases: [],
    ...(name !== undefined && { name }),
    accounts: { [from]: account, ...(atTarget !== undefined && { [to]: atTarget }) },
  };
}

function lostBeforehand({ foreign, leftOut }: Source): readonly Loss[] {
  const words = {
    builtin: "is built in",
    directory: "is kept by a directory",
    dynamic: "is filled by rules",
    plain: "cannot be read",
  };
  const skipped = groupBy(leftOut, ({ group }) => group.name);
  return [
    ...foreign.map(
      ({ name, kind }): Loss => ({ kind: "group", group: name, message: `${words[kind]}, so it is left out` }),
    ),
    ...[...skipped].map(
      ([group, members]): Loss => ({
        kind: "membership",
        group,
        message: `${countPeople(members.length)} without an active account ${members.length === 1 ? "is" : "are"} left out, as asked: ${namesOf(members.map(({ member }) => member))}`,
      }),
    ),
  ];
}

function lostPeople({ rows }: Worksheet, to: string): readonly Loss[] {
  return rows.flatMap((row): readonly Loss[] => {
    const { account, decision, match, target, because, groups } = row;
    if (decision === "take") return [];
    const who = nameOf({ ...row, account });
    const why =
      decision === "leave"
        ? "is left out, as decided"
        : match === "likeness"
          ? `may be ${target} at ${to} (${because}), which nobody has confirmed`
          : target === undefined
            ? `has no known account at ${to}${because ? `: ${because}` : ""}`
            : `cannot be taken into a group at ${to}: ${because}`;
    return [{ kind: "person", account, message: `${who} ${why} (${groups} ${groups === 1 ? "group" : "groups"})` }];
  });
}

interface SettledMembers {
  readonly members: readonly DesiredMember[];
  readonly lost: { readonly roles: readonly string[]; readonly memberships: readonly string[] };
}

/** Who comes along into a group, and as what. */
function settleMembers(
  { members }: Snapshot,
  rows: ReadonlyMap<string, WorksheetRow>,
  { to, roles = {} }: TransferOptions,
): SettledMembers {
  const lost = { roles: [] as string[], memberships: [] as string[] };
  const byRule = members.filter(({ direct, role }) => !direct && role === "member");
  if (byRule.length > 0) {
    lost.memberships.push(
      `${countPeople(byRule.length)} there by a rule alone, so not brought along: ${namesOf(byRule)}`,
    );
  }
  const invited = members.filter(({ state }) => state === "pending");
  if (invited.length > 0 && !to.capabilities.invitations.value) {
    lost.memberships.push(
      `${countPeople(invited.length)} invited and yet to answer; at ${to.id} there is nothing to answer: ${namesOf(invited)}`,
    );
  }
  const byRoleAlone = members.filter(({ direct, role }) => !direct && role !== "member");
  if (byRoleAlone.length > 0) {
    lost.memberships.push(
      `${countPeople(byRoleAlone.length)} there by a role without being a member, and a member at ${to.id}: ${namesOf(byRoleAlone)}`,
    );
  }
  const isComing = ({ account }: Member) => rows.get(account)?.decision !== "leave";
  const coming = members.filter((member) => !byRule.includes(member)).filter(isComing);
  const wanted = coming.map((member) => ({ member, role: roles[member.role] ?? member.role }));
  const settled = wanted.map(({ member, role }) => ({ member, role, kept: effectiveRole(role, to.capabilities) }));
  for (const role of ABOVE_ROLES) {
    const downgraded = settled.filter((each) => each.role === role && each.kept !== role).map(({ member }) => member);
    if (downgraded.length > 0) {
      lost.roles.push(
        `${namesOf(downgraded)}: ${downgraded.length === 1 ? `${role} becomes a plain member` : `${role}s become plain members`}; ${to.id} has no ${role}s`,
      );
    }
  }
  const seated = takeSeats(settled, rows, to, lost.roles);
  return { members: seated, lost };
}

/** Where a role has fewer places than holders, the first by name keep it. People with an account there come first. */
function takeSeats(
  settled: readonly { readonly member: Member; readonly kept: Role }[],
  rows: ReadonlyMap<string, WorksheetRow>,
  to: TransferOptions["to"],
  lost: string[],
): readonly DesiredMember[] {
  const standing = new Map<Member, Role>(settled.map(({ member, kept }) => [member, kept]));
  for (const role of ABOVE_ROLES) {
    const places = to.capabilities.roles[role]?.max.value ?? null;
    const holders = settled.filter(({ kept }) => kept === role).map(({ member }) => member);
    if (places === null || holders.length <= places) continue;
    const rank = ({ account }: Member) => (rows.get(account)?.decision === "take" ? 0 : 1);
    const inOrder = holders.toSorted((left, right) => rank(left) - rank(right) || compareMembers(left, right));
    const others = inOrder.slice(places);
    for (const member of others) standing.set(member, "member");
    lost.push(
      `${holders.length} ${role}s, and a group at ${to.id} has ${places === 1 ? "one place" : `${places} places`}: ${namesOf(inOrder.slice(0, places))} stays, ${namesOf(others)} ${others.length === 1 ? "becomes a plain member" : "become plain members"}`,
    );
  }
  return [...standing].map(([{ account }, role]) => ({ person: account, role }));
}

function compareMembers(left: Member, right: Member): number {
  const [a, b] = [nameOf(left), nameOf(right)];
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Names that the target can hold: short enough, and none twice, as a name alone tells groups apart there. */
function createTargetNamer(maxLength: number | undefined) {
  const taken = new Set<string>();
  return (wish: string): { readonly name: string; readonly because?: string } => {
    const fit = (suffix: string) =>
      maxLength !== undefined && wish.length + suffix.length > maxLength
        ? `${wish.slice(0, maxLength - suffix.length - 1).trimEnd()}…${suffix}`
        : `${wish}${suffix}`;
    let name = fit("");
    for (let number = 2; taken.has(name); number++) name = fit(` (${number})`);
    taken.add(name);
    if (name === wish) return { name };
    const isLong = maxLength !== undefined && wish.length > maxLength;
    return { name, because: isLong ? `a name has at most ${maxLength} characters` : "another group has this name" };
  };
}

function nameOf({ account, name, email }: Pick<Member, "account" | "name" | "email">): string {
  return name || email || account;
}

function namesOf(members: readonly Member[]): string {
  return listSome(members.map(nameOf).toSorted());
}

function countPeople(number: number): string {
  return renderCount(number, "person", "people");
}

const HEADINGS: Readonly<Record<LossKind, string>> = {
  group: "Groups that cannot come along",
  person: "People who cannot come along",
  membership: "Memberships that change",
  role: "Roles that are lost",
  description: "Descriptions that are lost",
  name: "Names that change",
  invitation: "Not in at once",
};

/** The losses for people to read, kind by kind. `mostPerKind`: the rest is only counted; 0: all. */
export function renderLosses(losses: readonly Loss[], mostPerKind = 5): string {
  if (losses.length === 0) return "Nothing gets lost.\n";
  const byKind = groupBy(losses, ({ kind }) => kind);
  const out: string[] = [];
  for (const [kind, heading] of Object.entries(HEADINGS) as [LossKind, string][]) {
    const ofKind = byKind.get(kind) ?? [];
    if (ofKind.length === 0) continue;
    const shown = mostPerKind === 0 ? ofKind : ofKind.slice(0, mostPerKind);
    out.push(`${heading} (${ofKind.length}):`);
    for (const { group, message } of shown) {
      out.push(printable(`  ${group === undefined ? "" : `${group}: `}${message}`));
    }
    if (shown.length < ofKind.length) out.push(`  … and ${ofKind.length - shown.length} more`);
  }
  return `${out.join("\n")}\n`;
}
