// Permits what is asked for a purpose by whoever has a role for it: `{"permit": {"TREAT": ["nurse"]}}`.

import { Settings, isObject, isTexts } from './sdk/nephron.js';
import type { Decider, Decision, Plugin } from './sdk/nephron.js';

/** The roles that each purpose permits. What `configure` leaves here is where each call begins. */
let permitted = new Map<string, Set<string>>();

export const plugin: Plugin = {
  describe() {
    return { name: 'ts-decider', version: '0.1.0', settingsSchema: null };
  },

  configure(settings) {
    const keys = new Settings(settings);
    const fits = (value: unknown) => isObject(value) && Object.values(value).every(isTexts);
    const permit = keys.take<Record<string, string[]>>('permit', {}, fits, 'an object: a list of roles for each purpose');
    keys.done();
    permitted = new Map(Object.entries(permit).map(([purpose, roles]) => [purpose, new Set(roles)]));
  },
};

export const decider: Decider = {
  decide(query) {
    const roles = permitted.get(query.info.purpose);
    if (roles === undefined) return denied('purpose-not-permitted');
    if (!query.info.caller.roles.some((role) => roles.has(role))) return denied('role-not-permitted');
    return { effect: 'permit', reasons: [], obligations: [] };
  },
};

function denied(code: string): Decision {
  return { effect: 'deny', reasons: [{ code, text: null, policy: null }], obligations: [] };
}
