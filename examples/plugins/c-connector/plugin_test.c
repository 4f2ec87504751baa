// Its own tests, with any compiler: `cc -std=c17 -I sdk -o /tmp/t plugin_test.c && /tmp/t`.

#include "plugin.c"

#include <stdio.h>

static int failed;

#define CHECK(claim) \
  if (!(claim)) failed++, fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #claim)

// Outside of a component nobody keeps handles: there is one decoder at a time.
static exports_nephron_plugin_connector_decoder_t *kept;

exports_nephron_plugin_connector_own_decoder_t exports_nephron_plugin_connector_decoder_new(exports_nephron_plugin_connector_decoder_t *rep) {
  CHECK(kept == NULL);
  kept = rep;
  return (exports_nephron_plugin_connector_own_decoder_t){7};
}

exports_nephron_plugin_connector_decoder_t *exports_nephron_plugin_connector_decoder_rep(exports_nephron_plugin_connector_own_decoder_t handle) {
  CHECK(handle.__handle == 7 && kept != NULL);
  return kept;
}

void exports_nephron_plugin_connector_decoder_drop_own(exports_nephron_plugin_connector_own_decoder_t handle) {
  CHECK(handle.__handle == 7 && kept != NULL);
  exports_nephron_plugin_connector_decoder_destructor(kept);
  kept = NULL;
}

static bool configure(const char *settings) {
  plugin_string_t text = nephron_text(settings);
  exports_nephron_plugin_plugin_list_problem_t problems;
  return exports_nephron_plugin_plugin_configure(&text, &problems);
}

static void a_call_becomes_a_request(void) {
  nephron_plugin_types_part_t part = {.tag = NEPHRON_PLUGIN_TYPES_PART_TEXT, .val.text = nephron_text("Gr\xc3\xb6\xc3\x9f" "e \"\\\n\x1f?")};
  nephron_plugin_types_message_t message = {.role = nephron_text("user"), .parts = {&part, 1}};
  plugin_string_t stop = nephron_text("END");
  exports_nephron_plugin_connector_chat_call_t call = {
      .model = nephron_text("m"), .messages = {&message, 1}, .max_tokens = {true, 8}, .temperature = {true, 0.1}, .stop = {&stop, 1}};
  exports_nephron_plugin_connector_request_info_t info = {0};
  exports_nephron_plugin_connector_plan_t plan;
  exports_nephron_plugin_connector_error_t error;
  CHECK(configure("{\"credential\": \"proxy\"}"));
  CHECK(exports_nephron_plugin_connector_encode(&info, &call, &plan, &error));
  nephron_plugin_exchange_http_request_t *request = &plan.val.call;
  CHECK(nephron_is(request->path, "/api/chat") && nephron_is(request->credential.val, "proxy"));
  plugin_string_t body = {request->body.ptr, request->body.len};
  CHECK(nephron_is(body, "{\"model\":\"m\",\"stream\":false,\"messages\":[{\"role\":\"user\",\"content\":\"Gr\xc3\xb6\xc3\x9f" "e \\\"\\\\\\u000a\\u001f?\"}],"
                         "\"options\":{\"num_predict\":8,\"temperature\":0.1,\"stop\":[\"END\"]}}"));
  double none = 0;
  call.temperature.val = none / none;
  CHECK(!exports_nephron_plugin_connector_encode(&info, &call, &plan, &error) && error.tag == NEPHRON_PLUGIN_TYPES_ERROR_UNSUPPORTED);
  part = (nephron_plugin_types_part_t){.tag = NEPHRON_PLUGIN_TYPES_PART_BLOB, .val.blob.media_type = nephron_text("image/png")};
  CHECK(!exports_nephron_plugin_connector_encode(&info, &call, &plan, &error) && nephron_is(error.val.unsupported, "`image/png` cannot be said to this server"));
}

// The tags of the events of a response that comes in pieces of that many bytes, one letter each; `!` at an error.
static const char *decoded(uint16_t status, const char *text, size_t length, size_t piece) {
  static char tags[64];
  static const char letters[] = "TCSUMO";
  size_t count = 0;
  exports_nephron_plugin_connector_error_t error = {0};
  exports_nephron_plugin_connector_list_event_t events;
  plugin_list_tuple2_string_string_t headers = {NULL, 0};
  exports_nephron_plugin_connector_own_decoder_t decoder = exports_nephron_plugin_connector_constructor_decoder(status, &headers);
  bool is_done = true;
  for (size_t at = 0; at < length && is_done; at += piece) {
    plugin_string_t copy = nephron_copy(text + at, piece < length - at ? piece : length - at);
    plugin_list_u8_t chunk = {copy.ptr, copy.len};
    is_done = exports_nephron_plugin_connector_method_decoder_push(exports_nephron_plugin_connector_decoder_rep(decoder), &chunk, &events, &error);
    for (size_t event = 0; is_done && event < events.len; event++) tags[count++] = letters[events.ptr[event].tag];
  }
  if (is_done) {
    is_done = exports_nephron_plugin_connector_static_decoder_finish(decoder, &events, &error);
    for (size_t event = 0; is_done && event < events.len; event++) tags[count++] = letters[events.ptr[event].tag];
  } else {
    exports_nephron_plugin_connector_decoder_drop_own(decoder);
  }
  CHECK(kept == NULL && (is_done || error.tag == NEPHRON_PLUGIN_TYPES_ERROR_UNAVAILABLE));
  if (!is_done) tags[count++] = '!';
  tags[count] = 0;
  return tags;
}

static void an_answer_comes_cut_anywhere(void) {
  const char *text =
      "{\"model\":\"m\",\"new\":[{\"a\":[-1.5e+3,true,null,\"\\\"]\"]},0],\"message\":{\"role\":\"assistant\",\"content\":\"\xc3\xbc\\u00fc\\ud83d\\ude00\"}}\r\n\n"
      "{\"model\":\"m\",\"message\":{\"content\":\"\"},\"done\":true,\"done_reason\":null,\"eval_count\":18446744073709551615}";
  for (size_t piece = 1; piece <= strlen(text); piece++) CHECK(strcmp(decoded(200, text, strlen(text), piece), "MTSU") == 0);
  // Any end that is missing is an error, and so is any failure.
  for (size_t length = 0; length < strlen(text); length++) {
    const char *tags = decoded(200, text, length, length + 1);
    CHECK(tags[strlen(tags) - 1] == '!');
  }
  CHECK(strcmp(decoded(404, text, strlen(text), 7), "!") == 0);
}

static void what_is_none_of_this_api_is_an_error(void) {
  static const char *lines[] = {
      "[]", "{}", "{\"message\":{\"content\":1}}", "{\"message\":{\"content\":\"\"}} x", "{\"message\":{\"content\":\"\"},}", "{\"message\":{\"content\":\"\"},\"done\":1}",
      "{\"message\":{\"content\":\"\\ud83d\"}}", "{\"message\":{\"content\":\"\xff\"}}", "{\"message\":{\"content\":\"\xed\xa0\x80\"}}", "{\"message\":{\"content\":\"\xc0\xaf\"}}",
      "{\"message\":{\"content\":\"\"},\"eval_count\":-1}", "{\"message\":{\"content\":\"\"},\"eval_count\":18446744073709551616}", "{\"a\":01,\"message\":{\"content\":\"\"}}",
      "{\"a\":tru,\"message\":{\"content\":\"\"}}", "{\"a\":1.,\"message\":{\"content\":\"\"}}", "{\"a\":-,\"message\":{\"content\":\"\"}}", "{\"a\":[1 2],\"message\":{\"content\":\"\"}}",
  };
  for (size_t at = 0; at < sizeof lines / sizeof *lines; at++) CHECK(strcmp(decoded(200, lines[at], strlen(lines[at]), 1000), "!") == 0);
  static char nested[100000];
  memset(nested, '[', sizeof nested);
  memcpy(nested, "{\"a\":", 5);
  CHECK(strcmp(decoded(200, nested, sizeof nested, sizeof nested), "!") == 0);
}

static void numbers_are_written_as_they_are_read(void) {
  static const double numbers[] = {0, -0.5, 0.1, 0.7, 1e-7, 1.7976931348623157e308, 5e-324, 123456789.125};
  for (size_t at = 0; at < sizeof numbers / sizeof *numbers; at++) {
    nephron_bytes_t bytes = {0};
    CHECK(nephron_add_double(&bytes, numbers[at]));
    nephron_json_t json = nephron_json((plugin_string_t){bytes.ptr, bytes.len});
    CHECK(nephron_skip(&json) && nephron_is_end(&json));
    nephron_add(&bytes, "", 1);
    CHECK(strtod((const char *)bytes.ptr, NULL) == numbers[at]);
  }
}

int main(void) {
  a_call_becomes_a_request();
  an_answer_comes_cut_anywhere();
  what_is_none_of_this_api_is_an_error();
  numbers_are_written_as_they_are_read();
  CHECK(!configure("{\"path\": \"chat\"}") && !configure("{\"path\": \"\"}") && !configure("{\"credential\": 1}") && !configure("{\"port\": 1}") && !configure("{}x"));
  printf("%s\n", failed ? "failed" : "passed");
  return failed != 0;
}
