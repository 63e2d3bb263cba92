/**
 * Who failed is left alone for a while, each provider for itself, and comes back by itself.
 *
 * What counts is a provider that could not be worked with (down, credentials refused, a long rate limit), not a group
 * or a person that it refused. Kept in the state, so that all processes leave it alone, and a restart does not knock
 * at a closed door.
 */
import type { ProviderId, ProviderReport } from "../model.js";
import type { Quarantine, State } from "../state/state.js";

/** How long a provider is left alone. */
export interface QuarantinePolicy {
  /** After the first failure in a row, in milliseconds; doubled with each further one. @default 60000 */
  readonly firstMs: number;
  /** At most, unless the service itself names a later time. @default 21600000, six hours */
  readonly longestMs: number;
}

/** The policy where nothing else was asked for. */
export const defaultQuarantine: QuarantinePolicy = { firstMs: 60_000, longestMs: 6 * 3_600_000 };

/** What is told of quarantines. */
export type QuarantineEvent =
  | {
      readonly type: "quarantined";
      readonly provider: ProviderId;
      readonly failures: number;
      readonly until: string;
      readonly reason: string;
    }
  | { readonly type: "returned"; readonly provider: ProviderId };

/** Why a provider cannot be worked with, as its part of a report tells; undefined: it can. */
function findFailure(
  report: ProviderReport,
  cancelledIsFailure: boolean,
): { readonly reason: string; readonly retryAt?: string } | undefined {
  const errors = [report.error, ...report.outcomes.map(({ error }) => error)];
  const error = errors.find(
    (each) =>
      each !== undefined &&
      (each === report.error ? each.code !== "busy" && each.code !== "cancelled" : ENDS_EVERYTHING.has(each.code)),
  );
  const late = cancelledIsFailure ? errors.find((each) => each?.code === "cancelled") : undefined;
  if (error) return { reason: error.message, ...(error.retryAt !== undefined && { retryAt: error.retryAt }) };
  return late && { reason: "It was not done when the time for a run was up." };
}

/** After these the next call fares no better. */
const ENDS_EVERYTHING = new Set(["unauthenticated", "rate-limited", "unavailable", "network", "timeout"]);

/** Writes down who failed and who came back. */
export async function settleQuarantines(
  state: State,
  reports: readonly ProviderReport[],
  options: {
    readonly policy: QuarantinePolicy;
    readonly now: Date;
    readonly cancelledIsFailure: boolean;
    readonly onEvent: (event: QuarantineEvent) => void;
  },
): Promise<void> {
  const { policy, now, onEvent } = options;
  const known = new Map((await state.quarantines()).map((each) => [each.provider, each]));
  for (const report of reports) {
    const provider = report.id;
    const before = known.get(provider);
    const failure = findFailure(report, options.cancelledIsFailure);
    if (failure) {
      const failures = (before?.failures ?? 0) + 1;
      const pauseMs = Math.min(policy.longestMs, policy.firstMs * 2 ** (failures - 1));
      const asked = failure.retryAt === undefined ? 0 : Date.parse(failure.retryAt);
      const until = new Date(Math.max(now.getTime() + pauseMs, asked)).toISOString();
      const quarantine: Quarantine = { provider, failures, until, reason: failure.reason };
      await state.rememberQuarantine(quarantine);
      onEvent({ type: "quarantined", ...quarantine });
    } else if (before && !report.outcomes.some(({ error }) => error?.code === "cancelled")) {
      await state.forgetQuarantine(provider);
      onEvent({ type: "returned", provider });
    }
  }
}
