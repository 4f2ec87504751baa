// Write Nephron plugins in C.
//
// A plugin is one file, `plugin.c`, that defines the functions which its world exports: `plugin.h`, made of the contract in
// `wit`, declares them with their types. Here is what is not in a contract: texts, and the settings, which are JSON.
//
// `configure` is called once, and the memory it leaves is frozen: each later call starts from that image, in a fresh
// instance. So parse there, keep the result in static variables, and expect nothing to be remembered from one call to the next.
// Nothing needs to be freed. There is no clock, no randomness, no file and no network: time is an input. A lent key is borrowed:
// use it, and leave it alone.

#ifndef NEPHRON_H
#define NEPHRON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
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
  uint8_t *out = nephron_new((size_t)(json->end - json->at), 1);
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
static inline bool nephron_take_number(nephron_json_t *json, uint32_t *number) {
  uint8_t c = nephron_peek(json);
  if (c < '0' || c > '9') return nephron_fault(json);
  uint64_t value = 0;
  while (json->at < json->end && *json->at >= '0' && *json->at <= '9' && value <= UINT32_MAX) value = value * 10 + (*json->at++ - '0');
  c = nephron_peek(json);
  if (value > UINT32_MAX || c == '.' || c == 'e' || c == 'E' || (c >= '0' && c <= '9')) return nephron_fault(json);
  *number = (uint32_t)value;
  return true;
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

#endif
