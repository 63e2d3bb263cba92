/**
 * An emulator of BrainSTEM's groups (labs), written from the provider sheet alone.
 *
 * The traps it keeps: adding someone makes an invitation and still answers 200; a missing flag demotes; `users` is
 * ignored on creation; join, leave, accept, reject and cancel are GETs that change things; nothing has a version.
 * Where the sheet says that nothing is known, a switch offers each possibility.
 *
 * Seeded groups hold exactly the people of the seed. The account behind `credentials` is one of the platform's staff
 * and may change them without being a member; a group that it creates through the API has it as owner and only
 * member, like anybody's. With the switch `staff: everyGroup` it is an ordinary owner of every group instead.
 *
 * `otherCredentials` are `{ token, account }`, `account` being the holder's e-mail address: `sync` (the holder of
 * `credentials`), `owner`, `manager`, `member`, `outsider` (accounts of the sandbox, in no group until
 * `control.addMember` or the switch `staff` puts them there), and `person:<seed id>` for everybody of the seed.
 */
import { type Context, Hono } from "hono";
import {
  exactValues,
  type Field,
  filterRows,
  pageLinks,
  parseFilters,
  readPage,
  Refusal,
  sortRows,
} from "./brainstem/grammar.js";
import {
  changeEmail,
  closeRow,
  createGroup,
  createRow,
  createState,
  createUser,
  deleteGroup,
  editGroup,
  findUser,
  type Flags,
  type GroupSlot,
  openInvitations,
  type Row,
  seenGroup,
  type State,
  type Token,
  type User,
} from "./brainstem/state.js";
import {
  createRandom,
  type Emulator,
  type EmulatorControl,
  type EmulatorOptions,
  marksOf,
  readSwitches,
  type SeedGroup,
  type SeedPerson,
  type SeedRole,
  type TrueGroup,
} from "./kit.js";

/**
 * What is not known of BrainSTEM, by the names of §10 of its sheet; the first value is the default.
 * A status may be given as text or as a number.
 */
export const brainstemSwitches = {
  /** Where groups live: `/users/group/`, `/auth/group/`, or both (#1). */
  groupApp: ["both", "users", "auth"],
  /** How invitations and requests are spelled in paths (#2). */
  inviteSpelling: ["both", "joined", "underscore"],
  /** An e-mail address without an account in PATCH: refused, passed over, or invited under a new, empty account (#3). */
  unknownEmail: ["400", 400, "ignore", "invite"],
  /** An invitation of someone who already holds one: nothing, refused, or a second row (#4). */
  reinvite: ["noop200", "400", 400, "duplicateRow"],
  /** `remove` for someone who is no member (#5). */
  removeAbsent: ["ignore", "400", 400],
  /** One bad entry among several: nothing is applied, or the others are; the answer is a 400 either way (#6). */
  badEntry: ["rejectAll", "applyOthers"],
  /** The last owner removed, demoted or leaving; an owner removing itself (#7). */
  lastOwner: ["400", 400, "allow"],
  /** Whether two spellings of an e-mail address that differ in case are one account (#8). */
  emailCase: ["insensitive", "sensitive"],
  /** Whether writing `is_owner` also sets `is_manager` (#9). */
  ownerImpliesManager: ["off", "on"],
  /** Whether `remove` cancels a pending invitation (#10). */
  removeCancelsInvite: ["off", "on"],
  /** Whether accepted and rejected rows stay listed (#11). Cancelled ones never do. */
  keepClosedInvites: ["off", "on"],
  /** Whose invitation and request rows a caller sees: own ones and those of groups managed, own ones, all (#12). */
  inviteScope: ["managed+own", "own", "all"],
  /** Body of join, leave, accept, reject, cancel: none, or an empty object (#13). */
  actionBody: ["empty", "{}"],
  /** `meta` on the private lists of groups and users (#14). `never`: on no list at all, though the documents promise it. */
  meta: ["on", "off", "never"],
  /** The withdrawn `count`, `next`, `previous` beside the list (#14). */
  count: ["off", "on"],
  /** Which paging parameters have an effect (#15). */
  paging: ["both", "limitOffset", "pageOnly"],
  /** Order of a list without `sort[]`; `shuffled` differs from request to request (#16). */
  order: ["id", "shuffled"],
  /** Whether the private list shows every group, or only those that the caller belongs to (#17). */
  listScope: ["all", "mine"],
  /** Whether a name may be used once only (#18). `control` is not bound by it. */
  uniqueNames: ["400", 400, "off"],
  /** Longest name, in characters; 0 for no limit (#18). */
  maxName: [150, "number"],
  /** Requests per minute and user (#19). */
  rateLimit: ["off", "number"],
  /** Whether `Authorization: Token` is still accepted beside `Bearer` (#20). */
  tokenScheme: ["bearer", "both"],
  /** Whether a path may lack its last slash. `required`: it is redirected, as Django does (#21). */
  slash: ["optional", "required"],
  /** `replace`: members whom PATCH does not mention are removed, the caller excepted (#22). */
  usersPatch: ["merge", "replace"],
  /** Milliseconds until readers see a write (#23). */
  lag: [0, "number"],
  /**
   * Not of the sheet. `none`: groups hold the seed's people only and the account of `credentials` may do everything.
   * `everyGroup`: in every group of the seed and of `control.addGroup`, the accounts sync and owner are owners,
   * manager is a manager and member a member; then sync has no rights beyond that.
   */
  staff: ["none", "everyGroup"],
} as const;

const password = "sandbox-password";
const hourMs = 3_600_000;
const yearMs = 365 * 24 * hourMs;
const deviceWindowMs = 15 * 60_000;
const pollSeconds = 5;

const staffRoles = {
  sync: "owner",
  owner: "owner",
  manager: "manager",
  member: "member",
  outsider: undefined,
} as const;

const flagsOf: Readonly<Record<SeedRole, Flags>> = {
  member: { manager: false, owner: false },
  manager: { manager: true, owner: false },
  // The vendor's examples show owners with both flags (sheet §3).
  owner: { manager: true, owner: true },
};

function roleOf(flags: Flags): SeedRole {
  if (flags.owner) return "owner";
  return flags.manager ? "manager" : "member";
}

type JsonObject = Record<string, unknown>;

function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

const notFound = () => new Refusal(404, { detail: "Not found." });
const forbidden = () => new Refusal(403, { detail: "You do not have permission to perform this action." });
const refused = (detail: string) => new Refusal(400, { detail });

function unauthorized(body: JsonObject): Refusal {
  return new Refusal(401, body, { "WWW-Authenticate": 'Bearer realm="api"' });
}

const badToken = () =>
  unauthorized({
    detail: "Given token not valid for any token type",
    code: "token_not_valid",
    messages: [{ token_class: "AccessToken", token_type: "access", message: "Token is invalid or expired" }],
  });

/** A request on its way through the emulator. */
interface Call {
  readonly portal: "private" | "public" | "super";
  readonly parameters: URLSearchParams;
  /** Undefined on the public portal without a token. */
  readonly caller: User | undefined;
  readonly data: unknown;
  readonly now: number;
  /** When readers see what this request writes. */
  readonly visibleAt: number;
}

/** What an endpoint answers; no body key for none. */
interface Answer {
  readonly status: number;
  readonly body?: unknown;
}

type Endpoint = Readonly<Record<string, (call: Call) => Answer>>;

/** A list of one model: how its rows are found, filtered and shown. */
interface Listing<T extends { readonly id: number | string }> {
  readonly key: string;
  readonly fields: Readonly<Record<string, Field<T>>>;
  readonly rows: (call: Call) => Iterable<T>;
  /** Rows by exact values of an indexed field, so that one look-up does not read 100,000 rows. */
  readonly indexes?: Readonly<Record<string, (values: readonly string[]) => readonly T[]>>;
  readonly render: (row: T, call: Call) => unknown;
}

/** A stand-in for BrainSTEM. */
export function createBrainstemEmulator(options: EmulatorOptions): Emulator {
  const switches = readSwitches("brainstem", brainstemSwitches, options.switches);
  const clock = options.now ?? Date.now;
  const isCaseSensitive = switches.emailCase === "sensitive";
  let state: State = createState();
  /** Rows of the last list of each kind, so that walking through its pages sorts once. */
  const listed = new Map<string, { readonly key: string; readonly rows: readonly unknown[] }>();
  const otherCredentials: Record<string, Readonly<Record<string, string>>> = {};

  // ── Records ──────────────────────────────────────────────────────────────────────────────────────────────────

  function userOf(id: number): User {
    const user = state.users.get(id);
    if (!user) throw new Error(`brainstem sandbox: no user ${id}`);
    return user;
  }

  interface GroupRow {
    readonly id: number;
    readonly name: string;
    readonly members: ReadonlyMap<number, Flags>;
  }

  function renderGroup(row: GroupRow): JsonObject {
    const users: Record<string, JsonObject> = {};
    for (const [id, flags] of row.members) {
      users[userOf(id).email] = { is_manager: flags.manager, is_owner: flags.owner };
    }
    return { id: row.id, name: row.name, users };
  }

  let owned: { key: string; groups: Map<number, { id: number; name: string }[]> } | undefined;

  function ownedGroups(user: number, now: number): readonly { id: number; name: string }[] {
    const key = viewKey(now);
    if (owned?.key !== key) {
      owned = { key, groups: new Map() };
      for (const { id, name, members } of groupRows(now)) {
        for (const [member, flags] of members) {
          if (!flags.owner) continue;
          const groups = owned.groups.get(member) ?? [];
          groups.push({ id, name });
          owned.groups.set(member, groups);
        }
      }
    }
    return owned.groups.get(user) ?? [];
  }

  function renderUser(user: User, call: Call): JsonObject {
    return {
      id: user.id,
      email: user.email,
      first_name: user.firstName,
      last_name: user.lastName,
      groups_own_json: ownedGroups(user.id, call.now),
      website: "",
      google_scholar: "",
      orcid_id: "",
      atlas_preference: null,
      active_projects: [],
      ...user.profile,
    };
  }

  // ── Reading ──────────────────────────────────────────────────────────────────────────────────────────────────

  /** Two equal keys: readers see the same. */
  function viewKey(now: number): string {
    return `${state.revision}:${now < state.lagEndsAt ? now : "settled"}`;
  }

  function groupRow(slot: GroupSlot, now: number): GroupRow | undefined {
    const view = seenGroup(slot, now);
    return view && { id: slot.id, name: view.name, members: view.members };
  }

  function groupRows(now: number): GroupRow[] {
    return [...state.groups.values()].flatMap((slot) => groupRow(slot, now) ?? []);
  }

  function isShown(row: Row, now: number): boolean {
    return row.shownFrom <= now && now < row.hiddenFrom;
  }

  function roleIn(group: number, caller: User): SeedRole | "none" {
    if (caller.isAdmin) return "owner";
    const flags = state.groups.get(group)?.truth?.members.get(caller.id);
    return flags ? roleOf(flags) : "none";
  }

  function managesGroup(group: number, caller: User): boolean {
    return ["owner", "manager"].includes(roleIn(group, caller));
  }

  function isInScope(row: Row, caller: User): boolean {
    if (switches.inviteScope === "all" || row.user === caller.id) return true;
    return switches.inviteScope === "managed+own" && managesGroup(row.group, caller);
  }

  const number = <T>(read: (row: T) => number): Field<T> => ({ type: "number", read });
  const text = <T>(read: (row: T) => string): Field<T> => ({ type: "text", read });
  const flag = <T>(read: (row: T) => boolean): Field<T> => ({ type: "flag", read });
  const profileText = (name: string): Field<User> => text((user) => user.profile[name] ?? "");

  const groupListing: Listing<GroupRow> = {
    key: "groups",
    fields: { id: number((row) => row.id), name: text((row) => row.name) },
    rows: (call) => {
      const rows = groupRows(call.now);
      const { caller } = call;
      return switches.listScope === "mine" && call.portal === "private" && caller
        ? rows.filter((row) => row.members.has(caller.id))
        : rows;
    },
    render: renderGroup,
  };

  const userListing: Listing<User> = {
    key: "users",
    fields: {
      id: number((user) => user.id),
      email: { type: "text", read: (user) => user.email, foldCase: !isCaseSensitive },
      first_name: text((user) => user.firstName),
      last_name: text((user) => user.lastName),
      website: profileText("website"),
      google_scholar: profileText("google_scholar"),
      orcid_id: profileText("orcid_id"),
    },
    rows: () => [...state.users.values()].filter((user) => user.status !== "deleted"),
    indexes: {
      email: (values) => {
        const keys = new Set(values.map((value) => value.toLowerCase()));
        return [...keys]
          .flatMap((key) => state.usersByEmail.get(key) ?? [])
          .filter((user) => user.status !== "deleted");
      },
      id: (values) =>
        [...new Set(values.map(Number))].flatMap((id) => {
          const user = state.users.get(id);
          return user && user.status !== "deleted" ? user : [];
        }),
    },
    render: renderUser,
  };

  function visibleRows(rows: ReadonlyMap<string, Row>, call: Call): Row[] {
    const { caller } = call;
    return caller ? [...rows.values()].filter((row) => isShown(row, call.now) && isInScope(row, caller)) : [];
  }

  const invitationListing: Listing<Row> = {
    key: "group_membership_invitations",
    fields: {
      id: text((row) => row.id),
      user_account_invitation: number((row) => row.user),
      authgroup: number((row) => row.group),
      new_manager: flag((row) => row.flags.manager),
      new_owner: flag((row) => row.flags.owner),
    },
    rows: (call) => visibleRows(state.invitations, call),
    render: (row) => ({
      id: row.id,
      user_account_invitation: row.user,
      authgroup: row.group,
      new_manager: row.flags.manager,
      new_owner: row.flags.owner,
    }),
  };

  const requestListing: Listing<Row> = {
    key: "group_membership_requests",
    fields: {
      id: text((row) => row.id),
      user_account_request: number((row) => row.user),
      authgroup: number((row) => row.group),
    },
    rows: (call) => visibleRows(state.requests, call),
    render: (row) => ({ id: row.id, user_account_request: row.user, authgroup: row.group }),
  };

  function readRows<T extends { readonly id: number | string }>(listing: Listing<T>, call: Call): readonly T[] {
    const { parameters } = call;
    state.listRequests++;
    const isShuffled = switches.order === "shuffled" && !parameters.has("sort[]");
    const wish = [...parameters].filter(([name]) => name.startsWith("filter{") || name === "sort[]");
    const key = JSON.stringify([
      viewKey(call.now),
      call.portal,
      call.caller?.id,
      isShuffled && state.listRequests,
      wish,
    ]);
    const known = listed.get(listing.key);
    if (known?.key === key) return known.rows as readonly T[];
    const filters = parseFilters(parameters, listing.fields);
    let candidates: Iterable<T> | undefined;
    for (const [field, find] of Object.entries(listing.indexes ?? {})) {
      const values = exactValues(filters, field);
      if (values) candidates = find(values);
    }
    const rows = filterRows(candidates ?? listing.rows(call), filters, listing.fields);
    rows.sort((left, right) => {
      if (left.id === right.id) return 0;
      return left.id < right.id ? -1 : 1;
    });
    sortRows(rows, parameters, listing.fields);
    if (isShuffled) {
      const random = createRandom(state.listRequests);
      for (let last = rows.length - 1; last > 0; last--) {
        const other = Math.floor(random() * (last + 1));
        const [lower, upper] = [rows[other], rows[last]];
        if (lower !== undefined && upper !== undefined) [rows[other], rows[last]] = [upper, lower];
      }
    }
    listed.set(listing.key, { key, rows });
    return rows;
  }

  /** Public lists and those of invitations and requests are promised `meta`; private ones of groups and users are not (sheet §6). */
  function hasMeta(key: string, call: Call): boolean {
    if (switches.meta === "never") return false;
    return switches.meta === "on" || call.portal === "public" || (key !== "groups" && key !== "users");
  }

  function list<T extends { readonly id: number | string }>(listing: Listing<T>): (call: Call) => Answer {
    return (call) => {
      const rows = readRows(listing, call);
      const page = readPage(call.parameters, switches.paging, rows.length);
      const shown = rows.slice(page.offset, page.offset + page.size);
      return {
        status: 200,
        body: {
          [listing.key]: shown.map((row) => listing.render(row, call)),
          ...(hasMeta(listing.key, call) && {
            meta: {
              page: page.page,
              per_page: page.size,
              total_results: rows.length,
              total_pages: page.totalPages,
            },
          }),
          ...(switches.count === "on" && pageLinks(call.parameters, switches.paging, page, rows.length)),
        },
      };
    };
  }

  // ── Groups ───────────────────────────────────────────────────────────────────────────────────────────────────

  function callerOf(call: Call): User {
    if (!call.caller) throw unauthorized({ detail: "Authentication credentials were not provided." });
    return call.caller;
  }

  function readBody(call: Call): JsonObject {
    if (isObject(call.data)) return call.data;
    const kind = Array.isArray(call.data) ? "list" : typeof call.data;
    throw new Refusal(400, { non_field_errors: [`Invalid data. Expected a dictionary, but got ${kind}.`] });
  }

  /** The slot of a group that exists. Writers are not bound by lag. */
  function slotOf(id: string): GroupSlot {
    const slot = /^\d+$/.test(id) ? state.groups.get(Number(id)) : undefined;
    if (!slot?.truth) throw notFound();
    return slot;
  }

  function trueRecord(slot: GroupSlot): JsonObject {
    const view = slot.truth;
    return { group: view ? renderGroup({ id: slot.id, ...view }) : {} };
  }

  /** The name a request wants, or what is wrong with it. */
  function checkName(value: unknown, own: number | undefined): { name: string } | { errors: readonly string[] } {
    if (value === undefined) return { errors: ["This field is required."] };
    if (value === null) return { errors: ["This field may not be null."] };
    if (typeof value !== "string" && typeof value !== "number") return { errors: ["Not a valid string."] };
    const name = String(value).trim();
    if (name === "") return { errors: ["This field may not be blank."] };
    const most = Number(switches.maxName);
    if (most > 0 && Array.from(name).length > most) {
      return { errors: [`Ensure this field has no more than ${most} characters.`] };
    }
    if (switches.uniqueNames !== "off") {
      for (const slot of state.groups.values()) {
        if (slot.id !== own && slot.truth?.name === name) return { errors: ["group with this name already exists."] };
      }
    }
    return { name };
  }

  function postGroup(call: Call): Answer {
    const caller = callerOf(call);
    // `users` is not even looked at: the creator is the only member (sheet §3).
    const checked = checkName(readBody(call)["name"], undefined);
    if ("errors" in checked) throw new Refusal(400, { name: checked.errors });
    const slot = createGroup(state, checked.name, call.visibleAt, call.now);
    setMember(slot, caller.id, flagsOf.owner, call);
    return { status: 201, body: trueRecord(slot) };
  }

  function setMember(
    slot: GroupSlot,
    user: number,
    flags: Flags | undefined,
    at: Pick<Call, "visibleAt" | "now">,
  ): void {
    editGroup(state, slot, { kind: "member", user, flags }, at.visibleAt, at.now);
  }

  /** What one entry of `users` comes to. */
  type EntryAction =
    | { readonly kind: "nothing" }
    | { readonly kind: "set" | "invite"; readonly flags: Flags }
    | { readonly kind: "inviteUnknown"; readonly flags: Flags; readonly email: string }
    | { readonly kind: "remove" | "cancelInvitations" }
    | { readonly kind: "bad"; readonly message: string };

  function readFlags(entry: JsonObject): Flags | string {
    for (const name of ["is_manager", "is_owner", "remove"]) {
      if (entry[name] !== undefined && typeof entry[name] !== "boolean") return `${name}: Must be a valid boolean.`;
    }
    const isOwner = entry["is_owner"] === true;
    // A missing flag is false: `{}` demotes (sheet §3 b).
    const isManager = entry["is_manager"] === true || (isOwner && switches.ownerImpliesManager === "on");
    return { manager: isManager, owner: isOwner };
  }

  function judgeEntry(
    slot: GroupSlot,
    caller: User,
    email: string,
    entry: unknown,
    user: User | undefined,
  ): EntryAction {
    if (!isObject(entry)) return { kind: "bad", message: `${email}: Expected a dictionary of permissions.` };
    const flags = readFlags(entry);
    if (typeof flags === "string") return { kind: "bad", message: `${email}: ${flags}` };
    const current = user && slot.truth?.members.get(user.id);
    const isOwner = roleIn(slot.id, caller) === "owner";
    if (entry["remove"] === true) {
      if (current) {
        // A manager removes regular members only (sheet §3, trap 14).
        if (!isOwner && roleOf(current) !== "member" && user.id !== caller.id) throw forbidden();
        return { kind: "remove" };
      }
      const isInvited = user !== undefined && openInvitations(state, slot.id, user.id).length > 0;
      if (isInvited && switches.removeCancelsInvite === "on") return { kind: "cancelInvitations" };
      if (switches.removeAbsent === "ignore") return { kind: "nothing" };
      return { kind: "bad", message: `${email} is not a member of this group.` };
    }
    if (current) {
      const changes = current.manager !== flags.manager || current.owner !== flags.owner;
      if (changes && !isOwner) throw forbidden();
      return changes ? { kind: "set", flags } : { kind: "nothing" };
    }
    if (!isOwner && (flags.manager || flags.owner)) throw forbidden();
    if (!user) {
      if (switches.unknownEmail === "ignore") return { kind: "nothing" };
      if (switches.unknownEmail === "invite" && /^[^\s@]+@[^\s@]+$/u.test(email)) {
        return { kind: "inviteUnknown", flags, email };
      }
      return { kind: "bad", message: `User with email ${email} does not exist.` };
    }
    if (openInvitations(state, slot.id, user.id).length > 0) {
      if (switches.reinvite === "noop200") return { kind: "nothing" };
      if (switches.reinvite !== "duplicateRow") {
        return { kind: "bad", message: `${email} has already been invited to this group.` };
      }
    }
    return { kind: "invite", flags };
  }

  /** Turns entries that would leave the group without an owner, or take out the owner who asks, into bad ones. */
  function keepAnOwner(
    slot: GroupSlot,
    caller: User,
    actions: Map<string, { user: number | undefined; action: EntryAction }>,
  ) {
    if (switches.lastOwner === "allow") return;
    const owners = new Set([...(slot.truth?.members ?? [])].flatMap(([id, flags]) => (flags.owner ? [id] : [])));
    // Promotions first: one request may hand a group over.
    for (const { user, action } of actions.values()) {
      if (action.kind === "set" && action.flags.owner && user !== undefined) owners.add(user);
    }
    for (const [key, { user, action }] of actions) {
      const losesOwner = action.kind === "remove" || (action.kind === "set" && !action.flags.owner);
      if (!losesOwner || user === undefined || !owners.has(user)) continue;
      if (owners.size === 1 || (action.kind === "remove" && user === caller.id)) {
        actions.set(key, { user, action: { kind: "bad", message: "A group must keep its owner." } });
      } else {
        owners.delete(user);
      }
    }
  }

  function applyEntry(slot: GroupSlot, user: number | undefined, action: EntryAction, call: Call): void {
    const { visibleAt } = call;
    if (action.kind === "inviteUnknown") {
      const stub = createUser(state, {
        email: action.email,
        firstName: "",
        lastName: "",
        status: "pending",
        isAdmin: false,
      });
      createRow(state, "invitation", { user: stub.id, group: slot.id, flags: action.flags, shownFrom: visibleAt });
    }
    if (user === undefined) return;
    if (action.kind === "set") setMember(slot, user, action.flags, call);
    if (action.kind === "remove") setMember(slot, user, undefined, call);
    if (action.kind === "invite") {
      createRow(state, "invitation", { user, group: slot.id, flags: action.flags, shownFrom: visibleAt });
    }
    if (action.kind === "cancelInvitations" || (action.kind === "remove" && switches.removeCancelsInvite === "on")) {
      for (const row of openInvitations(state, slot.id, user)) closeRow(state, row, visibleAt);
    }
  }

  function changeGroup(id: string, isWhole: boolean): (call: Call) => Answer {
    return (call) => {
      const caller = callerOf(call);
      const slot = slotOf(id);
      if (!managesGroup(slot.id, caller)) throw forbidden();
      const body = readBody(call);
      const errors: Record<string, readonly string[]> = {};

      let name: string | undefined;
      if (isWhole || body["name"] !== undefined) {
        if (roleIn(slot.id, caller) !== "owner") throw forbidden();
        const checked = checkName(body["name"], slot.id);
        if ("errors" in checked) errors["name"] = checked.errors;
        else name = checked.name;
      }

      const { users } = body;
      const actions = new Map<string, { user: number | undefined; action: EntryAction }>();
      if (isObject(users)) {
        for (const [email, entry] of Object.entries(users)) {
          const user = findUser(state, email, isCaseSensitive);
          // Two spellings of one account are one entry, and the later one counts.
          const action = judgeEntry(slot, caller, email, entry, user);
          actions.set(user ? String(user.id) : email, { user: user?.id, action });
        }
        keepAnOwner(slot, caller, actions);
      } else if (users !== undefined) {
        errors["users"] = ["Expected a dictionary of users by e-mail."];
      }
      const bad = [...actions.values()].flatMap(({ action }) => (action.kind === "bad" ? [action.message] : []));
      if (bad.length > 0) errors["users"] = bad;

      const isBad = Object.keys(errors).length > 0;
      if (isBad && switches.badEntry === "rejectAll") throw new Refusal(400, errors);
      if (name !== undefined && name !== slot.truth?.name) {
        editGroup(state, slot, { kind: "name", name }, call.visibleAt, call.now);
      }
      if (isObject(users) && switches.usersPatch === "replace") {
        for (const member of slot.truth?.members.keys() ?? []) {
          if (member !== caller.id && !actions.has(String(member))) setMember(slot, member, undefined, call);
        }
      }
      for (const { user, action } of actions.values()) applyEntry(slot, user, action, call);
      if (isBad) throw new Refusal(400, errors);
      return { status: 200, body: trueRecord(slot) };
    };
  }

  function actionDone(): Answer {
    return switches.actionBody === "{}" ? { status: 200, body: {} } : { status: 200 };
  }

  function join(id: string): (call: Call) => Answer {
    return (call) => {
      const caller = callerOf(call);
      const slot = slotOf(id);
      if (slot.truth?.members.has(caller.id)) throw refused("You are already a member of this group.");
      for (const row of state.requests.values()) {
        if (row.isOpen && row.group === slot.id && row.user === caller.id) {
          throw refused("You have already requested to join this group.");
        }
      }
      createRow(state, "request", {
        user: caller.id,
        group: slot.id,
        flags: flagsOf.member,
        shownFrom: call.visibleAt,
      });
      return actionDone();
    };
  }

  function leave(id: string): (call: Call) => Answer {
    return (call) => {
      const caller = callerOf(call);
      const slot = slotOf(id);
      const members = slot.truth?.members ?? new Map<number, Flags>();
      const flags = members.get(caller.id);
      if (!flags) throw refused("You are not a member of this group.");
      const owners = [...members.values()].filter(({ owner }) => owner).length;
      if (flags.owner && owners === 1 && switches.lastOwner !== "allow") {
        throw refused("The last owner cannot leave the group.");
      }
      setMember(slot, caller.id, undefined, call);
      return actionDone();
    };
  }

  function groupItem(id: string): Endpoint {
    const read = (call: Call): Answer => {
      const slot = /^\d+$/.test(id) ? state.groups.get(Number(id)) : undefined;
      const row = slot && groupRow(slot, call.now);
      if (!row) throw notFound();
      return { status: 200, body: { group: renderGroup(row) } };
    };
    const remove = (call: Call): Answer => {
      const caller = callerOf(call);
      const slot = slotOf(id);
      if (roleIn(slot.id, caller) !== "owner") throw forbidden();
      deleteGroup(state, slot, call.visibleAt, call.now);
      return { status: 204 };
    };
    return { GET: read, PUT: changeGroup(id, true), PATCH: changeGroup(id, false), DELETE: remove };
  }

  // ── Invitations and requests ─────────────────────────────────────────────────────────────────────────────────

  /** Puts the person of a row into its group and closes the row. */
  function acceptRow(row: Row, at: Pick<Call, "visibleAt" | "now">): void {
    const slot = state.groups.get(row.group);
    if (slot?.truth && !slot.truth.members.has(row.user)) setMember(slot, row.user, row.flags, at);
    answerRow(row, at.visibleAt);
  }

  function answerRow(row: Row, visibleAt: number): void {
    closeRow(state, row, switches.keepClosedInvites === "on" ? undefined : visibleAt);
  }

  function rowAction(kind: "invitation" | "request", id: string, action: string): (call: Call) => Answer {
    return (call) => {
      const caller = callerOf(call);
      const row = state[kind === "invitation" ? "invitations" : "requests"].get(id);
      if (!row || call.now >= row.hiddenFrom) throw notFound();
      const isOwn = row.user === caller.id;
      const manages = managesGroup(row.group, caller);
      if (!isOwn && !manages && !isInScope(row, caller)) throw notFound();
      // The person concerned answers an invitation; the group's managers answer a request. The other side cancels.
      const isAnswer = action !== "cancel";
      const byPerson = kind === "invitation" ? isAnswer : !isAnswer;
      if (!(byPerson ? isOwn : manages)) throw forbidden();
      if (!row.isOpen) throw refused(`This ${kind} has already been answered.`);
      if (action === "accept") acceptRow(row, call);
      else if (action === "reject") answerRow(row, call.visibleAt);
      else closeRow(state, row, call.visibleAt);
      return actionDone();
    };
  }

  function rowItem(kind: "invitation" | "request", id: string): Endpoint {
    const listing = kind === "invitation" ? invitationListing : requestListing;
    return {
      GET: (call) => {
        const row = state[kind === "invitation" ? "invitations" : "requests"].get(id);
        if (!row || !isShown(row, call.now) || !isInScope(row, callerOf(call))) throw notFound();
        return { status: 200, body: { [`group_membership_${kind}`]: listing.render(row, call) } };
      },
    };
  }

  // ── Users ────────────────────────────────────────────────────────────────────────────────────────────────────

  function userByPath(id: string): User {
    const user = /^\d+$/.test(id) ? state.users.get(Number(id)) : undefined;
    if (!user || user.status === "deleted") throw notFound();
    return user;
  }

  function patchUser(id: string): (call: Call) => Answer {
    return (call) => {
      const caller = callerOf(call);
      const user = userByPath(id);
      if (caller.id !== user.id && !caller.isAdmin) throw forbidden();
      const body = readBody(call);
      const { email } = body;
      if (email !== undefined) {
        if (typeof email !== "string" || !/^[^\s@]+@[^\s@]+$/u.test(email)) {
          throw new Refusal(400, { email: ["Enter a valid email address."] });
        }
        const other = findUser(state, email, isCaseSensitive);
        if (other && other !== user) throw new Refusal(400, { email: ["user with this email already exists."] });
        changeEmail(state, user, email);
      }
      if (typeof body["first_name"] === "string") user.firstName = body["first_name"];
      if (typeof body["last_name"] === "string") user.lastName = body["last_name"];
      for (const field of ["website", "google_scholar", "orcid_id"]) {
        const value = body[field];
        if (typeof value === "string") user.profile[field] = value;
      }
      state.revision++;
      return { status: 200, body: { user: renderUser(user, call) } };
    };
  }

  /** Takes a user out of everything; the id is not used again. */
  function deleteUser(user: User, at: Pick<Call, "visibleAt" | "now">): void {
    user.status = "deleted";
    for (const slot of state.groups.values())
      if (slot.truth?.members.has(user.id)) setMember(slot, user.id, undefined, at);
    for (const rows of [state.invitations, state.requests]) {
      for (const row of rows.values()) if (row.user === user.id) closeRow(state, row, at.visibleAt);
    }
    state.revision++;
  }

  function userItem(id: string): Endpoint {
    return {
      GET: (call) => ({ status: 200, body: { user: renderUser(userByPath(id), call) } }),
      PATCH: patchUser(id),
      DELETE: (call) => {
        const caller = callerOf(call);
        const user = userByPath(id);
        if (!caller.isAdmin) throw forbidden();
        deleteUser(user, call);
        return { status: 204 };
      },
    };
  }

  // ── Signing in ───────────────────────────────────────────────────────────────────────────────────────────────

  function issueToken(user: number, kind: Token["kind"], lifeMs: number): string {
    state.issuedTokens++;
    const token = `sandbox-brainstem-${kind}-${state.issuedTokens}`;
    state.tokens.set(token, { user, kind, expiresAt: clock() + lifeMs });
    return token;
  }

  function requiredText(body: JsonObject, ...names: readonly string[]): string[] {
    const missing = names.filter((name) => typeof body[name] !== "string" || body[name] === "");
    if (missing.length > 0) {
      throw new Refusal(400, Object.fromEntries(missing.map((name) => [name, ["This field is required."]])));
    }
    return names.map((name) => String(body[name]));
  }

  function checkPassword(body: JsonObject, nameField: string): User {
    const [login = "", secret] = requiredText(body, nameField, "password");
    const user = findUser(state, login, isCaseSensitive);
    if (!user || user.status !== "active" || secret !== password) {
      throw unauthorized({ detail: "No active account found with the given credentials", code: "no_active_account" });
    }
    return user;
  }

  const signIn: Readonly<Record<string, (call: Call) => Answer>> = {
    "auth/device": ({ now }) => {
      const serial = state.devices.size + 1;
      const userCode = `SAND-${String(serial).padStart(4, "0")}`;
      const deviceCode = `sandbox-brainstem-device-code-${serial}`;
      state.devices.set(deviceCode, { userCode, expiresAt: now + deviceWindowMs, polls: 0, answer: "waiting" });
      const page = "../../../private/auth/device/";
      return {
        status: 200,
        body: {
          session_id: `sandbox-session-${serial}`,
          device_code: deviceCode,
          user_code: userCode,
          verification_uri: page,
          verification_uri_complete: `${page}?user_code=${userCode}`,
          expires_in: deviceWindowMs / 1000,
          interval: pollSeconds,
        },
      };
    },
    // Always 200, also when it fails (sheet §1). Whoever polls twice is let in, unless the page was asked to deny.
    "auth/device/token": (call) => {
      const [code = ""] = requiredText(readBody(call), "device_code");
      const device = state.devices.get(code);
      if (!device || call.now >= device.expiresAt) return { status: 200, body: { error: "expired_token" } };
      if (device.answer === "denied") return { status: 200, body: { error: "access_denied" } };
      if (device.answer === "used") return { status: 200, body: { error: "already_used" } };
      device.polls++;
      if (device.answer === "waiting" && device.polls === 1) {
        return { status: 200, body: { status: "authorization_pending" } };
      }
      device.answer = "used";
      return { status: 200, body: { status: "success", token: issueToken(staffUser("sync").id, "personal", yearMs) } };
    },
    "auth/token": (call) => {
      const user = checkPassword(readBody(call), "email");
      const refresh = issueToken(user.id, "refresh", 24 * hourMs);
      const access = issueToken(user.id, "access", hourMs);
      return { status: 200, body: { access, refresh, token_type: "bearer", expires_in: hourMs / 1000 } };
    },
    "auth/token/refresh": (call) => {
      const [refresh = ""] = requiredText(readBody(call), "refresh");
      const token = state.tokens.get(refresh);
      if (token?.kind !== "refresh" || token.expiresAt <= call.now) {
        throw unauthorized({ detail: "Token is invalid or expired", code: "token_not_valid" });
      }
      return { status: 200, body: { access: issueToken(token.user, "access", hourMs) } };
    },
    token: (call) => {
      const user = checkPassword(readBody(call), "username");
      const access = issueToken(user.id, "access", hourMs);
      return { status: 200, body: { access, token_id: state.issuedTokens, message: "Token created." } };
    },
  };

  function answerDevicePage(url: URL): Response {
    const device = [...state.devices.values()].find(({ userCode }) => userCode === url.searchParams.get("user_code"));
    if (!device || device.answer !== "waiting") return htmlPage(404, "Not Found");
    device.answer = url.searchParams.get("answer") === "deny" ? "denied" : "approved";
    return htmlPage(200, `Device ${device.answer}`);
  }

  function authenticate(context: Context, now: number): User | undefined {
    const header = context.req.header("authorization");
    if (header === undefined) return undefined;
    const [scheme = "", token, ...rest] = header.trim().split(/\s+/);
    // Another scheme is somebody else's business to Django REST framework: no credentials, rather than bad ones.
    const accepted = switches.tokenScheme === "both" ? ["bearer", "token"] : ["bearer"];
    if (!accepted.includes(scheme.toLowerCase())) return undefined;
    if (token === undefined || rest.length > 0) {
      throw unauthorized({
        detail: "Authorization header must contain two space-delimited values",
        code: "bad_authorization_header",
      });
    }
    const known = state.tokens.get(token);
    if (!known || known.kind === "refresh" || known.expiresAt <= now) throw badToken();
    const user = userOf(known.user);
    if (user.status === "deleted") throw unauthorized({ detail: "User not found", code: "user_not_found" });
    if (user.status === "disabled") throw unauthorized({ detail: "User is inactive", code: "user_inactive" });
    // A personal token lives for a year from its last use.
    if (known.kind === "personal") known.expiresAt = now + yearMs;
    return user;
  }

  function throttle(caller: User | undefined, now: number): void {
    if (typeof switches.rateLimit !== "number") return;
    const scope = caller ? String(caller.id) : "anonymous";
    let usage = state.usage.get(scope);
    if (!usage || now - usage.since >= 60_000) {
      usage = { since: now, count: 0 };
      state.usage.set(scope, usage);
    }
    usage.count++;
    if (usage.count <= switches.rateLimit) return;
    const seconds = Math.ceil((usage.since + 60_000 - now) / 1000);
    throw new Refusal(429, throttledBody(seconds), { "Retry-After": String(seconds) });
  }

  // ── Routes ───────────────────────────────────────────────────────────────────────────────────────────────────

  const spellings = (name: "invitation" | "request"): readonly string[] => {
    const all = { joined: `groupmembership${name}`, underscore: `group_membership_${name}` };
    if (switches.inviteSpelling === "joined") return [all.joined];
    return switches.inviteSpelling === "underscore" ? [all.underscore] : [all.joined, all.underscore];
  };
  const rowModels = new Map<string, "invitation" | "request">();
  for (const kind of ["invitation", "request"] as const) for (const name of spellings(kind)) rowModels.set(name, kind);

  function findEndpoint(
    app: string,
    model: string,
    id: string | undefined,
    action: string | undefined,
  ): Endpoint | undefined {
    const isGroupApp = switches.groupApp === "both" ? ["users", "auth"].includes(app) : app === switches.groupApp;
    if (model === "group" && isGroupApp) {
      if (id === undefined) return { GET: list(groupListing), POST: postGroup };
      if (action === undefined) return groupItem(id);
      if (action === "join") return { GET: join(id) };
      return action === "leave" ? { GET: leave(id) } : undefined;
    }
    if (app !== "users") return undefined;
    const kind = rowModels.get(model);
    if (kind) {
      if (id === undefined) return { GET: kind === "invitation" ? list(invitationListing) : list(requestListing) };
      if (action === undefined) return rowItem(kind, id);
      return ["accept", "reject", "cancel"].includes(action) ? { GET: rowAction(kind, id, action) } : undefined;
    }
    if (model !== "user" || action !== undefined) return undefined;
    return id === undefined ? { GET: list(userListing) } : userItem(id);
  }

  function isRowModel(model: string): boolean {
    return rowModels.has(model);
  }

  async function readData(context: Context): Promise<unknown> {
    const raw = await context.req.text();
    if (raw === "") return {};
    const type = context.req.header("content-type") ?? "";
    if (!/^application\/json\b/i.test(type)) {
      throw new Refusal(415, { detail: `Unsupported media type "${type}" in request.` });
    }
    try {
      return JSON.parse(raw) as unknown;
    } catch (error) {
      throw new Refusal(400, { detail: `JSON parse error - ${error instanceof Error ? error.message : "invalid"}` });
    }
  }

  async function answer(context: Context, method: string, segments: readonly string[], url: URL): Promise<Response> {
    const now = clock();
    const parameters = url.searchParams;
    const common: Record<string, string> = { Vary: "Accept" };
    const type = chooseType(context.req.header("accept"), parameters.get("format"));
    const send = (status: number, body: unknown, headers: Readonly<Record<string, string>> = {}): Response =>
      render(type ?? "json", status, body, { ...common, ...headers });
    try {
      const [portal = "", app = "", model = "", id, action] = segments;
      const path = segments.join("/");
      const login = Object.hasOwn(signIn, path) ? signIn[path] : undefined;
      const isPortal = portal === "private" || portal === "public" || portal === "super";
      const endpoint: Endpoint | undefined = login
        ? { POST: login }
        : isPortal && segments.length >= 3 && segments.length <= 5
          ? findEndpoint(app, model, id, action)
          : undefined;
      // Invitations, requests and everything that writes exist on the private portal alone.
      const isReadable = portal !== "public" || (!isRowModel(model) && action === undefined);
      if (!endpoint || !isReadable) return htmlPage(404, "Not Found");
      if (switches.slash === "required" && !url.pathname.endsWith("/")) {
        // Relative, because the emulator does not know under which prefix it is mounted.
        const last = url.pathname.slice(url.pathname.lastIndexOf("/") + 1);
        return new Response(null, { status: 301, headers: { Location: `${last}/${url.search}` } });
      }
      if (type === undefined) throw new Refusal(406, { detail: "Could not satisfy the request Accept header." });
      const caller = login ? undefined : authenticate(context, now);
      if (portal !== "public" && !login && !caller) {
        throw unauthorized({ detail: "Authentication credentials were not provided." });
      }
      if (portal === "super" && caller?.isAdmin !== true) throw forbidden();
      throttle(caller, now);
      const methods = portal === "public" ? ["GET"] : Object.keys(endpoint);
      common["Allow"] = [...methods, "HEAD", "OPTIONS"].join(", ");
      if (method === "OPTIONS")
        return send(200, { parses: ["application/json"], renders: ["application/json", "text/html"] });
      const handle = methods.includes(method) ? endpoint[method] : undefined;
      if (!handle) throw new Refusal(405, { detail: `Method "${method}" not allowed.` });
      const data = ["POST", "PUT", "PATCH"].includes(method) ? await readData(context) : {};
      const lagMs = marksOf(context).lagMs ?? Number(switches.lag);
      const { status, body } = handle({
        portal: login || !isPortal ? "public" : portal,
        parameters,
        caller,
        data,
        now,
        visibleAt: now + lagMs,
      });
      return send(status, body);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      return send(error.status, error.body, error.headers);
    }
  }

  const app = new Hono();
  app.all("*", (context) => {
    const url = new URL(context.req.url);
    const method = context.req.method === "HEAD" ? "GET" : context.req.method;
    let segments: string[];
    try {
      segments = url.pathname.split("/").filter(Boolean).map(decodeURIComponent);
    } catch {
      return htmlPage(400, "Bad Request");
    }
    if (segments[0] === "api") return answer(context, method, segments.slice(1), url);
    if (segments.join("/") === "private/auth/device" && method === "GET") return answerDevicePage(url);
    return htmlPage(404, "Not Found");
  });

  // ── The seed, and what tests do ──────────────────────────────────────────────────────────────────────────────

  /** Control edits show at once. */
  const atOnce = () => {
    const now = clock();
    return { now, visibleAt: now };
  };

  const staffIds = new Map<string, number>();

  function staffUser(name: keyof typeof staffRoles): User {
    return userOf(staffIds.get(name) ?? 0);
  }

  function giveCredentials(name: string, token: string, user: User): void {
    state.tokens.set(token, { user: user.id, kind: "personal", expiresAt: clock() + yearMs });
    otherCredentials[name] = { token, account: user.email };
  }

  function addPerson(person: SeedPerson): string {
    let user = findUser(state, person.email, isCaseSensitive);
    if (!user) {
      const [firstName = "", ...rest] = (person.name ?? "").split(" ");
      user = createUser(state, {
        email: person.email,
        firstName,
        lastName: rest.join(" "),
        status: statusOf(person.status),
        isAdmin: false,
      });
    }
    // An address belongs to one account: two people who share it share the account.
    state.people.set(person.id, user.id);
    giveCredentials(`person:${person.id}`, `sandbox-brainstem-person-${user.id}`, user);
    return user.email;
  }

  function statusOf(status: SeedPerson["status"]): User["status"] {
    return status === undefined || status === "guest" ? "active" : status;
  }

  function personUser(personId: string): User | undefined {
    const id = state.people.get(personId);
    const user = id === undefined ? undefined : state.users.get(id);
    return user && user.status !== "deleted" ? user : undefined;
  }

  function addGroup(group: SeedGroup): string {
    const at = atOnce();
    const slot = createGroup(state, group.name, at.visibleAt, at.now);
    if (switches.staff === "everyGroup") {
      for (const [name, role] of Object.entries(staffRoles)) {
        if (role) setMember(slot, staffUser(name as keyof typeof staffRoles).id, flagsOf[role], at);
      }
    }
    for (const [role, people] of [
      ["member", group.members],
      ["manager", group.managers],
      ["owner", group.owners],
    ] as const) {
      for (const person of people ?? []) {
        const user = personUser(person);
        if (user) setMember(slot, user.id, flagsOf[role], at);
      }
    }
    for (const person of group.invited ?? []) {
      const user = personUser(person);
      if (!user || slot.truth?.members.has(user.id)) continue;
      createRow(state, "invitation", { user: user.id, group: slot.id, flags: flagsOf.member, shownFrom: at.visibleAt });
    }
    return String(slot.id);
  }

  function controlSlot(groupId: string): GroupSlot {
    const slot = state.groups.get(Number(groupId));
    if (!slot?.truth) throw new Error(`brainstem sandbox: no group ${groupId}`);
    return slot;
  }

  function controlUser(account: string): User {
    const user =
      findUser(state, account, isCaseSensitive) ??
      state.usersByEmail.get(account.toLowerCase())?.find((other) => other.email === account);
    if (!user) throw new Error(`brainstem sandbox: no account ${account}`);
    return user;
  }

  /** Invited accounts by group. A row of someone who is a member by now is not pending (sheet §3). */
  function pendingByGroup(): Map<number, string[]> {
    const pending = new Map<number, string[]>();
    for (const row of state.invitations.values()) {
      if (!row.isOpen || state.groups.get(row.group)?.truth?.members.has(row.user) !== false) continue;
      const accounts = pending.get(row.group) ?? [];
      accounts.push(userOf(row.user).email);
      pending.set(row.group, accounts);
    }
    return pending;
  }

  const control: EmulatorControl = {
    groups() {
      const pending = pendingByGroup();
      return [...state.groups.values()].flatMap(({ id, truth }): TrueGroup[] => {
        if (!truth) return [];
        const members = [...truth.members].map(([user, flags]) => ({
          account: userOf(user).email,
          role: roleOf(flags),
          direct: true,
        }));
        return [{ id: String(id), name: truth.name, members, invited: pending.get(id) ?? [] }];
      });
    },
    accountOf: (personId) => personUser(personId)?.email,
    addPerson,
    addGroup,
    addMember(groupId, account, role = "member") {
      const slot = controlSlot(groupId);
      const user = controlUser(account);
      if (user.status === "deleted") throw new Error(`brainstem sandbox: ${account} is deleted`);
      const at = atOnce();
      setMember(slot, user.id, flagsOf[role], at);
      // Nobody becomes a member but by accepting, so an open invitation is answered by this.
      for (const row of openInvitations(state, slot.id, user.id)) answerRow(row, at.visibleAt);
    },
    removeMember(groupId, account) {
      setMember(controlSlot(groupId), controlUser(account).id, undefined, atOnce());
    },
    renameGroup(groupId, name) {
      const { now, visibleAt } = atOnce();
      editGroup(state, controlSlot(groupId), { kind: "name", name }, visibleAt, now);
    },
    deleteGroup(groupId) {
      const { now, visibleAt } = atOnce();
      deleteGroup(state, controlSlot(groupId), visibleAt, now);
    },
    setPersonStatus(account, status) {
      const user = controlUser(account);
      if (status === "deleted") deleteUser(user, atOnce());
      else user.status = statusOf(status);
      state.revision++;
    },
    answerInvitations(reply, filter = {}) {
      const at = atOnce();
      const wanted = filter.account === undefined ? undefined : controlUser(filter.account).id;
      const open = [...state.invitations.values()].filter(
        (row) =>
          row.isOpen &&
          (filter.groupId === undefined || String(row.group) === filter.groupId) &&
          (wanted === undefined || row.user === wanted),
      );
      for (const row of open) {
        if (reply === "accept") acceptRow(row, at);
        else answerRow(row, at.visibleAt);
      }
      return open.length;
    },
    expireTokens() {
      for (const [text, token] of state.tokens) if (token.kind !== "refresh") state.tokens.delete(text);
    },
  };

  for (const name of Object.keys(staffRoles)) {
    const user = createUser(state, {
      email: `${name}@sandbox.example`,
      firstName: "Sandbox",
      lastName: name,
      status: "active",
      isAdmin: name === "sync" && switches.staff === "none",
    });
    staffIds.set(name, user.id);
    giveCredentials(name, `sandbox-brainstem-${name}`, user);
  }
  const isHere = ({ services }: SeedPerson | SeedGroup) => services?.includes("brainstem") !== false;
  for (const person of options.seed.people) if (isHere(person)) addPerson(person);
  for (const group of options.seed.groups) if (isHere(group)) addGroup(group);

  return {
    service: "brainstem",
    app,
    control,
    credentials: { token: "sandbox-brainstem-sync" },
    otherCredentials,
    listKeys: ["groups", "users", "group_membership_invitations", "group_membership_requests"],
    rateLimitBody: (retryAfterSeconds) => ({ body: throttledBody(retryAfterSeconds), headers: {} }),
    serverErrorBody: () => ({ detail: "A server error occurred." }),
    saveState: () => structuredClone(state),
    restoreState(saved) {
      // Copied again, so that one saved state can be put back more than once. The revision must not be met a second
      // time with other contents: lists are remembered by it.
      const { revision } = state;
      state = structuredClone(saved as State);
      state.revision = revision + 1;
    },
  };
}

/** Django REST framework's words for a 429. */
function throttledBody(seconds: number | undefined): { readonly detail: string } {
  const wait = seconds === undefined ? "" : ` Expected available in ${seconds} second${seconds === 1 ? "" : "s"}.`;
  return { detail: `Request was throttled.${wait}` };
}

function escapeHtml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

function htmlPage(status: number, title: string, content = ""): Response {
  const page = `<!doctype html>\n<html lang="en"><head><title>${escapeHtml(title)}</title></head><body><h1>${escapeHtml(title)}</h1>${content}</body></html>\n`;
  return new Response(page, { status, headers: { "Content-Type": "text/html; charset=utf-8" } });
}

/** JSON, a page, or neither: the most specific types of `Accept` decide, JSON before HTML (sheet §1, trap 17). */
function chooseType(accept: string | undefined, format: string | null): "json" | "html" | undefined {
  if (format === "json") return "json";
  const types = (accept ?? "*/*").split(",").map((part) => part.split(";")[0]?.trim().toLowerCase() ?? "");
  if (types.includes("application/json")) return "json";
  if (types.includes("text/html")) return "html";
  if (types.includes("application/*")) return "json";
  if (types.includes("text/*")) return "html";
  return types.includes("*/*") || accept === "" ? "json" : undefined;
}

function render(
  type: "json" | "html",
  status: number,
  body: unknown,
  headers: Readonly<Record<string, string>>,
): Response {
  if (body === undefined) return new Response(null, { status, headers });
  if (type === "json") return Response.json(body, { status, headers });
  const page = htmlPage(status, "Django REST framework", `<pre>${escapeHtml(JSON.stringify(body, null, 4))}</pre>`);
  for (const [name, value] of Object.entries(headers)) page.headers.set(name, value);
  return page;
}
