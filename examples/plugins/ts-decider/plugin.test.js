import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';

import { decider, plugin } from './target/plugin.js';

beforeEach(() => plugin.configure('{"permit": {"TREAT": ["physician", "nurse"]}}'));

function decide(purpose, ...roles) {
  const caller = { id: 'n.adeyemi', roles, attributes: [] };
  const decision = decider.decide({ info: { caller, purpose }, point: 'ingress', action: 'chat', target: 'any', facts: [] });
  return [decision.effect, ...decision.reasons.map((reason) => reason.code)];
}

test('a role for the purpose is permitted, and nothing else', () => {
  assert.deepEqual(decide('TREAT', 'staff', 'nurse'), ['permit']);
  assert.deepEqual(decide('TREAT', 'staff'), ['deny', 'role-not-permitted']);
  assert.deepEqual(decide('HMARKT', 'nurse'), ['deny', 'purpose-not-permitted']);
});

test('settings are refused with every fault', () => {
  const refused = (problems) => {
    assert.deepEqual(problems.map((problem) => problem.key), ['permit', 'premit']);
    return true;
  };
  assert.throws(() => plugin.configure('{"permit": {"TREAT": "nurse"}, "premit": {}}'), refused);
});
