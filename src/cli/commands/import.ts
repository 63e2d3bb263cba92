import { renderCount } from "../../collections.js";
import { GroupSyncError } from "../../errors.js";
import { importSpec } from "../../migrate/import.js";
import type { RosterFormat } from "../../migrate/roster.js";
import { builtinProviderTypes } from "../../providers/builtin.js";
import { environmentName } from "../../spec/resolve.js";
import { mustBeWritable, readText, writeText } from "../files.js";
import type { CommonFlags, Session } from "../session.js";

/** Flags of `import`. */
export interface ImportFlags extends CommonFlags {
  readonly from?: RosterFormat;
  readonly to: string;
  readonly out?: string;
  readonly force?: boolean;
}

/** What each service asks for besides its secrets, to be replaced by whoever imports. */
const PLACES: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  docspace: { baseUrl: "https://acme.onlyoffice.com" },
  genesys: { region: "mypurecloud.de" },
  scim: { baseUrl: "https://scim.example.org/v2" },
};

/** Which credentials of a service stand in the new file, where it takes several. */
const CREDENTIALS: Readonly<Record<string, readonly string[]>> = {
  neuroio: ["token"],
  brainstem: ["token"],
  docspace: ["apiKey"],
  genesys: ["clientId", "clientSecret"],
  scim: ["token"],
};

/** `import <file>`: a roster as a spec. */
export async function runImport(session: Session, flags: ImportFlags, [file = ""]: readonly string[]): Promise<number> {
  await mustBeWritable(flags.out);
  const type = builtinProviderTypes.find((known) => known.type === flags.to);
  if (!type) {
    const types = builtinProviderTypes.map((known) => known.type).join(", ");
    throw new GroupSyncError("options-invalid", `There is no service "${flags.to}".`, {
      hint: `--to takes one of: ${types}.`,
    });
  }
  const secrets = (CREDENTIALS[type.type] ?? []).map(
    (name) => [name, `\${${environmentName(type.type, name)}}`] as const,
  );
  const { text, notes, ...counts } = importSpec(await readText(file), {
    file,
    ...(flags.from && { from: flags.from }),
    provider: { id: type.type, type, options: { ...PLACES[type.type], ...Object.fromEntries(secrets) } },
  });
  if (flags.out !== undefined) await writeText(flags.out, text, flags.force === true);
  const shown = flags.verbose ? notes : notes.slice(0, 5);
  shown.forEach(session.say);
  if (shown.length < notes.length) session.say(`… and ${notes.length - shown.length} more, as comments in the spec`);
  if (flags.json) session.json({ kind: "import", formatVersion: 1, ...counts, notes, spec: text });
  else if (flags.out === undefined) session.result(text);
  if (flags.out !== undefined) {
    session.say(
      `${renderCount(counts.groups, "group", "groups")} and ${renderCount(counts.people, "person", "people")} written to ${flags.out}. Next: put your service under providers, then group-sync validate -c ${flags.out}`,
    );
  }
  return 0;
}
