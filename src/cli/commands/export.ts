import { parse } from "yaml";
import { GroupSyncError } from "../../errors.js";
import { exportSpec } from "../../migrate/export.js";
import { builtinProviderTypes } from "../../providers/builtin.js";
import { createMeter } from "../../reconcile/events.js";
import { environmentName } from "../../spec/resolve.js";
import { optionsOf } from "../../spec/schema.js";
import { mustBeWritable, readText, writeText } from "../files.js";
import { createProviders, readSpec } from "../inputs.js";
import type { CommonFlags, Session } from "../session.js";

/** Flags of `export`. commander gives one provider here, not a list. */
export interface ExportFlags extends Omit<CommonFlags, "provider"> {
  readonly provider: string;
  readonly active?: boolean;
  readonly out?: string;
  readonly force?: boolean;
}

/** `export --provider X`: current groups as a spec that plans to no change. */
export async function runExport(session: Session, flags: ExportFlags): Promise<number> {
  await mustBeWritable(flags.out);
  const { group: _groupsThere, ...common } = session.flags;
  const narrowed: Session = { ...session, flags: { ...common, provider: [flags.provider] } };
  const spec = await readSpec(narrowed);
  const [provider] = createProviders(spec, narrowed);
  if (!provider) throw new GroupSyncError("options-invalid", `The spec has no provider "${flags.provider}".`);
  const { onEvent } = session.progress;
  const { text, notes } = await exportSpec({
    provider,
    providerOptions: await readEntry(flags.config, provider),
    context: createMeter(onEvent).context(session.signal),
    onProgress: (done, total) => onEvent({ type: "progress", provider: provider.id, phase: "read", done, total }),
    active: flags.active === true,
    ...(flags.group && { groups: flags.group }),
  });
  session.progress.stop();
  notes.forEach(session.say);
  if (flags.out !== undefined) {
    await writeText(flags.out, text, flags.force === true);
    session.say(`Written to ${flags.out}. Next: group-sync plan -c ${flags.out}`);
  }
  if (flags.json) session.json({ kind: "export", formatVersion: 1, provider: provider.id, spec: text, notes });
  else if (flags.out === undefined) session.result(text);
  return 0;
}

/** The provider's entry as it stands in the file, with `${NAME}` for a secret, also for one that is written out. */
async function readEntry(
  file: string,
  { id, type }: { readonly id: string; readonly type: string },
): Promise<Readonly<Record<string, unknown>>> {
  const written = parse(await readText(file)) as { providers: Record<string, Record<string, unknown>> };
  const secrets = builtinProviderTypes.find((known) => known.type === type)?.secretOptions ?? [];
  const options = Object.entries(optionsOf(written.providers[id] ?? {})).map(([name, value]) => {
    const literal = secrets.includes(name) && !/\$\{\w+\}/.test(String(value));
    return [name, literal ? `\${${environmentName(id, name)}}` : value];
  });
  return { type, ...Object.fromEntries(options) };
}
