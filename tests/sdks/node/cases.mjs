// Runs named cases against a server and prints what each came to, as one JSON object; judges nothing.
// A connection to any other machine is refused and told.
import net from "node:net";

const HOME = new Set(["127.0.0.1", "::1", "localhost"]);
const strangers = [];
const connect = net.Socket.prototype.connect;
net.Socket.prototype.connect = function (...args) {
  const options = Array.isArray(args[0]) ? args[0][0] : args[0];
  if (options?.host && !HOME.has(options.host)) {
    strangers.push(options.host);
    throw new Error(`a stranger was called: ${options.host}`);
  }
  return connect.apply(this, args);
};

export const url = process.env.SIZEWISE_URL;
export const key = process.env.SIZEWISE_KEY;
export const model = process.env.MODEL;
export const vectors = process.env.VECTORS;

export async function run(cases) {
  const told = {};
  for (const [name, say] of Object.entries(cases)) {
    try {
      told[name] = await say();
    } catch (error) {
      told[name] = { threw: error.constructor.name, message: error.message, status: error.status ?? error.statusCode };
    }
  }
  console.log(JSON.stringify({ ...told, strangers }));
}
