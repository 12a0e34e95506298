"use strict";

const assert = require("node:assert/strict");
const { readFileSync } = require("node:fs");
const { join } = require("node:path");
const { test } = require("node:test");

const { root } = require("./cognigy");
const signature = require(join(root, "build/signature.js"));

const vectors = JSON.parse(readFileSync(join(__dirname, "signature-vectors.json"), "utf8"));

test("requests are signed as the router checks them", () => {
  assert.ok(vectors.requests.length >= 15);
  for (const { name, scheme, secret, id, seconds, content, headers } of vectors.requests) {
    assert.deepEqual(signature.requestHeaders(scheme, secret, id, seconds, content), headers, name);
  }
});

test("results are signed as the router signs them", () => {
  assert.ok(vectors.injects.length >= 7);
  for (const { name, secret, sig, ...injected } of vectors.injects) {
    assert.equal(signature.injectSignature(secret, injected), sig, name);
    assert.ok(signature.isGenuine([secret], injected, sig), name);
    assert.ok(signature.isGenuine(["another secret", secret], injected, sig.toUpperCase()), `${name}, a rotation`);
  }
});

test("a result with any field changed is not genuine", () => {
  for (const { name, secret, sig, ...injected } of vectors.injects) {
    for (const field of ["triggerId", "userId", "sessionId", "text", "payload"]) {
      const changed = { ...injected, [field]: `${injected[field]}x` };
      assert.equal(signature.isGenuine([secret], changed, sig), false, `${name}: ${field}`);
    }
    assert.equal(signature.isGenuine([secret], { ...injected, ts: injected.ts + 1 }, sig), false, `${name}: ts`);
    assert.equal(signature.isGenuine(["another secret"], injected, sig), false, name);
    assert.equal(signature.isGenuine([], injected, sig), false, name);
  }
});

test("what is no signature is refused without a comparison", () => {
  const [{ secret, sig, ...injected }] = vectors.injects;
  for (const wrong of ["", sig.slice(1), `${sig}0`, `sha256=${sig}`, sig.replace(/.$/, "g"), ` ${sig}`]) {
    assert.equal(signature.isGenuine([secret], injected, wrong), false, wrong);
  }
});

test("a line break cannot move between the fields", () => {
  const [{ secret, sig: _, ...injected }] = vectors.injects;
  const honest = { ...injected, text: "a\nb", payload: "{}" };
  const sig = signature.injectSignature(secret, honest);
  assert.ok(signature.isGenuine([secret], honest, sig));
  const moved = { ...injected, text: "a", payload: "b\n{}" };
  assert.equal(signature.injectSignature(secret, moved), sig, "the same bytes");
  assert.equal(signature.isGenuine([secret], moved, sig), false);
  const longer = { ...injected, sessionId: `${injected.sessionId}\na`, text: "b", payload: "{}" };
  assert.equal(signature.isGenuine([secret], longer, sig), false);
});

test("a result may be 300 seconds off either way and no more", () => {
  for (const [off, stale] of [[-301, true], [-300, false], [0, false], [300, false], [301, true], [NaN, true]]) {
    assert.equal(signature.isStale(1_767_225_600 + off, 1_767_225_600), stale, `${off} s`);
  }
});
