/** What the router decided, and which way of the flow that means. */

import { record } from "./wellformed";

/** The router's outcome, as far as a flow needs it. */
export interface Outcome {
  readonly triggerId: string;
  /** `success`, or why there is only the safe answer. */
  readonly status: string;
  readonly intent?: string;
  readonly confidence?: number;
  readonly parameters?: Readonly<Record<string, unknown>>;
  /** What to say: the model's suggestion, or the safe answer in the trigger's language. */
  readonly answer: string;
  readonly requiresHuman: boolean;
  /** Why there is only the safe answer. */
  readonly error?: string;
  /** True when it came after its deadline. */
  readonly late: boolean;
  /** The metadata that the trigger carried. */
  readonly metadata: Readonly<Record<string, unknown>>;
}

/** Reads an outcome; nothing if it is none. */
export function readOutcome(value: unknown): Outcome | undefined {
  const outcome = record(value);
  const triggerId = outcome?.["triggerId"];
  const status = outcome?.["status"];
  if (outcome === undefined || typeof triggerId !== "string" || typeof status !== "string") return undefined;
  const rest = {
    triggerId,
    status,
    late: record(outcome["meta"])?.["late"] === true,
    metadata: record(outcome["metadata"]) ?? {},
  };
  return status === "success" ? decided(rest, record(outcome["routing_decision"])) : safe(rest, outcome);
}

type Rest = Pick<Outcome, "triggerId" | "status" | "late" | "metadata">;

function decided(rest: Rest, decision: Record<string, unknown> | undefined): Outcome | undefined {
  const intent = decision?.["classified_intent"];
  const answer = decision?.["suggested_response"];
  const requiresHuman = decision?.["requires_human_agent"];
  if (decision === undefined || typeof intent !== "string" || typeof answer !== "string") return undefined;
  const confidence = decision["confidence"];
  return {
    ...rest,
    intent,
    answer,
    // A decision that does not say so is not the router's; a human is the safe reading.
    requiresHuman: requiresHuman !== false,
    parameters: record(decision["extracted_parameters"]) ?? {},
    ...(typeof confidence === "number" ? { confidence } : {}),
  };
}

function safe(rest: Rest, outcome: Record<string, unknown>): Outcome {
  const { error, suggested_response: answer } = outcome;
  return {
    ...rest,
    requiresHuman: true,
    answer: typeof answer === "string" ? answer : "",
    ...(typeof error === "string" ? { error } : {}),
  };
}

/** The ways out of a node that an outcome can take. */
export type Way = "answered" | "rerouted" | "handover" | "ignored";

/**
 * The way for an outcome. The customer wrote again before a `superseded` one was decided: the newer message gets its own.
 *
 * @param reroute the text that makes Cognigy run an intent, where the outcome names one that it may run.
 */
export function wayOf(outcome: Outcome, reroute: string | undefined): Way {
  if (outcome.status === "superseded") return "ignored";
  if (outcome.requiresHuman) return "handover";
  return reroute === undefined ? "answered" : "rerouted";
}

/**
 * `cIntent:<name>|<text>`: Cognigy's own way to force an intent, if the outcome's is one of `intents`. Those are Cognigy's
 * names, and one of them is used as it is written there.
 */
export function rerouteText(outcome: Outcome, intents: readonly string[], text: string): string | undefined {
  if (outcome.requiresHuman || outcome.intent === undefined) return undefined;
  const wanted = outcome.intent.toLowerCase();
  const name = intents.find((intent) => intent.toLowerCase() === wanted);
  return name === undefined || /[|\n]/.test(name) ? undefined : `cIntent:${name}|${text}`;
}
