import { getEventListeners } from "node:events";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { type BudgetLimits, createRateBudget, type RateBudget, sharedBudget } from "../../../src/http/budget.js";
import { errorOf } from "./support.js";

// The clock stands still here unless a test moves it. The timers that give promises are not replaced by vitest itself.
vi.mock("node:timers/promises", () => ({
  setTimeout: (delayMs: number, value: unknown, { signal }: { signal?: AbortSignal } = {}) =>
    new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        signal?.removeEventListener("abort", stop);
        resolve(value);
      }, delayMs);
      const stop = () => {
        clearTimeout(timer);
        reject(new Error("aborted"));
      };
      if (signal?.aborted) stop();
      signal?.addEventListener("abort", stop, { once: true });
    }),
}));

beforeEach(() => vi.useFakeTimers({ now: 1_000_000 }));
afterEach(() => vi.useRealTimers());

const start = 1_000_000;
const rate = (requests: number, windowMs: number, counts: "all" | "read" | "write" = "all", scope = "token") => ({
  scope,
  requests,
  windowMs,
  counts,
});
const limited = (rates: BudgetLimits["rates"], reads = 100, writes = 100): BudgetLimits => ({ rates, reads, writes });
const move = (ms: number) => vi.advanceTimersByTimeAsync(ms);

/** Sends many at once; tells when each of them went out, in milliseconds from the start. */
function sendAll(
  budget: RateBudget,
  effects: readonly ("read" | "write")[],
  { takesMs = 0, signal, maxWaitMs }: { takesMs?: number; signal?: AbortSignal; maxWaitMs?: number } = {},
) {
  const sent: number[] = [];
  const waits: unknown[] = [];
  const work = effects.map((effect) =>
    budget.run(
      effect,
      async () => {
        sent.push(Date.now() - start);
        if (takesMs > 0) await new Promise((resolve) => setTimeout(resolve, takesMs));
        return effect;
      },
      signal,
      (...wait) => waits.push(wait),
      maxWaitMs,
    ),
  );
  return { sent, waits, work };
}

const reads = (count: number) => Array.from({ length: count }, () => "read" as const);
const writes = (count: number) => Array.from({ length: count }, () => "write" as const);

describe("the sliding window", () => {
  test("lets the declared number out at once, and each further one when an earlier one leaves the window", async () => {
    const budget = createRateBudget(limited([rate(3, 1000)]));
    const first = sendAll(budget, reads(1));
    await move(400);
    const { sent } = sendAll(budget, reads(6));
    await move(10_000);
    expect([...first.sent, ...sent]).toEqual([0, 400, 400, 1000, 1400, 1400, 2000]);
  });

  test("runs from the answer: a slow request may have counted late", async () => {
    const budget = createRateBudget(limited([rate(2, 1000)]));
    const { sent } = sendAll(budget, reads(4), { takesMs: 300 });
    await move(10_000);
    expect(sent).toEqual([0, 0, 1300, 1300]);
  });

  test("takes a place from the sending: no more are under way than the window has", async () => {
    const budget = createRateBudget(limited([rate(1, 5)]));
    const { sent } = sendAll(budget, reads(2), { takesMs: 300 });
    await move(299);
    expect(sent).toEqual([0]);
    await move(30);
    expect(sent).toHaveLength(2);
  });

  test("hands on what the request answers", async () => {
    const budget = createRateBudget(limited([rate(1, 1000)]));
    const { work } = sendAll(budget, ["read", "write"]);
    await move(1000);
    expect(await Promise.all(work)).toEqual(["read", "write"]);
  });

  test("a request that fails has been sent all the same, and gives its place in the lane back", async () => {
    const budget = createRateBudget(limited([rate(1, 1000)], 1));
    const failed = budget.run(
      "read",
      () => Promise.reject(new Error("down")),
      undefined,
      () => undefined,
    );
    await expect(failed).rejects.toThrow("down");
    const { sent } = sendAll(budget, reads(1));
    await move(1000);
    expect(sent).toEqual([1000]);
  });

  test("counts only what it is meant for", async () => {
    const forWrites = createRateBudget(limited([rate(1, 1000, "write")]));
    const { sent } = sendAll(forWrites, ["write", "read", "write", "read"]);
    await move(0);
    expect(sent).toEqual([0, 0, 0]);
    await move(1000);
    expect(sent).toEqual([0, 0, 0, 1000]);

    const forReads = createRateBudget(limited([rate(1, 1000, "read")]));
    const other = sendAll(forReads, ["read", "write", "read", "write"]);
    await move(0);
    expect(other.sent).toHaveLength(3);
  });

  test("two windows hold at once", async () => {
    const budget = createRateBudget(limited([rate(2, 100), rate(3, 1000)]));
    const { sent } = sendAll(budget, reads(7));
    await move(5000);
    expect(sent).toEqual([0, 0, 100, 1000, 1000, 1100, 2000]);
  });

  test("a request that one window holds back does not use up the other", async () => {
    const budget = createRateBudget(limited([rate(2, 1000), rate(1, 100, "write")]));
    const { sent } = sendAll(budget, ["write", "write", "read"]);
    await move(50);
    expect(sent).toEqual([0, 0]);
  });

  test("never lets more out than declared in any window, whenever they come", async () => {
    const arrivals = fc.array(fc.integer({ min: 0, max: 400 }), { minLength: 1, maxLength: 40 });
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 5 }),
        fc.integer({ min: 10, max: 300 }),
        arrivals,
        async (requests, windowMs, pauses) => {
          const budget = createRateBudget(limited([rate(requests, windowMs)], 4));
          const sent: number[] = [];
          for (const pause of pauses) {
            void budget.run(
              "read",
              async () => sent.push(Date.now()),
              undefined,
              () => undefined,
            );
            await move(pause % 3 === 0 ? 0 : pause);
          }
          await move(windowMs * (pauses.length + 1));
          expect(sent).toHaveLength(pauses.length);
          const spans = sent.slice(requests).map((at, index) => at - (sent[index] ?? 0));
          expect(spans.filter((span) => span < windowMs)).toEqual([]);
        },
      ),
      { numRuns: 50 },
    );
  });
});

describe("a clock of one's own", () => {
  test("is what windows and pauses are measured by", async () => {
    let time = 0;
    const budget = createRateBudget(limited([rate(1, 1000)]), () => time);
    const { sent, waits } = sendAll(budget, reads(2));
    await move(0);
    expect(waits).toEqual([["token", 1000, "1 requests per 1 s"]]);
    time = 999;
    await move(1000);
    expect(sent).toHaveLength(1);
    time = 1000;
    await move(1);
    expect(sent).toHaveLength(2);
    budget.pause(1600);
    expect(sendAll(budget, reads(1)).sent).toEqual([]);
  });
});

describe("requests under way", () => {
  test("are bounded for readings and writes apart", async () => {
    const budget = createRateBudget(limited([], 2, 1));
    const { sent, work } = sendAll(budget, [...reads(5), ...writes(3)], { takesMs: 100 });
    await move(0);
    expect(sent).toEqual([0, 0, 0]);
    await move(100);
    expect(sent).toEqual([0, 0, 0, 100, 100, 100]);
    await move(200);
    await Promise.all(work);
    expect(sent).toEqual([0, 0, 0, 100, 100, 100, 200, 200]);
  });

  test("go out in the order in which they came", async () => {
    const budget = createRateBudget(limited([rate(1, 10)], 3));
    const order: number[] = [];
    for (let number = 0; number < 9; number++) {
      void budget.run(
        "read",
        async () => order.push(number),
        undefined,
        () => undefined,
      );
    }
    await move(200);
    expect(order).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8]);
  });
});

describe("a pause", () => {
  test("holds everything of the scope until its end, and lets what was sent finish", async () => {
    const budget = createRateBudget(limited([]));
    const before = sendAll(budget, reads(1), { takesMs: 50 });
    await move(10);
    budget.pause(start + 500);
    const { sent, waits } = sendAll(budget, ["read", "write"]);
    await move(489);
    expect(await before.work[0]).toBe("read");
    expect(sent).toEqual([]);
    await move(1);
    expect(sent).toEqual([500, 500]);
    expect(waits).toEqual([
      ["service", 490, "the service asked to wait"],
      ["service", 490, "the service asked to wait"],
    ]);
  });

  test("is made longer by a later one, and never shorter", async () => {
    const budget = createRateBudget(limited([]));
    budget.pause(start + 500);
    budget.pause(start + 100);
    const { sent } = sendAll(budget, reads(1));
    await move(300);
    budget.pause(start + 800);
    await move(499);
    expect(sent).toEqual([]);
    await move(1);
    expect(sent).toEqual([800]);
  });

  test("that is over holds nothing", async () => {
    const budget = createRateBudget(limited([]));
    budget.pause(start - 1);
    budget.pause(start);
    const { sent, waits } = sendAll(budget, reads(1));
    await move(0);
    expect([sent, waits]).toEqual([[0], []]);
  });

  test("may be longer than a request would wait for a documented limit: whoever paused has weighed it", async () => {
    const budget = createRateBudget(limited([]));
    budget.pause(start + 500);
    const { sent } = sendAll(budget, reads(1), { maxWaitMs: 0 });
    await move(500);
    expect(sent).toEqual([500]);
  });
});

describe("waiting", () => {
  test("is told with its limit, unless it is too short for a word", async () => {
    const budget = createRateBudget(limited([rate(1, 59, "read", "short"), rate(1, 60, "write", "owner")]));
    const { waits } = sendAll(budget, ["read", "read", "write", "write"]);
    await move(100);
    expect(waits).toEqual([["owner", 50, "1 requests per 0.06 s"]]);
  });

  test("longer than allowed is refused at once, with the time to come back", async () => {
    const budget = createRateBudget(limited([rate(2, 86_400_000, "write", "key owner")]));
    const { sent, waits, work } = sendAll(budget, writes(3), { maxWaitMs: 180_000 });
    const error = await errorOf(work[2] as Promise<unknown>);
    expect(error).toMatchObject({
      code: "rate-limited",
      message: "The limit of 2 requests per 86400 s (key owner) is used up.",
      facts: { retryable: true, retryAt: start + 86_400_000 },
    });
    expect(sent).toEqual([0, 0]);
    expect(waits).toEqual([]);
    expect(sendAll(budget, reads(1), { maxWaitMs: 180_000 }).work).toHaveLength(1);
    await move(86_400_000 - 180_000);
    const later = sendAll(budget, writes(1), { maxWaitMs: 180_000 });
    await move(180_000);
    expect(later.sent).toEqual([86_400_000]);
  });

  test("ends at once when it is stopped: for a limit, for a pause, and behind a request that is under way", async () => {
    const stopper = new AbortController();
    const { signal } = stopper;
    const full = createRateBudget(limited([rate(1, 60_000)]));
    sendAll(full, reads(1));
    const paused = createRateBudget(limited([]));
    paused.pause(start + 60_000);
    const busy = createRateBudget(limited([], 1, 1));
    const underWay = sendAll(busy, writes(1), { takesMs: 60_000, signal });
    await move(0);
    const waiting = [full, paused, busy].map((budget) => sendAll(budget, writes(2), { signal }));
    await move(10);
    stopper.abort();
    for (const { sent, work } of waiting) {
      for (const each of work) expect((await errorOf(each)).code).toBe("cancelled");
      expect(sent).toEqual([]);
    }
    expect(Date.now()).toBe(start + 10);
    await move(120_000);
    expect(await underWay.work[0]).toBe("write");
    for (const { sent } of waiting) expect(sent).toEqual([]);
  });

  test("does not begin for what was stopped before, even where there is room", async () => {
    const signal = AbortSignal.abort();
    const { sent, work } = sendAll(createRateBudget(limited([])), ["read", "write"], { signal });
    for (const each of work) expect((await errorOf(each)).code).toBe("cancelled");
    await move(10);
    expect(sent).toEqual([]);
  });

  test("that was stopped uses up no limit and no lane", async () => {
    const stopper = new AbortController();
    const budget = createRateBudget(limited([rate(2, 1000)], 1));
    const first = sendAll(budget, reads(1), { takesMs: 100 });
    const { work } = sendAll(budget, reads(5), { signal: stopper.signal });
    await move(10);
    stopper.abort();
    await Promise.allSettled(work);
    const { sent } = sendAll(budget, reads(1));
    await move(90);
    expect([...first.sent, ...sent]).toEqual([0, 100]);
  });

  test("leaves nothing behind on the signal", async () => {
    const { signal } = new AbortController();
    const budget = createRateBudget(limited([rate(5, 100)], 2));
    const { work } = sendAll(budget, reads(9), { takesMs: 10, signal });
    expect(getEventListeners(signal, "abort").length).toBeGreaterThan(0);
    await move(1000);
    await Promise.all(work);
    expect(getEventListeners(signal, "abort")).toEqual([]);
  });

  test("of a write for its own limit holds up no reading", async () => {
    const budget = createRateBudget(limited([rate(1, 5000, "write"), rate(100, 1000)]));
    sendAll(budget, writes(3));
    await move(0);
    const { sent } = sendAll(budget, reads(3));
    await move(1);
    expect(sent).toEqual([0, 0, 0]);
  });

  test("is fair between readings and writes under a common limit", async () => {
    const budget = createRateBudget(limited([rate(1, 100)], 4, 4));
    const reading = sendAll(budget, reads(20));
    const writing = sendAll(budget, writes(3));
    await move(3000);
    expect(reading.sent).toHaveLength(20);
    expect(Math.max(...writing.sent)).toBeLessThanOrEqual(600);
  });
});

describe("a shared budget", () => {
  test("is one per key", async () => {
    const one = sharedBudget("key one", limited([rate(1, 1000)]));
    expect(sharedBudget("key one", limited([]))).toBe(one);
    expect(sharedBudget("key two", limited([]))).not.toBe(one);
  });
});
