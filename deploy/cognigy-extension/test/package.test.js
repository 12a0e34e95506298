"use strict";

const assert = require("node:assert/strict");
const { execFileSync } = require("node:child_process");
const { mkdtempSync, readFileSync, rmSync } = require("node:fs");
const { tmpdir } = require("node:os");
const { join } = require("node:path");
const { test } = require("node:test");

const { extension } = require("./cognigy");

const source = join(__dirname, "..");
const { version } = require("../package.json");

/** Packs anew, and unpacks. */
function unpacked(use) {
  const archive = execFileSync("node", ["scripts/pack.js"], { cwd: source, encoding: "utf8" }).trim();
  const folder = mkdtempSync(join(tmpdir(), "unpacked-"));
  try {
    execFileSync("tar", ["-xzf", archive, "-C", folder]);
    return use(folder, archive);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

test("the package holds what Cognigy asks for and nothing that only a developer needs", () => {
  unpacked((folder, archive) => {
    assert.match(archive, new RegExp(`dist/fallback-router-${version}\\.tar\\.gz$`));
    const top = execFileSync("ls", ["-A", folder], { encoding: "utf8" }).trim().split("\n");
    assert.deepEqual(top.sort(), ["README.md", "build", "icon.png", "package-lock.json", "package.json"]);
    const shipped = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
    assert.deepEqual(shipped.dependencies, { "@cognigy/extension-tools": "0.14.0" });
    assert.deepEqual([shipped.main, shipped.devDependencies, shipped.scripts], ["build/module.js", undefined, undefined]);
    const lock = JSON.parse(readFileSync(join(folder, "package-lock.json"), "utf8"));
    assert.deepEqual(Object.keys(lock.packages), ["", "node_modules/@cognigy/extension-tools"]);
    const icon = readFileSync(join(folder, "icon.png"));
    assert.deepEqual([icon.readUInt32BE(16), icon.readUInt32BE(20)], [64, 64], "64 by 64 pixels");
  });
});

test("the same sources make the same bytes", () => {
  const pack = () => unpacked((_, archive) => readFileSync(archive));
  assert.ok(pack().equals(pack()));
});

test("the lockfile names no place to fetch from", () => {
  assert.doesNotMatch(readFileSync(join(source, "package-lock.json"), "utf8"), /resolved|https?:/);
});

test("nodes, children and forms fit together", () => {
  const types = extension.nodes.map(({ type }) => type);
  assert.equal(new Set(types).size, types.length);
  const parents = extension.nodes.filter(({ function: run }) => run !== null);
  assert.deepEqual(parents.map(({ defaultLabel }) => defaultLabel), ["Route fallback to LLM", "Receive fallback result"]);
  for (const parent of parents) {
    const children = extension.nodes.filter(({ parentType }) => parentType === parent.type).map(({ type }) => type);
    assert.deepEqual(children, parent.dependencies.children);
    const keys = parent.fields.map(({ key }) => key);
    const shown = [...parent.form.map(({ key }) => key), ...parent.sections.flatMap(({ fields }) => fields)];
    for (const key of keys) assert.ok(shown.includes(key), `${key} is in no form`);
    for (const key of parent.sections.flatMap(({ fields }) => fields)) assert.ok(keys.includes(key), key);
  }
});

test("every connection of a node is one that the Extension has", () => {
  const own = extension.connections.map(({ type }) => type);
  const used = extension.nodes.flatMap(({ fields }) => fields).filter(({ type }) => type === "connection");
  assert.equal(used.length, 2);
  for (const { params } of used) assert.ok(own.includes(params.connectionType));
});
