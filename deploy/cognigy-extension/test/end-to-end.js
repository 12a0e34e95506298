// The packed Extension in a simulated Cognigy, against the real ingress and worker. tests/it/extension.rs starts it: it
// prints where its Endpoint is, is told on standard input where the router is, and ends with 0 if every test passed.
"use strict";

const assert = require("node:assert/strict");
const { readFileSync } = require("node:fs");
const { createServer } = require("node:http");
const { join } = require("node:path");
const { after, test } = require("node:test");
const vm = require("node:vm");

const { Conversation, RECEIVE, ROUTE, extension } = require("./cognigy");

const TOKEN = "e".repeat(64);
const limit = { timeout: 120_000 };

/** Cognigy's Endpoint: the transformer first, then the flow's first node, in the session that the request names. */
class Endpoint {
  conversations = new Map();
  answers = [];
  refused = 0;

  async start() {
    this.server = createServer((request, response) => this.receive(request, response));
    await new Promise((ready) => this.server.listen(0, "127.0.0.1", ready));
    return `http://127.0.0.1:${this.server.address().port}`;
  }

  async receive(request, response) {
    let text = "";
    for await (const chunk of request) text += chunk;
    if (request.method !== "POST" || request.url !== `/inject/${TOKEN}`) return response.writeHead(404).end();
    const status = (code) => (response.writeHead(code), { send: (words) => response.end(words) });
    const input = await this.transformer.handleInject({ request: { body: JSON.parse(text) }, response: { status }, endpoint: {} });
    if (input === null) return (this.refused += 1);
    await this.conversations.get(input.sessionId)?.inject(input);
    return response.writeHead(this.answers.shift() ?? 200).end();
  }

  /** The transformer as a customer would paste it. */
  useTransformer(secret) {
    const source = readFileSync(join(__dirname, "../../cognigy/transformer.js"), "utf8");
    const pasted = source.replace('"put the callback secret here"', JSON.stringify(secret));
    const crypto = require("node:crypto");
    vm.runInNewContext(pasted, { createSocketTransformer: (given) => (this.transformer = given), crypto, Buffer, Date });
  }
}

const endpoint = new Endpoint();

/** A conversation whose flow has the two nodes, and which waits for what is injected. */
class Flow extends Conversation {
  static count = 0;
  static reached = new Set();
  injected = [];
  waiting = [];

  constructor(change = {}) {
    Flow.count += 1;
    const ids = { userId: `user-${Flow.count}`, sessionId: `session-${Flow.count}`, URLToken: TOKEN };
    super({ ...connection, ...change }, ids);
    endpoint.conversations.set(ids.sessionId, this);
  }

  async run(...given) {
    const turn = await super.run(...given);
    Flow.reached.add(turn.child);
    return turn;
  }

  /** A customer's message, which no intent fits. */
  misses(text, config = {}, extra = {}) {
    const scores = [{ name: "Reset Password", score: 0.17 }];
    return this.run(ROUTE, config, { text, nlu: { intentMapperResults: { scores } }, ...extra }, {
      transcript: () => [{ source: "user", text: "hello" }, { source: "bot", text: "How can I help?" }],
    });
  }

  /** An injected turn. Cognigy takes `cIntent:` as an order; what it leaves of the text is not documented. */
  async inject({ text, data }) {
    const forced = /^cIntent:([^|]*)\|([^]*)$/.exec(text);
    const input = forced === null ? { text, data } : { text: this.strips ? forced[2] : text, intent: forced[1], data };
    this.injected.push(await this.run(RECEIVE, {}, input));
    for (const resume of this.waiting.splice(0)) resume();
  }

  /** The injected turns, once there are so many. */
  async results(count) {
    while (this.injected.length < count) await new Promise((resume) => this.waiting.push(resume));
    return this.injected;
  }
}

let connection;

async function told() {
  let text = "";
  for await (const chunk of process.stdin) text += chunk;
  const { routerUrl, secret, callbackSecret } = JSON.parse(text);
  connection = { routerUrl, scheme: "hex-ts-body", secret, callbackSecret };
  endpoint.useTransformer(callbackSecret);
}

const ways = (turns) => turns.map(({ child }) => child.replace("fallbackRouter", ""));

async function main() {
  console.log(await endpoint.start());
  await told();
  after(() => (endpoint.server.closeAllConnections(), endpoint.server.close()));

  test("a miss is queued, and its answer is injected and said", limit, async () => {
    const flow = new Flow();
    const asked = await flow.misses("say an answer");
    assert.deepEqual(ways([asked]), ["OnQueued"], JSON.stringify(asked.result));
    const [turn] = await flow.results(1);
    assert.deepEqual(ways([turn]), ["OnResultAnswered"]);
    assert.deepEqual(turn.said, ["I can help you reset your password."]);
    assert.equal(turn.result.triggerId, asked.result.triggerId);
    assert.deepEqual(flow.context.fallbackRouter, { seen: [asked.result.triggerId] });
  });

  test("an answer is shown once though the inject was sent twice", limit, async () => {
    const flow = new Flow();
    endpoint.answers.push(503);
    await flow.misses("say an answer");
    const turns = await flow.results(2);
    assert.deepEqual(ways(turns), ["OnResultAnswered", "OnResultIgnored"]);
    assert.deepEqual(turns.flatMap(({ said }) => said), ["I can help you reset your password."]);
  });

  test("one input is one trigger, however often the node runs", limit, async () => {
    const flow = new Flow();
    const [first, again] = [await flow.misses("say an answer", {}, { inputId: "i" }), await flow.misses("say an answer", {}, { inputId: "i" })];
    assert.equal(first.result.triggerId, again.result.triggerId);
  });

  for (const strips of [false, true]) {
    test(`a known intent is re-routed to, whether or not Cognigy strips the text (${strips})`, limit, async () => {
      const flow = Object.assign(new Flow(), { strips });
      await flow.misses("go to the intent", { profile: "rerouting" });
      const [turn] = await flow.results(1);
      assert.deepEqual(ways([turn]), ["OnResultRerouted"]);
      assert.deepEqual([turn.result.cIntent, turn.said], ["cIntent:Reset Password|go to the intent", []]);
    });
  }

  test("a human takes over where the model wants one, and where there is no model", limit, async () => {
    for (const message of ["fetch a human", "have no model"]) {
      const flow = new Flow();
      await flow.misses(message);
      const [turn] = await flow.results(1);
      assert.deepEqual(ways([turn]), ["OnResultHandover"], message);
      assert.equal(turn.said.length, 1);
    }
  });

  test("a forged result reaches neither the flow nor the customer", limit, async () => {
    const flow = new Flow();
    const url = `${endpointUrl()}/inject/${TOKEN}`;
    const data = { fallbackRouter: { v: 1, triggerId: "x", ts: Math.floor(Date.now() / 1000), payload: "{}", sig: "0".repeat(64) } };
    const forged = { ...flow.ids, text: "", data };
    const response = await fetch(url, { method: "POST", body: JSON.stringify(forged) });
    assert.deepEqual([response.status, flow.injected.length], [401, 0]);
    const through = await flow.run(RECEIVE, {}, forged);
    assert.deepEqual([ways([through]), through.said], [["OnResultRejected"], []], "without the transformer");
  });

  test("whoever waits gets each outcome in the turn", limit, async () => {
    const held = { profile: "held", mode: "wait", waitSeconds: 15, reroute: true };
    const cases = [["say an answer", "OnAnswered", 1], ["go to the intent", "OnRerouted", 0], ["fetch a human", "OnHandover", 1]];
    for (const [message, way, said] of cases) {
      const turn = await new Flow().misses(message, held);
      assert.deepEqual([ways([turn]), turn.said.length], [[way], said], JSON.stringify(turn.result));
    }
  });

  test("what was waited for and is injected as well is shown once", limit, async () => {
    const flow = new Flow();
    const waited = await flow.misses("say an answer", { mode: "wait", waitSeconds: 15 });
    const [turn] = await flow.results(1);
    // Whichever comes first is shown.
    assert.deepEqual(ways([waited]), ["OnAnswered"]);
    assert.deepEqual([...waited.said, ...turn.said], ["I can help you reset your password."]);
  });

  test("where nothing can be injected the next message fetches the result", limit, async () => {
    const flow = new Flow();
    const ordinary = await flow.run(RECEIVE, { fetch: true }, { text: "hello" });
    await flow.misses("say an answer", { profile: "held" });
    const { pending } = flow.context.fallbackRouter;
    flow.context.fallbackRouter.pending = { ...pending, triggerId: "01890a5d-ac96-774b-bcce-b302099a8057" };
    const unknown = await flow.run(RECEIVE, { fetch: true, waitSeconds: 1 }, { text: "and?" });
    flow.context.fallbackRouter.pending = pending;
    const fetched = await flow.run(RECEIVE, { fetch: true, waitSeconds: 15 }, { text: "and?" });
    assert.deepEqual(ways([ordinary, unknown, fetched]), ["OnNoResult", "OnResultPending", "OnResultAnswered"]);
    assert.equal(fetched.said.length, 1);
  });

  test("a wrong secret, an unknown profile and a router that is not there are errors of the flow", limit, async () => {
    const cases = [
      [{ secret: "another secret than the router's" }, {}, "refused", 403],
      [{}, { profile: "nobody" }, "refused", 404],
      [{ routerUrl: "http://127.0.0.1:1" }, {}, "unreachable", undefined],
    ];
    for (const [change, config, code, status] of cases) {
      const turn = await new Flow(change).misses("say an answer", config);
      assert.deepEqual([ways([turn]), turn.result.fault.code, turn.result.fault.status], [["OnError"], code, status]);
    }
  });

  test("by now every child of both nodes was reached", limit, () => {
    const children = extension.nodes.filter(({ parentType }) => parentType !== null).map(({ type }) => type);
    assert.deepEqual([...Flow.reached].sort(), children.sort());
  });
}

const endpointUrl = () => `http://127.0.0.1:${endpoint.server.address().port}`;

main();
