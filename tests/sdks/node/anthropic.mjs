// Anthropic's own SDK for Node, with only its baseURL set, in front of a model that is not theirs.
import Anthropic from "@anthropic-ai/sdk";
import { betaZodTool } from "@anthropic-ai/sdk/helpers/beta/zod";
import { z } from "zod";
import { key, model, run, url } from "./cases.mjs";

const client = new Anthropic({ baseURL: url, apiKey: key, maxRetries: 0 });
const asked = { model, max_tokens: 100, messages: [{ role: "user", content: "one two three" }] };
const weather = betaZodTool({
  name: "weather",
  description: "The weather in a city.",
  inputSchema: z.object({ city: z.string() }),
  run: ({ city }) => `rain over ${city}`,
});

await run({
  async message() {
    const reply = await client.messages.create(asked);
    return { content: reply.content, stop: reply.stop_reason, usage: [reply.usage.input_tokens, reply.usage.output_tokens] };
  },
  async stream() {
    const pieces = [];
    const stream = client.messages.stream(asked).on("text", (piece) => pieces.push(piece));
    const whole = await stream.finalMessage();
    return { pieces, stop: whole.stop_reason, output: whole.usage.output_tokens };
  },
  async tools() {
    const messages = [{ role: "user", content: "What is the weather in 'Bonn'?" }];
    const last = await client.beta.messages.toolRunner({ ...asked, messages, tools: [weather] });
    return { content: last.content, stop: last.stop_reason };
  },
  async unknown() {
    return client.messages.create({ ...asked, model: "nobody/knows" });
  },
});
