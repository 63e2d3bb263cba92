/** The version of this package, as package.json says. Kept equal by a test. */
export const toolVersion = "0.1.0";
