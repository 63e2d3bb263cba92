/**
 * Reads back what was written, within the service's consistency window, and says how each change really ended.
 *
 * Rounds: all touched groups are read, those that do not show every change yet are read again a little later, until
 * the window is over. What is then still not so was accepted and not done: `skipped`. What could not be read stays
 * `unknown`.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { groupBy } from "../collections.js";
import { isGroupSyncError, summarizeError } from "../errors.js";
import type { Change, ErrorSummary, Member, Residual, Snapshot } from "../model.js";
import type { GroupProvider } from "../provider.js";
import type { Book, Progress } from "./apply.js";
import type { Meter, SyncEvent } from "./events.js";
import { isSo, readGroupsWhole } from "./snapshot.js";

/** What verifying needs to know. */
export interface VerifyInput {
  readonly book: Book;
  readonly groupIds: ReadonlyMap<string, string>;
  readonly before: ReadonlyMap<string, Snapshot>;
  readonly provider: GroupProvider;
  readonly meter: Meter;
  readonly signal?: AbortSignal;
  readonly onEvent: (event: SyncEvent) => void;
  /** How long to wait for a write to show, in milliseconds; 0: read once. */
  readonly windowMs: number;
}

const FIRST_PAUSE_MS = 200;
const LONGEST_PAUSE_MS = 5_000;

type Reading =
  | { readonly state: "read"; readonly snapshot: Snapshot }
  | { readonly state: "gone" }
  | { readonly state: "unreadable"; readonly error: ErrorSummary };

/** Settles every `sent` change of the book, and returns what differs beyond the changes themselves. */
export async function verifyChanges(input: VerifyInput): Promise<readonly Residual[]> {
  const { book, groupIds, provider, meter, signal, windowMs } = input;
  const deadline = Date.now() + windowMs;
  const residual = new Map<string, readonly Residual[]>();
  const touched = groupBy(
    [...book].filter(([change, progress]) => isWorthReading(change, progress)).map(([change]) => change),
    ({ group }) => group,
  );
  const total = touched.size;
  // A run that was stopped reads once; what was done may show only later.
  const isPatient = windowMs > 0 || provider.capabilities.consistencyMs.value === 0;
  for (let pauseMs = FIRST_PAUSE_MS; touched.size > 0; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
    // One context a round: lists that serve many groups are read once in it.
    const context = meter.context(signal);
    const last = Date.now() + pauseMs > deadline || signal?.aborted === true;
    const ids = [...touched.keys()].flatMap((group) => groupIds.get(group) ?? []);
    const readings = await readGroupsWhole(ids, provider, context, (done) =>
      input.onEvent({
        type: "progress",
        provider: provider.id,
        phase: "verify",
        done: total - ids.length + done,
        total,
      }),
    );
    for (const [group, changes] of touched) {
      const reading = describeReading(readings.get(groupIds.get(group) ?? ""));
      const before = input.before.get(groupIds.get(group) ?? "");
      const open = settle(changes, reading, before, book, { last, windowMs, isPatient });
      if (reading.state === "read") residual.set(group, findLosses(group, changes, reading.snapshot, input));
      if (open.length > 0) touched.set(group, [...open]);
      else touched.delete(group);
    }
    if (touched.size > 0) await sleep(pauseMs, undefined, signal ? { signal } : {}).catch(() => {});
  }
  return [...residual.values()].flat();
}

/** What was answered with success, and what was refused: a refused batch may have been done in part. */
function isWorthReading(change: Change, { status }: Progress): boolean {
  return status === "sent" || (status === "failed" && change.type.startsWith("member."));
}

/** A group without an id was never made. */
function describeReading(result: PromiseSettledResult<Snapshot> | undefined): Reading {
  if (!result) return { state: "gone" };
  if (result.status === "fulfilled") return { state: "read", snapshot: result.value };
  const error: unknown = result.reason;
  return isGroupSyncError(error, "not-found")
    ? { state: "gone" }
    : { state: "unreadable", error: summarizeError(error) };
}

/** How much a look at a group counts. */
interface Look {
  /** Nothing comes after it. */
  readonly last: boolean;
  readonly windowMs: number;
  /** Whether the window was long enough for what is not seen to be not so. */
  readonly isPatient: boolean;
}

/** Books what the reading shows; returns the changes that are worth another look. */
function settle(
  changes: readonly Change[],
  reading: Reading,
  before: Snapshot | undefined,
  book: Book,
  { last, windowMs, isPatient }: Look,
): readonly Change[] {
  const accounts = new Map(
    reading.state === "read" ? reading.snapshot.members.map((member) => [member.account, member]) : [],
  );
  return changes.filter((change) => {
    const known = book.get(change);
    const refused = known?.status === "failed" && known;
    if (reading.state === "unreadable") {
      if (last && !refused) book.set(change, { status: "unknown", error: reading.error });
      return !last && !refused;
    }
    const so =
      reading.state === "gone"
        ? change.type === "group.delete" || change.type === "member.remove"
        : isSo(change, { ...reading.snapshot, members: membersFor(change, accounts) });
    if (so) {
      // Where an addition is an invitation, so is the new role of somebody who has left meanwhile.
      const isGain = change.type === "member.add" || change.type === "member.update";
      const invited = isGain && accounts.get(change.account ?? "")?.state === "pending";
      book.set(change, { status: invited ? "pending" : "applied" });
      return false;
    }
    if (!refused && !last) return true;
    const made = findMade(change, accounts.get(change.account ?? ""), before);
    // Nobody waits for what was refused.
    if (refused) {
      book.set(change, { ...refused, ...made });
      return false;
    }
    const whole = reading.state === "gone" || reading.snapshot.evidence.complete;
    const certain = whole && isPatient;
    // An error from sending is worth more than our own words.
    const error = known?.error ?? {
      code: "not-applied",
      message: whole
        ? `The service accepted this, but ${windowMs === 0 ? "reading afterwards" : `${windowMs / 1000} s later a reading`} does not show it.`
        : `The service accepted this, but the reading afterwards was not whole: ${reading.snapshot.evidence.because}.`,
    };
    book.set(change, { status: certain ? "skipped" : "unknown", error, ...made });
    return false;
  });
}

/** Who is in without the role that was asked for, and was not before, has been added all the same. */
function findMade(
  { type, account }: Change,
  member: Member | undefined,
  before: Snapshot | undefined,
): Pick<Progress, "madeAs"> {
  if (type !== "member.add" || member?.state !== "active" || !member.direct) return {};
  return before?.members.some((each) => each.account === account) ? {} : { madeAs: member.role };
}

/** `isSo` looks a member up in a list; one entry is enough, and keeps large groups cheap. */
function membersFor<M>(change: Change, accounts: ReadonlyMap<string, M>): readonly M[] {
  const member = accounts.get(change.account ?? "");
  return member === undefined ? [] : [member];
}

/** People who were there, were not to be removed, and are gone. */
function findLosses(
  group: string,
  changes: readonly Change[],
  after: Snapshot,
  input: VerifyInput,
): readonly Residual[] {
  const before = input.before.get(after.group.id);
  if (!before || !after.evidence.complete) return [];
  const now = new Set(after.members.map(({ account }) => account));
  const leaving = new Set(
    [...input.book.keys()]
      .filter((change) => change.group === group && change.type !== "member.add")
      .map(({ account }) => account),
  );
  return changes.length === 0
    ? []
    : before.members
        .filter(({ account, state }) => state === "active" && !now.has(account) && !leaving.has(account))
        .map(({ account }) => ({
          provider: input.provider.id,
          group,
          account,
          message: `${account} was a member before this run and is not any more, though nobody here asked for that.`,
          unasked: true,
        }));
}
