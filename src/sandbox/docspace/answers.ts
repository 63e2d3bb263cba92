/**
 * How the portal speaks: the success envelope, the four shapes of errors, the objects, and `fields=`.
 */
import type { Account, Group, GroupView, Lens, Portal } from "./portal.js";

/**
 * Something that ends a request. `kind` chooses the body's shape (sheet §5): `thrown` shape 1, `validation` shape 2,
 * `gate` shape 3.
 */
export class Failure extends Error {
  readonly status: number;
  readonly kind: "thrown" | "validation" | "gate";
  /** Shape 2: the messages by property. */
  readonly errors: Readonly<Record<string, readonly string[]>>;

  constructor(
    status: number,
    kind: "thrown" | "validation" | "gate",
    message: string,
    errors: Readonly<Record<string, readonly string[]>> = {},
  ) {
    super(message);
    this.status = status;
    this.kind = kind;
    this.errors = errors;
  }
}

/** Shape 2 for one property. */
export const invalid = (property: string, message: string): Failure =>
  new Failure(400, "validation", message, { [property]: [message] });

export const notFound = (what: string): Failure => new Failure(404, "thrown", `The required ${what} was not found`);

/** The vendor's shape 1. */
export const thrownBody = (status: number, message: string): unknown => ({
  error: { message, type: null, stack: null, hresult: 0 },
  status: 1,
  statusCode: status,
});

export const jsonAnswer = (status: number, body: unknown, type = "application/json; charset=utf-8"): Response =>
  new Response(JSON.stringify(body), { status, headers: { "content-type": type } });

/** Renders a failure the way the switches `authBody` and `validationBody` say. */
export function renderFailure(
  failure: Failure,
  style: { authBody: string; validationBody: string; href: string; method: string },
): Response {
  const { status } = failure;
  if (failure.kind === "validation") {
    const problem = { title: "One or more validation errors occurred.", status, errors: failure.errors };
    if (style.validationBody === "plain") return jsonAnswer(status, problem, "application/problem+json");
    const links = [{ href: style.href, action: style.method }];
    return jsonAnswer(status, { response: problem, count: 1, links, status: 1, statusCode: status });
  }
  if (failure.kind === "gate" && style.authBody === "empty") return new Response(null, { status });
  if (failure.kind === "gate" && style.authBody === "problem") {
    return jsonAnswer(status, { title: failure.message, status }, "application/problem+json");
  }
  return jsonAnswer(status, thrownBody(status, failure.message));
}

/** The tree of `?fields=`; undefined means everything. Names in lower case. */
export type Fields = ReadonlyMap<string, Fields> | undefined;

/** Reads `id,members.id,members.email`. A name that stands alone takes the whole, whatever is picked inside it. */
export function parseFields(text: string | undefined): Fields {
  if (text === undefined || text.trim() === "") return undefined;
  const root = new Map<string, Fields>();
  for (const path of text.split(",")) {
    let level = root;
    const names = path.trim().toLowerCase().split(".");
    for (const [depth, name] of names.entries()) {
      if (depth === names.length - 1) level.set(name, undefined);
      else if (level.has(name) && level.get(name) === undefined) break;
      else {
        const next = new Map<string, Fields>(level.get(name));
        level.set(name, next);
        level = next;
      }
    }
  }
  return root;
}

/** An object of the wire: its properties in order, each with its value. Nothing is computed that `fields` leaves out. */
type Shape<T> = readonly {
  readonly name: string;
  /** The name as `fields` knows it. */
  readonly key: string;
  readonly value: (subject: T, fields: Fields) => unknown;
}[];

const shapeOf = <T>(
  properties: readonly (readonly [name: string, value: (subject: T, fields: Fields) => unknown])[],
): Shape<T> => properties.map(([name, value]) => ({ name, key: name.toLowerCase(), value }));

function project<T>(shape: Shape<T>, subject: T, fields: Fields): Record<string, unknown> {
  const result: Record<string, unknown> = {};
  for (const { name, key, value } of shape) {
    if (fields && !fields.has(key)) continue;
    const given = value(subject, fields?.get(key));
    // Nulls are left out of success bodies (sheet §1).
    if (given !== undefined && given !== null) result[name] = given;
  }
  return result;
}

const entities: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};
const encodeHtml = (text: string): string => text.replace(/[&<>"']/g, (sign) => entities[sign] ?? sign);

/** The vendor's seven decimals of a second. */
export const vendorDate = (time: number): string => new Date(time).toISOString().replace("Z", "0000Z");

export const displayNameOf = (account: Account): string => `${account.firstName} ${account.lastName}`.trim();

const zeroGuid = "00000000-0000-0000-0000-000000000000";
const systemCategory = "7717039d-fbe9-45ad-81c1-68a1aa10ce1f";

/** The objects of one portal. `doubleManagerFails`: a group with two manager rows cannot be read (sheet §8). */
export function createAnswers(portal: Portal, doubleManagerFails: boolean) {
  const counts = new WeakMap<GroupView, { version: number; count: number }>();

  /** Members as everyone sees them: the disabled are hidden, their rows stay (sheet §3). */
  const visibleMembers = (group: Group, view: GroupView): Account[] =>
    portal.rowsOf(group, view).filter((account) => account.status !== 2);

  function membersCount(group: Group, view: GroupView): number {
    const version = portal.version();
    const known = counts.get(view);
    if (known?.version === version) return known.count;
    const count = visibleMembers(group, view).length;
    counts.set(view, { version, count });
    return count;
  }

  /** The manager, shown even when disabled; only a deleted one is hidden. */
  function managerOf(view: GroupView): Account | undefined {
    for (const id of view.managers) {
      const account = portal.account(id);
      if (account && !account.removed) return account;
    }
    return undefined;
  }

  const summaryShape = shapeOf<{ group: Group; lens: Lens }>([
    ["id", ({ group }) => group.id],
    ["name", ({ group, lens }) => lens(group).name],
    ["manager", ({ group, lens }) => managerOf(lens(group))?.userName],
    ["isSystem", ({ group }) => group.system || undefined],
  ]);

  type Person = { account: Account; lens: Lens };
  const avatar = (size: string) => () => `/static/images/default_user_photo_size_${size}.png`;
  const linkOf = ({ account }: Person) => `/accounts/people/filter?search=${encodeURIComponent(account.email)}`;
  const groupsOf = ({ account, lens }: Person) => portal.groupsOf(account.id, lens);
  const personShape = shapeOf<Person>([
    ["id", ({ account }) => account.id],
    ["displayName", ({ account }) => encodeHtml(displayNameOf(account))],
    ["firstName", ({ account }) => account.firstName],
    ["lastName", ({ account }) => account.lastName],
    ["userName", ({ account }) => account.userName],
    ["email", ({ account }) => account.email],
    ["status", ({ account }) => account.status],
    ["activationStatus", ({ account }) => (account.status === 4 ? 2 : 1)],
    ["isAdmin", ({ account }) => account.type === "admin"],
    ["isOwner", ({ account }) => account.type === "owner"],
    ["isRoomAdmin", ({ account }) => account.type === "roomAdmin"],
    ["isVisitor", ({ account }) => account.type === "guest"],
    ["isCollaborator", ({ account }) => account.type === "user"],
    ["isLDAP", () => false],
    ["isSSO", () => false],
    [
      "groups",
      (person, fields) => {
        const found = groupsOf(person);
        if (found.length === 0) return undefined;
        return found.map((group) => project(summaryShape, { group, lens: person.lens }, fields));
      },
    ],
    [
      "department",
      (person) => {
        const found = groupsOf(person);
        if (found.length === 0) return undefined;
        return found.map((group) => encodeHtml(person.lens(group).name)).join(", ");
      },
    ],
    ["registrationDate", ({ account }) => vendorDate(account.registeredAt)],
    [
      "terminated",
      ({ account }) => (account.terminatedAt === undefined ? undefined : vendorDate(account.terminatedAt)),
    ],
    ["hasAvatar", () => false],
    ["avatar", avatar("82-82")],
    ["avatarSmall", avatar("32-32")],
    ["profileUrl", linkOf],
  ]);

  /** The light look-up: no e-mail, no status (sheet §2, row 14). */
  const lightShape = shapeOf<Person>([
    ["id", ({ account }) => account.id],
    ["displayName", ({ account }) => encodeHtml(displayNameOf(account))],
    ["hasAvatar", () => false],
    ["avatar", avatar("82-82")],
    ["avatarSmall", avatar("32-32")],
    ["profileUrl", linkOf],
  ]);

  type GroupSubject = { group: Group; view: GroupView; lens: Lens; withMembers: boolean };
  const groupShape = shapeOf<GroupSubject>([
    ["name", ({ view }) => view.name],
    ["parent", () => zeroGuid],
    ["category", ({ group }) => (group.system ? systemCategory : zeroGuid)],
    ["id", ({ group }) => group.id],
    ["isLDAP", ({ group }) => group.sid !== undefined],
    ["isSystem", ({ group }) => group.system || undefined],
    [
      "manager",
      ({ view, lens }, fields) => {
        const account = managerOf(view);
        return account && project(personShape, { account, lens }, fields);
      },
    ],
    [
      "members",
      ({ group, view, lens, withMembers }, fields) =>
        withMembers
          ? visibleMembers(group, view).map((account) => project(personShape, { account, lens }, fields))
          : undefined,
    ],
    ["membersCount", ({ group, view }) => membersCount(group, view)],
  ]);

  return {
    visibleMembers,
    membersCount,
    managerOf,
    person: (account: Account, lens: Lens, fields: Fields) => project(personShape, { account, lens }, fields),
    personLight: (account: Account, lens: Lens, fields: Fields) => project(lightShape, { account, lens }, fields),
    groupSummary: (group: Group, lens: Lens, fields: Fields) => project(summaryShape, { group, lens }, fields),
    group: (group: Group, lens: Lens, withMembers: boolean, fields: Fields) => {
      const view = lens(group);
      if (doubleManagerFails && view.managers.size > 1) {
        throw new Failure(403, "thrown", "Sequence contains more than one element");
      }
      return project(groupShape, { group, view, lens, withMembers }, fields);
    },
  };
}
