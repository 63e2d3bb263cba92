/** Writing to stdout and stderr: whole, in order, and without complaint when the reader has gone away. */
import { writeSync } from "node:fs";

/** The result of a command. */
export function writeResult(text: string): void {
  writeAll(1, text);
}

/** People's text beside the result. */
export function writeRemark(text: string): void {
  writeAll(2, `${text}\n`);
}

/** A document on stdout, for machines. */
export function writeJson(document: unknown): void {
  writeResult(`${JSON.stringify(document, null, 2)}\n`);
}

/** Whoever reads may stop early (`| head -1`); Node would end the program with a stack trace. */
export function tolerateClosedPipes(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code !== "EPIPE") throw error;
    });
  }
}

/** Also to a pipe that is slow: what is not written when the program ends would be lost. */
function writeAll(descriptor: number, text: string): void {
  const bytes = Buffer.from(text);
  for (let offset = 0; offset < bytes.length; ) {
    try {
      offset += writeSync(descriptor, bytes, offset);
    } catch (error) {
      const code = error instanceof Error && "code" in error ? error.code : undefined;
      if (code === "EPIPE") return;
      if (code !== "EAGAIN") throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
    }
  }
}
