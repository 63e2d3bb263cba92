/** Compiles code that stands in documents, as it would be in another package, but from the sources. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";

const root = fileURLToPath(new URL("../../", import.meta.url));

/** What `package.json` exports, by the sources. */
const paths = {
  "group-sync": [join(root, "src/index.ts")],
  "group-sync/sandbox": [join(root, "src/sandbox/index.ts")],
  "group-sync/testing": [join(root, "src/testing/index.ts")],
  "group-sync/*": [join(root, "src/providers/*/index.ts")],
};

/** Read once for all programs. */
const sources = new Map<string, ts.SourceFile | undefined>();

/**
 * What TypeScript says about files that need not be there, under the settings of the project. Their names are relative
 * to the root; those that end in `.mjs` are JavaScript and held to what can be told without annotations.
 */
export function compile(files: Readonly<Record<string, string>>): readonly string[] {
  const codes = new Map(Object.entries(files).map(([name, code]) => [join(root, name), code]));
  const { config } = ts.readConfigFile(join(root, "tsconfig.json"), (path) => ts.sys.readFile(path));
  const { options } = ts.parseJsonConfigFileContent({ ...config, include: [] }, ts.sys, root);
  const isScript = Object.keys(files).some((name) => name.endsWith(".mjs"));
  Object.assign(options, { paths, ...(isScript && { allowJs: true, checkJs: true, noImplicitAny: false }) });
  const host = ts.createCompilerHost(options);
  const withFiles: ts.CompilerHost = {
    ...host,
    fileExists: (path) => codes.has(path) || host.fileExists(path),
    readFile: (path) => codes.get(path) ?? host.readFile(path),
    getSourceFile: (path, languageVersion) => {
      const code = codes.get(path);
      if (code !== undefined) return ts.createSourceFile(path, code, languageVersion);
      if (!sources.has(path)) sources.set(path, host.getSourceFile(path, languageVersion));
      return sources.get(path);
    },
  };
  const program = ts.createProgram([...codes.keys()], options, withFiles);
  return [...codes.keys()].flatMap((path) => {
    const source = program.getSourceFile(path);
    return [...program.getSyntacticDiagnostics(source), ...program.getSemanticDiagnostics(source)].map(
      ({ messageText, start = 0 }) => {
        const line = (source?.getLineAndCharacterOfPosition(start).line ?? 0) + 1;
        return `${path.slice(root.length)}:${line}: ${ts.flattenDiagnosticMessageText(messageText, " ")}`;
      },
    );
  });
}
