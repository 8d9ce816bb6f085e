// Makes `book/_static/mathjax/tex-chtml.js`: of MathJax what the book's formulas need, TeX
// in and HTML out, without menus, other inputs and the old JavaScript that its own build
// has. In an empty folder, with Node:
//
//   npm install mathjax-full@3.2.2 esbuild@0.28.2
//   cp .../book/press/mathjax.mjs . && node mathjax.mjs .../book/_static/mathjax
import { build } from "esbuild";
import fs from "fs";
import path from "path";

const root = path.resolve("node_modules/mathjax-full");
const component = (name) => `import "${root}/components/src/${name}";`;
const parts = ["input/tex-base", "[tex]/ams", "[tex]/newcommand", "[tex]/configmacros"];
parts.push("output/chtml", "output/chtml/fonts/tex", "a11y/assistive-mml");
const entry = [
  component("startup/init.js"),
  `import { Loader } from "${root}/ts/components/loader.ts";`,
  `Loader.preLoad(${JSON.stringify(["loader", "startup", "core", ...parts])});`,
  component("core/core.js"),
  component("input/tex-base/tex-base.js"),
  ...["ams", "newcommand", "configmacros"].map((name) =>
    component(`input/tex/extensions/${name}/${name}.js`),
  ),
  component("output/chtml/chtml.js"),
  component("output/chtml/fonts/tex/tex.js"),
  component("a11y/assistive-mml/assistive-mml.js"),
  component("startup/startup.js"),
].join("\n");

// The sources are TypeScript; components ask for what its compiler made of them.
const fromSource = {
  name: "from-source",
  setup(build) {
    build.onResolve({ filter: /^[./]/ }, (asked) => {
      const file = path.resolve(asked.resolveDir, asked.path);
      const source = file.replace(`${root}/js/`, `${root}/ts/`).replace(/\.js$/, ".ts");
      return fs.existsSync(source) ? { path: source } : undefined;
    });
  },
};

await build({
  stdin: { contents: entry, resolveDir: "." },
  outfile: path.join(process.argv[2], "tex-chtml.js"),
  bundle: true,
  minify: true,
  format: "iife",
  target: "es2020",
  legalComments: "none",
  define: { __dirname: '"/mathjax"', global: "window" },
  tsconfigRaw: {
    compilerOptions: { experimentalDecorators: true, useDefineForClassFields: false },
  },
  plugins: [fromSource],
});
