// Holds the AuditEvents in the file EVENTS, a JSON array, to FHIR's definitions of R4 (npm `fhir`) and those with a profile of IHE BALP to its
// constraints, which the file CONSTRAINTS has in FHIRPath (npm `fhirpath`, with its model of R4). Each constraint must be able to fail.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const { Fhir } = require("fhir");
const fhirpath = require("fhirpath");
const r4 = require("fhirpath/fhir-context/r4");

const events = JSON.parse(readFileSync(process.env.EVENTS, "utf8"));
const { profiles } = JSON.parse(readFileSync(process.env.CONSTRAINTS, "utf8"));
const base = "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit.";
const fhir = new Fhir();
const holds = (event, expression) => {
  const result = fhirpath.evaluate(event, expression, { resource: event }, r4);
  return result.length === 1 && result[0] === true;
};
const fail = (event, what) => {
  throw new Error(`${what}\n${JSON.stringify(event, null, 1)}`);
};
// Every value below, taken away, and every flag and code turned into another.
function* spoilt(event) {
  const paths = [];
  const walk = (node, path) => {
    for (const key of Object.keys(node)) {
      paths.push([...path, key]);
      if (typeof node[key] === "object") walk(node[key], [...path, key]);
    }
  };
  walk(event, []);
  for (const path of paths) {
    const copies = [structuredClone(event), structuredClone(event), structuredClone(event)];
    const at = (copy) => path.slice(0, -1).reduce((node, key) => node[key], copy);
    const last = path.at(-1);
    const [without, other, twice] = copies.map(at);
    if (Array.isArray(without)) without.splice(last, 1);
    else delete without[last];
    yield copies[0];
    if (typeof other[last] === "boolean") other[last] = !other[last];
    else if (typeof other[last] === "string") other[last] += "-other";
    yield copies[1];
    if (Array.isArray(twice)) {
      twice.push(structuredClone(twice[last]));
      yield copies[2];
    }
  }
  // What a profile forbids.
  const agents = structuredClone(event);
  for (const agent of agents.agent) {
    Object.assign(agent, {
      role: [{ text: "a" }], altId: "a", name: "a", policy: ["urn:a"], location: { display: "a" }, media: { code: "a" },
      network: { address: "a", type: "1" }, purposeOfUse: [{ text: "a" }],
    });
  }
  yield agents;
  yield { ...event, modifierExtension: [{ url: "urn:a", valueBoolean: true }] };
}
const held = {};
const strict = {};
for (const event of events) {
  const { valid, messages } = fhir.validate(event, { errorOnUnexpected: true });
  const errors = messages.filter((message) => message.severity === "error" || message.severity === "fatal");
  if (!valid || errors.length) fail(event, JSON.stringify(errors));
  const profile = (event.meta?.profile ?? [null])[0];
  const name = profile ? profile.replace(base, "") : "no profile";
  held[name] = (held[name] ?? 0) + 1;
  if (!profile) continue;
  if (!profiles[name]) fail(event, `profile ${profile} is not known`);
  for (const [what, expression] of profiles[name]) {
    if (!holds(event, expression)) fail(event, `${name}: ${what}`);
  }
  strict[name] ??= event;
}
for (const [name, event] of Object.entries(strict)) {
  const worse = [...spoilt(event)];
  for (const [what, expression] of profiles[name]) {
    if (worse.every((other) => holds(other, expression))) fail(event, `${name}: nothing breaks "${what}"`);
  }
}
const bad = fhir.validate({ ...events[0], outcome: "9", unknown: 1 }, { errorOnUnexpected: true });
if (bad.messages.filter((message) => message.severity === "error").length < 2) fail(bad, "R4 refuses nothing");
for (const [name, count] of Object.entries(held).sort()) console.log(`held: ${count} with ${name}`);
