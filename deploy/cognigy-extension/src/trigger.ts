/** The trigger: what the router is told of a message that the bot did not understand. */

import { Fault } from "./fault";
import type { Turn } from "./transcript";
import { bounded, identifier, record, resolved } from "./wellformed";

/** The router's limits, and Cognigy's own for the text of one input. */
const LONGEST_MESSAGE = 10_000;
const MOST_CANDIDATES = 50;
const LONGEST_DESCRIPTION = 500;
const LARGEST_METADATA = 32 * 1024;

/** Bytes of a body; the router takes 64 KiB unless told otherwise. */
const LARGEST_BODY = 60 * 1024;

/** In Cognigy's test chat CXone's contact id is this number: there is no such contact. */
const PLACEHOLDER_CONTACT = "100000000000";

/** An intent that the bot's own NLU had considered. */
export interface Candidate {
  readonly name: string;
  readonly score: number;
  readonly description?: string;
}

/** What the node's fields say, after CognigyScript. */
export interface TriggerSettings {
  readonly message?: unknown;
  readonly conversationId?: unknown;
  readonly contactId?: unknown;
  readonly caseId?: unknown;
  readonly metadata?: unknown;
  readonly deadlineMs?: number | undefined;
}

type Input = Readonly<Record<string, unknown>>;

/**
 * The body of the request, at most 60 KiB: history gives way from its oldest turn on.
 *
 * @throws {Fault} `settings` without any id of the conversation, `too_large` when even no history is not enough.
 */
export function triggerBody(input: Input, settings: TriggerSettings, candidates: readonly Candidate[], turns: readonly Turn[]): string {
  const fields = ownFields(input, settings, candidates);
  let history = turns;
  for (;;) {
    const body = JSON.stringify({ ...fields, ...(history.length > 0 ? { history } : {}) });
    if (Buffer.byteLength(body) <= LARGEST_BODY) return body;
    if (history.length === 0) throw new Fault("too_large", "the trigger has more than 60 KiB: send less metadata");
    history = history.slice(1);
  }
}

/** The message that the bot did not understand. */
export function messageOf(input: Input, settings: TriggerSettings): string {
  const chosen = resolved(settings.message);
  return bounded(chosen !== "" ? chosen : String(input["text"] ?? ""), LONGEST_MESSAGE);
}

/** The intents that the NLU had considered, the best first; negated ones were ruled out by the builder. */
export function candidatesOf(input: Input): Candidate[] {
  const nlu = record(input["nlu"]) ?? input;
  const scores = record(nlu["intentMapperResults"])?.["scores"];
  const all = (Array.isArray(scores) ? scores : []).map(candidate).filter((one): one is Candidate => one !== undefined);
  return all.sort((one, other) => other.score - one.score).slice(0, MOST_CANDIDATES);
}

function candidate(value: unknown): Candidate | undefined {
  const entry = record(value);
  const name = identifier(entry?.["name"]);
  const score = Number(entry?.["score"]);
  if (entry === undefined || name === undefined || !Number.isFinite(score) || entry["negated"] === true) return undefined;
  const description = typeof entry["description"] === "string" ? bounded(entry["description"].trim(), LONGEST_DESCRIPTION) : "";
  return { name, score, ...(description !== "" ? { description } : {}) };
}

/** Everything but the history. What is absent stays absent: the router tells blank from missing nowhere. */
function ownFields(input: Input, settings: TriggerSettings, candidates: readonly Candidate[]): Record<string, unknown> {
  const sessionId = identifier(input["sessionId"]);
  const conversationId = identifier(resolved(settings.conversationId)) ?? sessionId;
  const userId = identifier(input["userId"]) ?? sessionId;
  if (conversationId === undefined || userId === undefined) {
    throw new Fault("settings", "the input has no sessionId, and the node no conversation id");
  }
  return defined({
    conversationId,
    userId,
    lastMessage: messageOf(input, settings),
    confidenceScore: score(input["intentScore"]),
    detectedIntent: identifier(input["intent"]),
    metadata: metadata(settings.metadata),
    sessionId,
    urlToken: identifier(input["URLToken"]),
    channel: identifier(input["channel"]),
    endpointType: identifier(input["endpointType"]),
    inputId: identifier(input["inputId"]),
    language: language(input["language"]),
    candidates: candidates.length > 0 ? candidates : undefined,
    contact: contact(settings),
    deadlineMs: settings.deadlineMs,
  });
}

function defined(fields: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}

/** Null on a miss, and where Cognigy gives something that is no score. */
function score(value: unknown): number | null {
  return typeof value === "number" && value >= 0 && value <= 1 ? value : null;
}

/** A tag of BCP 47 as the router checks it: an odd one costs the language, not the trigger. */
function language(value: unknown): string | undefined {
  return typeof value === "string" && value.length <= 35 && /^[a-z][a-z0-9]{0,7}(-[a-z0-9]{1,8})*$/i.test(value)
    ? value
    : undefined;
}

function contact(settings: TriggerSettings): Record<string, string> | undefined {
  const contactId = identifier(resolved(settings.contactId));
  const caseId = identifier(resolved(settings.caseId));
  if (contactId === PLACEHOLDER_CONTACT || (contactId === undefined && caseId === undefined)) return undefined;
  return defined({ contactId, caseId }) as Record<string, string>;
}

/** An object, or one written as JSON. */
function metadata(value: unknown): Record<string, unknown> | undefined {
  let found = value;
  if (typeof value === "string" && value.trim() !== "") {
    try {
      found = JSON.parse(value);
    } catch {
      throw new Fault("settings", "the node's metadata is not JSON");
    }
  }
  const object = record(found);
  if (object === undefined || Object.keys(object).length === 0) return undefined;
  const json = JSON.stringify(object, (_, field: unknown) => (typeof field === "string" ? bounded(field, Infinity) : field));
  if (Buffer.byteLength(json) > LARGEST_METADATA) {
    throw new Fault("settings", `the node's metadata has more than ${LARGEST_METADATA} bytes`);
  }
  return JSON.parse(json) as Record<string, unknown>;
}

/** What makes a repeat of this request the same trigger, where the body names no `inputId`. */
export function hasOwnKey(input: Input): boolean {
  return identifier(input["inputId"]) !== undefined;
}
