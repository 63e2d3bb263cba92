/**
 * The store in SQL: one schema and one set of queries for SQLite and PostgreSQL.
 *
 * What differs stands in `Backend`: how a text is ordered, how to ask for a table, how an error of the driver is told.
 * Each writing method is one transaction, whole or not at all, and is on disk when its promise resolves. Long lists
 * go in pieces within it, with a breath between two, since SQLite works on the thread that everything else runs on.
 *
 * Plans, changes and reports are kept as JSON in text, not as the database's own JSON: that one refuses `\u0000` and
 * reorders keys, and a plan's checksum is over its text.
 */
import { randomUUID } from "node:crypto";
import { setImmediate as breathe } from "node:timers/promises";
import { sql, type ColumnType, type Kysely, type RawBuilder, type Transaction } from "kysely";
import { chunk } from "../collections.js";
import { GroupSyncError } from "../errors.js";
import type { Change, Plan, Report } from "../model.js";
import {
  atLeastNone,
  closed,
  distinct,
  findTaken,
  isHeld,
  leaseLost,
  leaseNames,
  type LeaseRow,
  misuse,
  pickRun,
  storable,
} from "./rows.js";
import type {
  InvitationRecord,
  JournalEntry,
  Lease,
  ManagedGroup,
  MembershipKey,
  RunRecord,
  Scope,
  State,
} from "./state.js";

interface ScopeColumns {
  readonly provider: string;
  readonly identity: string;
}

interface MembershipColumns extends ScopeColumns {
  readonly group_id: string;
  readonly account: string;
}

/** A number of 64 bits. `pg` gives it as text, since not all of them fit into a number; ours do. */
type Long = ColumnType<number | string, number, number>;

/** The tables as of the newest migration. The prefix lets them live in a PostgreSQL database beside others. */
export interface Tables {
  readonly group_sync_migrations: { readonly version: number; readonly name: string; readonly applied_at: string };
  readonly group_sync_installation: { readonly the_only: number; readonly id: string };
  readonly group_sync_identities: ScopeColumns;
  readonly group_sync_groups: ScopeColumns & {
    readonly group_id: string;
    readonly group_key: string;
    readonly origin: ManagedGroup["origin"];
  };
  readonly group_sync_memberships: MembershipColumns & { readonly run_id: string };
  readonly group_sync_invitations: MembershipColumns & {
    readonly state: InvitationRecord["state"];
    readonly sent_at: string;
  };
  readonly group_sync_runs: {
    readonly run_id: string;
    readonly plan_id: string;
    readonly started_at: string;
    readonly finished_at: string | null;
    readonly status: Report["status"] | null;
    readonly summary: string | null;
    readonly plan: string;
    readonly report: string | null;
  };
  readonly group_sync_journal: {
    readonly run_id: string;
    readonly provider: string;
    readonly sequence: number;
    readonly kind: string;
    readonly changes: string;
    readonly outcome: NonNullable<JournalEntry["outcome"]> | null;
  };
  readonly group_sync_approvals: {
    readonly plan_id: string;
    readonly checksum: string;
    readonly group_key: string;
    readonly approved_at: string;
    readonly expires_at: string;
    readonly approved_by: string;
  };
  readonly group_sync_fence: { readonly the_only: number; readonly last: Long };
  readonly group_sync_leases: {
    readonly name: string;
    readonly holder: string;
    readonly fence: Long;
    readonly expires_at: Long;
  };
  readonly group_sync_verified: ScopeColumns & {
    readonly group_id: string;
    readonly version: string;
    readonly wish: string;
    readonly read_at: string;
  };
  readonly group_sync_accounts: ScopeColumns & {
    readonly person: string;
    readonly account: string;
    /** A JSON list. */
    readonly addresses: string;
  };
  readonly group_sync_quarantines: {
    readonly provider: string;
    readonly failures: number;
    readonly until: string;
    readonly reason: string;
  };
}

/** The table that says which migrations were made; a store without it is new, or somebody else's. */
export const MIGRATIONS_TABLE = "group_sync_migrations" satisfies keyof Tables;

/** What one kind of database does in its own way. */
export interface Backend {
  readonly db: Kysely<Tables>;
  /** How messages call it, after "The state": a path, never an address with a password. */
  readonly place: string;
  /** The type of a text that is compared and ordered by its bytes. */
  readonly textType: RawBuilder<unknown>;
  /** A query with one row when there is a table of that name. */
  readonly tableExists: (name: string) => RawBuilder<unknown>;
  /** First in each writing transaction. */
  readonly beginWrite?: (transaction: Transaction<Tables>) => Promise<unknown>;
  /** Keeps others from migrating until the transaction ends. */
  readonly lockMigrations?: (transaction: Transaction<Tables>) => Promise<unknown>;
  /** The clock that all users of the store share, in milliseconds since the epoch; it moves within a transaction. */
  readonly clock: RawBuilder<number | string>;
  /** Ends a query of a writing transaction whose rows nobody else may change until it is over. */
  readonly keepRows: RawBuilder<unknown>;
  /** Tells an error of the driver in our words. */
  readonly explain: (error: unknown) => GroupSyncError;
}

type Migration = (transaction: Transaction<Tables>, backend: Backend) => Promise<void>;

/** What a newer tool does to an older store: entry 0 makes version 1. Entries are added, never changed. */
const MIGRATIONS: readonly { readonly name: string; readonly up: Migration }[] = [
  { name: "runs, journal, groups, memberships, invitations, approvals", up: createFirstTables },
  { name: "leases, verified groups, quarantines", up: createTablesForManyRunners },
  { name: "accounts of people", up: createTableOfAccounts },
];

/** Rows in one statement: far below the 32,766 values of SQLite and the 65,535 of PostgreSQL. */
const ROWS_AT_ONCE = 1000;

/**
 * The store behind the interface, migrated to this tool's version. Closes the backend when it cannot be used: throws
 * `options-invalid` when a newer tool has written it.
 */
export async function openSqlState(backend: Backend): Promise<State> {
  try {
    await migrate(backend);
  } catch (error) {
    await backend.db.destroy();
    throw error instanceof GroupSyncError ? error : backend.explain(error);
  }
  return createSqlState(backend);
}

async function migrate(backend: Backend): Promise<void> {
  if ((await readVersion(backend.db, backend)) === MIGRATIONS.length) return;
  await transact(backend, async (transaction) => {
    await backend.lockMigrations?.(transaction);
    // Again, behind the lock: someone may have been quicker.
    const version = await readVersion(transaction, backend);
    for (const [index, { name, up }] of MIGRATIONS.entries()) {
      if (index < version) continue;
      await up(transaction, backend);
      const row = { version: index + 1, name, applied_at: new Date().toISOString() };
      await transaction.insertInto(MIGRATIONS_TABLE).values(row).execute();
    }
  });
}

async function readVersion(db: Kysely<Tables>, backend: Backend): Promise<number> {
  const { rows } = await backend.tableExists(MIGRATIONS_TABLE).execute(db);
  if (rows.length === 0) return 0;
  const newest = await db.selectFrom(MIGRATIONS_TABLE).select("version").orderBy("version", "desc").executeTakeFirst();
  const version = newest?.version ?? 0;
  if (version > MIGRATIONS.length) {
    throw new GroupSyncError(
      "options-invalid",
      `The state ${backend.place} has version ${version}, written by a newer group-sync; this one knows version ${MIGRATIONS.length}.`,
      { hint: "Update group-sync, or name another state in the spec. Nothing was changed." },
    );
  }
  return version;
}

async function createFirstTables(transaction: Transaction<Tables>, { textType: text }: Backend): Promise<void> {
  const { schema } = transaction;
  const scoped = (table: keyof Tables, ...key: readonly ("group_id" | "account")[]) => {
    const columns = schema
      .createTable(table)
      .addColumn("provider", text, (column) => column.notNull())
      .addColumn("identity", text, (column) => column.notNull());
    return key
      .reduce((builder, name) => builder.addColumn(name, text, (column) => column.notNull()), columns)
      .addPrimaryKeyConstraint(`${table}_key`, ["provider", "identity", ...key] as never);
  };

  await schema
    .createTable(MIGRATIONS_TABLE)
    .addColumn("version", "integer", (column) => column.primaryKey())
    .addColumn("name", text, (column) => column.notNull())
    .addColumn("applied_at", text, (column) => column.notNull())
    .execute();
  await schema
    .createTable("group_sync_installation")
    .addColumn("the_only", "integer", (column) => column.primaryKey().check(sql`the_only = 1`))
    .addColumn("id", text, (column) => column.notNull())
    .execute();
  await schema
    .createTable("group_sync_identities")
    .addColumn("provider", text, (column) => column.primaryKey().notNull())
    .addColumn("identity", text, (column) => column.notNull())
    .execute();
  await scoped("group_sync_groups", "group_id")
    .addColumn("group_key", text, (column) => column.notNull())
    .addColumn("origin", text, (column) => column.notNull())
    .execute();
  await scoped("group_sync_memberships", "group_id", "account")
    .addColumn("run_id", text, (column) => column.notNull())
    .execute();
  await scoped("group_sync_invitations", "group_id", "account")
    .addColumn("state", text, (column) => column.notNull())
    .addColumn("sent_at", text, (column) => column.notNull())
    .execute();
  // The long texts come last: a list of runs is read without them.
  await schema
    .createTable("group_sync_runs")
    .addColumn("run_id", text, (column) => column.primaryKey().notNull())
    .addColumn("plan_id", text, (column) => column.notNull())
    .addColumn("started_at", text, (column) => column.notNull())
    .addColumn("finished_at", text)
    .addColumn("status", text)
    .addColumn("summary", text)
    .addColumn("plan", text, (column) => column.notNull())
    .addColumn("report", text)
    .execute();
  await schema.createIndex("group_sync_runs_newest").on("group_sync_runs").columns(["started_at", "run_id"]).execute();
  await schema
    .createTable("group_sync_journal")
    .addColumn("run_id", text, (column) => column.notNull().references("group_sync_runs.run_id").onDelete("cascade"))
    .addColumn("provider", text, (column) => column.notNull())
    .addColumn("sequence", "integer", (column) => column.notNull())
    .addColumn("kind", text, (column) => column.notNull())
    .addColumn("changes", text, (column) => column.notNull())
    .addColumn("outcome", text)
    .addPrimaryKeyConstraint("group_sync_journal_key", ["run_id", "provider", "sequence"])
    .execute();
  await schema
    .createTable("group_sync_approvals")
    .addColumn("plan_id", text, (column) => column.notNull())
    .addColumn("checksum", text, (column) => column.notNull())
    .addColumn("group_key", text, (column) => column.notNull())
    .addColumn("approved_at", text, (column) => column.notNull())
    .addColumn("expires_at", text, (column) => column.notNull())
    .addColumn("approved_by", text, (column) => column.notNull())
    .addPrimaryKeyConstraint("group_sync_approvals_key", ["plan_id", "checksum", "group_key"])
    .execute();
}

async function createTablesForManyRunners(transaction: Transaction<Tables>, { textType: text }: Backend) {
  const { schema } = transaction;
  await schema
    .createTable("group_sync_fence")
    .addColumn("the_only", "integer", (column) => column.primaryKey().check(sql`the_only = 1`))
    .addColumn("last", "bigint", (column) => column.notNull())
    .execute();
  await transaction.insertInto("group_sync_fence").values({ the_only: 1, last: 0 }).execute();
  await schema
    .createTable("group_sync_leases")
    .addColumn("name", text, (column) => column.primaryKey().notNull())
    .addColumn("holder", text, (column) => column.notNull())
    .addColumn("fence", "bigint", (column) => column.notNull())
    .addColumn("expires_at", "bigint", (column) => column.notNull())
    .execute();
  await schema
    .createTable("group_sync_verified")
    .addColumn("provider", text, (column) => column.notNull())
    .addColumn("identity", text, (column) => column.notNull())
    .addColumn("group_id", text, (column) => column.notNull())
    .addColumn("version", text, (column) => column.notNull())
    .addColumn("wish", text, (column) => column.notNull())
    .addColumn("read_at", text, (column) => column.notNull())
    .addPrimaryKeyConstraint("group_sync_verified_key", ["provider", "identity", "group_id"])
    .execute();
  await schema
    .createTable("group_sync_quarantines")
    .addColumn("provider", text, (column) => column.primaryKey().notNull())
    .addColumn("failures", "integer", (column) => column.notNull())
    .addColumn("until", text, (column) => column.notNull())
    .addColumn("reason", text, (column) => column.notNull())
    .execute();
}

async function createTableOfAccounts({ schema }: Transaction<Tables>, { textType: text }: Backend) {
  await schema
    .createTable("group_sync_accounts")
    .addColumn("provider", text, (column) => column.notNull())
    .addColumn("identity", text, (column) => column.notNull())
    .addColumn("person", text, (column) => column.notNull())
    .addColumn("account", text, (column) => column.notNull())
    .addColumn("addresses", text, (column) => column.notNull())
    .addPrimaryKeyConstraint("group_sync_accounts_key", ["provider", "identity", "person"])
    .execute();
}

/** Does all of it or nothing. */
function transact<T>(backend: Backend, work: (transaction: Transaction<Tables>) => Promise<T>): Promise<T> {
  return backend.db.transaction().execute(async (transaction) => {
    await backend.beginWrite?.(transaction);
    return work(transaction);
  });
}

async function inPieces<T>(rows: readonly T[], work: (piece: readonly T[]) => Promise<unknown>): Promise<void> {
  for (const [index, piece] of chunk(rows, ROWS_AT_ONCE).entries()) {
    if (index > 0) await breathe();
    await work(piece);
  }
}

const membershipKey = (row: MembershipKey): readonly string[] => [row.groupId, row.account];

/** Which rows of a table in a scope are meant: a list of pairs, in the key's order. */
const amongPairs = (piece: readonly MembershipKey[]): RawBuilder<boolean> =>
  sql<boolean>`(group_id, account) in (values ${sql.join(
    piece.map(({ groupId, account }) => sql`(${groupId}, ${account})`),
  )})`;

const runColumns = ["run_id", "plan_id", "started_at", "finished_at", "status", "summary"] as const;

function newestFirst(db: Kysely<Tables>) {
  return db.selectFrom("group_sync_runs").select(runColumns).orderBy("started_at", "desc").orderBy("run_id", "desc");
}

function toRunRecord(row: Pick<Tables["group_sync_runs"], (typeof runColumns)[number]>): RunRecord {
  return {
    runId: row.run_id,
    planId: row.plan_id,
    startedAt: row.started_at,
    ...(row.finished_at !== null && { finishedAt: row.finished_at }),
    ...(row.status !== null && { status: row.status }),
    ...(row.summary !== null && { summary: JSON.parse(row.summary) as Report["summary"] }),
  };
}

function createSqlState(backend: Backend): State {
  let open = true;

  const attempt = async <T>(work: () => Promise<T>): Promise<T> => {
    if (!open) throw closed();
    try {
      return await work();
    } catch (error) {
      throw error instanceof GroupSyncError ? error : backend.explain(error);
    }
  };
  const read = <T>(work: (db: Kysely<Tables>) => Promise<T>): Promise<T> => attempt(() => work(backend.db));
  /** Several queries that see one moment. */
  const readTogether = <T>(work: (db: Kysely<Tables>) => Promise<T>): Promise<T> =>
    attempt(() =>
      backend.db.transaction().setAccessMode("read only").setIsolationLevel("repeatable read").execute(work),
    );
  const write = <T>(work: (transaction: Transaction<Tables>) => Promise<T>): Promise<T> =>
    attempt(() => transact(backend, work));

  const forgetPairs = (
    table: "group_sync_memberships" | "group_sync_invitations",
    { provider, identity }: Scope,
    pairs: readonly MembershipKey[],
  ) =>
    write((db) =>
      inPieces(distinct(storable(pairs), membershipKey), (piece) =>
        db
          .deleteFrom(table)
          .where("provider", "=", provider)
          .where("identity", "=", identity)
          .where(amongPairs(piece))
          .execute(),
      ),
    );

  /**
   * The rows of these names, which stay as they are until the transaction ends, and the time. Everybody takes them in
   * one order, so nobody waits in a ring; the time comes last, since the rows may have been waited for.
   */
  const keepLeases = async (
    db: Transaction<Tables>,
    names: readonly string[],
  ): Promise<{ readonly rows: readonly LeaseRow[]; readonly now: number }> => {
    const found =
      names.length === 0
        ? []
        : await db
            .selectFrom("group_sync_leases")
            .select(["name", "holder", "fence", "expires_at"])
            .where("name", "in", names)
            .orderBy("name")
            .modifyEnd(backend.keepRows)
            .execute();
    const rows = found.map(({ name, holder, fence, expires_at }) => ({
      name,
      holder,
      fence: Number(fence),
      expiresAt: Number(expires_at),
    }));
    const { now } = await db.selectNoFrom(backend.clock.as("now")).executeTakeFirstOrThrow();
    return { rows, now: Number(now) };
  };
  const putLease = (db: Transaction<Tables>, { names, holder, fence }: Lease, expiresAt: number) =>
    inPieces(names, (piece) =>
      db
        .insertInto("group_sync_leases")
        .values(piece.map((name) => ({ name, holder, fence, expires_at: expiresAt })))
        .onConflict((conflict) => conflict.column("name").doUpdateSet({ holder, fence, expires_at: expiresAt }))
        .execute(),
    );

  return {
    lastIdentity: (provider) =>
      read(async (db) => {
        const row = await db
          .selectFrom("group_sync_identities")
          .select("identity")
          .where("provider", "=", provider)
          .executeTakeFirst();
        return row?.identity;
      }),
    rememberIdentity: ({ provider, identity }) =>
      write(async (db) => {
        await db
          .insertInto("group_sync_identities")
          .values(storable([{ provider, identity }]))
          .onConflict((conflict) => conflict.column("provider").doUpdateSet({ identity }))
          .execute();
      }),

    managedGroups: ({ provider, identity }) =>
      read((db) =>
        db
          .selectFrom("group_sync_groups")
          .select(["group_id as groupId", "group_key as group", "origin"])
          .where("provider", "=", provider)
          .where("identity", "=", identity)
          .orderBy("group_id")
          .execute(),
      ),
    rememberGroups: ({ provider, identity }, groups) =>
      write((db) => {
        const rows = distinct(groups, ({ groupId }) => [groupId]).map(({ groupId, group, origin }) => ({
          provider,
          identity,
          group_id: groupId,
          group_key: group,
          origin,
        }));
        return inPieces(storable(rows), (piece) =>
          db
            .insertInto("group_sync_groups")
            .values(piece)
            .onConflict((conflict) =>
              conflict.columns(["provider", "identity", "group_id"]).doUpdateSet((row) => ({
                group_key: row.ref("excluded.group_key"),
                origin: row.ref("excluded.origin"),
              })),
            )
            .execute(),
        );
      }),

    forgetGroups: ({ provider, identity }, groupIds) =>
      write(async (db) => {
        const rows = storable(distinct(groupIds, (groupId) => [groupId]).map((groupId) => ({ groupId })));
        for (const table of [
          "group_sync_groups",
          "group_sync_memberships",
          "group_sync_invitations",
          "group_sync_verified",
        ] as const) {
          await inPieces(rows, (piece) =>
            db
              .deleteFrom(table)
              .where("provider", "=", provider)
              .where("identity", "=", identity)
              .where(
                "group_id",
                "in",
                piece.map(({ groupId }) => groupId),
              )
              .execute(),
          );
        }
      }),

    ownedMemberships: ({ provider, identity }) =>
      read((db) =>
        db
          .selectFrom("group_sync_memberships")
          .select(["group_id as groupId", "account"])
          .where("provider", "=", provider)
          .where("identity", "=", identity)
          .orderBy("group_id")
          .orderBy("account")
          .execute(),
      ),
    rememberAdded: ({ provider, identity }, runId, memberships) =>
      write((db) => {
        const rows = distinct(memberships, membershipKey).map(({ groupId, account }) => ({
          provider,
          identity,
          group_id: groupId,
          account,
          run_id: runId,
        }));
        return inPieces(storable(rows), (piece) =>
          db
            .insertInto("group_sync_memberships")
            .values(piece)
            .onConflict((conflict) =>
              conflict
                .columns(["provider", "identity", "group_id", "account"])
                .doUpdateSet((row) => ({ run_id: row.ref("excluded.run_id") })),
            )
            .execute(),
        );
      }),
    forgetMemberships: (scope, memberships) => forgetPairs("group_sync_memberships", scope, memberships),

    invitations: ({ provider, identity }) =>
      read((db) =>
        db
          .selectFrom("group_sync_invitations")
          .select(["group_id as groupId", "account", "state", "sent_at as sentAt"])
          .where("provider", "=", provider)
          .where("identity", "=", identity)
          .orderBy("group_id")
          .orderBy("account")
          .execute(),
      ),
    rememberInvitations: ({ provider, identity }, invitations) =>
      write((db) => {
        const rows = distinct(invitations, membershipKey).map(({ groupId, account, state, sentAt }) => ({
          provider,
          identity,
          group_id: groupId,
          account,
          state,
          sent_at: sentAt,
        }));
        return inPieces(storable(rows), (piece) =>
          db
            .insertInto("group_sync_invitations")
            .values(piece)
            .onConflict((conflict) =>
              conflict
                .columns(["provider", "identity", "group_id", "account"])
                .doUpdateSet((row) => ({ state: row.ref("excluded.state"), sent_at: row.ref("excluded.sent_at") })),
            )
            .execute(),
        );
      }),
    forgetInvitations: (scope, invitations) => forgetPairs("group_sync_invitations", scope, invitations),

    knownAccounts: ({ provider, identity }) =>
      read(async (db) => {
        const rows = await db
          .selectFrom("group_sync_accounts")
          .select(["person", "account", "addresses"])
          .where("provider", "=", provider)
          .where("identity", "=", identity)
          .orderBy("person")
          .execute();
        return rows.map((row) => ({ ...row, addresses: JSON.parse(row.addresses) as readonly string[] }));
      }),
    rememberAccounts: ({ provider, identity }, accounts) =>
      write((db) => {
        const rows = distinct(accounts, ({ person }) => [person]).map(({ person, account, addresses }) => ({
          provider,
          identity,
          person,
          account,
          addresses: JSON.stringify(addresses),
        }));
        return inPieces(storable(rows), (piece) =>
          db
            .insertInto("group_sync_accounts")
            .values(piece)
            .onConflict((conflict) =>
              conflict.columns(["provider", "identity", "person"]).doUpdateSet((row) => ({
                account: row.ref("excluded.account"),
                addresses: row.ref("excluded.addresses"),
              })),
            )
            .execute(),
        );
      }),

    beginRun: ({ runId, planId, startedAt }, plan) =>
      write(async (db) => {
        const record = { run_id: runId, plan_id: planId, started_at: startedAt };
        const made = await db
          .insertInto("group_sync_runs")
          .values(storable([{ ...record, plan: JSON.stringify(plan) }]))
          .onConflict((conflict) => conflict.doNothing())
          .returning("run_id")
          .execute();
        if (made.length === 0) throw misuse(`There is already a run ${runId} in the state.`);
      }),
    recordIntent: (runId, { provider, sequence, kind, changes }, lease) =>
      write(async (db) => {
        const row = { run_id: runId, provider, sequence, kind, changes: JSON.stringify(changes) };
        storable([row]);
        const run = await db
          .selectFrom("group_sync_runs")
          .select("run_id")
          .where("run_id", "=", runId)
          .executeTakeFirst();
        if (!run) throw misuse(`There is no run ${runId} in the state.`);
        const made = await db
          .insertInto("group_sync_journal")
          .values(row)
          .onConflict((conflict) => conflict.doNothing())
          .returning("sequence")
          .execute();
        if (made.length === 0) {
          throw misuse(`Run ${runId} has already sent its call ${sequence} to ${provider}.`);
        }
        // Last: nothing is waited for between this and the end of the transaction.
        if (!lease) return;
        const { rows, now } = await keepLeases(db, lease.names);
        if (!isHeld(lease, rows, now)) throw leaseLost(lease);
      }),
    recordOutcome: (runId, provider, sequence, outcome) =>
      write(async (db) => {
        const changed = await db
          .updateTable("group_sync_journal")
          .set({ outcome })
          .where("run_id", "=", runId)
          .where("provider", "=", provider)
          .where("sequence", "=", sequence)
          .returning("sequence")
          .execute();
        if (changed.length === 0) throw misuse(`Run ${runId} has no call ${sequence} to ${provider}.`);
      }),
    endRun: (report) =>
      write(async (db) => {
        const { runId, finishedAt, status, summary } = report;
        storable([{ finishedAt, status }]);
        const changed = await db
          .updateTable("group_sync_runs")
          .set({
            finished_at: finishedAt,
            status,
            summary: JSON.stringify(summary),
            report: JSON.stringify(report),
          })
          .where("run_id", "=", runId)
          .returning("run_id")
          .execute();
        if (changed.length === 0) throw misuse(`There is no run ${runId} in the state.`);
      }),
    runs: (limit) =>
      read(async (db) => {
        const query = newestFirst(db);
        const rows = await (limit === undefined ? query : query.limit(atLeastNone(limit))).execute();
        return rows.map(toRunRecord);
      }),
    openRuns: () =>
      read(async (db) => (await newestFirst(db).where("finished_at", "is", null).execute()).map(toRunRecord)),
    run: (begin) =>
      readTogether(async (db) => {
        const found = await db
          .selectFrom("group_sync_runs")
          .select("run_id")
          .where(sql<string>`substr(run_id, 1, length(cast(${begin} as text)))`, "=", begin)
          .orderBy("run_id")
          .limit(4)
          .execute();
        const runId = pickRun(
          begin,
          found.map(({ run_id }) => run_id),
        );
        if (runId === undefined) return undefined;
        const row = await db
          .selectFrom("group_sync_runs")
          .select([...runColumns, "plan", "report"])
          .where("run_id", "=", runId)
          .executeTakeFirstOrThrow();
        const entries = await db
          .selectFrom("group_sync_journal")
          .select(["provider", "sequence", "kind", "changes", "outcome"])
          .where("run_id", "=", runId)
          .orderBy("provider")
          .orderBy("sequence")
          .execute();
        return {
          record: toRunRecord(row),
          plan: JSON.parse(row.plan) as Plan,
          journal: entries.map(({ provider, sequence, kind, changes, outcome }) => ({
            provider,
            sequence,
            kind,
            changes: JSON.parse(changes) as readonly Change[],
            ...(outcome !== null && { outcome }),
          })),
          ...(row.report !== null && { report: JSON.parse(row.report) as Report }),
        };
      }),

    pruneRuns: (keep) =>
      write(async (db) => {
        const ended = await db
          .selectFrom("group_sync_runs")
          .select("run_id")
          .where("finished_at", "is not", null)
          .orderBy("started_at", "desc")
          .orderBy("run_id", "desc")
          .execute();
        let forgotten = 0;
        await inPieces(ended.slice(atLeastNone(keep)), async (piece) => {
          const runIds = piece.map(({ run_id }) => run_id);
          // Their journals go with them.
          const gone = await db
            .deleteFrom("group_sync_runs")
            .where("run_id", "in", runIds)
            .returning("run_id")
            .execute();
          forgotten += gone.length;
        });
        return forgotten;
      }),

    verifiedGroups: ({ provider, identity }) =>
      read((db) =>
        db
          .selectFrom("group_sync_verified")
          .select(["group_id as groupId", "version", "wish", "read_at as readAt"])
          .where("provider", "=", provider)
          .where("identity", "=", identity)
          .orderBy("group_id")
          .execute(),
      ),
    rememberVerified: ({ provider, identity }, groups) =>
      write((db) => {
        const rows = distinct(groups, ({ groupId }) => [groupId]).map(({ groupId, version, wish, readAt }) => ({
          provider,
          identity,
          group_id: groupId,
          version,
          wish,
          read_at: readAt,
        }));
        return inPieces(storable(rows), (piece) =>
          db
            .insertInto("group_sync_verified")
            .values(piece)
            .onConflict((conflict) =>
              conflict.columns(["provider", "identity", "group_id"]).doUpdateSet((row) => ({
                version: row.ref("excluded.version"),
                wish: row.ref("excluded.wish"),
                read_at: row.ref("excluded.read_at"),
              })),
            )
            .execute(),
        );
      }),

    acquireLeases: (wanted, holder, ttlMs) =>
      write(async (db) => {
        const names = leaseNames(wanted);
        storable(names.map((name) => ({ name, holder })));
        // First: there is one such row, so whoever wants a lease queues up here. A number may go unused.
        const { last } = await db
          .updateTable("group_sync_fence")
          .set({ last: sql<number>`last + 1` })
          .returning("last")
          .executeTakeFirstOrThrow();
        const { rows, now } = await keepLeases(db, names);
        const taken = findTaken(names, rows, now);
        if (taken) return taken;
        const lease = { names, holder, fence: Number(last) };
        await putLease(db, lease, now + atLeastNone(ttlMs));
        return lease;
      }),
    renewLeases: (lease, ttlMs) =>
      write(async (db) => {
        const { rows, now } = await keepLeases(db, lease.names);
        const held = isHeld(lease, rows, now);
        if (held) await putLease(db, lease, now + atLeastNone(ttlMs));
        return held;
      }),
    releaseLeases: ({ names, holder, fence }) =>
      write(async (db) => {
        const { rows } = await keepLeases(db, names);
        const own = rows.filter((row) => row.holder === holder && row.fence === fence).map(({ name }) => name);
        if (own.length > 0) await db.deleteFrom("group_sync_leases").where("name", "in", own).execute();
      }),

    quarantines: () =>
      read((db) =>
        db
          .selectFrom("group_sync_quarantines")
          .select(["provider", "failures", "until", "reason"])
          .orderBy("provider")
          .execute(),
      ),
    rememberQuarantine: ({ provider, failures, until, reason }) =>
      write(async (db) => {
        const quarantine = { failures, until, reason };
        await db
          .insertInto("group_sync_quarantines")
          .values(storable([{ provider, ...quarantine }]))
          .onConflict((conflict) => conflict.column("provider").doUpdateSet(quarantine))
          .execute();
      }),
    forgetQuarantine: (provider) =>
      write(async (db) => {
        await db.deleteFrom("group_sync_quarantines").where("provider", "=", provider).execute();
      }),

    recordApproval: ({ planId, checksum, group, approvedAt, expiresAt, approvedBy }) =>
      write(async (db) => {
        const times = { approved_at: approvedAt, expires_at: expiresAt, approved_by: approvedBy };
        await db
          .insertInto("group_sync_approvals")
          .values(storable([{ plan_id: planId, checksum, group_key: group, ...times }]))
          .onConflict((conflict) => conflict.columns(["plan_id", "checksum", "group_key"]).doUpdateSet(times))
          .execute();
      }),
    approvals: (planId) =>
      read((db) =>
        db
          .selectFrom("group_sync_approvals")
          .select([
            "plan_id as planId",
            "checksum",
            "group_key as group",
            "approved_at as approvedAt",
            "expires_at as expiresAt",
            "approved_by as approvedBy",
          ])
          .where("plan_id", "=", planId)
          .orderBy("group_key")
          .orderBy("checksum")
          .execute(),
      ),

    installation: () =>
      attempt(async () => {
        const known = backend.db.selectFrom("group_sync_installation").select("id");
        const before = await known.executeTakeFirst();
        if (before) return before.id;
        await transact(backend, (db) =>
          db
            .insertInto("group_sync_installation")
            .values({ the_only: 1, id: randomUUID() })
            .onConflict((conflict) => conflict.doNothing())
            .execute(),
        );
        // As it stands there: another process may have been quicker.
        return (await known.executeTakeFirstOrThrow()).id;
      }),
    close: async () => {
      if (!open) return;
      open = false;
      await backend.db.destroy().catch((error: unknown) => {
        throw backend.explain(error);
      });
    },
  };
}
