/**
 * Whose account is whose at two providers: a table that the tool fills in as far as it can be sure, and people complete.
 *
 * What an e-mail or an alias proves is decided; what merely looks alike is only suggested. An empty decision decides
 * nothing: that person is not brought along, and nobody is removed on their account.
 */
import { normalizeEmail, type Resolution, resolvePeople } from "../identity.js";
import type { Account, Member, Person, ProviderId } from "../model.js";
import { type CallContext, createCallContext, type GroupProvider } from "../provider.js";
import { readTable, type TableRow } from "../spec/csv.js";
import { createProblems, createSpeller, didYouMean, type Problems, quote } from "../spec/problems.js";
import { createLikenessFinder, type Likeness } from "./likeness.js";
import { readSource, type Source } from "./source.js";

/** How someone's account at the target was found; `pinned`: the people that were given say it. */
export type Match = "pinned" | "email" | "alias" | "likeness" | "none";

/** `take`: this account is theirs. `leave`: they have none there, or should not come along. */
export type Decision = "take" | "leave";

/** One account of the source, and who it is at the target. */
export interface WorksheetRow {
  readonly account: string;
  readonly name?: string;
  readonly email?: string;
  /** How many groups of the source the account is in. */
  readonly groups: number;
  readonly match: Match;
  /** The member key at the target. */
  readonly target?: string;
  /** Whose account that is, as the target names them. */
  readonly targetName?: string;
  /** Why this account, or why none. */
  readonly because?: string;
  /** Absent: nobody has decided. */
  readonly decision?: Decision;
}

/** Everyone of a migration. */
export interface Worksheet {
  readonly from: ProviderId;
  readonly to: ProviderId;
  readonly rows: readonly WorksheetRow[];
}

/** What a worksheet is made of. */
export interface WorksheetOptions {
  readonly source: Source;
  /** Where they are going. */
  readonly to: GroupProvider;
  /** People who are known already, as in a spec: their aliases and pinned accounts help. @default [] */
  readonly people?: readonly Person[];
  /** Decisions made before; they stay. */
  readonly decided?: Worksheet;
  /**
   * Accounts of the target among which to look for likeness.
   * @default the members of its groups, where it can look people up by address
   */
  readonly candidates?: readonly Account[];
  readonly context?: CallContext;
}

/** Matches everyone of the source with an account of the target. Reads only. Throws when look-ups fail. */
export async function createWorksheet(options: WorksheetOptions): Promise<Worksheet> {
  const { source, to, decided } = options;
  const context = options.context ?? createCallContext();
  const people = listSourcePeople(source, options.people ?? []);
  const { resolutions } = await resolvePeople(
    people.map(({ known }) => known),
    to,
    context,
  );
  const rows = people.map(({ account, member, groups, known }): WorksheetRow => {
    const name = member.name ?? known.name;
    const { email } = known;
    const who = { account, groups, ...(name && { name }), ...(email !== undefined && { email }) };
    return { ...who, ...judge(resolutions.get(account), email, known.accounts[to.id]) };
  });
  const settled = await suggestAlike(rows, to, options.candidates, context);
  const before = new Map(decided?.rows.map((row) => [row.account, row]));
  return { from: source.provider, to: to.id, rows: settled.map((row) => keepDecision(row, before.get(row.account))) };
}

interface SourcePerson {
  readonly account: string;
  readonly member: Member;
  readonly groups: number;
  /** What both sides know of the person: every address, and the accounts that are pinned. The id is the account. */
  readonly known: Person;
}

function listSourcePeople({ snapshots, provider }: Source, people: readonly Person[]): readonly SourcePerson[] {
  const byPin = new Map(people.map((person) => [person.accounts[provider]?.toLowerCase(), person]));
  const byAddress = new Map(
    people.flatMap((person) =>
      [person.email, ...person.aliases].flatMap((address) =>
        address === undefined ? [] : [[normalizeEmail(address), person] as const],
      ),
    ),
  );
  const found = new Map<string, SourcePerson>();
  for (const member of snapshots.flatMap(({ members }) => members)) {
    const { account, email } = member;
    const other = found.get(account);
    if (other) found.set(account, { ...other, groups: other.groups + 1 });
    else {
      const person =
        byPin.get(account.toLowerCase()) ?? (email === undefined ? undefined : byAddress.get(normalizeEmail(email)));
      const addresses = [email, person?.email, ...(person?.aliases ?? [])].filter((address) => address !== undefined);
      const [first, ...aliases] = addresses;
      const known: Person = {
        id: account,
        aliases,
        accounts: person?.accounts ?? {},
        ...(first !== undefined && { email: first }),
        ...(person?.name !== undefined && { name: person.name }),
      };
      found.set(account, { account, member, groups: 1, known });
    }
  }
  return [...found.values()];
}

function judge(
  resolution: Resolution | undefined,
  email: string | undefined,
  pinned: string | null | undefined,
): Pick<WorksheetRow, "match" | "target" | "targetName" | "because" | "decision"> {
  if (resolution?.state === "none") {
    return { match: "pinned", because: "known to have no account there", decision: "leave" };
  }
  if (resolution?.state !== "found" && resolution?.state !== "disabled") {
    return { match: "none", ...(resolution && { because: resolution.reason }) };
  }
  const account = resolution.state === "found" ? resolution.account : resolution.candidates?.[0];
  const byFirstAddress =
    email === undefined || account?.email === undefined || normalizeEmail(account.email) === normalizeEmail(email);
  return {
    match: typeof pinned === "string" ? "pinned" : byFirstAddress ? "email" : "alias",
    ...(account && { target: account.id, ...nameOf(account) }),
    ...(resolution.state === "found" ? { decision: "take" } : { because: resolution.reason }),
  };
}

function nameOf({ name, email }: Account): Pick<WorksheetRow, "targetName"> {
  const text = [name, email].filter(Boolean).join(", ");
  return text === "" ? {} : { targetName: text };
}

/** Looks among the accounts that can be seen at the target for those who were not found by an address. */
async function suggestAlike(
  rows: readonly WorksheetRow[],
  to: GroupProvider,
  given: readonly Account[] | undefined,
  context: CallContext,
): Promise<readonly WorksheetRow[]> {
  const isOpen = (row: WorksheetRow) => row.match === "none" && row.decision === undefined;
  if (!rows.some(isOpen)) return rows;
  const taken = new Set(rows.flatMap(({ target }) => (target === undefined ? [] : [target])));
  const candidates = (given ?? (await readCandidates(to, context))).filter(({ id }) => !taken.has(id));
  if (candidates.length === 0) return rows;
  const find = createLikenessFinder(candidates);
  const found = new Map<WorksheetRow, Likeness<Account>>(rows.filter(isOpen).map((row) => [row, find(row)]));
  const claims = new Map<string, number>();
  for (const { account } of found.values()) if (account) claims.set(account.id, (claims.get(account.id) ?? 0) + 1);
  return rows.map((row) => {
    const likeness = found.get(row);
    if (!likeness) return row;
    const { account, because } = likeness;
    if (!account) return because === "" ? row : { ...row, because: join(row.because, because) };
    const rivals = claims.get(account.id) ?? 0;
    if (rivals > 1) return { ...row, because: join(row.because, `${account.id} looks like ${rivals} people`) };
    return { ...row, match: "likeness", target: account.id, ...nameOf(account), because };
  });
}

function join(...parts: readonly (string | undefined)[]): string {
  return parts.filter(Boolean).join("; ");
}

/** Members of the target's groups. A service that knows no addresses lists nothing that could be compared. */
async function readCandidates(to: GroupProvider, context: CallContext): Promise<readonly Account[]> {
  if (!to.capabilities.lookup.by.value.includes("email")) return [];
  const { snapshots } = await readSource({ provider: to, context });
  const accounts = snapshots
    .flatMap(({ members }) => members)
    .map(({ account, name, email, state }): readonly [string, Account] => [
      account,
      {
        id: account,
        status: state,
        eligible: state !== "disabled",
        ...(name !== undefined && { name }),
        ...(email !== undefined && { email }),
      },
    ]);
  return [...new Map(accounts).values()];
}

function keepDecision(row: WorksheetRow, before: WorksheetRow | undefined): WorksheetRow {
  if (before?.decision === undefined) return row;
  const { target: _, targetName: __, ...rest } = row;
  const sameTarget = before.target === row.target;
  return {
    ...rest,
    decision: before.decision,
    ...(before.target !== undefined && { target: before.target }),
    ...(sameTarget && row.targetName !== undefined && { targetName: row.targetName }),
  };
}

/** The columns. The two accounts are named by their providers, so the same worksheet serves the way back as well. */
function columnsOf(from: ProviderId, to: ProviderId) {
  return {
    account: `${from} account`,
    target: `${to} account`,
    targetName: `${to} person`,
    all: [
      `${from} account`,
      "name",
      "email",
      "groups",
      "match",
      `${to} account`,
      `${to} person`,
      "because",
      "decision",
    ],
  };
}

/**
 * The worksheet as CSV, for a spreadsheet. Whoever needs a decision stands first. A cell that a spreadsheet would take
 * for a formula begins with an apostrophe, which is taken off again when it is read.
 */
export function renderWorksheet({ from, to, rows }: Worksheet): string {
  const cells = rows
    .toSorted((left, right) => Number(left.decision !== undefined) - Number(right.decision !== undefined))
    .map((row) => [
      row.account,
      row.name,
      row.email,
      String(row.groups),
      row.match,
      row.target,
      row.targetName,
      row.because,
      row.decision,
    ]);
  return [columnsOf(from, to).all, ...cells]
    .map((row) => `${row.map((cell) => renderCell(cell ?? "")).join(",")}\r\n`)
    .join("");
}

const FORMULA = /^'*[=+\-@\t\r]/;

/** One cell of CSV that no spreadsheet calculates. */
function renderCell(text: string): string {
  const safe = FORMULA.test(text) ? `'${text}` : text;
  return /[",;\r\n]|^\s|\s$/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

function readCell(text: string): string {
  return FORMULA.test(text) && text.startsWith("'") ? text.slice(1) : text;
}

/** How a worksheet is read. */
export interface ParseWorksheetOptions {
  readonly from: ProviderId;
  readonly to: ProviderId;
  /** The name in messages. @default "worksheet.csv" */
  readonly file?: string;
}

/**
 * Reads a worksheet back; one written by hand needs the two account columns and `decision` only. Throws `SpecError`
 * with everything that is wrong in it, each with line and column.
 */
export function parseWorksheet(text: string, options: ParseWorksheetOptions): Worksheet {
  const { from, to, file = "worksheet.csv" } = options;
  const problems = createProblems(file);
  const columns = columnsOf(from, to);
  const required = [columns.account, columns.target, "decision"];
  const table = readTable(
    text,
    file,
    { required, optional: [...columns.all, `${from} person`].filter((column) => !required.includes(column)) },
    problems,
  );
  const takers = new Map<string, string>();
  const seen = new Map<string, number>();
  const rows = (table ?? []).flatMap((row): readonly WorksheetRow[] => {
    const read = readRow(row, columns, problems);
    if (!read) return [];
    const at = (column: string) => row.origin(column, [])();
    const first = seen.get(read.account);
    if (first !== undefined) {
      problems.error(at(columns.account), `${quote(read.account)} stands here a second time (first in line ${first}).`);
    } else seen.set(read.account, at(columns.account).line);
    if (read.decision === "take" && read.target !== undefined) {
      const other = takers.get(read.target);
      if (other !== undefined) {
        problems.error(
          at(columns.target),
          `${quote(read.target)} is taken for ${other} already; an account is one person's.`,
        );
      } else takers.set(read.target, read.account);
    }
    return [read];
  });
  problems.throwIfAny();
  return { from, to, rows };
}

const MATCHES: readonly string[] = ["pinned", "email", "alias", "likeness", "none"] satisfies readonly Match[];

function readRow(row: TableRow, columns: ReturnType<typeof columnsOf>, problems: Problems): WorksheetRow | undefined {
  const cell = (column: string) => readCell(row.cell(column));
  const account = cell(columns.account);
  const target = cell(columns.target);
  const match = cell("match");
  const at = (column: string) => row.origin(column, [])();
  const word = cell("decision").toLowerCase();
  if (account === "") {
    // On the way back, whoever did not come along has no account on this side.
    if (word === "take") problems.error(at(columns.account), "This row has no account.");
    return undefined;
  }
  if (word !== "" && word !== "take" && word !== "leave") {
    const hint = didYouMean(word, createSpeller(["take", "leave"]));
    problems.error(
      at("decision"),
      `Found ${quote(word)}; expected take (this account is theirs), leave, or nothing.${hint}`,
    );
    return undefined;
  }
  if (word === "take" && target === "") {
    problems.error(at(columns.target), "To be taken, but which account? Name it here, or write leave.");
  }
  if (word === "" && target !== "" && match !== "likeness" && cell("because") === "") {
    problems.error(
      at("decision"),
      `${quote(target)} stands here without a decision; write take (it is theirs) or leave.`,
    );
  }
  const texts = {
    name: cell("name"),
    email: cell("email"),
    targetName: cell(columns.targetName),
    because: cell("because"),
  };
  return {
    account,
    ...Object.fromEntries(Object.entries(texts).filter(([, text]) => text !== "")),
    groups: Number(cell("groups")) || 0,
    match: MATCHES.includes(match) ? (match as Match) : "none",
    ...(target !== "" && { target }),
    ...(word !== "" && { decision: word }),
  };
}
