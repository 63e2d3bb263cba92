/**
 * The portal itself: its people, its groups, who is in which, and what a reader may already see of it.
 *
 * A write may show to readers only later (another node still has its cache, sheet §8). Every group therefore has a
 * `truth` and a timeline of older views: a reader at time t gets the first view whose `until` is after t, else
 * the truth. A change that shows from v splits the timeline at v and is applied to everything shown after v, so
 * changes with different delays, and edits of the control surface that show at once, never undo each other.
 */
import { type Seed, type SeedGroup, type SeedPerson, type SeedRole, stableUuid, type TrueGroup } from "../kit.js";

/** What somebody is on the portal; exactly one of the five (sheet §2, EmployeeFullDto). */
export type AccountType = "owner" | "admin" | "roomAdmin" | "user" | "guest";

/** EmployeeStatus of the vendor: Active 1, Terminated 2, Pending 4. */
export type AccountStatus = 1 | 2 | 4;

export interface Account {
  readonly id: string;
  readonly email: string;
  readonly firstName: string;
  readonly lastName: string;
  readonly userName: string;
  status: AccountStatus;
  type: AccountType;
  removed: boolean;
  readonly registeredAt: number;
  terminatedAt?: number;
  readonly inviterId?: string;
  /** An invitation with a lag shows the new account only from here on. */
  readonly visibleFrom: number;
}

/** A group as it is shown during some stretch of time. `managers` holds more than one only after a race (sheet §8). */
export interface GroupView {
  exists: boolean;
  name: string;
  readonly members: Set<string>;
  readonly managers: Set<string>;
}

interface Segment {
  readonly until: number;
  readonly view: GroupView;
}

export interface Group {
  readonly id: string;
  /** The directory's identifier: present makes it an LDAP group. */
  readonly sid?: string;
  /** Built into the portal: not listed, but readable and writable by id (sheet §3). */
  readonly system: boolean;
  /** One of the five groups whose members are given by account type. */
  readonly role?: AccountType | "everyone";
  /** Whether the control surface shows it: the five are there on every portal, a test sees those its seed names. */
  shown: boolean;
  truth: GroupView;
  timeline: Segment[];
}

/** One save of the vendor's loops: it works id by id, each on its own (sheet §3, "not transactional"). */
export interface MemberSave {
  readonly kind: "add" | "remove";
  readonly group: Group;
  readonly accountId: string;
}

/** A way to look at a group: `view` for readers, `truth` for the node that has just written. */
export type Lens = (group: Group) => GroupView;

interface State {
  accounts: Map<string, Account>;
  idByPerson: Map<string, string>;
  idByUserName: Map<string, string>;
  idsByFoldedEmail: Map<string, string[]>;
  groups: Map<string, Group>;
  /** Every group that holds the account in the truth or in a view still shown; checked against the view on use. */
  groupsOfAccount: Map<string, Set<string>>;
  /** Moments at which what readers see will change, ascending. */
  boundaries: number[];
  madeGroups: number;
}

/** Ids of the five built-in groups (sheet §3). */
const builtInGroups = [
  { id: "c5cc67d1-c3e8-43c0-a3ad-3928ae3e5b5e", name: "Everyone", role: "everyone" },
  { id: "cd84e66b-b803-40fc-99f9-b2969a54a1de", name: "DocSpaceAdmin", role: "admin" },
  { id: "abef62db-11a8-4673-9d32-ef1d8af19dc0", name: "RoomAdmin", role: "roomAdmin" },
  { id: "88f11e7c-7407-4bea-b4cb-070010cdbb6b", name: "User", role: "user" },
  { id: "aced04fa-dd96-4b35-af3e-346bf1eb972d", name: "Guest", role: "guest" },
] as const;

/** Registration of everybody in the seed: fixed, so that two emulators of one seed answer alike. */
const seedTime = Date.UTC(2026, 0, 15, 9);

const foldEmail = (email: string): string => email.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();

const copyView = (view: GroupView): GroupView => ({
  exists: view.exists,
  name: view.name,
  members: new Set(view.members),
  managers: new Set(view.managers),
});

const absentView = (): GroupView => ({ exists: false, name: "", members: new Set(), managers: new Set() });

/** Who may be put into a custom group: Active or Pending, not a guest, not deleted (sheet §3). */
export const mayBeMember = (account: Account | undefined): account is Account =>
  account !== undefined && !account.removed && account.status !== 2 && account.type !== "guest";

/** The writer's look at a group; the reader's is `viewOf` of the portal. */
export const truthOf: Lens = (group) => group.truth;

export type Portal = ReturnType<typeof createPortal>;

/** Builds the portal of a seed. `doubleManagers`: a second manager set by control or seed leaves both rows. */
export function createPortal(options: { seed: Seed; now: () => number; doubleManagers: boolean }) {
  const { seed, now, doubleManagers } = options;
  let state: State = {
    accounts: new Map(),
    idByPerson: new Map(),
    idByUserName: new Map(),
    idsByFoldedEmail: new Map(),
    groups: new Map(),
    groupsOfAccount: new Map(),
    boundaries: [],
    madeGroups: 0,
  };
  let edits = 0;

  /** A number that changes whenever any reader could get a different answer; caches hang on it. */
  function version(): number {
    const at = now();
    const passed = state.boundaries.filter((boundary) => boundary <= at).length;
    if (passed > 0) {
      state.boundaries.splice(0, passed);
      edits++;
    }
    return edits;
  }

  function expectBoundary(at: number): void {
    if (at <= now() || state.boundaries.includes(at)) return;
    state.boundaries.push(at);
    state.boundaries.sort((left, right) => left - right);
  }

  const viewOf: Lens = (group) => {
    if (group.timeline.length === 0) return group.truth;
    const at = now();
    return group.timeline.find((segment) => segment.until > at)?.view ?? group.truth;
  };

  /** Applies a change to everything that is shown from `visibleAt` on. */
  function change(group: Group, visibleAt: number, mutate: (view: GroupView) => void): void {
    const at = now();
    group.timeline = group.timeline.filter((segment) => segment.until > at);
    if (visibleAt > at) {
      const index = group.timeline.findIndex((segment) => segment.until >= visibleAt);
      const shownThen = index < 0 ? group.truth : group.timeline[index]?.view;
      if (shownThen && group.timeline[index]?.until !== visibleAt) {
        const segment = { until: visibleAt, view: copyView(shownThen) };
        group.timeline.splice(index < 0 ? group.timeline.length : index, 0, segment);
        expectBoundary(visibleAt);
      }
    }
    for (const segment of group.timeline) if (segment.until > visibleAt) mutate(segment.view);
    mutate(group.truth);
    edits++;
  }

  function register(person: {
    readonly id: string;
    readonly email: string;
    readonly name: string | undefined;
    readonly type: AccountType;
    readonly status: AccountStatus;
    readonly removed?: boolean;
    readonly registeredAt?: number;
    readonly inviterId?: string;
    readonly visibleAt?: number;
  }): Account {
    if (state.accounts.has(person.id)) throw new Error(`docspace: ${person.email} is registered twice.`);
    const [localPart = person.email] = person.email.split("@");
    const words = (person.name ?? localPart).trim().split(/\s+/u);
    const wanted = localPart.toLowerCase().replace(/[^\p{L}\p{N}._-]/gu, "") || "user";
    let userName = wanted;
    for (let copy = 1; state.idByUserName.has(userName); copy++) userName = `${wanted}${copy}`;
    const registeredAt = person.registeredAt ?? seedTime;
    const account: Account = {
      id: person.id,
      email: person.email,
      firstName: words[0] ?? "",
      lastName: words.slice(1).join(" "),
      userName,
      status: person.status,
      type: person.type,
      removed: person.removed ?? false,
      registeredAt,
      ...(person.status === 2 ? { terminatedAt: registeredAt } : {}),
      ...(person.inviterId === undefined ? {} : { inviterId: person.inviterId }),
      visibleFrom: person.visibleAt ?? 0,
    };
    state.accounts.set(account.id, account);
    state.idByUserName.set(userName, account.id);
    const folded = foldEmail(account.email);
    const sameEmail = state.idsByFoldedEmail.get(folded);
    if (sameEmail) sameEmail.push(account.id);
    else state.idsByFoldedEmail.set(folded, [account.id]);
    expectBoundary(account.visibleFrom);
    edits++;
    return account;
  }

  function addPerson(person: SeedPerson): string {
    const known = state.idByPerson.get(person.id);
    if (known !== undefined) throw new Error(`docspace: the person "${person.id}" is there already.`);
    const status = person.status ?? "active";
    const account = register({
      id: stableUuid("docspace", "person", person.id),
      email: person.email,
      name: person.name,
      type: status === "guest" ? "guest" : "user",
      status: status === "disabled" ? 2 : status === "pending" ? 4 : 1,
      removed: status === "deleted",
    });
    state.idByPerson.set(person.id, account.id);
    return account.id;
  }

  const isMember = (group: Group, view: GroupView, account: Account): boolean => {
    if (group.role === undefined) return view.members.has(account.id) || view.managers.has(account.id);
    if (account.removed) return false;
    // The portal's owner is one of its administrators.
    return group.role === "everyone" || (account.type === "owner" ? "admin" : account.type) === group.role;
  };

  /** Everyone with a row in the group, disabled people included. Deleted people have no rows. */
  function rowsOf(group: Group, view: GroupView): Account[] {
    if (group.role !== undefined) {
      return [...state.accounts.values()].filter((account) => isMember(group, view, account));
    }
    const rows: Account[] = [];
    for (const id of view.members) {
      const account = state.accounts.get(id);
      if (account && !account.removed) rows.push(account);
    }
    return rows;
  }

  function remember(accountId: string, groupId: string): void {
    const groups = state.groupsOfAccount.get(accountId);
    if (groups) groups.add(groupId);
    else state.groupsOfAccount.set(accountId, new Set([groupId]));
  }

  /** The custom groups that hold the account in that look, as member or as manager. */
  function groupsOf(accountId: string, lens: Lens): Group[] {
    const found: Group[] = [];
    for (const groupId of state.groupsOfAccount.get(accountId) ?? []) {
      const group = state.groups.get(groupId);
      if (!group || group.system) continue;
      const view = lens(group);
      if (view.exists && (view.members.has(accountId) || view.managers.has(accountId))) found.push(group);
    }
    return found;
  }

  /** Being in a built-in group is being of that type: adding and removing there changes what a person is (sheet §3). */
  function saveType(save: MemberSave): void {
    const account = state.accounts.get(save.accountId);
    const role = save.group.role;
    if (!account || account.type === "owner" || role === undefined || role === "everyone" || role === "owner") return;
    if (save.kind === "add") account.type = role;
    else if (account.type === role) account.type = "user";
    if (account.type === "guest") dropFromGroups(account.id);
    edits++;
  }

  /** Runs the saves in their order. Each group sees its own in one change. */
  function applySaves(saves: readonly MemberSave[], visibleAt: number): void {
    const byGroup = new Map<Group, MemberSave[]>();
    for (const save of saves) {
      if (save.group.role !== undefined) {
        saveType(save);
        continue;
      }
      if (save.kind === "add") remember(save.accountId, save.group.id);
      const list = byGroup.get(save.group);
      if (list) list.push(save);
      else byGroup.set(save.group, [save]);
    }
    for (const [group, list] of byGroup) {
      change(group, visibleAt, (view) => {
        for (const save of list) {
          if (save.kind === "add") view.members.add(save.accountId);
          else {
            view.members.delete(save.accountId);
            // Removal drops the manager's role with the membership.
            view.managers.delete(save.accountId);
          }
        }
      });
    }
  }

  /** Makes somebody the manager, and a member. The manager before stays a member. */
  function setManager(group: Group, accountId: string, visibleAt: number): void {
    if (group.role !== undefined) return;
    remember(accountId, group.id);
    change(group, visibleAt, (view) => {
      view.managers.clear();
      view.managers.add(accountId);
      view.members.add(accountId);
    });
  }

  /** The manager's row alone, without the membership: what is left of a manager call that ends in a 403. */
  function addManagerRow(group: Group, accountId: string, visibleAt: number): void {
    if (group.role !== undefined) return;
    remember(accountId, group.id);
    change(group, visibleAt, (view) => {
      view.managers.clear();
      view.managers.add(accountId);
    });
  }

  function dropFromGroups(accountId: string): void {
    for (const groupId of state.groupsOfAccount.get(accountId) ?? []) {
      const group = state.groups.get(groupId);
      if (group) applySaves([{ kind: "remove", group, accountId }], now());
    }
    state.groupsOfAccount.delete(accountId);
  }

  function setStatus(accountId: string, status: NonNullable<SeedPerson["status"]>): void {
    const account = state.accounts.get(accountId);
    if (!account) throw new Error(`docspace: there is no account ${accountId}.`);
    account.removed = status === "deleted";
    if (status === "guest") account.type = "guest";
    else if (status !== "deleted" && status !== "disabled" && account.type === "guest") account.type = "user";
    if (status !== "deleted") account.status = status === "disabled" ? 2 : status === "pending" ? 4 : 1;
    if (status === "disabled") account.terminatedAt = now();
    else delete account.terminatedAt;
    // Disabling keeps the rows, which come back with the person; deleting and turning into a guest do not.
    if (status === "deleted" || status === "guest") dropFromGroups(accountId);
    edits++;
  }

  function createGroup(name: string, visibleAt: number, kind?: { sid?: string; system?: boolean }): Group {
    state.madeGroups++;
    const truth: GroupView = { exists: true, name, members: new Set(), managers: new Set() };
    const group: Group = {
      id: stableUuid("docspace", "group", String(state.madeGroups)),
      ...(kind?.sid === undefined ? {} : { sid: kind.sid }),
      system: kind?.system ?? false,
      shown: true,
      truth,
      timeline: visibleAt > now() ? [{ until: visibleAt, view: absentView() }] : [],
    };
    expectBoundary(visibleAt);
    state.groups.set(group.id, group);
    edits++;
    return group;
  }

  /** Soft delete of the group and of its rows. */
  function deleteGroup(group: Group, visibleAt: number): void {
    if (group.role !== undefined) return;
    change(group, visibleAt, (view) => {
      view.exists = false;
      view.members.clear();
      view.managers.clear();
    });
  }

  function rename(group: Group, name: string, visibleAt: number): void {
    if (group.role !== undefined) return;
    change(group, visibleAt, (view) => {
      view.name = name;
    });
  }

  /** Puts somebody in as if by hand: guests and deleted people are passed over, as the vendor does; disabled ones get a row. */
  function putMember(group: Group, accountId: string, role: SeedRole | undefined): void {
    const account = state.accounts.get(accountId);
    if (!account) throw new Error(`docspace: there is no account ${accountId}.`);
    if (account.removed || (account.type === "guest" && group.role !== "guest")) return;
    applySaves([{ kind: "add", group, accountId }], now());
    if (group.role !== undefined) return;
    if (role === "manager" && !(doubleManagers && group.truth.managers.size > 0)) setManager(group, accountId, now());
    else if (role === "manager") change(group, now(), (view) => view.managers.add(accountId));
    else if (role !== undefined) change(group, now(), (view) => view.managers.delete(accountId));
  }

  function addGroup(given: SeedGroup): string {
    const builtIn = given.kind === "builtin" ? builtInGroups.find((group) => group.name === given.name) : undefined;
    const group =
      (builtIn && state.groups.get(builtIn.id)) ??
      createGroup(given.name, now(), {
        system: given.kind === "builtin",
        ...(given.kind === "directory" ? { sid: `S-1-5-21-${state.madeGroups + 1}` } : {}),
      });
    group.shown = true;
    const put = (personIds: readonly string[] | undefined, role: SeedRole | undefined) => {
      for (const personId of personIds ?? []) {
        const accountId = state.idByPerson.get(personId);
        if (accountId !== undefined) putMember(group, accountId, role);
      }
    };
    put(given.members, undefined);
    // One manager at most: the first named stays, unless the portal lets a race leave two rows.
    put(given.owners, undefined);
    put([...(given.managers ?? [])].toReversed(), "manager");
    return group.id;
  }

  function trueGroups(): TrueGroup[] {
    const shown: TrueGroup[] = [];
    for (const group of state.groups.values()) {
      if (!group.shown || !group.truth.exists) continue;
      const ids =
        group.role === undefined
          ? new Set([...group.truth.members, ...group.truth.managers])
          : rowsOf(group, group.truth).map((account) => account.id);
      const members = [...ids].map((account) => ({
        account,
        role: group.truth.managers.has(account) ? ("manager" as const) : ("member" as const),
        direct: true,
      }));
      shown.push({ id: group.id, name: group.truth.name, members, invited: [] });
    }
    return shown;
  }

  /** Whoever answers to the e-mail: the first registered of those not deleted. */
  function accountByEmail(email: string, caseSensitive: boolean): Account | undefined {
    for (const id of state.idsByFoldedEmail.get(foldEmail(email)) ?? []) {
      const account = state.accounts.get(id);
      if (account && !account.removed && (!caseSensitive || account.email === email)) return account;
    }
    return undefined;
  }

  for (const { id, name, role } of builtInGroups) {
    const truth: GroupView = { exists: true, name, members: new Set(), managers: new Set() };
    state.groups.set(id, { id, system: true, role, shown: false, truth, timeline: [] });
  }
  for (const person of seed.people) {
    if (!person.services || person.services.includes("docspace")) addPerson(person);
  }
  for (const group of seed.groups) if (!group.services || group.services.includes("docspace")) addGroup(group);

  return {
    version,
    viewOf,
    register,
    addPerson,
    isMember,
    rowsOf,
    groupsOf,
    applySaves,
    setManager,
    addManagerRow,
    setStatus,
    createGroup,
    deleteGroup,
    rename,
    putMember,
    addGroup,
    trueGroups,
    accountByEmail,
    account: (id: string): Account | undefined => state.accounts.get(id),
    accountByUserName: (name: string): Account | undefined =>
      state.accounts.get(state.idByUserName.get(name.toLowerCase()) ?? ""),
    accounts: (): IterableIterator<Account> => state.accounts.values(),
    accountOf: (personId: string): string | undefined => state.idByPerson.get(personId),
    group: (id: string): Group | undefined => state.groups.get(id),
    groups: (): IterableIterator<Group> => state.groups.values(),
    /** Whether a reader of this moment finds the account. */
    isVisible: (account: Account): boolean => !account.removed && account.visibleFrom <= now(),
    saveState: (): unknown => structuredClone(state),
    restoreState: (saved: unknown): void => {
      state = structuredClone(saved) as State;
      edits++;
    },
  };
}
