// The transformer of deploy/cognigy, in a context that has what Cognigy's has, and nothing else.
"use strict";

const assert = require("node:assert/strict");
const crypto = require("node:crypto");
const { readFileSync } = require("node:fs");
const { join } = require("node:path");
const { test } = require("node:test");
const vm = require("node:vm");

const source = readFileSync(join(__dirname, "../../cognigy/transformer.js"), "utf8");
const { injects } = JSON.parse(readFileSync(join(__dirname, "signature-vectors.json"), "utf8"));

/** The transformer's handlers, with these secrets, at this time. */
function transformer(secrets, seconds) {
  const placeholder = '["put the callback secret here"]';
  assert.ok(source.includes(placeholder));
  let handlers;
  const clock = class extends Date {
    static now = () => seconds * 1000;
  };
  vm.runInNewContext(source.replace(placeholder, JSON.stringify(secrets)), {
    createSocketTransformer: (given) => (handlers = given),
    crypto,
    Buffer,
    Date: clock,
  });
  return handlers;
}

async function admitted(handler, body) {
  const answered = [];
  const response = { status: (code) => (answered.push(code), { send: () => {} }) };
  const passed = await handler({ request: { body }, response, endpoint: {} });
  assert.equal(answered.length, passed === null ? 1 : 0);
  return passed === null ? answered[0] : passed;
}

const bodyOf = ({ userId, sessionId, text, ts, triggerId, payload, sig }) => ({
  userId,
  sessionId,
  text,
  data: { fallbackRouter: { v: 1, triggerId, ts, payload, sig } },
});

test("what the router signed passes unchanged, to the flow and to the customer", async () => {
  for (const inject of injects) {
    const { handleInject, handleNotify } = transformer(["another", inject.secret], inject.ts + 300);
    for (const handler of [handleInject, handleNotify]) {
      assert.deepEqual({ ...(await admitted(handler, bodyOf(inject))) }, bodyOf(inject), inject.name);
    }
  }
});

test("everything else is answered with 401 and goes no further", async () => {
  const [inject] = injects;
  const { handleInject } = transformer([inject.secret], inject.ts);
  const good = bodyOf(inject);
  const result = good.data.fallbackRouter;
  const cases = [
    undefined,
    null,
    {},
    { ...good, data: undefined },
    { ...good, data: {} },
    { ...good, text: "hello" },
    { ...good, text: undefined },
    { ...good, userId: "user-43" },
    { ...good, userId: ["user-42"] },
    { ...good, sessionId: "another" },
    ...[{ v: 2 }, { ts: inject.ts + 1 }, { ts: String(inject.ts) }, { triggerId: "x" }, { payload: "{}" }, { payload: {} }].map(
      (change) => ({ ...good, data: { fallbackRouter: { ...result, ...change } } }),
    ),
    ...["", "0".repeat(64), result.sig.slice(1), undefined, 7, [result.sig]].map((sig) => ({
      ...good,
      data: { fallbackRouter: { ...result, sig } },
    })),
    { ...good, text: `x\n${result.payload}`, data: { fallbackRouter: { ...result, payload: "x\ny" } } },
  ];
  for (const [index, body] of cases.entries()) assert.equal(await admitted(handleInject, body), 401, `${index}`);
});

test("an old result sent again is refused", async () => {
  const [inject] = injects;
  for (const off of [-301, 301]) {
    const { handleInject } = transformer([inject.secret], inject.ts + off);
    assert.equal(await admitted(handleInject, bodyOf(inject)), 401, `${off} s`);
  }
});

test("a customer cannot send a result, and everything else of a message stays", async () => {
  const { handleInput } = transformer(["secret"], 0);
  const [inject] = injects;
  const message = { userId: "u", sessionId: "s", text: "hello", data: { mine: 1, ...bodyOf(inject).data } };
  const expected = { userId: "u", sessionId: "s", text: "hello", data: { mine: 1 } };
  for (const given of [{ payload: message }, { request: { body: message } }]) {
    const { data, ...rest } = await handleInput(given);
    assert.deepEqual({ ...rest, data: { ...data } }, expected);
  }
  assert.deepEqual({ ...(await handleInput({ payload: { ...message, data: null } })).data }, {});
});
