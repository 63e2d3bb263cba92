/** Questions on a terminal. */
import { createInterface } from "node:readline/promises";
import { GroupSyncError } from "../errors.js";
import type { Session } from "./session.js";

/** Puts a question; an empty answer is the usual one. */
export type Ask = (question: string, usual: string) => Promise<string>;

/** Whether there is somebody to ask. */
export function canAsk(): boolean {
  return process.stdin.isTTY && process.stderr.isTTY;
}

/** Talks with whoever sits at the terminal. Ctrl-C and Ctrl-D end it with `cancelled`. */
export async function talk<T>(session: Session, dialogue: (ask: Ask) => Promise<T>): Promise<T> {
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  const closed = new Promise<never>((_resolve, reject) => {
    terminal.once("close", () => reject(new GroupSyncError("cancelled", "Stopped; nothing was written.")));
  });
  // Closed at the end too, when nobody waits for it any more.
  closed.catch(() => {});
  const ask: Ask = async (question, usual) => {
    const answer = terminal.question(`${question} [${usual}]: `, { signal: session.signal });
    answer.catch(() => {});
    return (await Promise.race([answer, closed])).trim() || usual;
  };
  try {
    return await dialogue(ask);
  } finally {
    terminal.close();
  }
}
