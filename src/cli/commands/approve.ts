import { userInfo } from "node:os";
import { parsePlan } from "../../reconcile/plan.js";
import { approvePlan } from "../../reconcile/approve.js";
import { readJson, writeText } from "../files.js";
import { parseDuration, type CommonFlags, type Session } from "../session.js";

/** Flags of `approve`. */
export interface ApproveFlags extends CommonFlags {
  readonly by?: string;
  readonly for?: string;
}

/** `approve plan.json --group G …`: releases held changes of exactly that plan. Sends nothing. */
export async function runApprove(
  session: Session,
  flags: ApproveFlags,
  [file = ""]: readonly string[],
): Promise<number> {
  const now = new Date();
  const plan = parsePlan(await readJson(file, "plan-invalid"), now);
  const facts = {
    approvedBy: flags.by ?? userInfo().username,
    now,
    ...(flags.for !== undefined && { forMs: parseDuration("--for", flags.for) }),
  };
  const approved = (flags.group ?? []).reduce(
    (each, group) =>
      (flags.provider ?? [undefined]).reduce(
        (next, provider) => approvePlan(next, { ...facts, group, ...(provider !== undefined && { provider }) }),
        each,
      ),
    plan,
  );
  const added = (approved.approvals ?? []).slice(plan.approvals?.length ?? 0);
  await writeText(file, `${JSON.stringify(approved, null, 2)}\n`, true);
  if (flags.json) session.json({ kind: "approval", formatVersion: 1, planId: plan.planId, approvals: added });
  for (const { group, provider, expiresAt } of added) {
    session.say(`${group}${provider === undefined ? "" : ` at ${provider}`}: approved in ${file}, until ${expiresAt}.`);
  }
  session.say(`Next: group-sync apply ${file}`);
  return 0;
}
