// A stand-in for the router: answers by script, and records what it was asked. The real one is met in tests/it.
"use strict";

const { createServer } = require("node:http");

const SECRET = "a-webhook-secret-of-more-than-32-bytes!";
const ID = "01890a5d-ac96-774b-bcce-b302099a8057";

/** Starts it; `answers` are used in turn, the last one for ever. An answer is a function of the response, or a body. */
async function start(...answers) {
  const requests = [];
  const server = createServer((request, response) => {
    const chunks = [];
    request.on("data", (chunk) => chunks.push(chunk));
    request.on("end", () => {
      const body = Buffer.concat(chunks).toString("utf8");
      requests.push({ method: request.method, path: request.url, headers: request.headers, body });
      const answer = answers.length > 1 ? answers.shift() : answers[0];
      answer(response);
    });
  });
  await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
  const base = `http://127.0.0.1:${server.address().port}`;
  const stop = () => new Promise((done) => (server.closeAllConnections(), server.close(done)));
  return { base, requests, stop, connection: { routerUrl: base, secret: SECRET } };
}

const json = (status, body, headers = {}) => (response) => {
  response.writeHead(status, { "content-type": "application/json", ...headers });
  response.end(JSON.stringify(body));
};

const accepted = json(202, { triggerId: ID, status: "accepted" });

/** An outcome in which the model decided. */
function decided(decision = {}, rest = {}) {
  return {
    status: "success",
    triggerId: ID,
    conversationId: "session-7",
    routing_decision: {
      classified_intent: "Reset Password",
      confidence: 0.92,
      extracted_parameters: { account_type: "business" },
      suggested_response: "I can help you reset your password.",
      requires_human_agent: false,
      ...decision,
    },
    metadata: {},
    meta: { profile: "default" },
    ...rest,
  };
}

/** An outcome with the safe answer. */
function safe(status = "llm_unavailable", rest = {}) {
  return {
    status,
    triggerId: ID,
    conversationId: "session-7",
    error: status,
    fallback_action: "route_to_human",
    suggested_response: "I am connecting you to a specialist.",
    metadata: {},
    meta: {},
    ...rest,
  };
}

module.exports = { start, json, accepted, decided, safe, SECRET, ID };
