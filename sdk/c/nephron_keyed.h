// What transformers share: a lent key, and what the application itself knows of the patient.
//
// A key is lent for one call. Use it as often as needed; before the call returns, also with an error, give it back, once, and use it no
// more: `nephron_plugin_keys_key_drop_borrow(key)`. A call that returns while it holds the handle traps, and one that gives it back twice
// traps as well. So let the exported function do nothing but call another, which does the work, and give the key back behind it: there is
// one way out then, as in the template of a transformer. The bindings do not do so by themselves.

#ifndef NEPHRON_KEYED_H
#define NEPHRON_KEYED_H

#include <nephron.h>

/// Takes the message of role `known` out of `messages`, if there is one; it is the last, so that spans keep their indexes. It must not
/// come back: what it says would leave for the model. Gives that message, or none.
static inline nephron_plugin_types_message_t *nephron_take_known(exports_nephron_plugin_transformer_list_message_t *messages) {
  if (messages->len == 0 || !nephron_is(messages->ptr[messages->len - 1].role, "known")) return NULL;
  return &messages->ptr[--messages->len];
}

#endif
