// Writes a line for each entry of the log: its sequence number, its time and its hash, with a tab between.
//
// Whoever keeps the lines can tell later whether the log was changed. Settings: `{"separator": "\t"}`, which may be left out.

import { Settings, dateTime, encodeUtf8, fault, hash, judge } from './sdk/nephron.js';
import type { Entry, Exporter, Plugin } from './sdk/nephron.js';

let separator = '\t';

export const plugin: Plugin = {
  describe() {
    return { name: 'ts-exporter', version: '0.1.0', settingsSchema: null };
  },

  configure(settings) {
    const keys = new Settings(settings);
    const fits = (value: unknown) => typeof value === 'string' && value !== '' && !/[\r\n]/.test(value);
    separator = keys.take('separator', '\t', fits, 'a text without line breaks, such as `;`');
    keys.done();
  },
};

export const exporter: Exporter = {
  encode(batch) {
    const lines = batch.entries.map((entry) => `${columns(entry).join(separator)}\n`);
    return { tag: 'bytes', val: encodeUtf8(lines.join('')) };
  },

  /** What a server's answer to a delivery means; for bytes nobody asks. */
  judge(status, headers) {
    return judge(status, headers);
  },
};

function columns(entry: Entry): string[] {
  // Beyond that, a number would stand for its neighbours too.
  if (!Number.isSafeInteger(entry.sequence)) throw fault(entry, 'its number is above 2^53');
  return [String(entry.sequence), dateTime(entry), `sha256:${hash(entry)}`];
}
