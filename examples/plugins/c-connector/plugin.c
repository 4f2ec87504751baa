// Speaks to servers with Ollama's API (POST /api/chat): lines of JSON, each with the next piece of the answer.
//
// Settings: `{"path": "/api/chat", "credential": "name"}`, each of which may be left out.

#include <nephron.h>

// What `configure` leaves here is where each call begins.
static plugin_string_t path;
static plugin_option_string_t credential;

void exports_nephron_plugin_plugin_describe(exports_nephron_plugin_plugin_descriptor_t *ret) {
  ret->name = nephron_text("c-connector");
  ret->version = nephron_text("0.1.0");
  ret->settings_schema.is_some = false;
}

bool exports_nephron_plugin_plugin_configure(plugin_string_t *settings, exports_nephron_plugin_plugin_list_problem_t *err) {
  nephron_json_t json = nephron_json(*settings);
  plugin_string_t key;
  path = nephron_text("/api/chat");
  credential.is_some = false;
  if (!nephron_take(&json, '{')) return nephron_refused(err, NULL, "settings are an object");
  for (bool first = true; nephron_key(&json, &first, &key);) {
    if (nephron_is(key, "path")) {
      bool fits = nephron_take_text(&json, &path) && path.len > 0 && path.ptr[0] == '/';
      if (!fits) return nephron_refused(err, "path", "it must be a path, such as `/api/chat`");
    } else if (nephron_is(key, "credential")) {
      credential.is_some = nephron_take_text(&json, &credential.val);
      if (!credential.is_some) return nephron_refused(err, "credential", "it must be the name of a credential");
    } else {
      return nephron_refused(err, NULL, "there is a key beside `path` and `credential`; take it out, or correct its spelling");
    }
  }
  if (!nephron_is_end(&json)) return nephron_refused(err, NULL, "this is no JSON");
  return true;
}

/// That something of a call cannot be said in this API.
static bool unsupported(nephron_plugin_types_error_t *err, plugin_string_t name) {
  nephron_bytes_t said = {0};
  nephron_add_text(&said, "`");
  nephron_add(&said, name.ptr, name.len);
  nephron_add_text(&said, "` cannot be said to this server");
  return nephron_failed(err, NEPHRON_PLUGIN_TYPES_ERROR_UNSUPPORTED, (plugin_string_t){said.ptr, said.len});
}

static bool add_message(nephron_bytes_t *body, const nephron_plugin_types_message_t *message, nephron_plugin_types_error_t *err) {
  nephron_bytes_t content = {0};
  for (size_t part = 0; part < message->parts.len; part++) {
    const nephron_plugin_types_part_t *it = &message->parts.ptr[part];
    if (it->tag == NEPHRON_PLUGIN_TYPES_PART_BLOB) return unsupported(err, it->val.blob.media_type);
    plugin_string_t text = it->tag == NEPHRON_PLUGIN_TYPES_PART_TEXT ? it->val.text : it->val.json;
    nephron_add(&content, text.ptr, text.len);
  }
  nephron_add_text(body, "{\"role\":");
  nephron_add_json(body, message->role);
  nephron_add_text(body, ",\"content\":");
  nephron_add_json(body, (plugin_string_t){content.ptr, content.len});
  nephron_add_text(body, "}");
  return true;
}

static bool add_options(nephron_bytes_t *body, const exports_nephron_plugin_connector_chat_call_t *call, nephron_plugin_types_error_t *err) {
  const char *between = "";
  if (call->max_tokens.is_some) {
    nephron_add_text(body, "\"num_predict\":");
    nephron_add_number(body, call->max_tokens.val);
    between = ",";
  }
  if (call->temperature.is_some) {
    nephron_add_text(body, between);
    nephron_add_text(body, "\"temperature\":");
    if (!nephron_add_double(body, call->temperature.val)) return unsupported(err, nephron_text("temperature"));
    between = ",";
  }
  if (call->stop.len > 0) {
    nephron_add_text(body, between);
    nephron_add_text(body, "\"stop\":");
    for (size_t at = 0; at < call->stop.len; at++) {
      nephron_add_text(body, at == 0 ? "[" : ",");
      nephron_add_json(body, call->stop.ptr[at]);
    }
    nephron_add_text(body, "]");
  }
  return true;
}

bool exports_nephron_plugin_connector_encode(exports_nephron_plugin_connector_request_info_t *info, exports_nephron_plugin_connector_chat_call_t *call, exports_nephron_plugin_connector_plan_t *ret, exports_nephron_plugin_connector_error_t *err) {
  (void)info;
  // What cannot be said is refused by its name: left out, the answer would be one to another question.
  if (call->options.len > 0) return unsupported(err, call->options.ptr[0].name);
  nephron_bytes_t body = {0};
  nephron_add_text(&body, "{\"model\":");
  nephron_add_json(&body, call->model);
  nephron_add_text(&body, call->want_stream ? ",\"stream\":true,\"messages\":[" : ",\"stream\":false,\"messages\":[");
  for (size_t at = 0; at < call->messages.len; at++) {
    if (at > 0) nephron_add_text(&body, ",");
    if (!add_message(&body, &call->messages.ptr[at], err)) return false;
  }
  nephron_add_text(&body, "],\"options\":{");
  if (!add_options(&body, call, err)) return false;
  nephron_add_text(&body, "}}");
  plugin_tuple2_string_string_t *header = nephron_new(1, sizeof *header);
  *header = (plugin_tuple2_string_string_t){nephron_text("content-type"), nephron_text("application/json")};
  ret->tag = EXPORTS_NEPHRON_PLUGIN_CONNECTOR_PLAN_CALL;
  ret->val.call = (nephron_plugin_exchange_http_request_t){
      .method = nephron_text("POST"),
      .path = nephron_copy(path.ptr, path.len),
      .headers = {header, 1},
      .body = {body.ptr, body.len},
      .credential = {credential.is_some, nephron_copy(credential.val.ptr, credential.val.len)},
  };
  return true;
}

/// One response. Bytes come cut anywhere; a line is read when its end is there.
struct exports_nephron_plugin_connector_decoder_t {
  bool is_failed;
  nephron_bytes_t rest;
  bool is_named;
  bool is_ended;
};

exports_nephron_plugin_connector_own_decoder_t exports_nephron_plugin_connector_constructor_decoder(uint16_t status, plugin_list_tuple2_string_string_t *headers) {
  (void)headers;
  exports_nephron_plugin_connector_decoder_t *self = nephron_new(1, sizeof *self);
  self->is_failed = status != 200;
  return exports_nephron_plugin_connector_decoder_new(self);
}

void exports_nephron_plugin_connector_decoder_destructor(exports_nephron_plugin_connector_decoder_t *self) {
  free(self->rest.ptr);
  free(self);
}

static bool unavailable(nephron_plugin_types_error_t *err, const char *message) {
  return nephron_failed(err, NEPHRON_PLUGIN_TYPES_ERROR_UNAVAILABLE, nephron_text(message));
}

/// What one line says.
typedef struct {
  plugin_option_string_t model;
  plugin_option_string_t content;
  bool is_done;
  plugin_option_string_t why;
  plugin_option_u64_t asked;
  plugin_option_u64_t answered;
} piece_t;

static bool take_optional_text(nephron_json_t *json, plugin_option_string_t *text) {
  if (nephron_take_word(json, "null")) return true;
  return text->is_some = nephron_take_text(json, &text->val);
}

static bool take_optional_whole(nephron_json_t *json, plugin_option_u64_t *number) {
  if (nephron_take_word(json, "null")) return true;
  return number->is_some = nephron_take_whole(json, &number->val);
}

static bool read_message(nephron_json_t *json, piece_t *piece) {
  plugin_string_t key;
  if (!nephron_take(json, '{')) return nephron_fault(json);
  for (bool first = true; nephron_key(json, &first, &key);) {
    if (!nephron_is(key, "content")) nephron_skip(json);
    else piece->content.is_some = nephron_take_text(json, &piece->content.val);
  }
  return !json->is_faulty;
}

static bool read_piece(plugin_string_t line, piece_t *piece) {
  nephron_json_t json = nephron_json(line);
  plugin_string_t key;
  if (!nephron_is_utf8(line.ptr, line.len) || !nephron_take(&json, '{')) return false;
  for (bool first = true; nephron_key(&json, &first, &key);) {
    if (nephron_is(key, "model")) take_optional_text(&json, &piece->model);
    else if (nephron_is(key, "message")) read_message(&json, piece);
    else if (nephron_is(key, "done")) nephron_take_claim(&json, &piece->is_done);
    else if (nephron_is(key, "done_reason")) take_optional_text(&json, &piece->why);
    else if (nephron_is(key, "prompt_eval_count")) take_optional_whole(&json, &piece->asked);
    else if (nephron_is(key, "eval_count")) take_optional_whole(&json, &piece->answered);
    else nephron_skip(&json);
  }
  return nephron_is_end(&json) && piece->content.is_some;
}

static void add_event(exports_nephron_plugin_connector_list_event_t *events, exports_nephron_plugin_connector_event_t event) {
  events->ptr = realloc(events->ptr, (events->len + 1) * sizeof event);
  if (events->ptr == NULL) abort();
  events->ptr[events->len++] = event;
}

/// Reads a line that is whole.
static bool decode(exports_nephron_plugin_connector_decoder_t *self, plugin_string_t line, exports_nephron_plugin_connector_list_event_t *events, nephron_plugin_types_error_t *err) {
  nephron_json_t blank = nephron_json(line);
  if (nephron_is_end(&blank)) return true;
  piece_t piece = {0};
  if (!read_piece(line, &piece)) return unavailable(err, "the answer is none of this API");
  if (!self->is_named && piece.model.is_some) {
    add_event(events, (exports_nephron_plugin_connector_event_t){EXPORTS_NEPHRON_PLUGIN_CONNECTOR_EVENT_MODEL, {.model = piece.model.val}});
    self->is_named = true;
  }
  if (piece.content.val.len > 0) {
    add_event(events, (exports_nephron_plugin_connector_event_t){EXPORTS_NEPHRON_PLUGIN_CONNECTOR_EVENT_TEXT, {.text = piece.content.val}});
  }
  if (piece.is_done) {
    self->is_ended = true;
    plugin_string_t why = piece.why.is_some ? piece.why.val : nephron_text("stop");
    add_event(events, (exports_nephron_plugin_connector_event_t){EXPORTS_NEPHRON_PLUGIN_CONNECTOR_EVENT_STOPPED, {.stopped = why}});
    exports_nephron_plugin_connector_usage_t used = {piece.asked, piece.answered};
    add_event(events, (exports_nephron_plugin_connector_event_t){EXPORTS_NEPHRON_PLUGIN_CONNECTOR_EVENT_USED, {.used = used}});
  }
  return true;
}

bool exports_nephron_plugin_connector_method_decoder_push(exports_nephron_plugin_connector_borrow_decoder_t self, plugin_list_u8_t *chunk, exports_nephron_plugin_connector_list_event_t *ret, exports_nephron_plugin_connector_error_t *err) {
  *ret = (exports_nephron_plugin_connector_list_event_t){NULL, 0};
  // A failure is told by `finish`: its body could repeat what was asked, and nobody reads it.
  if (self->is_failed) return true;
  for (size_t at = 0; at < chunk->len;) {
    const uint8_t *from = chunk->ptr + at, *end = memchr(from, '\n', chunk->len - at);
    size_t length = end == NULL ? chunk->len - at : (size_t)(end - from);
    nephron_add(&self->rest, from, length);
    at += length + 1;
    if (end == NULL) break;
    plugin_string_t line = {self->rest.ptr, self->rest.len};
    self->rest.len = 0;
    if (!decode(self, line, ret, err)) return false;
  }
  return true;
}

static bool finish(exports_nephron_plugin_connector_decoder_t *self, exports_nephron_plugin_connector_list_event_t *ret, nephron_plugin_types_error_t *err) {
  *ret = (exports_nephron_plugin_connector_list_event_t){NULL, 0};
  if (self->is_failed) return unavailable(err, "the server refused the call");
  plugin_string_t line = {self->rest.ptr, self->rest.len};
  if (!decode(self, line, ret, err)) return false;
  return self->is_ended || unavailable(err, "the answer was cut off");
}

bool exports_nephron_plugin_connector_static_decoder_finish(exports_nephron_plugin_connector_own_decoder_t this_, exports_nephron_plugin_connector_list_event_t *ret, exports_nephron_plugin_connector_error_t *err) {
  bool is_done = finish(exports_nephron_plugin_connector_decoder_rep(this_), ret, err);
  // The handle came as one's own, and ends here; the destructor is called by it.
  exports_nephron_plugin_connector_decoder_drop_own(this_);
  return is_done;
}
