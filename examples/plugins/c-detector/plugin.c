// Finds record numbers behind a label: `{"labels": ["MRN"], "digits": 8}`.

#include <nephron.h>

// What `configure` leaves here is where each call begins.
static plugin_list_string_t labels;
static uint32_t digits;

void exports_nephron_plugin_plugin_describe(exports_nephron_plugin_plugin_descriptor_t *ret) {
  ret->name = nephron_text("c-detector");
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
