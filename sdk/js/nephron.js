// Write Nephron plugins in JavaScript or TypeScript.
//
// A plugin is a module that exports one object for each interface of its world: `plugin`, and `decider`, `detector` or
// `connector`. `nephron.d.ts` has their types. Here is what is not in a contract: settings that are refused with all their
// faults at once, places in a text as the contract counts them, and UTF-8.
//
// `configure` is called once, and the memory it leaves is frozen: each later call starts from that image, in a fresh
// instance. So parse and compile there, keep the result in the module, and expect nothing to be remembered from one call to the
// next. There is no clock, no randomness and no network: time is an input, and what `Math.random` gives is the same in each
// call. A lent key is used during its call and left alone.

/** An error for input that cannot be judged. It must repeat nothing of the input. Throw it. */
export function invalid(message) {
  return { tag: 'invalid-input', val: message };
}

/** The settings of a plugin, with every fault in them. Take each key that there is, then call `done`. */
export class Settings {
  #left = {};
  /** Every fault so far. */
  problems = [];

  constructor(text) {
    let whole;
    try {
      whole = JSON.parse(text);
    } catch (error) {
      this.problem(null, `this is no JSON: ${error.message}`);
      return;
    }
    if (isObject(whole)) {
      this.#left = whole;
    } else {
      this.problem(null, 'settings are an object');
    }
  }

  /** Notes a fault, and goes on. */
  problem(key, message) {
    this.problems.push({ key, message });
  }

  /** The value of a key, or `otherwise` without it or where it does not fit: `form` then says what would. */
  take(key, otherwise, fits, form) {
    if (!Object.hasOwn(this.#left, key)) return otherwise;
    const value = this.#left[key];
    delete this.#left[key];
    if (fits(value)) return value;
    this.problem(key, `it must be ${form}`);
    return otherwise;
  }

  /** Refuses the settings if there were faults. */
  done() {
    for (const key of Object.keys(this.#left)) {
      this.problem(key, 'no such key; take it out, or correct its spelling');
    }
    if (this.problems.length > 0) throw this.problems;
  }
}

/** Whether it is an object, and no list. */
export function isObject(value) {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Whether it is a list of texts. */
export function isTexts(value) {
  return Array.isArray(value) && value.every((item) => typeof item === 'string');
}

/** Bytes of UTF-8 that a text takes. */
export function utf8Length(text) {
  let bytes = 0;
  for (let at = 0; at < text.length; at += 1) {
    const unit = text.charCodeAt(at);
    if (unit < 0x80) {
      bytes += 1;
    } else if (unit < 0x800) {
      bytes += 2;
    } else if (unit >= 0xd800 && unit < 0xdc00) {
      // With the half that follows: four.
      bytes += 4;
      at += 1;
    } else {
      bytes += 3;
    }
  }
  return bytes;
}

/**
 * Where a pattern, or one group of it, stands in a text: in bytes of UTF-8, as spans have it, and not in UTF-16. The pattern
 * needs the flags `d` and `g`.
 */
export function* places(pattern, text, group = 0) {
  let unit = 0;
  let byte = 0;
  for (const found of text.matchAll(pattern)) {
    const [first, last] = found.indices[group];
    const start = byte + utf8Length(text.slice(unit, first));
    unit = last;
    byte = start + utf8Length(text.slice(first, last));
    yield { start, end: byte };
  }
}

/** A text as bytes of UTF-8. */
export function encodeUtf8(text) {
  const bytes = new Uint8Array(utf8Length(text));
  let at = 0;
  for (const character of text) {
    const scalar = character.codePointAt(0);
    if (scalar < 0x80) {
      bytes[at++] = scalar;
    } else if (scalar < 0x800) {
      bytes[at++] = 0xc0 | (scalar >> 6);
      bytes[at++] = 0x80 | (scalar & 0x3f);
    } else if (scalar < 0x10000) {
      bytes[at++] = 0xe0 | (scalar >> 12);
      bytes[at++] = 0x80 | ((scalar >> 6) & 0x3f);
      bytes[at++] = 0x80 | (scalar & 0x3f);
    } else {
      bytes[at++] = 0xf0 | (scalar >> 18);
      bytes[at++] = 0x80 | ((scalar >> 12) & 0x3f);
      bytes[at++] = 0x80 | ((scalar >> 6) & 0x3f);
      bytes[at++] = 0x80 | (scalar & 0x3f);
    }
  }
  return bytes;
}

/** Bytes of UTF-8 as a text, or `null` where they are none. */
export function decodeUtf8(bytes) {
  const least = [0, 0x80, 0x800, 0x10000];
  let text = '';
  for (let at = 0; at < bytes.length; ) {
    const first = bytes[at++];
    const more = first < 0x80 ? 0 : first < 0xc0 ? -1 : first < 0xe0 ? 1 : first < 0xf0 ? 2 : first < 0xf8 ? 3 : -1;
    if (more < 0) return null;
    let scalar = more === 0 ? first : first & (0x3f >> more);
    for (let left = more; left > 0; left -= 1) {
      const next = bytes[at++];
      if (next === undefined || (next & 0xc0) !== 0x80) return null;
      scalar = (scalar << 6) | (next & 0x3f);
    }
    if (scalar < least[more] || scalar > 0x10ffff || (scalar >= 0xd800 && scalar < 0xe000)) return null;
    text += String.fromCodePoint(scalar);
  }
  return text;
}
