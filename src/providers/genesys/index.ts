/** Genesys Cloud: the provider, and the thin API client that reaches what the port does not cover. */
export type {
  GenesysApi,
  GenesysApiOptions,
  GenesysDynamicDefinition,
  GenesysDynamicPreview,
  GenesysDynamicQuery,
  GenesysFieldConfig,
  GenesysGeneralSearchRequest,
  GenesysGroup,
  GenesysGroupContact,
  GenesysGroupCreate,
  GenesysGroupProfile,
  GenesysGroupsQuery,
  GenesysGroupUpdate,
  GenesysIssuedToken,
  GenesysListing,
  GenesysMembersQuery,
  GenesysOrganization,
  GenesysPageQuery,
  GenesysSearchAnswer,
  GenesysSearchCriterion,
  GenesysSearchPage,
  GenesysSearchRequest,
  GenesysSkillCondition,
  GenesysStoredSearch,
  GenesysTokenInfo,
  GenesysUser,
  GenesysUserSearchRequest,
  GenesysUsersQuery,
} from "./api.js";
export { createGenesysApi, GENESYS_REGIONS } from "./api.js";
export type { GenesysOptions } from "./provider.js";
export { createGenesysProvider, genesysCapabilities, genesysProviderType } from "./provider.js";
