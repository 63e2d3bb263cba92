/**
 * A small organisation to try things on: what the four services hold of it (drifted, as such things are), and the spec
 * that says how it should be.
 *
 * The difference is chosen so that a plan shows each kind of change once or twice and nothing is held by a guard:
 * groups to create, one to rename, people to add, to remove and to promote, an invitation that is still open, and
 * groups that are nobody's business (an LDAP group, a skill group, a club that the spec does not mention).
 */
import type { Seed, SeedGroup, SeedPerson } from "./kit.js";
import type { Sandbox } from "./server.js";

const people: readonly SeedPerson[] = [
  { id: "ada", name: "Ada Lovelace", email: "ada@example.org" },
  { id: "agnes", name: "Agnes Pockels", email: "agnes@example.org" },
  { id: "alan", name: "Alan Turing", email: "alan@example.org" },
  { id: "annie", name: "Annie Easley", email: "annie@example.org" },
  { id: "barbara", name: "Barbara Liskov", email: "barbara@example.org" },
  { id: "bjarne", name: "Bjarne Stroustrup", email: "bjarne@example.org" },
  { id: "cecilia", name: "Cecilia Payne", email: "cecilia@example.org" },
  { id: "chien", name: "Chien-Shiung Wu", email: "chien@example.org" },
  { id: "dennis", name: "Dennis Ritchie", email: "dennis@example.org" },
  { id: "donald", name: "Donald Knuth", email: "donald@example.org" },
  { id: "dorothy", name: "Dorothy Vaughan", email: "dorothy@example.org" },
  { id: "edsger", name: "Edsger Dijkstra", email: "edsger@example.org" },
  { id: "emmy", name: "Emmy Noether", email: "emmy@example.org" },
  { id: "frances", name: "Frances Allen", email: "frances@example.org" },
  // The services know her by her old address; the spec lists it among her aliases.
  { id: "grace", name: "Grace Hopper", email: "g.hopper@example.org" },
  { id: "hedy", name: "Hedy Lamarr", email: "hedy@example.org" },
  { id: "ida", name: "Ida Rhodes", email: "ida@example.org" },
  { id: "jean", name: "Jean Bartik", email: "jean@example.org" },
  { id: "joan", name: "Joan Clarke", email: "joan@example.org" },
  { id: "john", name: "John Backus", email: "john@example.org" },
  { id: "karen", name: "Karen Spärck Jones", email: "karen@example.org" },
  { id: "katherine", name: "Katherine Johnson", email: "katherine@example.org" },
  { id: "ken", name: "Ken Thompson", email: "ken@example.org" },
  { id: "leslie", name: "Leslie Lamport", email: "leslie@example.org" },
  { id: "linus", name: "Linus Torvalds", email: "linus@example.org" },
  { id: "lise", name: "Lise Meitner", email: "lise@example.org" },
  { id: "margaret", name: "Margaret Hamilton", email: "margaret@example.org" },
  { id: "mary", name: "Mary Jackson", email: "mary@example.org" },
  { id: "maryam", name: "Maryam Mirzakhani", email: "maryam@example.org" },
  // Left the company: the accounts are disabled, the memberships were forgotten.
  { id: "niklaus", name: "Niklaus Wirth", email: "niklaus@example.org", status: "disabled" },
  { id: "olga", name: "Olga Ladyzhenskaya", email: "olga@example.org" },
  { id: "peter", name: "Peter Naur", email: "peter@example.org" },
  { id: "radia", name: "Radia Perlman", email: "radia@example.org" },
  { id: "rosalind", name: "Rosalind Franklin", email: "rosalind@example.org" },
  { id: "shafi", name: "Shafi Goldwasser", email: "shafi@example.org" },
  { id: "sophie", name: "Sophie Wilson", email: "sophie@example.org" },
  // Works in the office, never at the phones.
  { id: "tim", name: "Tim Berners-Lee", email: "tim@example.org", services: ["neuroio", "brainstem", "docspace"] },
  { id: "tony", name: "Tony Hoare", email: "tony@example.org" },
  { id: "vint", name: "Vint Cerf", email: "vint@example.org" },
  {
    id: "whitfield",
    name: "Whitfield Diffie",
    email: "whitfield@example.com",
    status: "guest",
    services: ["docspace"],
  },
  { id: "zora", name: "Zora Arnold", email: "zora@example.org" },
];

const groups: readonly SeedGroup[] = [
  {
    name: "Platform team",
    services: ["neuroio", "docspace", "genesys"],
    managers: ["ken"],
    members: ["ada", "linus", "dennis", "barbara", "radia", "leslie", "niklaus"],
  },
  {
    name: "On-call",
    services: ["neuroio", "docspace", "genesys"],
    members: ["ada", "ken", "radia", "tony", "bjarne"],
  },
  { name: "Late shift", services: ["neuroio", "genesys"], members: ["annie", "mary", "peter", "olga"] },
  {
    name: "Managers",
    services: ["docspace", "genesys"],
    managers: ["grace"],
    members: ["ada", "dorothy", "frances", "vint"],
  },
  {
    name: "Vision lab",
    services: ["brainstem"],
    owners: ["rosalind"],
    members: ["shafi", "hedy", "maryam", "lise", "john"],
    invited: ["emmy"],
  },
  {
    name: "Sleep lab",
    services: ["brainstem"],
    owners: ["chien"],
    managers: ["lise"],
    members: ["cecilia", "agnes", "hedy"],
  },
  {
    name: "Support queue",
    services: ["genesys"],
    members: ["annie", "mary", "katherine", "joan", "jean", "ida", "karen", "zora", "donald", "edsger"],
  },
  { name: "Reception", services: ["neuroio"], members: ["ida", "karen", "zora", "olga"] },
  {
    name: "All employees",
    services: ["docspace"],
    kind: "directory",
    members: ["ada", "alan", "grace", "linus", "tim", "vint"],
  },
  { name: "Spanish speakers", services: ["genesys"], kind: "dynamic", members: ["olga", "maryam"] },
  { name: "Chess club", services: ["docspace"], members: ["alan", "donald", "tony"] },
];

/** What the services hold at the start: the sample organisation, drifted from its spec. */
export const sampleSeed: Seed = { people, groups };

export interface SampleSpecOptions {
  /**
   * `literal`: the sandbox's credentials stand in the file, which works as it is and is a warning to `validate`.
   * `environment`: `${NAME}` as in a real file; {@link sampleEnvironment} has the values.
   * @default "literal"
   */
  readonly secrets?: "literal" | "environment";
}

/** What the sample reads of a running sandbox: all four services, started from {@link sampleSeed}. */
export type SampleSandbox = Pick<Sandbox, "config" | "services">;

const environmentNames: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  faces: { token: "NEUROIO_TOKEN" },
  lab: { token: "BRAINSTEM_TOKEN" },
  docs: { apiKey: "DOCSPACE_API_KEY" },
  calls: { clientId: "GENESYS_CLIENT_ID", clientSecret: "GENESYS_CLIENT_SECRET" },
};

/** The environment that {@link sampleSpec} with `secrets: "environment"` asks for. */
export function sampleEnvironment(sandbox: SampleSandbox): Readonly<Record<string, string>> {
  const environment: Record<string, string> = {};
  for (const [id, provider] of Object.entries(sandbox.config())) {
    for (const [key, name] of Object.entries(environmentNames[id] ?? {})) environment[name] = provider[key] ?? "";
  }
  return environment;
}

/**
 * The spec of the sample organisation, as the text of a `group-sync.yaml` with comments that teach.
 *
 * NeuroIO cannot look people up, so their pids are taken from the sandbox and pinned.
 *
 * @throws Error when the sandbox lacks a service or was started from another seed
 */
export function sampleSpec(sandbox: SampleSandbox, options: SampleSpecOptions = {}): string {
  const providers = sandbox.config();
  for (const id of Object.keys(environmentNames)) {
    if (!providers[id]) throw new Error(`The sample needs all four services; this sandbox has no "${id}".`);
  }
  return `# The sample organisation of the group-sync sandbox.
#   group-sync plan     shows what would change
#   group-sync apply    changes it, and reads again to be sure
version: 1

# authoritative: a direct member who is not listed below is removed. additive: nobody ever is.
mode: authoritative

# Groups that were there before us and match by name are ours to manage. Without this, removals wait until adopted.
adopt: true

# One entry for each account of a service. The names on the left are ours; "targets" below uses them.
providers:
${providerLines(providers, options.secrets ?? "literal")}

# Who is who. An e-mail is enough where a service can look people up. NeuroIO ("faces") cannot: its person ids are pinned.
people:
${personLines(sandbox)}

groups:
  platform-team:
    name: Platform team
    # Who manages is a member too, and listed once. DocSpace has managers; NeuroIO and Genesys have not, there Ada is
    # a plain member and the plan says so.
    managers: [ada]
    members: [ken, linus, dennis, barbara, radia, leslie, margaret]
    targets: [faces, docs, calls]

  on-call:
    name: On-call
    members: [ada, ken, radia, tony, sophie]
    targets: [faces, docs, calls]

  night-shift:
    name: Night shift
    # It was called so before: the group is renamed, never deleted and made anew.
    previously: [Late shift]
    members:
      - annie
      - mary
      - peter
      - olga
      - { person: linus, until: 2099-12-31 } # leaves by itself on that day
    targets: [faces, calls]

  managers:
    name: Managers
    managers: [grace]
    members: [ada, dorothy, frances, vint, tim] # Tim has no account at calls, and says so above: nothing waits for him
    targets: [docs, calls]

  vision-lab:
    name: Vision lab
    # BrainSTEM invites: who is added is "pending" until the invitation is accepted. Emmy has hers already.
    owners: [rosalind]
    managers: [shafi]
    members: [hedy, maryam, lise, emmy, cecilia]
    targets: [lab]

  sleep-lab:
    name: Sleep lab
    owners: [chien]
    managers: [lise]
    members: [cecilia, agnes, hedy]
    targets: [lab]

  support-queue:
    name: Support queue
    members: [annie, mary, katherine, joan, jean, ida, karen, zora, frances, alan]
    targets: [calls]

  sales-queue: # there is none yet: it is created
    name: Sales queue
    members: [donald, edsger, john, peter]
    targets: [calls]

  reception:
    name: Reception
    members: [ida, karen, zora, olga]
    targets: [faces]

  emergency-doors: # new as well: everybody of two other groups, and one more
    name: Emergency doors
    members: [vint]
    includes: [on-call, reception]
    targets: [faces]

# Groups that are not listed here (the chess club, the LDAP group, the skill group) are left alone.

guards: # more than this is held until somebody allows it; these are the defaults
  maxRemovals: { count: 50, percent: 25 }
`;
}

function providerLines(providers: ReturnType<Sandbox["config"]>, secrets: "literal" | "environment"): string {
  return Object.entries(providers)
    .flatMap(([id, provider]) => [
      `  ${id}:`,
      ...Object.entries(provider).map(([key, value]) => {
        const name = secrets === "environment" ? environmentNames[id]?.[key] : undefined;
        return `    ${key}: ${name === undefined ? scalar(value) : `\${${name}}`}`;
      }),
    ])
    .join("\n");
}

function personLines(sandbox: SampleSandbox): string {
  return people
    .filter(({ id }) => !unmanaged.has(id))
    .map(({ id, services }) => {
      const pid = sandbox.services.neuroio.control.accountOf(id);
      if (pid === undefined) throw new Error(`The sample needs a sandbox started from sampleSeed: "${id}" has no pid.`);
      const accounts = [`faces: ${scalar(pid)}`, ...(services?.includes("genesys") === false ? ["calls: null"] : [])];
      const email =
        id === "grace" ? "email: grace@example.org, aliases: [g.hopper@example.org]" : `email: ${id}@example.org`;
      return `  ${id}: { ${email}, accounts: { ${accounts.join(", ")} } }`;
    })
    .join("\n");
}

/** People of the services whom the spec does not know: who left, and a guest. */
const unmanaged: ReadonlySet<string> = new Set(["niklaus", "whitfield"]);

/** A YAML scalar: quoted unless it can't be taken for anything but text. */
function scalar(text: string): string {
  return /^[a-z]+$/.test(text) ? text : JSON.stringify(text);
}
