/** Types of docs.mjs, for the test that holds its data against the sources. */
import type { Command } from "commander";
import type { ProviderType } from "../src/provider.js";

export interface TestReference {
  readonly kind: string;
  readonly title: string;
  readonly row: string | undefined;
  readonly files: readonly string[];
}
export function parseTest(reference: string, service: string): TestReference;
export function renderAll(types: readonly ProviderType[]): Promise<Readonly<Record<string, string>>>;
export function renderReference(
  program: Command,
  schema: Readonly<Record<string, unknown>>,
): Promise<Readonly<Record<string, string>>>;
