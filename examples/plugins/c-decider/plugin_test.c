// Its own tests, with any compiler: `cc -std=c17 -I sdk -o /tmp/t plugin_test.c && /tmp/t`.

#include "plugin.c"

#include <stdio.h>

static int failed;

#define CHECK(claim) \
  if (!(claim)) failed++, fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #claim)

static bool configure(const char *settings) {
  plugin_string_t text = nephron_text(settings);
  exports_nephron_plugin_plugin_list_problem_t problems;
  return exports_nephron_plugin_plugin_configure(&text, &problems);
}

static exports_nephron_plugin_decider_decision_t decide(const char *purpose, const char *role) {
  exports_nephron_plugin_decider_query_t query = {0};
  plugin_string_t roles[] = {nephron_text("staff"), nephron_text(role)};
  query.info.purpose = nephron_text(purpose);
  query.info.caller.roles = (plugin_list_string_t){roles, 2};
  exports_nephron_plugin_decider_decision_t decision;
  exports_nephron_plugin_decider_error_t error;
  CHECK(exports_nephron_plugin_decider_decide(&query, &decision, &error));
  return decision;
}

int main(void) {
  CHECK(configure(" {\"permit\": {\"TREAT\": [\"physician\", \"n\\u0075rse\"], \"HPAYMT\": []}} "));
  CHECK(decide("TREAT", "nurse").effect == EXPORTS_NEPHRON_PLUGIN_DECIDER_EFFECT_PERMIT);
  CHECK(nephron_is(decide("TREAT", "clerk").reasons.ptr[0].code, "role-not-permitted"));
  CHECK(nephron_is(decide("HMARKT", "nurse").reasons.ptr[0].code, "purpose-not-permitted"));
  CHECK(configure("{}"));
  CHECK(nephron_is(decide("TREAT", "nurse").reasons.ptr[0].code, "purpose-not-permitted"));
  const char *faulty[] = {"", "[]", "{\"permit\": {\"TREAT\": \"nurse\"}}", "{\"premit\": {}}", "{\"permit\": {}} x", "{\"permit\": {\"a\": [\"\\ud800\"]}}"};
  for (size_t at = 0; at < sizeof faulty / sizeof *faulty; at++) CHECK(!configure(faulty[at]));
  printf("%s\n", failed ? "failed" : "passed");
  return failed != 0;
}
