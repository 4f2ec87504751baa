import { log } from 'nephron:plugin/diagnostics@0.1.0';

// In the place of the marker stands where the lines of this module are from, and what the contract calls (bundle.mjs).
const { files, runs, called } = '@told@';

/** Calls of the contract's functions that are under way: one may call another, and catch what that throws. */
let depth = 0;

/** Where the first frames of an error are in the sources, innermost first: `decide (plugin.js:12)`. */
function frames(error) {
  const found = [];
  for (const frame of String(error.stack ?? '').split('\n')) {
    const [, name, line] = /^\s*at (.*?) ?\(?[^( ]*?:(\d+)(?::\d+)?\)?$/.exec(frame) ?? [];
    const run = runs.findLast(([first]) => first <= Number(line));
    if (run === undefined) continue;
    const file = files[run[1]];
    if (file !== '') found.push(`${name || 'module'} (${file}:${run[2] + Number(line) - run[0]})`);
  }
  return found.slice(0, 8);
}

/** Says an error that no contract has: the call traps. What a contract has is no `Error`. */
function tell(thrown) {
  const isError = thrown instanceof Error;
  if (!isError && typeof thrown === 'object' && thrown !== null) return;
  try {
    log('error', 'uncaught', [
      { name: 'error', value: { tag: 'text', val: String(thrown) } },
      { name: 'at', value: { tag: 'texts', val: isError ? frames(thrown) : [] } },
    ]);
  } catch {
    // It traps anyway, and of its own error.
  }
}

function watching(call) {
  depth += 1;
  try {
    return call();
  } catch (thrown) {
    if (depth === 1) tell(thrown);
    throw thrown;
  } finally {
    depth -= 1;
  }
}

/** A class stands for itself where it is called: its private members are its own. */
function watched(call, isStatic, owner) {
  return function (...given) {
    return watching(() => call.apply(isStatic ? owner : this, given));
  };
}

function watch(part, isStatic = false) {
  for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(part))) {
    if (typeof value !== 'function' || !called.includes(name)) continue;
    if (typeof value.prototype !== 'object' || value.prototype === null) {
      Reflect.set(part, name, watched(value, isStatic, part));
      continue;
    }
    // A class, or what can be one.
    watch(value, true);
    watch(value.prototype);
    const around = {
      apply: (_, self, given) => watching(() => Reflect.apply(value, self, given)),
      construct: (_, given, target) => watching(() => Reflect.construct(value, given, target)),
    };
    Reflect.set(part, name, new Proxy(value, around));
  }
}

for (const part of Object.values(plugin)) {
  if (typeof part === 'object' && part !== null) watch(part);
}
