/** Types of docs.mjs, for the test that holds its data against the sources. */
import type { ProviderType } from "../src/provider.js";

export interface TestReference {
  readonly kind: string;
  readonly title: string;
  readonly row: string | undefined;
  readonly files: readonly string[];
}
export function parseTest(reference: string, service: string): TestReference;
export function renderAll(types: readonly ProviderType[]): Promise<Readonly<Record<string, string>>>;
