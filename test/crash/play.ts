/**
 * Plays a scene: the built command line works on the emulators, is killed, is started again, until one run is left
 * alone. What truly happened is known from the emulators; what is remembered of it has to say the same.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { createProviders, parseSpec, type ReconcileOptions, reconcile } from "../../src/index.js";
import { type Sandbox, startSandbox } from "../../src/sandbox/server.js";
import { openState, type StatePlace } from "../../src/state/index.js";
import { createWitness, type Effect, type Witness } from "../chaos/witness.js";
import { BRAINSTEM_OWN, providerIds, SERVICES } from "../chaos/scenario.js";
import { specObject } from "../scenarios/world.js";
import { checkMemory, checkTruth, checkUndo, type Remembered } from "./checks.js";
import { createScene, type Moment, type Scene } from "./scene.js";

/** One start of the command line. */
export interface Attempt {
  readonly killed: boolean;
  /** Absent when it was killed. */
  readonly code?: number;
  readonly startedAt: number;
  readonly endedAt: number;
  readonly effects: readonly Effect[];
  readonly writes: number;
  readonly said: string;
}

export interface CrashPlay {
  readonly seed: number;
  readonly attempts: readonly Attempt[];
  /** Runs that were killed with changes made and changes to be made. */
  readonly midway: number;
  readonly violations: readonly string[];
}

export interface CrashOptions {
  /** The command line as JavaScript. */
  readonly cli: string;
  /** Where each play remembers its runs. @default a file of its own */
  readonly createPlace?: () => Promise<StatePlace>;
}

const ALLOWED = ["role-loss", "group-delete", "empty-group"] as const;

/** A sandbox that holds what the scene says, and somebody who sees what is truly done to it. */
interface Stage {
  readonly sandbox: Sandbox;
  readonly witness: Witness;
  /** The spec as JSON. */
  readonly spec: (place?: StatePlace) => Record<string, unknown>;
}

async function setUp(scene: Scene): Promise<Stage> {
  const witness = createWitness();
  const seed = { people: scene.people, groups: scene.before };
  const options = { seed, latencyMs: scene.latencyMs, switches: { brainstem: { reinvite: "duplicateRow" } } };
  const sandbox = await startSandbox({ ...options, services: SERVICES }, witness.factories);
  const spec = (place?: StatePlace) => {
    const wish = {
      groups: scene.wanted,
      guards: { maxRemovals: { count: 1000, percent: 100 } },
      connection: { timeoutMs: 30_000 },
    };
    const object = specObject({ sandbox, seed, close: () => sandbox.close() }, wish) as unknown as SpecFile;
    const { people, groups } = object;
    // Whoever makes a group at BrainSTEM owns it.
    people["sync"] = { email: BRAINSTEM_OWN, accounts: { faces: null, docs: null, calls: null } };
    for (const { name, gone, fresh, owners = [] } of scene.wanted) {
      const group = groups[name] ?? { targets: {} };
      if (gone) groups[name] = { name, delete: true, targets: group.targets };
      else if (fresh) group.targets["lab"] = { owners: [...owners, "sync"] };
    }
    return { ...object, ...(place && { state: place }) };
  };
  return { sandbox, witness, spec };
}

interface SpecFile extends Record<string, unknown> {
  readonly people: Record<string, object>;
  readonly groups: Record<string, { readonly targets: Record<string, object> } & Record<string, unknown>>;
}

async function optionsFor(spec: Record<string, unknown>): Promise<ReconcileOptions> {
  const parsed = await parseSpec(JSON.stringify(spec), { file: "spec.json" });
  return { spec: parsed, providers: createProviders(parsed), allow: ALLOWED.map((guard) => ({ guard })) };
}

/** What the same scene comes to when nobody is killed. */
async function playUndisturbed(scene: Scene): Promise<{ stage: Stage; requests: number; writes: number }> {
  const stage = await setUp(scene);
  const { sandbox, spec } = stage;
  const report = await reconcile(await optionsFor(spec()));
  if (!["converged", "held"].includes(report.status)) throw new Error(`The scene itself ends ${report.status}.`);
  const counts = { requests: sandbox.log.length, writes: sandbox.log.filter(({ write }) => write).length };
  await sandbox.close();
  return { stage, ...counts };
}

/** Plays one scene to its end. */
export async function playCrash(seed: number, { cli, createPlace }: CrashOptions): Promise<CrashPlay> {
  const scene = createScene(seed);
  const undisturbed = await playUndisturbed(scene);
  const folder = mkdtempSync(join(tmpdir(), "group-sync-crash-"));
  const stage = await setUp(scene);
  const { sandbox, witness } = stage;
  const first = snapshot(stage);
  try {
    const place = (await createPlace?.()) ?? { file: join(folder, "state.db") };
    const config = join(folder, "spec.json");
    writeFileSync(config, JSON.stringify(stage.spec(place)));

    const attempts: Attempt[] = [];
    for (const moment of [...scene.kills, undefined]) {
      const seen = witness.effects.length;
      const logged = sandbox.log.length;
      const startedAt = Date.now();
      const args = ["apply", "--yes", "--json", "--config", config, "--allow", ...ALLOWED];
      const child = spawn(process.execPath, [cli, ...args], { stdio: ["ignore", "pipe", "pipe"] });
      let said = "";
      child.stdout.setEncoding("utf8").on("data", (text: string) => (said += text));
      child.stderr.setEncoding("utf8").on("data", (text: string) => (said += text));
      const closed = once(child, "close") as Promise<[number | null, NodeJS.Signals | null]>;
      if (moment) {
        const ended = new AbortController();
        void closed.then(() => ended.abort());
        const written = attempts.reduce((sum, { writes }) => sum + writes, 0);
        const left = { requests: undisturbed.requests, writes: Math.max(1, undisturbed.writes - written) };
        await waitFor(moment, left, sandbox, ended.signal);
        child.kill("SIGKILL");
      }
      const [code, signal] = await closed;
      if (signal) await settled(sandbox, logged);
      attempts.push({
        killed: signal !== null,
        ...(code !== null && { code }),
        startedAt,
        endedAt: Date.now(),
        effects: witness.effects.slice(seen),
        writes: sandbox.log.slice(logged).filter(({ write }) => write).length,
        said,
      });
    }

    const state = await openState(place);
    try {
      const options = await optionsFor(stage.spec(place));
      const remembered: Remembered = { attempts, state };
      const violations = [
        ...checkTruth(remembered, { before: first, after: snapshot(stage), expected: snapshot(undisturbed.stage) }),
        ...witness.doubleInvitations.map((each) => `invited twice: ${each}`),
        ...(await checkMemory(remembered, { before: first, after: snapshot(stage) })),
        ...(await checkUndo(remembered, options, first, () => snapshot(stage))),
      ];
      return { seed, attempts, midway: attempts.filter(isMidway).length, violations };
    } finally {
      await state.close();
    }
  } finally {
    await sandbox.close();
    rmSync(folder, { recursive: true, force: true });
  }

  function isMidway({ killed, effects }: Attempt, index: number, all: readonly Attempt[]): boolean {
    return killed && effects.length > 0 && all.slice(index + 1).some((later) => later.effects.length > 0);
  }
}

/** What a group truly is, whatever its id. */
export interface TrueState {
  readonly provider: string;
  readonly groupId: string;
  readonly name: string;
  /** Roles by account; `invited` of those who have not answered, once per invitation. */
  readonly members: readonly string[];
}

function snapshot({ sandbox }: Stage): readonly TrueState[] {
  return SERVICES.flatMap((service) =>
    sandbox.services[service].control.groups().map(({ id, name, members, invited }) => ({
      provider: providerIds[service],
      groupId: id,
      name,
      members: [
        ...members.map(({ account, role }) => `${account.toLowerCase()} ${role}`),
        ...invited.map((account) => `${account.toLowerCase()} invited`),
      ].toSorted(),
    })),
  );
}

/** Waits until the run is to be killed, or has ended. `left`: what a run that is left alone would still send. */
async function waitFor(
  moment: Moment,
  left: { readonly requests: number; readonly writes: number },
  { log }: Sandbox,
  ended: AbortSignal,
): Promise<void> {
  if (moment.after !== "start") {
    let wanted = Math.ceil(moment.at * (moment.after === "write" ? left.writes : left.requests));
    for (let next = log.length; wanted > 0 && !ended.aborted; ) {
      const entry = log[next];
      if (!entry) await sleep(1);
      else {
        next++;
        if (moment.after === "request" || entry.write) wanted--;
      }
    }
  }
  await sleep(moment.thenMs, undefined, { signal: ended }).catch(() => {});
}

/** What was under way when the process died is carried out all the same. */
async function settled({ log }: Sandbox, from: number): Promise<void> {
  for (let quiet = 0, known = log.length, waits = 0; quiet < 3 && waits < 100; waits++) {
    await sleep(10);
    const calm = log.length === known && log.slice(from).every(({ status }) => status !== 0);
    quiet = calm ? quiet + 1 : 0;
    known = log.length;
  }
}
