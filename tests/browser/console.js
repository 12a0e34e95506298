// Looks at the console of a running `cfr demo` as people do: with a mouse, by keyboard alone, without scripts, in the
// dark, on a narrow screen. Everything waits for facts and for nothing longer than LIMIT.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const LIMIT = 60_000;
const { BROWSER, CFR, PICTURES } = process.env;
const PARTS = ["/console", "/console/outcomes", "/console/dead-letters", "/console/playground"];

// The demo, once it has played its scenes: where its console is, and the command that posts another trigger.
async function demo() {
  const child = spawn(CFR, ["demo"], { stdio: ["ignore", "pipe", "inherit"] });
  const found = {};
  for await (const line of createInterface({ input: child.stdout })) {
    if (line.startsWith("curl ")) found.curl = line;
    else if (found.curl && !found.console && !line.startsWith("console")) found.curl += "\n" + line;
    if (line.startsWith("console ")) found.console = line.split(/\s+/)[1];
    if (line.startsWith("metrics ")) break;
  }
  assert.ok(found.console, "the demo ended before it named its console");
  child.stdout.resume();
  return { ...found, origin: new URL(found.console).origin, end: () => child.kill("SIGINT") };
}

async function open(browser, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 860 }, reducedMotion: "reduce", ...options });
  context.setDefaultTimeout(LIMIT);
  const page = await context.newPage();
  page.complaints = [];
  page.on("pageerror", (error) => page.complaints.push(String(error)));
  page.on("console", (message) => message.type() === "error" && page.complaints.push(message.text()));
  return page;
}

const at = (page, path) => page.waitForURL((url) => url.pathname === path, { waitUntil: "load" });

async function news(page, origin) {
  await page.goto(origin + "/console");
  await page.evaluate(() => { document.querySelector("#now").firstElementChild.dataset.old = "yes"; });
  await page.waitForFunction(() => !document.querySelector("[data-old]"));
  await page.getByText("1 alive").waitFor();
}

// Presses Tab until what has the focus fits.
async function tabTo(page, wanted) {
  for (let presses = 0; presses < 80; presses++) {
    await page.keyboard.press("Tab");
    if (await page.evaluate((selector) => document.activeElement.matches(selector), wanted)) return;
  }
  assert.fail(`${wanted} cannot be reached by keyboard`);
}

async function keyboard(page, origin) {
  await page.goto(origin + "/console");
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.className), "skip");
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement.id), "main");
  await page.keyboard.press("2");
  await at(page, "/console/outcomes");
  await tabTo(page, "tbody a");
  const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
  assert.notEqual(outline, "none", "what has the focus is marked");
  await page.keyboard.press("Enter");
  await page.waitForURL(/outcomes\/[0-9a-f-]{36}$/);
  await tabTo(page, "form[action*=outcomes] button");
  await page.keyboard.press("Enter");
  await page.getByText("lastMessage").first().waitFor();
  await page.locator("main").focus();
  await page.keyboard.press("4");
  await at(page, "/console/playground");
  await tabTo(page, "textarea[name=trigger]");
  await page.keyboard.press("Control+Enter");
  await page.locator("#result").getByText("characters, about").first().waitFor();
  await page.keyboard.press("Control+Shift+Enter");
  await page.locator("#result").getByText("Callback body").waitFor();
}

async function withoutScripts(page, origin) {
  for (const path of PARTS) {
    await page.goto(origin + path);
    assert.ok(await page.locator("h1").count(), path);
  }
  await page.locator("textarea[name=trigger]").fill('{"conversationId":"c","userId":"u","lastMessage":"Where is it?"}');
  await page.getByRole("button", { name: "Render" }).click();
  await page.locator("#result").getByText("Where is it?").first().waitFor();
  await page.goto(origin + "/console/dead-letters");
  await page.locator("select[name=reason]").selectOption("callback_rejected");
  await page.getByRole("button", { name: "Filter" }).click();
  await page.locator("input[name=id]").first().check();
  await page.getByRole("button", { name: "Count the selected" }).click();
  await page.getByRole("button", { name: "Replay 1" }).click();
  for (let tries = 0; !(await page.getByText("1 replayed").count()); tries++) {
    assert.ok(tries < 300, "the replay does not end");
    await page.reload();
  }
}

async function dark(page, origin) {
  await page.goto(origin + "/console");
  const light = await page.evaluate(() => {
    const number = (color) => color.match(/[\d.]+/g).slice(0, 3).reduce((sum, part) => sum + Number(part), 0) / 765;
    const style = getComputedStyle(document.documentElement);
    return { ground: number(style.backgroundColor), ink: number(style.color) };
  });
  assert.ok(light.ground < 0.2 && light.ink > 0.8, JSON.stringify(light));
}

async function narrow(page, origin) {
  await page.goto(origin + "/console/outcomes");
  const story = await page.locator("tbody a").first().getAttribute("href");
  for (const path of [...PARTS, story]) {
    await page.goto(origin + path);
    const width = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(width <= 320, `${path} is ${width} px wide`);
  }
}

async function pictures(browser, origin) {
  const shots = [
    ["now", "/console"], ["outcomes", "/console/outcomes"], ["story", null], ["dead-letters", "/console/dead-letters"], ["playground", "/console/playground"],
  ];
  for (const [scheme, viewport] of [["light", { width: 1120, height: 720 }], ["dark", { width: 1120, height: 720 }], ["narrow", { width: 320, height: 900 }]]) {
    const page = await open(browser, { colorScheme: scheme === "dark" ? "dark" : "light", viewport });
    for (const [name, path] of shots) {
      if (path) await page.goto(origin + path);
      else {
        await page.goto(origin + "/console/outcomes?reason=success");
        await page.locator("tbody a").last().click();
        await page.getByRole("button", { name: "Reveal contents" }).click();
        await page.getByText("lastMessage").first().waitFor();
      }
      if (name === "now") await page.getByText("1 alive").waitFor();
      // The playground in the dark shows what came out, the others what went in.
      const from = name === "playground" && scheme === "dark" ? "#playground .actions" : "body";
      await page.locator(from).first().evaluate((element) => element.scrollIntoView());
      if (name === "playground") {
        await page.getByRole("button", { name: "Run", exact: true }).click();
        await page.getByText("Callback body").waitFor();
      }
      await page.screenshot({ path: join(PICTURES, `${name}-${scheme}.png`) });
    }
    await page.context().close();
  }
}

const profile = mkdtempSync(join(tmpdir(), "console-"));
const flags = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync";
const browser = await chromium.launch({ executablePath: BROWSER, args: flags.split(" "), env: { ...process.env, HOME: profile } });
const { console: address, curl, origin, end } = await demo();
console.log(`looking at ${address}`);
let failed = 0;
try {
  if (PICTURES) {
    for (let posts = 0; posts < 12; posts++) execFileSync("bash", ["-c", curl], { stdio: "ignore" });
    await pictures(browser, origin);
  }
  for (const [name, test, options] of [
    ["news come by themselves", news, {}],
    ["everything is reached by keyboard", keyboard, {}],
    ["everything works without scripts", withoutScripts, { javaScriptEnabled: false }],
    ["it is dark where the system is", dark, { colorScheme: "dark" }],
    ["it fits 320 px", narrow, { viewport: { width: 320, height: 720 } }],
  ]) {
    const page = await open(browser, options);
    try {
      await test(page, origin);
      assert.deepEqual(page.complaints, [], "the browser complains");
      console.log(`ok      ${name}`);
    } catch (error) {
      failed++;
      console.log(`FAILED  ${name}\n${error.stack}`);
    }
    await page.context().close();
  }
} finally {
  await browser.close();
  end();
  rmSync(profile, { recursive: true, force: true });
}
process.exitCode = failed ? 1 : 0;
