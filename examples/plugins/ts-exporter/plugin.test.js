import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';

import { exporter, plugin } from './target/plugin.js';

beforeEach(() => plugin.configure('{}'));

function encoded(changes = {}) {
  const at = { seconds: 1795305802, nanoseconds: 5 };
  const [previousHash, hash] = [new Uint8Array(32).fill(6), new Uint8Array(32).fill(7)];
  const entry = { sequence: 7, at, header: '{}', previousHash, hash, ...changes };
  const { tag, val } = exporter.encode({ tenant: 'st-marys', log: 'audit', first: 7, entries: [entry], checkpoint: null });
  assert.equal(tag, 'bytes');
  return new TextDecoder().decode(val);
}

test('an entry is a line', () => {
  assert.equal(encoded(), `7\t2026-11-22T00:03:22.000000005Z\tsha256:${'07'.repeat(32)}\n`);
});

test('what cannot be written is refused by its number', () => {
  const late = { seconds: 253402300800, nanoseconds: 0 };
  for (const changes of [{ hash: new Uint8Array(31) }, { at: late }, { sequence: 2 ** 53 }]) {
    const refused = { tag: 'invalid-input', val: new RegExp(`^entry ${changes.sequence ?? 7}: `) };
    assert.throws(() => encoded(changes), refused);
  }
});

test('an answer delivers, refuses for good or asks for another try', () => {
  const judged = (status, after) => {
    const { tag, val } = exporter.judge(status, after === undefined ? [] : [['Retry-After', after]], new Uint8Array());
    return val ?? tag;
  };
  const cases = [
    [204, undefined, 'delivered'],
    [413, '7', 'status-413'],
    [401, undefined, 0],
    [429, ' 7', 7],
    [429, '99999999', 3600],
    [503, 'Sun, 22 Nov 2026 00:00:00 GMT', 0],
  ];
  for (const [status, after, expected] of cases) assert.equal(judged(status, after), expected);
});

test('a separator has no line breaks', () => {
  plugin.configure('{"separator": "; "}');
  assert.ok(encoded().startsWith('7; 2026'));
  const refused = (problems) => problems[0].key === 'separator';
  for (const separator of ['', 'a\n', 7]) assert.throws(() => plugin.configure(JSON.stringify({ separator })), refused);
});
