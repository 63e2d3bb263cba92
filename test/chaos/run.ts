/**
 * Plays a scenario in process: the services start, others do their edits, the tool runs under faults; then the faults
 * stop and it has two more runs to converge. After every run the invariants are checked against the true state.
 */
import { setTimeout as sleep } from "node:timers/promises";
import {
  applyPlan,
  createPlan,
  createProviders,
  type GroupProvider,
  isGroupSyncError,
  parsePlan,
  parseSpec,
  type Plan,
  type PlanOptions,
  type Report,
  reconcile,
  type Spec,
  type State,
} from "../../src/index.js";
import { GUARDS } from "../../src/model.js";
import { parseAllowance } from "../../src/reconcile/guard.js";
import type { SandboxEdit, SeedPerson } from "../../src/sandbox/index.js";
import { type Sandbox, startSandbox } from "../../src/sandbox/server.js";
import { createMemoryState } from "../../src/state/memory.js";
import {
  checkConverged,
  checkNothingWritten,
  checkReport,
  checkRun,
  type Episode,
  type Violation,
} from "./invariants.js";
import { createLedger, type Ledger } from "./ledger.js";
import { createOracle, type Oracle, ownAccountOf, type TrueState } from "./oracle.js";
import {
  type Answer,
  BRAINSTEM_OWN,
  type GroupWish,
  type GuardWish,
  type Lists,
  LONGEST_LAG_MS,
  providerIds,
  type Scenario,
  type Service,
  type TargetWish,
} from "./scenario.js";
import { createWitness, trueGroups, type Witness } from "./witness.js";

/** What a scenario came to. */
export interface Play {
  readonly seed: number;
  readonly violations: readonly Violation[];
  /** How each run ended, for the counts. */
  readonly outcomes: readonly string[];
  /** Kinds of faults that struck. */
  readonly struck: readonly string[];
  /** What happened, for a look into one seed. */
  readonly story: readonly string[];
}

const VERIFY_MS = 300;
/** Nothing takes that long; a run that does hangs. */
const LONGEST_RUN_MS = 60_000;

/** A lag of a switch or fault, and the time that a slow machine takes on top. */
const SETTLE_MS = LONGEST_LAG_MS + 80;

export async function playScenario(scenario: Scenario): Promise<Play> {
  const witness = createWitness();
  const sandbox = await startSandbox(
    {
      services: scenario.services,
      seed: { people: scenario.people, groups: scenario.groups },
      switches: scenario.switches,
      randomSeed: scenario.seed,
      logSize: 1_000_000,
    },
    witness.factories,
  );
  try {
    return await playIn(scenario, sandbox, witness);
  } finally {
    await sandbox.close();
  }
}

async function playIn(scenario: Scenario, sandbox: Sandbox, witness: Witness): Promise<Play> {
  const ledger = createLedger(witness, scenario.remembers);
  const oracles = openOracles(scenario, sandbox, ledger);
  placeOwnAccounts(scenario, sandbox, oracles);
  const world = createWorld(scenario, sandbox, oracles, witness);
  const violations: Violation[] = [];
  const outcomes: string[] = [];
  const story: string[] = [];

  if (scenario.earlier) {
    const { spec, asOther } = scenario.earlier;
    const before = { ...scenario, spec };
    const then = { ...world, oracles: openOracles(before, sandbox, ledger, asOther), asOther };
    await record(await runOnce(before, sandbox, then, "before"), before);
    await sleep(SETTLE_MS);
    answerInvitations(scenario, sandbox, scenario.earlier.invited);
    for (const { service, edit } of scenario.earlier.edits) world.edit(service, edit);
    await sleep(SETTLE_MS);
  }
  for (const fault of scenario.faults) sandbox.addFault(fault);
  const first = await runOnce(scenario, sandbox, world, "under faults");
  await record(first, scenario, true);
  const struck = sandbox.faults().flatMap(({ fault, struck: times }) => (times > 0 ? [fault.kind] : []));
  const expired = sandbox.faults().some(({ fault, struck: times }) => fault.kind === "expired-token" && times > 0);

  sandbox.clearFaults();
  await sleep(SETTLE_MS);
  answerInvitations(scenario, sandbox, scenario.invited);
  let last = await runOnce(scenario, sandbox, world, "afterwards");
  await record(last);
  if (!isSettled(last)) {
    await sleep(SETTLE_MS);
    last = await runOnce(scenario, sandbox, world, "once more");
    await record(last);
  }
  await sleep(SETTLE_MS);
  const rest = await runOnce(scenario, sandbox, world, "what is left");
  await record(rest);

  const isHopeless = (service: Service) =>
    scenario.hostile[service] !== undefined || (expired && !isRenewed(service, scenario));
  violations.push(...checkConverged(scenario, last, rest, isHopeless));
  violations.push(...witness.doubleInvitations.map((detail) => ({ invariant: "nobody is invited twice", detail })));
  return { seed: scenario.seed, violations, outcomes, struck, story };

  async function record(episode: Episode, played = scenario, isFirst = false): Promise<void> {
    story.push(...describeEpisode(episode));
    outcomes.push(`${episode.name}: ${episode.thrown?.code ?? episode.report?.status ?? episode.plan?.status ?? "-"}`);
    violations.push(...checkRun(played, episode), ...checkReport(played, episode));
    const isReading = episode.name === "what is left" || (scenario.run.kind === "dry-run" && isFirst);
    if (isReading) violations.push(...checkNothingWritten(episode));
    ledger.note(episode);
  }
}

function answerInvitations({ services, switches }: Scenario, sandbox: Sandbox, answer: Answer): void {
  if (!services.includes("brainstem") || answer === "wait") return;
  // A closed invitation that stays listed looks like an open one; nobody can tell (sheet §10 #11).
  const keeps = switches.brainstem?.["keepClosedInvites"] === "on";
  if (!keeps) sandbox.services.brainstem.control.answerInvitations(answer);
}

function isSettled({ report }: Episode): boolean {
  return report?.status === "converged" || report?.status === "held";
}

/** Whether credentials are fetched anew when they have expired. */
function isRenewed(service: Service, { renewable }: Scenario): boolean {
  return service === "genesys" || (renewable && service !== "brainstem");
}

interface World {
  readonly oracles: ReadonlyMap<Service, Oracle>;
  readonly witness: Witness;
  /** Services that are read with somebody else's credentials. */
  readonly asOther: readonly Service[];
  /** What the tool remembers, if it does. */
  readonly memory?: State;
  state(service: Service): TrueState;
  /** Every state of people that was true since the last call. */
  takeStates(service: Service): readonly TrueState["statuses"][];
  edit(service: Service, edit: SandboxEdit): void;
}

function createWorld(
  { people, faults, remembers }: Scenario,
  sandbox: Sandbox,
  oracles: ReadonlyMap<Service, Oracle>,
  witness: Witness,
): World {
  const statuses = new Map<Service, Map<string, NonNullable<SeedPerson["status"]>>>();
  for (const service of oracles.keys()) {
    statuses.set(service, new Map(people.map(({ id, status }) => [id, status ?? "active"])));
  }
  const past = new Map<Service, TrueState["statuses"][]>();
  const current = (service: Service) => statuses.get(service) ?? new Map();
  // Faults that edit somebody's status have struck or not: both are taken as possible until the end of the run.
  const settled = new Set<string>();
  return {
    oracles,
    witness,
    asOther: [],
    ...(remembers && { memory: createMemoryState() }),
    state: (service) => ({
      groups: trueGroups(sandbox.services[service], service),
      statuses: new Map(current(service)),
    }),
    takeStates(service) {
      const before = new Map(current(service));
      for (const { id, fault, struck } of sandbox.faults()) {
        if (fault.kind !== "edit" || fault.edit.action !== "set-status" || struck === 0 || settled.has(id)) continue;
        if ((fault.service ?? service) !== service) continue;
        settled.add(id);
        current(service).set(fault.edit.person, fault.edit.status);
      }
      const states = [...(past.get(service) ?? []), before, new Map(current(service))];
      past.set(service, []);
      return states;
    },
    edit(service, edit) {
      const { control } = sandbox.services[service];
      const group = "group" in edit ? control.groups().filter(({ name }) => name === edit.group) : [];
      const [only, another] = group;
      const account = "person" in edit ? control.accountOf(edit.person) : "-";
      if (account === undefined || another || ("group" in edit && !only)) return;
      past.set(service, [...(past.get(service) ?? []), new Map(current(service))]);
      const groupId = only?.id ?? "";
      const isDeleted = "person" in edit && current(service).get(edit.person) === "deleted";
      if (edit.action === "add-member" && !isDeleted) control.addMember(groupId, account, edit.role);
      else if (edit.action === "remove-member" && !isDeleted) control.removeMember(groupId, account);
      else if (edit.action === "rename-group") control.renameGroup(groupId, edit.name);
      else if (edit.action === "delete-group") control.deleteGroup(groupId);
      else if (edit.action === "add-group") control.addGroup({ name: edit.name });
      else if (edit.action === "set-status" && !isDeleted) {
        control.setPersonStatus(account, edit.status);
        current(service).set(edit.person, edit.status);
      }
      void faults;
    },
  };
}

function openOracles(
  scenario: Scenario,
  sandbox: Sandbox,
  ledger: Ledger,
  asOther: readonly Service[] = [],
): ReadonlyMap<Service, Oracle> {
  return new Map(
    scenario.services.map((service) => [
      service,
      openOracle(scenario, sandbox, ledger, service, asOther.includes(service) ? "admin" : "owner"),
    ]),
  );
}

function openOracle(
  scenario: Scenario,
  sandbox: Sandbox,
  ledger: Ledger,
  service: Service,
  readAs: "admin" | "owner",
): Oracle {
  const { control, otherCredentials } = sandbox.services[service];
  const spelled = (account: string) => (service === "brainstem" ? account.toLowerCase() : account);
  const groups = trueGroups(sandbox.services[service], service);
  const groupIds = new Map<string, string[]>();
  for (const { id, name } of groups) groupIds.set(name, [...(groupIds.get(name) ?? []), id]);
  const foreign = scenario.groups.filter(({ kind }) => kind !== undefined && kind !== "plain");
  return createOracle({
    scenario,
    service,
    accounts: new Map(
      scenario.people.flatMap(({ id }) => {
        const account = control.accountOf(id);
        return account === undefined ? [] : [[id, spelled(account)] as const];
      }),
    ),
    groupIds,
    foreignIds: new Set(foreign.flatMap(({ name }) => groupIds.get(name) ?? [])),
    ownAccount: ownAccountOf(service, otherCredentials[readAs]?.["userId"]),
    isStranger: () => readAs === "owner" && ledger.wasReadByOther(service),
    hasMade: (groupId) => ledger.hasMade(service, groupId),
    hasAdded: (groupId, account) => ledger.hasAdded(service, groupId, account),
    hasSurelyAdded: (groupId, account) => ledger.hasSurelyAdded(service, groupId, account),
    wasInvited: (groupId, account) => ledger.wasInvited(service, groupId, account),
    hasDeclined: (groupId, account) => ledger.hasDeclined(service, groupId, account),
  });
}

/** The account of the credentials is a member here and there, so that it could be removed. */
function placeOwnAccounts(scenario: Scenario, sandbox: Sandbox, oracles: ReadonlyMap<Service, Oracle>): void {
  for (const service of scenario.services) {
    const own = oracles.get(service)?.ownAccount;
    if (own === undefined) continue;
    const { control } = sandbox.services[service];
    // There it is an owner of every group already.
    if (scenario.switches[service]?.["staff"] === "everyGroup") continue;
    for (const { id, name } of control.groups()) {
      const isForeign = oracles.get(service)?.isForeign(id) ?? false;
      if (scenario.ownAccountIn.includes(name) && !isForeign) control.addMember(id, own, "member");
    }
  }
}

// --- the spec

const QUICK = { retryDelayMs: 1, requestsPerMinute: 1_000_000 };

function specText(scenario: Scenario, sandbox: Sandbox, { oracles, asOther }: World, calm: boolean): string {
  const { spec, patience } = scenario;
  const config = sandbox.config();
  const connection = calm
    ? { ...QUICK, timeoutMs: 20_000, maxWaitMs: 3_000 }
    : { ...QUICK, ...patience, timeoutMs: 250 };
  const providers = Object.fromEntries(
    scenario.services.map((service) => [
      providerIds[service],
      {
        ...withLogIn(scenario, sandbox, service, asOther.includes(service), config[providerIds[service]] ?? {}),
        ...connection,
        ...(spec.providerGuards[service] && { guards: spec.providerGuards[service] }),
      },
    ]),
  );
  const people = Object.entries(spec.people).map(([id, { email, aliases, pins }]) => {
    const accounts = scenario.services.flatMap((service): readonly (readonly [string, string | null])[] => {
      const pin = pins[service];
      if (pin === undefined) return [];
      if (pin === "none") return [[providerIds[service], null]];
      if (pin === "bogus") return [[providerIds[service], bogusAccount(service, id)]];
      const account = sandbox.services[service].control.accountOf(pin.own);
      return account === undefined ? [] : [[providerIds[service], account]];
    });
    return [id, { ...(email !== undefined && { email }), aliases, accounts: Object.fromEntries(accounts) }] as const;
  });
  return JSON.stringify({
    version: 1,
    mode: spec.mode,
    adopt: spec.adopt,
    providers,
    people: Object.fromEntries(people),
    groups: Object.fromEntries(spec.groups.map((group) => [group.id, groupEntry(group, oracles)])),
    guards: spec.guards satisfies GuardWish,
  });
}

function withLogIn(
  { renewable }: Scenario,
  sandbox: Sandbox,
  service: Service,
  isOther: boolean,
  options: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  const { otherCredentials } = sandbox.services[service];
  const { token: _token, apiKey: _apiKey, ...address } = options;
  if (isOther) return { ...address, apiKey: otherCredentials["admin"]?.["apiKey"] ?? "" };
  if (service === "brainstem") return { ...options, account: BRAINSTEM_OWN };
  if (renewable && service === "neuroio") return { ...address, ...otherCredentials["login"] };
  if (renewable && service === "docspace") {
    const { userName = "", password = "" } = otherCredentials["owner"] ?? {};
    return { ...address, userName, password };
  }
  return options;
}

function bogusAccount(service: Service, person: string): string {
  if (service === "brainstem") return `nobody-${person}@example.org`;
  const tail = Array.from(person)
    .map((letter) => letter.charCodeAt(0).toString(16))
    .join("")
    .slice(0, 12);
  return `0badc0de-0bad-4bad-8bad-${tail.padStart(12, "0")}`;
}

const LIST_KEYS = { member: "members", manager: "managers", owner: "owners" } as const;

function listEntries(lists: Lists): Record<string, unknown> {
  return Object.fromEntries(
    (["member", "manager", "owner"] as const).flatMap((role) => {
      const list = lists[role]?.map(({ person, until }) => (until === undefined ? person : { person, until }));
      return list ? [[LIST_KEYS[role], list] as const] : [];
    }),
  );
}

function groupEntry(group: GroupWish, oracles: ReadonlyMap<Service, Oracle>): Record<string, unknown> {
  const { name, previously, description, mode, adopt, guards, absent, targets } = group;
  const [first] = targets;
  const isAlike = targets.every(({ lists }) => lists === first?.lists);
  const targetEntry = ({ service, lists, guards: own }: TargetWish) => {
    const target = oracles.get(service)?.targets.find((each) => each.group === group);
    return {
      ...(target?.pinnedId !== undefined && { id: target.pinnedId }),
      ...(!isAlike && listEntries(lists)),
      ...(own && { guards: own }),
    };
  };
  return {
    name,
    ...(previously.length > 0 && { previously }),
    ...(description !== undefined && { description }),
    ...(mode && { mode }),
    ...(adopt !== undefined && { adopt }),
    ...(guards && { guards }),
    ...(absent && { delete: true }),
    ...(isAlike && first && listEntries(first.lists)),
    targets: Object.fromEntries(targets.map((target) => [providerIds[target.service], targetEntry(target)])),
  };
}

// --- the runs

async function runOnce(scenario: Scenario, sandbox: Sandbox, world: World, name: string): Promise<Episode> {
  const isFirst = name === "under faults";
  const before = new Map(scenario.services.map((service) => [service, world.state(service)]));
  const from = world.witness.effects.length;
  const logFrom = sandbox.log.length;
  let plan: Plan | undefined;
  let report: Report | undefined;
  let thrown: Episode["thrown"];
  const stopper = new AbortController();
  let events = 0;
  const isStopped = isFirst && scenario.run.kind === "stopped";
  try {
    const text = specText(scenario, sandbox, world, !isFirst);
    const spec: Spec = await parseSpec(text, { file: `seed-${scenario.seed}.json` });
    const providers: readonly GroupProvider[] = createProviders(spec);
    const allow = scenario.run.allow.flatMap((each) => parseAllowance(each, GUARDS) ?? []);
    const options: PlanOptions = {
      spec,
      providers,
      allow,
      removals: scenario.run.removals,
      verifyMs: VERIFY_MS,
      ...(world.memory && { state: world.memory }),
      signal: AbortSignal.any([stopper.signal, AbortSignal.timeout(LONGEST_RUN_MS)]),
      onEvent: () => {
        if (isStopped && ++events === scenario.run.stopAfter) stopper.abort();
      },
      ...(isFirst && scenario.run.onlyGroups && { only: { groups: scenario.run.onlyGroups } }),
    };
    const meanwhile = () => {
      for (const { service, edit } of scenario.run.meanwhile) world.edit(service, edit);
    };
    if (name === "what is left") {
      plan = await createPlan(options);
    } else if (isFirst && scenario.run.kind === "saved-plan") {
      const made = await createPlan(options);
      plan = parsePlan(JSON.parse(JSON.stringify(made)), new Date());
      meanwhile();
      report = await applyPlan(plan, options);
    } else {
      report = await reconcile({
        ...options,
        dryRun: isFirst && scenario.run.kind === "dry-run",
        ...(((isFirst && scenario.run.kind === "confirmed") || name === "once more") && {
          confirm: (made: Plan) => {
            plan = made;
            if (isFirst) meanwhile();
            return true;
          },
        }),
      });
    }
  } catch (error) {
    thrown = isGroupSyncError(error)
      ? { code: error.code, message: error.message }
      : { code: "(not ours)", message: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  }
  // What a request that nobody waits for any more may still be doing.
  if (isFirst) await sleep(400 * Number(scenario.faults.some(({ kind }) => kind === "hang" || kind === "drip")));
  const after = new Map(scenario.services.map((service) => [service, world.state(service)]));
  const effects = world.witness.effects.slice(from);
  const statuses = new Map(scenario.services.map((service) => [service, world.takeStates(service)]));
  return {
    name,
    isCalm: !isFirst,
    isStopped,
    switches: scenario.switches,
    ...(plan && { plan }),
    ...(report && { report }),
    ...(thrown && { thrown }),
    before,
    after: new Map(
      [...after].map(([service, { groups }]) => [service, { groups, statuses: world.state(service).statuses }]),
    ),
    statuses,
    effects,
    oracles: world.oracles,
    asOther: world.asOther,
    requests: sandbox.log.slice(logFrom),
    ...(isFirst && scenario.run.onlyGroups && { onlyGroups: scenario.run.onlyGroups }),
  };
}

function describeEpisode({ name, plan, report, thrown, effects, requests }: Episode): readonly string[] {
  const outcomes = report?.providers.flatMap(({ id, outcomes: all }) =>
    all.map(
      ({ type, group, account, person, role, status, guard, error }) =>
        `    ${id} ${group} ${type} ${person ?? ""} ${account ?? ""} ${role ?? ""}: ${status} ${guard ?? ""} ${error ? `${error.code} ${error.message}` : ""}`,
    ),
  );
  return [
    `${name}: ${report?.status ?? plan?.status ?? ""} ${thrown ? `${thrown.code}: ${thrown.message}` : ""} ${report?.stopped ?? ""}`,
    ...(report?.providers ?? []).flatMap(({ id, unresolved, problems, error }) => [
      ...unresolved.map(({ person, reason }) => `    ${id} unresolved ${person}: ${reason}`),
      ...problems.map(({ group, message }) => `    ${id} problem ${group}: ${message}`),
      ...(error ? [`    ${id} error ${error.code}: ${error.message}`] : []),
    ]),
    ...(outcomes ?? []),
    ...(report?.residual ?? []).map(({ group, message }) => `    residual ${group}: ${message}`),
    "  effects:",
    ...effects.map(
      ({ service, kind, groupName, groupId, account, from, to, value, by, during }) =>
        `    ${by} ${service} "${groupName}" (${groupId}) ${kind} ${account ?? ""} ${from ?? ""}→${to ?? ""} ${value ?? ""} (${during})`,
    ),
    "  requests:",
    ...requests.map(
      ({ service, method, path, query, status, faulted, bodySummary }) =>
        `    ${service} ${method} ${path}${query ? `?${query}` : ""} ${bodySummary ?? ""} → ${status} ${faulted ?? ""}`,
    ),
  ];
}
