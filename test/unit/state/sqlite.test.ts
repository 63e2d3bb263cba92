/** What only a file can show: rights, strangers' files, damage, other processes, and a kill in the middle of a write. */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { sql } from "kysely";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openState } from "../../../src/state/index.js";
import { type Backend, openSqlState } from "../../../src/state/sql.js";
import { openSqlite } from "../../../src/state/sqlite.js";
import {
  compileStore,
  connect,
  ENGINES,
  errorOf,
  expectVersionOne,
  faces,
  openWith,
  plan,
  startChild,
  temporaryFolder,
  versionOne,
} from "./kit.js";

const mode = (path: string) => (statSync(path).mode & 0o777).toString(8);

/** Runs a statement on a file behind the store's back. */
function tamper(engine: "node" | "libsql", file: string, statement: string): void {
  const database = connect(engine, file);
  database.exec(statement);
  database.close();
}

/** Asks the store's own connection. */
async function ask(backend: Backend, statement: string): Promise<readonly unknown[]> {
  return (await sql.raw(statement).execute(backend.db)).rows;
}

describe.each(ENGINES)("a state file by %s", (engine) => {
  test("is for this user alone, and so are its folders", async () => {
    const folder = temporaryFolder();
    const file = join(folder, "deep/.group-sync/state.db");
    const state = await openWith(engine, file);
    await state.rememberIdentity(faces);
    for (const name of readdirSync(join(folder, "deep/.group-sync"))) {
      expect([name, mode(join(folder, "deep/.group-sync", name))]).toEqual([name, "600"]);
    }
    expect(mode(join(folder, "deep"))).toBe("700");
    expect(mode(join(folder, "deep/.group-sync"))).toBe("700");
    await state.close();
  });

  test("keeps the rights that someone gave it", async () => {
    const file = join(temporaryFolder(), "state.db");
    await (await openWith(engine, file)).close();
    chmodSync(file, 0o660);
    await (await openWith(engine, file)).close();
    expect(mode(file)).toBe("660");
  });

  test("is on the disk before a promise resolves, and whole in one file when closed", async () => {
    const folder = temporaryFolder();
    const file = join(folder, "state.db");
    const backend = await openSqlite({ file, busyTimeoutMs: 1000, engine });
    expect(await ask(backend, "pragma journal_mode")).toEqual([{ journal_mode: "wal" }]);
    expect(await ask(backend, "pragma synchronous")).toEqual([{ synchronous: 2 }]);
    expect(await ask(backend, "pragma foreign_keys")).toEqual([{ foreign_keys: 1 }]);
    await backend.db.destroy();

    const state = await openWith(engine, file);
    await state.rememberIdentity(faces);
    await state.close();
    const copy = join(folder, "copy.db");
    writeFileSync(copy, readFileSync(file));
    const again = await openWith(engine, copy);
    expect(await again.lastIdentity("faces")).toBe(faces.identity);
    await again.close();
  });

  test.each([
    ["text", Buffer.from("this is a letter, not a state\n".repeat(100))],
    ["a short text", Buffer.from("{}")],
    ["zeros", Buffer.alloc(4096)],
    ["a torn head", Buffer.concat([Buffer.from("SQLite format 3\0"), Buffer.alloc(2000, 7)])],
  ])("%s is refused and left as it was", async (_name, content) => {
    const folder = temporaryFolder();
    const file = join(folder, "state.db");
    writeFileSync(file, content);
    const { mtimeMs } = statSync(file);
    const error = await errorOf(openWith(engine, file));
    expect(error.code).toBe("options-invalid");
    expect(error.message).toBe(`The state ${file} is not a file that group-sync wrote.`);
    expect(readFileSync(file).equals(content)).toBe(true);
    expect(statSync(file).mtimeMs).toBe(mtimeMs);
    expect(readdirSync(folder)).toEqual(["state.db"]);
  });

  test("another program's database is refused and left as it was", async () => {
    const file = join(temporaryFolder(), "state.db");
    tamper(engine, file, "create table recipes (name text)");
    const before = readFileSync(file);
    const error = await errorOf(openWith(engine, file));
    expect(error.code).toBe("options-invalid");
    expect(error.message).toContain("is not a file that group-sync wrote");
    expect(readFileSync(file).equals(before)).toBe(true);
  });

  test("a file of a newer tool is refused, and both versions are named", async () => {
    const file = join(temporaryFolder(), "state.db");
    await (await openWith(engine, file)).close();
    tamper(engine, file, "insert into group_sync_migrations values (7, 'from the future', 'then')");
    const error = await errorOf(openWith(engine, file));
    expect(error.code).toBe("options-invalid");
    expect(error.message).toBe(
      `The state ${file} has version 7, written by a newer group-sync; this one knows version 3.`,
    );
    expect(error.facts.hint).toContain("Update group-sync");
  });

  test("a file of version 1 is brought up to date with all that is in it, whoever is first", async () => {
    const file = join(temporaryFolder(), "state.db");
    tamper(engine, file, versionOne);
    const states = await Promise.all(Array.from({ length: 3 }, () => openWith(engine, file)));
    for (const state of states) await expectVersionOne(state);
    await Promise.all(states.map((state) => state.close()));
    const again = await openWith(engine, file);
    await expectVersionOne(again);
    await again.close();
  });

  test("a damaged file is told as such, with what would be lost", async () => {
    const file = join(temporaryFolder(), "state.db");
    const state = await openWith(engine, file);
    await state.beginRun({ runId: "r1", planId: "p1", startedAt: "2026-11-21T10:00:00.000Z" }, plan("p1"));
    await state.close();
    truncateSync(file, 8192);
    const error = await errorOf(
      openWith(engine, file).then(async (opened) => {
        try {
          await opened.run("r1");
        } finally {
          await opened.close();
        }
      }),
    );
    expect(error.code).toBe("options-invalid");
    expect(error.message).toBe(`The state ${file} is damaged.`);
    expect(error.facts.hint).toContain("without history, undo and ownership");
  });

  test("a path that cannot be is told in plain words", async () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, "note"), "");
    symlinkSync("/nowhere/at/all", join(folder, "astray"));
    expect((await errorOf(openWith(engine, folder))).message).toBe(`The state ${folder} is a folder.`);
    for (const name of ["note/state.db", "note/deep/state.db", "astray", "x".repeat(300)]) {
      const error = await errorOf(openWith(engine, join(folder, name)));
      expect([name, error.code]).toEqual([name, "options-invalid"]);
      expect(error.message).toMatch(/cannot be created/);
    }
  });

  test("a name that means something else to a database is a file", async () => {
    const folder = temporaryFolder();
    for (const name of [":memory:", "file:x", "http:"]) {
      await (await openWith(engine, join(folder, name))).close();
      expect(statSync(join(folder, name)).size).toBeGreaterThan(0);
    }
  });

  test("a lock that lasts is busy, and the wait blocks nothing else", async () => {
    const file = join(temporaryFolder(), "state.db");
    const state = await openWith(engine, file, 300);
    const other = connect(engine, file);
    other.exec("begin immediate");
    let ticks = 0;
    const clock = setInterval(() => ticks++, 5);
    const error = await errorOf(state.rememberIdentity(faces));
    clearInterval(clock);
    expect([error.code, error.facts.retryable]).toEqual(["busy", true]);
    expect(ticks).toBeGreaterThan(3);
    expect(await state.lastIdentity("faces")).toBeUndefined();
    const waiting = state.rememberIdentity(faces);
    other.exec("rollback");
    await waiting;
    other.close();
    expect(await state.lastIdentity("faces")).toBe(faces.identity);
    await state.close();
  });

  test("two stores of one process on one file see each other's writes", async () => {
    const file = join(temporaryFolder(), "state.db");
    const [one, two] = await Promise.all([openWith(engine, file), openWith(engine, file)]);
    const rows = (name: string) => Array.from({ length: 50 }, (_, index) => ({ groupId: name, account: `${index}` }));
    await Promise.all([
      ...rows("one").map((row) => one.rememberAdded(faces, "r1", [row])),
      ...rows("two").map((row) => two.rememberAdded(faces, "r2", [row])),
    ]);
    await one.close();
    expect(await two.ownedMemberships(faces)).toHaveLength(100);
    expect(await two.installation()).toBeTruthy();
    await two.close();
  });

  test("a disk that is full is told as such, and the store is as before", async () => {
    const file = join(temporaryFolder(), "state.db");
    const backend = await openSqlite({ file, busyTimeoutMs: 1000, engine });
    const state = await openSqlState(backend);
    const [{ page_count: pages }] = (await ask(backend, "pragma page_count")) as [{ page_count: number }];
    await ask(backend, `pragma max_page_count = ${pages + 2}`);
    const rows = Array.from({ length: 5000 }, (_, index) => ({ groupId: "g", account: `${index}` }));
    const error = await errorOf(state.rememberAdded(faces, "r1", rows));
    expect(error.message).toBe(`The state ${file} cannot grow: the disk is full.`);
    expect(await state.ownedMemberships(faces)).toEqual([]);
    await state.rememberIdentity(faces);
    expect(await state.lastIdentity("faces")).toBe(faces.identity);
    await state.close();
  });
});

test("Node's own SQLite is asked for in vain where there is none", async () => {
  const opened = openWith("node", join(temporaryFolder(), "state.db"));
  if (ENGINES.includes("node")) await (await opened).close();
  else expect((await errorOf(opened)).message).toBe("This Node has no node:sqlite; it came with 22.13.");
});

describe("processes", () => {
  let store: string;
  beforeAll(() => {
    store = compileStore();
  });
  afterAll(() => rmSync(store, { recursive: true, force: true }));

  test.each([1, 2, 3, 4, 5, 6])(
    "kill -9 in the middle of a write loses nothing that was answered (%i)",
    async (round) => {
      const file = join(temporaryFolder(), "state.db");
      const writer = startChild(
        store,
        `
      const state = await openState({ file: ${JSON.stringify(file)} });
      const scope = { provider: "faces", identity: "x" };
      await state.beginRun({ runId: "r1", planId: "p1", startedAt: "2026-11-21" }, { kind: "plan" });
      for (let n = 1; ; n++) {
        const rows = Array.from({ length: 1500 }, (_, index) => ({ groupId: "g" + n, account: "a" + index }));
        await state.recordIntent("r1", { provider: "faces", sequence: n, kind: "members", changes: [] });
        await state.rememberAdded(scope, "r1", rows);
        await state.recordOutcome("r1", "faces", n, "answered");
        say(String(n));
      }
    `,
      );
      await writer.line("2");
      await new Promise((done) => setTimeout(done, round * 37));
      writer.process.kill("SIGKILL");
      await writer.ended;
      const answered = writer.lines.length;

      const state = await openState({ file });
      const journal = (await state.run("r1"))?.journal ?? [];
      const answers = journal.filter(({ outcome }) => outcome === "answered").length;
      expect(journal.length - answered).toBeOneOf([0, 1]);
      expect(answers - answered).toBeOneOf([0, 1]);
      // A list is there whole or not at all.
      const owned = (await state.ownedMemberships({ provider: "faces", identity: "x" })).length;
      expect(owned % 1500).toBe(0);
      expect(owned / 1500 - answered).toBeOneOf([0, 1]);
      await state.rememberIdentity(faces);
      await state.close();
    },
  );

  test("two that open a new file and write at the same time both get everything in", async () => {
    const file = join(temporaryFolder(), "new/state.db");
    const script = (name: string) => `
      const state = await openState({ file: ${JSON.stringify(file)} });
      const scope = { provider: "faces", identity: "x" };
      await state.beginRun({ runId: "${name}", planId: "p1", startedAt: "2026-11-21" }, { kind: "plan" });
      for (let n = 1; n <= 150; n++) {
        await state.recordIntent("${name}", { provider: "faces", sequence: n, kind: "members", changes: [] });
        await state.rememberAdded(scope, "${name}", [{ groupId: "${name}", account: "a" + n }]);
      }
      say(await state.installation());
      await state.close();
    `;
    const children = [startChild(store, script("one")), startChild(store, script("two"))] as const;
    expect(await Promise.all(children.map(({ ended }) => ended))).toEqual([0, 0]);
    expect(children[0].lines).toEqual(children[1].lines);
    const state = await openState({ file });
    expect(await state.ownedMemberships({ provider: "faces", identity: "x" })).toHaveLength(300);
    expect((await state.run("one"))?.journal).toHaveLength(150);
    expect((await state.run("two"))?.journal).toHaveLength(150);
    await state.close();
  });

  test("nothing is warned of, whichever engine this Node has", async () => {
    const child = startChild(
      store,
      `
      process.on("warning", (warning) => say(String(warning)));
      const state = await openState({ file: ${JSON.stringify(join(temporaryFolder(), "state.db"))} });
      await state.installation();
      await state.close();
      setTimeout(() => say("done"), 20);
    `,
    );
    await child.ended;
    expect(child.lines).toEqual(["done"]);
  });

  test("one that cannot read its file is told so, though it may not be root", async () => {
    const folder = temporaryFolder();
    const file = join(folder, "state.db");
    await (await openState({ file })).close();
    chmodSync(folder, 0o755);
    chmodSync(file, 0o444);
    mkdirSync(join(folder, "closed"), { mode: 0o555 });
    chmodSync(store, 0o755);
    const script = (path: string) => `
      if (process.getuid() === 0) process.setuid("nobody");
      await openState({ file: ${JSON.stringify(path)} }).catch((error) => say(error.code + " " + error.message));
    `;
    for (const path of [file, join(folder, "closed/state.db"), join(folder, "closed/deep/state.db")]) {
      const child = startChild(store, script(path));
      await child.ended;
      expect(child.lines).toEqual([`options-invalid The state ${path} cannot be opened for writing.`]);
    }
    expect(existsSync(join(folder, "closed/state.db"))).toBe(false);
  });
});
