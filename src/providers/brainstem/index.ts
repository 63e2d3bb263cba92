/** BrainSTEM: lab groups, members by e-mail, new ones by invitation. */
export {
  type BrainstemAccess,
  type BrainstemApi,
  type BrainstemApiOptions,
  type BrainstemDevice,
  type BrainstemDeviceLogIn,
  type BrainstemFlags,
  type BrainstemGroup,
  type BrainstemGroupApp,
  type BrainstemInvitation,
  type BrainstemInviteSpelling,
  type BrainstemListedGroup,
  type BrainstemPage,
  type BrainstemPortal,
  type BrainstemQuery,
  type BrainstemRequest,
  type BrainstemUser,
  type BrainstemUserChange,
  createBrainstemApi,
} from "./api.js";
export {
  type BrainstemProviderOptions,
  brainstemCapabilities,
  brainstemProviderType,
  createBrainstemProvider,
} from "./provider.js";
