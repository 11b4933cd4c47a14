// Builds the snippets of docs/streaming.md: node build.mjs FOLDER. The folder has positions.ts, Board.tsx, Board.vue,
// Board.svelte and plumbline-stream.d.ts; react.js, vue.js and svelte.js are written into it.
import { readFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { compile as compileSvelte } from "svelte/compiler";
import { compileScript, parse } from "vue/compiler-sfc";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const folder = resolve(process.argv[2]);
const modules = join(here, "node_modules");

const MAINS = {
  react: `import { createElement } from "react"; import { createRoot } from "react-dom/client"; import { Board } from "./Board.tsx";
    createRoot(document.getElementById("app")).render(createElement(Board, { url: window.streamUrl }));`,
  vue: `import { createApp } from "vue"; import Board from "./Board.vue";
    createApp(Board, { url: window.streamUrl }).mount("#app");`,
  svelte: `import { mount } from "svelte"; import Board from "./Board.svelte";
    mount(Board, { target: document.getElementById("app"), props: { url: window.streamUrl } });`,
};

const frameworks = {
  name: "frameworks",
  setup(build) {
    build.onLoad({ filter: /\.svelte$/ }, async ({ path }) => {
      const { js } = compileSvelte(await readFile(path, "utf8"), { filename: path, generate: "client" });
      return { contents: js.code, loader: "js", resolveDir: folder };
    });
    build.onLoad({ filter: /\.vue$/ }, async ({ path }) => {
      const { descriptor, errors } = parse(await readFile(path, "utf8"), { filename: path });
      if (errors.length) throw errors[0];
      const made = compileScript(descriptor, { id: "board", inlineTemplate: true });
      return { contents: made.content, loader: "ts", resolveDir: folder };
    });
  },
};

for (const [name, contents] of Object.entries(MAINS)) {
  await build({
    stdin: { contents, resolveDir: folder, loader: "js" },
    outfile: join(folder, `${name}.js`),
    bundle: true, format: "iife", jsx: "automatic", nodePaths: [modules], plugins: [frameworks], logLevel: "error",
    conditions: ["browser"],
    define: { "process.env.NODE_ENV": '"production"', __VUE_OPTIONS_API__: "false", __VUE_PROD_DEVTOOLS__: "false", __VUE_PROD_HYDRATION_MISMATCH_DETAILS__: "false" },
  });
}
