/** What the tests of the spec share: a small table of services that exist nowhere, and files that exist in memory. */
import { z } from "zod";
import { isGroupSyncError, type SpecError } from "../../../src/errors.js";
import type { Spec, SpecProblem } from "../../../src/model.js";
import type { Capabilities, ProviderType } from "../../../src/provider.js";
import { type ParseSpecOptions, parseSpec } from "../../../src/spec/index.js";

const fact = <T>(value: T) => ({ value, source: "made up for tests" });

const capabilities: Capabilities = {
  memberKey: fact("user id"),
  add: { accountsPerCall: fact(50), groupsPerCall: fact(1) },
  remove: { accountsPerCall: fact(50), groupsPerCall: fact(1) },
  mixed: fact(false),
  maxMembers: fact(null),
  roles: {
    manager: { max: fact(null), clearable: fact(true), guarded: fact(false) },
    owner: { max: fact(null), clearable: fact(true), guarded: fact(false) },
  },
  groups: {
    create: fact(true),
    membersOnCreate: fact(0),
    rename: fact(true),
    delete: fact(true),
    description: fact(true),
    duplicateNames: fact(false),
  },
  lookup: { by: fact(["id", "email"]), keysPerCall: fact(10), pinsAreKeys: fact(true), idsAreLowerCase: fact(false) },
  invitations: fact(false),
  versions: fact(false),
  consistencyMs: fact(0),
  pageSize: { groups: fact(100), members: fact(100) },
  rates: [],
  inFlight: { reads: fact(4), writes: fact(1) },
};

const address = z.string().check((check) => {
  if (URL.canParse(check.value)) return;
  check.issues.push({ code: "custom", message: `"${check.value}" is not an address.`, input: check.value });
});

function fakeType(type: string, label: string, options: z.ZodType, own: Partial<Capabilities> = {}): ProviderType {
  return {
    type,
    label,
    options,
    secretOptions: ["token"],
    capabilities: { ...capabilities, ...own },
    create: () => {
      throw new Error("The spec makes no providers.");
    },
  };
}

/** `plain` can do everything; `cramped` has one manager and five members; `blind` finds nobody and describes nothing. */
export const providerTypes: readonly ProviderType[] = [
  fakeType(
    "plain",
    "Plain Service",
    z.strictObject({
      token: z.string().min(1).describe("The token."),
      baseUrl: address.optional(),
      region: z.enum(["north", "south"]).optional(),
      timeoutMs: z.int().positive().optional(),
    }),
  ),
  fakeType("cramped", "Cramped Rooms", z.strictObject({ token: z.string().min(1), baseUrl: address }), {
    maxMembers: fact(5),
    roles: { manager: { max: fact(1), clearable: fact(false), guarded: fact(true) } },
  }),
  fakeType(
    "blind",
    "Blind Faces",
    z.strictObject({ token: z.string().optional(), user: z.string().optional() }).check((check) => {
      if ((check.value.token === undefined) === (check.value.user === undefined))
        check.issues.push({ code: "custom", message: "Give a token, or a user.", input: undefined });
    }),
    {
      roles: {},
      lookup: { by: fact(["id"]), keysPerCall: fact(1), pinsAreKeys: fact(true), idsAreLowerCase: fact(true) },
      groups: { ...capabilities.groups, description: fact(false) },
    },
  ),
];

/** Options for a parse with the given files in memory. */
export function withFiles(
  files: Readonly<Record<string, string | Uint8Array>> = {},
  more: Partial<ParseSpecOptions> = {},
): ParseSpecOptions {
  return {
    providerTypes,
    env: { TOKEN: "t0p-secret", EMPTY: "" },
    now: new Date("2026-11-15T12:00:00Z"),
    file: "team.yaml",
    readFile: async (file) => {
      const content = files[file];
      if (content === undefined) throw Object.assign(new Error("no"), { code: "ENOENT" });
      return content;
    },
    ...more,
  };
}

/** Parses a spec that has to be right. */
export function read(text: string, files: Readonly<Record<string, string>> = {}): Promise<Spec> {
  return parseSpec(text, withFiles(files));
}

/** The problems of a spec that has to be wrong. */
export async function problemsOf(
  text: string,
  files: Readonly<Record<string, string | Uint8Array>> = {},
  more: Partial<ParseSpecOptions> = {},
): Promise<readonly SpecProblem[]> {
  return problemsFrom(parseSpec(text, withFiles(files, more)));
}

/** What a promise that has to end in a SpecError says. */
export async function problemsFrom(spec: Promise<Spec>): Promise<readonly SpecProblem[]> {
  try {
    await spec;
  } catch (error) {
    if (isGroupSyncError(error, "spec-invalid")) return (error as SpecError).problems;
    throw error;
  }
  throw new Error("The spec was accepted.");
}

/** A problem in one line, as a compiler prints it. */
export function say({ severity, file, line, column, path, message }: SpecProblem): string {
  return `${file}:${line}:${column} ${severity} ${path}: ${message}`;
}

/** A problem's place and path. */
export function place({ file, line, column, path }: SpecProblem): string {
  return `${file}:${line}:${column} ${path}`;
}

/** A spec with one provider, from `people:` on. */
export const HEAD = 'version: 1\nmode: authoritative\nproviders:\n  main: { type: plain, token: "${TOKEN}" }\n';
