/** NeuroIO: how few calls people × groups are covered with, and how long finding them takes. No network. */
import { coverPairs } from "../src/reconcile/cover.js";
import { count, type Figure, fastest } from "./figures.js";
import {
  countChunks,
  createCrowd,
  createOrganisation,
  createRandom,
  drawShare,
  type Memberships,
  pairsOf,
} from "./org.js";

/** What NeuroIO takes in one call. */
const LIMITS = { people: 100, groups: 100 };
/** What a request takes at the least, for weighing the search against the sending. */
const REQUEST_MS = 50;

/** The figures of covers. They take seconds at full size, so there is no smaller one. */
export async function measureCovers(): Promise<readonly Figure[]> {
  const organisation = createOrganisation(10_000, 1);
  const crowd = createCrowd(10_000, 8);
  const random = createRandom(10_000, 300, 60_000, 2);
  const drift = drawShare(organisation, 3, 3);
  const figures: Figure[] = [];
  let slowest = { share: 0, detail: "" };
  const cover = async (name: string, memberships: Memberships, least: number, bound: Figure["bound"], of: string) => {
    const pairs = pairsOf(memberships);
    const calls = coverPairs(pairs, LIMITS).length;
    const ms = await fastest(3, () => void coverPairs(pairs, LIMITS));
    const share = ms / (calls * REQUEST_MS);
    if (share > slowest.share) slowest = { share, detail: `${name}: ${count(ms)} ms for ${count(calls)} requests` };
    figures.push({
      measure: `NeuroIO, ${name}: requests ÷ ${of}`,
      bound,
      value: calls / least,
      detail: `${count(pairs.length)} memberships in ${count(memberships.size)} groups: ${count(calls)} ÷ ${count(least)}`,
      kind: "count",
    });
  };
  const chunking = "going group by group";
  await cover(
    "10,000 people into role-structured groups",
    organisation,
    countChunks(organisation, 100),
    { atMost: 0.7 },
    chunking,
  );
  await cover("10,000 people into the same 8 groups", crowd, 100, { exactly: 1 }, "lower bound");
  await cover("random memberships", random, countChunks(random, 100), { atMost: 1 }, chunking);
  await cover("3 % drift", drift, countChunks(drift, 100), { atMost: 1 }, chunking);
  figures.push({
    measure: `NeuroIO, finding the worst of these covers: time ÷ (requests × ${REQUEST_MS} ms)`,
    bound: { atMost: 0.03 },
    value: slowest.share,
    detail: slowest.detail,
    kind: "time",
  });
  return figures;
}
