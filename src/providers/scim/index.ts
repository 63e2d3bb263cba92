/** Any service with SCIM 2.0 (RFC 7643, RFC 7644): groups of users. */
export {
  createScimApi,
  type ScimApi,
  type ScimApiOptions,
  type ScimConfig,
  scimEquals,
  type ScimGroup,
  type ScimMember,
  type ScimOperation,
  type ScimPage,
  type ScimPageQuery,
  type ScimUser,
} from "./api.js";
export { createScimProvider, scimCapabilities, type ScimProviderOptions, scimProviderType } from "./provider.js";
