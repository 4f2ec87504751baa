// Its own tests, with any compiler: `cc -std=c17 -I sdk -o /tmp/t plugin_test.c && /tmp/t`.

#include "plugin.c"

#include <stdio.h>

static int failed;

#define CHECK(claim) \
  if (!(claim)) failed++, fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #claim)

// No key is lent outside of a component: this one counts its uses, and must not be used once it was given back.
static int uses, given_back;
static bool is_expired;

bool nephron_plugin_keys_method_key_mac(nephron_plugin_keys_borrow_key_t self, plugin_list_u8_t *data, plugin_list_u8_t *ret, nephron_plugin_keys_key_error_t *err) {
  CHECK(self.__handle == 7 && given_back == 0);
  uses++;
  err->tag = NEPHRON_PLUGIN_KEYS_KEY_ERROR_EXPIRED;
  plugin_string_t copy = nephron_copy(data->ptr, data->len);
  for (size_t at = 0; at < data->len; at++) copy.ptr[at] = data->ptr[data->len - 1 - at];
  *ret = (plugin_list_u8_t){copy.ptr, copy.len};
  return !is_expired;
}

void nephron_plugin_keys_key_drop_borrow(nephron_plugin_keys_borrow_key_t handle) {
  CHECK(handle.__handle == 7);
  given_back++;
}

static nephron_plugin_types_span_t span(uint32_t start, uint32_t end, const char *kind) {
  return (nephron_plugin_types_span_t){.start = start, .end = end, .kind = nephron_text(kind), .confidence = 1};
}

// What becomes of a text, or of JSON; without it an error, whose tag stands in `refused`. The key is given back either way.
static int refused;

static plugin_string_t written(uint8_t tag, const char *text, nephron_plugin_types_span_t *spans, size_t count) {
  nephron_plugin_types_part_t part = {.tag = tag, .val.text = nephron_text(text)};
  nephron_plugin_types_message_t message = {.parts = {&part, 1}};
  exports_nephron_plugin_transformer_list_message_t messages = {&message, 1};
  exports_nephron_plugin_transformer_list_span_t found = {spans, count};
  exports_nephron_plugin_transformer_request_info_t info = {0};
  exports_nephron_plugin_transformer_outcome_t outcome;
  exports_nephron_plugin_transformer_error_t error = {0};
  uses = given_back = 0;
  bool is_done = exports_nephron_plugin_transformer_deidentify(&info, &messages, &found, (nephron_plugin_keys_borrow_key_t){7}, &outcome, &error);
  CHECK(given_back == 1);
  refused = is_done ? -1 : error.tag;
  if (!is_done) return nephron_text("");
  CHECK(outcome.messages.len == 1 && outcome.replaced == count);
  return part.val.text;
}

#define WRITTEN(text, ...) \
  written(NEPHRON_PLUGIN_TYPES_PART_TEXT, text, (nephron_plugin_types_span_t[]){__VA_ARGS__}, sizeof((nephron_plugin_types_span_t[]){__VA_ARGS__}) / sizeof(nephron_plugin_types_span_t))

static void what_is_known_goes_no_further(void) {
  nephron_plugin_types_part_t part = {.tag = NEPHRON_PLUGIN_TYPES_PART_JSON, .val.json = nephron_text("[]")};
  nephron_plugin_types_message_t both[] = {{.role = nephron_text("user")}, {.role = nephron_text("known"), .parts = {&part, 1}}};
  exports_nephron_plugin_transformer_list_message_t messages = {both, 2};
  CHECK(nephron_take_known(&messages) == &both[1] && messages.len == 1);
  CHECK(nephron_take_known(&messages) == NULL && messages.len == 1);
}

int main(void) {
  // A value has one pseudonym wherever it stands, and the key is asked once for it.
  plugin_string_t text = WRITTEN("\xc3\xbc 90210557, 90210557", span(13, 21, "mrn"), span(3, 11, "mrn"));
  CHECK(nephron_is(text, "\xc3\xbc [MRN 3735353031323039], [MRN 3735353031323039]") && uses == 1);
  // A lent key is used as often as there are values.
  CHECK(nephron_is(WRITTEN("Alma, 90210557", span(0, 4, "name"), span(6, 14, "mrn")), "[NAME 616D6C4100656D61], [MRN 3735353031323039]") && uses == 2);
  // Spans that overlap, cut a character or lie outside are refused.
  WRITTEN("90210557", span(0, 4, "mrn"), span(3, 8, "mrn"));
  CHECK(refused == NEPHRON_PLUGIN_TYPES_ERROR_INVALID_INPUT);
  WRITTEN("\xc3\xbc", span(1, 2, "mrn"));
  CHECK(refused == NEPHRON_PLUGIN_TYPES_ERROR_INVALID_INPUT);
  WRITTEN("90210557", span(0, 9, "mrn"));
  CHECK(refused == NEPHRON_PLUGIN_TYPES_ERROR_INVALID_INPUT);
  WRITTEN("90210557", span(5, 4, "mrn"));
  CHECK(refused == NEPHRON_PLUGIN_TYPES_ERROR_INVALID_INPUT);
  // JSON is left alone.
  nephron_plugin_types_span_t number = span(0, 8, "mrn");
  written(NEPHRON_PLUGIN_TYPES_PART_JSON, "90210557", &number, 1);
  CHECK(refused == NEPHRON_PLUGIN_TYPES_ERROR_UNSUPPORTED);
  CHECK(nephron_is(written(NEPHRON_PLUGIN_TYPES_PART_JSON, "1", NULL, 0), "1"));
  is_expired = true;
  WRITTEN("90210557", span(0, 8, "mrn"));
  CHECK(refused == NEPHRON_PLUGIN_TYPES_ERROR_UNAVAILABLE && uses == 1);
  given_back = 0;
  exports_nephron_plugin_transformer_error_t error = {0};
  CHECK(!exports_nephron_plugin_transformer_reidentify(NULL, NULL, (nephron_plugin_keys_borrow_key_t){7}, NULL, &error) && given_back == 1);
  what_is_known_goes_no_further();
  printf("%s\n", failed ? "failed" : "passed");
  return failed != 0;
}
