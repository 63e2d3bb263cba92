/**
 * A scenario from a number: people, groups, a spec, switches, faults and a way of running. Plain data, and the same
 * number gives the same data on every machine.
 */
import { createRandom } from "../../src/sandbox/kit.js";
import type { Fault, SandboxEdit, SeedGroup, SeedPerson } from "../../src/sandbox/index.js";
import { pickHostility, pickSwitches, type Switches } from "./switches.js";

/** The four services; others of the sandbox have their own tests. */
export const SERVICES = ["neuroio", "brainstem", "docspace", "genesys"] as const;
export type Service = (typeof SERVICES)[number];

/** Provider ids as `sandbox.config()` names them. */
export const providerIds = {
  neuroio: "faces",
  brainstem: "lab",
  docspace: "docs",
  genesys: "calls",
} as const satisfies Record<Service, string>;

/** The e-mail of the account that BrainSTEM's credentials belong to. */
export const BRAINSTEM_OWN = "sync@sandbox.example";

export type Role = "member" | "manager" | "owner";
export type ModeName = "authoritative" | "additive" | "owned";

/** What the spec says of someone. */
interface PersonWish {
  readonly email?: string;
  readonly aliases: readonly string[];
  /** By service: `own`: pinned to the seed person of this id; `none`: `null`; `bogus`: an account that nobody has. */
  readonly pins: Readonly<Partial<Record<Service, { readonly own: string } | "none" | "bogus">>>;
}

/** Someone in a list of the spec. */
export interface ListItem {
  readonly person: string;
  readonly until?: string;
}

/** A role without a list is not managed. */
export type Lists = Readonly<Partial<Record<Role, readonly ListItem[]>>>;

export interface GuardWish {
  readonly maxRemovals?: { readonly count?: number; readonly percent?: number };
  readonly protect?: readonly string[];
  readonly minOwners?: number;
}

/** What the spec wants of a group at one service: everything said there, nothing inherited any more but guards. */
export interface TargetWish {
  readonly service: Service;
  /** The name of the group of the seed whose id is pinned. */
  readonly pinnedTo?: string;
  readonly lists: Lists;
  readonly guards?: GuardWish;
}

export interface GroupWish {
  readonly id: string;
  readonly name: string;
  readonly previously: readonly string[];
  readonly description?: string;
  readonly mode?: ModeName;
  readonly adopt?: boolean;
  readonly guards?: GuardWish;
  readonly absent: boolean;
  readonly targets: readonly TargetWish[];
}

interface SpecWish {
  readonly mode: ModeName;
  readonly adopt: boolean;
  readonly guards: GuardWish;
  readonly providerGuards: Readonly<Partial<Record<Service, GuardWish>>>;
  readonly people: Readonly<Record<string, PersonWish>>;
  readonly groups: readonly GroupWish[];
}

type RunKind = "reconcile" | "saved-plan" | "confirmed" | "dry-run" | "stopped";

export interface Scenario {
  readonly seed: number;
  readonly services: readonly Service[];
  readonly people: readonly SeedPerson[];
  readonly groups: readonly SeedGroup[];
  /** Groups in which the credentials' own account is a member, by name. */
  readonly ownAccountIn: readonly string[];
  readonly switches: Readonly<Partial<Record<Service, Switches>>>;
  /** A switch under which a service cannot be brought to converge; everything else holds all the same. */
  readonly hostile: Readonly<Partial<Record<Service, string>>>;
  /** Log in with a name and a password where the service offers it: such credentials are renewed. */
  readonly renewable: boolean;
  readonly spec: SpecWish;
  /** Whether the tool has a state from run to run. */
  readonly remembers: boolean;
  /** The spec of a run before, in which nothing went wrong, and what happened after that run. */
  readonly earlier?: {
    readonly spec: SpecWish;
    /** Services that were read with somebody else's credentials then. */
    readonly asOther: readonly Service[];
    readonly invited: Answer;
    readonly edits: readonly { readonly service: Service; readonly edit: SandboxEdit }[];
  };
  /** Whether the people of a group, or the only holder of a role, are to be replaced by others. */
  readonly succession: boolean;
  readonly faults: readonly Fault[];
  readonly run: {
    readonly kind: RunKind;
    readonly allow: readonly string[];
    readonly removals: boolean;
    readonly onlyGroups?: readonly string[];
    /** `stopped`: after so many events. */
    readonly stopAfter: number;
    /** `saved-plan`, `confirmed`: what others do between planning and applying. */
    readonly meanwhile: readonly { readonly service: Service; readonly edit: SandboxEdit }[];
  };
  readonly patience: { readonly maxWaitMs: number; readonly maxAttempts: number };
  /** What the invited do after the faults. */
  readonly invited: Answer;
}

export type Answer = "wait" | "accept" | "reject";
const ANSWERS = ["wait", "accept", "reject"] as const satisfies readonly Answer[];

/** A day that has passed, and one that has not. */
const PAST = "2020-02-29";
const FUTURE = "2199-12-31";

export type Dice = ReturnType<typeof createDice>;

function createDice(seed: number) {
  // Neighbouring seeds of mulberry32 begin alike; spread them.
  const random = createRandom(Math.imul(seed + 1, 0x9e3779b1));
  const int = (from: number, to: number) => from + Math.floor(random() * (to - from + 1));
  const pick = <T>(values: readonly T[]): T => values[Math.floor(random() * values.length)] as T;
  return {
    int,
    pick,
    chance: (probability: number) => random() < probability,
    some: <T>(values: readonly T[], probability: number): T[] => values.filter(() => random() < probability),
    take: <T>(values: readonly T[], count: number): T[] => {
      const left = [...values];
      return Array.from({ length: Math.min(count, left.length) }, () => left.splice(int(0, left.length - 1), 1)).flat();
    },
  };
}

/** The scenario of a number. `only`: the services to choose from. */
export function createScenario(seed: number, only: readonly Service[] = SERVICES): Scenario {
  const dice = createDice(seed);
  const services = chooseServices(dice, only);
  const succession = dice.chance(0.3) ? makeSuccession(dice, services) : undefined;
  let people: readonly SeedPerson[] = [...makePeople(dice, services), ...(succession?.people ?? [])];
  const others = makeGroups(dice, services, people);
  const groups = [...others, ...(succession ? [succession.group] : [])];
  const wishes = { ...wishPeople(dice, services, people), ...succession?.wishes };
  const wished = wishSpec(dice, services, others, wishes);
  const remembers = dice.chance(0.4);
  const modal = remembers ? withOwned(dice, wished) : wished;
  const spec = succession ? withSuccession(dice, modal, succession) : modal;
  const hostile: Partial<Record<Service, string>> = {};
  const switches: Partial<Record<Service, Switches>> = {};
  for (const service of services) {
    const hostility = dice.chance(0.06) ? pickHostility(dice, service) : undefined;
    if (hostility) hostile[service] = Object.entries(hostility).flat().join("=");
    switches[service] = { ...pickSwitches(dice, service), ...hostility };
  }
  if (switches.genesys?.["searchCase"] === "sensitive") {
    people = alignTwins(people);
    respell(wishes, people);
  }
  const groupNames = [...new Set(groups.map(({ name }) => name))];
  return {
    seed,
    services,
    people,
    groups,
    ownAccountIn: dice.some(groupNames, 0.15),
    switches,
    hostile,
    renewable: dice.chance(0.5),
    spec,
    remembers,
    ...(remembers &&
      dice.chance(0.75) && {
        earlier: {
          spec: makeEarlier(dice, spec),
          asOther: dice.chance(0.3) ? services.filter((service) => service === "docspace") : [],
          invited: dice.pick(ANSWERS),
          edits: Array.from({ length: dice.pick([0, 0, 1, 2]) }, () => {
            const service = dice.pick(services);
            return { service, edit: makeEdit(dice, service, people, groups, spec) };
          }),
        },
      }),
    succession: succession !== undefined,
    faults: [...(succession?.faults ?? []), ...makeFaults(dice, services, people, groups, spec)],
    run: {
      kind:
        succession && succession.meanwhile.length > 0
          ? dice.pick<RunKind>(["saved-plan", "saved-plan", "confirmed"])
          : dice.pick<RunKind>([
              ...Array.from({ length: 12 }, () => "reconcile" as const),
              ...Array.from({ length: 5 }, () => "saved-plan" as const),
              "confirmed",
              "dry-run",
              "stopped",
            ]),
      allow: chooseAllowances(dice, spec),
      removals: dice.chance(0.93),
      ...(dice.chance(0.1) && { onlyGroups: dice.take(spec.groups, dice.int(1, 2)).map(({ id }) => id) }),
      stopAfter: dice.int(1, 40),
      meanwhile: [
        ...(succession?.meanwhile ?? []),
        ...(dice.chance(succession ? 0.2 : 0.5)
          ? Array.from({ length: dice.int(1, 2) }, () => {
              const service = dice.pick(services);
              return { service, edit: makeEdit(dice, service, people, groups, spec) };
            })
          : []),
      ],
    },
    patience: { maxWaitMs: dice.pick([40, 1_400]), maxAttempts: dice.int(2, 5) },
    invited: dice.pick(ANSWERS),
  };
}

/** Where a search minds the case, a person and a twin of another spelling are two addresses, not one that is doubtful. */
function alignTwins(people: readonly SeedPerson[]): readonly SeedPerson[] {
  const first = new Map(people.toReversed().map(({ email }) => [email.toLowerCase(), email]));
  return people.map((person) => ({ ...person, email: first.get(person.email.toLowerCase()) ?? person.email }));
}

/** Where a search minds the case, people are found by the right spelling only. */
function respell(wishes: Record<string, PersonWish>, people: readonly SeedPerson[]): void {
  const spellings = new Map(people.map(({ email }) => [email.toLowerCase(), email]));
  const right = (address: string) => spellings.get(address.toLowerCase()) ?? address;
  for (const [id, wish] of Object.entries(wishes)) {
    const { email, aliases } = wish;
    wishes[id] = { ...wish, ...(email !== undefined && { email: right(email) }), aliases: aliases.map(right) };
  }
}

function chooseServices(dice: Dice, only: readonly Service[]): readonly Service[] {
  const count = dice.chance(0.8) ? 1 : dice.chance(0.6) ? 2 : only.length;
  const chosen = dice.take(only, count);
  return SERVICES.filter((name) => chosen.includes(name));
}

function makePeople(dice: Dice, services: readonly Service[]): readonly SeedPerson[] {
  const count = dice.chance(0.03) ? dice.int(100, 130) : dice.chance(0.12) ? dice.int(22, 55) : dice.int(4, 13);
  const people = Array.from({ length: count }, (_, index): SeedPerson => {
    const word = dice.pick(["ada", "grace", "linus", "o.neil", "barbara-l"]);
    const local = `${word}${index}${dice.chance(0.1) ? "+work" : ""}`;
    const domain = dice.chance(0.12) ? "board.example.org" : "example.org";
    const email = dice.chance(0.15) ? `${local[0]?.toUpperCase()}${local.slice(1)}@${domain}` : `${local}@${domain}`;
    const status = dice.chance(0.82)
      ? "active"
      : dice.pick(["disabled", "disabled", "guest", "pending", "deleted"] as const);
    return {
      id: `p${index}`,
      email,
      name: `Person ${index}`,
      status,
      ...(dice.chance(0.08) && { services: dice.some(services, 0.5) }),
    };
  });
  const twinned = dice.chance(0.12) ? [dice.pick(people)] : [];
  const twins = twinned.map(({ email, status: first }, index): SeedPerson => {
    // Two accounts with one address are both switched on, or one is gone.
    const status = first === "active" ? dice.pick(["active", "active", "deleted"] as const) : "deleted";
    return { id: `twin${index}`, email: dice.chance(0.5) ? email.toUpperCase() : email, status };
  });
  return [...people, ...twins];
}

const NAMES = ["Alpha", "Beta", "Gamma team", "Ops & Co", "Über <uns>", "alpha", "Delta/5"] as const;

function makeGroups(dice: Dice, services: readonly Service[], people: readonly SeedPerson[]): readonly SeedGroup[] {
  const ids = people.map(({ id }) => id);
  const names = dice.take(NAMES, dice.int(1, 5));
  const groups = names.flatMap((name): readonly SeedGroup[] => {
    const size = dice.chance(0.1) ? 0 : people.length > 20 ? dice.int(10, people.length) : dice.int(1, 9);
    const someone = dice.take(ids, size);
    const managers = dice.chance(0.35) ? someone.splice(0, dice.int(1, 2)) : [];
    const owners = dice.chance(0.4) ? someone.splice(0, dice.int(1, 3)) : [];
    const strangers = ids.filter((id) => ![...someone, ...managers, ...owners].includes(id));
    const invited = dice.chance(0.3) ? dice.take(strangers, dice.int(1, 3)) : [];
    const group: SeedGroup = {
      name,
      members: someone,
      managers,
      owners,
      invited,
      ...(dice.chance(0.3) && { description: "What it was" }),
      services: dice.chance(0.85) ? services : dice.some(services, 0.5),
    };
    return dice.chance(0.05) ? [group, { ...group, members: dice.take(ids, 3), managers: [], owners: [] }] : [group];
  });
  const foreign = services.flatMap((service): readonly SeedGroup[] => {
    if (!dice.chance(0.15) || (service !== "docspace" && service !== "genesys")) return [];
    const kind = service === "genesys" ? "dynamic" : dice.pick(["builtin", "directory"] as const);
    const name = kind === "builtin" ? "RoomAdmin" : "Foreign";
    return [{ name, kind, members: kind === "builtin" ? [] : dice.take(ids, 4), services: [service] }];
  });
  return [...groups, ...foreign];
}

function wishPeople(
  dice: Dice,
  services: readonly Service[],
  people: readonly SeedPerson[],
): Record<string, PersonWish> {
  const wishes: Record<string, PersonWish> = {};
  const doubt = dice.chance(0.35) ? 0.04 : 0;
  for (const { id, email } of people) {
    if (dice.chance(0.06)) continue;
    const spelled = dice.chance(0.15) ? email.toUpperCase() : dice.chance(0.1) ? email.toLowerCase() : email;
    const byAlias = dice.chance(0.06);
    const pins: Partial<Record<Service, { readonly own: string } | "none" | "bogus">> = {};
    for (const service of services) {
      const isPinned = dice.chance(service === "neuroio" ? 1 - doubt : 0.15);
      if (isPinned) pins[service] = { own: id };
      else if (dice.chance(0.02)) pins[service] = "none";
      else if (dice.chance(doubt / 2)) pins[service] = "bogus";
    }
    const isTwin = id.startsWith("twin");
    // At BrainSTEM an address is one account.
    if (isTwin) wishes[id] = { aliases: [], pins: { ...pins, ...(pins.brainstem && { brainstem: "none" }) } };
    else if (byAlias) wishes[id] = { email: `former-${id}@example.org`, aliases: [spelled], pins };
    else wishes[id] = { email: spelled, aliases: dice.chance(0.05) ? [`other-${id}@example.org`] : [], pins };
  }
  const unknowns = doubt > 0 ? dice.int(0, 2) : 0;
  for (let index = 0; index < unknowns; index++) {
    wishes[`u${index}`] = { email: `unknown${index}@example.org`, aliases: [], pins: {} };
  }
  return wishes;
}

function wishSpec(
  dice: Dice,
  services: readonly Service[],
  seedGroups: readonly SeedGroup[],
  wishes: Readonly<Record<string, PersonWish>>,
): SpecWish {
  const known = Object.keys(wishes);
  const managed = dice.take([...new Set(seedGroups.map(({ name }) => name))], dice.int(1, 4));
  const fresh = dice.chance(0.4) ? dice.take(["New one", "Another"], dice.int(1, 2)) : [];
  const someoneLeaves = dice.pick([0.02, 0.1, 0.25, 0.6]);
  const groups = [...managed, ...fresh].map((name, index): GroupWish => {
    const model = seedGroups.find((group) => group.name === name);
    const isRenamed = model !== undefined && dice.chance(0.15);
    const lists = wishLists(dice, model, known, someoneLeaves);
    const targets = (dice.chance(0.85) ? services : dice.take(services, 1)).map((service): TargetWish => {
      const own = dice.chance(0.15) ? wishLists(dice, model, known, someoneLeaves) : lists;
      const isThere = model !== undefined && (model.services?.includes(service) ?? true);
      return {
        service,
        lists: service === "docspace" ? withOneManager(own) : own,
        ...(isThere && dice.chance(0.25) && { pinnedTo: name }),
        ...(dice.chance(0.1) && { guards: wishGuards(dice, known) }),
      };
    });
    return {
      id: `g${index}`,
      name: isRenamed ? `${name} (new)` : name,
      previously: isRenamed ? [name] : [],
      ...(dice.chance(0.15) && { description: dice.pick(["", "What it is"]) }),
      ...(dice.chance(0.15) && { mode: dice.pick(["authoritative", "additive"] as const) }),
      ...(dice.chance(0.15) && { adopt: dice.chance(0.7) }),
      ...(dice.chance(0.15) && { guards: wishGuards(dice, known) }),
      absent: dice.chance(0.04),
      targets,
    };
  });
  const providerGuards: Partial<Record<Service, GuardWish>> = {};
  for (const service of services) if (dice.chance(0.12)) providerGuards[service] = wishGuards(dice, known);
  // Without these, most removals would be held and never be seen.
  const roomy = { maxRemovals: { count: 1_000, percent: 100 } };
  return {
    mode: dice.chance(0.8) ? "authoritative" : "additive",
    adopt: dice.chance(0.75),
    guards: dice.chance(0.5) ? roomy : dice.chance(0.6) ? wishGuards(dice, known) : {},
    providerGuards,
    people: wishes,
    groups,
  };
}

/** With a memory, the tool can tell what it has added itself, and take no more than that. */
function withOwned(dice: Dice, spec: SpecWish): SpecWish {
  return {
    ...spec,
    mode: dice.chance(0.5) ? "owned" : spec.mode,
    groups: spec.groups.map((group) => (dice.chance(0.2) ? { ...group, mode: "owned" } : group)),
  };
}

/** What the spec was before: some are not in it yet, some have left since, and a group had not been given up. */
function makeEarlier(dice: Dice, spec: SpecWish): SpecWish {
  const known = Object.keys(spec.people);
  const earlierLists = (lists: Lists): Lists => {
    const listed = new Set(Object.values(lists).flatMap((list) => list.map(({ person }) => person)));
    const gone = dice.take(
      known.filter((person) => !listed.has(person)),
      dice.pick([0, 1, 2, 3]),
    );
    const stay = Object.entries(lists).map(([role, list]) => [role, list.filter(() => !dice.chance(0.15))] as const);
    const was: Lists = Object.fromEntries(stay);
    return was.member ? { ...was, member: [...was.member, ...gone.map((person) => ({ person }))] } : was;
  };
  return {
    ...spec,
    groups: spec.groups.map((group): GroupWish => {
      const [formerName] = group.previously;
      const isNamedAnew = formerName !== undefined && dice.chance(0.5);
      const lists = new Map<Lists, Lists>();
      for (const target of group.targets)
        lists.set(target.lists, lists.get(target.lists) ?? earlierLists(target.lists));
      return {
        ...group,
        ...(isNamedAnew && { name: formerName, previously: [] }),
        absent: false,
        targets: group.targets.map((target) => ({ ...target, lists: lists.get(target.lists) ?? target.lists })),
      };
    }),
  };
}

interface Succession {
  readonly people: readonly SeedPerson[];
  readonly wishes: Readonly<Record<string, PersonWish>>;
  readonly group: SeedGroup;
  readonly wish: GroupWish;
  readonly faults: readonly Fault[];
  readonly meanwhile: Scenario["run"]["meanwhile"];
}

/**
 * Everybody in a group, or the only holder of a role, is to be replaced by somebody who is likely not to come: deleted
 * or switched off between plan and apply or in the middle of the run, or refused by the service.
 */
function makeSuccession(dice: Dice, services: readonly Service[]): Succession {
  const leaving = ["leaving0", "leaving1"].slice(0, dice.int(1, 2));
  const coming = ["coming0", "coming1"].slice(0, dice.int(1, 2));
  const [predecessor = "", ...others] = leaving;
  const [successor = "", ...newcomers] = coming;
  const service = dice.pick(services);
  const roles = { neuroio: [], brainstem: ["owner", "owner", "manager"], docspace: ["manager"], genesys: ["owner"] };
  const role = dice.chance(0.5) ? dice.pick<Role>(roles[service] as readonly Role[]) : undefined;
  // A successor who is there already needs no more than the role.
  const inside = role && dice.chance(0.5) ? [successor] : [];
  const items = (ids: readonly string[]) => ids.map((person): ListItem => ({ person }));
  const stays = dice.chance(0.3) ? leaving : others;
  const lists: Lists = role
    ? { member: items([...newcomers, ...stays]), [role]: items([successor]) }
    : { member: items(coming) };
  const name = "Succession";
  const group: SeedGroup = {
    name,
    members: role ? [...inside, ...others] : leaving,
    managers: role === "manager" ? [predecessor] : [],
    owners: role === "owner" ? [predecessor] : [],
    services,
  };
  const people = [...leaving, ...coming].map(
    (id): SeedPerson => ({ id, email: `${id}@example.org`, status: "active" }),
  );
  const wishes = people.map(({ id, email }) => {
    const pins = services.flatMap((each) =>
      each === "neuroio" || dice.chance(0.3) ? [[each, { own: id }] as const] : [],
    );
    return [id, { email, aliases: [], pins: Object.fromEntries(pins) }] as const;
  });
  const unhappy = dice.some(coming, 0.8);
  const edits = unhappy.map(
    (person): SandboxEdit => ({
      action: "set-status",
      person,
      status: dice.pick(["deleted", "deleted", "disabled", "guest"] as const),
    }),
  );
  const mishap = dice.pick([
    "meanwhile",
    "meanwhile",
    "in mid-run",
    "in mid-run",
    "refused",
    "refused",
    "none",
  ] as const);
  const faults: Record<typeof mishap, () => readonly Fault[]> = {
    meanwhile: () => [],
    "in mid-run": () => {
      const when = dice.pick(["read", "write", "write"] as const);
      const at = dice.pick(["before", "after"] as const);
      const skip = when === "read" ? dice.int(0, 8) : dice.pick([0, 0, 1, 2]);
      return edits.map((edit) => ({ kind: "edit", service, when, at, skip, times: 1, edit }));
    },
    refused: () => [makeRefusal(dice, service)],
    none: () => [],
  };
  return {
    people,
    wishes: Object.fromEntries(wishes),
    group,
    wish: {
      id: "succession",
      name,
      previously: [],
      mode: "authoritative",
      adopt: true,
      guards: { maxRemovals: { count: 1_000, percent: 100 }, ...(dice.chance(0.1) && { minOwners: 0 }) },
      absent: false,
      targets: services.map((each) => ({ service: each, lists })),
    },
    faults: faults[mishap](),
    meanwhile: mishap === "meanwhile" ? edits.map((edit) => ({ service, edit })) : [],
  };
}

/** Mostly with limits that do not hold it: what is held never strands anybody. */
function withSuccession(dice: Dice, spec: SpecWish, { wish }: Succession): SpecWish {
  const { guards, providerGuards } = spec;
  const isRoomy = dice.chance(0.85);
  return {
    ...spec,
    guards: isRoomy ? { ...guards, maxRemovals: { count: 1_000, percent: 100 } } : guards,
    providerGuards: isRoomy ? {} : providerGuards,
    groups: [...spec.groups, wish],
  };
}

function wishLists(dice: Dice, model: SeedGroup | undefined, known: readonly string[], leaving: number): Lists {
  const left = new Set(known);
  const draw = (from: readonly string[]) => {
    const drawn = from.filter((id) => left.delete(id));
    return drawn.map((person): ListItem => {
      const until = dice.chance(0.06) ? dice.pick([PAST, FUTURE]) : undefined;
      return { person, ...(until !== undefined && { until }) };
    });
  };
  const stay = (people: readonly string[] = []) => people.filter(() => !dice.chance(leaving));
  const owners = dice.chance(0.45)
    ? draw([...stay(model?.owners), ...dice.take(known, dice.pick([0, 0, 1, 2]))])
    : undefined;
  const managers = dice.chance(0.45)
    ? draw([...stay(model?.managers), ...dice.take(known, dice.pick([0, 0, 1, 2]))])
    : undefined;
  const members = dice.chance(0.93)
    ? draw(
        dice.chance(0.06)
          ? []
          : [
              ...stay(model?.members),
              ...(managers ? [] : stay(model?.managers)),
              ...(owners ? [] : stay(model?.owners)),
              ...(model?.invited ?? []).filter(() => dice.chance(0.5)),
              ...dice.take(known, dice.pick([0, 0, 1, 2, 4])),
            ],
      )
    : undefined;
  return {
    ...(members && { member: members }),
    ...(managers && { manager: managers }),
    ...(owners && { owner: owners }),
  };
}

/** DocSpace has one place for a manager; the others are members there. */
function withOneManager(lists: Lists): Lists {
  const [manager, ...others] = lists.manager ?? [];
  if (!manager || others.length === 0) return lists;
  return { ...lists, manager: [manager], member: [...(lists.member ?? []), ...others] };
}

function wishGuards(dice: Dice, known: readonly string[]): GuardWish {
  return {
    ...(dice.chance(0.7) && {
      maxRemovals: {
        ...(dice.chance(0.7) && { count: dice.pick([0, 1, 2, 5]) }),
        ...(dice.chance(0.7) && { percent: dice.pick([0, 10, 25, 50, 100]) }),
      },
    }),
    ...(dice.chance(0.4) && {
      protect: [...dice.take(known, 1), ...(dice.chance(0.5) ? ["*@BOARD.example.org"] : [])],
    }),
    ...(dice.chance(0.4) && { minOwners: dice.int(0, 2) }),
  };
}

const ALLOWABLE = [
  "max-removals",
  "empty-group",
  "empty-source",
  "adoption",
  "unresolved-person",
  "last-owner",
  "role-loss",
  "role-loss",
  "group-delete",
  "group-delete",
  "protected-person",
  "own-account",
  "changed-scope",
  "declined-invitation",
] as const;

function chooseAllowances(dice: Dice, { groups }: SpecWish): readonly string[] {
  if (dice.chance(0.5)) return [];
  // A token of BrainSTEM that takes its own role away can do nothing more.
  const isAtBrainstem = groups.some(({ targets }) => targets.some(({ service }) => service === "brainstem"));
  return dice
    .take(
      ALLOWABLE.filter((guard) => guard !== "own-account" || !isAtBrainstem),
      dice.int(1, 4),
    )
    .map((guard) => (dice.chance(0.5) ? guard : `${guard}:${dice.pick(groups).id}`));
}

function makeFaults(
  dice: Dice,
  services: readonly Service[],
  people: readonly SeedPerson[],
  groups: readonly SeedGroup[],
  spec: SpecWish,
): readonly Fault[] {
  const count = dice.pick([0, 1, 1, 1, 2, 2, 2, 3, 3, 4]);
  return Array.from({ length: count }, () => makeFault(dice, dice.pick(services), people, groups, spec));
}

function makeFault(
  dice: Dice,
  service: Service,
  people: readonly SeedPerson[],
  groups: readonly SeedGroup[],
  spec: SpecWish,
): Fault {
  const when = dice.pick(["read", "write", "write", "login", undefined] as const);
  const some = {
    service,
    skip: dice.pick([0, 0, 1, 2, 3, 5, 8]),
    ...dice.pick([
      { times: 1 },
      { times: 1 },
      { times: dice.int(2, 3) },
      { times: 0 },
      { every: dice.int(2, 4) },
      { probability: 0.3 },
    ]),
  };
  const any = { ...some, ...(when && { when }) };
  switch (dice.int(0, 16)) {
    case 0:
    case 1:
      return {
        ...any,
        kind: "rate-limit",
        retryAfter: dice.pick([
          "seconds",
          "http-date",
          "http-date-rfc850",
          "http-date-asctime",
          "none",
          "huge",
          "garbage",
        ] as const),
        seconds: dice.pick([0, 0, 1]),
      };
    case 2:
      return {
        ...any,
        kind: "server-error",
        status: dice.pick([500, 502, 503, 504] as const),
        applied: dice.chance(0.5),
      };
    case 3:
      return { ...any, kind: "html", status: dice.pick([200, 502, 503]), applied: dice.chance(0.5) };
    case 4:
      return { ...any, kind: "reset-before" };
    case 5:
      return { ...any, kind: "reset-after" };
    case 6:
      return { ...any, kind: "truncate", variant: dice.pick(["broken-json", "short-body"] as const) };
    case 7:
      return { ...some, kind: "empty-page", totals: dice.pick(["kept", "too"] as const) };
    case 8:
      return { ...some, kind: "short-page", rows: dice.int(1, 3) };
    case 9:
      return { ...some, kind: "lying-200" };
    case 10:
      return { ...some, kind: "lag", ms: dice.pick([30, 80, LONGEST_LAG_MS]) };
    case 11:
      return {
        ...any,
        times: 1,
        kind: "edit",
        at: dice.pick(["before", "after"] as const),
        edit: makeEdit(dice, service, people, groups, spec),
      };
    case 12:
      return { ...some, kind: "expired-token" };
    case 13:
      return { ...any, kind: "hang", ms: 350, applied: dice.chance(0.5) };
    case 14:
      return { ...any, kind: "slow", ms: dice.pick([20, 120]) };
    case 15:
      return makeRefusal(dice, service);
    default:
      return { ...any, kind: "drip", ms: 500 };
  }
}

/** A write is refused for good, by the service or by something before it. */
function makeRefusal(dice: Dice, service: Service): Fault {
  return {
    kind: "html",
    service,
    when: "write",
    status: dice.pick([400, 400, 403]),
    skip: dice.pick([0, 0, 0, 1, 2]),
    ...dice.pick([{ times: 1 }, { times: dice.int(2, 3) }, { times: 0 }, { every: 2 }]),
  };
}

/** No write takes longer to show than a run waits for it. */
export const LONGEST_LAG_MS = 150;

function makeEdit(
  dice: Dice,
  service: Service,
  people: readonly SeedPerson[],
  groups: readonly SeedGroup[],
  spec: SpecWish,
): SandboxEdit {
  const here = groups.filter((group) => group.services?.includes(service) ?? true);
  const group = (here.length > 0 ? dice.pick(here) : undefined)?.name ?? "Alpha";
  const person = dice.pick(people).id;
  switch (dice.int(0, 9)) {
    case 0:
    case 1:
    case 2:
      return {
        action: "add-member",
        group,
        person,
        role: dice.pick(["member", "member", "manager", "owner"] as const),
      };
    case 3:
    case 4:
    case 5:
      return { action: "remove-member", group, person };
    case 6:
      return { action: "rename-group", group, name: dice.pick([`${group} II`, dice.pick(spec.groups).name]) };
    case 7:
      return { action: "delete-group", group };
    case 8:
      return { action: "add-group", name: dice.pick(spec.groups).name };
    default:
      return {
        action: "set-status",
        // Which of two edits of one person came last, nobody would know.
        person: dice.pick(people.filter(({ id }) => !/^(leaving|coming)/.test(id))).id,
        status: dice.pick(["active", "disabled", "deleted", "guest"] as const),
      };
  }
}
