// Packs what Cognigy takes under Manage > Extensions: dist/fallback-router-<version>.tar.gz. The same sources give the
// same bytes. What only a developer needs stays out, in the package's own files, too.
"use strict";

const { execFileSync } = require("node:child_process");
const { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } = require("node:fs");
const { tmpdir } = require("node:os");
const { join } = require("node:path");

const root = join(__dirname, "..");
const read = (name) => JSON.parse(readFileSync(join(root, name), "utf8"));
const write = (folder, name, value) => writeFileSync(join(folder, name), `${JSON.stringify(value, null, 2)}\n`);

function stage(folder) {
  const { scripts, devDependencies, ...shipped } = read("package.json");
  write(folder, "package.json", shipped);
  const lock = read("package-lock.json");
  const packages = Object.entries(lock.packages).filter(([, { dev }]) => dev !== true);
  delete lock.packages[""].devDependencies;
  write(folder, "package-lock.json", { ...lock, packages: Object.fromEntries(packages) });
  for (const name of ["build", "README.md", "icon.png"]) cpSync(join(root, name), join(folder, name), { recursive: true });
}

function pack(archive) {
  const folder = mkdtempSync(join(tmpdir(), "fallback-router-"));
  try {
    stage(folder);
    const names = ["build", "package.json", "package-lock.json", "README.md", "icon.png"];
    const plain = ["--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner", "--mode=u=rwX,go=rX"];
    execFileSync("tar", ["-C", folder, ...plain, "--use-compress-program=gzip -n", "-cf", archive, ...names]);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const { name, version } = read("package.json");
mkdirSync(join(root, "dist"), { recursive: true });
const archive = join(root, "dist", `${name}-${version}.tar.gz`);
pack(archive);
console.log(archive);
