/** NeuroIO: groups of persons (faces), members by pid. */
export {
  createNeuroioApi,
  type NeuroioApi,
  type NeuroioApiOptions,
  type NeuroioCreatedPerson,
  type NeuroioGroup,
  type NeuroioGroupQuery,
  type NeuroioLogIn,
  type NeuroioMember,
  type NeuroioPage,
  type NeuroioPageQuery,
  type NeuroioPerson,
  type NeuroioSpace,
  type NeuroioToken,
  type NeuroioUser,
} from "./api.js";
export {
  createNeuroioProvider,
  neuroioCapabilities,
  type NeuroioProviderOptions,
  neuroioProviderType,
} from "./provider.js";
