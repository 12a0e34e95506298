"use strict";

const assert = require("node:assert/strict");
const { join } = require("node:path");
const { test } = require("node:test");

const { root } = require("./cognigy");
const { candidatesOf, messageOf, triggerBody } = require(join(root, "build/trigger.js"));
const { collectTurns } = require(join(root, "build/transcript.js"));
const { keyOf } = require(join(root, "build/exchange.js"));

const ids = { userId: "u", sessionId: "s", inputId: "i" };
const body = (input, settings = {}, candidates = [], turns = []) =>
  JSON.parse(triggerBody({ ...ids, ...input }, settings, candidates, turns));

test("what the router would refuse is left out or made fit", () => {
  for (const [input, field, expected] of [
    [{ text: "x" }, "lastMessage", "x"],
    [{}, "lastMessage", ""],
    [{ text: "a\ud83d" }, "lastMessage", "a\ufffd"],
    [{ text: "é".repeat(10_001) }, "lastMessage", "é".repeat(10_000)],
    [{ text: "🔑".repeat(10_001) }, "lastMessage", "🔑".repeat(10_000)],
    [{ intentScore: 0.4 }, "confidenceScore", 0.4],
    [{ intentScore: null }, "confidenceScore", null],
    [{ intentScore: 1.1 }, "confidenceScore", null],
    [{ intentScore: NaN }, "confidenceScore", null],
    [{ intent: "Reset" }, "detectedIntent", "Reset"],
    [{ intent: null }, "detectedIntent", undefined],
    [{ intent: "x".repeat(257) }, "detectedIntent", undefined],
    [{ language: "de-DE" }, "language", "de-DE"],
    [{ language: "not a language" }, "language", undefined],
    [{ URLToken: "" }, "urlToken", undefined],
    [{ channel: "a\u0007b" }, "channel", undefined],
    [{ userId: " " }, "userId", "s"],
    [{ userId: 4711 }, "userId", "4711"],
  ]) {
    assert.deepEqual(body(input)[field], expected, JSON.stringify(input).slice(0, 60));
  }
});

test("settings come before the input, and blank ones after", () => {
  assert.equal(messageOf({ text: "from the input" }, { message: "chosen" }), "chosen");
  assert.equal(messageOf({ text: "from the input" }, { message: "undefined" }), "from the input");
  assert.equal(messageOf({ text: "undefined" }, { message: "undefined" }), "undefined");
  assert.equal(body({}, { conversationId: "case-1" }).conversationId, "case-1");
  assert.equal(body({}, { conversationId: "" }).conversationId, "s");
  assert.deepEqual(body({}, { metadata: '{"a":1}' }).metadata, { a: 1 });
  assert.deepEqual(body({}, { metadata: { a: "\ud83d" } }).metadata, { a: "\ufffd" });
  assert.deepEqual(body({}, { metadata: { a: "\\ud83d" } }).metadata, { a: "\\ud83d" }, "six characters, not one");
  assert.equal(body({}, { metadata: {} }).metadata, undefined);
  assert.deepEqual(body({}, { contactId: "100000000000", caseId: "c-1" }).contact, undefined);
  assert.deepEqual(body({}, { caseId: "c-1" }).contact, { caseId: "c-1" });
  assert.throws(() => triggerBody({ userId: "u" }, {}, [], []), { name: "Fault", code: "settings" });
});

test("at most 50 candidates, the best first", () => {
  const scores = Array.from({ length: 60 }, (_, index) => ({ name: `intent ${index}`, score: index / 100 }));
  const found = candidatesOf({ nlu: { intentMapperResults: { scores } } });
  assert.deepEqual([found.length, found[0].name, found[49].name], [50, "intent 59", "intent 10"]);
  for (const input of [{}, { nlu: null }, { nlu: { intentMapperResults: { scores: "none" } } }, { nlu: {} }]) {
    assert.deepEqual(candidatesOf(input), []);
  }
});

test("history gives way before the router refuses the whole", () => {
  const turns = Array.from({ length: 50 }, (_, index) => ({ role: "user", text: `${index} ${"ü".repeat(1900)}` }));
  const text = triggerBody({ ...ids, text: "x" }, {}, [], turns);
  assert.ok(Buffer.byteLength(text) <= 60 * 1024);
  const { history } = JSON.parse(text);
  assert.ok(history.length > 10 && history.length < 50);
  assert.equal(history.at(-1).text.slice(0, 2), "49", "the newest stay");
  const huge = { ...ids, text: "🔑".repeat(10_000) };
  const settings = { metadata: { a: "x".repeat(30_000) } };
  assert.throws(() => triggerBody(huge, settings, [], turns), { name: "Fault", code: "too_large" });
});

test("a transcript is found in every place where Cognigy has one", async () => {
  const node = [
    { role: "user", type: "input", payload: { text: "hello" }, timestamp: 1767225600000 },
    { role: "assistant", type: "output", payload: { text: "How can I help?" }, timestamp: "2026-01-01T00:00:00Z" },
    { role: "assistant", type: "output", payload: { data: {} } },
    { role: "system", payload: { text: "?" } },
    null,
  ];
  const expected = [
    { role: "user", text: "hello", timestamp: 1767225600000 },
    { role: "assistant", text: "How can I help?", timestamp: "2026-01-01T00:00:00Z" },
  ];
  const own = () => { throw new Error("not to be asked"); };
  for (const place of [{ input: { transcript: node }, context: {} }, { input: {}, context: { transcript: JSON.stringify(node) } }]) {
    assert.deepEqual(await collectTurns({ api: { getConversationTranscript: own }, ...place }, "now", 10), expected);
  }
  const nowhere = { input: {}, context: {} };
  for (const answer of [async () => "no JSON", own, () => ({}), () => null]) {
    assert.deepEqual(await collectTurns({ api: { getConversationTranscript: answer }, ...nowhere }, "now", 10), []);
  }
  const many = Array.from({ length: 80 }, (_, index) => ({ source: "user", text: String(index) }));
  const api = { getConversationTranscript: () => many };
  assert.deepEqual((await collectTurns({ api, ...nowhere }, "79", 3)).map(({ text }) => text), ["76", "77", "78"]);
  assert.equal((await collectTurns({ api, ...nowhere }, "79", 999)).length, 50);
});

test("the same input makes the same key, and an input without an id a fresh one", () => {
  assert.equal(keyOf(["p", "s", "i"]), keyOf(["p", "s", "i"]));
  assert.match(keyOf(["p", "s", "i"]), /^[0-9a-f]{64}$/);
  assert.notEqual(keyOf(["p", "s", "i"]), keyOf(["p", "si", ""]));
  assert.notEqual(keyOf(["p", "s", undefined]), keyOf(["p", "s", undefined]));
});
