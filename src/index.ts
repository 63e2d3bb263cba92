/** group-sync: keeps the same groups of people right in several systems at once. Public names, listed by hand. */
import type { Spec } from "./model.js";
import type { GroupProvider } from "./provider.js";
import { builtinProviderTypes } from "./providers/builtin.js";
import {
  loadSpec as loadWith,
  type ParseSpecOptions,
  parseSpec as parseWith,
  type SpecOptions as LoadOptions,
} from "./spec/index.js";

export { type ErrorCode, type ErrorFacts, GroupSyncError, isGroupSyncError, SpecError } from "./errors.js";
export { createTicker, type JobEvent, type Tick, type TickerOptions } from "./jobs/tick.js";
export { runSchedule, type ScheduleEvent, type ScheduleOptions } from "./jobs/schedule.js";
export { createCronTimetable, createPeriodicTimetable, type Timetable } from "./jobs/timetable.js";
export { type ExportedSpec, type ExportOptions, exportSpec } from "./migrate/export.js";
export { type ImportedSpec, type ImportOptions, importSpec } from "./migrate/import.js";
export type { RosterFormat } from "./migrate/roster.js";
export {
  buildTransfer,
  type Loss,
  type LossKind,
  type MigrateOptions,
  type Migration,
  type MigrationOptions,
  type MigrationProposal,
  migrate,
  proposeMigration,
  readMigration,
  renderLosses,
  type Transfer,
  type TransferOptions,
} from "./migrate/transfer.js";
export { readSource, type Source, type SourceOptions } from "./migrate/source.js";
export {
  createWorksheet,
  type Decision,
  type Match,
  type ParseWorksheetOptions,
  parseWorksheet,
  renderWorksheet,
  type Worksheet,
  type WorksheetOptions,
  type WorksheetRow,
} from "./migrate/worksheet.js";
export type * from "./model.js";
export {
  type AccessFinding,
  type AccessReport,
  type AccountFinding,
  type AccountKey,
  type CallContext,
  type CallEvent,
  type Capabilities,
  createCallContext,
  type Fact,
  type GroupListing,
  type GroupProvider,
  type MemberVerb,
  type ProviderType,
  type RateScope,
  type RoleCapability,
} from "./provider.js";
export { type ApproveOptions, approvePlan } from "./reconcile/approve.js";
export type { SyncEvent } from "./reconcile/events.js";
export { type Allowance, matchesGlob } from "./reconcile/guard.js";
export { parsePlan } from "./reconcile/plan.js";
export {
  applyPlan,
  createPlan,
  createUndoPlan,
  type PlanOptions,
  type ReconcileOptions,
  reconcile,
  type RunOptions,
  undo,
  type UndoOptions,
} from "./reconcile/reconcile.js";
export { renderHtml } from "./report/html.js";
export { renderMarkdown } from "./report/markdown.js";
export { type DocumentView, viewPlan, viewReport, type ViewOptions } from "./report/model.js";
export { renderText, type TextOptions } from "./report/text.js";
export { openState, type StateOptions, type StatePlace } from "./state/index.js";
export type * from "./state/state.js";
export { toolVersion } from "./version.js";

/** Options of {@link loadSpec} and {@link parseSpec}. */
export type SpecOptions = Partial<LoadOptions>;

/**
 * Reads a spec file and the CSV files it names. Throws `SpecError` with everything that is wrong, each with file, line,
 * column and what would be right. Knows the four services unless told other `providerTypes`.
 */
export function loadSpec(file: string, options: SpecOptions = {}): Promise<Spec> {
  return loadWith(file, { providerTypes: builtinProviderTypes, ...options });
}

/** As {@link loadSpec}, for the text of a spec. */
export function parseSpec(text: string, options: SpecOptions & Partial<ParseSpecOptions> = {}): Promise<Spec> {
  return parseWith(text, { providerTypes: builtinProviderTypes, ...options });
}

/** The providers that a spec names, ready for {@link reconcile}. */
export function createProviders(spec: Spec, providerTypes = builtinProviderTypes): readonly GroupProvider[] {
  return spec.providers.flatMap(({ id, type, options }) => {
    const found = providerTypes.find((known) => known.type === type);
    return found ? [found.create(id, options)] : [];
  });
}
