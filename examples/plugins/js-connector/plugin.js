// Speaks to servers with Ollama's API (POST /api/chat): lines of JSON, each with the next piece of the answer.
//
// Settings: `{"path": "/api/chat", "credential": "name"}`, each of which may be left out.

import { Settings, decodeUtf8, encodeUtf8, isObject } from './sdk/nephron.js';

let path = '/api/chat';
let credential = null;

/** @type {import('./sdk/nephron.js').Plugin} */
export const plugin = {
  describe() {
    return { name: 'js-connector', version: '0.1.0', settingsSchema: null };
  },

  configure(settings) {
    const keys = new Settings(settings);
    const isText = (value) => typeof value === 'string';
    const isPath = (value) => isText(value) && value.startsWith('/');
    path = keys.take('path', '/api/chat', isPath, 'a path, such as `/api/chat`');
    credential = keys.take('credential', null, isText, 'the name of a credential');
    keys.done();
  },
};

/** One response. Bytes come cut anywhere; a line is read when its end is there. */
class Decoder {
  #failed;
  #rest = [];
  #named = false;
  #ended = false;

  constructor(status, headers) {
    this.#failed = status !== 200;
  }

  push(chunk) {
    // A failure is told by `finish`: its body could repeat what was asked, and nobody reads it.
    if (this.#failed) return [];
    const events = [];
    for (const byte of chunk) {
      if (byte === 10) {
        this.#line(events);
      } else {
        this.#rest.push(byte);
      }
    }
    return events;
  }

  static finish(decoder) {
    if (decoder.#failed) throw unavailable('the server refused the call');
    const events = [];
    decoder.#line(events);
    if (!decoder.#ended) throw unavailable('the answer was cut off');
    return events;
  }

  #line(events) {
    const line = decodeUtf8(this.#rest);
    this.#rest = [];
    if (line?.trim() === '') return;
    const piece = parsed(line);
    const content = piece?.message?.content;
    if (typeof content !== 'string') throw unavailable('the answer is none of this API');
    if (!this.#named && typeof piece.model === 'string') {
      events.push({ tag: 'model', val: piece.model });
      this.#named = true;
    }
    if (content !== '') events.push({ tag: 'text', val: content });
    if (piece.done === true) {
      this.#ended = true;
      events.push({ tag: 'stopped', val: typeof piece.done_reason === 'string' ? piece.done_reason : 'stop' });
      const used = { inputTokens: count(piece.prompt_eval_count), outputTokens: count(piece.eval_count) };
      events.push({ tag: 'used', val: used });
    }
  }
}

/** @type {import('./sdk/nephron.js').Connector} */
export const connector = {
  encode(info, call) {
    // What cannot be said is refused by its name: left out, the answer would be one to another question.
    for (const option of call.options) throw unsupported(option.name);
    const options = {};
    if (call.maxTokens !== null) options.num_predict = call.maxTokens;
    if (call.temperature !== null) options.temperature = call.temperature;
    if (call.stop.length > 0) options.stop = call.stop;
    const messages = call.messages.map((message) => ({
      role: message.role,
      content: message.parts.map(text).join(''),
    }));
    const body = { model: call.model, stream: call.wantStream, messages, options };
    const headers = [['content-type', 'application/json']];
    const encoded = encodeUtf8(JSON.stringify(body));
    return { tag: 'call', val: { method: 'POST', path, headers, body: encoded, credential } };
  },

  Decoder,
};

function text(part) {
  if (part.tag === 'blob') throw unsupported(part.val.mediaType);
  return part.val;
}

function parsed(line) {
  try {
    const value = JSON.parse(line);
    return isObject(value) ? value : null;
  } catch {
    return null;
  }
}

function count(value) {
  return Number.isSafeInteger(value) && value >= 0 ? value : null;
}

function unsupported(name) {
  return { tag: 'unsupported', val: `\`${name}\` cannot be said to this server` };
}

function unavailable(message) {
  return { tag: 'unavailable', val: message };
}
