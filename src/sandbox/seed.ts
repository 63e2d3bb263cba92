/** Reads a seed from a file. */
import { z } from "zod";
import { describeIssues } from "./edits.js";
import type { Seed } from "./kit.js";

const text = z.string().min(1);
const people = z.array(text);
const services = z.array(z.enum(["neuroio", "brainstem", "docspace", "genesys", "scim"]));

const seedSchema = z.strictObject({
  people: z.array(
    z.strictObject({
      id: text,
      email: text,
      name: z.string().exactOptional(),
      status: z.enum(["active", "pending", "disabled", "deleted", "guest"]).exactOptional(),
      services: services.exactOptional(),
    }),
  ),
  groups: z.array(
    z.strictObject({
      name: text,
      description: z.string().exactOptional(),
      members: people.exactOptional(),
      managers: people.exactOptional(),
      owners: people.exactOptional(),
      invited: people.exactOptional(),
      kind: z.enum(["plain", "builtin", "directory", "dynamic"]).exactOptional(),
      services: services.exactOptional(),
    }),
  ),
}) satisfies z.ZodType<Seed>;

/**
 * Checks a seed that someone wrote.
 *
 * @throws Error that says in plain words what is wrong.
 */
export function parseSeed(value: unknown): Seed {
  const parsed = seedSchema.safeParse(value);
  if (!parsed.success) throw new Error(`The seed is not right: ${describeIssues(parsed.error)}.`);
  const seed = parsed.data;
  const known = new Set(seed.people.map(({ id }) => id));
  for (const { name, members = [], managers = [], owners = [], invited = [] } of seed.groups) {
    const unknown = [...members, ...managers, ...owners, ...invited].find((person) => !known.has(person));
    if (unknown !== undefined) throw new Error(`The seed has no person "${unknown}", whom the group "${name}" names.`);
  }
  return seed;
}
