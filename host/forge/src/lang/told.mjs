import { log } from 'nephron:plugin/diagnostics@0.1.0';

// `"places"` is replaced by where the lines of this module are from (bundle.mjs).
const places = "places";

/** Where the first frames of an error are in the sources, innermost first: `decide (plugin.js:12)`. */
function frames(error) {
  const found = [];
  for (const frame of String(error.stack ?? '').split('\n')) {
    const [, name, line] = /^\s*at (.*?) ?\(?[^( ]*?:(\d+)(?::\d+)?\)?$/.exec(frame) ?? [];
    const run = places.runs.findLast(([first]) => first <= Number(line));
    if (run === undefined) continue;
    const file = places.files[run[1]];
    if (!file.endsWith('told.mjs')) found.push(`${name || 'module'} (${file}:${run[2] + Number(line) - run[0]})`);
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

function watched(call) {
  return function (...given) {
    try {
      return call.apply(this, given);
    } catch (thrown) {
      tell(thrown);
      throw thrown;
    }
  };
}

function watch(part) {
  for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(part))) {
    if (typeof value !== 'function' || name === 'constructor') continue;
    if (!/^class\b/.test(Function.prototype.toString.call(value))) {
      Reflect.set(part, name, watched(value));
      continue;
    }
    watch(value);
    watch(value.prototype);
    const construct = watched((given, target) => Reflect.construct(value, given, target));
    Reflect.set(part, name, new Proxy(value, { construct: (_, given, target) => construct(given, target) }));
  }
}

for (const part of Object.values(plugin)) {
  if (typeof part === 'object' && part !== null) watch(part);
}
