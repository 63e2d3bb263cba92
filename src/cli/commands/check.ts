import picocolors from "picocolors";
import { isGroupSyncError, summarizeError } from "../../errors.js";
import type { ErrorSummary } from "../../model.js";
import { type AccessReport, createCallContext, type GroupProvider } from "../../provider.js";
import { describeError } from "../../report/model.js";
import { exitCodeOfAccess } from "../exit.js";
import { createProviders, readSpec } from "../inputs.js";
import type { CommonFlags, Session } from "../session.js";

interface Checked extends Partial<AccessReport> {
  readonly id: string;
  readonly type: string;
  readonly ok: boolean;
  readonly error?: ErrorSummary;
}

/** `check`: each provider: reachable, credentials good, rights sufficient, own account. */
export async function runCheck(session: Session, flags: CommonFlags): Promise<number> {
  const spec = await readSpec(session);
  const checked = await Promise.all(createProviders(spec, session).map((provider) => checkProvider(provider, session)));
  if (flags.json)
    session.json({ kind: "check", formatVersion: 1, ok: checked.every(({ ok }) => ok), providers: checked });
  else for (const entry of checked) session.result(render(entry, session.colors));
  return exitCodeOfAccess(checked);
}

async function checkProvider(provider: GroupProvider, session: Session): Promise<Checked> {
  const { id, type } = provider;
  try {
    const report = await provider.checkAccess(createCallContext({ signal: session.signal }));
    return { id, type, ok: report.findings.every(({ level }) => level !== "error"), ...report };
  } catch (error) {
    if (isGroupSyncError(error, "cancelled")) throw error;
    return { id, type, ok: false, error: summarizeError(error) };
  }
}

function render({ id, type, identity, ownAccount, findings = [], error }: Checked, colors: boolean): string {
  const color = picocolors.createColors(colors);
  const signs = { ok: color.green("ok     "), warning: color.yellow("warning"), error: color.red("error  ") };
  const lines = [
    color.bold([id, type, identity].filter(Boolean).join(" · ")),
    ...(ownAccount === undefined ? [] : [`  acts as ${ownAccount}`]),
    ...findings.map(({ level, message }) => `  ${signs[level]} ${message}`),
    ...(error ? [`  ${signs.error} ${describeError(error)}`] : []),
  ];
  return `${lines.join("\n")}\n`;
}
