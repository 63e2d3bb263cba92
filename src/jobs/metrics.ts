/**
 * What a service counts, in the text format of Prometheus, and through OpenTelemetry where that is set up.
 *
 * The names below are a promise: the dashboard and the alert rules in docs/observability go by them, and a test holds
 * them together. Counters begin at 0 with the process; a time of success is taken over from the state.
 */
import type { ProviderId, ProviderReport } from "../model.js";
import type { State } from "../state/state.js";
import { toolVersion } from "../version.js";
import type { JobEvent, Tick } from "./tick.js";

interface MetricInfo {
  readonly type: "counter" | "gauge";
  readonly help: string;
  readonly labels: readonly string[];
}

/** Every metric, by its name. */
export const METRICS = {
  group_sync_build_info: { type: "gauge", help: "1, for the version that runs.", labels: ["version"] },
  group_sync_runs_total: { type: "counter", help: "Turns, by how they ended.", labels: ["status"] },
  group_sync_run_seconds_total: { type: "counter", help: "Seconds spent in turns.", labels: [] },
  group_sync_running: { type: "gauge", help: "Turns that are under way.", labels: [] },
  group_sync_missed_total: {
    type: "counter",
    help: "Turns left out because the one before took too long.",
    labels: [],
  },
  group_sync_last_run_timestamp_seconds: { type: "gauge", help: "When the last turn ended.", labels: [] },
  group_sync_last_success_timestamp_seconds: {
    type: "gauge",
    help: "When a provider was last read and written to its end without an error.",
    labels: ["provider"],
  },
  group_sync_group_last_success_timestamp_seconds: {
    type: "gauge",
    help: "When a group was last found or made as the spec says. Up to 1000 groups.",
    labels: ["provider", "group"],
  },
  group_sync_calls_total: {
    type: "counter",
    help: "Requests, by what they are for and how they were answered: 2xx, 4xx, 5xx, or none.",
    labels: ["provider", "effect", "status"],
  },
  group_sync_call_seconds_total: { type: "counter", help: "Seconds spent in requests.", labels: ["provider"] },
  group_sync_retries_total: { type: "counter", help: "Requests that were sent again.", labels: ["provider"] },
  group_sync_wait_seconds_total: {
    type: "counter",
    help: "Seconds spent waiting for a rate limit.",
    labels: ["provider"],
  },
  group_sync_changes_total: { type: "counter", help: "Changes, by how they ended.", labels: ["provider", "status"] },
  group_sync_drift_total: {
    type: "counter",
    help: "Changes that were needed although nobody had changed the spec.",
    labels: [],
  },
  group_sync_held: { type: "gauge", help: "Changes that a guard holds back.", labels: ["provider"] },
  group_sync_unresolved: { type: "gauge", help: "People without exactly one usable account.", labels: ["provider"] },
  group_sync_problems: { type: "gauge", help: "Groups that could not be planned.", labels: ["provider"] },
  group_sync_quarantined: {
    type: "gauge",
    help: "1 while a provider is left alone after failing.",
    labels: ["provider"],
  },
} as const satisfies Record<string, MetricInfo>;

/** The name of a metric. */
export type MetricName = keyof typeof METRICS;

/** One value: its labels in the order of the metric's. */
interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** The numbers of a service. */
export interface Metrics {
  onEvent(event: JobEvent): void;
  /** Takes over from past runs when providers were last well. */
  recall(state: State): Promise<void>;
  samples(name: MetricName): readonly Sample[];
  /** All of them, in the text format of Prometheus (version 0.0.4). */
  render(): string;
}

/** More groups than this would be too many series; then there are none by group. */
const MOST_GROUPS = 1000;
const RECALLED_RUNS = 20;

/** Makes the numbers of a service. */
export function createMetrics(now: () => number = Date.now): Metrics {
  const series = new Map<MetricName, Map<string, number>>();
  const valuesOf = (name: MetricName) => {
    const values = series.get(name) ?? new Map<string, number>();
    series.set(name, values);
    return values;
  };
  const set = (name: MetricName, labels: readonly string[], value: number) =>
    valuesOf(name).set(JSON.stringify(labels), value);
  const add = (name: MetricName, labels: readonly string[], value = 1) =>
    set(name, labels, (valuesOf(name).get(JSON.stringify(labels)) ?? 0) + value);
  const forget = (name: MetricName, isGone: (provider: string, group: string) => boolean) => {
    for (const key of valuesOf(name).keys()) {
      const [provider = "", group = ""] = JSON.parse(key) as readonly string[];
      if (isGone(provider, group)) valuesOf(name).delete(key);
    }
  };

  set("group_sync_build_info", [toolVersion], 1);
  set("group_sync_running", [], 0);
  for (const name of ["group_sync_run_seconds_total", "group_sync_missed_total", "group_sync_drift_total"] as const) {
    set(name, [], 0);
  }

  function countTick(tick: Tick): void {
    const endedAt = Date.parse(tick.finishedAt) / 1000;
    add("group_sync_runs_total", [tick.status]);
    add("group_sync_run_seconds_total", [], endedAt - Date.parse(tick.startedAt) / 1000);
    add("group_sync_drift_total", [], tick.drift);
    add("group_sync_running", [], -1);
    set("group_sync_last_run_timestamp_seconds", [], endedAt);
    if (tick.providers.length > 0) forgetStrangers(tick);
    for (const part of tick.report?.providers ?? []) countProvider(part, tick, endedAt);
  }

  /** What is about providers and groups that the spec does not have any more. */
  function forgetStrangers({ providers, targets }: Tick): void {
    const known = new Set(providers);
    for (const [name, { type, labels }] of listMetrics()) {
      if (type === "gauge" && labels[0] === "provider") forget(name, (provider) => !known.has(provider));
    }
    const places = new Set(targets.length > MOST_GROUPS ? [] : targets.map(placeOf));
    const asked = new Set(targets.map(({ provider }) => provider));
    forget(
      "group_sync_group_last_success_timestamp_seconds",
      (provider, group) => asked.has(provider) && !places.has(placeOf({ provider, group })),
    );
  }

  function countProvider(part: ProviderReport, { report, targets }: Tick, endedAt: number): void {
    const { id, outcomes, unresolved, problems, error } = part;
    for (const { status } of outcomes) if (status !== "held") add("group_sync_changes_total", [id, status]);
    if (error) return;
    set("group_sync_held", [id], outcomes.filter(({ status }) => status === "held").length);
    set("group_sync_unresolved", [id], unresolved.length);
    set("group_sync_problems", [id], problems.length);
    const unwell = new Set([
      ...problems.map(({ group }) => group),
      ...unresolved.flatMap(({ groups }) => groups),
      ...outcomes.filter(({ status }) => !["applied", "already", "pending"].includes(status)).map(({ group }) => group),
      ...(report?.residual ?? []).filter(({ provider }) => provider === id).map(({ group }) => group),
    ]);
    if (outcomes.every(({ status }) => !["failed", "unknown", "skipped"].includes(status)) && problems.length === 0) {
      set("group_sync_last_success_timestamp_seconds", [id], endedAt);
    }
    if (targets.length > MOST_GROUPS) return;
    for (const { provider, group } of targets) {
      if (provider === id && !unwell.has(group)) {
        set("group_sync_group_last_success_timestamp_seconds", [id, group], endedAt);
      }
    }
  }

  function samples(name: MetricName): readonly Sample[] {
    const { labels } = METRICS[name];
    return [...valuesOf(name)].map(([key, value]) => {
      const values = JSON.parse(key) as readonly string[];
      return { labels: Object.fromEntries(labels.map((label, index) => [label, values[index] ?? ""])), value };
    });
  }

  return {
    onEvent: (event) => {
      switch (event.type) {
        case "begin":
          return add("group_sync_running", []);
        case "tick":
          return countTick(event.tick);
        case "missed":
          return add("group_sync_missed_total", [], event.turns);
        case "call":
          add("group_sync_calls_total", [event.provider, event.effect, statusClass(event.status)]);
          return add("group_sync_call_seconds_total", [event.provider], event.ms / 1000);
        case "retry":
          return add("group_sync_retries_total", [event.provider]);
        case "wait":
          return add("group_sync_wait_seconds_total", [event.provider], event.delayMs / 1000);
        case "quarantined":
          return set("group_sync_quarantined", [event.provider], 1);
        case "returned":
          return set("group_sync_quarantined", [event.provider], 0);
      }
    },
    recall: async (state) => {
      const found = new Set<ProviderId>();
      for (const { runId } of await state.runs(RECALLED_RUNS)) {
        const report = (await state.run(runId))?.report;
        for (const { id, error, problems, outcomes } of report?.providers ?? []) {
          const failed = outcomes.some(({ status }) => ["failed", "unknown", "skipped"].includes(status));
          if (!report || error || problems.length > 0 || failed || found.has(id)) continue;
          found.add(id);
          set("group_sync_last_success_timestamp_seconds", [id], Date.parse(report.finishedAt) / 1000);
        }
      }
      for (const { provider, until } of await state.quarantines()) {
        set("group_sync_quarantined", [provider], Date.parse(until) > now() ? 1 : 0);
      }
    },
    samples,
    render: () =>
      listMetrics()
        .flatMap(([name, { type, help, labels }]) => [
          `# HELP ${name} ${help}`,
          `# TYPE ${name} ${type}`,
          ...samples(name).map((sample) => `${name}${renderLabels(labels, sample)} ${sample.value}`),
        ])
        .join("\n")
        .concat("\n"),
  };
}

/** All metrics, in their order. */
export function listMetrics(): readonly (readonly [MetricName, MetricInfo])[] {
  return Object.entries(METRICS) as [MetricName, MetricInfo][];
}

function placeOf({ provider, group }: Tick["targets"][number]): string {
  return JSON.stringify([provider, group]);
}

function statusClass(status: number | undefined): string {
  return status === undefined ? "none" : `${Math.floor(status / 100)}xx`;
}

function renderLabels(names: readonly string[], { labels }: Sample): string {
  if (names.length === 0) return "";
  // Escaped as the format asks: backslash, quote, line feed.
  const escape = (text: string) => text.replace(/\\/g, "\\\\").replace(/"/g, '\\"').replace(/\n/g, "\\n");
  return `{${names.map((name) => `${name}="${escape(labels[name] ?? "")}"`).join(",")}}`;
}
