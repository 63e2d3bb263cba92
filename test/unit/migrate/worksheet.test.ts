import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { SpecError } from "../../../src/errors.js";
import { readSource } from "../../../src/migrate/source.js";
import {
  createWorksheet,
  parseWorksheet,
  renderWorksheet,
  type Worksheet,
  type WorksheetOptions,
} from "../../../src/migrate/worksheet.js";
import { createMemoryProvider, type MemoryPerson } from "../../../src/testing/memory.js";
import { fact, person } from "../reconcile/builders.js";

const here: readonly MemoryPerson[] = [
  { id: "1", email: "ada@example.org", name: "Ada Lovelace" },
  { id: "2", email: "grace@old.example", name: "Grace Hopper" },
  { id: "3", email: "linus@example.org", name: "Linus T." },
  { id: "4", email: "gone@example.org", name: "Gone Person" },
  { id: "5", name: "Margaret Hamilton" },
  { id: "6", email: "niklaus@example.org" },
  { id: "7", email: "tim@example.org" },
];
const from = createMemoryProvider({
  id: "docs",
  people: here,
  groups: [
    { name: "Crew", members: ["1", "2", "3", "4", "5", "6", "7"] },
    { name: "Core", members: ["1"] },
  ],
});
const to = createMemoryProvider({
  id: "calls",
  people: [
    { id: "a", email: "ADA@example.org", name: "Ada" },
    { id: "g", email: "g.hopper@example.org", name: "Grace B. Hopper" },
    { id: "l", email: "torvalds@example.org", name: "Linus Torvalds" },
    { id: "m", email: "mh@example.org", name: "Margaret Hamilton" },
    { id: "n", email: "niklaus@example.org", status: "disabled" },
    { id: "t1", email: "tim@example.org" },
    { id: "t2", email: "tim@example.org" },
  ],
  groups: [{ name: "Other", members: ["m", "l", "a"] }],
});
const people = [
  person("grace", { email: "grace@old.example", aliases: ["g.hopper@example.org"] }),
  person("linus", { email: "linus@example.org", accounts: { calls: "l" } }),
  person("gone", { accounts: { docs: "4", calls: null } }),
];

async function make(more: Partial<WorksheetOptions> = {}): Promise<Worksheet> {
  const source = await readSource({ provider: from });
  return createWorksheet({ source, to, people, ...more });
}
const told = ({ rows }: Worksheet) =>
  Object.fromEntries(
    rows.map(({ account, match, target, decision }) => [account, `${match} ${target ?? "-"} ${decision ?? "?"}`]),
  );

describe("a worksheet", () => {
  it("decides what an address or a pin proves, suggests what looks alike, and leaves the rest open", async () => {
    const worksheet = await make();
    expect(told(worksheet)).toEqual({
      1: "email a take",
      2: "alias g take",
      3: "pinned l take",
      4: "pinned - leave",
      5: "likeness m ?",
      6: "email n ?",
      7: "none - ?",
    });
    const because = Object.fromEntries(worksheet.rows.map((row) => [row.account, row.because]));
    expect(because).toMatchObject({ 5: "the same name", 6: expect.stringContaining("disabled") });
    expect(because["7"]).toContain("2 accounts for tim@example.org");
    expect(worksheet.rows.map(({ groups }) => groups)).toEqual([2, 1, 1, 1, 1, 1, 1]);
  });

  it("suggests no account that is somebody's already, nor one that looks like two people", async () => {
    const twins = createMemoryProvider({
      id: "docs",
      people: [
        { id: "x", name: "Margaret Hamilton" },
        { id: "y", name: "Hamilton Margaret" },
        { id: "z", name: "Ada" },
        { id: "1", email: "ada@example.org" },
      ],
      groups: [{ name: "Crew", members: ["x", "y", "z", "1"] }],
    });
    const worksheet = await make({ source: await readSource({ provider: twins }), people: [] });
    expect(told(worksheet)).toEqual({ x: "none - ?", y: "none - ?", z: "none - ?", 1: "email a take" });
    expect(worksheet.rows[0]?.because).toContain("m looks like 2 people");
  });

  it("asks nobody where people cannot be looked up, but compares with accounts that are given", async () => {
    const { lookup } = to.capabilities;
    const blind = createMemoryProvider({
      id: "calls",
      people: [{ id: "p1" }],
      capabilities: { lookup: { ...lookup, by: fact(["id"]) } },
    });
    const alone = await make({ to: blind, people: [] });
    expect(new Set(alone.rows.map(({ match }) => match))).toEqual(new Set(["none"]));
    expect(blind.control.calls.map(({ operation }) => operation)).not.toContain("readGroup");
    const candidates = [{ id: "p1", name: "ada lovelace", status: "active", eligible: true } as const];
    expect(told(await make({ to: blind, people: [], candidates }))[1]).toBe("likeness p1 ?");
  });

  it("keeps decisions that were made before", async () => {
    const first = await make();
    const decided = {
      ...first,
      rows: first.rows.map((row) =>
        row.account === "5"
          ? { ...row, decision: "take" as const }
          : row.account === "1"
            ? { ...row, decision: "leave" as const }
            : row,
      ),
    };
    const second = await make({ decided });
    expect(told(second)).toMatchObject({ 1: "email a leave", 5: "likeness m take", 7: "none - ?" });
  });
});

describe("the CSV", () => {
  const row = { account: "1", groups: 1, match: "none" } as const;

  it("names both providers in its header and puts open questions first", async () => {
    const lines = renderWorksheet(await make()).split("\r\n");
    expect(lines[0]).toBe("docs account,name,email,groups,match,calls account,calls person,because,decision");
    expect(lines[1]).toBe('5,Margaret Hamilton,,1,likeness,m,"Margaret Hamilton, mh@example.org",the same name,');
    expect(lines.at(-1)).toBe("");
    expect(lines.at(-2)).toMatch(/,leave$/);
  });

  it("holds no cell that a spreadsheet would calculate", () => {
    const names = ["=1+1", "+1", "-1", "@SUM(A1)", "'=1", '=HYPERLINK("http://e.org","x")', "=cmd|' /C calc'!A0"];
    const text = renderWorksheet({
      from: "a",
      to: "b",
      rows: names.map((name, index) => ({ ...row, account: `${index}`, name })),
    });
    const back = parseWorksheet(text, { from: "a", to: "b" });
    expect(back.rows.map(({ name }) => name)).toEqual(names);
    for (const cell of text.split(/[\r\n]+/).map((line) => line.split(",")[1] ?? ""))
      expect(cell).not.toMatch(/^"?[=+\-@]/);
  });

  it("comes back as it was written", () => {
    const text = fc.string({ minLength: 1 }).map((word) => `x${word.replace(/[\p{Cc}\u2028\u2029]/gu, "")}y`);
    const any = fc.oneof(
      text,
      text.map((word) => `=${word}`),
      text.map((word) => `'${word}`),
    );
    const anyRow = fc.record({ name: any, email: any, targetName: any, because: any }, { requiredKeys: [] });
    const decision = fc.constantFrom({ decision: "take" as const, target: "t" }, { decision: "leave" as const }, {});
    fc.assert(
      fc.property(any, anyRow, decision, (account, texts, decided) => {
        const rows = [{ ...row, account, ...texts, ...decided }];
        expect(parseWorksheet(renderWorksheet({ from: "a", to: "b", rows }), { from: "a", to: "b" }).rows).toEqual(
          rows,
        );
      }),
    );
  });

  it("may be written by hand, with three columns", () => {
    const text = "docs account,calls account,decision\nada,1,Take\ngrace,,leave\nlinus,,\n";
    expect(told(parseWorksheet(text, { from: "docs", to: "calls" }))).toEqual({
      ada: "none 1 take",
      grace: "none - leave",
      linus: "none - ?",
    });
  });

  const mistakes = (text: string) => {
    try {
      parseWorksheet(text, { from: "docs", to: "calls", file: "map.csv" });
    } catch (error) {
      if (error instanceof SpecError)
        return error.problems.map(({ file, line, column, message }) => `${file}:${line}:${column} ${message}`);
      throw error;
    }
    return [];
  };
  it("is told all that is wrong in it, with line and column", () => {
    expect(
      mistakes(
        "docs account,calls account,decision\nada,,take\n,2,take\ngrace,3,tak\nlinus,4,\nken,5,take\ntony,5,take\nken,6,take\n",
      ),
    ).toEqual([
      "map.csv:2:5 To be taken, but which account? Name it here, or write leave.",
      "map.csv:3:1 This row has no account.",
      'map.csv:4:9 Found "tak"; expected take (this account is theirs), leave, or nothing. Did you mean "take"?',
      'map.csv:5:9 "4" stands here without a decision; write take (it is theirs) or leave.',
      'map.csv:7:6 "5" is taken for ken already; an account is one person\'s.',
      'map.csv:8:1 "ken" stands here a second time (first in line 6).',
    ]);
  });

  it("serves the way back as well, as its columns name the providers", async () => {
    const text = renderWorksheet(await make());
    const back = parseWorksheet(text, { from: "calls", to: "docs" });
    expect(back.rows.find(({ account }) => account === "g")).toMatchObject({ target: "2", decision: "take" });
    expect(mistakes("lab account,calls account,decision\n1,2,take\n").join()).toContain("docs account");
  });
});
