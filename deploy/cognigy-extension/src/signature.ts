/** Signing what we send to the router, and checking what it injects. The clock is an argument. */

import { createHmac, timingSafeEqual } from "node:crypto";

/** The router's four schemes; one for each profile. */
export type Scheme = "hex-ts-body" | "hex-body" | "standard" | "api-key";

const SCHEMES: readonly string[] = ["hex-ts-body", "hex-body", "standard", "api-key"];

/** How far the time of a result may be from now, in seconds, either way. */
const TOLERANCE_S = 300;

export function isScheme(name: string): name is Scheme {
  return SCHEMES.includes(name);
}

/**
 * The headers that prove to the router who sent `content`: the body, or path and query of a request without one.
 *
 * @param id `webhook-id` of scheme `standard`, which makes the request idempotent; no dot in it.
 * @param seconds Unix time.
 */
export function requestHeaders(
  scheme: Scheme,
  secret: string,
  id: string,
  seconds: number,
  content: string,
): Record<string, string> {
  switch (scheme) {
    case "hex-ts-body":
      return {
        "x-webhook-timestamp": String(seconds),
        "x-webhook-signature": hmac(secret, `${seconds}.${content}`).toString("hex"),
      };
    case "hex-body":
      return { "x-webhook-signature": hmac(secret, content).toString("hex") };
    case "standard":
      return {
        "webhook-id": id,
        "webhook-timestamp": String(seconds),
        "webhook-signature": `v1,${hmac(decoded(secret), `${id}.${seconds}.${content}`).toString("base64")}`,
      };
    case "api-key":
      return { "x-api-key": secret };
  }
}

/** The fields of an injected result that its signature covers. */
export interface Injected {
  readonly ts: number;
  readonly triggerId: string;
  readonly userId: string;
  readonly sessionId: string;
  readonly text: string;
  readonly payload: string;
}

/** Lower-case hex HMAC-SHA256 of the fields, one in a line, keyed with the text of the secret. */
export function injectSignature(secret: string, injected: Injected): string {
  return hmac(secret, canonical(injected)).toString("hex");
}

/** Whether one of the secrets made this signature. All are tried, each in constant time. */
export function isGenuine(secrets: readonly string[], injected: Injected, signature: string): boolean {
  if (!/^[0-9a-fA-F]{64}$/.test(signature) || !unambiguous(injected)) return false;
  const given = Buffer.from(signature, "hex");
  const bytes = canonical(injected);
  return secrets.map((secret) => timingSafeEqual(hmac(secret, bytes), given)).some((equal) => equal);
}

/** Whether the time of a result is too far from `seconds`, so that it may be an old one sent again. */
export function isStale(ts: number, seconds: number): boolean {
  return !(Math.abs(seconds - ts) <= TOLERANCE_S);
}

function canonical({ ts, triggerId, userId, sessionId, text, payload }: Injected): string {
  return [String(ts), triggerId, userId, sessionId, text, payload].join("\n");
}

/** Only the text may hold line breaks; one anywhere else could make two different results sign the same bytes. */
function unambiguous({ triggerId, userId, sessionId, payload }: Injected): boolean {
  return ![triggerId, userId, sessionId, payload].some((field) => field.includes("\n"));
}

/** Scheme `standard` keys with the decoded secret, as the libraries of Standard Webhooks do. */
function decoded(secret: string): Buffer {
  return Buffer.from(secret.replace(/^whsec_/, ""), "base64");
}

function hmac(key: string | Buffer, content: string): Buffer {
  return createHmac("sha256", key).update(content, "utf8").digest();
}
