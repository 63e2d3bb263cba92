/** What a service says of itself: numbers, health, notices, log lines, spans. */
import { readFileSync } from "node:fs";
import { createServer, type IncomingHttpHeaders, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { trace } from "@opentelemetry/api";
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from "@opentelemetry/sdk-trace-base";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { startHealthServer } from "../../src/jobs/health.js";
import { describeEvent, renderEntry } from "../../src/jobs/log.js";
import { createMetrics, listMetrics, METRICS } from "../../src/jobs/metrics.js";
import { createNoticeMaker, createNotifier, explainNotifyError, type Notice } from "../../src/jobs/notify.js";
import type { Tick } from "../../src/jobs/tick.js";
import { createTelemetry } from "../../src/jobs/trace.js";
import { providerIds, startWorld, type World } from "../scenarios/world.js";
import { createService, seed, type TestService, wish } from "./kit.js";

const NO_COUNTS = { applied: 0, already: 0, pending: 0, held: 0, skipped: 0, failed: 0, unknown: 0 };
type Part = Partial<NonNullable<Tick["report"]>["providers"][number]>;

/** A turn that ended so, with one provider. */
function tickOf(status: Tick["status"], part: Part = {}, more: Partial<Tick> = {}): Tick {
  const calls = { read: 0, write: 0, retried: 0, throttledSeconds: 0 };
  const provider = {
    id: "docs",
    type: "docspace",
    outcomes: [],
    unresolved: [],
    problems: [],
    notes: [],
    calls,
    ...part,
  };
  const summary = { ...NO_COUNTS };
  for (const outcome of provider.outcomes) summary[outcome.status]++;
  const times = { startedAt: "2027-03-01T12:00:00.000Z", finishedAt: "2027-03-01T12:00:02.000Z" };
  return {
    status,
    ...times,
    drift: 0,
    resting: [],
    providers: ["docs"],
    targets: [{ provider: "docs", group: "day" }],
    ...(["converged", "held", "partial", "failed"].includes(status) && {
      report: {
        kind: "report" as const,
        formatVersion: 1 as const,
        runId: "run-1",
        planId: "plan-1",
        ...times,
        status: status as "held",
        summary,
        providers: [provider],
        residual: [],
      },
    }),
    ...more,
  };
}
const change = { type: "member.add", group: "day", person: "ada", reason: "wanted" } as const;
const applied = { outcomes: [{ ...change, status: "applied" as const }] };
const held = { outcomes: [{ ...change, status: "held" as const }] };
const down = { error: { code: "network", message: "docs cannot be reached." } };

describe("the numbers", () => {
  let world: World;
  let service: TestService;
  beforeAll(async () => {
    world = await startWorld({ seed });
  });
  afterAll(() => world.close());
  afterEach(() => service.close());

  it("agree with what the emulators saw", async () => {
    const metrics = createMetrics();
    service = createService(world, { onEvent: (event) => metrics.onEvent(event) });
    await service.tick();
    world.sandbox.addFault({ kind: "rate-limit", service: "docspace", when: "read", seconds: 1 });
    await service.tick();
    const sum = (name: keyof typeof METRICS, labels: Record<string, string> = {}) =>
      metrics
        .samples(name)
        .filter((sample) => Object.entries(labels).every(([key, value]) => sample.labels[key] === value))
        .reduce((total, { value }) => total + value, 0);
    for (const [provider, name] of Object.entries(providerIds)) {
      const seen = world.sandbox.log.filter((entry) => entry.service === name);
      expect(sum("group_sync_calls_total", { provider }), provider).toBe(seen.length);
    }
    expect(sum("group_sync_calls_total", { provider: "docs", status: "4xx" })).toBe(
      world.sandbox.log.filter(({ service: name, status }) => name === "docspace" && status >= 400).length,
    );
    expect(sum("group_sync_retries_total", { provider: "docs" })).toBe(1);
    expect(sum("group_sync_wait_seconds_total", { provider: "docs" })).toBeGreaterThan(0.5);
    expect(sum("group_sync_runs_total", { status: "converged" })).toBe(2);
    expect(sum("group_sync_changes_total")).toBeGreaterThan(20);
    expect(metrics.samples("group_sync_last_success_timestamp_seconds")).toHaveLength(4);
    expect(metrics.samples("group_sync_group_last_success_timestamp_seconds")).toHaveLength(4 * wish.groups.length);
    expect(sum("group_sync_running")).toBe(0);
  });

  it("remember over a restart when a provider was last well", async () => {
    service = createService(world);
    const { finishedAt } = await service.tick();
    const metrics = createMetrics();
    await service.withState((state) => metrics.recall(state));
    const times = metrics.samples("group_sync_last_success_timestamp_seconds");
    expect(times).toHaveLength(4);
    for (const { value } of times) expect(Math.abs(value - Date.parse(finishedAt) / 1000)).toBeLessThan(2);
  });

  it("do not take for success what was not done, and forget who left the spec", () => {
    service = createService(world);
    const metrics = createMetrics();
    metrics.onEvent({ type: "tick", tick: tickOf("failed", down) });
    metrics.onEvent({ type: "tick", tick: tickOf("partial", { outcomes: [{ ...change, status: "failed" }] }) });
    expect(metrics.samples("group_sync_last_success_timestamp_seconds")).toEqual([]);
    metrics.onEvent({ type: "tick", tick: tickOf("held", held) });
    expect(metrics.samples("group_sync_held")).toEqual([{ labels: { provider: "docs" }, value: 1 }]);
    expect(metrics.samples("group_sync_last_success_timestamp_seconds")).toHaveLength(1);
    expect(metrics.samples("group_sync_group_last_success_timestamp_seconds")).toEqual([]);
    metrics.onEvent({
      type: "tick",
      tick: tickOf("converged", { id: "lab" }, { providers: ["lab"] }),
    });
    expect(metrics.samples("group_sync_held")).toEqual([{ labels: { provider: "lab" }, value: 0 }]);
  });

  it("are text as Prometheus reads it, whatever a group is called", () => {
    service = createService(world);
    const metrics = createMetrics();
    const targets = [{ provider: "docs", group: 'a "b"\\c\nd' }];
    metrics.onEvent({ type: "tick", tick: tickOf("converged", applied, { targets }) });
    const lines = metrics.render().split("\n");
    expect(lines.at(-1)).toBe("");
    expect(lines).toContain(
      'group_sync_group_last_success_timestamp_seconds{provider="docs",group="a \\"b\\"\\\\c\\nd"} 1803902402',
    );
    const label = '[a-z]+="(?:[^"\\\\\\n]|\\\\["\\\\n])*"';
    for (const line of lines.slice(0, -1)) {
      expect(line).toMatch(
        new RegExp(`^(# (HELP|TYPE) group_sync_\\w+ .+|group_sync_\\w+(\\{${label}(,${label})*\\})? [0-9.e+-]+)$`),
      );
    }
  });
});

describe("the dashboard and the alert rules", () => {
  const read = (name: string) => readFileSync(new URL(`../../docs/observability/${name}`, import.meta.url), "utf8");
  const namesIn = (text: string) => new Set(text.match(/\bgroup_sync_\w+/g));
  const dashboard = JSON.parse(read("dashboard.json")) as { panels: { title: string; targets: { expr: string }[] }[] };
  const alerts = parse(read("alerts.yaml")) as {
    groups: { rules: { alert: string; expr: string; annotations: object }[] }[];
  };

  it("go by names and labels that there are, and leave none out", () => {
    const expressions = [
      ...dashboard.panels.flatMap(({ targets }) => targets.map(({ expr }) => expr)),
      ...alerts.groups.flatMap(({ rules }) => rules.map(({ expr }) => expr)),
    ];
    const used = namesIn(expressions.join("\n"));
    const known = new Set<string>(listMetrics().map(([name]) => name));
    expect([...used].filter((name) => !known.has(name))).toEqual([]);
    expect([...known].filter((name) => !used.has(name))).toEqual([]);
    for (const expression of expressions) {
      for (const [, name = "", selector = ""] of expression.matchAll(/(group_sync_\w+)\{([^}]*)\}/g)) {
        const labels: readonly string[] = METRICS[name as keyof typeof METRICS].labels;
        const asked = [...selector.matchAll(/(\w+)\s*(?:=~|!~|!=|=)/g)].map(([, label]) => label);
        expect(
          asked.filter((label) => !labels.includes(label ?? "")),
          expression,
        ).toEqual([]);
      }
    }
  });

  it("say in each alert what it means and what to do", () => {
    for (const { alert, annotations } of alerts.groups.flatMap(({ rules }) => rules)) {
      expect(annotations, alert).toMatchObject({ summary: expect.any(String), description: expect.any(String) });
    }
    expect(new Set(dashboard.panels.map(({ title }) => title)).size).toBe(dashboard.panels.length);
  });
});

describe("health over HTTP", () => {
  it("is alive from the start, ready after a turn, and not while the last turn could not begin", async () => {
    const health = await startHealthServer({ port: 0, metrics: () => "group_sync_running 0\n" });
    const status = async (path: string) => (await fetch(`${health.url}${path}`)).status;
    expect(health.url).toMatch(/^http:\/\/127\.0\.0\.1:/);
    expect([await status("/healthz"), await status("/readyz")]).toEqual([200, 503]);
    health.onEvent({ type: "tick", tick: tickOf("converged") });
    expect(await status("/readyz")).toBe(200);
    const broken = { error: { code: "spec-invalid", message: "The spec has an error" } };
    health.onEvent({ type: "tick", tick: tickOf("error", {}, broken) });
    expect(await (await fetch(`${health.url}/readyz`)).json()).toEqual({
      status: "not ready",
      reason: "The spec has an error",
    });
    expect(await status("/healthz")).toBe(200);
    // A service that is down somewhere else is no reason to restart this one.
    health.onEvent({ type: "tick", tick: tickOf("failed", down) });
    expect(await status("/readyz")).toBe(200);
    health.retire();
    expect(await status("/readyz")).toBe(503);
    const metrics = await fetch(`${health.url}/metrics`);
    expect(metrics.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
    expect(await metrics.text()).toBe("group_sync_running 0\n");
    expect(await status("/etc/passwd")).toBe(404);
    expect((await fetch(`${health.url}/healthz`, { method: "POST" })).status).toBe(405);
    await expect(startHealthServer({ port: Number(new URL(health.url).port), metrics: () => "" })).rejects.toThrow(
      /Cannot listen on 127\.0\.0\.1, port \d+ \(EADDRINUSE\)/,
    );
    await health.close();
  });
});

describe("notices", () => {
  const events = (ticks: readonly Tick[]) => {
    const make = createNoticeMaker();
    return ticks.map((tick) => make(tick)?.event);
  };

  it("tell each trouble once, and when it is over", () => {
    const well = tickOf("converged");
    expect(events([well, well])).toEqual([undefined, undefined]);
    expect(events([tickOf("held", held), tickOf("held", held), well, well])).toEqual([
      "held",
      undefined,
      "recovered",
      undefined,
    ]);
    const resting = { resting: [{ provider: "docs", failures: 1, until: "", reason: "" }] };
    expect(events([well, tickOf("failed", down), tickOf("resting", {}, resting), well])).toEqual([
      undefined,
      "failed",
      undefined,
      "recovered",
    ]);
    const broken = tickOf("error", {}, { error: { code: "spec-invalid", message: "The spec has an error" } });
    expect(events([broken, broken, well])).toEqual(["failed", undefined, "recovered"]);
  });

  it("tell drift each time, and nothing of turns in which nothing is known anew", () => {
    const drift = tickOf("converged", applied, { drift: 1 });
    expect(events([drift, drift, tickOf("busy"), tickOf("stopped"), tickOf("converged", applied)])).toEqual([
      "drift",
      "drift",
      undefined,
      undefined,
      undefined,
    ]);
  });
});

describe("sending a notice", () => {
  let server: Server;
  let url: string;
  let answers: number[] = [];
  const got: { readonly body: unknown; readonly headers: IncomingHttpHeaders; readonly path: string }[] = [];
  const notice: Notice = { ...createNoticeMaker()(tickOf("held", held)) } as Notice;
  const signal = new AbortController().signal;
  beforeAll(async () => {
    server = createServer((request, response) => {
      let text = "";
      request.on("data", (part: Buffer) => {
        text += part.toString();
      });
      request.on("end", () => {
        got.push({ body: JSON.parse(text), headers: request.headers, path: request.url ?? "" });
        response.writeHead(answers.shift() ?? 200).end("ok, T0KEN-of-the-hook");
      });
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/services/T0KEN-of-the-hook?key=abc123`;
  });
  afterEach(() => {
    got.length = 0;
    answers = [];
  });
  afterAll(() => new Promise((resolve) => server.close(resolve)));

  it("posts it as JSON, and again after a fault that may pass", async () => {
    answers = [503, 429];
    await createNotifier({ webhook: url, retryDelayMs: 1 })(notice, signal);
    expect(got).toHaveLength(3);
    expect(got[2]).toMatchObject({ body: notice, path: "/services/T0KEN-of-the-hook?key=abc123" });
    expect(got[2]?.headers.authorization).toBeUndefined();
  });

  it("posts only the text, as chat services take it", async () => {
    await createNotifier({ webhook: url, format: "text" })(notice, signal);
    expect(got[0]?.body).toEqual({ text: "group-sync: something waits for you: docs 1. group-sync show run-1" });
  });

  it("says that it did not arrive, without the address", async () => {
    answers = [404];
    const error = await createNotifier({ webhook: url, retryDelayMs: 1 })(notice, signal).catch(
      (thrown: unknown) => thrown,
    );
    expect(explainNotifyError(error)).toMatch(/webhook answered 404/);
    expect(explainNotifyError(error)).not.toMatch(/T0KEN|abc123|services/);
  });

  it("refuses addresses that would carry the secret in the open, without showing it", () => {
    for (const wrong of [
      "http://hooks.example.org/s3cret",
      "s3cret",
      "ftp://example.org/s3cret",
      "https://u:s3cret@example.org/",
    ]) {
      const make = () => createNotifier({ webhook: wrong });
      expect(make, wrong).toThrow(/--notify/);
      expect(make).not.toThrow(/s3cret/);
    }
  });

  it("gives it to a command, and says how that failed", async () => {
    const check = `node -e 'let t="";process.stdin.on("data",d=>t+=d).on("end",()=>process.exit(JSON.parse(t).event===process.env.GROUP_SYNC_EVENT?0:9))'`;
    await createNotifier({ command: check })(notice, signal);
    await expect(createNotifier({ command: "exit 3" })(notice, signal)).rejects.toThrow("ended with 3");
  });
});

describe("the log", () => {
  it("has one line for a turn, and one for each thing that went wrong in it", () => {
    const tick = tickOf("partial", {
      ...down,
      outcomes: [{ ...change, status: "failed", error: { code: "refused", message: "No." } }],
    });
    const lines = describeEvent({ type: "tick", tick }).map((entry) => renderEntry(entry, "json", new Date(0)));
    expect(lines.map((line) => JSON.parse(line) as unknown)).toMatchObject([
      { time: "1970-01-01T00:00:00.000Z", level: "error", event: "run", status: "partial", runId: "run-1", ms: 2000 },
      { event: "provider", provider: "docs", code: "network" },
      { event: "change", provider: "docs", group: "day", person: "ada", message: "docs, day: member.add failed: No." },
    ]);
    for (const line of lines) expect(line).not.toMatch(/\n/);
  });
});

describe("spans", () => {
  it("stand in one another: turn, phase of a provider, request", async () => {
    const exporter = new InMemorySpanExporter();
    trace.setGlobalTracerProvider(new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }));
    const world = await startWorld({ seed });
    const listener = (await createTelemetry(createMetrics()))?.();
    const service = createService(world, { ...(listener && { onEvent: listener }) });
    await service.tick();
    service.close();
    await world.close();
    const spans = exporter.getFinishedSpans();
    const byId = new Map(spans.map((span) => [span.spanContext().spanId, span]));
    const parentOf = (span: (typeof spans)[number]) => byId.get(span.parentSpanContext?.spanId ?? "")?.name;
    const turn = spans.find(({ name }) => name === "group-sync run");
    expect(turn?.attributes).toMatchObject({ "group_sync.status": "converged" });
    const phases = spans.filter(({ name }) => /^group-sync (resolve|read|apply|verify)$/.test(name));
    expect(phases).toHaveLength(16);
    expect(new Set(phases.map(parentOf))).toEqual(new Set(["group-sync run"]));
    const requests = spans.filter(({ name }) => !name.startsWith("group-sync "));
    expect(requests).toHaveLength(world.sandbox.log.length);
    const writes = requests.filter(({ attributes }) => attributes["group_sync.effect"] === "write");
    expect(writes.length).toBeGreaterThan(5);
    expect(new Set(writes.map(parentOf))).toEqual(new Set(["group-sync apply"]));
    const text = JSON.stringify(spans.map(({ name, attributes, status }) => ({ name, attributes, status })));
    expect(text).not.toMatch(/example\.org|ada|http:\/\//);
    trace.disable();
  });
});
