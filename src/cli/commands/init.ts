import { writeText } from "../files.js";
import type { CommonFlags, Session } from "../session.js";

/** Flags of `init`. */
export interface InitFlags extends CommonFlags {
  readonly force?: boolean;
}

/** `init`: a commented starter config. */
export async function runInit(session: Session, flags: InitFlags): Promise<number> {
  const file = flags.config;
  await writeText(file, STARTER, flags.force === true);
  if (flags.json) session.json({ kind: "init", formatVersion: 1, file });
  else
    session.result(
      `Wrote ${file}. Next:\n  1. keep the providers that you use, and set the variables they name\n  2. group-sync validate\n  3. group-sync check\n  4. group-sync plan\n`,
    );
  return 0;
}

const STARTER = `# Who should be in which group. \`group-sync plan\` shows what would change; \`group-sync apply\` makes it so.
# An editor that knows YAML schemas helps while typing: group-sync schema > group-sync.schema.json
# yaml-language-server: $schema=./group-sync.schema.json
version: 1

# authoritative: people who are not listed are removed; additive: nobody is ever removed;
# owned: only memberships that group-sync added are removed.
mode: authoritative

# false: the first time a group is met that was there before, additions go and removals wait
# until it is adopted (adopt: true here or on a group, a pinned id, or --allow adoption:<group>).
adopt: false

# Each entry is one account of one service. Secrets come from the environment as \${NAME}.
providers:
  faces:
    type: neuroio
    token: \${NEUROIO_TOKEN}
  lab:
    type: brainstem
    token: \${BRAINSTEM_TOKEN}
  docs:
    type: docspace
    baseUrl: https://acme.onlyoffice.com
    apiKey: \${DOCSPACE_API_KEY}
  calls:
    type: genesys
    region: mypurecloud.de
    clientId: \${GENESYS_CLIENT_ID}
    clientSecret: \${GENESYS_CLIENT_SECRET}

# Or: people: { file: people.csv } with the columns id,email,aliases,name,<provider>...
people:
  ada:
    email: ada@example.org
    accounts:
      faces: 749c9583-5ae9-4b72-a8f9-e1018d99af7e # NeuroIO cannot look people up: pin the pid
      calls: null # known to have no account there
  grace:
    email: grace@example.org
    aliases: [g.hopper@example.org]
    accounts:
      faces: 2f1d6a3c-1b7e-4f0a-9c55-0d9b1a7c4e21

groups:
  night-shift:
    name: Night shift
    # No such key: not managed. An empty list: managed, and meant to be empty.
    members: [ada]
    managers: [grace]
    previously: [] # former names: the group is renamed, never deleted and made anew
    targets: # where the group lives; { id: ... } pins it, { name: ... } calls it otherwise there
      faces: {}
      lab: {}
      docs: {}
      calls: { name: Night shift EMEA }

# What is held instead of done, until acknowledged with --allow <guard>:<group>. The defaults:
guards:
  maxRemovals: { count: 50, percent: 25 } # per group, per provider and per run
  protect: [] # person ids, or globs such as "*@board.example.org", that are never removed
  minOwners: 1
`;
