/** Checking an injected result: anyone who can write into the conversation, the customer included, may have sent it. */

import { type Outcome, readOutcome } from "./outcome";
import { type Injected, isGenuine, isStale } from "./signature";
import { record } from "./wellformed";

/** A result of the router, or why it is none. */
export type Verdict =
  | { readonly outcome: Outcome; readonly text: string }
  | { readonly rejected: "malformed" | "forged" | "stale" };

/** Version of `data.fallbackRouter` that this code reads. */
const VERSION = 1;

/**
 * Checks the signature over time, trigger, user, session, text and payload, so that a result counts only for the
 * session that it was made for.
 *
 * @param secrets the current one first.
 * @param nowMs Unix milliseconds.
 */
export function checkInjected(
  secrets: readonly string[],
  input: Readonly<Record<string, unknown>>,
  data: unknown,
  nowMs: number,
): Verdict {
  const { v, triggerId, ts, payload, sig } = record(data) ?? {};
  const { userId, sessionId } = input;
  const whole =
    v === VERSION &&
    typeof triggerId === "string" &&
    Number.isSafeInteger(ts) &&
    typeof payload === "string" &&
    typeof sig === "string" &&
    typeof userId === "string" &&
    typeof sessionId === "string";
  if (!whole) return { rejected: "malformed" };
  const outcome = parse(payload);
  const signed = { ts: ts as number, triggerId, userId, sessionId, payload };
  const text = texts(input, outcome).find((one) => isGenuine(secrets, { ...signed, text: one } satisfies Injected, sig));
  if (text === undefined) return { rejected: "forged" };
  if (isStale(ts as number, Math.floor(nowMs / 1000))) return { rejected: "stale" };
  // What is signed is ours; that it does not fit can only be a newer router.
  return outcome === undefined || outcome.triggerId !== triggerId ? { rejected: "malformed" } : { outcome, text };
}

/**
 * The texts that may have been signed: the one that is here, and, should Cognigy have taken `cIntent:<name>|` off when it
 * ran the intent, the one with it. Whichever it is, the signature binds it.
 */
function texts(input: Readonly<Record<string, unknown>>, outcome: Outcome | undefined): string[] {
  const here = typeof input["text"] === "string" ? input["text"] : "";
  const run = [input["intent"], outcome?.intent].filter((name): name is string => typeof name === "string");
  return [here, ...run.map((name) => `cIntent:${name}|${here}`)];
}

function parse(payload: string): Outcome | undefined {
  try {
    return readOutcome(JSON.parse(payload));
  } catch {
    return undefined;
  }
}
