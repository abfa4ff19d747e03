// Vercel's AI SDK through each of its providers that can be pointed elsewhere; argv names the provider.
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { Output, embedMany, generateObject, generateText, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";
import { key, model, run, url, vectors } from "./cases.mjs";

const there = { baseURL: `${url}/v1`, apiKey: key };
const compatible = createOpenAICompatible({ ...there, name: "sizewise", includeUsage: true, supportsStructuredOutputs: true });
const providers = {
  chat: () => createOpenAI(there).chat(model),
  responses: () => createOpenAI(there).responses(model),
  compatible: () => compatible.chatModel(model),
  anthropic: () => createAnthropic(there)(model),
};
const maxRetries = 0;
globalThis.AI_SDK_LOG_WARNINGS = false;
const use = { model: providers[process.argv[2]](), maxRetries };
const schema = z.object({ name: z.string(), people: z.number() });
const about = "'Ulm' has 128000 people";
const tools = {
  weather: tool({
    description: "The weather in a city.",
    inputSchema: z.object({ city: z.string() }),
    execute: async ({ city }) => `rain over ${city}`,
  }),
};
const agent = { ...use, tools, stopWhen: stepCountIs(3), prompt: "What is the weather in 'Bonn'?" };
const shown = (result) => ({
  text: result.text,
  finish: result.finishReason,
  usage: [result.usage.inputTokens, result.usage.outputTokens],
});

await run({
  async text() {
    return shown(await generateText({ ...use, prompt: "one two three" }));
  },
  async stream() {
    const result = streamText({ ...use, prompt: "one two three", onError: () => {} });
    const pieces = [];
    for await (const piece of result.textStream) pieces.push(piece);
    const usage = await result.usage;
    return { pieces, finish: await result.finishReason, usage: [usage.inputTokens, usage.outputTokens] };
  },
  async tools() {
    const result = await generateText(agent);
    const calls = result.steps.flatMap((step) => step.toolCalls).map((call) => call.input);
    return { text: result.text, calls, steps: result.steps.length };
  },
  async tools_streamed() {
    const result = streamText({ ...agent, onError: () => {} });
    const steps = await result.steps;
    return { text: await result.text, calls: steps.flatMap((step) => step.toolCalls).map((call) => call.input), steps: steps.length };
  },
  async object() {
    return (await generateObject({ ...use, schema, prompt: about })).object;
  },
  async object_streamed() {
    const result = streamText({ ...use, output: Output.object({ schema }), prompt: about, onError: () => {} });
    const grown = [];
    for await (const each of result.partialOutputStream) grown.push(each);
    return { last: grown.at(-1), grew: grown.length > 1 };
  },
  async vectors() {
    const { embeddings } = await embedMany({ model: compatible.embeddingModel(vectors), values: ["one", "two"], maxRetries });
    return embeddings;
  },
  async unknown() {
    const gone = createOpenAICompatible({ ...there, name: "sizewise" }).chatModel("nobody/knows");
    return shown(await generateText({ ...use, model: gone, prompt: "Hello" }));
  },
});
