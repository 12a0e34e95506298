// The Code node of deploy/cognigy, in a context that has what Cognigy's has, and nothing else.
"use strict";

const assert = require("node:assert/strict");
const { readFileSync } = require("node:fs");
const { join } = require("node:path");
const { test } = require("node:test");
const vm = require("node:vm");

const router = require("./router");

const source = readFileSync(join(__dirname, "../../cognigy/receive.code.js"), "utf8");

function run(input, context = {}) {
  const api = { addToContext: (key, value, mode) => (assert.equal(mode, "simple"), (context[key] = structuredClone(value))) };
  vm.runInNewContext(`(() => {${source}\n})()`, { input, context, api });
  return context;
}

const injected = (outcome, text = "") => ({
  text,
  data: { fallbackRouter: { v: 1, triggerId: router.ID, ts: 0, payload: JSON.stringify(outcome), sig: "" } },
});
const got = (result) => ({ text: "hello", data: {}, httprequest: { result, statusCode: 200 } });

test("each outcome takes its way, injected, held or polled", () => {
  const poll = (status, outcome) => got({ triggerId: router.ID, status, ...(outcome ? { outcome } : {}) });
  const cases = [
    [injected(router.decided()), "answered"],
    [injected(router.decided(), "cIntent:Reset Password|my link"), "rerouted"],
    [injected(router.decided({ requires_human_agent: true })), "handover"],
    [injected(router.safe()), "handover"],
    [injected(router.safe("superseded")), "ignored"],
    [{ text: "", data: { fallbackRouter: { payload: "no JSON" } } }, "ignored"],
    [{ text: "", data: {} }, "ignored"],
    [{ text: "" }, "ignored"],
    [got(router.decided()), "answered"],
    [got(router.safe()), "handover"],
    [got({ triggerId: router.ID, status: "accepted" }), "pending"],
    [poll("running"), "pending"],
    [poll("unknown"), "pending"],
    [poll("done", router.decided()), "answered"],
    [poll("done", router.safe("expired")), "handover"],
  ];
  for (const [input, way] of cases) assert.equal(run(input).fallback.way, way, JSON.stringify(input));
});

test("what comes twice is shown once, however it comes", () => {
  const context = {};
  const ways = [got(router.decided()), injected(router.decided()), injected(router.decided())].map((input) => run(input, context).fallback.way);
  assert.deepEqual(ways, ["answered", "ignored", "ignored"]);
  assert.deepEqual(context.fallback.seen, [router.ID]);
});

test("the flow can read what to say", () => {
  assert.deepEqual(run(injected(router.decided())).fallback, {
    way: "answered", triggerId: router.ID, answer: "I can help you reset your password.", intent: "Reset Password",
    parameters: { account_type: "business" }, seen: [router.ID],
  });
  assert.equal(run(injected(router.safe())).fallback.answer, "I am connecting you to a specialist.");
  assert.equal(run(got({ triggerId: router.ID, status: "accepted" })).fallback.triggerId, router.ID, "for the next poll");
});
