/** For each guard a scene in which it is the one that objects. Shared with the test of docs/safety.md. */
import type { GuardName, GuardSettings } from "../../../src/model.js";
import { actual, defaults, disabled, group, missing, noLimits, oneManager, type Scene } from "./builders.js";

export const names = (count: number, prefix = "p") =>
  Array.from({ length: count }, (_, index) => `${prefix}${index + 1}`);
export const limits = (count: number, percent: number): GuardSettings => ({
  ...noLimits,
  maxRemovals: { count, percent },
});
/** Keeps `kept` people, removes `removed`. */
export const shrink = (kept: number, removed: number, guards: GuardSettings, id = "crew", more = {}): Scene => ({
  wanted: [group(id, { members: names(kept), guards, ...more })],
  there: [actual(id, [...names(kept), ...names(removed, "x")])],
});
/** One scene for each guard in which it is the one that objects, and how it would be acknowledged. */
export const scenes: Readonly<Record<GuardName, Scene>> = {
  "foreign-group": {
    wanted: [group("crew", { members: ["ada"] })],
    there: [actual("crew", ["ada", "eve"], { kind: "directory" })],
  },
  "no-removals": { ...shrink(1, 1, noLimits), removals: false },
  "group-delete": { wanted: [group("crew", { absent: true })], there: [actual("crew", ["eve"])] },
  "incomplete-reading": {
    wanted: [group("crew", { members: ["ada"] })],
    there: [actual("crew", ["ada", "eve"], { incomplete: "page 2 failed" })],
  },
  "unresolved-person": {
    wanted: [group("crew", { members: ["ada", "grace"] })],
    there: [actual("crew", ["ada", "eve"])],
    resolutions: { grace: missing },
  },
  "own-account": { ...shrink(1, 1, noLimits), ownAccount: "@x1" },
  "protected-person": shrink(1, 1, { ...noLimits, protect: ["x1@*"] }),
  adoption: shrink(1, 1, noLimits, "crew", { adopt: false }),
  "role-loss": {
    wanted: [group("crew", { members: ["ada"], managers: [] })],
    there: [actual("crew", ["ada:manager"])],
    capabilities: oneManager,
  },
  "last-owner": {
    wanted: [group("crew", { members: ["ada"], owners: [], guards: defaults })],
    there: [actual("crew", ["ada:owner"])],
  },
  "empty-group": { wanted: [group("crew", { members: [] })], there: [actual("crew", ["eve"])] },
  "empty-source": {
    wanted: [group("a", { members: [] }), group("b", { members: [] })],
    there: [actual("a", ["eve"]), actual("b", ["eve"])],
    allow: ["empty-group"],
  },
  "max-removals": shrink(2, 2, limits(50, 25)),
  "changed-scope": { ...shrink(1, 1, noLimits), recollection: { formerIdentity: "another tenant" } },
  "declined-invitation": {
    wanted: [group("crew", { members: ["ada", "eve"] })],
    there: [actual("crew", ["ada"])],
    recollection: { declined: (_group, account) => account === "@eve" },
  },
};

/** For each guard a scene that stays just under it: something goes, nothing is held. */
export const justUnder: Readonly<Record<GuardName, Scene>> = {
  "foreign-group": {
    wanted: [group("crew", { members: ["ada"] })],
    there: [actual("crew", ["ada", "eve"], { kind: "plain" })],
  },
  "no-removals": {
    wanted: [group("crew", { members: ["ada", "eve"] })],
    there: [actual("crew", ["ada"])],
    removals: false,
  },
  "group-delete": { wanted: [group("crew", { members: ["ada"] })], there: [actual("crew", ["ada", "eve"])] },
  "incomplete-reading": {
    wanted: [group("crew", { members: ["ada", "eve"] })],
    there: [actual("crew", ["ada"], { incomplete: "page 2 failed" })],
  },
  // Who she is there is known; she is only switched off.
  "unresolved-person": {
    wanted: [group("crew", { members: ["ada", "grace"] })],
    there: [actual("crew", ["ada", "eve"])],
    resolutions: { grace: disabled("grace") },
  },
  "own-account": { ...shrink(1, 1, noLimits), ownAccount: "@p1" },
  "protected-person": shrink(1, 1, { ...noLimits, protect: ["p1@*"] }),
  adoption: {
    wanted: [group("crew", { members: ["ada", "eve"], adopt: false })],
    there: [actual("crew", ["ada"])],
  },
  "role-loss": {
    wanted: [group("crew", { members: ["ada"], managers: ["grace"] })],
    there: [actual("crew", ["ada:manager", "grace"])],
    capabilities: oneManager,
  },
  "last-owner": {
    wanted: [group("crew", { members: ["ada"], owners: ["grace"], guards: defaults })],
    there: [actual("crew", ["ada:owner", "grace:owner"])],
  },
  "empty-group": shrink(1, 3, noLimits),
  "empty-source": {
    wanted: [group("a", { members: [] }), group("b", { members: ["ada"] })],
    there: [actual("a", ["eve"]), actual("b", ["ada", "eve"])],
    allow: ["empty-group"],
  },
  "max-removals": shrink(6, 2, limits(50, 25)),
  "changed-scope": {
    wanted: [group("crew", { members: ["ada", "eve"] })],
    there: [actual("crew", ["ada"])],
    recollection: { formerIdentity: "another tenant" },
  },
  "declined-invitation": {
    wanted: [group("crew", { members: ["ada", "eve"] })],
    there: [actual("crew", ["ada"])],
    recollection: { declined: (_group, account) => account === "@grace" },
  },
};
