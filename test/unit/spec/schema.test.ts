import { describe, expect, test } from "vitest";
import { builtinProviderTypes } from "../../../src/providers/builtin.js";
import { parseSpec, renderJsonSchema } from "../../../src/spec/index.js";
import { providerTypes, withFiles } from "./kit.js";

interface Node {
  readonly [key: string]: unknown;
  readonly description?: string;
  readonly properties?: Readonly<Record<string, Node>>;
  readonly additionalProperties?: Node | boolean;
  readonly items?: Node;
  readonly anyOf?: readonly Node[];
  readonly required?: readonly string[];
}

const schema = renderJsonSchema(providerTypes) as Node;

function providerVariants(): readonly Node[] {
  const entry = schema.properties?.["providers"]?.additionalProperties;
  return typeof entry === "object" ? (entry.anyOf ?? []) : [];
}

describe("the JSON Schema", () => {
  test("is plain data of draft 2020-12 with a name", () => {
    expect(JSON.parse(JSON.stringify(schema))).toEqual(schema);
    expect(schema).toMatchObject({
      $schema: "https://json-schema.org/draft/2020-12/schema",
      $id: "urn:group-sync:spec:1",
      title: "group-sync spec",
      type: "object",
      required: ["version", "mode", "providers", "groups"],
      additionalProperties: false,
      patternProperties: { "^x-": {} },
    });
  });

  test("explains every key that we define", () => {
    const silent: string[] = [];
    const walk = (node: Node, path: string): void => {
      for (const [key, field] of Object.entries(node.properties ?? {})) {
        const ownOption = path.startsWith(".providers");
        if (field.description === undefined && !ownOption) silent.push(`${path}.${key}`);
        walk(field, `${path}.${key}`);
      }
      if (typeof node.additionalProperties === "object") walk(node.additionalProperties, `${path}.*`);
      if (node.items) walk(node.items, `${path}[]`);
      for (const variant of node.anyOf ?? []) walk(variant, path);
    };
    walk(schema, "");
    expect(silent).toEqual([]);
    expect(schema.properties?.["mode"]?.description).toContain("owned (removes only memberships that this tool added)");
  });

  test("explains every option of the services that come along", () => {
    const entry = (renderJsonSchema(builtinProviderTypes) as Node).properties?.["providers"]?.additionalProperties;
    const variants = typeof entry === "object" ? (entry.anyOf ?? []) : [];
    const options = variants.flatMap(({ properties }) => Object.entries(properties ?? {}));
    expect(options.length).toBeGreaterThan(50);
    expect(options.filter(([, { description }]) => !description).map(([key]) => key)).toEqual([]);
  });

  test("has one variant per service, with its own options and the keys that all have", () => {
    const variants = providerVariants();
    expect(variants.map(({ properties }) => properties?.["type"])).toEqual([
      { const: "plain", description: "Plain Service" },
      { const: "cramped", description: "Cramped Rooms" },
      { const: "blind", description: "Blind Faces" },
    ]);
    expect(variants[0]).toMatchObject({
      required: ["type", "token"],
      additionalProperties: false,
      properties: { token: { type: "string", description: "The token." }, mode: {}, adopt: {}, guards: {} },
    });
    expect(Object.keys(variants[2]?.properties ?? {})).toEqual([
      "type",
      "mode",
      "adopt",
      "guards",
      "incremental",
      "token",
      "user",
    ]);
  });

  test("takes ${NAME} where a service takes only some words", () => {
    expect(providerVariants()[0]?.properties?.["region"]).toEqual({
      anyOf: [
        { type: "string", enum: ["north", "south"] },
        { type: "string", pattern: "\\$\\{[A-Za-z_][A-Za-z0-9_]*\\}" },
      ],
    });
  });

  test("has an example that is a spec", async () => {
    const [example] = schema["examples"] as readonly unknown[];
    const spec = await parseSpec(JSON.stringify(example), withFiles());
    expect(spec.targets).toHaveLength(1);
    expect(spec.warnings).toEqual([]);
  });
});
