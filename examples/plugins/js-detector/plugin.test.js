import assert from 'node:assert/strict';
import { test } from 'node:test';

import { detector, plugin } from './plugin.js';

function found(...parts) {
  plugin.configure('{"labels": ["MRN"], "digits": 8}');
  const spans = detector.detect({}, [{ role: 'user', name: null, parts }]);
  return spans.map((span) => [span.part, span.start, span.end]);
}

const text = (val) => ({ tag: 'text', val });

test('a labelled number is found by its bytes', () => {
  assert.deepEqual(found(text('ü😀 MRN: 90210557.')), [[0, 12, 20]]);
});

test('what is no text is passed over', () => {
  const blob = { tag: 'blob', val: { mediaType: 'image/png', length: 1, sha256: '00' } };
  assert.deepEqual(found(blob, text('MRN 90210557')), [[1, 4, 12]]);
});

test('other numbers are left', () => {
  assert.deepEqual(found(text('90210557, MRN 902105577, MRN 9021055')), []);
});
