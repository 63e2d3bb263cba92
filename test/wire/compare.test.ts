import { existsSync, readdirSync, readFileSync } from "node:fs";
import nock from "nock";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { path } from "../../src/http/client.js";
import {
  type CapturedRequest,
  captureRequests,
  expandLists,
  findDifferences,
  isPreferred,
  loadRecordings,
  type Recording,
  sortRecordings,
  wireRules,
} from "./compare.js";

const recording: Recording = {
  client: "made up",
  clientVersion: "1",
  call: { method: "groups.add", args: {} },
  request: {
    method: "POST",
    path: "/v1/groups/a%40b/",
    query: [["pids", "a,b"]],
    headers: { authorization: "Token <token>", "content-type": "application/json" },
    body: { pids: ["a", "b"], name: "x" },
  },
};
const same: CapturedRequest = {
  ...recording.request,
  path: "/v1/groups/a@b/",
  query: [
    ["offset", "0"],
    ["pids", "b"],
    ["limit", "100"],
    ["pids", "a"],
  ],
  headers: { authorization: "token secret", "content-type": "application/json; charset=utf-8", accept: "*/*" },
  body: { name: "x", pids: ["b", "a"] },
};
const rules = wireRules.neuroio;
const fixtures = new URL("../fixtures/wire/", import.meta.url);

describe("the comparison with recordings", () => {
  beforeEach(() => nock.disableNetConnect());
  afterEach(() => {
    nock.cleanAll();
    nock.enableNetConnect();
  });

  it("takes a request that differs only in spelling, order and allowed additions as equivalent", () => {
    expect(findDifferences(same, recording, rules)).toEqual([]);
  });

  it.each([
    ["method", { method: "PUT" }],
    ["path", { path: "/v1/groups/a@b" }],
    ["query", { query: [["pids", "a"]] }],
    ["query", { query: [...same.query, ["q", "te"]] }],
    [
      "query",
      {
        query: [
          ["pids", "a,b"],
          ["offset", "1"],
        ],
      },
    ],
    ["authorization", { headers: { ...same.headers, authorization: "Bearer secret" } }],
    ["authorization", { headers: { "content-type": "application/json" } }],
    ["body", { body: { pids: ["a"], name: "x" } }],
    ["body", { body: null }],
    ["content type", { headers: { ...same.headers, "content-type": "text/plain" } }],
    ["accept", { headers: { ...same.headers, accept: "text/html" } }],
  ] satisfies readonly (readonly [string, Partial<CapturedRequest>])[])("sees a different %s", (what, change) => {
    const differences = findDifferences({ ...same, ...change }, recording, rules);
    expect(differences).toHaveLength(1);
    expect(differences[0]).toMatch(new RegExp(`^${what}`));
  });

  it("tells no body from the literal null", () => {
    const { body: _, ...withoutBody } = same;
    const wantsNull = { ...recording, request: { ...recording.request, body: null } };
    expect(findDifferences(withoutBody, wantsNull, rules)).toHaveLength(1);
  });

  it("writes shortened lists out", () => {
    const list = { count: 3, first: "a-00000000000f", last: "a-000000000011" };
    expect(expandLists({ a: [{ $list: list }, { $list: { ...list, join: "," } }] })).toEqual({
      a: [["a-00000000000f", "a-000000000010", "a-000000000011"], "a-00000000000f,a-000000000010,a-000000000011"],
    });
    expect(() => expandLists({ $list: { ...list, count: 4 } })).toThrow("should end with");
  });

  it("names recordings that nothing covers and table entries that nothing needs", () => {
    const exempt = { method: "b", reason: "not ours" };
    expect(sortRecordings([recording], { "groups.add": true }, [])).toEqual({
      covered: [recording],
      counts: { compared: 1, leftOut: 0, notPreferred: 0 },
      problems: [],
    });
    expect(sortRecordings([recording], { a: true }, [exempt]).problems).toEqual([
      expect.stringContaining("nothing covers made up 1: groups.add"),
      "no recording needs the driver a",
      "no recording needs the exemption b",
    ]);
  });

  it.each([
    ["neuroio", 134],
    ["brainstem", 108],
    ["docspace", 97],
    ["genesys", 115],
  ] as const)("reads the recordings of %s, all %i of them", (service, count) => {
    const recordings = loadRecordings(service);
    expect(recordings).toHaveLength(count);
    expect(recordings.filter(isPreferred).length).toBeGreaterThan(50);
    expect(JSON.stringify(recordings)).not.toContain("$list");
  });

  it("has a test beside it for every file of recordings", () => {
    const recorded = readdirSync(fixtures).map((name) => name.replace(/\.json$/, ""));
    expect(recorded.toSorted()).toEqual(["brainstem", "docspace", "genesys", "neuroio"]);
    const tested = readdirSync(new URL("./", import.meta.url)).flatMap(
      (name) => name.match(/^(.*)\.wire\.test\.ts$/)?.[1] ?? [],
    );
    expect(tested.toSorted()).toEqual(recorded.toSorted());
  });

  it("goes by the recordings as they were handed over", () => {
    const originals = new URL("../../../shared/wire/", import.meta.url);
    if (!existsSync(originals)) {
      console.log("The folder shared/wire is not beside this one: the recordings are taken as they are.");
    }
    for (const name of existsSync(originals) ? readdirSync(fixtures) : []) {
      expect(readFileSync(new URL(name, fixtures), "utf8")).toBe(readFileSync(new URL(name, originals), "utf8"));
    }
    expect(readdirSync(fixtures)).toHaveLength(4);
  });

  it("captures the path as sent, the query, the headers and the body of every method", async () => {
    const sent = captureRequests("https://wire.test", () => ({ status: 201, body: { ok: true } }));
    const answer = await fetch(`https://wire.test${path`/v1/${"a/b c"}/`}?q=%2B+%26&q=2`, {
      method: "DELETE",
      headers: { "content-type": "application/json" },
      body: '{"pids":[]}',
    });
    await fetch("https://wire.test/v1/@self/");
    expect(await answer.json()).toEqual({ ok: true });
    expect(sent).toMatchObject([
      {
        method: "DELETE",
        path: "/v1/a%2Fb%20c/",
        query: [
          ["q", "+ &"],
          ["q", "2"],
        ],
        body: { pids: [] },
      },
      { method: "GET", path: "/v1/@self/", query: [] },
    ]);
    expect(sent[1]).not.toHaveProperty("body");
  });
});
