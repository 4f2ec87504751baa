// Finds record numbers behind a label, and puts a pseudonym in the place of whatever was found: `{"labels": ["MRN"], "digits": 8}`.
//
// A pseudonym is made with the lent key: nobody without it can try values out, and the same value of the same kind has the same
// one in its tenant, for one purpose of use. That is more than Safe Harbor allows (45 CFR 164.514(c)): an expert must have
// determined that the risk is very small (164.514(b)(1)).

import { Settings, encodeUtf8, hex, isTexts, places, rewritten, withoutKnown } from './sdk/nephron.js';
import type { Detector, Key, Message, Part, Plugin, PluginError, Span, Transformer } from './sdk/nephron.js';

/** Compiled by `configure`, and there in each call. */
let number: RegExp | null = null;

export const plugin: Plugin = {
  describe() {
    return { name: 'ts-transformer', version: '0.1.0', settingsSchema: null };
  },

  configure(settings) {
    const keys = new Settings(settings);
    const labels = keys.take<string[]>('labels', [], isTexts, 'a list of texts, such as `MRN`');
    const fits = (value: unknown) => typeof value === 'number' && Number.isInteger(value) && value > 0 && value <= 32;
    const digits = keys.take('digits', 8, fits, 'a whole number from 1 to 32');
    keys.done();
    const label = labels.map((text) => text.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&')).join('|');
    number = labels.length > 0 ? new RegExp(`(?:${label})[ :#]*([0-9]{${digits}})(?![0-9])`, 'dg') : null;
  },
};

export const detector: Detector = {
  detect(_, messages) {
    const pattern = number;
    if (pattern === null) return [];
    return messages.flatMap((message, at) =>
      message.parts.flatMap((part, which) =>
        part.tag === 'blob' ? [] : [...places(pattern, part.val, 1)].map((place) => found(at, which, place))
      )
    );
  },
};

function found(message: number, part: number, { start, end }: { start: number; end: number }): Span {
  return { message, part, start, end, kind: 'mrn', confidence: 1, rule: 'labelled-number' };
}

export const transformer: Transformer = {
  deidentify(_, messages, found, key) {
    const pseudonym = pseudonyms(key);
    let replaced = 0;
    // What is known of the patient comes as a last message, and goes no further.
    const written = withoutKnown(messages).messages.map((message, at): Message => {
      const parts = message.parts.map((part, which): Part => {
        const spans = found.filter((span) => span.message === at && span.part === which);
        replaced += spans.length;
        if (part.tag === 'text') return { tag: 'text', val: rewritten(part.val, spans, pseudonym) };
        // A pseudonym in the place of a number would be no JSON.
        if (spans.length > 0) throw unsupported('only plain text is rewritten by this plugin');
        return part;
      });
      return { ...message, parts };
    });
    return { messages: written, replaced, residualRisk: null };
  },

  reidentify() {
    throw unsupported('no value can be made of a pseudonym again');
  },
};

/** Pseudonyms by kind and value. The key is asked once for each: every use of it is an entry in the log. */
function pseudonyms(key: Key): (value: string, span: Span) => string {
  const made = new Map<string, string>();
  return (value, { kind }) => {
    const asked = `${kind}\0${value}`;
    const pseudonym = made.get(asked) ?? `[${kind.toUpperCase()} ${code(key, asked)}]`;
    made.set(asked, pseudonym);
    return pseudonym;
  };
}

function code(key: Key, asked: string): string {
  try {
    return hex(key.mac(encodeUtf8(asked)).slice(0, 8)).toUpperCase();
  } catch {
    const failed: PluginError = { tag: 'unavailable', val: 'the key does not authenticate' };
    throw failed;
  }
}

function unsupported(val: string): PluginError {
  return { tag: 'unsupported', val };
}
