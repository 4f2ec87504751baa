// Permits what is asked for a purpose by whoever has a role for it: `{"permit": {"TREAT": ["nurse"]}}`.

import { Settings, isObject, isTexts } from './sdk/nephron.js';

/** The roles that each purpose permits. What `configure` leaves here is where each call begins. */
let permitted = new Map();

/** @type {import('./sdk/nephron.js').Plugin} */
export const plugin = {
  describe() {
    return { name: 'js-decider', version: '0.1.0', settingsSchema: null };
  },

  configure(settings) {
    const keys = new Settings(settings);
    const fits = (value) => isObject(value) && Object.values(value).every(isTexts);
    const permit = keys.take('permit', {}, fits, 'an object: a list of roles for each purpose');
    keys.done();
    permitted = new Map(Object.entries(permit).map(([purpose, roles]) => [purpose, new Set(roles)]));
  },
};

/** @type {import('./sdk/nephron.js').Decider} */
export const decider = {
  decide(query) {
    const roles = permitted.get(query.info.purpose);
    if (roles === undefined) return denied('purpose-not-permitted');
    if (!query.info.caller.roles.some((role) => roles.has(role))) return denied('role-not-permitted');
    return { effect: 'permit', reasons: [], obligations: [] };
  },
};

function denied(code) {
  return { effect: 'deny', reasons: [{ code, text: null, policy: null }], obligations: [] };
}
