/** Says of every error which provider it comes from, also of those that are thrown before a request is made. */
import { GroupSyncError } from "../errors.js";
import type { GroupProvider } from "../provider.js";

/**
 * The same provider, whose errors all name it and the method that was called. What an API client checks by itself (an
 * id that cannot stand in a path, an empty list) does not know for whom it checks; what came from an answer is named
 * already and stays as it is.
 */
export function nameErrors(provider: GroupProvider): GroupProvider {
  async function named<T>(operation: string, run: () => Promise<T>): Promise<T> {
    try {
      return await run();
    } catch (error) {
      if (!(error instanceof GroupSyncError) || error.facts.provider !== undefined) throw error;
      const facts = { operation, ...error.facts, provider: provider.id };
      throw new GroupSyncError(error.code, `${provider.id}: ${error.message}`, facts);
    }
  }
  const readGroups = provider.readGroups?.bind(provider);
  const readKind = provider.readKind?.bind(provider);
  return {
    ...provider,
    ...(readGroups && {
      readGroups: (groupIds, context, onRead) => named("readGroups", () => readGroups(groupIds, context, onRead)),
    }),
    ...(readKind && { readKind: (groupId, context) => named("readKind", () => readKind(groupId, context)) }),
    checkAccess: (context, extent) => named("checkAccess", () => provider.checkAccess(context, extent)),
    listGroups: (context) => named("listGroups", () => provider.listGroups(context)),
    readGroup: (groupId, context) => named("readGroup", () => provider.readGroup(groupId, context)),
    findAccounts: (keys, context) => named("findAccounts", () => provider.findAccounts(keys, context)),
    applyBatch: (batch, context) => named("applyBatch", () => provider.applyBatch(batch, context)),
  };
}
