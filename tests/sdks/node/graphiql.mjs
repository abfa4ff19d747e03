// GraphiQL in a real browser that reaches nothing but the server: a key is entered, a subscription streams, one is stopped.
import { chromium } from "playwright-core";

const url = process.env.SIZEWISE_URL;
const picture = process.env.PICTURE;
const told = { requests: [], strangers: [], errors: [] };

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM,
  args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"],
});
const context = await browser.newContext({ viewport: { width: 1280, height: 720 } });
const page = await context.newPage();
page.on("console", (message) => { if (message.type() === "error") told.errors.push(message.text()); });
page.on("pageerror", (error) => told.errors.push(String(error)));
page.on("request", (request) => {
  const to = new URL(request.url());
  if (to.protocol === "data:") return;
  (to.origin === url ? told.requests : told.strangers).push(to.origin === url ? to.pathname : to.href);
});

if (process.env.COOKIE) {
  const [name, value] = process.env.COOKIE.split("=");
  await context.addCookies([{ name, value, url, httpOnly: true, sameSite: "Strict" }]);
}
await page.goto(`${url}/graphql`);
await page.waitForSelector(".graphiql-editor .CodeMirror");
if (!process.env.COOKIE) {
  await page.fill("#key", process.env.SIZEWISE_KEY);
  await page.click("#who button");
  await page.waitForSelector(".graphiql-editor .CodeMirror");
}

async function type(query) {
  await page.evaluate((text) => document.querySelector(".graphiql-query-editor .CodeMirror").CodeMirror.setValue(text), query);
}
const answer = () => page.evaluate(() => document.querySelector(".graphiql-response .CodeMirror").CodeMirror.getValue());
const said = (text) => page.waitForFunction((wanted) => document.querySelector("#said").textContent.includes(wanted), text);
const streaming = (least) => page.waitForFunction((wanted) => {
  const [, count] = document.querySelector("#said").textContent.match(/^streaming: (\d+)/) ?? [];
  return Number(count) >= wanted;
}, least);

await type("{ me { key } }");
await page.click(".graphiql-execute-button");
await page.waitForFunction(() => document.querySelector(".graphiql-response .CodeMirror").CodeMirror.getValue().includes("key"));
told.me = JSON.parse(await answer());

await type(process.env.SUBSCRIPTION);
await page.click(".graphiql-execute-button");
await streaming(12);
if (picture) await page.screenshot({ path: `${picture}/graphiql-streaming.png` });
await said("complete");
told.last = JSON.parse(await answer());
told.said = await page.textContent("#said");

await type(process.env.ENDLESS);
await page.click(".graphiql-execute-button");
await streaming(3);
await page.click(".graphiql-execute-button");

await page.click("button[aria-label='Show Documentation Explorer']");
await page.waitForSelector(".graphiql-doc-explorer");
await page.waitForFunction(() => document.querySelector(".graphiql-doc-explorer").textContent.includes("Subscription"));
if (picture) await page.screenshot({ path: `${picture}/graphiql-schema.png` });
await browser.close();
console.log(JSON.stringify(told));
