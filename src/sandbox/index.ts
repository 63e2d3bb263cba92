/** `group-sync/sandbox`: emulators of the services, for tests, demonstrations and trying things out. */
export { brainstemSwitches } from "./brainstem.js";
export { docspaceSwitches } from "./docspace.js";
export type { SandboxEdit } from "./edits.js";
export {
  type ActiveFault,
  type Fault,
  type FaultEffect,
  type FaultKind,
  type FaultSelection,
  faultKinds,
  parseFault,
  type RequestPurpose,
  type RetryAfterForm,
} from "./faults.js";
export { genesysSwitches } from "./genesys.js";
export type {
  EmulatorControl,
  Seed,
  SeedGroup,
  SeedPerson,
  SeedRole,
  ServiceName,
  TrueGroup,
  TrueMember,
} from "./kit.js";
export { neuroioSwitches } from "./neuroio.js";
export { type SampleSandbox, type SampleSpecOptions, sampleEnvironment, sampleSeed, sampleSpec } from "./sample.js";
export { scimSwitches } from "./scim.js";
export { parseSeed } from "./seed.js";
export {
  type RequestLog,
  type RequestLogEntry,
  type Sandbox,
  type SandboxOptions,
  type SandboxProviders,
  type SandboxService,
  serviceNames,
  startSandbox,
} from "./server.js";
