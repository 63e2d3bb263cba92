/**
 * Someone else's edits, described as plain JSON: what a test, a fault or a person with curl does to a service behind
 * the back of the program under test. They go to the true state at once, past permissions and lag.
 */
import { z } from "zod";
import type { Emulator, TrueGroup } from "./kit.js";

/**
 * One edit. `group` is the name of a group or its id at the service (names first; a name that fits several groups is
 * refused), `person` the id of a person in the seed.
 */
export type SandboxEdit =
  | {
      readonly action: "add-member";
      readonly group: string;
      readonly person: string;
      /** What the person becomes. @default "member" */
      readonly role?: "member" | "manager" | "owner";
    }
  | { readonly action: "remove-member"; readonly group: string; readonly person: string }
  | { readonly action: "rename-group"; readonly group: string; readonly name: string }
  | { readonly action: "delete-group"; readonly group: string }
  | { readonly action: "add-group"; readonly name: string }
  | {
      readonly action: "set-status";
      readonly person: string;
      readonly status: "active" | "pending" | "disabled" | "deleted" | "guest";
    };

const name = z.string().min(1);

/** The shape of a {@link SandboxEdit}; strict, as people write it. */
export const sandboxEditSchema = z.discriminatedUnion("action", [
  z.strictObject({
    action: z.literal("add-member"),
    group: name,
    person: name,
    role: z.enum(["member", "manager", "owner"]).exactOptional(),
  }),
  z.strictObject({ action: z.literal("remove-member"), group: name, person: name }),
  z.strictObject({ action: z.literal("rename-group"), group: name, name }),
  z.strictObject({ action: z.literal("delete-group"), group: name }),
  z.strictObject({ action: z.literal("add-group"), name }),
  z.strictObject({
    action: z.literal("set-status"),
    person: name,
    status: z.enum(["active", "pending", "disabled", "deleted", "guest"]),
  }),
]) satisfies z.ZodType<SandboxEdit>;

/**
 * Applies one edit to the true state of a service.
 *
 * @throws Error in plain words when the group or the person is not there, or the group's name is not unique.
 */
export function applyEdit(emulator: Emulator, edit: SandboxEdit): void {
  const { control } = emulator;
  switch (edit.action) {
    case "add-member":
      control.addMember(findGroup(emulator, edit.group).id, findAccount(emulator, edit.person), edit.role ?? "member");
      return;
    case "remove-member":
      control.removeMember(findGroup(emulator, edit.group).id, findAccount(emulator, edit.person));
      return;
    case "rename-group":
      control.renameGroup(findGroup(emulator, edit.group).id, edit.name);
      return;
    case "delete-group":
      control.deleteGroup(findGroup(emulator, edit.group).id);
      return;
    case "add-group":
      control.addGroup({ name: edit.name });
      return;
    case "set-status":
      control.setPersonStatus(findAccount(emulator, edit.person), edit.status);
  }
}

/** The one group of this name or, when no group has the name, of this id. */
export function findGroup(emulator: Emulator, nameOrId: string): TrueGroup {
  const groups = emulator.control.groups();
  const named = groups.filter((group) => group.name === nameOrId);
  const [found, second] = named.length > 0 ? named : groups.filter((group) => group.id === nameOrId);
  if (second) {
    throw new Error(
      `${emulator.service} has ${named.length} groups named "${nameOrId}" (ids ${named.map((group) => group.id).join(", ")}): name the group by its id.`,
    );
  }
  if (!found) throw new Error(`${emulator.service} has no group named "${nameOrId}", nor one with that id.`);
  return found;
}

/** The account of a seed person at this service. */
export function findAccount(emulator: Emulator, person: string): string {
  const account = emulator.control.accountOf(person);
  if (account === undefined) {
    throw new Error(
      `${emulator.service} has no account for the person "${person}" (people are named by their seed id).`,
    );
  }
  return account;
}

/** What is wrong with a value, in one line of plain words: each place and what would be right. */
export function describeIssues(error: z.ZodError): string {
  return error.issues
    .map((issue) => (issue.path.length > 0 ? `${issue.path.join(".")}: ${issue.message}` : issue.message))
    .join("; ");
}
