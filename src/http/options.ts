/** What a user may set about the connection to any service. */
import { z } from "zod";

/** Options that every adapter of ours takes besides its own. */
export interface ConnectionOptions {
  /** Time for one attempt, from sending to the last byte of the answer, in milliseconds. @default 60000 */
  readonly timeoutMs?: number;
  /** Attempts per request, the first included; a rate limit (429) is waited out up to five times more. @default 5 */
  readonly maxAttempts?: number;
  /** First step of the back-off in milliseconds. @default 500 */
  readonly retryDelayMs?: number;
  /** The limit on requests per minute, where yours differs from the documented one or none is documented. */
  readonly requestsPerMinute?: number;
  /**
   * A longer wait than this, asked for by the service or by one of its documented limits, ends the run with the time to
   * come back. In milliseconds. @default 180000
   */
  readonly maxWaitMs?: number;
}

/** The same for the options schema of an adapter. Spread it: `z.strictObject({ …, ...connectionShape })`. */
export const connectionShape = {
  timeoutMs: z
    .int()
    .positive()
    .exactOptional()
    .describe("Time for one attempt of a request, in milliseconds. Default 60000."),
  maxAttempts: z.int().positive().exactOptional().describe("Attempts per request, the first included. Default 5."),
  retryDelayMs: z
    .int()
    .nonnegative()
    .exactOptional()
    .describe("First step of the back-off, in milliseconds. Default 500."),
  requestsPerMinute: z
    .int()
    .positive()
    .exactOptional()
    .describe("Your limit on requests per minute, where it is not the documented one."),
  maxWaitMs: z
    .int()
    .nonnegative()
    .exactOptional()
    .describe(
      "A rate limit that lasts longer ends the run with the time to come back, in milliseconds. Default 180000.",
    ),
} satisfies Record<keyof ConnectionOptions, z.ZodType>;
