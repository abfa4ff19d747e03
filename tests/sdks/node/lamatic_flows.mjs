// The npm package `lamatic`, unchanged: runs each flow of a file with its payload, and prints what each came to.
import { readFileSync } from "node:fs";
import { Lamatic } from "lamatic";
import { key, run, url } from "./cases.mjs";

const projectId = "b2c4f0d6-1f37-4b02-9a58-4c0f6d1f2a11";
const client = new Lamatic({ endpoint: `${url}/graphql`, projectId, apiKey: key });
const calls = Object.entries(JSON.parse(readFileSync(process.env.CALLS, "utf8")));

async function ended(flow, payload) {
  const answer = await client.executeFlow(flow, payload);
  const keys = Object.keys(answer.result ?? {});
  if (answer.status !== "success" || keys.length !== 1 || keys[0] !== "requestId") return answer;
  return client.checkStatus(answer.result.requestId, 1, 60); // it runs on
}

await run(Object.fromEntries(calls.map(([flow, payload]) => [flow, () => ended(flow, payload)])));
