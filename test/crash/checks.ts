/** What has to hold after runs were killed and one was left alone. Every function returns what does not hold. */
import { createPlan, type JournalEntry, type Plan, type ReconcileOptions, type Report, undo } from "../../src/index.js";
import type { Change } from "../../src/model.js";
import type { State } from "../../src/state/state.js";
import type { Effect } from "../chaos/witness.js";
import { BRAINSTEM_OWN as OWN_ACCOUNT, providerIds } from "../chaos/scenario.js";
import type { Attempt, TrueState } from "./play.js";

export interface Remembered {
  readonly attempts: readonly Attempt[];
  readonly state: State;
}

interface Truth {
  readonly before: readonly TrueState[];
  readonly after: readonly TrueState[];
}

const idOf = new Map<string, string>(Object.entries(providerIds));
const describe = (effect: Effect): string =>
  `${idOf.get(effect.service)}: ${effect.groupName} ${effect.kind} ${effect.account ?? effect.value ?? ""}`.trimEnd();

/** The services are as if nobody had been killed, nothing was done twice, and nobody lost anything on the way. */
export function checkTruth(
  { attempts }: Remembered,
  { before, after, expected }: Truth & { readonly expected: readonly TrueState[] },
): readonly string[] {
  const told = (groups: readonly TrueState[]) =>
    groups.map(({ provider, name, members }) => `${provider}: ${name}: ${members.join(", ")}`).toSorted();
  const [is, shouldBe] = [told(after), told(expected)];
  const last = attempts.at(-1);
  const effects = attempts.flatMap((attempt) => attempt.effects);
  const twice = effects.filter(
    (effect, index) =>
      ["created", "gained", "invited"].includes(effect.kind) &&
      effects.slice(0, index).some((earlier) => describe(earlier) === describe(effect) && earlier.to === effect.to),
  );
  const stays = new Set(
    before.flatMap(({ provider, groupId, members }) => {
      const then = after.find((group) => group.provider === provider && group.groupId === groupId);
      return members.flatMap((member) => {
        const [account = ""] = member.split(" ");
        const isThere = then?.members.some((each) => each.startsWith(`${account} `));
        return isThere ? [JSON.stringify([provider, groupId, account])] : [];
      });
    }),
  );
  const lost = effects.filter(
    ({ kind, service, groupId, account = "", from }) =>
      kind === "lost" &&
      // DocSpace takes the manager's role with the membership alone: out, and in again.
      !(service === "docspace" && from === "manager") &&
      stays.has(JSON.stringify([idOf.get(service), groupId, account.toLowerCase()])),
  );
  return [
    ...is.filter((line) => !shouldBe.includes(line)).map((line) => `is, and should not be: ${line}`),
    ...shouldBe.filter((line) => !is.includes(line)).map((line) => `should be, and is not: ${line}`),
    ...(last?.code === 0 || last?.code === 3 ? [] : [`the last run ended with ${last?.code}: ${last?.said}`]),
    ...attempts
      .filter(({ killed, code }) => !killed && code !== 0 && code !== 3)
      .map(({ code, said }) => `a run that was not killed ended with ${code}: ${said.slice(0, 2_000)}`),
    ...twice.map((effect) => `done twice: ${describe(effect)}`),
    ...lost.map((effect) => `lost on the way: ${describe(effect)}`),
  ];
}

interface PastRun {
  readonly runId: string;
  readonly startedAt: string;
  readonly plan: Plan;
  readonly journal: readonly JournalEntry[];
  readonly report?: Report;
}

/** What is remembered of each run is what it did; what was added and invited is known as ours. */
export async function checkMemory({ attempts, state }: Remembered, truth: Truth): Promise<readonly string[]> {
  const runs: PastRun[] = [];
  for (const { runId, startedAt } of await state.runs(100)) {
    const run = await state.run(runId);
    if (run) runs.push({ runId, startedAt, ...run });
  }
  const violations: string[] = [];
  for (const [index, attempt] of attempts.entries()) {
    const label = `run ${index + 1} of ${attempts.length}`;
    const run = runs.find(({ startedAt }) => {
      const time = Date.parse(startedAt);
      return time >= attempt.startedAt && time <= attempt.endedAt;
    });
    if (run) violations.push(...checkRun(run, attempts.slice(index), attempt).map((each) => `${label}: ${each}`));
    else if (attempt.writes > 0) violations.push(`${label} wrote ${attempt.writes} times, and is not remembered`);
    else if (!attempt.killed) violations.push(`${label} came to its end, and is not remembered`);
  }
  return [...violations, ...(await checkOurs(state, runs, truth))];
}

function checkRun(
  { plan, journal, report }: PastRun,
  [, ...later]: readonly Attempt[],
  { effects, killed }: Attempt,
): readonly string[] {
  const changes = (provider: string) =>
    journal.filter((entry) => entry.provider === provider).flatMap((entry) => entry.changes);
  // Ids of groups that this run has made, by provider and name.
  const createdIds = new Map(
    effects.flatMap(({ kind, service, groupId, groupName }) =>
      kind === "created" ? [[`${idOf.get(service)} ${groupName}`, groupId] as const] : [],
    ),
  );
  const isOf = (provider: string) => (change: Change, effect: Effect) => {
    if (idOf.get(effect.service) !== provider) return false;
    const groupId = change.groupId ?? createdIds.get(`${provider} ${change.group}`) ?? effect.groupId;
    if (groupId !== effect.groupId || (change.groupId === undefined && effect.groupName !== change.group)) return false;
    return change.account?.toLowerCase() === effect.account?.toLowerCase();
  };
  const unheard = effects.filter((effect) => {
    const provider = idOf.get(effect.service) ?? "";
    if (effect.account === OWN_ACCOUNT) return false;
    return !changes(provider).some((change) => isOf(provider)(change, effect));
  });
  const violations = unheard.map((effect) => `done, and not in the journal: ${describe(effect)}`);
  if (!report) return [...violations, "was never concluded"];
  if (killed && !report.stopped && report.status !== "converged" && report.status !== "held") {
    violations.push(`was killed, and is told as ${report.status}`);
  }
  for (const part of report.providers) {
    const matches = isOf(part.id);
    for (const outcome of part.outcomes) {
      if (outcome.status === "held" || outcome.account === OWN_ACCOUNT) continue;
      const isSaid = outcome.status === "applied" || outcome.status === "pending";
      const isDone = effects.some((effect) => KINDS[outcome.type].includes(effect.kind) && matches(outcome, effect));
      const isDoneLater = later.some((attempt) =>
        attempt.effects.some((effect) => KINDS[outcome.type].includes(effect.kind) && matches(outcome, effect)),
      );
      const what = `${part.id}: ${outcome.group}: ${outcome.type} ${outcome.account ?? ""}`;
      if (isDone && !isSaid) violations.push(`${what} was done, and is told as ${outcome.status}`);
      if (isSaid && !isDone && !isDoneLater) violations.push(`${what} is told as ${outcome.status}, and was not done`);
      const isWritten = changes(part.id).some(
        (change) =>
          change.type === outcome.type && change.group === outcome.group && change.account === outcome.account,
      );
      if (isSaid && !isWritten) violations.push(`${what} is told as ${outcome.status}, and is not in the journal`);
    }
  }
  for (const { provider, outcome, changes: answered } of journal) {
    if (outcome !== "answered") continue;
    for (const change of answered) {
      const isDone = effects.some(
        (effect) => KINDS[change.type].includes(effect.kind) && isOf(provider)(change, effect),
      );
      if (!isDone)
        violations.push(`answered, and not done: ${provider}: ${change.group}: ${change.type} ${change.account ?? ""}`);
    }
  }
  const planned = plan.providers.flatMap((part) => part.changes).length;
  const told = report.providers.flatMap(({ outcomes }) => outcomes.filter(({ status }) => status !== "held")).length;
  if (planned !== told) violations.push(`had planned ${planned} changes, and is told with ${told}`);
  return violations;
}

const KINDS: Readonly<Record<Change["type"], readonly Effect["kind"][]>> = {
  "group.create": ["created"],
  "group.update": ["renamed", "described"],
  "group.delete": ["deleted"],
  "member.add": ["gained", "invited"],
  "member.update": ["role"],
  "member.remove": ["lost", "uninvited"],
};

async function checkOurs(state: State, runs: readonly PastRun[], { before, after }: Truth): Promise<readonly string[]> {
  const identities = new Map(
    runs.flatMap(({ plan }) => plan.providers.map(({ id, identity }) => [id, identity] as const)),
  );
  const violations: string[] = [];
  for (const [provider, identity] of identities) {
    const scope = { provider, identity };
    const ours = (await state.ownedMemberships(scope)).flatMap(({ groupId, account }) =>
      account === OWN_ACCOUNT ? [] : [`${groupId} ${account.toLowerCase()}`],
    );
    const invited = (await state.invitations(scope)).map(
      (each) => `${each.groupId} ${each.account.toLowerCase()} ${each.state}`,
    );
    const made = (await state.managedGroups(scope)).flatMap(({ groupId, origin }) =>
      origin === "created" ? [groupId] : [],
    );
    const accounts = (group: TrueState | undefined, state = "") =>
      (group?.members ?? [])
        .filter((member) => member.endsWith(state))
        .map((member) => member.split(" ")[0] ?? "")
        .filter((account) => account !== OWN_ACCOUNT);
    const there = after.filter((group) => group.provider === provider);
    const was = (groupId: string) => before.find((group) => group.provider === provider && group.groupId === groupId);
    const added = (state?: string) =>
      there.flatMap((group) => {
        const former = accounts(was(group.groupId));
        return accounts(group, state).flatMap((account) =>
          former.includes(account) ? [] : [`${group.groupId} ${account}`],
        );
      });
    const compare = (what: string, is: readonly string[], shouldBe: readonly string[]) => {
      for (const each of shouldBe)
        if (!is.includes(each)) violations.push(`${provider}: not remembered as ${what}: ${each}`);
      for (const each of is)
        if (!shouldBe.includes(each)) violations.push(`${provider}: wrongly remembered as ${what}: ${each}`);
    };
    compare("ours", ours, added());
    compare(
      "invited",
      invited,
      added(" invited").map((each) => `${each} pending`),
    );
    compare(
      "created",
      made,
      there.flatMap(({ groupId }) => (was(groupId) ? [] : [groupId])),
    );
  }
  return violations;
}

/** Nothing is left to do; and everything taken back, killed runs too, all is as it was. */
export async function checkUndo(
  { state }: Remembered,
  options: ReconcileOptions,
  before: readonly TrueState[],
  now: () => readonly TrueState[],
): Promise<readonly string[]> {
  const { providers } = await createPlan({ ...options, state });
  const left = providers.flatMap(({ id, changes }) =>
    changes.map(({ type, group }) => `still to do: ${id}: ${group}: ${type}`),
  );
  const runs = await state.runs(100);
  for (const { runId, summary } of runs) {
    if ((summary?.applied ?? 0) + (summary?.pending ?? 0) === 0) continue;
    await undo({ ...options, allow: [...(options.allow ?? []), { guard: "last-owner" }], state, runId });
  }
  // At BrainSTEM whoever comes back is invited, has no role before the answer, and our account is in what it makes.
  const told = (groups: readonly TrueState[]) =>
    groups
      .map(({ provider, name, members }) => {
        const accounts = members.map((member) => member.split(" ")[0]);
        const who = provider === "lab" ? accounts.filter((account) => account !== OWN_ACCOUNT) : members;
        return `${provider}: ${name}: ${who.join(", ")}`;
      })
      .toSorted();
  const [is, was] = [told(now()), told(before)];
  return [
    ...left,
    ...is.filter((line) => !was.includes(line)).map((line) => `is after undo, and was not: ${line}`),
    ...was.filter((line) => !is.includes(line)).map((line) => `was, and is not after undo: ${line}`),
  ];
}
