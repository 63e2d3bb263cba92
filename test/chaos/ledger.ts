/**
 * What the tool can know that it did itself, worked out from what truly happened and not from what it wrote down: the
 * measure of mode `owned`, of groups that need no adoption, and of people who are not asked twice.
 */
import type { RequestLogEntry } from "../../src/sandbox/index.js";
import type { Report } from "../../src/index.js";
import { providerIds, type Service } from "./scenario.js";
import type { Effect, Witness } from "./witness.js";

export interface Ledger {
  hasMade(service: Service, groupId: string): boolean;
  /** Whether the tool added or invited the account in an earlier run: then it may take it. */
  hasAdded(service: Service, groupId: string, account: string): boolean;
  /** Whether it did so in a run without faults, and nobody meddled with it: then it must know. */
  hasSurelyAdded(service: Service, groupId: string, account: string): boolean;
  /** Whether the tool invited the account in an earlier run, or had a yes of the service for it. */
  wasInvited(service: Service, groupId: string, account: string): boolean;
  /** Whether an invitation of an earlier run was declined. */
  hasDeclined(service: Service, groupId: string, account: string): boolean;
  /** Whether an earlier run came to its end there with somebody else's credentials: all that it did is another's. */
  wasReadByOther(service: Service): boolean;
  /** Notes a run that is over. */
  note(run: Run): void;
}

interface Run {
  readonly isCalm: boolean;
  readonly asOther: readonly Service[];
  readonly report?: Report;
  readonly effects: readonly Effect[];
  readonly requests: readonly RequestLogEntry[];
}

/** Answers that leave people out without saying so; whoever is not shown is forgotten. */
const LIES = ["empty-page", "short-page", "lying-200", "lag"];

const keyOf = ({ service, groupId, account = "" }: Pick<Effect, "service" | "groupId" | "account">): string =>
  JSON.stringify([service, groupId, account]);

const isRefusal = ({ kind, by, during }: Effect): boolean =>
  kind === "uninvited" && by === "others" && during.startsWith("answerInvitations(reject");

/** Of a tool without a memory: it knows of nothing. */
export function createLedger({ effects }: Witness, remembers: boolean): Ledger {
  const made = new Set<string>();
  const added = new Set<string>();
  const surely = new Set<string>();
  const invited = new Set<string>();
  const unseen = new Set<string>();
  const readByOther = new Set<Service>();
  return {
    hasMade: (service, groupId) => made.has(keyOf({ service, groupId })),
    hasAdded: (service, groupId, account) => added.has(keyOf({ service, groupId, account })),
    hasSurelyAdded(service, groupId, account) {
      const key = keyOf({ service, groupId, account });
      const isTouched = effects.some(
        (effect) => effect.by === "others" && keyOf(effect) === key && !effect.during.startsWith("answerInvitations"),
      );
      return surely.has(key) && !isTouched;
    },
    wasInvited(service, groupId, account) {
      const key = keyOf({ service, groupId, account });
      return invited.has(key) || unseen.has(key);
    },
    hasDeclined(service, groupId, account) {
      const key = keyOf({ service, groupId, account });
      return invited.has(key) && effects.some((effect) => keyOf(effect) === key && isRefusal(effect));
    },
    wasReadByOther: (service) => readByOther.has(service),
    note({ isCalm, asOther, report, effects: done, requests }) {
      if (!remembers) return;
      for (const service of asOther) {
        const part = report?.providers.find(({ id }) => id === providerIds[service]);
        if (part && !part.error) readByOther.add(service);
      }
      for (const outcome of report?.providers.find(({ id }) => id === providerIds.brainstem)?.outcomes ?? []) {
        const { groupId = "", account = "", status } = outcome;
        if (status === "skipped" || status === "unknown") unseen.add(keyOf({ service: "brainstem", groupId, account }));
      }
      for (const effect of done) {
        if (effect.by !== "tool" || asOther.includes(effect.service)) continue;
        const key = keyOf(effect);
        if (effect.kind === "created") made.add(key);
        if (effect.kind === "gained" || effect.kind === "invited") {
          added.add(key);
          if (isCalm) surely.add(key);
        }
        if (effect.kind === "invited") invited.add(key);
        if (effect.kind === "lost" || effect.kind === "uninvited") {
          added.delete(key);
          surely.delete(key);
        }
      }
      if (requests.some(({ faulted }) => LIES.includes(faulted ?? ""))) surely.clear();
    },
  };
}
