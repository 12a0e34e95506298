/** The conversation so far, in the router's form, from wherever this Cognigy has it. */

import type { Api } from "./api";
import { bounded, record } from "./wellformed";

/** One turn. */
export interface Turn {
  readonly role: "user" | "assistant" | "agent";
  readonly text: string;
  readonly timestamp?: string | number;
}

/** The router's limit for `history`. */
export const MOST_TURNS = 50;

/** Characters kept of one turn. What matters of a longer one stands at its beginning. */
const LONGEST_TURN = 2_000;

const ROLES: Readonly<Record<string, Turn["role"]>> = {
  user: "user",
  bot: "assistant",
  assistant: "assistant",
  agent: "agent",
};

/** Where turns may be found. */
export interface Sources {
  readonly api: Api;
  readonly input: Readonly<Record<string, unknown>>;
  readonly context: Readonly<Record<string, unknown>>;
}

/**
 * The newest `most` turns, oldest first, without the message that the trigger is about. What the *Get Transcript* node
 * stored comes first, then Cognigy's own function (one API call). No transcript is no failure: there is just none.
 */
export async function collectTurns(sources: Sources, message: string, most: number): Promise<Turn[]> {
  const stored = [sources.input["transcript"], sources.context["transcript"]].map(entries).find((all) => all.length > 0);
  const turns = (stored ?? (await asked(sources.api, most))).map(turn).filter((one): one is Turn => one !== undefined);
  const last = turns[turns.length - 1];
  const earlier = last?.role === "user" && last.text === bounded(message, LONGEST_TURN) ? turns.slice(0, -1) : turns;
  return most > 0 ? earlier.slice(-Math.min(most, MOST_TURNS)) : [];
}

async function asked(api: Api, most: number): Promise<unknown[]> {
  if (typeof api.getConversationTranscript !== "function") return [];
  try {
    return entries(await api.getConversationTranscript("json", { turnLimit: Math.min(most, MOST_TURNS) + 1 }));
  } catch {
    return [];
  }
}

/** A list, or a list written as JSON. */
function entries(value: unknown): unknown[] {
  if (Array.isArray(value)) return value;
  if (typeof value !== "string") return [];
  try {
    const parsed: unknown = JSON.parse(value);
    return Array.isArray(parsed) ? parsed : [];
  } catch {
    return [];
  }
}

/** `{source, text}` of the function and of Code nodes, or `{role, payload: {text}, timestamp}` of *Get Transcript*. */
function turn(value: unknown): Turn | undefined {
  const entry = record(value);
  if (entry === undefined) return undefined;
  const role = ROLES[String(entry["role"] ?? entry["source"] ?? "").toLowerCase()];
  const words = entry["text"] ?? record(entry["payload"])?.["text"];
  if (role === undefined || typeof words !== "string" || words.trim() === "") return undefined;
  const timestamp = entry["timestamp"];
  const dated = typeof timestamp === "number" ? Number.isFinite(timestamp) : typeof timestamp === "string";
  return { role, text: bounded(words, LONGEST_TURN), ...(dated ? { timestamp: timestamp as string | number } : {}) };
}
