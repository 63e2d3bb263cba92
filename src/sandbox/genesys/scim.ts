/**
 * The SCIM groups of Genesys Cloud (sheet §2 #23): another door to the same groups. Its lock is `If-Match` with the
 * group's version, its errors have the shape of RFC 7644, and its members are the individuals.
 */
import type { Context, Hono } from "hono";
import { z } from "zod";
import { badRequest, checkBody, GenesysRefusal, invalidValue, readJson } from "./answers.js";
import type { GroupChange, GroupRecord, GroupView, UserRecord } from "./organisation.js";

/** What the SCIM routes need of the organisation. */
export interface ScimAccess {
  /** Throws the 403 of a caller who lacks the permission. */
  requirePermission(context: Context, permission: string): void;
  /** Every group a reader sees now. */
  groups(): readonly GroupView[];
  users(): readonly UserRecord[];
  /** The group as readers see it; throws the 404. */
  view(groupId: string): GroupView;
  /** The group as it truly is; throws the 404. */
  record(groupId: string): GroupRecord;
  individuals(view: GroupView): readonly UserRecord[];
  /** Keeps the ids that can be added, as the emulator's switches say. */
  addable(ids: readonly string[]): readonly string[];
  change(context: Context, record: GroupRecord, change: GroupChange): void;
  rateLimited(): GenesysRefusal;
}

/** Above this page size the service "may give 429" [sheet §2 #23]; the emulator always does. */
const maxCount = 25;

const reference = z.object({ value: z.string() });
const groupBody = z.looseObject({ displayName: z.string().min(1).optional(), members: z.array(reference).optional() });
const patchBody = z.looseObject({
  Operations: z.array(z.object({ op: z.string(), path: z.string().optional(), value: z.unknown().optional() })),
});

/** RFC 7644 §3.12 */
export function scimError(refused: GenesysRefusal): Readonly<Record<string, unknown>> {
  const { scimType, message } = refused.body;
  return {
    schemas: ["urn:ietf:params:scim:api:messages:2.0:Error"],
    status: String(refused.status),
    ...(scimType === undefined ? {} : { scimType }),
    detail: message,
  };
}

export function addScimRoutes(app: Hono, access: ScimAccess): void {
  const groupResource = (view: GroupView) => ({
    schemas: ["urn:ietf:params:scim:schemas:core:2.0:Group"],
    id: view.fields.id,
    displayName: view.fields.name,
    members: access.individuals(view).map(({ id }) => ({
      type: "User",
      value: id,
      $ref: `/api/v2/scim/v2/users/${id}`,
    })),
    meta: {
      resourceType: "Group",
      version: String(view.fields.version),
      lastModified: view.fields.dateModified,
      location: `/api/v2/scim/v2/groups/${view.fields.id}`,
    },
  });

  const answer = (context: Context, view: GroupView) => {
    context.header("ETag", `"${view.fields.version}"`);
    return context.json(groupResource(view));
  };

  const list = (context: Context, resources: readonly unknown[]) => {
    const startIndex = whole(context, "startIndex", 1);
    const count = whole(context, "count", maxCount);
    if (count > maxCount) throw access.rateLimited();
    const page = resources.slice(Math.max(0, startIndex - 1), Math.max(0, startIndex - 1) + count);
    return context.json({
      schemas: ["urn:ietf:params:scim:api:messages:2.0:ListResponse"],
      totalResults: resources.length,
      startIndex,
      itemsPerPage: page.length,
      Resources: page,
    });
  };

  const lock = (context: Context, record: GroupRecord) => {
    const given = context.req.header("if-match")?.replaceAll('"', "");
    if (given === undefined || given === String(record.fields.version)) return;
    const message = "The version supplied does not match the current version of the group.";
    throw new GenesysRefusal(400, { message, scimType: "invalidVers" });
  };

  app.get("/api/v2/scim/v2/groups", (context) => {
    const filter = context.req.query("filter");
    const name = filter === undefined ? undefined : parseFilter(filter, "displayname");
    const views = access.groups().filter(({ fields }) => name === undefined || fields.name.toLowerCase() === name);
    return list(context, views.map(groupResource));
  });

  app.get("/api/v2/scim/v2/users", (context) => {
    const filter = context.req.query("filter");
    const name = filter === undefined ? undefined : parseFilter(filter, "username");
    const users = access.users().filter(({ email }) => name === undefined || email.toLowerCase() === name);
    return list(
      context,
      users.map((user) => ({
        schemas: ["urn:ietf:params:scim:schemas:core:2.0:User"],
        id: user.id,
        userName: user.email,
        displayName: user.name,
        active: user.state === "active",
        meta: { resourceType: "User", version: String(user.version), location: `/api/v2/scim/v2/users/${user.id}` },
      })),
    );
  });

  app.get("/api/v2/scim/v2/groups/:groupId", (context) => answer(context, access.view(context.req.param("groupId"))));

  app.put("/api/v2/scim/v2/groups/:groupId", async (context) => {
    access.requirePermission(context, "directory:group:edit");
    const body = checkBody(groupBody, await readJson(context));
    const record = access.record(context.req.param("groupId"));
    lock(context, record);
    const wanted = access.addable((body.members ?? []).map(({ value }) => value));
    const remove = body.members ? [...record.individuals].filter((id) => !wanted.includes(id)) : [];
    access.change(context, record, { ...renaming(record, body.displayName), add: wanted, remove });
    return answer(context, access.view(record.fields.id));
  });

  app.patch("/api/v2/scim/v2/groups/:groupId", async (context) => {
    access.requirePermission(context, "directory:group:edit");
    const { Operations } = checkBody(patchBody, await readJson(context));
    const record = access.record(context.req.param("groupId"));
    lock(context, record);
    // The end result is worked out first, so that a bad operation leaves nothing half done.
    const members = new Set(record.individuals);
    let name: string | undefined;
    for (const { op, path, value } of Operations) {
      const one = /^members\[value eq "([^"]+)"\]$/i.exec(path ?? "")?.[1];
      const ids = () => checkBody(z.array(reference), value).map((member) => member.value);
      const action = `${op.toLowerCase()} ${one === undefined ? (path ?? "") : "member"}`;
      if (action === "add members") for (const id of access.addable(ids())) members.add(id);
      else if (action === "remove members")
        for (const id of value === undefined ? [...members] : ids()) members.delete(id);
      else if (action === "remove member" && one !== undefined) members.delete(one);
      else if (action === "replace members") {
        members.clear();
        for (const id of access.addable(ids())) members.add(id);
      } else if (action === "replace displayName") name = checkBody(z.string().min(1), value);
      else throw badRequest(`Operation ${op} with path ${path ?? "(none)"} is not supported.`);
    }
    const add = [...members];
    const remove = [...record.individuals].filter((id) => !members.has(id));
    access.change(context, record, { ...renaming(record, name), add, remove });
    return answer(context, access.view(record.fields.id));
  });
}

function renaming(record: GroupRecord, name: string | undefined): GroupChange {
  return name === undefined || name === record.fields.name ? {} : { fields: { name } };
}

function whole(context: Context, name: string, standard: number): number {
  const text = context.req.query(name);
  if (text === undefined) return standard;
  if (!/^\d+$/.test(text)) throw invalidValue(text, "integer");
  return Number(text);
}

/** `displayname eq Ops`, the name in quotation marks or not. Returns the name in lower case. */
function parseFilter(filter: string, attribute: string): string {
  const match = /^(\w+)\s+eq\s+(?:"(.*)"|(.*))$/i.exec(filter.trim());
  if (match?.[1]?.toLowerCase() !== attribute) throw invalidValue(filter, "filter");
  return (match[2] ?? match[3] ?? "").toLowerCase();
}
