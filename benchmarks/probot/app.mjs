// The peer of the intake: Probot's own server and webhook handling, with a handler that does nothing.
import { generateKeyPairSync } from "node:crypto";
import { createServer } from "node:http";
import { Probot, createNodeMiddleware } from "probot";

const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
const probot = new Probot({
  appId: 1,
  privateKey: privateKey.export({ type: "pkcs1", format: "pem" }),
  secret: "benchmark",
  logLevel: "fatal",
});
const middleware = await createNodeMiddleware((app) => app.on("push", () => {}), { probot });
const server = createServer((request, response) => middleware(request, response, () => response.writeHead(404).end()));
server.listen(0, "127.0.0.1", () => console.log(JSON.stringify({ port: server.address().port })));
