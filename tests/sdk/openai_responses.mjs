// Responses and Embeddings by the official OpenAI library for Node.js. Prints one line for each thing that held.

import assert from "node:assert/strict";
import OpenAI from "openai";

const NOTE = "Patient: Zebulon Quackenbush, MRN 90210557, has asthma.";
const client = new OpenAI({ baseURL: process.env.BASE_URL + "/v1", apiKey: process.env.API_KEY });

const whole = await client.responses.create({ model: "clinical", input: NOTE });
assert.equal(whole.output_text, "About " + NOTE);
console.log("held: plain");

const stream = client.responses.stream({ model: "clinical", input: NOTE });
let text = "";
stream.on("response.output_text.delta", (event) => (text += event.delta));
const last = await stream.finalResponse();
assert.equal(text, "About " + NOTE);
assert.equal(last.output_text, text);
console.log("held: streamed");

const vectors = await client.embeddings.create({ model: "clinical", input: "hello" });
assert.deepEqual([...vectors.data[0].embedding].slice(1), [0.5, -2]);
console.log("held: embeddings");
