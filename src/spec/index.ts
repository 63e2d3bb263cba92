/** Reading specs. */
export { loadSpec, type ParseSpecOptions, parseSpec, type SpecOptions } from "./load.js";
export { renderJsonSchema } from "./schema.js";
