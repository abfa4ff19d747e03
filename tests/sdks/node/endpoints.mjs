// OpenAI's SDK for Node and Vercel's AI SDK at the endpoints that hold files and make sound and pictures.
import { createOpenAI } from "@ai-sdk/openai";
import { experimental_generateSpeech as generateSpeech, experimental_transcribe as transcribe, generateImage, uploadFile } from "ai";
import OpenAI, { toFile } from "openai";
import { key, model, run, url, vectors } from "./cases.mjs";

const there = { baseURL: `${url}/v1`, apiKey: key };
const client = new OpenAI({ ...there, maxRetries: 0 });
const ai = createOpenAI(there);
const maxRetries = 0;
globalThis.AI_SDK_LOG_WARNINGS = false;
const file = (name, words) => toFile(Buffer.from(words), name);
const upload = async () => client.files.create({ file: await file("rivers.txt", "The Rhine flows by Bonn."), purpose: "assistants" });

await run({
  async files() {
    const made = await upload();
    const seen = await (await client.files.content(made.id)).text();
    const listed = [];
    for await (const each of client.files.list({ purpose: "assistants" })) listed.push(each.id);
    const gone = await client.files.delete(made.id);
    return { text: seen, bytes: made.bytes, listed: listed.includes(made.id), deleted: gone.deleted };
  },
  async vector_stores() {
    const made = await upload();
    const store = await client.vectorStores.create({ name: "rivers" });
    const read = await client.vectorStores.files.createAndPoll(store.id, { file_id: made.id }, { pollIntervalMs: 50 });
    const found = await client.vectorStores.search(store.id, { query: "Which river flows by Bonn?" });
    const answer = await client.responses.create({
      model, input: "Which river flows by Bonn?", tools: [{ type: "file_search", vector_store_ids: [store.id] }],
    });
    const gone = await client.vectorStores.delete(store.id);
    return {
      status: read.status, found: found.data[0]?.filename, kinds: answer.output.map((item) => item.type), deleted: gone.deleted,
    };
  },
  async background() {
    let response = await client.responses.create({ model, input: "one two three", background: true });
    const begun = response.status;
    while (response.status === "queued" || response.status === "in_progress") response = await client.responses.retrieve(response.id);
    const stream = await client.responses.create({ model, input: "one two three", background: true, stream: true });
    const kinds = [];
    for await (const event of stream) kinds.push(event.type);
    return { begun, text: response.output_text, last: kinds.at(-1) };
  },
  async moderations() {
    const checked = await client.moderations.create({ input: "one two three" });
    return { flagged: checked.results[0].flagged, kind: typeof checked.results[0].category_scores.violence };
  },
  async audio() {
    const said = await client.audio.speech.create({ model: "media/voice", voice: "alloy", input: "one" });
    const heard = await client.audio.transcriptions.create({ model: "media/ear", file: await file("a.mp3", "x".repeat(100)) });
    return { bytes: (await said.arrayBuffer()).byteLength, heard: heard.text };
  },
  async images() {
    const drawn = await client.images.generate({ model: "media/brush", prompt: "a cat" });
    const changed = await client.images.edit({ model: "media/brush", image: await file("a.png", "PNG"), prompt: "a dog" });
    return { drawn: drawn.data[0].b64_json.length > 0, changed: changed.data[0].b64_json.length > 0 };
  },
  async ai_audio() {
    const said = await generateSpeech({ model: ai.speech("media/voice"), text: "one", voice: "alloy", maxRetries });
    const heard = await transcribe({ model: ai.transcription("media/ear"), audio: Buffer.from("x".repeat(100)), maxRetries });
    return { bytes: said.audio.uint8Array.byteLength, heard: heard.text };
  },
  async ai_images() {
    const drawn = await generateImage({ model: ai.image("media/brush"), prompt: "a cat", maxRetries });
    return { drawn: drawn.image.uint8Array.byteLength > 0 };
  },
  async ai_files() {
    const made = await uploadFile({ api: ai.files(), data: Buffer.from("one two"), mediaType: "text/plain", filename: "a.txt" });
    return { id: made.providerReference.openai.startsWith("file-") };
  },
});
