// Permits what is asked for a purpose by whoever has a role for it: `{"permit": {"TREAT": ["nurse"]}}`.

#include <nephron.h>

#define PURPOSES 64

// The roles that each purpose permits. What `configure` leaves here is where each call begins.
static struct {
  plugin_string_t purpose;
  plugin_list_string_t roles;
} permitted[PURPOSES];
static size_t purposes;

void exports_nephron_plugin_plugin_describe(exports_nephron_plugin_plugin_descriptor_t *ret) {
  ret->name = nephron_text("c-decider");
  ret->version = nephron_text("0.1.0");
  ret->settings_schema.is_some = false;
}

static bool read_permitted(nephron_json_t *json) {
  plugin_string_t purpose;
  if (!nephron_take(json, '{')) return nephron_fault(json);
  for (bool first = true; nephron_key(json, &first, &purpose);) {
    if (purposes == PURPOSES) return nephron_fault(json);
    permitted[purposes].purpose = purpose;
    if (!nephron_take_texts(json, &permitted[purposes].roles)) return false;
    purposes++;
  }
  return !json->is_faulty;
}

bool exports_nephron_plugin_plugin_configure(plugin_string_t *settings, exports_nephron_plugin_plugin_list_problem_t *err) {
  nephron_json_t json = nephron_json(*settings);
  plugin_string_t key;
  purposes = 0;
  if (!nephron_take(&json, '{')) return nephron_refused(err, NULL, "settings are an object");
  for (bool first = true; nephron_key(&json, &first, &key);) {
    if (!nephron_is(key, "permit")) return nephron_refused(err, NULL, "there is a key beside `permit`; take it out, or correct its spelling");
    if (!read_permitted(&json)) return nephron_refused(err, "permit", "it must be an object: a list of roles for each purpose, of which there are 64 at most");
  }
  if (!nephron_is_end(&json)) return nephron_refused(err, NULL, "this is no JSON");
  return true;
}

static bool denied(exports_nephron_plugin_decider_decision_t *ret, const char *code) {
  exports_nephron_plugin_decider_reason_t *reason = nephron_new(1, sizeof *reason);
  reason->code = nephron_text(code);
  ret->effect = EXPORTS_NEPHRON_PLUGIN_DECIDER_EFFECT_DENY;
  ret->reasons = (exports_nephron_plugin_decider_list_reason_t){reason, 1};
  return true;
}

bool exports_nephron_plugin_decider_decide(exports_nephron_plugin_decider_query_t *query, exports_nephron_plugin_decider_decision_t *ret, exports_nephron_plugin_decider_error_t *err) {
  (void)err;
  *ret = (exports_nephron_plugin_decider_decision_t){0};
  size_t at = 0;
  while (at < purposes && !nephron_same(permitted[at].purpose, query->info.purpose)) at++;
  if (at == purposes) return denied(ret, "purpose-not-permitted");
  for (size_t has = 0; has < query->info.caller.roles.len; has++) {
    for (size_t role = 0; role < permitted[at].roles.len; role++) {
      if (nephron_same(permitted[at].roles.ptr[role], query->info.caller.roles.ptr[has])) {
        ret->effect = EXPORTS_NEPHRON_PLUGIN_DECIDER_EFFECT_PERMIT;
        return true;
      }
    }
  }
  return denied(ret, "role-not-permitted");
}
