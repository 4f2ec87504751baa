// Makes one module of a plugin and what it imports: `node bundle.mjs ESBUILD SOURCE TOLD OUT NAMES`.
//
// Around the functions that the contract calls, whose NAMES are given as the contract has them, parted by commas, stands TOLD
// (told.mjs), which says what nobody catches, and where: a line of OUT is a line of some source, and which is written into OUT.

import { randomUUID } from 'node:crypto';
import { SourceMap, createRequire } from 'node:module';
import { dirname, relative, resolve } from 'node:path';
import { readFileSync, writeFileSync } from 'node:fs';

const [esbuild, source, told, out, names] = process.argv.slice(2);
const { buildSync } = createRequire(import.meta.url)(esbuild);

const path = JSON.stringify(source);
// Nothing that a plugin says is taken for it.
const marker = randomUUID();
const around = readFileSync(told, 'utf8').replace('@told@', marker);
const entry = [`import * as plugin from ${path};`, `export * from ${path};`, around];

const OURS = 'nephron-told.mjs';

function bundled() {
  const options = {
    bundle: true,
    format: 'esm',
    target: 'es2023',
    // What the host gives is an import of the component.
    external: ['nephron:*'],
    charset: 'utf8',
    logLevel: 'warning',
    sourcemap: 'external',
    write: false,
    outfile: resolve(out),
    stdin: { contents: entry.join('\n'), resolveDir: dirname(source), sourcefile: OURS },
    absWorkingDir: dirname(source),
  };
  try {
    return buildSync(options).outputFiles;
  } catch {
    // It has said why.
    process.exit(1);
  }
}

const made = bundled();
const map = made.find(({ path }) => path.endsWith('.map'));
const module = made.find(({ path }) => !path.endsWith('.map'));
const lines = module.text.split('\n');
const places = new SourceMap(JSON.parse(map.text));

/** `[first line of the bundle, its file, its line there]`, one for each run of lines that are side by side in both. */
const runs = [];
const files = [];
let next = null;
for (let at = 0; at < lines.length; at += 1) {
  const indent = lines[at].length - lines[at].trimStart().length;
  const found = places.findEntry(at, indent);
  if (found.generatedLine !== at || found.originalSource === undefined) continue;
  const whole = resolve(dirname(out), found.originalSource);
  // Frames of what stands around are nobody's business.
  const name = whole.endsWith(OURS) ? '' : relative(dirname(source), whole);
  const file = files.includes(name) ? files.indexOf(name) : files.push(name) - 1;
  const line = found.originalLine - at;
  if (next?.[0] !== file || next[1] !== line) runs.push([at + 1, file, found.originalLine + 1]);
  next = [file, line];
}

// As JavaScript has them: `decide`, `settingsSchema`, `Decoder`.
const camel = names.replace(/-(.)/g, (_, first) => first.toUpperCase()).split(',');
const called = camel.flatMap((name) => [name, name.charAt(0).toUpperCase() + name.slice(1)]);
const known = JSON.stringify({ files, runs, called });
writeFileSync(out, module.text.replace(`"${marker}"`, () => known));
