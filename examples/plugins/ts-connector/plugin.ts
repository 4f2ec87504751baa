// Speaks to servers with Ollama's API (POST /api/chat): lines of JSON, each with the next piece of the answer.
//
// Settings: `{"path": "/api/chat", "credential": "name"}`, each of which may be left out.

import { Settings, decodeUtf8, encodeUtf8, isObject } from './sdk/nephron.js';
import type { Connector, Event, Part, Plugin, PluginError } from './sdk/nephron.js';

let path = '/api/chat';
let credential: string | null = null;

export const plugin: Plugin = {
  describe() {
    return { name: 'ts-connector', version: '0.1.0', settingsSchema: null };
  },

  configure(settings) {
    const keys = new Settings(settings);
    const isText = (value: unknown) => typeof value === 'string';
    const isPath = (value: unknown) => typeof value === 'string' && value.startsWith('/');
    path = keys.take('path', '/api/chat', isPath, 'a path, such as `/api/chat`');
    credential = keys.take<string | null>('credential', null, isText, 'the name of a credential');
    keys.done();
  },
};

/** One response. Bytes come cut anywhere; a line is read when its end is there. */
class Decoder {
  #failed: boolean;
  #rest: number[] = [];
  #named = false;
  #ended = false;

  constructor(status: number, _headers: [string, string][]) {
    this.#failed = status !== 200;
  }

  push(chunk: Uint8Array): Event[] {
    // A failure is told by `finish`: its body could repeat what was asked, and nobody reads it.
    if (this.#failed) return [];
    const events: Event[] = [];
    for (const byte of chunk) {
      if (byte === 10) {
        this.#line(events);
      } else {
        this.#rest.push(byte);
      }
    }
    return events;
  }

  static finish(decoder: Decoder): Event[] {
    if (decoder.#failed) throw unavailable('the server refused the call');
    const events: Event[] = [];
    decoder.#line(events);
    if (!decoder.#ended) throw unavailable('the answer was cut off');
    return events;
  }

  #line(events: Event[]): void {
    const line = decodeUtf8(Uint8Array.from(this.#rest));
    this.#rest = [];
    if (line?.trim() === '') return;
    const piece = parsed(line ?? '');
    const message = piece['message'];
    const content = isObject(message) ? message['content'] : null;
    if (typeof content !== 'string') throw unavailable('the answer is none of this API');
    const model = piece['model'];
    if (!this.#named && typeof model === 'string') {
      events.push({ tag: 'model', val: model });
      this.#named = true;
    }
    if (content !== '') events.push({ tag: 'text', val: content });
    if (piece['done'] === true) {
      this.#ended = true;
      const why = piece['done_reason'];
      events.push({ tag: 'stopped', val: typeof why === 'string' ? why : 'stop' });
      const used = { inputTokens: count(piece['prompt_eval_count']), outputTokens: count(piece['eval_count']) };
      events.push({ tag: 'used', val: used });
    }
  }
}

export const connector: Connector<Decoder> = {
  encode(_, call) {
    // What cannot be said is refused by its name: left out, the answer would be one to another question.
    for (const option of call.options) throw unsupported(option.name);
    const options: Record<string, unknown> = {};
    if (call.maxTokens !== null) options['num_predict'] = call.maxTokens;
    if (call.temperature !== null) options['temperature'] = call.temperature;
    if (call.stop.length > 0) options['stop'] = call.stop;
    const messages = call.messages.map((message) => ({
      role: message.role,
      content: message.parts.map(text).join(''),
    }));
    const body = encodeUtf8(JSON.stringify({ model: call.model, stream: call.wantStream, messages, options }));
    const headers: [string, string][] = [['content-type', 'application/json']];
    return { tag: 'call', val: { method: 'POST', path, headers, body, credential } };
  },

  Decoder,
};

function text(part: Part): string {
  if (part.tag === 'blob') throw unsupported(part.val.mediaType);
  return part.val;
}

function parsed(line: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(line);
    return isObject(value) ? value : {};
  } catch {
    return {};
  }
}

function count(value: unknown): number | null {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : null;
}

function unsupported(name: string): PluginError {
  return { tag: 'unsupported', val: `\`${name}\` cannot be said to this server` };
}

function unavailable(message: string): PluginError {
  return { tag: 'unavailable', val: message };
}
