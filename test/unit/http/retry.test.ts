import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type ErrorCode, type ErrorFacts, errorFromStatus, GroupSyncError } from "../../../src/errors.js";
import { decideRetry, defaultRetryPolicy, parseRetryAfter, type RetryPolicy } from "../../../src/http/retry.js";

const NOW = Date.UTC(2026, 10, 6, 8, 49, 37);
const policy: RetryPolicy = { maxAttempts: 3, baseDelayMs: 100, maxDelayMs: 1000, maxWaitMs: 5000 };

const failure = (code: ErrorCode, facts: ErrorFacts = {}) => new GroupSyncError(code, "words", facts);
const decide = (
  error: unknown,
  { attempt = 1, effect = "read", random = 0.5 }: { attempt?: number; effect?: "read" | "write"; random?: number } = {},
) => decideRetry(error, attempt, effect, policy, NOW, random);

describe("whether to send again", () => {
  test.each<[string, unknown, string]>([
    ["an error that is not ours", new TypeError("bug"), "not an error of the connection"],
    ["something that is no error", "oops", "not an error of the connection"],
    ["a cancellation, even if it claims to be retryable", failure("cancelled", { retryable: true }), "cancelled"],
    ["a refusal", failure("refused"), "refused does not go away by itself"],
    ["a missing right", failure("forbidden", { retryable: false }), "forbidden does not go away by itself"],
  ])("%s is final for readings and writes", (_what, error, reason) => {
    expect(decide(error)).toEqual({ retry: false, reason });
    expect(decide(error, { effect: "write" })).toEqual({ retry: false, reason });
  });

  const statuses = [301, 400, 401, 402, 403, 404, 408, 409, 410, 412, 413, 422, 425, 429, 500, 501, 502, 503, 504];

  test("a reading is repeated after 408, 425, 429 and every 5xx but 501", () => {
    const repeated = statuses.filter((status) => decide(errorFromStatus(status, undefined, { write: false })).retry);
    expect(repeated).toEqual([408, 425, 429, 500, 502, 503, 504]);
  });

  test("a write is repeated after 429 only: any other answer is final or leaves the outcome unknown", () => {
    const repeated = statuses.filter(
      (status) => decide(errorFromStatus(status, undefined, { write: true }), { effect: "write" }).retry,
    );
    expect(repeated).toEqual([429]);
  });

  test("a write is repeated when no connection was made, and not when one broke", () => {
    const refused = failure("network", { retryable: true });
    const broken = failure("network", { retryable: true, outcomeUnknown: true });
    expect(decide(refused, { effect: "write" }).retry).toBe(true);
    expect(decide(broken, { effect: "write" })).toEqual({
      retry: false,
      reason: "the outcome of a write is unknown; it has to be read first",
    });
    expect(decide(broken).retry).toBe(true);
  });

  test("the last attempt is the one that the policy allows", () => {
    const error = failure("network", { retryable: true });
    expect(decide(error, { attempt: 2 }).retry).toBe(true);
    expect(decide(error, { attempt: 3 })).toEqual({ retry: false, reason: "gave up after 3 attempts" });
    expect(decide(error, { attempt: 4 }).retry).toBe(false);
  });

  test("a rate limit is waited out five times more, then no more", () => {
    const error = failure("rate-limited", { retryable: true, retryAt: NOW });
    expect(decide(error, { attempt: 7 }).retry).toBe(true);
    expect(decide(error, { attempt: 8 })).toEqual({ retry: false, reason: "still limited after 8 attempts" });
  });

  test("every policy and every series of failures comes to an end, with bounded waits", () => {
    const errors = fc.constantFrom(
      failure("rate-limited", { retryable: true }),
      failure("rate-limited", { retryable: true, retryAt: NOW + 4000 }),
      failure("network", { retryable: true }),
      failure("unavailable", { retryable: true, retryAt: NOW + 4000 }),
    );
    const random = fc.double({ min: 0, max: 0.999999, noNaN: true });
    fc.assert(
      fc.property(fc.array(errors, { minLength: 20, maxLength: 20 }), random, (series, dice) => {
        const decisions = series.map((error, index) => decideRetry(error, index + 1, "read", policy, NOW, dice));
        const end = decisions.findIndex(({ retry }) => !retry);
        expect(end).toBeGreaterThanOrEqual(policy.maxAttempts - 1);
        expect(end).toBeLessThan(policy.maxAttempts + 5);
        for (const decision of decisions) {
          if (!decision.retry) continue;
          expect(Number.isInteger(decision.delayMs)).toBe(true);
          expect(decision.delayMs).toBeGreaterThan(0);
          expect(decision.delayMs).toBeLessThanOrEqual(4250);
        }
      }),
    );
  });
});

describe("when to send again", () => {
  const transient = failure("unavailable", { retryable: true });
  const delayOf = (error: unknown, attempt: number, random: number, own: Partial<RetryPolicy> = {}) => {
    const decision = decideRetry(error, attempt, "read", { ...policy, maxAttempts: 99, ...own }, NOW, random);
    return decision.retry ? decision.delayMs : decision.reason;
  };

  test("the back-off doubles up to its maximum, and is spread over its upper half", () => {
    expect([1, 2, 3, 4, 5, 50].map((attempt) => delayOf(transient, attempt, 0))).toEqual([50, 100, 200, 400, 500, 500]);
    expect([1, 2, 3, 4, 5, 50].map((attempt) => delayOf(transient, attempt, 0.5))).toEqual([
      75, 150, 300, 600, 750, 750,
    ]);
    expect(delayOf(transient, 1, 0.999)).toBe(100);
  });

  test("a fault that says when is not asked earlier, and not earlier than the back-off either", () => {
    const at = (inMs: number) => failure("unavailable", { retryable: true, retryAt: NOW + inMs });
    expect(delayOf(at(3000), 1, 0)).toBe(3000);
    expect(delayOf(at(10), 1, 0)).toBe(50);
    expect(delayOf(at(-3000), 1, 0)).toBe(50);
    expect(delayOf(at(5000), 1, 0)).toBe(5000);
    expect(delayOf(at(5001), 1, 0)).toBe("the service asks for too long a wait");
  });

  test("a rate limit is waited for as told, plus up to 250 ms", () => {
    const at = (inMs: number) => failure("rate-limited", { retryable: true, retryAt: NOW + inMs });
    expect(delayOf(at(3000), 1, 0)).toBe(3000);
    expect(delayOf(at(3000), 4, 0)).toBe(3000);
    expect(delayOf(at(3000), 1, 0.5)).toBe(3125);
    expect(delayOf(at(-1), 1, 0)).toBe(0);
    expect(delayOf(at(5000), 1, 0)).toBe(5000);
    expect(delayOf(at(5001), 1, 0)).toBe("the service asks for too long a wait");
  });

  test("a rate limit that does not say when backs off", () => {
    expect(delayOf(failure("rate-limited", { retryable: true }), 2, 0)).toBe(100);
  });

  test("the decision names its reason", () => {
    expect(decide(transient)).toEqual({ retry: true, delayMs: 75, reason: "unavailable" });
    expect(decide(failure("rate-limited"))).toEqual({ retry: true, delayMs: 75, reason: "rate limit" });
  });

  test("the defaults are those that the options document", () => {
    expect(defaultRetryPolicy).toEqual({ maxAttempts: 5, baseDelayMs: 500, maxDelayMs: 30_000, maxWaitMs: 180_000 });
  });
});

describe("Retry-After", () => {
  test.each([
    ["0", 0],
    ["1", 1000],
    ["120", 120_000],
    ["007", 7000],
    [" 5 ", 5000],
    ["999999999", 999_999_999_000],
    ["Fri, 06 Nov 2026 08:49:37 GMT", 0],
    ["Fri, 06 Nov 2026 08:50:37 GMT", 60_000],
    ["Friday, 06-Nov-26 08:50:37 GMT", 60_000],
    ["Fri Nov  6 08:50:37 2026", 60_000],
    ["Sat Nov 14 08:49:37 2026", 8 * 86_400_000],
    ["Wednesday, 11-Nov-26 08:49:37 GMT", 5 * 86_400_000],
    ["Sat, 07 Nov 2026 08:49:37 GMT", 86_400_000],
    ["Fri, 06 Nov 2026 10:50:37 +0200", 60_000],
  ])("%j is %i ms from now", (value, inMs) => {
    expect(parseRetryAfter(value, NOW)).toBe(NOW + inMs);
  });

  test.each([
    undefined,
    "",
    "   ",
    "-1",
    "+1",
    "1.5",
    "1e3",
    "0x10",
    "1s",
    "1, 2",
    "soon",
    "try 2099",
    "Mon 2099",
    "May 2099",
    "after 10 seconds",
    "Friday, maybe 17",
    "1793955037000",
    "2026-11-06T08:50:37Z",
    "2099-01-01",
    "Infinity",
    "NaN",
    "null",
    "Fri, 99 Nov 2026 08:50:37 GMT",
    "Fri, 06 Nov 2026 25:61:61 GMT",
    "Fri, 06 Nov 2026 08:49:36 GMT",
    "Sun, 06 Nov 1994 08:49:37 GMT",
    "Sunday, 06-Nov-94 08:49:37 GMT",
    "Sun Nov  6 08:49:37 1994",
  ])("%j says nothing: garbage, or past", (value) => {
    expect(parseRetryAfter(value, NOW)).toBeUndefined();
  });

  test("asctime is read as GMT, whatever the zone of this machine", () => {
    const zone = process.env["TZ"];
    try {
      for (const TZ of ["America/Los_Angeles", "Asia/Kolkata", "UTC"]) {
        process.env["TZ"] = TZ;
        expect(parseRetryAfter("Fri Nov  6 08:50:37 2026", NOW)).toBe(NOW + 60_000);
      }
    } finally {
      if (zone === undefined) delete process.env["TZ"];
      else process.env["TZ"] = zone;
    }
  });

  test("whatever it holds, the answer is nothing or a moment from now on", () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.string(), fc.string({ unit: fc.constantFrom(..."0123456789 :-+,GMTFriNov".split("")) })),
        (value) => {
          const at = parseRetryAfter(value, NOW);
          expect(at === undefined || (Number.isFinite(at) && at >= NOW)).toBe(true);
        },
      ),
    );
  });
});
