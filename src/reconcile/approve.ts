/**
 * Releases held changes of a plan that somebody has looked at. An approval is bound to the plan's checksum and to one
 * group, and it expires; it lifts no guard for anything that the plan does not show. Pure.
 */
import { GroupSyncError } from "../errors.js";
import type { Approval, Change, HeldChange, Plan, ProviderPlan } from "../model.js";
import type { Capabilities } from "../provider.js";
import { estimateCost } from "./batch.js";
import { UNLIFTABLE } from "./guard.js";
import { digestOf } from "./plan.js";

/** What is approved, by whom, for how long. */
export interface ApproveOptions {
  readonly group: string;
  readonly provider?: string;
  readonly approvedBy: string;
  readonly now: Date;
  /** @default until the plan itself expires */
  readonly forMs?: number;
}

/** The plan with one approval more. Throws `plan-invalid` when nothing of that group is held, or nothing may be released. */
export function approvePlan(plan: Plan, options: ApproveOptions): Plan {
  const held = plan.providers
    .filter(({ id }) => options.provider === undefined || options.provider === id)
    .flatMap((provider) => provider.held.filter(({ group }) => group === options.group));
  if (held.length === 0) {
    const groups = [...new Set(plan.providers.flatMap((provider) => provider.held.map(({ group }) => group)))];
    throw new GroupSyncError("plan-invalid", `Nothing of "${options.group}" is held in this plan.`, {
      hint: groups.length > 0 ? `Held: ${groups.join(", ")}.` : "Nothing is held in it at all.",
    });
  }
  if (!held.some(isReleasable)) {
    throw new GroupSyncError(
      "plan-invalid",
      `What is held of "${options.group}" cannot be released: ${[...new Set(held.map(({ guard }) => guard))].join(", ")}.`,
      { hint: "There is no proof for it, or the group is not ours to touch." },
    );
  }
  const planEnd = Date.parse(plan.expiresAt);
  const wished = options.forMs === undefined ? planEnd : options.now.getTime() + options.forMs;
  const approval: Omit<Approval, "ownChecksum"> = {
    checksum: plan.checksum,
    group: options.group,
    ...(options.provider !== undefined && { provider: options.provider }),
    approvedBy: options.approvedBy,
    approvedAt: options.now.toISOString(),
    expiresAt: new Date(Math.min(wished, planEnd)).toISOString(),
  };
  return { ...plan, approvals: [...(plan.approvals ?? []), { ...approval, ownChecksum: digestOf(approval) }] };
}

/** The approvals of a plan that count: of this very plan, and not yet expired. */
export function listValidApprovals(plan: Plan, now: Date): readonly Approval[] {
  return (plan.approvals ?? []).filter(
    ({ checksum, expiresAt }) => checksum === plan.checksum && new Date(expiresAt) >= now,
  );
}

/** The plan with everything among its changes that a valid approval releases. Approvals of another plan count for nothing. */
export function releaseApproved(
  plan: Plan,
  capabilitiesOf: (provider: string) => Capabilities | undefined,
  now: Date,
): Plan {
  const valid = listValidApprovals(plan, now);
  if (valid.length === 0) return plan;
  return {
    ...plan,
    providers: plan.providers.map((provider) => release(provider, valid, capabilitiesOf(provider.id))),
  };
}

function release(
  plan: ProviderPlan,
  approvals: readonly Approval[],
  capabilities: Capabilities | undefined,
): ProviderPlan {
  const isApproved = (held: HeldChange) =>
    isReleasable(held) &&
    approvals.some(({ group, provider }) => group === held.group && (provider === undefined || provider === plan.id));
  const released = plan.held.filter(isApproved).map((held): Change => {
    const { guard, wantedBecause, ...change } = held;
    return { ...change, reason: `${wantedBecause} (held by ${guard}, approved)` };
  });
  if (released.length === 0) return plan;
  const changes = [...plan.changes, ...released];
  return {
    ...plan,
    changes,
    held: plan.held.filter((held) => !isApproved(held)),
    ...(capabilities && { cost: estimateCost(changes, capabilities) }),
  };
}

function isReleasable({ guard }: HeldChange): boolean {
  return !UNLIFTABLE.includes(guard);
}
