// What the pages do beyond their forms and links: news without loading again, and the playground in place.
"use strict";

const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const one = (selector, root = document) => root.querySelector(selector);

// Everything that the server sends is rendered and escaped there; a template element keeps it inert until it is placed.
function place(target, html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  target.replaceChildren(template.content);
}

// News: the part "Now", and a word on the list of outcomes when there are new ones.
function listen() {
  const now = one("[data-live=now]");
  const fresh = one(".fresh");
  if (!now && !fresh) return;
  const source = new EventSource("/console/live");
  source.addEventListener("now", (event) => {
    const news = JSON.parse(event.data);
    // What somebody has under the keyboard or has marked is not taken away.
    const busy = now && (now.contains(document.activeElement) || !getSelection().isCollapsed);
    if (now && !busy) place(now, news.now);
    if (fresh) fresh.hidden = news.seen <= Number(fresh.dataset.seen);
  });
  // The browser opens the stream again by itself, but not for a page that is hidden in its cache.
  addEventListener("pagehide", () => source.close());
  addEventListener("pageshow", (event) => event.persisted && location.reload());
}

// A filter is applied when it is chosen.
function submitOnChange() {
  for (const form of all("form[data-submit=change]")) {
    all("button", form).forEach((button) => (button.hidden = true));
    form.addEventListener("change", () => form.requestSubmit());
  }
}

// One box ticks all of a table.
function tickAll() {
  for (const box of all("input[data-check]")) {
    box.hidden = false;
    box.addEventListener("change", () => {
      all(`input[name=${box.dataset.check}]:not(:disabled)`, box.form).forEach((other) => (other.checked = box.checked));
    });
  }
}

// The playground: its result comes without loading the page, so that nothing that was typed is lost.
function playground() {
  const form = one("#playground");
  const result = one("#result");
  if (!form) return;
  let latest = 0;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const mine = ++latest;
    const action = event.submitter?.getAttribute("formaction") || form.getAttribute("action");
    const buttons = all("button", form);
    buttons.forEach((button) => (button.disabled = true));
    result.setAttribute("aria-busy", "true");
    try {
      const answer = await fetch(action, {
        method: "POST",
        headers: { "x-csrf-token": one("meta[name=csrf]").content, "x-part": "result" },
        body: new URLSearchParams(new FormData(form)),
      });
      const html = await answer.text();
      if (mine !== latest) return;
      if (answer.ok) place(result, html);
      else place(result, new DOMParser().parseFromString(html, "text/html").querySelector("main").innerHTML);
    } catch {
      result.textContent = "The console does not answer. Is its process still there?";
    } finally {
      buttons.forEach((button) => (button.disabled = false));
      result.removeAttribute("aria-busy");
    }
  });
  form.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    const run = one("button[formaction]", form);
    form.requestSubmit(event.shiftKey && run ? run : one("button.primary", form));
  });
}

// 1 to 4 go to the parts, unless somebody is typing.
function keys() {
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select")) return;
    const link = /^[1-4]$/.test(event.key) && all("nav[aria-label=Parts] a")[Number(event.key) - 1];
    if (link) link.click();
  });
}

listen();
submitOnChange();
tickAll();
playground();
keys();
