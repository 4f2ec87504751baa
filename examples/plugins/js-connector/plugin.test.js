import assert from 'node:assert/strict';
import { test } from 'node:test';

import { connector, plugin } from './plugin.js';

plugin.configure('{}');
const { Decoder } = connector;
const bytes = (text) => new TextEncoder().encode(text);

test('a call becomes a request', () => {
  const messages = [{ role: 'user', name: null, parts: [{ tag: 'text', val: 'Größe?' }] }];
  const call = { model: 'm', messages, maxTokens: null, temperature: null, stop: [], wantStream: true, options: [] };
  const { val: request } = connector.encode({}, call);
  assert.equal(request.path, '/api/chat');
  const said = [{ role: 'user', content: 'Größe?' }];
  const body = JSON.parse(new TextDecoder().decode(request.body));
  assert.deepEqual(body, { model: 'm', stream: true, messages: said, options: {} });
});

test('an answer comes cut anywhere', () => {
  const decoder = new Decoder(200, []);
  const line = bytes('{"model":"m","message":{"content":"ü"},"done":true}\n');
  const events = [...line].flatMap((byte) => decoder.push(Uint8Array.of(byte)));
  events.push(...Decoder.finish(decoder));
  assert.deepEqual(events.map((event) => event.tag), ['model', 'text', 'stopped', 'used']);
});

test('an answer that was cut off is an error', () => {
  assert.throws(() => Decoder.finish(new Decoder(200, [])), { tag: 'unavailable' });
});
