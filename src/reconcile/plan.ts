/** Puts a plan together, and checks one that comes back from a file. Pure but for the clock that is handed in. */
import { createHash } from "node:crypto";
import { GroupSyncError } from "../errors.js";
import type { Approval, Change, Member, Plan, ProviderPlan } from "../model.js";

/** A saved plan is good for this long. */
const PLAN_LIFE_MS = 24 * 60 * 60 * 1000;

/** The plan of a run. */
export function buildPlan(
  providers: readonly ProviderPlan[],
  facts: Pick<Plan, "specDigest" | "toolVersion" | "undoes"> & { readonly now: Date },
): Plan {
  const changes = providers.flatMap((provider) => provider.changes);
  const count = (is: (change: Change) => boolean) => changes.filter(is).length;
  const held = providers.reduce((sum, provider) => sum + provider.held.length, 0);
  const unresolved = providers.reduce((sum, provider) => sum + provider.unresolved.length, 0);
  const unplanned = providers.some((provider) => provider.problems.length > 0 || provider.error);
  const body = {
    kind: "plan",
    formatVersion: 1,
    createdAt: facts.now.toISOString(),
    expiresAt: new Date(facts.now.getTime() + PLAN_LIFE_MS).toISOString(),
    toolVersion: facts.toolVersion,
    specDigest: facts.specDigest,
    ...(facts.undoes !== undefined && { undoes: facts.undoes }),
    status: held > 0 || unresolved > 0 || unplanned ? "held" : changes.length > 0 ? "changes" : "in-sync",
    summary: {
      create: count(({ type }) => type === "group.create"),
      rename: count(({ type }) => type === "group.update"),
      delete: count(({ type }) => type === "group.delete"),
      add: count(({ type }) => type === "member.add"),
      role: count(({ type }) => type === "member.update"),
      remove: count(({ type }) => type === "member.remove"),
      held,
      unresolved,
    },
    providers,
  } as const satisfies Omit<Plan, "planId" | "checksum">;
  const texts = Object.entries(body).map(([key, value]) => [key, canonicalJson(value)] as const);
  const planId = `plan-${sha256(joinObject(texts)).slice(0, 12)}`;
  const checksum = sha256(joinObject([...texts, ["planId", canonicalJson(planId)]]));
  return { ...body, planId, checksum };
}

/**
 * Checks a plan that was saved, and the approvals in it. Throws `plan-invalid` when one of them was changed, when the
 * plan is too old, or is not a plan at all.
 */
export function parsePlan(value: unknown, now: Date): Plan {
  const invalid = (message: string, hint: string) => new GroupSyncError("plan-invalid", message, { hint });
  if (
    typeof value !== "object" ||
    value === null ||
    !("kind" in value) ||
    value.kind !== "plan" ||
    !("checksum" in value)
  ) {
    throw invalid("This is not a plan of group-sync.", "Make one with: group-sync plan --out plan.json");
  }
  const { checksum, approvals = [], ...rest } = value as Plan;
  if (rest.formatVersion !== 1) {
    throw invalid(
      `The plan has format version ${String(rest.formatVersion)}; this version reads 1.`,
      "Make the plan anew with this version.",
    );
  }
  if (digestOf(rest) !== checksum) {
    throw invalid(
      "The plan was changed after it was made: its checksum does not fit.",
      "Plans are not edited by hand; change the spec and plan anew.",
    );
  }
  // Not `expiresAt < now`: a moment that cannot be read is not a moment to come.
  if (!(new Date(rest.expiresAt) >= now)) {
    throw invalid(`The plan expired on ${rest.expiresAt}.`, "Plan anew: too much may have happened since.");
  }
  const problem = findBrokenApproval(approvals, checksum);
  if (problem !== undefined) {
    throw invalid(
      problem,
      'Take "approvals" out of the file and approve anew: group-sync approve <file> --group <group>',
    );
  }
  return value as Plan;
}

/** What is wrong with the approvals of a plan. They are added after its checksum, so each has its own. */
function findBrokenApproval(approvals: unknown, planChecksum: string): string | undefined {
  if (!Array.isArray(approvals)) return "The approvals of the plan are not a list.";
  for (const [index, approval] of (approvals as readonly unknown[]).entries()) {
    const which = `Approval ${index + 1} of the plan`;
    if (typeof approval !== "object" || approval === null) return `${which} is not an approval.`;
    const { ownChecksum, ...rest } = approval as Approval;
    if (ownChecksum === undefined) return `${which} has no checksum of its own (ownChecksum).`;
    if (digestOf(rest) !== ownChecksum) return `${which} was changed after it was given: its checksum does not fit.`;
    if (rest.checksum !== planChecksum) return `${which} was given for another plan.`;
  }
  return undefined;
}

/** SHA-256 over canonical JSON: the order of keys does not matter. */
export function digestOf(value: unknown): string {
  return sha256(canonicalJson(value));
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

/** Not by a replacer of `JSON.stringify`, which takes twice the time: a plan may hold hundreds of thousands of changes. */
function canonicalJson(value: unknown): string {
  if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "null";
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
  const parts = Object.entries(value).filter(([, part]) => part !== undefined);
  return joinObject(parts.map(([key, part]) => [key, canonicalJson(part)] as const));
}

function joinObject(parts: readonly (readonly [key: string, text: string])[]): string {
  const sorted = parts.toSorted(([left], [right]) => (left < right ? -1 : 1));
  return `{${sorted.map(([key, text]) => `${JSON.stringify(key)}:${text}`).join(",")}}`;
}

/** What a plan remembers of the members it was made from. */
export function digestMembers(members: readonly Member[]): string {
  // A plain member is its account alone: most are, and there may be millions.
  const rows = members.map(({ account, role, direct, state }) =>
    role === "member" && direct && state === "active" ? account : `${account}\n${role}\n${direct}\n${state}`,
  );
  return sha256(JSON.stringify(rows.sort()));
}
