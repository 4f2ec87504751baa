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

// The line of one entry, or the message of the error.
static plugin_string_t line(uint64_t seconds, size_t hash) {
  uint8_t sevens[32];
  memset(sevens, 7, sizeof sevens);
  exports_nephron_plugin_exporter_entry_t entry = {.sequence = 7, .at = {seconds, 5}, .hash = {sevens, hash}};
  exports_nephron_plugin_exporter_batch_t batch = {.first = 7, .entries = {&entry, 1}};
  exports_nephron_plugin_exporter_delivery_t delivery;
  exports_nephron_plugin_exporter_error_t error;
  if (!exports_nephron_plugin_exporter_encode(&batch, &delivery, &error)) return error.val.invalid_input;
  return (plugin_string_t){delivery.val.bytes.ptr, delivery.val.bytes.len};
}

static void an_entry_is_a_line(void) {
  static const struct {
    uint64_t seconds;
    const char *time;
  } times[] = {
      {0, "1970-01-01T00:00:00"},
      {951782399, "2000-02-28T23:59:59"},
      {951782400, "2000-02-29T00:00:00"},
      {978307199, "2000-12-31T23:59:59"},
      {1795305802, "2026-11-22T00:03:22"},
      {4107542399, "2100-02-28T23:59:59"},
      {4107542400, "2100-03-01T00:00:00"},
      {253402300799, "9999-12-31T23:59:59"},
  };
  for (size_t at = 0; at < sizeof times / sizeof *times; at++) {
    char expected[160];
    snprintf(expected, sizeof expected, "7\t%s.000000005Z\tsha256:%s\n", times[at].time, "0707070707070707070707070707070707070707070707070707070707070707");
    CHECK(nephron_is(line(times[at].seconds, 32), expected));
  }
}

static exports_nephron_plugin_exporter_verdict_t judged(uint16_t status, const char *value) {
  plugin_tuple2_string_string_t header = {nephron_text("Retry-After"), nephron_text(value)};
  plugin_list_tuple2_string_string_t headers = {&header, 1};
  plugin_list_u8_t body = {NULL, 0};
  exports_nephron_plugin_exporter_verdict_t verdict;
  exports_nephron_plugin_exporter_judge(status, &headers, &body, &verdict);
  return verdict;
}

static bool waits(uint16_t status, const char *value, uint32_t seconds) {
  exports_nephron_plugin_exporter_verdict_t verdict = judged(status, value);
  return verdict.tag == EXPORTS_NEPHRON_PLUGIN_EXPORTER_VERDICT_RETRY_AFTER_SECONDS && verdict.val.retry_after_seconds == seconds;
}

int main(void) {
  CHECK(configure("{}"));
  an_entry_is_a_line();
  CHECK(nephron_is(line(0, 31), "entry 7: one of its hashes is not 32 bytes"));
  CHECK(nephron_is(line(253402300800, 32), "entry 7: its time is after the year 9999"));
  CHECK(nephron_is(line(UINT64_MAX, 32), "entry 7: its time is after the year 9999"));
  CHECK(judged(204, "").tag == EXPORTS_NEPHRON_PLUGIN_EXPORTER_VERDICT_DELIVERED);
  CHECK(nephron_is(judged(413, "7").val.rejected, "status-413"));
  CHECK(waits(403, "", 0) && waits(429, " 7 ", 7) && waits(429, "99999999", 3600));
  CHECK(waits(503, "Sun, 22 Nov 2026 00:00:00 GMT", 0) && waits(503, "7 s", 0) && waits(503, "99999999999999999999999", 0));
  CHECK(configure("{\"separator\": \"; \"}") && line(0, 32).ptr[1] == ';');
  CHECK(!configure("{\"separator\": \"\"}") && !configure("{\"separator\": \"\\n\"}") && !configure("{\"separator\": 1}") && !configure("{\"seperator\": \";\"}"));
  printf("%s\n", failed ? "failed" : "passed");
  return failed != 0;
}
