// Finds record numbers behind a label: `{"labels": ["MRN"], "digits": 8}`.

import { Settings, isTexts, places } from './sdk/nephron.js';

/** Compiled by `configure`, and there in each call. */
let number = null;

/** @type {import('./sdk/nephron.js').Plugin} */
export const plugin = {
  describe() {
    return { name: 'js-detector', version: '0.1.0', settingsSchema: null };
  },

  configure(settings) {
    const keys = new Settings(settings);
    const labels = keys.take('labels', [], isTexts, 'a list of texts, such as `MRN`');
    const fits = (value) => Number.isInteger(value) && value > 0 && value <= 32;
    const digits = keys.take('digits', 8, fits, 'a whole number from 1 to 32');
    keys.done();
    const label = labels.map((text) => text.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&')).join('|');
    number = labels.length > 0 ? new RegExp(`(?:${label})[ :#]*([0-9]{${digits}})(?![0-9])`, 'dg') : null;
  },
};

/** @type {import('./sdk/nephron.js').Detector} */
export const detector = {
  detect(info, messages) {
    if (number === null) return [];
    return messages.flatMap((message, at) =>
      message.parts.flatMap((part, which) =>
        part.tag === 'blob' ? [] : [...places(number, part.val, 1)].map((place) => found(at, which, place))
      )
    );
  },
};

function found(message, part, { start, end }) {
  return { message, part, start, end, kind: 'mrn', confidence: 1, rule: 'labelled-number' };
}
