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

static exports_nephron_plugin_detector_list_span_t found(const char *text) {
  nephron_plugin_types_part_t part = {.tag = NEPHRON_PLUGIN_TYPES_PART_TEXT, .val.text = nephron_text(text)};
  exports_nephron_plugin_detector_message_t message = {.parts = {&part, 1}};
  exports_nephron_plugin_detector_list_message_t messages = {&message, 1};
  exports_nephron_plugin_detector_request_info_t info = {0};
  exports_nephron_plugin_detector_list_span_t spans;
  exports_nephron_plugin_detector_error_t error;
  CHECK(exports_nephron_plugin_detector_detect(&info, &messages, &spans, &error));
  return spans;
}

int main(void) {
  CHECK(configure("{\"labels\": [\"MRN\", \"N\\u00ba\"], \"digits\": 8}"));
  exports_nephron_plugin_detector_list_span_t spans = found("\xc3\xbc\xf0\x9f\x98\x80 MRN: 90210557, N\xc2\xba 44120983");
  CHECK(spans.len == 2);
  CHECK(spans.ptr[0].start == 12 && spans.ptr[0].end == 20);
  CHECK(spans.ptr[1].start == 26 && spans.ptr[1].end == 34);
  CHECK(found("90210557, MRN 902105577, MRN 9021055").len == 0);
  CHECK(!configure("{\"digits\": 33}") && !configure("{\"labels\": [1]}") && !configure("{\"digit\": 8}"));
  printf("%s\n", failed ? "failed" : "passed");
  return failed != 0;
}
