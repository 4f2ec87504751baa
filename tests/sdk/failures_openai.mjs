// What the official OpenAI library for Node.js throws, and how often it asks, when a request fails. Prints one line for each thing that held.

import assert from "node:assert/strict";
import OpenAI from "openai";

const client = (maxRetries = 2, apiKey = process.env.API_KEY) =>
  new OpenAI({ baseURL: process.env.BASE_URL + "/v1", apiKey, maxRetries });
const ask = (client, what, more = {}) =>
  client.chat.completions.create({ model: "clinical", messages: [{ role: "user", content: "please " + what }], ...more });

const thrown = async (kind, call) => {
  try {
    await call();
  } catch (error) {
    assert.equal(error.constructor, kind, String(error));
    return error;
  }
  assert.fail("no " + kind.name);
};

let error = await thrown(OpenAI.PermissionDeniedError, () => ask(client(2, process.env.DENIED_KEY), "answer"));
assert.deepEqual([error.status, error.code, error.type], [403, "denied", "permission_error"]);
assert.equal(error.headers.get("x-should-retry"), "false");
assert.equal(error.requestID, error.error.event);
console.log("held: a denial");

error = await thrown(OpenAI.RateLimitError, () => ask(client(), "be busy always"));
assert.deepEqual([error.status, error.code, error.type], [429, "upstream-busy", "rate_limit_error"]);
assert.equal(error.headers.get("retry-after"), "1");
assert.equal((await ask(client(), "be busy once")).choices[0].message.content, "So it is.");
console.log("held: a rate limit");

error = await thrown(OpenAI.InternalServerError, () => ask(client(0), "be overloaded", { stream: true }));
assert.deepEqual([error.status, error.code], [503, "upstream-busy"]);
console.log("held: an overload");

error = await thrown(OpenAI.BadRequestError, () => ask(client(), "be too much"));
assert.deepEqual([error.status, error.code], [400, "upstream-refused"]);
assert.ok(!String(error).includes("of the endpoint's own"));
console.log("held: a request that the endpoint refuses");

let said = "";
error = await thrown(OpenAI.APIError, async () => {
  for await (const chunk of await ask(client(), "break off", { stream: true })) {
    said += chunk.choices[0]?.delta?.content ?? "";
  }
});
assert.equal(said, "So it ");
assert.deepEqual([error.code, error.error.reasons], ["upstream-failed", ["broken-answer"]]);
console.log("held: a stream that breaks");

said = "";
error = await thrown(OpenAI.APIError, async () => {
  const stream = await client().responses.create({ model: "clinical", input: "please break off", stream: true });
  for await (const event of stream) {
    said += event.type === "response.output_text.delta" ? event.delta : "";
  }
});
assert.equal(said, "So it ");
assert.equal(error.code, "upstream-failed");
console.log("held: a stream of Responses that breaks");
