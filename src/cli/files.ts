/** Files that the command line reads and writes besides the spec. What goes wrong is said in plain words. */
import { constants } from "node:fs";
import { access, readFile, stat, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { type ErrorCode, GroupSyncError } from "../errors.js";

/** The text of a file. */
export function readText(file: string, code: ErrorCode = "options-invalid"): Promise<string> {
  return readFile(file, "utf8").catch((error: unknown) => {
    throw new GroupSyncError(code, `${file} cannot be read: ${explain(error, "there is no such file")}.`);
  });
}

/** What a JSON file holds: a plan, as the hint has it. */
export async function readJson(file: string, code: ErrorCode): Promise<unknown> {
  const text = await readText(file, code);
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw new GroupSyncError(code, `${file} is not JSON.`, {
      hint: "Make a plan with: group-sync plan --out plan.json",
    });
  }
}

/** Writes a file. One that is there already is left alone unless `overwrite` says otherwise. */
export function writeText(file: string, text: string, overwrite: boolean): Promise<void> {
  return writeFile(file, text, { flag: overwrite ? "w" : "wx" }).catch((error: unknown) => {
    throw unwritable(file, error);
  });
}

/** Asks before long work, or work that cannot be done twice, whether its result can be saved. */
export async function mustBeWritable(file: string | undefined): Promise<void> {
  if (file === undefined) return;
  try {
    const found = await stat(file).catch(() => undefined);
    if (found?.isDirectory()) throw Object.assign(new Error("a folder"), { code: "EISDIR" });
    await access(found ? file : dirname(file), constants.W_OK);
  } catch (error) {
    throw unwritable(file, error);
  }
}

/** Throws `options-invalid` when there is such a file already. */
export async function mustNotExist(file: string): Promise<void> {
  const found = await stat(file).catch(() => undefined);
  if (found) throw unwritable(file, { code: "EEXIST" });
}

function unwritable(file: string, error: unknown): GroupSyncError {
  return new GroupSyncError(
    "options-invalid",
    `${file} cannot be written: ${explain(error, "there is no such folder")}.`,
  );
}

function explain(error: unknown, missing: string): string {
  const code = typeof error === "object" && error !== null && "code" in error ? String(error.code) : "unknown";
  const words: Readonly<Record<string, string>> = {
    ENOENT: missing,
    EEXIST: "it is there already; --force writes over it",
    EISDIR: "it is a folder",
    ENOTDIR: "a part of the path is a file, not a folder",
    EACCES: "permission denied",
    EPERM: "permission denied",
    EROFS: "the disk is read-only",
    ENOSPC: "the disk is full",
    ELOOP: "it is a link that leads in a circle",
  };
  return words[code] ?? code;
}
