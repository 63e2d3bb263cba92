import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createLikenessFinder } from "../../../src/migrate/likeness.js";

const staff = [
  { id: "grace", name: "Grace Hopper", email: "grace.hopper@navy.example" },
  { id: "spärck", name: "Karen Spärck Jones", email: "karen@cam.example" },
  { id: "tim", email: "timbl@w3.example" },
  { id: "smith-1", name: "Alex Smith", email: "a1@example.org" },
  { id: "smith-2", name: "Alex Smith", email: "a2@example.org" },
  { id: "nameless" },
];
const find = createLikenessFinder(staff);

describe("who looks like whom", () => {
  it.each([
    [{ name: "grace hopper" }, "grace", "the same name"],
    [{ name: "Hopper, Grace" }, "grace", "the same name"],
    [{ name: "Karen Sparck Jones" }, "spärck", "the same name"],
    [{ name: "Grace Hoper" }, "grace", "a name that is spelt nearly so"],
    [{ email: "Karen@other.example" }, "spärck", "the same address before the @"],
    [{ email: "karen+list@other.example" }, "spärck", "the same address before the @"],
    [{ email: "ghopper@other.example" }, "grace", "a name that fits the address"],
    [{ email: "hopper.grace@other.example" }, "grace", "a name that fits the address"],
    [{ name: "T. Imbl", email: "x@y.example" }, "tim", "an address that fits the name"],
    [{ name: "Alex Smith" }, undefined, "2 accounts have the same name"],
    [{ name: "Ada Lovelace", email: "ada@example.org" }, undefined, ""],
    [{}, undefined, ""],
    [{ name: "", email: "@x" }, undefined, ""],
  ])("%j → %s (%s)", (someone, id, because) => {
    const likeness = find(someone);
    expect([likeness.account?.id, likeness.because]).toEqual([id, because]);
  });

  it("needs more than a few letters to be nearly the same", () => {
    expect(createLikenessFinder([{ name: "Ann" }])({ name: "Anne" }).account).toBeUndefined();
  });

  it("never finds anybody for whom nothing is known, whatever the accounts are called", () => {
    const someone = fc.record({ name: fc.string(), email: fc.string() }, { requiredKeys: [] });
    fc.assert(fc.property(fc.array(someone), (accounts) => createLikenessFinder(accounts)({}).account === undefined));
  });

  it("finds everyone again who is there once under a name of two words", () => {
    const word = fc.stringMatching(/^[a-z]{4,8}$/);
    const names = fc.uniqueArray(fc.tuple(word, word), { selector: (pair) => [...pair].sort().join(" ") });
    fc.assert(
      fc.property(names, (pairs) => {
        const accounts = pairs.map(([first, last]) => ({ name: `${first} ${last}` }));
        const finder = createLikenessFinder(accounts);
        for (const account of accounts) {
          expect(finder({ name: account.name.toUpperCase().split(" ").reverse().join(", ") }).account).toBe(account);
        }
      }),
    );
  });
});
