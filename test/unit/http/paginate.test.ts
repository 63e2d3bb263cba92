import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isGroupSyncError } from "../../../src/errors.js";
import { type Page, type PagePosition, proveByTotal, type Walk, walkPages } from "../../../src/http/paginate.js";

/** Walks prepared pages; after the last one come empty ones. */
async function walk(...pages: readonly Page<string>[]) {
  const asked: PagePosition[] = [];
  const walked = await walkPages(
    async (position) => {
      asked.push(position);
      return pages[position.index] ?? { rows: [] };
    },
    (row) => row,
  );
  return { ...walked, asked };
}

const letters = (text: string) => text.split("");
const page = (rows: string, more: Omit<Page<string>, "rows"> = {}): Page<string> => ({ rows: letters(rows), ...more });

describe("a walk ends", () => {
  test("when as many rows came as the total declares, without asking for an empty page", async () => {
    const walked = await walk(page("ab", { total: 5 }), page("cd", { total: 5 }), page("e", { total: 5 }));
    expect(walked).toMatchObject({ rows: letters("abcde"), pages: 3, duplicates: 0, declared: 5, ended: "total" });
    expect(walked.asked).toEqual([
      { index: 0, received: 0 },
      { index: 1, received: 2 },
      { index: 2, received: 4 },
    ]);
  });

  test("when the service says that a page is the last, before a total says otherwise", async () => {
    const walked = await walk(page("ab", { total: 9 }), page("c", { total: 9, last: true }), page("d", { total: 9 }));
    expect(walked).toMatchObject({ rows: letters("abc"), pages: 2, declared: 9, ended: "last" });
  });

  test("at an empty page, however much is missing", async () => {
    expect(await walk(page("ab", { total: 9 }), page("", { total: 9 }), page("c"))).toMatchObject({
      rows: letters("ab"),
      pages: 2,
      ended: "empty",
    });
  });

  test("at a page with nothing new: a service that ignores the paging parameters", async () => {
    expect(await walk(page("ab"), page("ab"), page("c"))).toMatchObject({
      rows: letters("ab"),
      pages: 2,
      duplicates: 2,
      ended: "nothing-new",
    });
  });

  test("at once when the list is empty", async () => {
    expect(await walk(page("", { total: 0 }))).toMatchObject({ rows: [], pages: 1, declared: 0, ended: "total" });
    expect(await walk(page(""))).toMatchObject({ rows: [], pages: 1, ended: "empty" });
    expect(await walk(page("", { last: true }))).toMatchObject({ rows: [], pages: 1, ended: "last" });
  });

  test("with an error when the pages never end", async () => {
    const endless = walkPages(
      async ({ index }) => ({ rows: [String(index)] }),
      (row) => row,
    );
    await expect(endless).rejects.toSatisfy((error) => isGroupSyncError(error, "bad-answer"));
  });

  test("with the error of a page that cannot be read", async () => {
    const failing = walkPages(
      async ({ index }) => {
        if (index === 1) throw new Error("no second page");
        return page("a", { total: 2 });
      },
      (row) => row,
    );
    await expect(failing).rejects.toThrow("no second page");
  });
});

describe("a walk counts", () => {
  test("a page shorter than asked for is followed by another one, which starts after the rows received", async () => {
    const walked = await walk(page("abc", { total: 6 }), page("d", { total: 6 }), page("ef", { total: 6 }));
    expect(walked.rows).toEqual(letters("abcdef"));
    expect(walked.asked.map(({ received }) => received)).toEqual([0, 3, 4]);
  });

  test("rows are told apart by id; of repeats the later one counts, at the place of the first", async () => {
    const rows = [
      { id: "a", role: "member" },
      { id: "b", role: "member" },
      { id: "a", role: "owner" },
    ];
    const walked = await walkPages(
      async () => ({ rows, total: 3 }),
      ({ id }) => id,
    );
    expect(walked).toMatchObject({ rows: [rows[2], rows[1]], duplicates: 1, declared: 3 });
  });

  test("the total of the first page that declares one counts, and any other total is a move", async () => {
    expect(await walk(page("a"), page("b", { total: 3 }), page("c", { total: 3 }))).toMatchObject({
      declared: 3,
      totalMoved: false,
    });
    expect(await walk(page("a", { total: 3 }), page("b", { total: 4 }), page("c", { total: 3 }))).toMatchObject({
      declared: 3,
      totalMoved: true,
      ended: "total",
    });
  });
});

describe("pages in flight together", () => {
  /** A list of numbers whose pages are answered only when told to. */
  function slowList(length: number, size: number) {
    const waiting = new Map<number, { readonly answer: () => void; readonly refuse: () => void }>();
    const walked = walkPages<number>(
      ({ index, received }) =>
        new Promise((resolve, reject) => {
          const rows = Array.from({ length: Math.min(size, length - received) }, (_, at) => received + at);
          waiting.set(index, {
            answer: () => resolve({ rows, total: length }),
            refuse: () => reject(new Error(`no page ${index}`)),
          });
        }),
      String,
    );
    const settled = () => new Promise((resolve) => setImmediate(resolve));
    return { waiting, walked, settled };
  }

  test("once the first one tells the total, all others; in whatever order they come, the rows are in theirs", async () => {
    const { waiting, walked, settled } = slowList(50, 10);
    await settled();
    expect([...waiting.keys()]).toEqual([0]);
    waiting.get(0)?.answer();
    await settled();
    expect([...waiting.keys()]).toEqual([0, 1, 2, 3, 4]);
    for (const index of [4, 2, 3, 1]) waiting.get(index)?.answer();
    expect(await walked).toMatchObject({ rows: Array.from({ length: 50 }, (_, at) => at), pages: 5, ended: "total" });
  });

  test("not without end: a list of a thousand pages asks for some of them at a time", async () => {
    const { waiting, walked, settled } = slowList(1_000, 1);
    await settled();
    waiting.get(0)?.answer();
    await settled();
    expect(waiting.size).toBe(17);
    for (let index = 1; index < 1_000; index++) {
      await settled();
      waiting.get(index)?.answer();
    }
    expect((await walked).rows).toHaveLength(1_000);
  });

  test("end with the first that fails, and no more are sent", async () => {
    const { waiting, walked, settled } = slowList(1_000, 1);
    await settled();
    waiting.get(0)?.answer();
    await settled();
    waiting.get(1)?.refuse();
    await expect(walked).rejects.toThrow("no page 1");
    for (let index = 2; index <= 16; index++) waiting.get(index)?.answer();
    await settled();
    expect(waiting.size).toBe(17);
  });
});

describe("the verdict", () => {
  const walked: Walk<string> = {
    rows: letters("abc"),
    pages: 2,
    duplicates: 0,
    declared: 3,
    totals: 2,
    totalMoved: false,
    ended: "total",
  };

  test("complete: as many distinct rows as declared", () => {
    expect(proveByTotal(walked, "members")).toEqual({
      complete: true,
      because: "3 distinct members on 2 pages equal the declared total",
      pages: 2,
      counted: 3,
      duplicates: 0,
      declared: 3,
    });
    expect(proveByTotal({ ...walked, pages: 1 }, "members").because).toContain("on 1 page equal");
  });

  test("complete: nothing, when nothing is declared to be there", () => {
    expect(proveByTotal({ ...walked, rows: [], declared: 0 }, "members").complete).toBe(true);
  });

  test("incomplete without a total", () => {
    const { declared: _, ...silent } = walked;
    expect(proveByTotal(silent, "members")).toEqual({
      complete: false,
      because: "the list of members declares no total",
      pages: 2,
      counted: 3,
      duplicates: 0,
    });
  });

  test("incomplete when the total changed, even back to what was counted", () => {
    expect(proveByTotal({ ...walked, totalMoved: true }, "members")).toMatchObject({
      complete: false,
      moved: true,
      because: "the total of members changed between pages",
    });
  });

  test.each([2, 4])("incomplete when 3 were read and %i are declared", (declared) => {
    expect(proveByTotal({ ...walked, declared }, "members")).toMatchObject({
      complete: false,
      moved: true,
      counted: 3,
      declared,
      because: `3 distinct members were read, but ${declared} are declared`,
    });
  });
});

describe("for all services", () => {
  const rows = fc.array(fc.integer({ min: 0, max: 12 }), { maxLength: 5 });
  const anyPage = fc.record(
    { rows, total: fc.integer({ min: 0, max: 14 }), last: fc.boolean() },
    { requiredKeys: ["rows"] },
  );
  const walkNumbers = (read: (position: PagePosition) => Page<number>) =>
    walkPages(async (position) => read(position), String);

  test("complete means: distinct rows equal the total, and no page that was read declares another", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(anyPage, { maxLength: 8 }), async (pages) => {
        const pageAt = (index: number) => (pages[index] ?? { rows: [] }) as Page<number>;
        const walked = await walkNumbers(({ index }) => pageAt(index));
        // What was asked for ahead and turned out to lie elsewhere is not part of the reading.
        const given = Array.from({ length: walked.pages }, (_, index) => pageAt(index));
        const distinct = new Set(given.flatMap((each) => each.rows));
        const totals = new Set(given.flatMap(({ total }) => (total === undefined ? [] : [total])));
        expect(new Set(walked.rows)).toEqual(distinct);
        expect(walked.rows).toHaveLength(distinct.size);
        expect(walked.totals).toBe(given.filter(({ total }) => total !== undefined).length);
        expect(proveByTotal(walked, "rows").complete).toBe(totals.size === 1 && totals.has(distinct.size));
      }),
      { numRuns: 2000 },
    );
  });

  test("a list that stands still is read whole, whatever the page size and however short the pages", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(fc.integer(), { maxLength: 40 }),
        fc.infiniteStream(fc.integer({ min: 1, max: 7 })),
        async (list, sizes) => {
          const walked = await walkNumbers(({ received }) => ({
            rows: list.slice(received, received + sizes.next().value),
            total: list.length,
          }));
          expect(walked.rows).toEqual(list);
          expect(proveByTotal(walked, "rows")).toMatchObject({ complete: true, duplicates: 0 });
        },
      ),
    );
  });

  test("a list that rotates while it is read, under a total that stays, is never called complete", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 4, max: 30 }),
        fc.integer({ min: 1, max: 3 }),
        fc.integer({ min: 1, max: 3 }),
        async (length, size, lost) => {
          // After the first page, the first `lost` rows are the last ones; the rows that moved up are skipped.
          const before = Array.from({ length }, (_, index) => index);
          const after = [...before.slice(lost), ...before.slice(0, lost)];
          const walked = await walkNumbers(({ index, received }) => ({
            rows: (index === 0 ? before : after).slice(received, received + size),
            total: length,
          }));
          expect(walked.duplicates).toBeGreaterThan(0);
          expect(proveByTotal(walked, "rows")).toMatchObject({ complete: false, moved: true });
        },
      ),
    );
  });
});
