import { builtinProviderTypes } from "../../providers/builtin.js";
import { renderJsonSchema } from "../../spec/index.js";
import type { CommonFlags, Session } from "../session.js";

/** `schema`: the JSON Schema of the spec. */
export async function runSchema(session: Session, _flags: CommonFlags): Promise<number> {
  session.json(renderJsonSchema(builtinProviderTypes));
  return 0;
}
