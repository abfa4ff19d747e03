// OpenAI's own SDK for Node, with only its baseURL set.
import OpenAI from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";
import { key, model, run, url, vectors } from "./cases.mjs";

const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: key, maxRetries: 0 });
const messages = [{ role: "user", content: "one two three" }];
const City = z.object({ name: z.string(), people: z.number().int() });
const weather = {
  type: "function",
  function: {
    name: "weather",
    parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
    parse: JSON.parse,
    function: ({ city }) => `rain over ${city}`,
  },
};

await run({
  async chat() {
    const reply = await client.chat.completions.create({ model, messages });
    return { text: reply.choices[0].message.content, finish: reply.choices[0].finish_reason, usage: reply.usage.total_tokens };
  },
  async stream() {
    const stream = await client.chat.completions.create({
      model, messages, stream: true, stream_options: { include_usage: true },
    });
    const pieces = [];
    let usage = null;
    for await (const chunk of stream) {
      if (chunk.choices[0]?.delta?.content) pieces.push(chunk.choices[0].delta.content);
      usage = chunk.usage ?? usage;
    }
    return { pieces, usage: usage?.total_tokens };
  },
  async left() {
    const stream = await client.chat.completions.create({
      model, messages: [{ role: "user", content: "[[pace 0.05]] [[repeat 500]] word" }], stream: true,
    });
    let seen = 0;
    for await (const chunk of stream) if (chunk.choices[0]?.delta?.content && ++seen === 2) break;
    return { seen };
  },
  async tools() {
    const runner = client.chat.completions.runTools({
      model, tools: [weather], messages: [{ role: "user", content: "What is the weather in 'Bonn'?" }],
    });
    return { text: await runner.finalContent(), roles: runner.messages.map((message) => message.role) };
  },
  async tools_streamed() {
    const runner = client.chat.completions.runTools({
      model, tools: [weather], stream: true, messages: [{ role: "user", content: "What is the weather in 'Bonn'?" }],
    });
    return { text: await runner.finalContent(), roles: runner.messages.map((message) => message.role) };
  },
  async parsed() {
    const reply = await client.chat.completions.parse({
      model, messages: [{ role: "user", content: "'Ulm' has 128000 people" }],
      response_format: zodResponseFormat(City, "city"),
    });
    return reply.choices[0].message.parsed;
  },
  async vectors() {
    const reply = await client.embeddings.create({ model: vectors, input: ["one", "two", "one"] });
    return reply.data.map((row) => row.embedding);
  },
  async floats() {
    const asked = { model: vectors, input: ["one", "two", "one"], encoding_format: "float" };
    return (await client.embeddings.create(asked)).data.map((row) => row.embedding);
  },
  async models() {
    const names = [];
    for await (const each of client.models.list()) names.push(each.id);
    return names;
  },
  async unknown() {
    return client.chat.completions.create({ model: "nobody/knows", messages });
  },
  async stranger() {
    const other = new OpenAI({ baseURL: `${url}/v1`, apiKey: "sk-wrong", maxRetries: 0 });
    return other.chat.completions.create({ model, messages });
  },
  async responses() {
    const reply = await client.responses.create({ model, input: "one two three" });
    return { text: reply.output_text, status: reply.status, usage: reply.usage.total_tokens };
  },
  async responses_stream() {
    const stream = await client.responses.create({ model, input: "one two three", stream: true });
    const kinds = [];
    const pieces = [];
    for await (const event of stream) {
      kinds.push(event.type);
      if (event.type === "response.output_text.delta") pieces.push(event.delta);
    }
    return { first: kinds[0], last: kinds.at(-1), pieces };
  },
  async responses_tools() {
    const { name, parameters } = weather.function;
    const tools = [{ type: "function", name, parameters, strict: false }];
    const asked = await client.responses.create({ model, tools, input: "What is the weather in 'Bonn'?" });
    const call = asked.output.find((item) => item.type === "function_call");
    const output = { type: "function_call_output", call_id: call.call_id, output: "rain over Bonn" };
    const told = await client.responses.create({ model, tools, previous_response_id: asked.id, input: [output] });
    return { called: call.name, with: JSON.parse(call.arguments), text: told.output_text };
  },
});
