import assert from 'node:assert/strict';
import { test } from 'node:test';

import { detector, plugin, transformer } from './plugin.js';

plugin.configure('{"labels": ["MRN"], "digits": 8}');
const message = (role, ...parts) => ({ role, name: null, parts });
const text = (val) => ({ tag: 'text', val });
const json = (val) => ({ tag: 'json', val });
const span = (start, end, kind = 'mrn', part = 0) => ({ message: 0, part, start, end, kind, confidence: 1, rule: null });

/** No key is lent outside of a component: this one notes what it was asked. */
function deidentified(messages, found) {
  const asked = [];
  const mac = (data) => {
    asked.push(new TextDecoder().decode(data));
    return data.toReversed();
  };
  const outcome = transformer.deidentify({}, messages, found, { mac });
  return { asked, outcome };
}

test('a number behind a label is found by its bytes', () => {
  const [found] = detector.detect({}, [message('user', text('ü MRN: 90210557'))]);
  assert.deepEqual([found.start, found.end, found.kind], [8, 16, 'mrn']);
});

test('the key is used for each value, and a value has one pseudonym wherever it stands', () => {
  const noted = text('ü 90210557, 90210557, Alma');
  const found = [span(13, 21), span(3, 11), span(23, 27, 'name')];
  const { asked, outcome } = deidentified([message('user', noted)], found);
  assert.deepEqual(asked, ['mrn\0' + '90210557', 'name\0Alma']);
  const one = '[MRN 3735353031323039]';
  assert.equal(outcome.messages[0].parts[0].val, `ü ${one}, ${one}, [NAME 616D6C4100656D61]`);
  assert.equal(outcome.replaced, 3);
});

test('what is known goes no further', () => {
  const known = message('known', json('[{"kind": "name", "of": "patient", "value": "Thistlewood, Alma"}]'));
  const { outcome } = deidentified([message('user', text('Ms. Thistlewood')), known], []);
  assert.deepEqual(outcome.messages, [message('user', text('Ms. Thistlewood'))]);
  const wrong = message('known', json('{"Quackenbush": 1}'));
  assert.throws(() => deidentified([wrong], []), { tag: 'invalid-input', val: 'what is known is no list of facts' });
});

test('JSON is refused where something was found, and else left', () => {
  const whole = message('user', json('{"mrn": 90210557}'));
  assert.throws(() => deidentified([whole], [span(8, 16)]), { tag: 'unsupported' });
  assert.deepEqual(deidentified([whole], []).outcome.messages, [whole]);
});

test('spans that overlap or cut a character are refused', () => {
  for (const [val, found] of [['90210557', [span(0, 4), span(3, 8)]], ['ü', [span(1, 2)]], ['9', [span(0, 2)]]]) {
    assert.throws(() => deidentified([message('user', text(val))], found), { tag: 'invalid-input' });
  }
});

test('a key that refuses is said, without the value', () => {
  const mac = () => {
    throw Object.assign(new Error(), { payload: { tag: 'expired' } });
  };
  const asks = () => transformer.deidentify({}, [message('user', text('90210557'))], [span(0, 8)], { mac });
  assert.throws(asks, { tag: 'unavailable', val: 'the key does not authenticate' });
});
