/** The connection: where the router is, and the secrets that it shares with this bot. Cognigy keeps it encrypted. */

import type { IConnectionSchema } from "@cognigy/extension-tools";

import { Fault } from "./fault";
import { type Scheme, isScheme } from "./signature";

/** What a builder fills in once, under *Connections*. */
export const connectionSchema: IConnectionSchema = {
  type: "fallbackRouter",
  label: "Fallback router",
  fields: [
    { fieldName: "routerUrl" },
    { fieldName: "scheme" },
    { fieldName: "secret" },
    { fieldName: "callbackSecret" },
    { fieldName: "previousCallbackSecret" },
  ],
};

/** A usable connection. */
export interface Connection {
  /** `https://host[:port][/prefix]`, without a slash at its end. */
  readonly base: string;
  /** How requests prove where they come from: the `webhook.scheme` of the router's profile. */
  readonly scheme: Scheme;
  /** Signs requests: one of the profile's `webhook.secrets`. */
  readonly secret: string;
  /** Check results: the profile's `callback.secrets`, the current one first. */
  readonly callbackSecrets: readonly string[];
}

const LOOPBACK = new Set(["localhost", "127.0.0.1", "[::1]"]);

/**
 * Reads the node's connection. A blank scheme means `hex-ts-body`; a blank callback secret means that the router signs
 * results with the webhook secret, which is its own default.
 *
 * @throws {Fault} `connection` with what is wrong; never with what was filled in.
 */
export function readConnection(value: unknown): Connection {
  const fields = (typeof value === "object" && value !== null ? value : {}) as Record<string, unknown>;
  const secret = text(fields["secret"]);
  if (secret.trim() === "") throw new Fault("connection", "the connection has no secret");
  const scheme = text(fields["scheme"]).trim() || "hex-ts-body";
  if (!isScheme(scheme)) {
    throw new Fault("connection", "the connection's scheme must be hex-ts-body, hex-body, standard or api-key");
  }
  const given = [text(fields["callbackSecret"]), text(fields["previousCallbackSecret"])];
  const callbackSecrets = given.filter((candidate) => candidate.trim() !== "");
  return {
    base: readBase(text(fields["routerUrl"]).trim()),
    scheme,
    secret,
    callbackSecrets: callbackSecrets.length > 0 ? callbackSecrets : [secret],
  };
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}

/** Secrets and customer text go there: only over TLS, but for a router on this very machine, as in tests. */
function readBase(written: string): string {
  let url: URL;
  try {
    url = new URL(written);
  } catch {
    throw new Fault("connection", "the connection's routerUrl is not a URL; it should be like https://router.example.com");
  }
  const secure = url.protocol === "https:" || (url.protocol === "http:" && LOOPBACK.has(url.hostname));
  if (!secure) throw new Fault("connection", "the connection's routerUrl must begin with https://");
  if (url.username !== "" || url.password !== "" || url.search !== "" || url.hash !== "") {
    throw new Fault("connection", "the connection's routerUrl must be a host and at most a path");
  }
  return `${url.origin}${url.pathname.replace(/\/+$/, "")}`;
}
