// Finds record numbers behind a label, and puts a pseudonym in the place of whatever was found: `{"labels": ["MRN"], "digits": 8}`.
//
// A pseudonym is made with the lent key: nobody without it can try values out, and the same value of the same kind has the same one in
// its tenant, for one purpose of use. That is more than Safe Harbor allows (45 CFR 164.514(c)): an expert must have determined that the
// risk is very small (164.514(b)(1)).

#include <nephron_keyed.h>

// What `configure` leaves here is where each call begins.
static plugin_list_string_t labels;
static uint32_t digits;

void exports_nephron_plugin_plugin_describe(exports_nephron_plugin_plugin_descriptor_t *ret) {
  ret->name = nephron_text("c-transformer");
  ret->version = nephron_text("0.1.0");
  ret->settings_schema.is_some = false;
}

bool exports_nephron_plugin_plugin_configure(plugin_string_t *settings, exports_nephron_plugin_plugin_list_problem_t *err) {
  nephron_json_t json = nephron_json(*settings);
  plugin_string_t key;
  labels.len = 0;
  digits = 8;
  if (!nephron_take(&json, '{')) return nephron_refused(err, NULL, "settings are an object");
  for (bool first = true; nephron_key(&json, &first, &key);) {
    if (nephron_is(key, "labels")) {
      if (!nephron_take_texts(&json, &labels)) return nephron_refused(err, "labels", "it must be a list of texts, such as `MRN`");
    } else if (nephron_is(key, "digits")) {
      bool fits = nephron_take_number(&json, &digits) && digits > 0 && digits <= 32;
      if (!fits) return nephron_refused(err, "digits", "it must be a whole number from 1 to 32");
    } else {
      return nephron_refused(err, NULL, "there is a key beside `labels` and `digits`; take it out, or correct its spelling");
    }
  }
  if (!nephron_is_end(&json)) return nephron_refused(err, NULL, "this is no JSON");
  return true;
}

static bool is_digit(plugin_string_t text, size_t at) { return at < text.len && text.ptr[at] >= '0' && text.ptr[at] <= '9'; }

/// Where the number begins that a label at `at` announces, or the text's length without one.
static size_t number_behind(plugin_string_t text, size_t at, plugin_string_t label) {
  if (text.len - at < label.len || memcmp(text.ptr + at, label.ptr, label.len) != 0) return text.len;
  size_t start = at + label.len;
  while (start < text.len && memchr(" :#", text.ptr[start], 3) != NULL) start++;
  for (size_t digit = 0; digit < digits; digit++) {
    if (!is_digit(text, start + digit)) return text.len;
  }
  return is_digit(text, start + digits) ? text.len : start;
}

/// The spans of one part, behind those that are there.
static void search(plugin_string_t text, uint32_t message, uint32_t part, exports_nephron_plugin_detector_list_span_t *found, size_t *room) {
  for (size_t at = 0; at < text.len;) {
    size_t start = text.len;
    for (size_t label = 0; label < labels.len && start == text.len; label++) start = number_behind(text, at, labels.ptr[label]);
    if (start == text.len) {
      at++;
      continue;
    }
    if (found->len == *room) {
      *room = *room ? *room * 2 : 8;
      found->ptr = realloc(found->ptr, *room * sizeof *found->ptr);
      if (found->ptr == NULL) abort();
    }
    at = start + digits;
    found->ptr[found->len++] = (exports_nephron_plugin_detector_span_t){
        .message = message,
        .part = part,
        .start = (uint32_t)start,
        .end = (uint32_t)at,
        .kind = nephron_text("mrn"),
        .confidence = 1,
        .rule = {true, nephron_text("labelled-number")},
    };
  }
}

bool exports_nephron_plugin_detector_detect(exports_nephron_plugin_detector_request_info_t *info, exports_nephron_plugin_detector_list_message_t *messages, exports_nephron_plugin_detector_list_span_t *ret, exports_nephron_plugin_detector_error_t *err) {
  (void)info, (void)err;
  size_t room = 0;
  *ret = (exports_nephron_plugin_detector_list_span_t){NULL, 0};
  for (size_t message = 0; message < messages->len; message++) {
    for (size_t part = 0; part < messages->ptr[message].parts.len; part++) {
      nephron_plugin_types_part_t *it = &messages->ptr[message].parts.ptr[part];
      if (it->tag == NEPHRON_PLUGIN_TYPES_PART_BLOB) continue;
      plugin_string_t text = it->tag == NEPHRON_PLUGIN_TYPES_PART_TEXT ? it->val.text : it->val.json;
      search(text, (uint32_t)message, (uint32_t)part, ret, &room);
    }
  }
  return true;
}

/// Pseudonyms by kind and value. The key is asked once for each: every use of it is an entry in the log.
typedef struct {
  nephron_plugin_keys_borrow_key_t key;
  struct {
    plugin_string_t kind;
    plugin_string_t value;
    plugin_string_t code;
  } *made;
  size_t count;
} codes_t;

static bool code_of(codes_t *codes, plugin_string_t kind, plugin_string_t value, plugin_string_t *code, nephron_plugin_types_error_t *err) {
  for (size_t at = 0; at < codes->count; at++) {
    bool is_it = nephron_same(codes->made[at].kind, kind) && nephron_same(codes->made[at].value, value);
    if (is_it) return *code = codes->made[at].code, true;
  }
  nephron_bytes_t asked = {0}, said = {0};
  nephron_add(&asked, kind.ptr, kind.len);
  nephron_add(&asked, "", 1);
  nephron_add(&asked, value.ptr, value.len);
  plugin_list_u8_t data = {asked.ptr, asked.len}, mac;
  nephron_plugin_keys_key_error_t why;
  if (!nephron_plugin_keys_method_key_mac(codes->key, &data, &mac, &why)) {
    return nephron_failed(err, NEPHRON_PLUGIN_TYPES_ERROR_UNAVAILABLE, nephron_text("the key does not authenticate"));
  }
  nephron_add_text(&said, "[");
  for (size_t at = 0; at < kind.len; at++) {
    uint8_t c = kind.ptr[at];
    nephron_add(&said, &(uint8_t){c >= 'a' && c <= 'z' ? c - 32 : c}, 1);
  }
  nephron_add_text(&said, " ");
  nephron_add_hex(&said, mac.ptr, mac.len < 8 ? mac.len : 8, "0123456789ABCDEF");
  nephron_add_text(&said, "]");
  codes->made = realloc(codes->made, (codes->count + 1) * sizeof *codes->made);
  if (codes->made == NULL) abort();
  *code = (plugin_string_t){said.ptr, said.len};
  codes->made[codes->count].kind = kind;
  codes->made[codes->count].value = value;
  codes->made[codes->count++].code = *code;
  return true;
}

static int by_start(const void *one, const void *other) {
  uint32_t first = ((const nephron_plugin_types_span_t *)one)->start, second = ((const nephron_plugin_types_span_t *)other)->start;
  return (first > second) - (first < second);
}

/// Whether a character begins there, or the text ends.
static bool is_boundary(plugin_string_t text, size_t at) { return at == text.len || (at < text.len && (text.ptr[at] & 0xc0) != 0x80); }

/// `text` with a pseudonym in the place of each span, which are sorted. No value stands in an error.
static bool rewrite(plugin_string_t *text, const nephron_plugin_types_span_t *spans, size_t count, codes_t *codes, nephron_plugin_types_error_t *err) {
  nephron_bytes_t written = {0};
  size_t from = 0;
  for (size_t at = 0; at < count; at++) {
    size_t start = spans[at].start, end = spans[at].end;
    if (start < from || end < start || !is_boundary(*text, start) || !is_boundary(*text, end)) {
      return nephron_failed(err, NEPHRON_PLUGIN_TYPES_ERROR_INVALID_INPUT, nephron_text("spans overlap, or end within a character"));
    }
    plugin_string_t value = {text->ptr + start, end - start}, code;
    if (!code_of(codes, spans[at].kind, value, &code, err)) return false;
    nephron_add(&written, text->ptr + from, start - from);
    nephron_add(&written, code.ptr, code.len);
    from = end;
  }
  nephron_add(&written, text->ptr + from, text->len - from);
  *text = nephron_copy(written.ptr, written.len);
  return true;
}

static bool rewrite_all(exports_nephron_plugin_transformer_list_message_t *messages, exports_nephron_plugin_transformer_list_span_t *found, nephron_plugin_keys_borrow_key_t key, exports_nephron_plugin_transformer_outcome_t *ret, nephron_plugin_types_error_t *err) {
  codes_t codes = {.key = key};
  // What is known of the patient comes as a last message, and goes no further.
  nephron_take_known(messages);
  *ret = (exports_nephron_plugin_transformer_outcome_t){0};
  nephron_plugin_types_span_t *spans = nephron_new(found->len, sizeof *spans);
  for (size_t message = 0; message < messages->len; message++) {
    for (size_t part = 0; part < messages->ptr[message].parts.len; part++) {
      nephron_plugin_types_part_t *it = &messages->ptr[message].parts.ptr[part];
      size_t count = 0;
      for (size_t at = 0; at < found->len; at++) {
        if (found->ptr[at].message == message && found->ptr[at].part == part) spans[count++] = found->ptr[at];
      }
      qsort(spans, count, sizeof *spans, by_start);
      if (it->tag == NEPHRON_PLUGIN_TYPES_PART_TEXT) {
        if (!rewrite(&it->val.text, spans, count, &codes, err)) return false;
      } else if (count > 0) {
        // A pseudonym in the place of a number would be no JSON.
        return nephron_failed(err, NEPHRON_PLUGIN_TYPES_ERROR_UNSUPPORTED, nephron_text("only plain text is rewritten by this plugin"));
      }
      ret->replaced += (uint32_t)count;
    }
  }
  ret->messages = *messages;
  return true;
}

bool exports_nephron_plugin_transformer_deidentify(exports_nephron_plugin_transformer_request_info_t *info, exports_nephron_plugin_transformer_list_message_t *messages, exports_nephron_plugin_transformer_list_span_t *found, exports_nephron_plugin_transformer_borrow_key_t key, exports_nephron_plugin_transformer_outcome_t *ret, exports_nephron_plugin_transformer_error_t *err) {
  (void)info;
  bool is_done = rewrite_all(messages, found, key, ret, err);
  // The key was lent: it is given back once, behind its last use, also with an error. Else the call traps.
  nephron_plugin_keys_key_drop_borrow(key);
  return is_done;
}

bool exports_nephron_plugin_transformer_reidentify(exports_nephron_plugin_transformer_request_info_t *info, exports_nephron_plugin_transformer_list_message_t *messages, exports_nephron_plugin_transformer_borrow_key_t key, exports_nephron_plugin_transformer_outcome_t *ret, exports_nephron_plugin_transformer_error_t *err) {
  (void)info, (void)messages, (void)ret;
  nephron_plugin_keys_key_drop_borrow(key);
  return nephron_failed(err, NEPHRON_PLUGIN_TYPES_ERROR_UNSUPPORTED, nephron_text("no value can be made of a pseudonym again"));
}
