/**
 * Walks the pages of a list and keeps count of what proves that it was read whole.
 *
 * Rows can shift between pages, pages can be shorter than asked for, and totals can lie; so nothing here is
 * concluded from a position. Rows are told apart by id, and the verdict rests on distinct rows against a total that
 * stayed the same on all pages.
 */
import pLimit from "p-limit";
import { GroupSyncError } from "../errors.js";
import type { Evidence } from "../model.js";

/** One page as an adapter read it. */
export interface Page<Row> {
  readonly rows: readonly Row[];
  /** The total that this page declares. */
  readonly total?: number;
  /** The service says that this is the last page. */
  readonly last?: boolean;
}

/** Where the next page starts. */
export interface PagePosition {
  /** Pages read so far; the next page's index from 0. */
  readonly index: number;
  /** Rows received so far, repeats included. */
  readonly received: number;
}

/** What was read, and how it looked. */
export interface Walk<Row> {
  /** Distinct rows in the order received. */
  readonly rows: readonly Row[];
  readonly pages: number;
  readonly duplicates: number;
  /** The total of the first page that declared one. */
  readonly declared?: number;
  /** How many pages declared a total. */
  readonly totals: number;
  /** The total differed between pages. */
  readonly totalMoved: boolean;
  /** How the walk ended. */
  readonly ended: "total" | "last" | "empty" | "nothing-new";
}

/** No list that we read has more pages; more means that the service ignores the paging parameters. */
const MAX_PAGES = 100_000;

/** How many pages of one list are asked for side by side; the provider's own budget may let fewer through. */
const PAGES_AT_ONCE = 16;

/**
 * Reads pages until the total is reached, the service says it is the last, or nothing new comes. Where the first page
 * tells the total, the others are in flight together; a page of another length than the first one shows that they do
 * not lie where they were looked for, and from there on it goes one after the other.
 */
export async function walkPages<Row>(
  readPage: (position: PagePosition) => Promise<Page<Row>>,
  idOf: (row: Row) => string,
): Promise<Walk<Row>> {
  const rows = new Map<string, Row>();
  let received = 0;
  let declared: number | undefined;
  let totals = 0;
  let totalMoved = false;
  let size = 0;
  let ahead: PagesAhead<Row> | undefined;
  try {
    for (let index = 0; index < MAX_PAGES; index++) {
      const page = await (ahead?.pages[index - 1] ?? readPage({ index, received }));
      const before = rows.size;
      for (const row of page.rows) rows.set(idOf(row), row);
      received += page.rows.length;
      if (page.total !== undefined) {
        totals++;
        if (declared !== undefined && page.total !== declared) totalMoved = true;
        declared ??= page.total;
      }
      const ended = endOf(page, received, declared, rows.size > before);
      if (ended) {
        return {
          rows: [...rows.values()],
          pages: index + 1,
          duplicates: received - rows.size,
          ...(declared !== undefined && { declared }),
          totals,
          totalMoved,
          ended,
        };
      }
      if (index === 0) {
        size = page.rows.length;
        ahead = readAhead(size, page.total, readPage);
      } else if (page.rows.length !== size) {
        ahead?.stop();
        ahead = undefined;
      }
    }
  } finally {
    ahead?.stop();
  }
  throw new GroupSyncError("bad-answer", `A list did not end after ${MAX_PAGES} pages.`);
}

/** The second page and those after it. */
interface PagesAhead<Row> {
  readonly pages: readonly Promise<Page<Row>>[];
  /** Sends no more. */
  stop(): void;
}

function readAhead<Row>(
  size: number,
  total: number | undefined,
  readPage: (position: PagePosition) => Promise<Page<Row>>,
): PagesAhead<Row> | undefined {
  if (total === undefined || size === 0) return undefined;
  const limit = pLimit(PAGES_AT_ONCE);
  const pages = Array.from({ length: Math.min(MAX_PAGES, Math.ceil(total / size)) - 1 }, (_, at) =>
    limit(async () => {
      try {
        return await readPage({ index: at + 1, received: (at + 1) * size });
      } catch (error) {
        // The walk ends with it: nothing more is sent.
        limit.clearQueue();
        throw error;
      }
    }),
  );
  // The walk waits for them in order; those behind its end may fail in silence.
  for (const page of pages) page.catch(() => {});
  return { pages, stop: () => limit.clearQueue() };
}

function endOf<Row>(
  page: Page<Row>,
  received: number,
  declared: number | undefined,
  anythingNew: boolean,
): Walk<Row>["ended"] | undefined {
  if (page.last) return "last";
  if (declared !== undefined && received >= declared) return "total";
  if (page.rows.length === 0) return "empty";
  if (!anythingNew) return "nothing-new";
  return undefined;
}

/**
 * The verdict for a list with a declared total: complete when the total is the same on all pages and equals the
 * distinct rows. Without a total it is incomplete here; an adapter that has other means of proof says so itself.
 */
export function proveByTotal<Row>(walk: Walk<Row>, what: string): Evidence {
  const facts = {
    pages: walk.pages,
    counted: walk.rows.length,
    duplicates: walk.duplicates,
    ...(walk.declared !== undefined && { declared: walk.declared }),
  };
  const pages = walk.pages === 1 ? "1 page" : `${walk.pages} pages`;
  if (walk.declared === undefined) {
    return { ...facts, complete: false, because: `the list of ${what} declares no total` };
  }
  if (walk.totalMoved) {
    return { ...facts, complete: false, moved: true, because: `the total of ${what} changed between pages` };
  }
  if (walk.rows.length !== walk.declared) {
    return {
      ...facts,
      complete: false,
      moved: true,
      because: `${walk.rows.length} distinct ${what} were read, but ${walk.declared} are declared`,
    };
  }
  return {
    ...facts,
    complete: true,
    because: `${walk.rows.length} distinct ${what} on ${pages} equal the declared total`,
  };
}
