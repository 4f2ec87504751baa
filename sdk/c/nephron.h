// Write Nephron plugins in C.
//
// A plugin is one file, `plugin.c`, that defines the functions which its world exports: `plugin.h`, made of the contract in
// `wit`, declares them with their types. Here is what is not in a contract: texts, and JSON, read and written. `nephron_keyed.h`
// is for transformers, `nephron_entry.h` for exporters.
//
// `configure` is called once, and the memory it leaves is frozen: each later call starts from that image, in a fresh
// instance. So parse there, keep the result in static variables, and expect nothing to be remembered from one call to the next.
// Nothing needs to be freed. There is no clock, no randomness, no file and no network: time is an input. A lent key must be given
// back: `nephron_keyed.h` says how.

#ifndef NEPHRON_H
#define NEPHRON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugin.h"

/// Memory for `count` things of one size, zeroed. Ends the call where there is none.
static inline void *nephron_new(size_t count, size_t size) {
  void *memory = calloc(count ? count : 1, size);
  if (memory == NULL) abort();
  return memory;
}

/// A copy of bytes as a text that the host may take: it frees what it is given.
static inline plugin_string_t nephron_copy(const void *bytes, size_t length) {
  uint8_t *copy = nephron_new(length, 1);
  memcpy(copy, bytes, length);
  return (plugin_string_t){copy, length};
}

/// A text that the host may take.
static inline plugin_string_t nephron_text(const char *text) { return nephron_copy(text, strlen(text)); }

/// Whether two texts are the same.
static inline bool nephron_same(plugin_string_t one, plugin_string_t other) {
  return one.len == other.len && memcmp(one.ptr, other.ptr, one.len) == 0;
}

/// Whether a text is this literal.
static inline bool nephron_is(plugin_string_t text, const char *literal) {
  return text.len == strlen(literal) && memcmp(text.ptr, literal, text.len) == 0;
}

/// Refuses settings, which `return nephron_refused(...)` then does: what is wrong with a key, or with the whole without one.
static inline bool nephron_refused(exports_nephron_plugin_plugin_list_problem_t *err, const char *key, const char *message) {
  exports_nephron_plugin_plugin_problem_t *problem = nephron_new(1, sizeof *problem);
  problem->key.is_some = key != NULL;
  if (key != NULL) problem->key.val = nephron_text(key);
  problem->message = nephron_text(message);
  *err = (exports_nephron_plugin_plugin_list_problem_t){problem, 1};
  return false;
}

/// Fails a call, which `return nephron_failed(...)` then does: any error but `other`. No message may repeat text
/// of a request, but for the name of an option or of a media type that is not supported.
static inline bool nephron_failed(nephron_plugin_types_error_t *err, uint8_t tag, plugin_string_t message) {
  err->tag = tag;
  err->val.internal = message;
  return false;
}

/// Bytes that grow at their end.
typedef struct {
  uint8_t *ptr;
  size_t len;
  size_t room;
} nephron_bytes_t;

static inline void nephron_add(nephron_bytes_t *bytes, const void *more, size_t length) {
  if (length > bytes->room - bytes->len) {
    if (length > SIZE_MAX / 2 - bytes->len) abort();
    bytes->room = (bytes->len + length) * 2;
    bytes->ptr = realloc(bytes->ptr, bytes->room);
    if (bytes->ptr == NULL) abort();
  }
  if (length > 0) memcpy(bytes->ptr + bytes->len, more, length);
  bytes->len += length;
}

/// Adds a literal.
static inline void nephron_add_text(nephron_bytes_t *bytes, const char *text) { nephron_add(bytes, text, strlen(text)); }

/// Adds a whole number.
static inline void nephron_add_number(nephron_bytes_t *bytes, uint64_t number) {
  char digits[20];
  size_t at = sizeof digits;
  do digits[--at] = (char)('0' + number % 10);
  while (number /= 10);
  nephron_add(bytes, digits + at, sizeof digits - at);
}

/// Adds bytes as hex digits.
static inline void nephron_add_hex(nephron_bytes_t *bytes, const uint8_t *more, size_t length, const char digits[16]) {
  for (size_t at = 0; at < length; at++) {
    nephron_add(bytes, &digits[more[at] >> 4], 1);
    nephron_add(bytes, &digits[more[at] & 15], 1);
  }
}

/// Adds a text as JSON, between quotation marks.
static inline void nephron_add_json(nephron_bytes_t *bytes, plugin_string_t text) {
  nephron_add_text(bytes, "\"");
  for (size_t at = 0; at < text.len; at++) {
    uint8_t c = text.ptr[at];
    if (c < ' ') {
      nephron_add_text(bytes, "\\u00");
      nephron_add_hex(bytes, &c, 1, "0123456789abcdef");
    } else {
      if (c == '"' || c == '\\') nephron_add_text(bytes, "\\");
      nephron_add(bytes, &c, 1);
    }
  }
  nephron_add_text(bytes, "\"");
}

/// Adds a number as JSON, with as few digits as give it again. There is none for an infinity, and none for what is no number.
static inline bool nephron_add_double(nephron_bytes_t *bytes, double number) {
  if (number - number != 0) return false;
  char text[32];
  for (int digits = 1; digits <= 17; digits++) {
    snprintf(text, sizeof text, "%.*g", digits, number);
    if (strtod(text, NULL) == number) break;
  }
  nephron_add_text(bytes, text);
  return true;
}

/// Whether bytes are UTF-8: what comes from outside must be, before it becomes a text.
static inline bool nephron_is_utf8(const uint8_t *bytes, size_t length) {
  static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
  for (size_t at = 0; at < length;) {
    uint8_t first = bytes[at++];
    size_t more = first < 0x80 ? 0 : first >= 0xc0 && first < 0xe0 ? 1 : first >= 0xe0 && first < 0xf0 ? 2 : first >= 0xf0 && first < 0xf8 ? 3 : 4;
    if (more > 3 || more > length - at) return false;
    uint32_t scalar = more == 0 ? first : first & (0x3fu >> more);
    for (size_t left = more; left > 0; left--, at++) {
      if ((bytes[at] & 0xc0) != 0x80) return false;
      scalar = scalar << 6 | (bytes[at] & 0x3f);
    }
    if (scalar < least[more] || scalar > 0x10ffff || (scalar >= 0xd800 && scalar < 0xe000)) return false;
  }
  return true;
}

/// JSON that is read from front to back: what is left of it. Any fault empties it and is remembered.
typedef struct {
  const uint8_t *at;
  const uint8_t *end;
  bool is_faulty;
} nephron_json_t;

static inline nephron_json_t nephron_json(plugin_string_t text) {
  return (nephron_json_t){text.ptr, text.ptr + text.len, false};
}

/// Notes that it is no JSON, or not what is wanted.
static inline bool nephron_fault(nephron_json_t *json) {
  json->at = json->end;
  json->is_faulty = true;
  return false;
}

/// The next byte that is no white space, or 0 at the end.
static inline uint8_t nephron_peek(nephron_json_t *json) {
  while (json->at < json->end && (*json->at == ' ' || *json->at == '\t' || *json->at == '\n' || *json->at == '\r')) json->at++;
  return json->at < json->end ? *json->at : 0;
}

/// Whether it was read whole, without a fault.
static inline bool nephron_is_end(nephron_json_t *json) {
  nephron_peek(json);
  return json->at == json->end && !json->is_faulty;
}

/// Takes that byte, if it is the next.
static inline bool nephron_take(nephron_json_t *json, uint8_t byte) {
  if (nephron_peek(json) != byte) return false;
  json->at++;
  return true;
}

static inline int nephron_hex(nephron_json_t *json) {
  int value = 0;
  for (int digit = 0; digit < 4; digit++) {
    uint8_t c = json->at < json->end ? *json->at++ : 0;
    int nibble = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
    if (nibble < 0) return -1;
    value = value << 4 | nibble;
  }
  return value;
}

/// Takes a text, without its escapes.
static inline bool nephron_take_text(nephron_json_t *json, plugin_string_t *text) {
  if (!nephron_take(json, '"')) return nephron_fault(json);
  // No longer than what stands there, up to its end.
  const uint8_t *last = json->at;
  while (last < json->end && *last != '"') last += *last == '\\' && json->end - last > 1 ? 2 : 1;
  uint8_t *out = nephron_new((size_t)(last - json->at), 1);
  *text = (plugin_string_t){out, 0};
  while (json->at < json->end) {
    uint8_t c = *json->at++;
    if (c == '"') return true;
    if (c < ' ') break;
    if (c == '\\') {
      static const char escapes[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
      c = json->at < json->end ? *json->at++ : 0;
      const char *escape = c == 0 ? NULL : strchr(escapes, c);
      if (escape != NULL) {
        c = (uint8_t)meant[escape - escapes];
      } else {
        int scalar = c == 'u' ? nephron_hex(json) : -1;
        if (scalar >= 0xd800 && scalar < 0xdc00) {
          bool has_other = json->end - json->at >= 6 && json->at[0] == '\\' && json->at[1] == 'u';
          json->at += has_other ? 2 : 0;
          int other = has_other ? nephron_hex(json) : -1;
          scalar = other >= 0xdc00 && other < 0xe000 ? 0x10000 + ((scalar - 0xd800) << 10) + (other - 0xdc00) : -1;
        } else if (scalar >= 0xdc00 && scalar < 0xe000) {
          scalar = -1;
        }
        if (scalar < 0) break;
        if (scalar >= 0x80) {
          // Six bytes of JSON or more become four of UTF-8 or fewer.
          if (scalar >= 0x10000) out[text->len++] = (uint8_t)(0xf0 | scalar >> 18);
          if (scalar >= 0x800) out[text->len++] = (uint8_t)(scalar >= 0x10000 ? 0x80 | (scalar >> 12 & 0x3f) : 0xe0 | scalar >> 12);
          out[text->len++] = (uint8_t)(scalar >= 0x800 ? 0x80 | (scalar >> 6 & 0x3f) : 0xc0 | scalar >> 6);
          c = (uint8_t)(0x80 | (scalar & 0x3f));
        } else {
          c = (uint8_t)scalar;
        }
      }
    }
    out[text->len++] = c;
  }
  return nephron_fault(json);
}

/// Takes a whole number without a sign.
static inline bool nephron_take_whole(nephron_json_t *json, uint64_t *number) {
  uint8_t c = nephron_peek(json);
  if (c < '0' || c > '9') return nephron_fault(json);
  *number = 0;
  while (json->at < json->end && *json->at >= '0' && *json->at <= '9') {
    uint64_t digit = *json->at++ - '0';
    if (*number > (UINT64_MAX - digit) / 10) return nephron_fault(json);
    *number = *number * 10 + digit;
  }
  c = json->at < json->end ? *json->at : 0;
  return c != '.' && c != 'e' && c != 'E' ? true : nephron_fault(json);
}

/// Takes a smaller one.
static inline bool nephron_take_number(nephron_json_t *json, uint32_t *number) {
  uint64_t whole;
  if (!nephron_take_whole(json, &whole) || whole > UINT32_MAX) return nephron_fault(json);
  *number = (uint32_t)whole;
  return true;
}

/// Takes `null`, `true` or `false`, if that is the next.
static inline bool nephron_take_word(nephron_json_t *json, const char *word) {
  nephron_peek(json);
  size_t length = strlen(word);
  if ((size_t)(json->end - json->at) < length || memcmp(json->at, word, length) != 0) return false;
  json->at += length;
  return true;
}

/// Takes `true` or `false`.
static inline bool nephron_take_claim(nephron_json_t *json, bool *claim) {
  *claim = nephron_take_word(json, "true");
  return *claim || nephron_take_word(json, "false") || nephron_fault(json);
}

/// In a list or an object that `open` began: whether there is another item. `first` begins as `true`.
static inline bool nephron_more(nephron_json_t *json, uint8_t close, bool *first) {
  if (json->is_faulty || nephron_take(json, close)) return false;
  if (!*first && !nephron_take(json, ',')) return nephron_fault(json);
  *first = false;
  return true;
}

/// In an object that `{` began: the next key, if there is another. `first` begins as `true`.
static inline bool nephron_key(nephron_json_t *json, bool *first, plugin_string_t *key) {
  if (!nephron_more(json, '}', first)) return false;
  return nephron_take_text(json, key) && (nephron_take(json, ':') || nephron_fault(json));
}

/// Takes a list of texts.
static inline bool nephron_take_texts(nephron_json_t *json, plugin_list_string_t *texts) {
  bool first = true;
  size_t room = 0;
  *texts = (plugin_list_string_t){NULL, 0};
  if (!nephron_take(json, '[')) return nephron_fault(json);
  while (nephron_more(json, ']', &first)) {
    if (texts->len == room) {
      room = room ? room * 2 : 8;
      texts->ptr = realloc(texts->ptr, room * sizeof *texts->ptr);
      if (texts->ptr == NULL) abort();
    }
    if (!nephron_take_text(json, &texts->ptr[texts->len])) return false;
    texts->len++;
  }
  return !json->is_faulty;
}

static inline bool nephron_skip_digits(nephron_json_t *json) {
  const uint8_t *from = json->at;
  while (json->at < json->end && *json->at >= '0' && *json->at <= '9') json->at++;
  return json->at > from || nephron_fault(json);
}

static inline bool nephron_skip_number(nephron_json_t *json) {
  nephron_take(json, '-');
  if (json->at < json->end && *json->at == '0') json->at++;
  else if (!nephron_skip_digits(json)) return false;
  if (json->at < json->end && *json->at == '.' && (json->at++, !nephron_skip_digits(json))) return false;
  if (json->at == json->end || (*json->at != 'e' && *json->at != 'E')) return true;
  json->at++;
  if (json->at < json->end && (*json->at == '+' || *json->at == '-')) json->at++;
  return nephron_skip_digits(json);
}

static inline bool nephron_skip_within(nephron_json_t *json, int depth) {
  plugin_string_t text;
  bool first = true;
  uint8_t c = nephron_peek(json);
  if (c == '"') {
    bool is_text = nephron_take_text(json, &text);
    free(text.ptr);
    return is_text;
  }
  if (c == '[' || c == '{') {
    if (depth == 0) return nephron_fault(json);
    json->at++;
    while (c == '[' ? nephron_more(json, ']', &first) : nephron_key(json, &first, &text)) {
      if (c == '{') free(text.ptr);
      if (!nephron_skip_within(json, depth - 1)) return false;
    }
    return !json->is_faulty;
  }
  if (nephron_take_word(json, "null") || nephron_take_word(json, "true") || nephron_take_word(json, "false")) return true;
  return nephron_skip_number(json);
}

/// Takes whatever is next, up to 64 deep, and leaves it.
static inline bool nephron_skip(nephron_json_t *json) { return nephron_skip_within(json, 64); }

#endif
