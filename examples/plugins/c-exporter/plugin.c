// Writes a line for each entry of the log: its sequence number, its time and its hash, with a tab between.
//
// Whoever keeps the lines can tell later whether the log was changed. Settings: `{"separator": "\t"}`, which may be left out.

#include <nephron_entry.h>

// What `configure` leaves here is where each call begins.
static plugin_string_t separator;

void exports_nephron_plugin_plugin_describe(exports_nephron_plugin_plugin_descriptor_t *ret) {
  ret->name = nephron_text("c-exporter");
  ret->version = nephron_text("0.1.0");
  ret->settings_schema.is_some = false;
}

static bool is_separator(plugin_string_t text) {
  return text.len > 0 && memchr(text.ptr, '\n', text.len) == NULL && memchr(text.ptr, '\r', text.len) == NULL;
}

bool exports_nephron_plugin_plugin_configure(plugin_string_t *settings, exports_nephron_plugin_plugin_list_problem_t *err) {
  nephron_json_t json = nephron_json(*settings);
  plugin_string_t key;
  separator = nephron_text("\t");
  if (!nephron_take(&json, '{')) return nephron_refused(err, NULL, "settings are an object");
  for (bool first = true; nephron_key(&json, &first, &key);) {
    if (!nephron_is(key, "separator")) return nephron_refused(err, NULL, "there is a key beside `separator`; take it out, or correct its spelling");
    bool fits = nephron_take_text(&json, &separator) && is_separator(separator);
    if (!fits) return nephron_refused(err, "separator", "it must be a text without line breaks, such as `;`");
  }
  if (!nephron_is_end(&json)) return nephron_refused(err, NULL, "this is no JSON");
  return true;
}

bool exports_nephron_plugin_exporter_encode(exports_nephron_plugin_exporter_batch_t *batch, exports_nephron_plugin_exporter_delivery_t *ret, exports_nephron_plugin_exporter_error_t *err) {
  nephron_bytes_t lines = {0};
  for (size_t at = 0; at < batch->entries.len; at++) {
    const exports_nephron_plugin_exporter_entry_t *entry = &batch->entries.ptr[at];
    nephron_add_number(&lines, entry->sequence);
    nephron_add(&lines, separator.ptr, separator.len);
    if (!nephron_add_date_time(&lines, entry, err)) return false;
    nephron_add(&lines, separator.ptr, separator.len);
    nephron_add_text(&lines, "sha256:");
    if (!nephron_add_hash(&lines, entry, entry->hash, err)) return false;
    nephron_add_text(&lines, "\n");
  }
  ret->tag = EXPORTS_NEPHRON_PLUGIN_EXPORTER_DELIVERY_BYTES;
  ret->val.bytes = (plugin_list_u8_t){lines.ptr, lines.len};
  return true;
}

// What a server's answer to a delivery means; for bytes nobody asks.
void exports_nephron_plugin_exporter_judge(uint16_t status, plugin_list_tuple2_string_string_t *headers, plugin_list_u8_t *body, exports_nephron_plugin_exporter_verdict_t *ret) {
  (void)body;
  nephron_judge(status, headers, ret);
}
