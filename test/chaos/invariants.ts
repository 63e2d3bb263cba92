/**
 * What has to hold after every run, whatever went wrong in it; and what has to hold when nothing goes wrong any more.
 */
import { exitCodeOfPlan, exitCodeOfReport } from "../../src/cli/exit.js";
import type { Change, HeldChange, Outcome, Plan, ProviderReport, Report } from "../../src/index.js";
import type { RequestLogEntry, TrueGroup } from "../../src/sandbox/index.js";
import {
  lastResort,
  memberOf,
  type Oracle,
  rankOf,
  type Target,
  type TrueState,
  whyNotDemoted,
  whyNotTaken,
} from "./oracle.js";
import { joinLimits } from "./oracle.js";
import { providerIds, type Role, type Scenario, type Service } from "./scenario.js";
import type { Effect } from "./witness.js";

/** A promise that was broken, and how. */
export interface Violation {
  readonly invariant: string;
  readonly detail: string;
}

/** One run of the tool and what was true before, during and after it. */
export interface Episode {
  readonly name: string;
  /** Without faults. */
  readonly isCalm: boolean;
  /** Ended on request. */
  readonly isStopped: boolean;
  readonly switches: Scenario["switches"];
  readonly plan?: Plan;
  readonly report?: Report;
  readonly thrown?: { readonly code: string; readonly message: string };
  readonly before: ReadonlyMap<Service, TrueState>;
  readonly after: ReadonlyMap<Service, TrueState>;
  /** What was true of people in the course of the run. */
  readonly statuses: ReadonlyMap<Service, readonly TrueState["statuses"][]>;
  readonly effects: readonly Effect[];
  readonly oracles: ReadonlyMap<Service, Oracle>;
  /** Services that were read with somebody else's credentials than in the other runs. */
  readonly asOther: readonly Service[];
  readonly requests: readonly RequestLogEntry[];
  readonly onlyGroups?: readonly string[];
}

type Told = (invariant: string, detail: string) => void;

function collect(episode: Episode, check: (tell: Told) => void): readonly Violation[] {
  const violations: Violation[] = [];
  check((invariant, detail) => violations.push({ invariant, detail: `${episode.name}: ${detail}` }));
  return violations;
}

const describe = ({ service, kind, groupName, account, from, to, during }: Effect): string =>
  `${service} "${groupName}" ${kind} ${account ?? ""} ${from ?? ""}${to ? `→${to}` : ""} (${during})`;

// --- what the tool did

/** Everything that the tool truly changed was wanted, justified, planned and not held. */
export function checkRun(scenario: Scenario, episode: Episode): readonly Violation[] {
  return collect(episode, (tell) => {
    const { thrown } = episode;
    if (thrown && !(episode.isStopped && thrown.code === "cancelled")) {
      tell("nothing is thrown", `${thrown.code}: ${thrown.message}`);
    }
    for (const oracle of episode.oracles.values()) {
      const effects = episode.effects.filter(({ service, by }) => service === oracle.service && by === "tool");
      for (const effect of effects) {
        const complaint = judgeEffect(scenario, episode, oracle, effect);
        if (complaint) tell(complaint.invariant, `${describe(effect)}: ${complaint.detail}`);
        const unplanned = findUnplanned(episode, oracle, effect);
        if (unplanned) tell("what is done was planned and not held", `${describe(effect)}: ${unplanned}`);
      }
      checkCounts(scenario, episode, oracle, tell);
      checkForeign(episode, oracle, tell);
    }
    checkRunCount(scenario, episode, tell);
  });
}

/** A run that only looks sends no writing request at all. */
export function checkNothingWritten(episode: Episode): readonly Violation[] {
  return collect(episode, (tell) => {
    for (const { service, method, path, write } of episode.requests) {
      if (write) tell("a plan writes nothing", `${service} ${method} ${path}`);
    }
  });
}

/** Names that a group bore in the course of a run. */
function namesOf(episode: Episode, service: Service, groupId: string): readonly string[] {
  const names = [episode.before, episode.after].flatMap((states) =>
    (states.get(service)?.groups ?? []).filter(({ id }) => id === groupId).map(({ name }) => name),
  );
  const changed = episode.effects
    .filter((effect) => effect.service === service && effect.groupId === groupId)
    .flatMap(({ groupName, kind, value }) =>
      kind === "renamed" && value !== undefined ? [groupName, value] : [groupName],
    );
  return [...new Set([...names, ...changed])];
}

/** The states in which a decision may have been taken: the groups as they were, with what was true of people. */
function statesOf(episode: Episode, service: Service): readonly TrueState[] {
  const before = episode.before.get(service);
  const after = episode.after.get(service);
  const groups = [...(before?.groups ?? []), ...(after?.groups ?? [])];
  const known = new Map(groups.toReversed().map((group) => [group.id, group]));
  return (episode.statuses.get(service) ?? []).map((statuses) => ({ groups: [...known.values()], statuses }));
}

function judgeEffect(scenario: Scenario, episode: Episode, oracle: Oracle, effect: Effect): Violation | undefined {
  const { run, hostile } = scenario;
  const { removals } = run;
  const { service, groupId, account = "", from = "member", to = "member" } = effect;
  const names = namesOf(episode, service, groupId);
  const states = statesOf(episode, service);
  const targets = oracle.targetsOf(groupId, names);
  const always = (reasonOf: (state: TrueState) => string | undefined): string | undefined => {
    const reasons = states.map(reasonOf);
    return reasons.some((reason) => reason === undefined) ? undefined : reasons[0];
  };
  const bad = (invariant: string, detail: string | undefined) =>
    detail === undefined ? undefined : { invariant, detail };
  switch (effect.kind) {
    case "created": {
      const isWanted = targets.some(({ group }) => !group.absent && group.name === effect.groupName);
      if (!isWanted) return bad("only wanted groups are made", "no group of the spec is called that");
      const others = (episode.before.get(service)?.groups ?? []).filter(
        ({ id, name }) => name === effect.groupName && !oracle.isForeign(id),
      );
      const wasThere = others.some(
        ({ id }) => !episode.effects.some((each) => each.groupId === id && each.kind === "deleted"),
      );
      const isRenamed = episode.effects.some((each) => each.by === "others" && each.kind === "renamed");
      const earlier = episode.effects.slice(0, episode.effects.indexOf(effect));
      const again = earlier.some(
        (each) =>
          each.by === "tool" &&
          each.kind === "created" &&
          each.groupName === effect.groupName &&
          each.service === service,
      );
      if (isListBlank(episode, effect) || hostile[service] === "listScope=mine") return undefined;
      if ((wasThere && !isRenamed) || again) return bad("no group is made twice", "there is one of that name");
      return undefined;
    }
    case "deleted": {
      const target = targets.find(({ group }) => group.absent);
      if (!target) return bad("no unjustified deletion", "the spec wants the group or does not know it");
      if (!oracle.allows("group-delete", target)) return bad("no unjustified deletion", "not acknowledged");
      if (!removals) return bad("no unjustified deletion", "removals are switched off");
      if (oracle.isStranger() && !oracle.allows("changed-scope", target))
        return bad("no unjustified deletion", "the scope has changed");
      if (!oracle.isOurs(target, groupId) && !oracle.allows("adoption", target))
        return bad("no unjustified deletion", "not adopted");
      return undefined;
    }
    case "renamed": {
      const isWanted = targets.some(({ group }) => !group.absent && group.name === effect.value);
      return isWanted && !oracle.isForeign(groupId)
        ? undefined
        : bad("only wanted names are given", `to ${effect.value}`);
    }
    case "described":
      return targets.some(({ group }) => group.description === effect.value)
        ? undefined
        : bad("only wanted names are given", `description ${effect.value}`);
    case "gained":
    case "invited": {
      if (isMaker(episode, oracle, effect)) return undefined;
      const isAskedAgain = effect.kind === "invited" && oracle.hasDeclined(groupId, account);
      if (isAskedAgain && !targets.some((target) => oracle.allows("declined-invitation", target))) {
        return bad("nobody is asked again", "an invitation of ours was declined");
      }
      const isWanted = targets.some((target) =>
        states.some((state) => {
          const group = state.groups.find(({ id }) => id === groupId);
          const role = oracle.wanted(target, state, group).get(account);
          // A pinned account that is seen in one group is not looked up for another; it may be switched off.
          if (role === undefined) return oracle.kept(target, state, group).has(account);
          return effect.kind === "invited" || rankOf(role) >= rankOf(to);
        }),
      );
      if (oracle.isForeign(groupId)) return bad("foreign groups are left alone", "the group is not ours");
      if (isWanted || isReborn(scenario, targets, account)) return undefined;
      // Whoever was taken out for a moment comes back.
      const wasThere = episode.before.get(service)?.groups.find(({ id }) => id === groupId);
      return wasThere && memberOf(wasThere, account) ? undefined : bad("only wanted people are added", "not listed");
    }
    case "role":
      if (rankOf(to) > rankOf(from)) {
        const isWanted = targets.some((target) =>
          states.some((state) => {
            const group = state.groups.find(({ id }) => id === groupId);
            const isKept = oracle.kept(target, state, group).has(account);
            return isKept || oracle.wanted(target, state, group).get(account) === to;
          }),
        );
        return isWanted ? undefined : bad("only wanted roles are given", "not listed with that role");
      }
      if (isBlankRecord(episode, effect) || isDroppedOwner(episode, oracle, effect)) return undefined;
      return bad(
        "no unjustified loss of a role",
        always((state) => whyNotDemoted(oracle, { groupId, names, account, from, to }, state, removals)),
      );
    case "lost":
    case "uninvited": {
      if (isDroppedOwner(episode, oracle, effect)) return undefined;
      const isBack = isBackAtTheEnd(episode, effect);
      const loss = { groupId, names, account, role: from, direct: effect.direct ?? true };
      const reason = always((state) => whyNotTaken(oracle, loss, state, removals));
      if (reason === undefined) return undefined;
      // Where a role cannot be cleared, its holder is taken out and put back (DocSpace), if that was acknowledged.
      const mayBeTakenOut =
        service === "docspace" && from === "manager" && targets.some((target) => oracle.allows("role-loss", target));
      const demotion = always((state) => whyNotDemoted(oracle, { ...loss, from, to: "member" }, state, removals));
      if (mayBeTakenOut && demotion === undefined && (isBack || !episode.isCalm)) return undefined;
      return bad("no unjustified removal", reason);
    }
  }
}

/** An invitation to the address of somebody who was just deleted makes a new account there, which is found from then on. */
function isReborn({ spec, switches }: Scenario, targets: readonly Target[], account: string): boolean {
  const isTheirs = (person: string) => {
    const { email, aliases = [] } = spec.people[person] ?? {};
    return [email, ...aliases].some((address) => address?.toLowerCase() === account);
  };
  return (
    switches.brainstem?.["unknownEmail"] === "invite" &&
    targets.some(({ listed }) => listed.some(({ person, isOver }) => !isOver && isTheirs(person)))
  );
}

/** Whoever makes a group at BrainSTEM owns it; at Genesys Cloud an id that is no user may. */
function isMaker(
  { effects }: Episode,
  { ownAccount }: Oracle,
  { service, groupId, account, kind, to }: Effect,
): boolean {
  const isNew = effects.some((each) => each.kind === "created" && each.service === service && each.groupId === groupId);
  const isOwner = account === ownAccount || (service === "genesys" && to === "owner");
  return kind === "gained" && isNew && isOwner;
}

/**
 * A record of BrainSTEM has no count of its members (sheet §6), so one with members left out looks whole: somebody who
 * is there is added, which sets the role to the one listed; somebody who was added, or is to be removed, is not seen.
 */
function isBlankRecord({ requests }: Episode, { service }: Pick<Effect, "service">): boolean {
  return (
    service === "brainstem" &&
    requests.some((request) => request.service === service && /^(empty|short)-page$/.test(request.faulted ?? ""))
  );
}

/**
 * Two lists that were emptied together with their totals are as good as proof that there is nothing; so are two passes
 * over a list that lack the same rows, where NeuroIO and BrainSTEM answer without totals.
 */
function isListBlank({ requests, switches }: Episode, { service }: Pick<Effect, "service">): boolean {
  const hasNoTotals =
    service === "neuroio"
      ? ["array", "results"].includes(String(switches.neuroio?.["envelope"]))
      : ["off", "never"].includes(String(switches[service]?.["meta"]));
  const faults = ["empty-page", ...(hasNoTotals ? ["short-page"] : [])];
  const silent = requests.filter((request) => request.service === service && faults.includes(request.faulted ?? ""));
  return silent.length > 1;
}

/** Genesys Cloud takes owners as a list, and leaves out those who are no users (any more). */
function isDroppedOwner(
  episode: Episode,
  oracle: Oracle,
  { service, kind, from, account = "", during }: Effect,
): boolean {
  const isGone = statesOf(episode, service).some((state) => !oracle.isUser(account, state));
  const isDropped = (kind === "lost" || kind === "role") && from === "owner";
  return service === "genesys" && isDropped && during.startsWith("PUT ") && isGone;
}

function isBackAtTheEnd(episode: Episode, { service, groupId, account = "" }: Effect): boolean {
  const group = episode.after.get(service)?.groups.find(({ id }) => id === groupId);
  return group !== undefined && memberOf(group, account) !== undefined;
}

const changeTypes: Readonly<Record<Effect["kind"], readonly Change["type"][]>> = {
  created: ["group.create"],
  deleted: ["group.delete"],
  renamed: ["group.update"],
  described: ["group.update", "group.create"],
  gained: ["member.add", "member.update"],
  // Whoever is gone when their role is changed is invited back (BrainSTEM).
  invited: ["member.add", "member.update"],
  lost: ["member.remove", "member.update"],
  uninvited: ["member.remove"],
  role: ["member.update", "member.add", "member.remove"],
};

/** Why an effect is not among the changes of the run; undefined when it is. */
function findUnplanned(episode: Episode, oracle: Oracle, effect: Effect): string | undefined {
  const { service, groupId, account, kind } = effect;
  if (isMaker(episode, oracle, effect) || isDroppedOwner(episode, oracle, effect)) return undefined;
  // Whose making was not answered is looked for by its name, and found to be the one that was there.
  if (kind === "created" && isListBlank(episode, effect)) return undefined;
  const names = namesOf(episode, service, groupId);
  const groups = new Set(oracle.targetsOf(groupId, names).map(({ group }) => group.id));
  const isIt = (change: Change) =>
    groups.has(change.group) &&
    (change.groupId === undefined || change.groupId === groupId) &&
    changeTypes[kind].includes(change.type) &&
    (account === undefined || change.account === account);
  const { id } = { id: providerIds[service] };
  const outcomes = episode.report?.providers.find((each) => each.id === id)?.outcomes;
  if (outcomes) {
    const matching = outcomes.filter(isIt);
    if (matching.some(({ status }) => status !== "held")) return undefined;
    // The one manager of a group goes when another comes; that is a change of its own, unless it is held.
    return matching.length > 0 ? `held by ${matching[0]?.guard}` : "no such change in the report";
  }
  const planned = episode.plan?.providers.find((each) => each.id === id)?.changes;
  if (planned?.some(isIt)) return undefined;
  return episode.report || planned ? "no such change in the plan" : "there is no report";
}

/** The guards that count: not more than the limits, nobody's last owner, no group emptied, unless acknowledged. */
function checkCounts(scenario: Scenario, episode: Episode, oracle: Oracle, tell: Told): void {
  const { service } = oracle;
  const taken = takenBy(episode, oracle);
  const perTarget = oracle.targets.map((target) => {
    const groups = groupsMeant(episode, oracle, target);
    const ids = new Set(groups.map(({ id }) => id));
    const removed = taken.filter(({ groupId }) => ids.has(groupId));
    return { target, groups, removed };
  });
  for (const { target, groups, removed } of perTarget) {
    if (removed.length === 0 || target.group.absent) continue;
    if (!oracle.allows("max-removals", target)) {
      const problem = exceeds(removed.length, sizeOf(groups, removed, episode), target.limits);
      if (problem) tell("no write after a tripped guard", `${service} ${target.group.id}: ${problem}`);
    }
    const [group] = groups;
    if (group && !oracle.allows("empty-group", target)) checkEmptied(episode, oracle, group, removed, tell);
  }
  const counted = perTarget.filter(({ target }) => !oracle.allows("max-removals", target));
  const removed = counted.flatMap((each) => each.removed);
  const limits = joinLimits([scenario.spec.guards, scenario.spec.providerGuards[service]]);
  const problem = exceeds(
    removed.length,
    perTarget.reduce((sum, each) => sum + sizeOf(each.groups, each.removed, episode), 0),
    limits,
  );
  if (problem) tell("no write after a tripped guard", `${service}: ${problem}`);
  for (const { target, groups } of perTarget)
    for (const group of groups) checkLastOwner(episode, oracle, target, group, tell);
  for (const { target, groups } of perTarget)
    for (const group of groups) checkSuccession(episode, oracle, target, group, tell);
  checkEmptySource(episode, oracle, perTarget, tell);
}

function checkRunCount(scenario: Scenario, episode: Episode, tell: Told): void {
  let removals = 0;
  let members = 0;
  for (const oracle of episode.oracles.values()) {
    const taken = takenBy(episode, oracle);
    for (const target of oracle.targets) {
      const groups = groupsMeant(episode, oracle, target);
      const removed = taken.filter(({ groupId }) => groups.some(({ id }) => id === groupId));
      members += sizeOf(groups, removed, episode);
      if (!oracle.allows("max-removals", target) && !target.group.absent) removals += removed.length;
    }
  }
  const problem = exceeds(removals, members, joinLimits([scenario.spec.guards]));
  if (problem) tell("no write after a tripped guard", `the run: ${problem}`);
}

/** Removals that were made and not taken back, each once. */
function takenBy(episode: Episode, oracle: Oracle): readonly Effect[] {
  const { service } = oracle;
  const removed = episode.effects.filter(
    (effect) =>
      effect.service === service &&
      effect.by === "tool" &&
      (effect.kind === "lost" || effect.kind === "uninvited") &&
      !isBackAtTheEnd(episode, effect) &&
      !isDroppedOwner(episode, oracle, effect) &&
      !episode.effects.some(
        (each) => each.kind === "deleted" && each.service === service && each.groupId === effect.groupId,
      ),
  );
  return [...new Map(removed.map((effect) => [`${effect.groupId} ${effect.account}`, effect])).values()];
}

/** The groups that a target meant before the run. What is pinned for one is no namesake for another. */
function groupsMeant(episode: Episode, oracle: Oracle, target: Target): readonly TrueGroup[] {
  const state = episode.before.get(oracle.service);
  return state ? notPinned(oracle, target, oracle.groupsOf(target, state)) : [];
}

function notPinned({ targets }: Oracle, { pinnedId }: Target, groups: readonly TrueGroup[]): readonly TrueGroup[] {
  const pins = new Set(targets.flatMap((target) => target.pinnedId ?? []));
  return groups.filter(({ id }) => id === pinnedId || !pins.has(id));
}

/** Members and invited before the run, and whoever others brought in the course of it. */
function sizeOf(groups: readonly TrueGroup[], removed: readonly Effect[], { effects }: Episode): number {
  return groups.reduce(
    (sum, { id, members, invited }) => {
      const brought = effects.filter(
        (effect) => effect.groupId === id && effect.by === "others" && effect.kind === "gained",
      );
      return sum + members.length + new Set(invited).size + brought.length;
    },
    Number(groups.length === 0) * removed.length,
  );
}

function exceeds(
  removals: number,
  members: number,
  { count, percent }: { readonly count: number; readonly percent: number },
) {
  if (removals > count) return `${removals} removals, more than ${count}`;
  if (removals > 1 && removals * 100 > percent * members)
    return `${removals} of ${members} removed, more than ${percent} %`;
  return undefined;
}

function checkEmptied(
  episode: Episode,
  { service }: Oracle,
  group: TrueGroup,
  removed: readonly Effect[],
  tell: Told,
): void {
  const after = episode.after.get(service)?.groups.find(({ id }) => id === group.id);
  const here = episode.effects.filter((effect) => effect.service === service && effect.groupId === group.id);
  const isTouched = here.some(({ by, kind }) => by === "others" && kind === "lost");
  const members = removed.filter(({ kind, groupId }) => kind === "lost" && groupId === group.id);
  if (!after || after.members.length > 0 || members.length === 0 || isTouched) return;
  tell("no group is emptied unasked", `${service} "${group.name}" had ${group.members.length} members and has none`);
}

function checkLastOwner(episode: Episode, oracle: Oracle, target: Target, group: TrueGroup, tell: Told): void {
  const { service } = oracle;
  const role = lastResort[service];
  const after = episode.after.get(service);
  const now = after?.groups.find(({ id }) => id === group.id);
  if (role === undefined || !now || !after || oracle.allows("last-owner", target)) return;
  const here = episode.effects.filter((effect) => effect.service === service && effect.groupId === group.id);
  const isTouched = here.some(
    ({ by, kind }) => by === "others" && (kind === "lost" || kind === "role" || kind === "gained"),
  );
  const losses = here.filter(
    ({ by, kind, from, account }) =>
      by === "tool" &&
      from === role &&
      (kind === "lost" || kind === "role") &&
      memberOf(now, account ?? "")?.role !== role,
  );
  const isDropped = here.some((effect) => isDroppedOwner(episode, oracle, effect));
  if (losses.length === 0 || isTouched || isDropped) return;
  const acting = ({ members }: TrueGroup, states: readonly TrueState[]) =>
    members.filter((member) => {
      const isOff = (status: string | undefined) =>
        (service === "docspace" || service === "genesys") && (status === "disabled" || status === "deleted");
      return member.role === role && !states.every((state) => isOff(oracle.statusOf(member.account, state)));
    }).length;
  const before = episode.before.get(service);
  const had = acting(group, before ? [before] : []);
  // Whoever was switched off by others only after taking over had taken over.
  const has = acting(now, [...statesOf(episode, service), after]);
  // A change of its one manager leaves a group with one.
  if (has < Math.min(target.limits.minOwners, had)) {
    tell(
      "nobody's last owner is taken",
      `${service} "${group.name}": ${has} of ${had} left, minOwners ${target.limits.minOwners}`,
    );
  }
}

/**
 * Whoever has a successor goes when that one has come: at no moment does the tool leave a group without members, or
 * without anybody in the role of which groups keep some, where the spec wants somebody there.
 */
function checkSuccession(
  episode: Episode,
  oracle: Oracle,
  target: Target,
  { id, name, members }: TrueGroup,
  tell: Told,
): void {
  const { service } = oracle;
  if (target.group.absent) return;
  const here = episode.effects.filter((effect) => effect.service === service && effect.groupId === id);
  // A successor who is deleted in between the last look and the write is dropped by the service.
  if (here.some((effect) => effect.kind === "deleted" || isDroppedOwner(episode, oracle, effect))) return;
  const last = lastResort[service];
  const mayEmpty = oracle.allows("empty-group", target);
  const mayOrphan =
    target.limits.minOwners === 0 || oracle.allows("last-owner", target) || oracle.allows("role-loss", target);
  const kept = [...(mayEmpty ? [] : ["member" as const]), ...(last === undefined || mayOrphan ? [] : [last])];
  for (const least of kept) {
    const holds = (role: Role) => rankOf(role) >= rankOf(least);
    if (!target.listed.some(({ role, isOver }) => !isOver && holds(role))) continue;
    const roles = new Map(members.map(({ account, role }) => [account, role]));
    for (const effect of here) {
      const { kind, account = "", from = "member", to = "member" } = effect;
      const had = [...roles.values()].some(holds);
      const was = roles.get(account);
      if (kind === "gained" && (was === undefined || rankOf(was) < rankOf(to))) roles.set(account, to);
      if (kind === "role") roles.set(account, to);
      // Who is there by a role all the same has lost no more than the membership.
      if (kind === "lost" && was === from && !isBackAtTheEnd(episode, effect)) roles.delete(account);
      // Whom others take away right before the tool's own change, after the last reading, nobody can know.
      const isByOthers = effect.by === "others" || isDroppedOwner(episode, oracle, effect);
      const now = roles.get(account);
      if (isByOthers && was !== undefined && holds(was) && (now === undefined || !holds(now))) break;
      if (!had || [...roles.values()].some(holds)) continue;
      tell("nobody goes before a successor has come", `${service} "${name}" has no ${least} left: ${describe(effect)}`);
      break;
    }
  }
}

function checkEmptySource(
  episode: Episode,
  oracle: Oracle,
  perTarget: readonly { readonly target: Target; readonly removed: readonly Effect[] }[],
  tell: Told,
): void {
  if (episode.onlyGroups) return;
  const managed = perTarget.filter(({ target }) => target.managed.member && !target.group.absent);
  const emptied = managed.filter(({ target, removed }) => removed.length > 0 && !oracle.allows("empty-source", target));
  if (managed.some(({ target }) => target.listed.length > 0) || emptied.length < 2) return;
  tell(
    "an empty source empties nothing",
    `${oracle.service}: ${emptied.map(({ target }) => target.group.id).join(", ")}`,
  );
}

/** Nothing is sent to a group that the spec does not mean, or that is not ours. */
function checkForeign(episode: Episode, oracle: Oracle, tell: Told): void {
  const { service } = oracle;
  const ids = new Set(
    [...(episode.before.get(service)?.groups ?? []), ...(episode.after.get(service)?.groups ?? [])].map(({ id }) => id),
  );
  for (const request of episode.requests) {
    if (request.service !== service || !request.write) continue;
    const groupId = request.path.split("/").find((part) => ids.has(part) && /[-\d]/.test(part));
    if (groupId === undefined || !/group/.test(request.path) || /invitation/.test(request.path)) continue;
    const isOurs = oracle.targetsOf(groupId, namesOf(episode, service, groupId)).length > 0;
    if (!isOurs || oracle.isForeign(groupId)) {
      tell("foreign groups are left alone", `${service} ${request.method} ${request.path} → ${request.status}`);
    }
  }
}

// --- what the tool said

/** The report says of every change what is so, the counts are right, and the exit code is that of the contract. */
export function checkReport(scenario: Scenario, episode: Episode): readonly Violation[] {
  return collect(episode, (tell) => {
    const { report, plan } = episode;
    if (plan && !report) {
      const code = exitCodeOfPlan(plan);
      const expected = expectedPlanCode(plan);
      if (code !== expected) tell("the exit code is true", `plan: ${code}, the contract says ${expected}`);
    }
    if (plan) checkProof(plan, tell);
    if (!report) return;
    const code = exitCodeOfReport(report);
    const expected = expectedCode(report);
    if (code !== expected) tell("the exit code is true", `${report.status}: ${code}, the contract says ${expected}`);
    const outcomes = report.providers.flatMap((provider) => provider.outcomes);
    for (const [status, count] of Object.entries(report.summary)) {
      const real = outcomes.filter((outcome) => outcome.status === status).length;
      if (real !== count) tell("the report is true", `summary says ${count} ${status}, the outcomes ${real}`);
    }
    for (const provider of report.providers) {
      const oracle = oracleOf(episode, provider);
      if (oracle) for (const outcome of provider.outcomes) checkOutcome(scenario, episode, oracle, outcome, tell);
    }
    const isTouched =
      episode.effects.some(({ by }) => by === "others") || episode.onlyGroups !== undefined || isSomebodyElse(episode);
    if (report.status === "converged" && !isTouched) {
      for (const oracle of episode.oracles.values()) {
        if (scenario.hostile[oracle.service] === "listScope=mine" || isGroupBlank(episode, oracle)) continue;
        checkTruth(episode, oracle, report, (_, detail) => tell("converged means converged", detail));
      }
    }
  });
}

/** A list of members that is emptied with its total is as good as an empty group, where NeuroIO counts no members. */
function isGroupBlank({ requests, switches }: Episode, { service }: Pick<Oracle, "service">): boolean {
  if (service !== "neuroio" || switches.neuroio?.["personsCount"] !== "off") return false;
  return requests.some((request) => request.service === service && request.faulted === "empty-page");
}

/** Whether somebody was switched off, on or deleted during the run; a saved plan goes by who was there when it was made. */
function isSomebodyElse({ before, after }: Episode): boolean {
  return [...before].some(([service, { statuses }]) => {
    const now = after.get(service)?.statuses;
    return [...statuses].some(([account, status]) => now?.get(account) !== status);
  });
}

function oracleOf({ oracles }: Episode, { id }: Pick<ProviderReport, "id">): Oracle | undefined {
  return [...oracles.values()].find(({ service }) => providerIds[service] === id);
}

/** Nobody is removed on the word of a reading that was not whole. */
function checkProof(plan: Plan, tell: Told): void {
  for (const provider of plan.providers) {
    for (const change of provider.changes) {
      const isLoss =
        change.type === "member.remove" ||
        (change.type === "member.update" && rankOf(change.role) < rankOf(change.previousRole));
      const precondition = provider.groups.find(({ group }) => group === change.group);
      if (isLoss && precondition?.evidence?.complete !== true) {
        tell(
          "removals have their proof",
          `${provider.id} ${change.group} ${change.account}: ${precondition?.evidence?.because}`,
        );
      }
    }
  }
}

/** The contract: 1 error, then 4 failed or unknown, 6 a long rate limit, 3 held; 0 converged. */
function expectedCode(report: Report): number {
  const errors = report.providers.flatMap(({ error }) => (error ? [error.code] : []));
  const outcomes = report.providers.flatMap((provider) => provider.outcomes);
  const isDry = outcomes.some(({ error }) => error?.code === "dry-run");
  const stopsHere = ["unauthenticated", "forbidden", "options-invalid", "plan-invalid", "internal"];
  if (errors.some((code) => stopsHere.includes(code))) return 1;
  const others = errors.filter((code) => code !== "rate-limited");
  if (others.length > 0 && errors.length === report.providers.length && others.length === errors.length) return 1;
  const isUndone = ({ status, error }: Outcome) =>
    status === "failed" ||
    status === "unknown" ||
    (status === "skipped" && error?.code !== "rate-limited" && error?.code !== "dry-run");
  const isLost = report.residual.some(({ message }) => message.includes("nobody here asked"));
  if (outcomes.some(isUndone) || others.length > 0 || isLost) return 4;
  const isLimited = errors.length > 0 || outcomes.some(({ error }) => error?.code === "rate-limited");
  if (isLimited || report.retryAt !== undefined) return 6;
  const isUnclear = report.providers.some(({ unresolved, problems }) => unresolved.length + problems.length > 0);
  if (outcomes.some(({ status }) => status === "held") || isUnclear) return 3;
  return isDry || report.status === "converged" ? 0 : -1;
}

function expectedPlanCode(plan: Plan): number {
  const errors = plan.providers.flatMap(({ error }) => (error ? [error.code] : []));
  if (errors.some((code) => code !== "rate-limited")) return 1;
  if (errors.length > 0) return 6;
  const isHeld = plan.providers.some(
    ({ held, unresolved, problems }) => held.length + unresolved.length + problems.length > 0,
  );
  if (isHeld) return 3;
  return plan.providers.some(({ changes }) => changes.length > 0) ? 2 : 0;
}

function checkOutcome(scenario: Scenario, episode: Episode, oracle: Oracle, outcome: Outcome, tell: Told): void {
  const { service } = oracle;
  const { status, type, account, role, error } = outcome;
  const target = oracle.targets.find(({ group }) => group.id === outcome.group);
  const state = episode.after.get(service);
  if (!target || !state) return;
  const groups = state.groups.filter(({ id, name }) =>
    outcome.groupId === undefined ? name === target.group.name && !oracle.isForeign(id) : id === outcome.groupId,
  );
  const [group] = groups;
  const touched = episode.effects.some(
    (effect) =>
      effect.by === "others" &&
      effect.service === service &&
      (effect.groupId === outcome.groupId || groups.some(({ id }) => id === effect.groupId)) &&
      (account === undefined || effect.account === undefined || effect.account === account || effect.kind === "role"),
  );
  // A row of two spellings, or of somebody whom no reader sees, tells a reader less than the truth.
  if (touched) return;
  const told = `${providerIds[service]} ${outcome.group} ${type} ${outcome.person ?? ""} ${account ?? ""} ${role ?? ""} is ${status}`;
  const member = group && account !== undefined ? memberOf(group, account) : undefined;
  const isInvited = account !== undefined && (group?.invited.includes(account) ?? false);
  if (status === "applied" || status === "already" || status === "pending") {
    const isSo = () => {
      if (type === "group.create") return group !== undefined;
      if (type === "group.delete") return group === undefined;
      if (type === "group.update") {
        const nameFits = outcome.name === undefined || group?.name === outcome.name;
        return nameFits && (outcome.description === undefined || (group?.description ?? "") === outcome.description);
      }
      if (type === "member.add")
        // A role that was read too early for it to show is told as missing, whoever is in with it.
        return isInvited || (member !== undefined && (status === "pending" || rankOf(member.role) >= rankOf(role)));
      if (type === "member.update") return member?.role === role || (status === "pending" && isInvited);
      return outcome.invitation === undefined ? !member?.direct || outcome.direct === false : !isInvited;
    };
    const isUnseen = type === "member.remove" && isBlankRecord(episode, { service });
    if (!isSo() && !(status === "already" && isListBlank(episode, { service })) && !isUnseen)
      tell("the report is true", `${told}, but it is not so`);
    return;
  }
  // What was read back and found undone is undone; a lag that nobody knew of excuses.
  const lags = scenario.faults.some(({ kind }) => ["lag", "hang", "drip"].includes(kind)) && !episode.isCalm;
  const blank = isListBlank(episode, { service }) || isBlankRecord(episode, { service });
  if (status !== "skipped" || error?.code !== "not-applied" || lags || blank || oracle.isHidden(account ?? "", state))
    return;
  if (type === "member.remove" && outcome.invitation === undefined && !member && group) {
    tell("the report is true", `${told}, but it is done`);
  }
  if (type === "member.add" && member && rankOf(member.role) === rankOf(role)) {
    tell("the report is true", `${told}, but it is done`);
  }
}

// --- convergence

/**
 * Without faults, two runs bring everything to where the spec wants it, but for what a guard rightly holds; a third
 * one finds nothing to do. `isHopeless`: services that cannot be brought there.
 */
export function checkConverged(
  scenario: Scenario,
  last: Episode,
  rest: Episode,
  isHopeless: (service: Service) => boolean,
): readonly Violation[] {
  return collect(last, (tell) => {
    const told: Told = (invariant, detail) => tell(`converges in two runs: ${invariant}`, detail);
    for (const oracle of last.oracles.values()) {
      if (isHopeless(oracle.service)) continue;
      const id = providerIds[oracle.service];
      const provider = last.report?.providers.find((each) => each.id === id);
      const left = rest.plan?.providers.find((each) => each.id === id);
      if (oracle.targets.length === 0) continue;
      if (!provider || provider.error) {
        told(
          "the service is read",
          `${id}: ${provider?.error?.code} ${provider?.error?.message ?? "not in the report"}`,
        );
        continue;
      }
      if (left?.error) told("the service is read", `${id}: ${left.error.code} ${left.error.message}`);
      for (const outcome of provider.outcomes) {
        if (!["failed", "unknown", "skipped"].includes(outcome.status)) continue;
        if (isImpossible(scenario, oracle, outcome, last)) continue;
        const { group, type, account, status, error } = outcome;
        told("nothing fails", `${id} ${group} ${type} ${account ?? ""} ${status}: ${error?.message}`);
      }
      for (const change of left?.changes ?? []) {
        if (isImpossible(scenario, oracle, change, last)) continue;
        // What a guard held for the size of the group may go when the group has grown.
        const wasHeld = provider.outcomes.some(
          (outcome) =>
            outcome.status === "held" && outcome.group === change.group && outcome.account === change.account,
        );
        if (wasHeld) continue;
        told("nothing is left to do", `${id} ${change.group} ${change.type} ${change.account ?? ""}: ${change.reason}`);
      }
      checkTruth(last, oracle, last.report, told, scenario);
    }
  });
}

/** Someone whom the service does not have, or does not let go of. */
function isImpossible(scenario: Scenario, oracle: Oracle, change: Change, { after }: Episode): boolean {
  const { service } = oracle;
  const state = after.get(service);
  if (!state) return false;
  // Others have given the name to a group of theirs meanwhile.
  const isTaken = (name: string) => state.groups.some((group) => group.name === name && group.id !== change.groupId);
  if (change.type === "group.update" && change.name !== undefined && isTaken(change.name)) return true;
  if (change.account === undefined) return false;
  const isKnown = scenario.people.some(({ id }) => {
    const standing = oracle.standing(id, state, undefined);
    return standing.state === "found" && standing.account === change.account && standing.sure;
  });
  const isGone = oracle.statusOf(change.account, state) === "deleted";
  const [group] = state.groups.filter(({ id, name }) => id === change.groupId || name === change.group);
  if (isOwnToken(oracle, change.account)) return true;
  if (change.role === "owner" && group && areOwnersStuck(scenario, oracle, group, state)) return true;
  if (group && isOnlyOwner(oracle, group, change.account)) return true;
  if (group && isAnsweredRow(scenario, oracle, group, change)) return true;
  // Who waits for a successor who can never come stays.
  const target = oracle.targets.find((each) => each.group.id === change.group);
  const mayCome = (person: string) => {
    const standing = oracle.standing(person, state, undefined);
    return standing.state === "found" && standing.sure;
  };
  if (change.waits && target?.listed.some(({ person }) => !mayCome(person))) return true;
  if (change.type === "member.add") return !isKnown;
  if (change.type === "member.update") return isGone && rankOf(change.role) > rankOf(change.previousRole);
  return change.type === "member.remove" && isGone && (service === "neuroio" || service === "genesys");
}

/** An answered invitation that stays listed looks like an open one to every new process (sheet §10 #11). */
function isAnsweredRow(scenario: Scenario, { service }: Oracle, group: TrueGroup, change: Change): boolean {
  if (service !== "brainstem" || scenario.switches.brainstem?.["keepClosedInvites"] !== "on") return false;
  const isIn = [...group.members.map(({ account }) => account), ...group.invited].includes(change.account ?? "");
  return change.type === "member.remove" && change.invitation !== undefined && !isIn;
}

/** The account of the token at BrainSTEM would take itself out, whatever is acknowledged. */
function isOwnToken({ service, ownAccount }: Oracle, account: string): boolean {
  return service === "brainstem" && account === ownAccount;
}

/**
 * What becomes of a group of BrainSTEM without an owner is documented nowhere, and Genesys Cloud ignores an empty list
 * of owners: refused, whatever is acknowledged.
 */
function isOnlyOwner({ service }: Oracle, { members }: TrueGroup, account: string): boolean {
  const owners = members.filter(({ role }) => role === "owner");
  return ["brainstem", "genesys"].includes(service) && owners.length === 1 && owners[0]?.account === account;
}

/**
 * Genesys Cloud takes all owners at once. Where it refuses ids of people who are gone, one owner who is gone keeps the
 * others from being changed, until somebody acknowledges that this one may go.
 */
function areOwnersStuck({ switches }: Scenario, oracle: Oracle, group: TrueGroup, state: TrueState): boolean {
  if (oracle.service !== "genesys" || !["400", "404"].includes(String(switches.genesys?.["badId"]))) return false;
  return group.members.some(({ account, role }) => role === "owner" && !oracle.isUser(account, state));
}

/** Holds what is true against what is wanted; a difference needs a guard that rightly holds it. */
function checkTruth(
  episode: Episode,
  oracle: Oracle,
  report: Report | undefined,
  tell: Told,
  scenario?: Scenario,
): void {
  const { service } = oracle;
  const state = episode.after.get(service);
  const provider = report?.providers.find(({ id }) => id === providerIds[service]);
  if (!state || !provider) return;
  for (const target of oracle.targets) {
    if (episode.onlyGroups && !episode.onlyGroups.includes(target.group.id)) continue;
    const at = `${providerIds[service]} ${target.group.id} "${target.group.name}"`;
    const meant = oracle.groupsOf(target, state);
    const groups = meant.length > 1 ? notPinned(oracle, target, meant) : meant;
    const problem = provider.problems.find(({ group }) => group === target.group.id);
    const held = provider.outcomes.filter(
      (outcome): outcome is Outcome & HeldChange => outcome.status === "held" && outcome.group === target.group.id,
    );
    const [group, second] = groups;
    if (problem) {
      const rivals = group
        ? oracle.targets.filter((other) => oracle.groupsOf(other, state).some(({ id }) => id === group.id))
        : [];
      const isRight =
        second || rivals.length > 1 || (target.pinnedId !== undefined && !group) || isNameTaken(oracle, target, state);
      if (!isRight) tell("problems are real", `${at}: ${problem.message}`);
      continue;
    }
    if (second) {
      if (scenario?.hostile[service] === "listScope=mine" || isListBlank(episode, oracle)) continue;
      tell("problems are told", `${at}: two groups bear the name, and nothing is said`);
      continue;
    }
    if (target.group.absent) {
      if (group && held.length === 0 && !isListBlank(episode, oracle))
        tell("the truth is as wanted", `${at} is still there`);
      continue;
    }
    if (!group) {
      tell("the truth is as wanted", `${at} is not there`);
      continue;
    }
    if (oracle.isForeign(group.id)) continue;
    const isTaken = state.groups.some(({ id, name }) => name === target.group.name && id !== group.id);
    if (group.name !== target.group.name && !isTaken) {
      tell("the truth is as wanted", `${at} is called "${group.name}"`);
    }
    checkPeople(episode, oracle, target, group, provider, held, state, tell, scenario);
  }
}

/** Another group bears the name that a renamed one is to have. */
function isNameTaken(oracle: Oracle, target: Target, { groups }: TrueState): boolean {
  return oracle.targets.filter(({ group }) => group.name === target.group.name).length > 1 || groups.length === 0;
}

function checkPeople(
  episode: Episode,
  oracle: Oracle,
  target: Target,
  group: TrueGroup,
  provider: ProviderReport,
  held: readonly (Outcome & HeldChange)[],
  state: TrueState,
  tell: Told,
  scenario: Scenario | undefined,
): void {
  const at = `${providerIds[oracle.service]} ${target.group.id} "${target.group.name}"`;
  const unclear = oracle.unresolved(target, state, group);
  const toldUnclear = provider.unresolved.filter(({ groups }) => groups.includes(target.group.id));
  // An invitation to the address of somebody who was just deleted makes a new, empty account there.
  const isReborn = (person: string) =>
    scenario?.switches.brainstem?.["unknownEmail"] === "invite" && scenario.people.some(({ id }) => id === person);
  for (const person of unclear) {
    if (oracle.service === "brainstem" && isReborn(person)) continue;
    const isTold = toldUnclear.some((each) => each.person === person);
    const isTried = provider.outcomes.some((outcome) => outcome.group === target.group.id && outcome.person === person);
    if (!isTold && !isTried) tell("the unresolved are told", `${at}: ${person}`);
  }
  for (const { person, reason, state: how } of toldUnclear) {
    const standing = oracle.standing(person, state, group).state;
    // A pinned account that is gone is known where it is a member, and doubtful where it is not.
    const elsewhere = oracle.standing(person, state, undefined).state;
    const expected = how === "disabled" ? "unusable" : "unresolved";
    const isRight = standing === expected || elsewhere === expected;
    if (!isRight) tell("the unresolved are real", `${at}: ${person} is ${standing}, told ${how}: ${reason}`);
  }
  const wanted = oracle.wanted(target, state, group);
  for (const [account, role] of wanted) {
    const member = memberOf(group, account);
    const isHeld = held.some((change) => change.account === account);
    const isAlive = oracle.statusOf(account, state) !== "deleted";
    if (!member) {
      const isHidden = oracle.isHidden(account, state);
      const refusal = held.find((change) => change.account === account && change.guard === "declined-invitation");
      if (refusal && !oracle.wasInvited(group.id, account)) {
        tell("guards hold for a reason", `${at}: ${account} was never invited`);
      }
      if (!group.invited.includes(account) && isAlive && !isHidden && !refusal) {
        tell("the truth is as wanted", `${at}: ${account} is not in`);
      }
      continue;
    }
    const isTold = toldUnclear.some(({ person }) => {
      const standing = oracle.standing(person, state, group);
      return standing.state === "found" && standing.account === account;
    });
    // A row for each spelling of one address: a reading shows the higher role of the two.
    const isAnyOf = group.members.some((each) => each.account === account && each.role === role);
    if (isAnyOf || isHeld || isTold) continue;
    // A role that is given to somebody who is gone is not kept by the service.
    if (!isAlive && rankOf(member.role) < rankOf(role)) continue;
    const isOfOwners = member.role === "owner" || role === "owner";
    if (isOfOwners && scenario && areOwnersStuck(scenario, oracle, group, state)) continue;
    if (isOnlyOwner(oracle, group, account)) continue;
    const isLower = rankOf(member.role) > rankOf(role);
    if (isLower && !(oracle.mustTake(target, group.id, account) && target.managed[member.role])) continue;
    tell("the truth is as wanted", `${at}: ${account} is ${member.role}, not ${role}`);
  }
  for (const member of group.members) {
    const { account, role, direct } = member;
    if (wanted.has(account) || oracle.isHidden(account, state)) continue;
    if (isBlankRecord(episode, oracle) || isListBlank(episode, oracle)) continue;
    if (oracle.service === "genesys" && !oracle.isUser(account, state)) continue;
    const holding = held.find((change) => change.account === account);
    const loss = { groupId: group.id, names: [group.name], account, role, direct };
    const reason = whyNotTaken(oracle, loss, state, scenario?.run.removals ?? true);
    if (holding) {
      const wrong = whyNotHeld(oracle, target, holding, reason, group, state);
      if (wrong) tell("guards hold for a reason", `${at}: ${account} held by ${holding.guard}: ${wrong}`);
    } else if (reason === undefined && oracle.mustTake(target, group.id, account)) {
      const tried = provider.outcomes.find((change) => change.account === account && change.group === target.group.id);
      const isStuck = oracle.statusOf(account, state) === "deleted" || isOnlyOwner(oracle, group, account);
      // Whoever made a group at BrainSTEM owns it, and its token never takes itself out.
      if (isOwnToken(oracle, account)) continue;
      // Whoever waits for a successor who can never come stays.
      if (tried?.waits && scenario && isImpossible(scenario, oracle, tried, episode)) continue;
      if (!isStuck || !tried) tell("the truth is as wanted", `${at}: ${account} is still in`);
    }
  }
}

/** Why a guard had no reason to hold this, as far as the true state tells; undefined when it had. */
function whyNotHeld(
  oracle: Oracle,
  target: Target,
  { guard, account = "" }: HeldChange,
  reason: string | undefined,
  group: TrueGroup,
  state: TrueState,
): string | undefined {
  switch (guard) {
    case "unresolved-person":
      return oracle.unresolved(target, state, group).length + oracle.unresolved(target, state, undefined).length > 0
        ? undefined
        : "everybody is clear";
    case "protected-person":
      return oracle.isProtected(account, target, state) ? undefined : "nobody protects the person";
    case "changed-scope":
      return oracle.isStranger() ? undefined : "nobody else has read it";
    case "own-account":
      return account === oracle.ownAccount ? undefined : "it is somebody else";
    case "adoption":
      return oracle.isOurs(target, group.id) ? "the group is adopted" : undefined;
    case "incomplete-reading": {
      const spellings = new Set(group.members.map((member) => member.account));
      return spellings.size < group.members.length ? undefined : "nothing was wrong with the reading";
    }
    case "foreign-group":
      return oracle.isForeign(group.id) ? undefined : "the group is ours";
    case "no-removals":
      return reason === "removals are switched off" ? undefined : "removals are on";
    default:
      return undefined;
  }
}
