// What exporters share: when a log entry was made, its hash, and what an HTTP server's answer means for a batch.

#ifndef NEPHRON_ENTRY_H
#define NEPHRON_ENTRY_H

#include <nephron.h>

/// That an entry cannot be expressed; the message names it and must hold nothing else of it.
static inline bool nephron_entry_fault(const exports_nephron_plugin_exporter_entry_t *entry, nephron_plugin_types_error_t *err, const char *message) {
  nephron_bytes_t said = {0};
  nephron_add_text(&said, "entry ");
  nephron_add_number(&said, entry->sequence);
  nephron_add_text(&said, ": ");
  nephron_add_text(&said, message);
  return nephron_failed(err, NEPHRON_PLUGIN_TYPES_ERROR_INVALID_INPUT, nephron_copy(said.ptr, said.len));
}

/// Adds a number with at least that many digits.
static inline void nephron_add_digits(nephron_bytes_t *bytes, uint64_t number, int width) {
  for (uint64_t least = 10; --width > 0; least *= 10) {
    if (number < least) nephron_add_text(bytes, "0");
  }
  nephron_add_number(bytes, number);
}

/// Adds when an entry was made: RFC 3339 in UTC with nine decimals, as its header writes it.
static inline bool nephron_add_date_time(nephron_bytes_t *bytes, const exports_nephron_plugin_exporter_entry_t *entry, nephron_plugin_types_error_t *err) {
  if (entry->at.seconds >= 253402300800) return nephron_entry_fault(entry, err, "its time is after the year 9999");
  uint64_t left = entry->at.seconds / 86400, second = entry->at.seconds % 86400;
  uint32_t year = 1970, month = 1;
  for (;; year++) {
    uint64_t days = 365 + ((year % 4 == 0 && year % 100 != 0) || year % 400 == 0);
    if (left < days) break;
    left -= days;
  }
  bool is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
  for (;; month++) {
    uint64_t days = month == 2 ? 28 + is_leap : month == 4 || month == 6 || month == 9 || month == 11 ? 30 : 31;
    if (left < days) break;
    left -= days;
  }
  const struct {
    uint64_t number;
    int width;
    const char *before;
  } columns[] = {
      {year, 4, ""},
      {month, 2, "-"},
      {left + 1, 2, "-"},
      {second / 3600, 2, "T"},
      {second / 60 % 60, 2, ":"},
      {second % 60, 2, ":"},
      {entry->at.nanoseconds < 1000000000 ? entry->at.nanoseconds : 999999999, 9, "."},
  };
  for (size_t at = 0; at < sizeof columns / sizeof *columns; at++) {
    nephron_add_text(bytes, columns[at].before);
    nephron_add_digits(bytes, columns[at].number, columns[at].width);
  }
  nephron_add_text(bytes, "Z");
  return true;
}

/// Adds one of its hashes, of 32 bytes, in lower-case hex digits.
static inline bool nephron_add_hash(nephron_bytes_t *bytes, const exports_nephron_plugin_exporter_entry_t *entry, plugin_list_u8_t hash, nephron_plugin_types_error_t *err) {
  if (hash.len != 32) return nephron_entry_fault(entry, err, "one of its hashes is not 32 bytes");
  nephron_add_hex(bytes, hash.ptr, hash.len, "0123456789abcdef");
  return true;
}

/// Seconds that a server asks for (RFC 9110 section 10.2.3), up to an hour, else none: the host waits ever longer by itself. A date is not
/// followed: no plugin knows the time.
static inline uint32_t nephron_retry_after(const plugin_list_tuple2_string_string_t *headers) {
  static const char wanted[] = "retry-after";
  for (size_t header = 0; header < headers->len; header++) {
    plugin_string_t name = headers->ptr[header].f0, value = headers->ptr[header].f1;
    bool is_it = name.len == strlen(wanted);
    for (size_t at = 0; is_it && at < name.len; at++) {
      uint8_t c = name.ptr[at];
      is_it = (c >= 'A' && c <= 'Z' ? c | 32 : c) == wanted[at];
    }
    if (!is_it) continue;
    nephron_json_t left = nephron_json(value);
    uint64_t seconds;
    if (!nephron_take_whole(&left, &seconds) || !nephron_is_end(&left)) return 0;
    return seconds < 3600 ? (uint32_t)seconds : 3600;
  }
  return 0;
}

/// What the status of an answer means for a batch (RFC 9110 section 15). 2xx: delivered. What is wrong with the batch itself (400, 413,
/// 414, 415 and 422) is refused for good. All else, a refused credential or a wrong address among it, an operator can mend: the batch is
/// kept and tried again, after as long as the server asks for.
static inline void nephron_judge(uint16_t status, const plugin_list_tuple2_string_string_t *headers, exports_nephron_plugin_exporter_verdict_t *ret) {
  if (status >= 200 && status <= 299) {
    ret->tag = EXPORTS_NEPHRON_PLUGIN_EXPORTER_VERDICT_DELIVERED;
  } else if (status == 400 || (status >= 413 && status <= 415) || status == 422) {
    nephron_bytes_t code = {0};
    nephron_add_text(&code, "status-");
    nephron_add_number(&code, status);
    ret->tag = EXPORTS_NEPHRON_PLUGIN_EXPORTER_VERDICT_REJECTED;
    ret->val.rejected = nephron_copy(code.ptr, code.len);
  } else {
    ret->tag = EXPORTS_NEPHRON_PLUGIN_EXPORTER_VERDICT_RETRY_AFTER_SECONDS;
    ret->val.retry_after_seconds = nephron_retry_after(headers);
  }
}

#endif
