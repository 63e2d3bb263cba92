/** Reading specs. */
export { loadSpec, type ParseSpecOptions, parseSpec, type SpecOptions } from "./load.js";
export { createSpecSchema, renderJsonSchema, type SpecFile } from "./schema.js";
