/** The services that a spec can name under `type`. */
import type { ProviderType } from "../provider.js";
import { brainstemProviderType } from "./brainstem/index.js";
import { docspaceProviderType } from "./docspace/index.js";
import { genesysProviderType } from "./genesys/index.js";
import { neuroioProviderType } from "./neuroio/index.js";
import { scimProviderType } from "./scim/index.js";

export const builtinProviderTypes: readonly ProviderType[] = [
  neuroioProviderType,
  brainstemProviderType,
  docspaceProviderType,
  genesysProviderType,
  scimProviderType,
];
