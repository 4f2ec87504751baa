// Finds record numbers behind a label: `{"labels": ["MRN"], "digits": 8}`.

import { Settings, isTexts, places } from './sdk/nephron.js';
import type { Detector, Plugin, Span } from './sdk/nephron.js';

/** Compiled by `configure`, and there in each call. */
let number: RegExp | null = null;

export const plugin: Plugin = {
  describe() {
    return { name: 'ts-detector', version: '0.1.0', settingsSchema: null };
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
