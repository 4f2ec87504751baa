// Write Nephron plugins in JavaScript or TypeScript.
//
// A plugin is a module that exports one object for each interface of its world: `plugin`, and `decider`, `detector`,
// `transformer`, `connector` or `exporter`. `nephron.d.ts` has their types. Here is what is not in a contract: settings that are
// refused with all their faults at once, places in a text as the contract counts them, UTF-8, and what exporters share.
//
// `configure` is called once, and the memory it leaves is frozen: each later call starts from that image, in a fresh
// instance. So parse and compile there, keep the result in the module, and expect nothing to be remembered from one call to the
// next. There is no clock, no randomness and no network: time is an input, and what `Math.random` gives is the same in each
// call; `Date` with a time that it is given reads no clock. A whole number of 64 bits is a number: exact up to 2^53.
//
// A lent key is used during its call, as often as is needed, and left alone: what stands around the plugin lets go of it when the
// call ends, whether it returns or throws. Every use is an entry in the log.

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

/**
 * A text with another in the place of each span, whose places are bytes of UTF-8: `by` makes it of what stands there and of the
 * span. Throws where spans overlap, or end within a character.
 */
export function rewritten(text, spans, by) {
  let unit = 0;
  let byte = 0;
  const until = (place) => {
    const from = unit;
    while (byte < place && unit < text.length) {
      const scalar = text.codePointAt(unit);
      unit += scalar < 0x10000 ? 1 : 2;
      byte += scalar < 0x80 ? 1 : scalar < 0x800 ? 2 : scalar < 0x10000 ? 3 : 4;
    }
    if (byte !== place) throw invalid('spans overlap, or end within a character');
    return text.slice(from, unit);
  };
  let written = '';
  for (const span of spans.toSorted((one, other) => one.start - other.start)) {
    written += until(span.start);
    written += by(until(span.end), span);
  }
  return written + text.slice(unit);
}

/**
 * The messages without that of the role `known`, which is the last if there is one, and the facts in it: what the application
 * itself said of the patient. Nothing in it is to be reported or to go further.
 */
export function withoutKnown(messages) {
  const last = messages.at(-1);
  if (last?.role !== 'known') return { messages, facts: [] };
  return { messages: messages.slice(0, -1), facts: last.parts.flatMap(factsIn) };
}

function factsIn(part) {
  let facts = null;
  try {
    if (part.tag === 'json') facts = JSON.parse(part.val);
  } catch {
    // Its own words could quote a value.
  }
  const isFact = (fact) =>
    isObject(fact) && Object.keys(fact).sort().join() === 'kind,of,value' && isTexts(Object.values(fact));
  if (!Array.isArray(facts) || !facts.every(isFact)) throw invalid('what is known is no list of facts');
  return facts;
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

/** Bytes as lower-case hex digits. */
export function hex(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** That an entry of the log cannot be expressed; the message names it and holds nothing else of it. Throw it. */
export function fault(entry, message) {
  return invalid(`entry ${entry.sequence}: ${message}`);
}

/** Lower-case hex digits of an entry's hash, or of the one before. */
export function hash(entry, bytes = entry.hash) {
  if (bytes.length !== 32) throw fault(entry, 'one of its hashes is not 32 bytes');
  return hex(bytes);
}

/** When an entry was made: RFC 3339 in UTC with nine decimals, as its header writes it. */
export function dateTime(entry) {
  const { seconds, nanoseconds } = entry.at;
  // 10000-01-01T00:00:00Z.
  if (seconds >= 253402300800) throw fault(entry, 'its time is after the year 9999');
  const decimals = String(Math.min(nanoseconds, 999999999)).padStart(9, '0');
  return `${new Date(seconds * 1000).toISOString().slice(0, 19)}.${decimals}Z`;
}

/**
 * What the status of an answer means for a batch (RFC 9110 section 15). 2xx: delivered. What is wrong with the batch itself is
 * refused for good. All else, a refused credential or a wrong address among it, an operator can mend: the batch is kept and tried
 * again, after as long as the server asks for.
 */
export function judge(status, headers) {
  if (status >= 200 && status < 300) return { tag: 'delivered' };
  if ([400, 413, 414, 415, 422].includes(status)) return { tag: 'rejected', val: `status-${status}` };
  return { tag: 'retry-after-seconds', val: retryAfter(headers) };
}

/**
 * Seconds that a server asks for (RFC 9110 section 10.2.3), up to an hour, else none: the host waits ever longer by itself. A date
 * is not followed: no plugin knows the time.
 */
export function retryAfter(headers) {
  const [, value] = headers.find(([name]) => name.toLowerCase() === 'retry-after') ?? ['', ''];
  return /^[0-9]{1,9}$/.test(value.trim()) ? Math.min(Number(value), 3600) : 0;
}
