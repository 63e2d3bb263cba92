/**
 * `group-sync/testing`: the conformance suite for anyone's adapter, and a provider in memory. Needs vitest.
 */
export { type ConformanceOptions, describeProvider } from "./conformance.js";
export {
  type BeforeCall,
  createMemoryProvider,
  type MemoryCall,
  memoryCapabilities,
  type MemoryControl,
  type MemoryGroup,
  type MemoryMember,
  type MemoryOperation,
  type MemoryPerson,
  type MemoryProvider,
  type MemoryProviderOptions,
  type MemoryTrueGroup,
  type Misbehaviour,
} from "./memory.js";
export {
  type Awaitable,
  countPeopleNeeded,
  type ProviderFixture,
  type World,
  type WorldGroup,
  type WorldPerson,
  type WorldStatus,
} from "./scene.js";
