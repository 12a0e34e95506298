"use strict";

const assert = require("node:assert/strict");
const { join } = require("node:path");
const { test } = require("node:test");

const { Conversation, ROUTE, root } = require("./cognigy");
const router = require("./router");

/** A turn of the node against a scripted router. */
async function turn(answers, config = {}, input = { text: "my reset thing is dead" }, extra = {}, change = {}) {
  const fake = await router.start(...answers);
  const conversation = new Conversation({ ...fake.connection, ...change });
  try {
    const ran = await conversation.run(ROUTE, config, input, extra);
    return { ...ran, requests: fake.requests, conversation };
  } finally {
    await fake.stop();
  }
}

const scores = [
  { id: "1", name: "Reset Password", score: 0.17, negated: false, description: "wants a new password", flow: "f" },
  { id: "2", name: "Order Status", score: 0.31, negated: false },
  { id: "3", name: "Cancel", score: 0.9, negated: true },
  { id: "4", name: "", score: 0.5 },
  { id: "5", name: "No score", score: "x" },
];

test("an accepted trigger goes on with On Queued", async () => {
  const { child, result, said, calls, context, conversation, requests } = await turn([router.accepted]);
  assert.equal(child, "fallbackRouterOnQueued");
  assert.deepEqual(result, { result: "queued", triggerId: router.ID });
  assert.equal(conversation.context.fallbackRouter.pending.triggerId, router.ID);
  assert.deepEqual([said, requests.length, context], [[], 1, undefined]);
  assert.ok(calls <= 4, `${calls} API calls`);
});

test("the trigger holds ids, candidates and transcript, and its headers sign it", async () => {
  const transcript = () => JSON.stringify([
    { source: "user", text: "hello" },
    { source: "bot", text: "How can I help?" },
    { source: "user", text: "my reset thing is dead" },
  ]);
  const input = { text: "my reset thing is dead", nlu: { intentMapperResults: { scores } }, endpointType: "webchat3" };
  const config = { contactId: "4711", caseId: "undefined", metadata: { flow: "Main" }, deadlineSeconds: "25" };
  const { requests } = await turn([router.accepted], config, input, { transcript });
  const [{ method, path, headers, body }] = requests;
  assert.deepEqual([method, path], ["POST", "/webhook/cognigy/fallback/default"]);
  assert.deepEqual(JSON.parse(body), {
    conversationId: "session-7",
    userId: "user-42",
    lastMessage: "my reset thing is dead",
    confidenceScore: null,
    metadata: { flow: "Main" },
    sessionId: "session-7",
    urlToken: "t".repeat(64),
    channel: "webchat3",
    endpointType: "webchat3",
    inputId: "input-1",
    language: "en-US",
    candidates: [
      { name: "Order Status", score: 0.31 },
      { name: "Reset Password", score: 0.17, description: "wants a new password" },
    ],
    contact: { contactId: "4711" },
    deadlineMs: 25_000,
    history: [
      { role: "user", text: "hello" },
      { role: "assistant", text: "How can I help?" },
    ],
  });
  const { createHmac } = require("node:crypto");
  const mac = createHmac("sha256", router.SECRET).update(`${headers["x-webhook-timestamp"]}.${body}`).digest("hex");
  assert.equal(headers["x-webhook-signature"], mac);
  assert.ok(Math.abs(Date.now() / 1000 - Number(headers["x-webhook-timestamp"])) < 60);
  assert.equal(headers["prefer"], undefined);
});

test("a profile, its scheme and a path before it are the connection's and the node's", async () => {
  for (const [scheme, header] of [["hex-body", "x-webhook-signature"], ["standard", "webhook-signature"], ["api-key", "x-api-key"]]) {
    const fake = await router.start(router.accepted);
    const connection = { ...fake.connection, routerUrl: `${fake.base}/router/`, scheme, secret: "c2VjcmV0IHNlY3JldA==" };
    const { child } = await new Conversation(connection).run(ROUTE, { profile: "sales-2" }, { text: "x" });
    await fake.stop();
    assert.equal(child, "fallbackRouterOnQueued", scheme);
    assert.equal(fake.requests[0].path, "/router/webhook/cognigy/fallback/sales-2");
    assert.ok(fake.requests[0].headers[header], scheme);
    assert.equal(fake.requests[0].headers["x-webhook-timestamp"], undefined, scheme);
  }
});

test("whoever waits gets the answer in the same turn", async () => {
  const { child, said, result, requests, calls, conversation } = await turn(
    [router.json(200, router.decided())],
    { mode: "wait", waitSeconds: 9 },
  );
  assert.equal(child, "fallbackRouterOnAnswered");
  assert.deepEqual(said, ["I can help you reset your password."]);
  assert.equal(requests[0].headers["prefer"], "wait=9");
  assert.equal(JSON.parse(requests[0].body).deadlineMs, 9000, "the safe answer leaves within the wait");
  const { metadata, ...rest } = result;
  assert.deepEqual(metadata, {});
  assert.deepEqual(rest, {
    result: "answered", triggerId: router.ID, status: "success", intent: "Reset Password", confidence: 0.92, late: false,
    parameters: { account_type: "business" }, answer: "I can help you reset your password.", requiresHuman: false,
  });
  assert.deepEqual(conversation.context.fallbackRouter, { seen: [router.ID] });
  assert.ok(calls <= 5, `${calls} API calls`);
});

test("each outcome takes its way", async () => {
  const input = { text: "my reset thing is dead", nlu: { intentMapperResults: { scores } } };
  const cases = [
    [router.decided(), {}, "OnAnswered", 1],
    [router.decided(), { sayAnswer: false }, "OnAnswered", 0],
    [router.decided({ suggested_response: "" }), {}, "OnAnswered", 0],
    [router.decided({ requires_human_agent: true }), { reroute: true }, "OnHandover", 1],
    [router.decided({ requires_human_agent: "maybe" }), {}, "OnHandover", 1],
    [router.decided(), { reroute: true }, "OnRerouted", 0],
    [router.decided({ classified_intent: "reset password" }), { reroute: true }, "OnRerouted", 0],
    [router.decided({ classified_intent: "Cancel" }), { reroute: true }, "OnAnswered", 1],
    [router.decided({ classified_intent: "Cancel" }), { reroute: true, intents: ["cancel"] }, "OnRerouted", 0],
    [router.decided(), { reroute: true, intents: ["Cancel"] }, "OnAnswered", 1],
    [router.safe(), {}, "OnHandover", 1],
    [router.safe("content_refused"), { sayAnswer: false }, "OnHandover", 0],
    [router.safe("expired", { meta: { late: true } }), {}, "OnHandover", 1],
    [router.safe("superseded"), {}, "OnQueued", 0],
  ];
  for (const [outcome, config, way, said] of cases) {
    const ran = await turn([router.json(200, outcome)], { mode: "wait", ...config }, input);
    const name = `${JSON.stringify(outcome)} ${JSON.stringify(config)}`;
    assert.equal(ran.child, `fallbackRouter${way}`, name);
    assert.equal(ran.said.length, said, name);
  }
});

test("a re-route names the intent as Cognigy writes it", async () => {
  const input = { text: "my reset | thing", nlu: { intentMapperResults: { scores } } };
  const outcome = router.decided({ classified_intent: "RESET PASSWORD" });
  const { result } = await turn([router.json(200, outcome)], { mode: "wait", reroute: true }, input);
  assert.equal(result.cIntent, "cIntent:Reset Password|my reset | thing");
  const odd = { mode: "wait", reroute: true, intents: ["Reset|Password"] };
  const ran = await turn([router.json(200, router.decided({ classified_intent: "reset|password" }))], odd, input);
  assert.equal(ran.child, "fallbackRouterOnAnswered", "a name with | cannot be written so");
});

test("who waited in vain is queued", async () => {
  const { child, said } = await turn([router.accepted], { mode: "wait" });
  assert.deepEqual([child, said], ["fallbackRouterOnQueued", []]);
});

test("a busy router is asked again with the same key and body", async () => {
  const busy = router.json(503, {}, { "retry-after": "1" });
  const { child, requests } = await turn([busy, router.json(500, {}), router.accepted]);
  assert.equal(child, "fallbackRouterOnQueued");
  assert.equal(requests.length, 3);
  assert.equal(new Set(requests.map(({ headers, body }) => headers["idempotency-key"] + body)).size, 1);
});

test("a failure goes on with On Error and says what to do, not what was said", async () => {
  const wait = { "retry-after": "30" };
  const cases = [
    [router.json(400, { detail: "my reset thing is dead" }), "refused", 400, 1],
    [router.json(403, {}), "refused", 403, 1],
    [router.json(404, {}), "refused", 404, 1],
    [router.json(413, {}), "refused", 413, 1],
    [router.json(302, {}, { location: "http://127.0.0.1:1/" }), "refused", 302, 1],
    [router.json(429, {}, wait), "busy", 429, 1],
    [router.json(503, {}, wait), "busy", 503, 1],
    [router.json(503, {}), "busy", 503, 3],
    [router.json(500, {}), "unexpected_answer", 500, 3],
    [router.json(202, { status: "accepted" }), "unexpected_answer", 202, 1],
    [router.json(200, { hello: "world" }), "unexpected_answer", 200, 1],
    [router.json(200, ["my reset thing is dead"]), "unexpected_answer", 200, 1],
    [(response) => response.end("<html>my reset thing is dead</html>"), "unexpected_answer", 200, 1],
    [router.json(200, router.decided({}, { padding: "x".repeat(200_000) })), "unexpected_answer", 200, 1],
    [(response) => response.destroy(), "unreachable", undefined, 3],
  ];
  for (const [answer, code, status, tries] of cases) {
    const { child, result, requests, logs } = await turn([answer]);
    assert.equal(child, "fallbackRouterOnError", code);
    assert.deepEqual([result.fault.code, result.fault.status, requests.length], [code, status, tries], `${status}`);
    assert.equal(logs.length, 1);
    assert.ok(!JSON.stringify([logs, result]).includes("reset thing"), JSON.stringify(logs));
    assert.ok(!JSON.stringify([logs, result]).includes(router.SECRET));
  }
});

/** Lets every limit of time run out at once, and adds them up. */
async function withoutPatience(run) {
  const { timeout } = AbortSignal;
  const spans = [];
  AbortSignal.timeout = (span) => (spans.push(span), AbortSignal.abort(new DOMException("in no time", "TimeoutError")));
  try {
    await run(spans);
  } finally {
    AbortSignal.timeout = timeout;
  }
}

test("a broken rule is named by its place", async () => {
  const places = ["/confidenceScore", "/history/3/role", "", "/my reset thing is dead", 7].map((pointer) => ({ pointer }));
  const { result } = await turn([router.json(400, { errors: [...places, null, "x"] })]);
  assert.equal(result.fault.message, "the router refused the trigger (400): see /confidenceScore, /history/3/role");
});

test("a router that hangs is given up", async () => {
  await withoutPatience(async () => {
    const { child, result } = await turn([() => {}]);
    assert.deepEqual([child, result.fault.code], ["fallbackRouterOnError", "timeout"]);
  });
});

test("all tries together end before Cognigy ends the node", async () => {
  const { ask } = require(join(root, "build/exchange.js"));
  const connection = { base: "http://127.0.0.1:1", scheme: "hex-body", secret: "s" };
  for (const [waitS, limitMs] of [[15, 17_500], [1, 3_500], [0, 7_000]]) {
    await withoutPatience(async (spans) => {
      const clock = () => spans.reduce((sum, span) => sum + span, 0);
      await assert.rejects(ask(connection, { method: "GET", path: "/", key: "k", waitS, limitMs }, clock), { code: "timeout" });
      assert.ok(clock() <= limitMs, `${spans}`);
    });
  }
  await withoutPatience(async (spans) => {
    await turn([() => {}], { mode: "wait", waitSeconds: 15 });
    assert.ok(spans[0] > 16_000 && spans[0] <= 17_500, `${spans}`);
  });
});

test("no setting makes the node wait as long as Cognigy's 20 seconds", async () => {
  for (const [waitSeconds, expected] of [["15", 15], [99, 15], [0, 1], ["", 12], ["{{nonsense}}", 12], [-3, 1], ["7.9", 7]]) {
    const { requests } = await turn([router.accepted], { mode: "wait", waitSeconds });
    assert.equal(requests[0].headers["prefer"], `wait=${expected}`, String(waitSeconds));
  }
});

test("an unusable connection or setting is said, not sent", async () => {
  const cases = [
    [{ secret: " " }, {}, "connection"],
    [{ secret: undefined }, {}, "connection"],
    [{ scheme: "md5" }, {}, "connection"],
    [{ routerUrl: "router.example.com" }, {}, "connection"],
    [{ routerUrl: "http://router.example.com" }, {}, "connection"],
    [{ routerUrl: "https://user:pw@router.example.com" }, {}, "connection"],
    [{ routerUrl: "https://router.example.com/?x=1" }, {}, "connection"],
    [{}, { profile: "../admin" }, "settings"],
    [{}, { metadata: "{no json" }, "settings"],
    [{}, { metadata: { long: "x".repeat(40_000) } }, "settings"],
  ];
  for (const [change, config, code] of cases) {
    const { child, result, requests } = await turn([router.accepted], config, { text: "x" }, {}, change);
    const name = JSON.stringify([change, config]).slice(0, 80);
    assert.deepEqual([child, result.fault.code, requests.length], ["fallbackRouterOnError", code, 0], name);
  }
});

test("a result of the router is never asked about: that would go round for ever", async () => {
  const data = { fallbackRouter: { v: 1 } };
  const { child, result, requests } = await turn([router.accepted], {}, { text: "", data });
  assert.deepEqual([child, result.fault.code, requests.length], ["fallbackRouterOnError", "would_loop", 0]);
});

test("an older Cognigy without the newer functions will do", async () => {
  const { child, requests, result } = await turn([router.accepted], {}, { text: "x" }, { newer: false });
  assert.deepEqual([child, requests.length, result], ["fallbackRouterOnQueued", 1, undefined]);
});

test("a node that lost its children says so instead of failing", async () => {
  const { child, logs } = await turn([router.accepted], {}, { text: "x" }, { childConfigs: [] });
  assert.equal(child, undefined);
  assert.match(logs[0], /no child fallbackRouterOnQueued/);
});
