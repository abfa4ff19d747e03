// The npm package @urql/core, unchanged: queries by GET, mutations by POST, subscriptions as server-sent events.
import { Client, fetchExchange, gql } from "@urql/core";
import { key, run, url } from "./cases.mjs";

const methods = [];
const client = new Client({
  url: `${url}/graphql`,
  exchanges: [fetchExchange],
  fetchOptions: { headers: { authorization: `Bearer ${key}` } },
  fetchSubscriptions: true,
  fetch(address, options) {
    methods.push(options.method);
    return fetch(address, options);
  },
});
const shown = ({ data, error }) => ({
  data: data ?? null,
  errors: error?.graphQLErrors.map((each) => each.extensions.code) ?? [],
  method: methods.at(-1),
});
const support = gql`query ($q: String!) { support_desk(question: $q) { answer } }`;

await run({
  query: async () => shown(await client.query(support, { q: "tea & cake = ü" }).toPromise()),
  async long() {
    const { data, method } = shown(await client.query(support, { q: "word ".repeat(2000) }).toPromise());
    return { characters: data.support_desk.answer.length, method };
  },
  mutation: async () =>
    shown(await client.mutation(gql`mutation { startFlowRun(flow: "refund", inputs: { sum: 5 }) { state } }`, {}).toPromise()),
  unknown: async () => shown(await client.query(gql`{ me { name } flowRun(id: "nothing") { state } }`, {}).toPromise()),
  refused: async () => shown(await client.query(gql`{ support_desk(question: "[[fail]]") { answer } }`, {}).toPromise()),
  invalid: async () => shown(await client.query(gql`{ nothing }`, {}).toPromise()),
  subscription: () =>
    new Promise((ended) => {
      const pieces = [];
      const asked = gql`subscription { ask(prompt: "one two three", model: "echo/small") { text answer { model } } }`;
      client.subscription(asked, {}).subscribe(({ data, error, hasNext }) => {
        if (data?.ask) pieces.push(data.ask.text);
        if (error || data?.ask?.answer) ended({ pieces, error: error?.message ?? null, method: methods.at(-1) });
      });
    }),
});
