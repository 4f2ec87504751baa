// The official OpenAI library for Node.js against a gateway over TLS. Prints one line for each thing that held.

import assert from "node:assert/strict";
import OpenAI from "openai";

const NOTE = "Patient: Zebulon Quackenbush, MRN 90210557, has asthma.";
const client = new OpenAI({ baseURL: process.env.BASE_URL + "/v1", apiKey: process.env.API_KEY });
const asked = { model: "clinical", messages: [{ role: "user", content: NOTE }] };

const whole = await client.chat.completions.create(asked);
assert.equal(whole.choices[0].message.content, "About " + NOTE);
console.log("held: plain");

let text = "";
for await (const chunk of await client.chat.completions.create({ ...asked, stream: true })) {
  text += chunk.choices[0]?.delta?.content ?? "";
}
assert.equal(text, "About " + NOTE);
const runner = client.chat.completions.stream(asked);
assert.equal(await runner.finalContent(), "About " + NOTE);
console.log("held: streamed");

await assert.rejects(client.chat.completions.create({ ...asked, n: 2 }), (error) => {
  assert.ok(error instanceof OpenAI.BadRequestError);
  assert.equal(error.code, "malformed");
  assert.equal(error.param, "n");
  return true;
});
console.log("held: errors");
