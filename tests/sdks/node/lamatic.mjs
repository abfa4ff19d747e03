// The npm package `lamatic`, unchanged: a flow, an agent, polling, and a signed token in the place of a key.
import { createHmac } from "node:crypto";
import { Lamatic } from "lamatic";
import { key, run, url } from "./cases.mjs";

const endpoint = `${url}/graphql`, projectId = "b2c4f0d6-1f37-4b02-9a58-4c0f6d1f2a11";
const client = new Lamatic({ endpoint, projectId, apiKey: key });
const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");

function token(claims, secret = process.env.SIGNER) {
  const signed = `${part({ alg: "HS256", typ: "JWT" })}.${part(claims)}`;
  return `${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`;
}
const signed = (claims, secret) => new Lamatic({ endpoint, projectId, accessToken: token(claims, secret) });
const soon = () => Math.floor(Date.now() / 1000) + 60;
const asked = { question: "one two" };

await run({
  flow: () => client.executeFlow("support-desk", asked),
  agent: () => client.executeAgent("support-desk", asked),
  wrong: () => client.executeFlow("support-desk", { question: 5 }),
  unknown: () => client.executeFlow("nothing", asked),
  empty: () => client.executeFlow("still", { dummy: "empty" }),
  stranger: () => new Lamatic({ endpoint, projectId, apiKey: "lt-nobody" }).executeFlow("support-desk", asked),
  async polled() {
    const begun = await client.executeFlow("refund", { sum: 5 });
    const waiting = client.checkStatus(begun.result.requestId, 0.05, 10);
    const query = `mutation { decide(id: "${begun.result.requestId}", key: "asked", approved: true) { state } }`;
    const headers = { "content-type": "application/json", authorization: `Bearer ${process.env.DECIDER}` };
    await fetch(endpoint, { method: "POST", headers, body: JSON.stringify({ query }) });
    return { begun, ended: await waiting };
  },
  signed: () => signed({ project_id: projectId, exp: soon() }).executeFlow("support-desk", asked),
  expired: () => signed({ project_id: projectId, exp: 1 }).executeFlow("support-desk", asked),
  forged: () => signed({ project_id: projectId }, "another secret of theirs").executeFlow("support-desk", asked),
  async renewed() {
    const late = signed({ project_id: projectId, exp: 1 });
    late.updateAccessToken(token({ project_id: projectId, exp: soon() }));
    return late.executeFlow("support-desk", asked);
  },
});
