"use strict";

const assert = require("node:assert/strict");
const { createHmac } = require("node:crypto");
const { readFileSync } = require("node:fs");
const { join } = require("node:path");
const { test } = require("node:test");

const { Conversation, RECEIVE, ROUTE } = require("./cognigy");
const router = require("./router");

const connection = { routerUrl: "https://router.example.com", secret: "for requests only", callbackSecret: router.SECRET };
const now = () => Math.floor(Date.now() / 1000);

/** An injected input, as the router signs it; `change` alters it afterwards. */
function injected(outcome, { text = "", secret = router.SECRET, ts = now(), ids = {}, change = {} } = {}) {
  const { userId, sessionId } = { userId: "user-42", sessionId: "session-7", ...ids };
  const payload = typeof outcome === "string" ? outcome : JSON.stringify(outcome);
  const lines = [ts, router.ID, userId, sessionId, text, payload].join("\n");
  const sig = createHmac("sha256", secret).update(lines).digest("hex");
  return { text, data: { fallbackRouter: { v: 1, triggerId: router.ID, ts, payload, sig, ...change } } };
}

test("each outcome takes its way", async () => {
  const cIntent = "cIntent:Reset Password|my link";
  const cases = [
    [router.decided(), "", {}, "OnResultAnswered", 1],
    [router.decided(), "", { sayAnswer: false }, "OnResultAnswered", 0],
    [router.decided(), cIntent, {}, "OnResultRerouted", 0],
    [router.decided({ requires_human_agent: true }), "", {}, "OnResultHandover", 1],
    [router.safe(), "", {}, "OnResultHandover", 1],
    [router.safe("superseded"), "", {}, "OnResultIgnored", 0],
  ];
  for (const [outcome, text, config, way, said] of cases) {
    const ran = await new Conversation(connection).run(RECEIVE, config, injected(outcome, { text }));
    assert.equal(ran.child, `fallbackRouter${way}`, JSON.stringify(outcome));
    assert.equal(ran.said.length, said);
    assert.ok(ran.calls <= 5, `${ran.calls} API calls`);
    assert.deepEqual(ran.logs, []);
  }
});

test("the flow can read the outcome", async () => {
  const outcome = router.decided({}, { metadata: { flow: "Main" }, meta: { late: true } });
  const { result } = await new Conversation(connection).run(RECEIVE, {}, injected(outcome));
  assert.deepEqual(result, {
    result: "answered", triggerId: router.ID, status: "success", intent: "Reset Password", confidence: 0.92, late: true,
    parameters: { account_type: "business" }, answer: "I can help you reset your password.", requiresHuman: false,
    metadata: { flow: "Main" },
  });
});

test("a result that comes twice is shown once", async () => {
  const conversation = new Conversation(connection);
  const input = injected(router.decided());
  const first = await conversation.run(RECEIVE, {}, input);
  const again = await conversation.run(RECEIVE, {}, { ...input, data: injected(router.decided(), { ts: now() - 5 }).data });
  assert.deepEqual([first.child, again.child], ["fallbackRouterOnResultAnswered", "fallbackRouterOnResultIgnored"]);
  assert.deepEqual([first.said.length, again.said.length], [1, 0]);
});

test("a result that the other node waited for is not shown again when it is injected", async () => {
  const fake = await router.start(router.json(200, router.decided()));
  const conversation = new Conversation({ ...connection, routerUrl: fake.base });
  const waited = await conversation.run(ROUTE, { mode: "wait" }, { text: "x" });
  await fake.stop();
  const then = await conversation.run(RECEIVE, {}, injected(router.decided()));
  assert.deepEqual([waited.said.length, then.said.length, then.child], [1, 0, "fallbackRouterOnResultIgnored"]);
});

test("what the router did not sign for this session is rejected, without a word of it in the log", async () => {
  const good = router.decided();
  const other = router.decided({}, { triggerId: "another" });
  const cases = [
    ["forged", injected(good, { secret: "a guess" })],
    ["forged", injected(good, { change: { sig: "0".repeat(64) } })],
    ["forged", injected(good, { change: { triggerId: "another" } })],
    ["forged", injected(good, { change: { ts: now() - 1 } })],
    ["forged", injected(good, { change: { payload: JSON.stringify(other) } })],
    ["forged", { ...injected(good), text: "cIntent:Delete Account|yes" }],
    ["forged", injected(good, { ids: { userId: "user-43" } })],
    ["forged", injected(good, { ids: { sessionId: "session-8" } })],
    ["forged", injected(good, { secret: connection.secret })],
    ["stale", injected(good, { ts: now() - 400 })],
    ["stale", injected(good, { ts: now() + 400 })],
    ["malformed", injected(other)],
    ["malformed", injected("no JSON")],
    ["malformed", injected(good, { change: { v: 2 } })],
    ["malformed", injected(good, { change: { sig: 1 } })],
    ["malformed", injected(good, { change: { ts: String(now()) } })],
    ["malformed", injected(good, { change: { payload: good } })],
    ["malformed", { text: "", data: { fallbackRouter: "yes" } }],
    ["malformed", { text: "", data: { fallbackRouter: null } }],
  ];
  for (const [index, [code, input]] of cases.entries()) {
    const { child, result, said, logs } = await new Conversation(connection).run(RECEIVE, {}, input);
    assert.equal(child, "fallbackRouterOnResultRejected", `${index}`);
    assert.deepEqual([result.fault.code, said], [code, []], `${index}`);
    assert.deepEqual(logs, [`warn fallback router: a result was rejected: ${code}`], `${index}`);
  }
});

test("a connection that cannot check rejects", async () => {
  const { child, result } = await new Conversation({}).run(RECEIVE, {}, injected(router.decided()));
  assert.deepEqual([child, result.fault.code], ["fallbackRouterOnResultRejected", "connection"]);
});

test("during a rotation both secrets check, and without an own one the request's does", async () => {
  const cases = [
    [{ ...connection, callbackSecret: "the new one", previousCallbackSecret: router.SECRET }, "OnResultAnswered"],
    [{ ...connection, callbackSecret: "", secret: router.SECRET }, "OnResultAnswered"],
    [{ ...connection, callbackSecret: "the new one" }, "OnResultRejected"],
  ];
  for (const [used, way] of cases) {
    const { child } = await new Conversation(used).run(RECEIVE, {}, injected(router.decided()));
    assert.equal(child, `fallbackRouter${way}`);
  }
});

test("a re-route counts also where Cognigy has taken the prefix off", async () => {
  const signed = injected(router.decided({ classified_intent: "reset password" }), { text: "cIntent:Reset Password|my link" });
  const stripped = { ...signed, text: "my link", intent: "Reset Password", intentScore: 1 };
  const { child, result } = await new Conversation(connection).run(RECEIVE, {}, stripped);
  assert.deepEqual([child, result.cIntent], ["fallbackRouterOnResultRerouted", "cIntent:Reset Password|my link"]);
  const other = await new Conversation(connection).run(RECEIVE, {}, { ...stripped, intent: "Delete Account" });
  assert.equal(other.child, "fallbackRouterOnResultRejected", "another intent was not signed");
});

test("an ordinary message goes on", async () => {
  for (const data of [{}, null, undefined, { other: 1 }, []]) {
    const { child, said, calls } = await new Conversation(connection).run(RECEIVE, {}, { text: "hello", data });
    assert.deepEqual([child, said], ["fallbackRouterOnNoResult", []]);
    assert.ok(calls <= 2);
  }
});

/** A conversation whose trigger was accepted, against a router that answers the polls so. */
async function pending(...answers) {
  const fake = await router.start(router.accepted, ...answers);
  const conversation = new Conversation({ ...fake.connection, callbackSecret: router.SECRET });
  await conversation.run(ROUTE, {}, { text: "x" });
  return { fake, conversation };
}

test("a pending result is fetched with the next message where nothing can be injected", async () => {
  const done = { triggerId: router.ID, status: "done", outcome: router.decided() };
  const answers = ["running", "unknown"].map((status) => router.json(200, { triggerId: router.ID, status }));
  const { fake, conversation } = await pending(...answers, router.json(200, done));
  const fetch = { fetch: true, waitSeconds: 3 };
  const ran = [];
  for (const text of ["still there?", "hello?", "well?", "thanks"]) ran.push(await conversation.run(RECEIVE, fetch, { text }));
  await fake.stop();
  const ways = ["OnResultPending", "OnResultPending", "OnResultAnswered", "OnNoResult"];
  assert.deepEqual(ran.map(({ child }) => child), ways.map((way) => `fallbackRouter${way}`));
  assert.deepEqual(ran.map(({ said }) => said.length), [0, 0, 1, 0]);
  assert.equal(fake.requests.length, 4, "nothing is asked once nothing is pending");
  const { method, path, headers, body } = fake.requests[1];
  assert.deepEqual([method, path, body, headers.prefer], ["GET", `/v1/triggers/default/${router.ID}`, "", "wait=3"]);
  const mac = createHmac("sha256", router.SECRET).update(`${headers["x-webhook-timestamp"]}.${path}`).digest("hex");
  assert.equal(headers["x-webhook-signature"], mac);
});

test("a fetched intent of this bot is gone on with", async () => {
  const done = router.json(200, { triggerId: router.ID, status: "done", outcome: router.decided() });
  const { fake, conversation } = await pending(done);
  const config = { fetch: true, reroute: true, intents: ["Reset Password"] };
  const { child, result, said } = await conversation.run(RECEIVE, config, { text: "hello?" });
  await fake.stop();
  assert.deepEqual([child, result.cIntent, said], ["fallbackRouterOnResultRerouted", "cIntent:Reset Password|hello?", []]);
});

test("a result that cannot be fetched is pending, and one that nobody keeps any more is forgotten", async () => {
  const unknown = router.json(200, { triggerId: router.ID, status: "unknown" });
  const { fake, conversation } = await pending(router.json(403, {}), unknown);
  const failed = await conversation.run(RECEIVE, { fetch: true }, { text: "hello?" });
  assert.deepEqual([failed.child, failed.result.fault.code], ["fallbackRouterOnResultPending", "refused"]);
  conversation.context.fallbackRouter.pending.since -= 11 * 60_000;
  const late = await conversation.run(RECEIVE, { fetch: true }, { text: "hello?" });
  await fake.stop();
  assert.equal(late.child, "fallbackRouterOnNoResult");
  assert.deepEqual(conversation.context.fallbackRouter, { seen: [] });
});

test("nothing is fetched unless the node is told to", async () => {
  const { fake, conversation } = await pending();
  const { child } = await conversation.run(RECEIVE, {}, { text: "hello?" });
  await fake.stop();
  assert.deepEqual([child, fake.requests.length], ["fallbackRouterOnNoResult", 1]);
});

test("what a session remembers is bounded and holds no text", async () => {
  const conversation = new Conversation(connection);
  conversation.context.fallbackRouter = { seen: Array.from({ length: 20 }, (_, index) => `id-${index}`), junk: "x" };
  await conversation.run(RECEIVE, {}, injected(router.decided()));
  const { seen } = conversation.context.fallbackRouter;
  assert.deepEqual([seen.length, seen.at(-1), seen[0]], [20, router.ID, "id-1"]);
  for (const broken of ["x", null, { seen: "x" }, { seen: [1, {}], pending: { triggerId: 1 } }]) {
    conversation.context.fallbackRouter = broken;
    const { child } = await conversation.run(RECEIVE, { fetch: true }, injected(router.decided()));
    assert.equal(child, "fallbackRouterOnResultAnswered");
  }
});

test("an outcome too large for Cognigy loses what the flow needs least", async () => {
  const metadata = { long: "x".repeat(31_000) };
  const outcome = router.decided({ extracted_parameters: { long: "y".repeat(31_000) } }, { metadata });
  const { result, child } = await new Conversation(connection).run(RECEIVE, {}, injected(outcome));
  assert.deepEqual([child, result.metadata, result.parameters.long.length], ["fallbackRouterOnResultAnswered", undefined, 31_000]);
});

test("the shared vectors are results that this node takes", async (t) => {
  const { injects } = JSON.parse(readFileSync(join(__dirname, "signature-vectors.json"), "utf8"));
  for (const { name, secret, sig, userId, sessionId, text, ts, triggerId, payload } of injects) {
    t.mock.method(Date, "now", () => ts * 1000);
    const conversation = new Conversation({ ...connection, callbackSecret: secret }, { userId, sessionId });
    const data = { fallbackRouter: { v: 1, triggerId, ts, payload, sig } };
    const { child } = await conversation.run(RECEIVE, {}, { text, data });
    const way = text !== "" ? "Rerouted" : JSON.parse(payload).status === "success" ? "Answered" : "Handover";
    assert.equal(child, `fallbackRouterOnResult${way}`, name);
    t.mock.restoreAll();
  }
});
