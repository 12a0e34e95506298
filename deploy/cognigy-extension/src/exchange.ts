/** One request to the router, tried again where that is safe, within a limit of time for all of it. */

import { createHash, randomUUID } from "node:crypto";

import type { Connection } from "./connection";
import { Fault } from "./fault";
import { requestHeaders } from "./signature";
import { record } from "./wellformed";

/** Bytes read of an answer: an outcome with its metadata has at most half of it. */
const LARGEST_ANSWER = 128 * 1024;

/** Tries of one request, the first included. */
const MOST_TRIES = 3;

/** Wait before another try where the router asks for none, in milliseconds. */
const PAUSE_MS = 400;

/** A try shorter than this, in milliseconds, is not worth beginning. */
const SHORTEST_TRY_MS = 700;

/** How much longer a try may take than the router was asked to wait, in milliseconds: connecting, and the way back. */
const MARGIN_MS = 2_000;

/** A question to the router. */
export interface Question {
  readonly method: "POST" | "GET";
  /** Path, after the base of the connection; it is what a request without a body signs. */
  readonly path: string;
  /** The JSON to post. */
  readonly body?: string;
  /** Makes a repeat the same request. */
  readonly key: string;
  /** How long the router may hold the answer, in seconds; 0 for not at all. */
  readonly waitS: number;
  /** How long all tries may take, in milliseconds. */
  readonly limitMs: number;
}

/** What the router answered: one of the two good statuses, and its JSON. */
export interface Answer {
  readonly status: 200 | 202;
  readonly body: Readonly<Record<string, unknown>>;
}

/** A key for what makes an input one trigger; a fresh one where there is nothing. */
export function keyOf(parts: readonly (string | undefined)[]): string {
  if (parts.some((part) => part === undefined || part === "")) return randomUUID();
  return createHash("sha256").update(JSON.stringify(parts)).digest("hex");
}

/**
 * Asks until there is an answer. A repeat is safe: it carries the same key, and the router takes it for the same trigger.
 *
 * @throws {Fault} when the router refuses, or does not answer in time.
 */
export async function ask(connection: Connection, question: Question, clock: () => number = Date.now): Promise<Answer> {
  const end = clock() + question.limitMs;
  for (let tried = 1; ; tried += 1) {
    const left = end - clock();
    const ending = await once(connection, question, left, clock);
    if ("status" in ending) return ending;
    const pause = ending.retryAfterMs ?? PAUSE_MS;
    const another = ending.again && tried < MOST_TRIES && end - clock() - pause >= SHORTEST_TRY_MS;
    if (!another) throw ending.fault;
    await new Promise((resume) => setTimeout(resume, pause));
  }
}

interface Failure {
  readonly fault: Fault;
  readonly again: boolean;
  readonly retryAfterMs?: number;
}

async function once(connection: Connection, question: Question, leftMs: number, clock: () => number): Promise<Answer | Failure> {
  const waitS = Math.max(0, Math.min(question.waitS, Math.floor((leftMs - MARGIN_MS) / 1000)));
  const tryMs = Math.min(leftMs, waitS * 1000 + MARGIN_MS * 2);
  const seconds = Math.floor(clock() / 1000);
  try {
    const response = await fetch(connection.base + question.path, {
      method: question.method,
      headers: {
        ...requestHeaders(connection.scheme, connection.secret, question.key, seconds, question.body ?? question.path),
        accept: "application/json",
        ...(question.body === undefined ? {} : { "content-type": "application/json", "idempotency-key": question.key }),
        ...(waitS > 0 ? { prefer: `wait=${waitS}` } : {}),
      },
      ...(question.body === undefined ? {} : { body: question.body }),
      redirect: "manual",
      signal: AbortSignal.timeout(tryMs),
    });
    return read(response, await boundedText(response));
  } catch (thrown) {
    if (thrown instanceof Fault) return { fault: thrown, again: false };
    const late = thrown instanceof Error && thrown.name === "TimeoutError";
    const fault = late
      ? new Fault("timeout", "the router did not answer in time; it may have the trigger")
      : new Fault("unreachable", "no connection to the router");
    return { fault, again: true };
  }
}

/** The body, as far as it is not too long for anything that the router says. */
async function boundedText(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  const reader = response.body?.getReader();
  for (;;) {
    const next = await reader?.read();
    if (next === undefined || next.done) return Buffer.concat(chunks).toString("utf8");
    length += next.value.length;
    if (length > LARGEST_ANSWER) {
      await reader?.cancel();
      throw new Fault("unexpected_answer", "the answer is too long", response.status);
    }
    chunks.push(next.value);
  }
}

function read(response: Response, text: string): Answer | Failure {
  const { status } = response;
  if (status === 200 || status === 202) {
    const body = parsed(text);
    if (body !== undefined) return { status, body };
    return { fault: new Fault("unexpected_answer", "the answer is not the router's", status), again: false };
  }
  if (status === 429 || status === 503) {
    return {
      fault: new Fault("busy", `the router is busy (${status})`, status),
      again: true,
      ...retryAfter(response.headers.get("retry-after")),
    };
  }
  if (status >= 500 || status === 408) {
    return { fault: new Fault("unexpected_answer", `the router failed (${status})`, status), again: true };
  }
  return { fault: new Fault("refused", advice(status, status === 400 ? pointers(text) : []), status), again: false };
}

/** Where the router found broken rules: names of the contract and positions. Anything else is not repeated. */
function pointers(text: string): string[] {
  const errors = parsed(text)?.["errors"];
  const found = (Array.isArray(errors) ? errors : []).map((error) => String(record(error)?.["pointer"] ?? ""));
  return found.filter((pointer) => /^(\/([A-Za-z]{1,20}|\d{1,2})){1,4}$/.test(pointer)).slice(0, 5);
}

function parsed(text: string): Record<string, unknown> | undefined {
  try {
    return record(JSON.parse(text));
  } catch {
    return undefined;
  }
}

function retryAfter(value: string | null): { retryAfterMs?: number } {
  return value !== null && /^\d{1,4}$/.test(value) ? { retryAfterMs: Number(value) * 1000 } : {};
}

/** What a builder can do about a refusal. The router's own words are not repeated: who knows what is in between. */
function advice(status: number, places: readonly string[]): string {
  switch (status) {
    case 400:
      return `the router refused the trigger (400)${places.length > 0 ? `: see ${places.join(", ")}` : ""}`;
    case 403:
      return "the router refused the signature (403): compare scheme and secret with the profile's, and both clocks";
    case 404:
      return "the router knows no such profile (404)";
    case 413:
      return "the trigger is too large (413)";
    default:
      return status >= 300 && status < 400
        ? `something redirects (${status}): the connection's routerUrl must be the router's own`
        : `the router refused the trigger (${status})`;
  }
}
