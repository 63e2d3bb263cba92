import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type ErrorCode, GroupSyncError } from "../../src/errors.js";
import {
  confirmPins,
  distrustNewcomers,
  type Identities,
  lookUpAccounts,
  normalizeEmail,
  notePins,
  resolvePeople,
} from "../../src/identity.js";
import type { Account, Person } from "../../src/model.js";
import { type AccountKey, type Capabilities, createCallContext, type GroupProvider } from "../../src/provider.js";
import { createMemoryProvider } from "../../src/testing/memory.js";
import { everything, fact, person } from "./reconcile/builders.js";

interface Directory extends GroupProvider {
  /** Every look-up, as the keys that it asked for. */
  readonly questions: (readonly AccountKey[])[];
}

/** A service that knows these accounts. */
function directory(accounts: readonly Partial<Account>[], lookup: Partial<Capabilities["lookup"]> = {}): Directory {
  const questions: (readonly AccountKey[])[] = [];
  const known = accounts.map(
    (each, index): Account => ({ id: `id-${index}`, status: "active", eligible: true, ...each }),
  );
  return {
    ...createMemoryProvider({ id: "lab" }),
    capabilities: { ...everything, lookup: { ...everything.lookup, ...lookup } },
    questions,
    findAccounts: async (keys) => {
      questions.push(keys);
      return keys.map((key) => ({
        key,
        accounts: known.filter(({ id, email }) =>
          key.by === "id" ? id === key.value : normalizeEmail(email ?? "") === normalizeEmail(key.value),
        ),
      }));
    },
  };
}

const resolve = (people: readonly Person[], provider: GroupProvider) =>
  resolvePeople(people, provider, createCallContext());
const confirm = (identities: Identities, persons: readonly string[], provider: GroupProvider) =>
  confirmPins(identities, persons, provider, createCallContext());
/** `ada found id-0`, `grace missing: no account for …`. */
const told = ({ resolutions }: Identities) =>
  [...resolutions].map(([id, resolution]) => {
    if (resolution.state === "found") return `${id} found ${resolution.account.id}`;
    return `${id} ${resolution.state}${resolution.state === "none" ? "" : `: ${resolution.reason}`}`;
  });

describe("a pinned account", () => {
  it("wins without a question", async () => {
    const lab = directory([{ id: "other", email: "ada@example.org" }]);
    const identities = await resolve([person("ada", { accounts: { lab: "id-7" } })], lab);
    expect(told(identities)).toEqual(["ada found id-7"]);
    expect(identities.personOf).toEqual(new Map([["id-7", "ada"]]));
    expect(lab.questions).toEqual([]);
  });

  it("at another provider says nothing here", async () => {
    const lab = directory([{ email: "ada@example.org" }]);
    expect(told(await resolve([person("ada", { accounts: { calls: "id-7" } })], lab))).toEqual(["ada found id-0"]);
  });

  it("that is null means none, without a question", async () => {
    const lab = directory([{ email: "ada@example.org" }]);
    const identities = await resolve([person("ada", { accounts: { lab: null } })], lab);
    expect(told(identities)).toEqual(["ada none"]);
    expect(identities.personOf.size).toBe(0);
    expect(lab.questions).toEqual([]);
  });

  it("is written as the service writes ids", async () => {
    const lab = directory([], { idsAreLowerCase: fact(true) });
    expect(told(await resolve([person("ada", { accounts: { lab: "ABC" } })], lab))).toEqual(["ada found abc"]);
  });

  it("is asked about at once where ids are not what members are listed by", async () => {
    const lab = directory([{ id: "user-7" }], { pinsAreKeys: fact(false) });
    await resolve([person("ada", { accounts: { lab: "user-7" } })], lab);
    expect(lab.questions).toEqual([[{ by: "id", value: "user-7" }]]);
  });
});

describe("an address", () => {
  it("is compared without regard to case and outer white space", async () => {
    const lab = directory([{ email: "Ada@Example.ORG " }]);
    expect(told(await resolve([person("ada", { email: " aDa@exaMple.org" })], lab))).toEqual(["ada found id-0"]);
  });

  it("of the person comes first; aliases are asked only when it finds nobody, one after the other", async () => {
    const lab = directory([{ email: "ada@example.org" }, { email: "g2@example.org" }]);
    const people = [
      person("ada", { aliases: ["never-asked@example.org"] }),
      person("grace", { aliases: ["g1@example.org", "g2@example.org", "g3@example.org"] }),
    ];
    expect(told(await resolve(people, lab))).toEqual(["ada found id-0", "grace found id-1"]);
    expect(lab.questions.map((keys) => keys.map(({ value }) => value))).toEqual([
      ["ada@example.org", "grace@example.org"],
      ["g1@example.org"],
      ["g2@example.org"],
    ]);
  });

  it("that nobody has is told by the e-mail, not by the last alias", async () => {
    const lab = directory([]);
    const people = [person("ada", { aliases: ["a@example.org"] })];
    expect(told(await resolve(people, lab))).toEqual(["ada missing: no account for ada@example.org"]);
  });

  it("is asked once, though it is written twice or shared by two people", async () => {
    const lab = directory([]);
    await resolve(
      [person("ada", { aliases: ["ADA@example.org", "x@example.org"] }), person("twin", { email: "ada@example.org" })],
      lab,
    );
    expect(lab.questions.map((keys) => keys.map(({ value }) => value))).toEqual([
      ["ada@example.org"],
      ["x@example.org"],
    ]);
  });

  it("that is empty is never asked for: it would find whoever has none", async () => {
    const lab = directory([{ email: "" }]);
    expect(told(await resolve([person("ada", { email: " ", aliases: [""] })], lab))).toEqual([
      "ada unpinned: has no e-mail in the spec; add one, or pin the account under people.ada.accounts.lab",
    ]);
    expect(lab.questions).toEqual([]);
  });

  it("is of no use where the service cannot look people up", async () => {
    const lab = directory([{ email: "ada@example.org" }], { by: fact(["id"]) });
    expect(told(await resolve([person("ada")], lab))).toEqual([
      "ada unpinned: lab cannot look people up; pin the account under people.ada.accounts.lab",
    ]);
    expect(lab.questions).toEqual([]);
  });
});

describe("what is found", () => {
  const ada = "ada@example.org";
  it.each<[string, Partial<Account>[], string]>([
    ["nobody", [], `missing: no account for ${ada}`],
    [
      "a deleted account",
      [{ email: ada, status: "deleted" }],
      `missing: no account for ${ada}; a deleted account had it`,
    ],
    ["a deleted and a living account", [{ email: ada, status: "deleted" }, { email: ada }], "found id-1"],
    [
      "two accounts",
      [{ email: ada }, { email: ada }],
      `ambiguous: 2 accounts for ${ada}: id-0, id-1; pin the right one`,
    ],
    [
      "two rows of one account",
      [
        { id: "7", email: ada },
        { id: "7", email: ada },
      ],
      "found 7",
    ],
    [
      "a disabled account",
      [{ email: ada, status: "disabled", eligible: false }],
      `disabled: the account of ${ada} is disabled`,
    ],
    ["one that says why not", [{ email: ada, eligible: false, note: "a guest" }], "disabled: a guest"],
    [
      "one that says nothing",
      [{ email: ada, eligible: false }],
      `disabled: the account of ${ada} cannot be taken into a group`,
    ],
    ["one that was invited", [{ email: ada, status: "pending" }], "found id-0"],
  ])("%s", async (_, accounts, outcome) => {
    expect(told(await resolve([person("ada")], directory(accounts)))).toEqual([`ada ${outcome}`]);
  });

  it("names a disabled person's account, so that it can be kept", async () => {
    const { personOf, resolutions } = await resolve([person("ada")], directory([{ email: ada, eligible: false }]));
    expect(personOf).toEqual(new Map([["id-0", "ada"]]));
    expect(resolutions.get("ada")).toMatchObject({ candidates: [{ id: "id-0" }] });
  });

  it("names all accounts that an ambiguous person may have, and calls none of them theirs", async () => {
    const { personOf, resolutions } = await resolve([person("ada")], directory([{ email: ada }, { email: ada }]));
    expect(personOf.size).toBe(0);
    expect(resolutions.get("ada")).toMatchObject({ candidates: [{ id: "id-0" }, { id: "id-1" }] });
  });
});

describe("two people with one account", () => {
  const both = [
    "ada ambiguous: is the same account as twin (id-0)",
    "twin ambiguous: is the same account as ada (id-0)",
  ];
  it.each<[string, Partial<Person>, Partial<Person>, Partial<Account>]>([
    ["by one address", {}, { email: "ada@example.org" }, {}],
    ["by an alias", {}, { aliases: ["ada@example.org"] }, {}],
    ["by a pin and an address", { accounts: { lab: "id-0" } }, { email: "ada@example.org" }, {}],
    ["by two pins", { accounts: { lab: "id-0" } }, { accounts: { lab: "id-0" } }, {}],
    ["that is disabled", {}, { email: "ada@example.org" }, { eligible: false }],
    [
      "that is disabled and pinned by one of them",
      { accounts: { lab: "id-0" } },
      { email: "ada@example.org" },
      { eligible: false },
    ],
  ])("are both ambiguous: %s", async (_, ada, twin, account) => {
    const lab = directory([{ email: "ada@example.org", ...account }]);
    const identities = await resolve([person("ada", ada), person("twin", twin)], lab);
    expect(told(identities)).toEqual(both);
    expect(identities.personOf.size).toBe(0);
    for (const resolution of identities.resolutions.values()) {
      expect(resolution).toMatchObject({ candidates: [{ id: "id-0" }] });
    }
  });

  it("does not matter to a third", async () => {
    const lab = directory([{ email: "ada@example.org" }, { email: "grace@example.org" }]);
    const people = [person("ada"), person("twin", { email: "ada@example.org" }), person("grace")];
    expect(told(await resolve(people, lab))).toEqual([...both, "grace found id-1"]);
  });
});

describe("confirming pins", () => {
  const pinned = (id: string, account: string) => person(id, { accounts: { lab: account } });

  it("asks about those people only, and keeps all others as they are", async () => {
    const lab = directory([{ id: "a" }, { id: "b" }, { email: "grace@example.org" }]);
    const identities = await resolve([pinned("ada", "a"), pinned("linus", "b"), person("grace")], lab);
    lab.questions.length = 0;
    const confirmed = await confirm(identities, ["ada", "grace", "unknown"], lab);
    expect(lab.questions).toEqual([[{ by: "id", value: "a" }]]);
    expect(told(confirmed)).toEqual(told(identities));
  });

  it.each<[string, Partial<Account>[], string]>([
    ["is not there", [], "missing: the pinned account a does not exist there"],
    ["was deleted", [{ id: "a", status: "deleted" }], "missing: the pinned account a does not exist there"],
    ["is disabled", [{ id: "a", status: "disabled", eligible: false }], "disabled: the account of a is disabled"],
    ["is there", [{ id: "a" }], "found a"],
  ])("tells when it %s", async (_, accounts, outcome) => {
    const lab = directory(accounts);
    const confirmed = await confirm(await resolve([pinned("ada", "a")], lab), ["ada"], lab);
    expect(told(confirmed)).toEqual([`ada ${outcome}`]);
  });

  it("finds out that two people are one account after all", async () => {
    const lab = directory([{ id: "ada@example.org", email: "ada@example.org" }]);
    const other: Directory = {
      ...lab,
      findAccounts: async (keys, context) =>
        (
          await lab.findAccounts(
            keys.map((key) => (key.by === "id" ? { by: "id", value: "ada@example.org" } : key)),
            context,
          )
        ).map((finding, index) => ({ ...finding, key: keys[index] ?? finding.key })),
    };
    const identities = await resolve([pinned("ada", "user-7"), person("twin", { email: "ada@example.org" })], other);
    expect(told(identities)[1]).toBe("twin found ada@example.org");
    expect(told(await confirm(identities, ["ada"], other)).map((text) => text.split(":")[0])).toEqual([
      "ada ambiguous",
      "twin ambiguous",
    ]);
  });

  it("asks nothing where accounts cannot be looked up by id", async () => {
    const lab = directory([], { by: fact(["email"]) });
    const identities = await resolve([pinned("ada", "a")], lab);
    expect(await confirm(identities, ["ada"], lab)).toBe(identities);
    expect(lab.questions).toEqual([]);
  });
});

describe("questions", () => {
  const crowd = (count: number) => Array.from({ length: count }, (_, index) => person(`p${index}`));
  it.each([
    [0, 10, []],
    [1, 10, [1]],
    [9, 10, [9]],
    [10, 10, [10]],
    [11, 10, [10, 1]],
    [3, 1, [1, 1, 1]],
    [3, 0, [1, 1, 1]],
  ])("about %i people, %i to a call, are %j", async (count, keysPerCall, calls) => {
    const lab = directory([], { keysPerCall: fact(keysPerCall) });
    await resolve(crowd(count), lab);
    expect(lab.questions.map((keys) => keys.length)).toEqual(calls);
  });

  it("lead everyone to their own account, however they are cut", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 7 }),
        fc.integer({ min: 0, max: 20 }),
        fc.integer({ min: 1, max: 4 }),
        async (keysPerCall, count, nth) => {
          const people = crowd(count);
          // Every nth person has no account.
          const accounts = people.flatMap(({ id, email }, index) =>
            email !== undefined && index % nth !== 1 ? [{ id: `@${id}`, email }] : [],
          );
          const { resolutions } = await resolve(people, directory(accounts, { keysPerCall: fact(keysPerCall) }));
          const found = [...resolutions].flatMap(([id, each]) =>
            each.state === "found" ? [[`@${id}`, each.account.id]] : [],
          );
          expect(found).toEqual(accounts.map(({ id }) => [id, id]));
        },
      ),
    );
  });

  it.each<[string, (findings: readonly unknown[]) => unknown]>([
    ["too few", (findings) => findings.slice(1)],
    ["too many", (findings) => [...findings, ...findings]],
    ["another order", (findings) => findings.toReversed()],
  ])("that are answered by %s answers are an error, not a mix-up", async (_, spoil) => {
    const lab = directory([{ email: "p0@example.org" }]);
    const liar = {
      ...lab,
      findAccounts: async (...args: Parameters<typeof lab.findAccounts>) => spoil(await lab.findAccounts(...args)),
    };
    await expect(resolve(crowd(2), liar as GroupProvider)).rejects.toMatchObject({ code: "bad-answer" });
  });

  it("that fail throw: an error is never absence", async () => {
    const lab = directory([], { keysPerCall: fact(1) });
    const failing: GroupProvider = {
      ...lab,
      findAccounts: async (keys, context) => {
        if (keys.some(({ value }) => value.startsWith("p1@"))) throw new GroupSyncError("unavailable", "Down.");
        return lab.findAccounts(keys, context);
      },
    };
    await expect(resolve(crowd(3), failing)).rejects.toMatchObject({ code: "unavailable" });
    const pins = await resolve([person("p1", { accounts: { lab: "p1@x" } })], failing);
    await expect(confirm(pins, ["p1"], failing)).rejects.toMatchObject({ code: "unavailable" });
  });
});

describe("an address that led to another account before", () => {
  const ada = person("ada", { aliases: ["lovelace@example.org"] });
  const former = new Map([["ada", { account: "A", addresses: ["ada@example.org", "lovelace@example.org"] }]]);
  const B: Partial<Account> = { id: "B", email: "ada@example.org" };
  const distrusted = (account: string) =>
    `ada ambiguous: was account A before, and is account ${account} now under the same address; pin the right one: people.ada.accounts.lab`;
  const recalled = async (who: Person, accounts: readonly Partial<Account>[]) =>
    distrustNewcomers(await resolve([who], directory(accounts)), former);

  it("is not believed: neither account gains or loses", async () => {
    const identities = await recalled(ada, [{ id: "A", email: "ada@example.org", status: "deleted" }, B]);
    expect(told(identities)).toEqual([distrusted("B")]);
    expect(identities.personOf.size).toBe(0);
    expect(identities.resolutions.get("ada")).toMatchObject({ candidates: [{ id: "B" }, { id: "A" }] });
  });

  it("is not believed as an alias either, nor in another spelling", async () => {
    const alias = { id: "C", email: "lovelace@example.org" };
    expect(told(await recalled(ada, [alias]))).toEqual([distrusted("C")]);
    expect(told(await recalled({ ...ada, email: " ADA@example.org" }, [B]))).toEqual([distrusted("B")]);
  });

  it.each<[string, Person, readonly Partial<Account>[], string]>([
    ["the account is still the same", ada, [{ ...B, id: "A" }], "ada found A"],
    ["the person is pinned", { ...ada, accounts: { lab: "B" } }, [B], "ada found B"],
    [
      "the address is new in the spec",
      { ...ada, email: "ada@new.example.org" },
      [{ id: "B", email: "ada@new.example.org" }],
      "ada found B",
    ],
    ["nobody is found", ada, [], "ada missing: no account for ada@example.org"],
    ["another person is meant", person("grace", { email: "ada@example.org" }), [B], "grace found B"],
  ])("changes nothing where %s", async (_, who, accounts, outcome) => {
    expect(told(await recalled(who, accounts))).toEqual([outcome]);
  });

  it("changes nothing where nothing is remembered", async () => {
    const identities = await resolve([ada], directory([B]));
    expect(told(distrustNewcomers(identities, new Map()))).toEqual(["ada found B"]);
  });
});

/** As the directory, but questions that name one of these fail. */
function refusing(lab: Directory, ...bad: readonly string[]): Directory {
  return refusingWith(lab, "refused", bad);
}

function refusingWith(lab: Directory, code: ErrorCode, bad: readonly string[]): Directory {
  return {
    ...lab,
    findAccounts: async (keys, context) => {
      const found = await lab.findAccounts(keys, context);
      const one = keys.find(({ value }) => bad.includes(value));
      if (one) throw new GroupSyncError(code, `Not ${one.value}.`);
      return found;
    },
  };
}

describe("a look-up that fails for one person", () => {
  const crowd = (count: number) => Array.from({ length: count }, (_, index) => person(`p${index}`));
  const addressOf = ({ email = "" }: Person) => email;

  it.each(["refused", "bad-answer", "too-large", "forbidden", "not-found"] as const)(
    "leaves that person unresolved and nobody else: %s",
    async (code) => {
      const people = crowd(100);
      const lab = directory(people.map((each) => ({ id: `@${each.id}`, email: addressOf(each) })));
      const identities = await resolve(people, refusingWith(lab, code, ["p37@example.org"]));
      expect(told(identities)).toEqual(
        people.map(({ id }) =>
          id === "p37" ? "p37 missing: the look-up failed: Not p37@example.org." : `${id} found @${id}`,
        ),
      );
      // The whole, and two halves at each step.
      expect(lab.questions.length).toBeLessThanOrEqual(1 + 2 * 7);
    },
  );

  it.each(["unavailable", "network", "timeout", "rate-limited", "unauthenticated", "cancelled", "internal"] as const)(
    "is thrown where it may concern everybody: %s",
    async (code) => {
      const people = crowd(4);
      const lab = directory(people.map((each) => ({ email: addressOf(each) })));
      await expect(resolve(people, refusingWith(lab, code, ["p1@example.org"]))).rejects.toMatchObject({ code });
      expect(lab.questions).toHaveLength(1);
    },
  );

  it("is thrown where nobody at all can be looked up, after few calls", async () => {
    for (const [keysPerCall, most] of [
      [100, 1 + 2 * 16],
      [1, 100],
    ] as const) {
      const lab = directory([], { keysPerCall: fact(keysPerCall) });
      const all = refusing(lab, ...crowd(100).map(addressOf));
      await expect(resolve(crowd(100), all)).rejects.toMatchObject({ code: "refused", message: "Not p0@example.org." });
      expect(lab.questions.length).toBeLessThanOrEqual(most);
    }
  });

  it("is never followed by a question about an alias, which may be somebody else's", async () => {
    const lab = directory([{ email: "grace@example.org" }, { email: "old@example.org" }]);
    const people = [person("ada", { aliases: ["old@example.org"] }), person("grace")];
    expect(told(await resolve(people, refusing(lab, "ada@example.org")))).toEqual([
      "ada missing: the look-up failed: Not ada@example.org.",
      "grace found id-0",
    ]);
  });

  it("of an alias is told as such", async () => {
    const lab = directory([{ email: "grace@example.org" }]);
    const people = [person("ada", { aliases: ["old@example.org"] }), person("grace")];
    expect(told(await resolve(people, refusing(lab, "old@example.org")))[0]).toBe(
      "ada missing: the look-up failed: Not old@example.org.",
    );
  });

  it("leaves a pin in doubt: nothing is given to the account, and nothing taken from it", async () => {
    const lab = directory([{ id: "a" }, { id: "b" }]);
    const people = ["a", "b"].map((id) => person(id, { accounts: { lab: id } }));
    const { resolutions } = await confirm(await resolve(people, lab), ["a", "b"], refusing(lab, "a"));
    expect(resolutions.get("a")).toMatchObject({
      state: "missing",
      reason: "the look-up failed: Not a.",
      candidates: [{ id: "a" }],
    });
    expect(resolutions.get("b")).toMatchObject({ state: "found" });
  });
});

describe("pins are checked against the address", () => {
  const people = {
    ada: person("ada", { accounts: { lab: "a1" }, email: "Ada@Example.org", aliases: ["lovelace@example.org"] }),
    bob: person("bob", { accounts: { lab: "b1" }, email: "bob@example.org" }),
  };
  const notes = async (accounts: readonly Partial<Account>[], seen: ReadonlyMap<string, string> = new Map()) => {
    const identities = await confirm(
      await resolve(Object.values(people), directory(accounts)),
      ["ada", "bob"],
      directory(accounts),
    );
    return notePins(identities, people, seen);
  };

  it("an address or an alias of the person, in any case, says nothing", async () => {
    const accounts = [
      { id: "a1", email: "LOVELACE@example.org" },
      { id: "b1", email: "Bob@example.org" },
    ];
    expect(await notes(accounts)).toEqual([]);
  });

  it("another address asks whether the pin is right, wherever it was seen", async () => {
    const expected = [
      "bob is pinned to b1, whose address there is eve@example.org; the spec says bob@example.org. Is the pin still right?",
    ];
    expect(await notes([{ id: "a1" }, { id: "b1", email: "eve@example.org" }])).toEqual(expected);
    expect(await notes([{ id: "a1" }, { id: "b1" }], new Map([["b1", "eve@example.org"]]))).toEqual(expected);
  });
});

describe("accounts by id", () => {
  it("are looked up in as few questions as there are, and are undefined when there is none", async () => {
    const provider = createMemoryProvider({ id: "lab", people: [{ id: "a", email: "a@example.org" }, { id: "b" }] });
    const { accounts: found, failed } = await lookUpAccounts(["a", "b", "c"], provider, createCallContext());
    expect([...found].map(([id, account]) => [id, account?.email])).toEqual([
      ["a", "a@example.org"],
      ["b", undefined],
      ["c", undefined],
    ]);
    expect([...found.values()].map((account) => account?.status)).toEqual(["active", "active", undefined]);
    expect(failed).toEqual(new Map());
    expect(await lookUpAccounts([], provider, createCallContext())).toEqual({ accounts: new Map(), failed: new Map() });
  });

  it("of which one cannot be looked up are no less known, and that one is of no use", async () => {
    const lab = directory([{ id: "a" }, { id: "b" }]);
    const { accounts, failed } = await lookUpAccounts(["a", "b"], refusing(lab, "a"), createCallContext());
    expect([...accounts].map(([id, account]) => [id, account?.status])).toEqual([
      ["a", undefined],
      ["b", "active"],
    ]);
    expect(failed).toEqual(new Map([["a", "the look-up failed: Not a."]]));
    expect((await lookUpAccounts(["a"], refusing(lab, "a"), createCallContext())).failed.size).toBe(1);
  });
});
