import { getEventListeners } from "node:events";
import { describe, expect, test } from "vitest";
import { GroupSyncError } from "../../../src/errors.js";
import { createRenewingCredential, createTokenCredential, type IssuedToken } from "../../../src/http/auth.js";
import type { CallContext } from "../../../src/provider.js";
import { errorOf } from "./support.js";

/** A credential whose log-ins the test answers, on a clock of its own. */
function createFixture() {
  const clock = { now: 0 };
  const open: { resolve(issued: IssuedToken): void; reject(error: unknown): void; context: Partial<CallContext> }[] =
    [];
  const credential = createRenewingCredential({
    scheme: "Bearer",
    secrets: ["passw0rd"],
    now: () => clock.now,
    logIn: (context) =>
      new Promise((resolve, reject) => {
        open.push({ resolve, reject, context });
        const cancel = () => reject(new GroupSyncError("cancelled", "Stopped."));
        context.signal?.addEventListener("abort", cancel, { once: true });
      }),
  });
  /** Asks, and answers the log-in that this starts, if it starts one. */
  const ask = async (issued?: IssuedToken) => {
    const known = open.length;
    const header = credential.authorization({});
    if (open.length > known && issued) open[known]?.resolve(issued);
    return header;
  };
  return { clock, open, credential, ask };
}

describe("a fixed token", () => {
  test("goes along as it is, is a secret, and a 401 is final", async () => {
    const credential = createTokenCredential("Token", "abc");
    expect(await credential.authorization({})).toBe("Token abc");
    expect(credential.renew("Token abc")).toBe(false);
    expect(credential.secrets()).toEqual(["abc"]);
  });
});

describe("a token that is fetched", () => {
  test("is fetched at first use only, and kept", async () => {
    const { open, ask } = createFixture();
    expect(open).toHaveLength(0);
    expect(await ask({ token: "a" })).toBe("Bearer a");
    expect(await ask()).toBe("Bearer a");
    expect(open).toHaveLength(1);
  });

  test("is renewed a minute before its end", async () => {
    const { clock, open, ask } = createFixture();
    clock.now = 5000;
    await ask({ token: "a", expiresInMs: 3_600_000 });
    clock.now = 5000 + 3_600_000 - 60_000 - 1;
    expect(await ask({ token: "b" })).toBe("Bearer a");
    clock.now++;
    expect(await ask({ token: "b" })).toBe("Bearer b");
    expect(open).toHaveLength(2);
  });

  test.each([
    [119_000, 59_500],
    [60_000, 30_000],
    [1000, 500],
  ])("that lives %i ms is used for %i ms", async (expiresInMs, usedMs) => {
    const { clock, open, ask } = createFixture();
    await ask({ token: "a", expiresInMs });
    clock.now = usedMs - 1;
    expect(await ask({ token: "b", expiresInMs })).toBe("Bearer a");
    clock.now = usedMs;
    expect(await ask({ token: "b", expiresInMs })).toBe("Bearer b");
    expect(open).toHaveLength(2);
  });

  test("without a stated life is never renewed by the clock", async () => {
    const { clock, open, ask } = createFixture();
    await ask({ token: "a" });
    clock.now = Number.MAX_SAFE_INTEGER;
    expect(await ask()).toBe("Bearer a");
    expect(open).toHaveLength(1);
  });

  test("that is expired when it comes serves those who asked for it, and no one else", async () => {
    const { open, ask } = createFixture();
    expect(await ask({ token: "a", expiresInMs: 0 })).toBe("Bearer a");
    expect(await ask({ token: "b", expiresInMs: 0 })).toBe("Bearer b");
    expect(open).toHaveLength(2);
  });

  test("is a secret for as long as it is held, beside what the log-in is done with", async () => {
    const { credential, ask } = createFixture();
    expect(credential.secrets()).toEqual(["passw0rd"]);
    await ask({ token: "a" });
    expect(credential.secrets()).toEqual(["passw0rd", "a"]);
  });
});

describe("a log-in", () => {
  test("is shared by all who come while it is under way", async () => {
    const { open, credential } = createFixture();
    const asked = Array.from({ length: 20 }, () => credential.authorization({}));
    expect(open).toHaveLength(1);
    open[0]?.resolve({ token: "a" });
    expect(new Set(await Promise.all(asked))).toEqual(new Set(["Bearer a"]));
    expect(open).toHaveLength(1);
  });

  test("that fails is told to all who wait, and is not remembered", async () => {
    const { open, credential, ask } = createFixture();
    const asked = [credential.authorization({}), credential.authorization({})];
    open[0]?.reject(new GroupSyncError("unavailable", "down"));
    for (const each of asked) expect((await errorOf(each)).code).toBe("unavailable");
    expect(await ask({ token: "a" })).toBe("Bearer a");
    expect(open).toHaveLength(2);
  });

  test("hears the signal and the listener of the one who began it", async () => {
    const { open, credential } = createFixture();
    const context = { signal: new AbortController().signal, onCall: () => undefined };
    void credential.authorization(context);
    expect(open[0]?.context).toBe(context);
  });

  test("that is stopped with the one who began it is begun again for those who wait for it", async () => {
    const { open, credential } = createFixture();
    const [first, second] = [new AbortController(), new AbortController()];
    const stopped = credential.authorization({ signal: first.signal });
    const waiting = [credential.authorization({ signal: second.signal }), credential.authorization({})];
    first.abort();
    expect((await errorOf(stopped)).code).toBe("cancelled");
    await new Promise((resolve) => setImmediate(resolve));
    expect(open).toHaveLength(2);
    open[1]?.resolve({ token: "a" });
    expect(await Promise.all(waiting)).toEqual(["Bearer a", "Bearer a"]);
  });

  test("goes on for the others when one who waits is stopped, and that one ends at once", async () => {
    const { open, credential } = createFixture();
    const stopper = new AbortController();
    const first = credential.authorization({});
    const second = credential.authorization({ signal: stopper.signal });
    stopper.abort();
    expect((await errorOf(second)).code).toBe("cancelled");
    open[0]?.resolve({ token: "a" });
    expect(await first).toBe("Bearer a");
    expect(open).toHaveLength(1);
  });

  test("leaves nothing behind on the signals of those who waited", async () => {
    const { open, credential } = createFixture();
    const { signal } = new AbortController();
    const [first, second] = [credential.authorization({}), credential.authorization({ signal })];
    open[0]?.resolve({ token: "a" });
    await Promise.all([first, second]);
    expect(getEventListeners(signal, "abort")).toEqual([]);
  });
});

describe("after a 401", () => {
  test("a new token is fetched, once for all requests that were refused with the old one", async () => {
    const { open, credential, ask } = createFixture();
    await ask({ token: "a" });
    expect(credential.renew("Bearer a")).toBe(true);
    expect(credential.renew("Bearer a")).toBe(true);
    expect(await ask({ token: "b" })).toBe("Bearer b");
    // A straggler, refused with the old token when the new one is there already.
    expect(credential.renew("Bearer a")).toBe(true);
    expect(await ask()).toBe("Bearer b");
    expect(open).toHaveLength(2);
  });
});
