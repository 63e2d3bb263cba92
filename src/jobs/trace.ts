/**
 * Spans and metrics for OpenTelemetry, by its API alone: without an SDK that somebody set up in this process (such as by
 * `node --import ./telemetry.js`), and without the package `@opentelemetry/api`, nothing happens.
 *
 * One span for a turn, in it one for each phase of each provider, in that one for each request. No span holds an
 * address, a name of a person, or a body.
 */
import type * as opentelemetry from "@opentelemetry/api";
import type { Context, Span, Tracer } from "@opentelemetry/api";
import { toolVersion } from "../version.js";
import { listMetrics, type Metrics } from "./metrics.js";
import type { JobEvent } from "./tick.js";

type OpenTelemetry = typeof opentelemetry;

/**
 * Makes listeners that tell OpenTelemetry, one for each row of turns that go on side by side. Undefined where the package
 * is not installed.
 */
export async function createTelemetry(metrics?: Metrics): Promise<(() => (event: JobEvent) => void) | undefined> {
  let api: OpenTelemetry;
  try {
    api = await import("@opentelemetry/api");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ERR_MODULE_NOT_FOUND") throw error;
    return undefined;
  }
  if (metrics) exportMetrics(api, metrics);
  return () => traceEvents(api, api.trace.getTracer("group-sync", toolVersion));
}

function exportMetrics({ metrics: global }: OpenTelemetry, metrics: Metrics): void {
  const meter = global.getMeter("group-sync", toolVersion);
  for (const [name, { type, help }] of listMetrics()) {
    const instrument =
      type === "counter"
        ? meter.createObservableCounter(name, { description: help })
        : meter.createObservableGauge(name, { description: help });
    instrument.addCallback((result) => {
      for (const { labels, value } of metrics.samples(name)) result.observe(value, labels);
    });
  }
}

function traceEvents({ trace, context, SpanStatusCode }: OpenTelemetry, tracer: Tracer): (event: JobEvent) => void {
  let turn: { readonly span: Span; readonly inside: Context } | undefined;
  const phases = new Map<string, { readonly span: Span; readonly inside: Context }>();
  const open = (name: string, attributes: Record<string, string>, parent: Context) => {
    const span = tracer.startSpan(name, { attributes }, parent);
    return { span, inside: trace.setSpan(parent, span) };
  };
  const fail = (span: Span, message: string) => span.setStatus({ code: SpanStatusCode.ERROR, message });
  return (event) => {
    if (event.type === "begin") turn = open("group-sync run", {}, context.active());
    else if (event.type === "phase") {
      phases.get(event.provider)?.span.end();
      phases.delete(event.provider);
      if (event.phase === "done") return;
      const attributes = { "group_sync.provider": event.provider };
      phases.set(event.provider, open(`group-sync ${event.phase}`, attributes, turn?.inside ?? context.active()));
    } else if (event.type === "call") {
      const parent = phases.get(event.provider)?.inside ?? turn?.inside ?? context.active();
      const endTime = Date.now();
      const attributes = {
        "group_sync.provider": event.provider,
        "group_sync.effect": event.effect,
        "http.request.resend_count": event.attempt - 1,
        ...(event.status !== undefined && { "http.response.status_code": event.status }),
      };
      const span = tracer.startSpan(event.operation, { startTime: endTime - event.ms, attributes }, parent);
      if (event.status === undefined) fail(span, "no answer");
      else if (event.status >= 400) fail(span, `answered ${event.status}`);
      span.end(endTime);
    } else if (event.type === "tick" && turn) {
      for (const { span } of phases.values()) span.end();
      phases.clear();
      const { status, error, report } = event.tick;
      turn.span.setAttributes({ "group_sync.status": status, ...(report && { "group_sync.run": report.runId }) });
      if (status === "failed" || status === "partial" || error) fail(turn.span, error?.message ?? status);
      turn.span.end();
      turn = undefined;
    }
  };
}
