/**
 * Stands between the faults and each emulator and writes down what every request really changed, and what others
 * changed meanwhile. It looks at the true state alone, so nobody's report has to be believed.
 */
import { ROLES } from "../../src/model.js";
import { createBrainstemEmulator } from "../../src/sandbox/brainstem.js";
import { createDocspaceEmulator } from "../../src/sandbox/docspace.js";
import { purposeOf } from "../../src/sandbox/faults.js";
import { createGenesysEmulator } from "../../src/sandbox/genesys.js";
import type { Emulator, EmulatorOptions, TrueGroup } from "../../src/sandbox/kit.js";
import { createNeuroioEmulator } from "../../src/sandbox/neuroio.js";
import { createScimEmulator } from "../../src/sandbox/scim.js";
import type { EmulatorFactories } from "../../src/sandbox/server.js";
import type { Role, Service } from "./scenario.js";

/** One thing that truly changed. */
export interface Effect {
  readonly kind: "created" | "deleted" | "renamed" | "described" | "gained" | "lost" | "role" | "invited" | "uninvited";
  readonly service: Service;
  readonly groupId: string;
  /** Before the change, but for `created`. */
  readonly groupName: string;
  readonly account?: string;
  readonly from?: Role;
  readonly to?: Role;
  /** `role`, `lost`: whether the member had been added to the group, not present by a role alone. */
  readonly direct?: boolean;
  /** The new name or description. */
  readonly value?: string;
  /** By a request of the tool, or by somebody else. */
  readonly by: "tool" | "others";
  /** The request, for people. */
  readonly during: string;
}

export interface Witness {
  readonly factories: EmulatorFactories;
  /** What has changed so far, in order. */
  readonly effects: readonly Effect[];
  /** Requests that asked to invite somebody who held an invitation already. */
  readonly doubleInvitations: readonly string[];
}

export function createWitness(): Witness {
  const effects: Effect[] = [];
  const doubleInvitations: string[] = [];

  function watch(create: (options: EmulatorOptions) => Emulator): (options: EmulatorOptions) => Emulator {
    return (options) => {
      const emulator = create(options);
      const service = emulator.service as Service;
      let known = groupsById(emulator);
      let savedAt = 0;

      const note = (by: Effect["by"], during: string) => {
        const now = groupsById(emulator);
        effects.push(...compare(known, now).map((change) => ({ ...change, service, by, during })));
        known = now;
      };
      const fetch = async (request: Request, env?: object): Promise<Response> => {
        const { pathname } = new URL(request.url);
        const during = `${request.method} ${pathname}`;
        const isWrite = purposeOf(service, request.method, pathname) === "write";
        if (isWrite && service === "brainstem") await noteInvitations(request.clone(), during);
        const response = await emulator.app.fetch(request, env);
        if (isWrite) note("tool", during);
        return response;
      };

      async function noteInvitations(request: Request, during: string): Promise<void> {
        const groupId = /\/group\/(\d+)\/?$/.exec(new URL(request.url).pathname)?.[1];
        const group = emulator.control.groups().find(({ id }) => id === groupId);
        if (!group || request.method !== "PATCH") return;
        const body = (await request.json().catch(() => ({}))) as { users?: Record<string, { remove?: boolean }> };
        // Where case matters, the address of one person may be that of another in other letters.
        const isExact = options.switches?.["emailCase"] === "sensitive";
        const keyOf = (email: string) => (isExact ? email : email.toLowerCase());
        const invited = new Set(group.invited.map(keyOf));
        for (const [email, entry] of Object.entries(body.users ?? {})) {
          if (entry.remove !== true && invited.has(keyOf(email))) {
            doubleInvitations.push(`${email} into "${group.name}" by ${during}`);
          }
        }
      }

      // Edits by others are told apart from what a request has done just before.
      const edit = <A extends readonly unknown[], R>(name: string, run: (...args: A) => R) => {
        return (...args: A): R => {
          note("tool", "a request under way");
          const result = run(...args);
          note("others", `${name}(${args.map(String).join(", ")})`);
          return result;
        };
      };
      const { control } = emulator;
      return {
        ...emulator,
        // The wrapper of faults calls nothing but `fetch`.
        app: { fetch } as unknown as Emulator["app"],
        control: {
          ...control,
          addPerson: edit("addPerson", (...args) => control.addPerson(...args)),
          addGroup: edit("addGroup", (...args) => control.addGroup(...args)),
          addMember: edit("addMember", (...args) => control.addMember(...args)),
          removeMember: edit("removeMember", (...args) => control.removeMember(...args)),
          renameGroup: edit("renameGroup", (...args) => control.renameGroup(...args)),
          deleteGroup: edit("deleteGroup", (...args) => control.deleteGroup(...args)),
          setPersonStatus: edit("setPersonStatus", (...args) => control.setPersonStatus(...args)),
          answerInvitations: edit("answerInvitations", (...args) => control.answerInvitations(...args)),
        },
        saveState: () => {
          note("tool", "a request under way");
          savedAt = effects.length;
          return emulator.saveState();
        },
        // A success that was a lie: nothing of it has happened.
        restoreState: (state) => {
          emulator.restoreState(state);
          const others = effects.splice(savedAt).filter(({ by }) => by === "others");
          known = groupsById(emulator);
          if (others.length > 0) effects.push(...others);
        },
      };
    };
  }

  return {
    factories: {
      neuroio: watch(createNeuroioEmulator),
      brainstem: watch(createBrainstemEmulator),
      docspace: watch(createDocspaceEmulator),
      genesys: watch(createGenesysEmulator),
      scim: createScimEmulator,
    },
    effects,
    doubleInvitations,
  };
}

/** The true groups of a service, accounts in the spelling in which plans and reports name them. */
export function trueGroups({ control }: Pick<Emulator, "control">, service: Service): readonly TrueGroup[] {
  if (service !== "brainstem") return control.groups();
  return control.groups().map((group) => ({
    ...group,
    members: group.members.map((member) => ({ ...member, account: member.account.toLowerCase() })),
    invited: group.invited.map((account) => account.toLowerCase()),
  }));
}

function groupsById(emulator: Emulator): Map<string, TrueGroup> {
  return new Map(trueGroups(emulator, emulator.service as Service).map((group) => [group.id, group]));
}

type Change = Omit<Effect, "service" | "by" | "during">;

function compare(before: ReadonlyMap<string, TrueGroup>, after: ReadonlyMap<string, TrueGroup>): readonly Change[] {
  const changes: Change[] = [];
  for (const [groupId, group] of after) {
    const was = before.get(groupId);
    if (!was) changes.push({ kind: "created", groupId, groupName: group.name });
    changes.push(...compareGroup(was ?? { ...group, members: [], invited: [] }, group));
  }
  for (const [groupId, { name }] of before) {
    if (!after.has(groupId)) changes.push({ kind: "deleted", groupId, groupName: name });
  }
  return changes;
}

function compareGroup(was: TrueGroup, is: TrueGroup): readonly Change[] {
  const at = { groupId: is.id, groupName: was.name };
  const changes: Change[] = [];
  if (was.name !== is.name) changes.push({ ...at, kind: "renamed", value: is.name });
  if ((was.description ?? "") !== (is.description ?? "")) {
    changes.push({ ...at, kind: "described", value: is.description ?? "" });
  }
  const before = new Map(was.members.map((member) => [member.account, member]));
  const after = new Map(is.members.map((member) => [member.account, member]));
  for (const [account, { role, direct }] of after) {
    const old = before.get(account);
    if (!old) changes.push({ ...at, kind: "gained", account, to: role });
    else if (old.role !== role) changes.push({ ...at, kind: "role", account, from: old.role, to: role, direct });
    // Present by a role all the time, but added as a member or taken out as one.
    if (old && !old.direct && direct) changes.push({ ...at, kind: "gained", account, to: "member" });
    if (old?.direct && !direct) changes.push({ ...at, kind: "lost", account, from: "member", direct: true });
  }
  for (const [account, { role, direct }] of before) {
    if (!after.has(account)) changes.push({ ...at, kind: "lost", account, from: role, direct });
  }
  // All of this happened at one moment: what came is told before what went.
  changes.sort((left, right) => weightOf(left) - weightOf(right));
  const rows = (group: TrueGroup, account: string) => group.invited.filter((each) => each === account).length;
  for (const account of new Set([...was.invited, ...is.invited])) {
    const difference = rows(is, account) - rows(was, account);
    const kind = difference > 0 ? "invited" : "uninvited";
    // Who has become a member has answered.
    const isAnswered = difference < 0 && after.has(account);
    const changed = isAnswered ? 0 : Math.abs(difference);
    for (let row = 0; row < changed; row++) changes.push({ ...at, kind, account });
  }
  return changes;
}

function weightOf({ kind, from, to }: Change): number {
  if (kind === "lost") return 3;
  if (kind !== "role") return kind === "gained" ? 1 : 0;
  return ROLES.indexOf(to ?? "member") > ROLES.indexOf(from ?? "member") ? 1 : 2;
}
