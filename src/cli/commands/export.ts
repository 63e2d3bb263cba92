import { readFile, writeFile } from "node:fs/promises";
import { isMap, parseDocument } from "yaml";
import { exportSpec } from "../../migrate/export.js";
import { createCallContext } from "../../provider.js";
import { createProviders, type CommonFlags, readSpec, type Session } from "../session.js";

/** Flags of `export`. commander gives one provider here, not a list. */
export interface ExportFlags extends Omit<CommonFlags, "provider"> {
  readonly provider: string;
  readonly out?: string;
}

/** `export --provider X`: current groups as a spec that plans to no change. */
export async function runExport(session: Session, flags: ExportFlags): Promise<number> {
  const narrowed: Session = { ...session, flags: { ...session.flags, provider: [flags.provider], group: [] } };
  const spec = await readSpec(narrowed);
  const [provider] = createProviders(spec, narrowed);
  if (!provider) throw new Error(`no provider ${flags.provider}`);
  const exported = await exportSpec({
    provider,
    providerOptions: await readEntry(session.flags.config, flags.provider),
    context: createCallContext({ signal: session.signal }),
    ...(flags.group && { groups: flags.group }),
  });
  for (const note of exported.notes) session.say(note);
  if (flags.out === undefined) {
    if (flags.json)
      session.json({
        kind: "export",
        formatVersion: 1,
        provider: flags.provider,
        spec: exported.text,
        notes: exported.notes,
      });
    else session.result(exported.text);
  } else {
    await writeFile(flags.out, exported.text);
    session.say(`Written to ${flags.out}.`);
  }
  return 0;
}

/** The provider's entry as it stands in the file: with `${NAME}` where secrets are. */
async function readEntry(file: string, provider: string): Promise<Readonly<Record<string, unknown>>> {
  const node = parseDocument(await readFile(file, "utf8")).getIn(["providers", provider]);
  return isMap(node) ? (node.toJSON() as Readonly<Record<string, unknown>>) : {};
}
