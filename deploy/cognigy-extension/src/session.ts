/** What must outlast a turn: which results this session has seen, and which one it waits for. Ids only, no text. */

import type { Api } from "./api";
import { record } from "./wellformed";

/** Key in Cognigy's context, and of what the nodes leave in the input. */
export const KEY = "fallbackRouter";

/** Results remembered; the router repeats one within minutes, not after twenty others. */
const MOST_SEEN = 20;

/** A trigger whose result has not come yet. */
export interface Pending {
  readonly triggerId: string;
  readonly profile: string;
  /** Unix milliseconds. */
  readonly since: number;
}

/** The state of one session. */
export interface Session {
  readonly seen: readonly string[];
  readonly pending?: Pending;
}

export function readSession(context: Readonly<Record<string, unknown>>): Session {
  const stored = record(context[KEY]);
  const seen = Array.isArray(stored?.["seen"]) ? stored["seen"].filter((id): id is string => typeof id === "string") : [];
  const pending = record(stored?.["pending"]);
  const { triggerId, profile, since } = pending ?? {};
  const whole = typeof triggerId === "string" && typeof profile === "string" && typeof since === "number";
  return { seen, ...(whole ? { pending: { triggerId, profile, since } } : {}) };
}

/** The session once the result of a trigger was seen. */
export function withSeen(session: Session, triggerId: string): Session {
  const seen = [...session.seen.filter((id) => id !== triggerId), triggerId].slice(-MOST_SEEN);
  return session.pending === undefined || session.pending.triggerId === triggerId ? { seen } : { ...session, seen };
}

/** Keeps it. One API call. */
export function keep(api: Api, session: Session): void {
  api.addToContext?.(KEY, session, "simple");
}
