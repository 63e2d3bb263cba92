/** ONLYOFFICE DocSpace: the provider, and the API client beside it. */
export {
  createDocspaceApi,
  type DocspaceApi,
  type DocspaceApiOptions,
  type DocspaceFields,
  type DocspaceGroup,
  type DocspaceGroupFilter,
  type DocspaceGroupSummary,
  type DocspaceGroupUpdate,
  type DocspaceKey,
  type DocspaceNewGroup,
  type DocspacePage,
  type DocspacePaging,
  type DocspacePeopleFilter,
  type DocspacePerson,
  type DocspaceSharingFilter,
  type DocspaceToken,
  docspaceSortOrder,
  docspaceStatus,
  docspaceType,
} from "./api.js";
export {
  createDocspaceProvider,
  docspaceCapabilities,
  type DocspaceOptions,
  docspaceProviderType,
} from "./provider.js";
