/**
 * What the emulated BrainSTEM knows: users, groups, invitations, requests, tokens.
 *
 * Everything is plain data in one object, so that the whole of it can be copied and put back. Each group holds its
 * true state; while a write has not become visible, it also holds what readers still see: the state before the first
 * such write, and the edits since, each with the moment at which it shows. Rows of invitations and requests are
 * written once and closed once, so two moments are enough for them.
 */
import { stableUuid } from "../kit.js";

/** An account. Deleted ones stay, so that their ids are never given out again. */
export interface User {
  readonly id: number;
  email: string;
  firstName: string;
  lastName: string;
  status: "active" | "pending" | "disabled" | "deleted";
  /** May do everything everywhere (the platform's staff; sheet §2 row 15). */
  readonly isAdmin: boolean;
  /** The optional fields of a profile. */
  readonly profile: Record<string, string>;
}

/** The two flags of a membership; both false is a plain member. */
export interface Flags {
  readonly manager: boolean;
  readonly owner: boolean;
}

/** A group as one reader sees it. */
interface GroupView {
  name: string;
  readonly members: Map<number, Flags>;
}

type GroupEdit =
  | { readonly kind: "create"; readonly name: string }
  | { readonly kind: "name"; readonly name: string }
  | { readonly kind: "member"; readonly user: number; readonly flags: Flags | undefined }
  | { readonly kind: "delete" };

export interface GroupSlot {
  readonly id: number;
  /** Undefined once deleted. */
  truth: GroupView | undefined;
  /** Where readers start from while edits are pending; meaningless otherwise. */
  settled: GroupView | undefined;
  pending: { readonly visibleAt: number; readonly edit: GroupEdit }[];
}

/** An invitation, or a request to join (whose flags are always false). */
export interface Row {
  readonly id: string;
  readonly user: number;
  readonly group: number;
  readonly flags: Flags;
  isOpen: boolean;
  readonly shownFrom: number;
  hiddenFrom: number;
}

export interface Token {
  readonly user: number;
  readonly kind: "personal" | "access" | "refresh";
  expiresAt: number;
}

interface Device {
  readonly userCode: string;
  readonly expiresAt: number;
  polls: number;
  answer: "waiting" | "approved" | "denied" | "used";
}

/** The whole state. `structuredClone` copies it. */
export interface State {
  /** Grows with every change; lists computed at one revision may be used again. */
  revision: number;
  /** From here on nothing is hidden from readers. */
  lagEndsAt: number;
  listRequests: number;
  issuedTokens: number;
  rowsMade: number;
  readonly users: Map<number, User>;
  readonly usersByEmail: Map<string, User[]>;
  /** User ids by the seed's person ids. */
  readonly people: Map<string, number>;
  readonly groups: Map<number, GroupSlot>;
  lastGroupId: number;
  readonly invitations: Map<string, Row>;
  readonly requests: Map<string, Row>;
  /** Open invitations by `group:user`. */
  readonly openInvitations: Map<string, Row[]>;
  readonly tokens: Map<string, Token>;
  readonly devices: Map<string, Device>;
  readonly usage: Map<string, { readonly since: number; count: number }>;
}

export function createState(): State {
  return {
    revision: 0,
    lagEndsAt: 0,
    listRequests: 0,
    issuedTokens: 0,
    rowsMade: 0,
    users: new Map(),
    usersByEmail: new Map(),
    people: new Map(),
    groups: new Map(),
    lastGroupId: 0,
    invitations: new Map(),
    requests: new Map(),
    openInvitations: new Map(),
    tokens: new Map(),
    devices: new Map(),
    usage: new Map(),
  };
}

// Users

export function createUser(state: State, fields: Omit<User, "id" | "profile">): User {
  const user: User = { ...fields, id: state.users.size + 1, profile: {} };
  state.users.set(user.id, user);
  indexEmail(state, user);
  state.revision++;
  return user;
}

function indexEmail(state: State, user: User): void {
  const key = user.email.toLowerCase();
  const sameKey = state.usersByEmail.get(key);
  if (sameKey) sameKey.push(user);
  else state.usersByEmail.set(key, [user]);
}

export function changeEmail(state: State, user: User, email: string): void {
  const key = user.email.toLowerCase();
  state.usersByEmail.set(
    key,
    (state.usersByEmail.get(key) ?? []).filter((other) => other !== user),
  );
  user.email = email;
  indexEmail(state, user);
  state.revision++;
}

/** The account of an e-mail address; the exact spelling goes before another case. Deleted accounts have none. */
export function findUser(state: State, email: string, isCaseSensitive: boolean): User | undefined {
  const candidates = (state.usersByEmail.get(email.toLowerCase()) ?? []).filter((user) => user.status !== "deleted");
  return candidates.find((user) => user.email === email) ?? (isCaseSensitive ? undefined : candidates[0]);
}

// Groups

function cloneView(view: GroupView | undefined): GroupView | undefined {
  return view && { name: view.name, members: new Map(view.members) };
}

function applyEdit(view: GroupView | undefined, edit: GroupEdit): GroupView | undefined {
  if (edit.kind === "create") return { name: edit.name, members: new Map() };
  if (edit.kind === "delete" || !view) return undefined;
  if (edit.kind === "name") view.name = edit.name;
  else if (edit.flags) view.members.set(edit.user, edit.flags);
  else view.members.delete(edit.user);
  return view;
}

/** Writes to a group. Readers see it at `visibleAt`, and never before an earlier edit of the same thing would allow. */
export function editGroup(state: State, slot: GroupSlot, edit: GroupEdit, visibleAt: number, now: number): void {
  state.revision++;
  settle(slot, now);
  if (visibleAt > now || slot.pending.length > 0) {
    if (slot.pending.length === 0) slot.settled = cloneView(slot.truth);
    slot.pending.push({ visibleAt, edit });
    state.lagEndsAt = Math.max(state.lagEndsAt, visibleAt);
  }
  slot.truth = applyEdit(slot.truth, edit);
}

function settle(slot: GroupSlot, now: number): void {
  if (slot.pending.length === 0 || slot.pending.some(({ visibleAt }) => visibleAt > now)) return;
  slot.pending = [];
  slot.settled = undefined;
}

/** The group as readers see it now; undefined when they see none. */
export function seenGroup(slot: GroupSlot, now: number): GroupView | undefined {
  settle(slot, now);
  if (slot.pending.length === 0) return slot.truth;
  let view = cloneView(slot.settled);
  for (const { visibleAt, edit } of slot.pending) if (visibleAt <= now) view = applyEdit(view, edit);
  return view;
}

export function createGroup(state: State, name: string, visibleAt: number, now: number): GroupSlot {
  state.lastGroupId++;
  const slot: GroupSlot = { id: state.lastGroupId, truth: undefined, settled: undefined, pending: [] };
  state.groups.set(slot.id, slot);
  editGroup(state, slot, { kind: "create", name }, visibleAt, now);
  return slot;
}

/** Deletes a group with its invitations and requests. */
export function deleteGroup(state: State, slot: GroupSlot, visibleAt: number, now: number): void {
  for (const rows of [state.invitations, state.requests]) {
    for (const row of rows.values()) if (row.group === slot.id) closeRow(state, row, visibleAt);
  }
  editGroup(state, slot, { kind: "delete" }, visibleAt, now);
}

// Invitations and requests

function rowKey(group: number, user: number): string {
  return `${group}:${user}`;
}

export function createRow(
  state: State,
  kind: "invitation" | "request",
  fields: Pick<Row, "user" | "group" | "flags" | "shownFrom">,
): Row {
  state.rowsMade++;
  const id = stableUuid("brainstem", kind, String(state.rowsMade));
  const row: Row = { ...fields, id, isOpen: true, hiddenFrom: Number.POSITIVE_INFINITY };
  state[kind === "invitation" ? "invitations" : "requests"].set(id, row);
  if (kind === "invitation") {
    const key = rowKey(row.group, row.user);
    state.openInvitations.set(key, [...(state.openInvitations.get(key) ?? []), row]);
  }
  state.lagEndsAt = Math.max(state.lagEndsAt, row.shownFrom);
  state.revision++;
  return row;
}

/** Closes a row. Without `hiddenFrom` it stays listed: rows carry no status, so nobody can tell (sheet §3). */
export function closeRow(state: State, row: Row, hiddenFrom?: number): void {
  row.isOpen = false;
  if (hiddenFrom !== undefined) {
    row.hiddenFrom = Math.min(row.hiddenFrom, hiddenFrom);
    state.lagEndsAt = Math.max(state.lagEndsAt, hiddenFrom);
  }
  const key = rowKey(row.group, row.user);
  const open = state.openInvitations.get(key)?.filter((other) => other !== row);
  if (open?.length === 0) state.openInvitations.delete(key);
  else if (open) state.openInvitations.set(key, open);
  state.revision++;
}

/** Invitations of a user to a group that nobody has answered or cancelled. */
export function openInvitations(state: State, group: number, user: number): readonly Row[] {
  return state.openInvitations.get(rowKey(group, user)) ?? [];
}
