import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { GroupSyncError } from "../../../src/errors.js";
import { checkBaseUrl, findBaseUrlProblem, isLoopback, path } from "../../../src/http/client.js";

const notAnId = expect.objectContaining({ code: "options-invalid" });

/** Undefined: refused by an error of ours; any other error is thrown on. */
function buildOrRefuse(id: string): string | undefined {
  try {
    return path`/a/${id}/b`;
  } catch (error) {
    if (error instanceof GroupSyncError) return undefined;
    throw error;
  }
}

describe("path", () => {
  test("puts numbers and plain ids in as they are", () => {
    expect(path`/v1/groups/${7}/members/${"ada-1.x_~"}/`).toBe("/v1/groups/7/members/ada-1.x_~/");
  });

  test("is its own text when there is nothing to put in", () => {
    expect(path`/v1/groups/`).toBe("/v1/groups/");
  });

  test.each([
    ["../../admin", "..%2F..%2Fadmin"],
    ["a/b", "a%2Fb"],
    ["/v1/x", "%2Fv1%2Fx"],
    ["https://evil.test/", "https%3A%2F%2Fevil.test%2F"],
    ["//evil.test", "%2F%2Fevil.test"],
    ["a?b=c", "a%3Fb%3Dc"],
    ["a#b", "a%23b"],
    ["a\\b", "a%5Cb"],
    ["%2e%2e", "%252e%252e"],
    ["%2F", "%252F"],
    ["a;b=c", "a%3Bb%3Dc"],
    ["a b", "a%20b"],
    ["a+b@c.org", "a%2Bb%40c.org"],
    ["été/😀", "%C3%A9t%C3%A9%2F%F0%9F%98%80"],
    ["...", "..."],
    ["a\r\nx: y", "a%0D%0Ax%3A%20y"],
    ["\u0000", "%00"],
  ])("makes one segment of %j", (id, segment) => {
    expect(path`/groups/${id}/members`).toBe(`/groups/${segment}/members`);
  });

  test.each(["", ".", ".."])("refuses the id %j, which would leave its place in the path", (id) => {
    expect(() => path`/groups/${id}/members`).toThrow(notAnId);
    expect(() => path`/groups/g/members/${id}`).toThrow(notAnId);
    expect(() => path`/groups/${"g"}/members/${id}/x`).toThrow(notAnId);
  });

  test("refuses half a character with an error of ours", () => {
    expect(() => path`/groups/${"a\ud83d"}`).toThrow(notAnId);
    expect(() => path`/groups/${"\ude00a"}`).toThrow(notAnId);
  });

  test("never changes the shape of an address, whatever the id: it is refused, or comes back from its one segment", () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string({ unit: "binary" }),
          fc.string({ unit: fc.constantFrom(".", "/", "%", "2", "e", "\\", "?", "#") }),
        ),
        (id) => {
          const built = buildOrRefuse(id);
          if (built === undefined) return;
          const segments = new URL(`https://host.test/base${built}`).pathname.split("/");
          expect([...segments.slice(0, 3), ...segments.slice(4)]).toEqual(["", "base", "a", "b"]);
          expect(decodeURIComponent(segments[3] ?? "")).toBe(id);
        },
      ),
    );
  });
});

describe("the address of a service", () => {
  test.each([
    ["https://host.test", "https://host.test"],
    ["https://host.test/", "https://host.test"],
    ["https://host.test//", "https://host.test"],
    ["https://host.test/tenant/a/", "https://host.test/tenant/a"],
    ["https://HOST.test:443/Tenant", "https://host.test/Tenant"],
    [" https://host.test\n", "https://host.test"],
    ["https://host.test/a/../b", "https://host.test/b"],
    ["https://host.test:8443", "https://host.test:8443"],
    ["https://münchen.test", "https://xn--mnchen-3ya.test"],
    ["http://localhost:8080", "http://localhost:8080"],
    ["http://127.0.0.1:8080/x", "http://127.0.0.1:8080/x"],
    ["http://127.5.5.5", "http://127.5.5.5"],
    ["http://[::1]:8080", "http://[::1]:8080"],
  ])("%j is used as %j", (given, used) => {
    expect(findBaseUrlProblem(given)).toBeUndefined();
    expect(checkBaseUrl(given, "crew")).toBe(used);
  });

  test.each([
    ["", "is not an address"],
    ["host.test", "is not an address"],
    ["/v1", "is not an address"],
    ["ftp://host.test", "is not an address"],
    ["file:///etc/passwd", "is not an address"],
    ["javascript:alert(1)", "is not an address"],
    ["https://", "is not an address"],
    ["http://host.test", "plain http"],
    ["http://127.0.0.1.evil.test", "plain http"],
    ["http://localhost.evil.test", "plain http"],
    ["http://notlocalhost", "plain http"],
    ["http://0.0.0.0", "plain http"],
    ["http://10.0.0.1", "plain http"],
    ["https://host.test?", "no ? and no #"],
    ["https://host.test/#", "no ? and no #"],
    ["https://host.test/?tenant=a", "no ? and no #"],
    ["https://host.test/#/app", "no ? and no #"],
    ["https://bob@host.test", "user name or password"],
    ["https://bob:hunter22@host.test", "user name or password"],
  ])("%j is refused: %s", (given, problem) => {
    expect(findBaseUrlProblem(given)).toContain(problem);
    expect(() => checkBaseUrl(given, "crew")).toThrow(
      expect.objectContaining({ code: "options-invalid", facts: { provider: "crew" } }),
    );
  });

  test.each([
    "https://bob:hunter22@host.test",
    "ftp://bob:hunter22@host.test",
    "bob:hunter22@host.test",
    "https//bob:hunter22@host.test",
    "https://host.test/?token=hunter22",
    "https://host.test/#hunter22",
    "not an address?token=hunter22",
  ])("what could be a password is not shown: %j", (given) => {
    expect(() => checkBaseUrl(given, "crew")).toThrow(/^crew: (?!.*hunter22)/);
    expect(findBaseUrlProblem(given)).not.toContain("hunter22");
  });

  test("is on this machine only when its host is, not when a name looks like it", () => {
    const local = ["http://localhost", "https://127.0.0.1:1/x", "http://[::1]", "http://0x7f.1"];
    const elsewhere = [
      "http://localhost.test",
      "http://127.0.0.1.test",
      "http://[::2]",
      "https://host.test",
      "nothing",
    ];
    expect(local.filter((address) => !isLoopback(address))).toEqual([]);
    expect(elsewhere.filter((address) => isLoopback(address))).toEqual([]);
  });
});
