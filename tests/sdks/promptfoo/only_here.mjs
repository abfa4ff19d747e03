// Preloaded into promptfoo: no connection to another machine, each of which is told on stderr.
import net from "node:net";

const HERE = new Set(["127.0.0.1", "::1", "localhost"]);
const connect = net.Socket.prototype.connect;
net.Socket.prototype.connect = function (...args) {
  const options = Array.isArray(args[0]) ? args[0][0] : args[0];
  if (options?.host && !HERE.has(options.host)) {
    process.stderr.write(`a stranger was called: ${options.host}\n`);
    throw new Error("only this machine may be called");
  }
  return connect.apply(this, args);
};
