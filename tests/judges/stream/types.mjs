// Type-checks the snippets of docs/streaming.md: node types.mjs FOLDER. Says what is wrong.
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";

const modules = join(dirname(fileURLToPath(import.meta.url)), "node_modules");
const folder = resolve(process.argv[2]);

const program = ts.createProgram([join(folder, "Board.tsx"), join(folder, "positions.ts")], {
  strict: true, noEmit: true, target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext,
  moduleResolution: ts.ModuleResolutionKind.Bundler, jsx: ts.JsxEmit.ReactJSX, lib: ["lib.es2022.d.ts", "lib.dom.d.ts", "lib.dom.iterable.d.ts"],
  typeRoots: [join(modules, "@types")], types: ["react"], skipLibCheck: true,
  paths: { "*": [join(modules, "@types", "*"), join(modules, "*")] },
});
const wrong = ts.getPreEmitDiagnostics(program);
if (wrong.length) {
  console.error(ts.formatDiagnostics(wrong, { getCanonicalFileName: (name) => name, getCurrentDirectory: () => folder, getNewLine: () => "\n" }));
  process.exit(1);
}
