/** The node *Receive fallback result*: stands at the top of the flow and takes what the router injects, or fetches it. */

import { type INodeDescriptor, type INodeFunctionBaseParams, createNodeDescriptor } from "@cognigy/extension-tools";

import { type Connection, readConnection } from "../connection";
import { ask } from "../exchange";
import { Fault } from "../fault";
import { checkInjected } from "../injected";
import { type Result, failed, leave, say } from "../leave";
import { type Outcome, readOutcome, rerouteText, wayOf } from "../outcome";
import { KEY, type Pending, type Session, keep, readSession, withSeen } from "../session";
import { record } from "../wellformed";
import { RECEIVE, RECEIVE_CHILDREN } from "./children";
import { connectionField, intentsField, isOn, names, rerouteField, sayField, waitField, waitSeconds } from "./fields";

/** A router keeps a result that nobody fetched for 10 minutes; afterwards there is nothing left to ask for. */
const KEPT_MS = 10 * 60_000;

/** The time of fetching beyond its wait. */
const FETCH_MARGIN_MS = 2_500;

interface ReceiveConfig {
  readonly connection?: unknown;
  readonly sayAnswer?: unknown;
  readonly fetch?: unknown;
  readonly waitSeconds?: unknown;
  readonly reroute?: unknown;
  readonly intents?: unknown;
}

const fetching = { key: "fetch", value: true };

const fields: NonNullable<INodeDescriptor["fields"]> = [
  connectionField,
  sayField,
  {
    key: "fetch",
    label: "Fetch a result that is not there yet",
    type: "toggle",
    defaultValue: false,
    description: "For channels into which nothing can be injected: the customer's next message asks the router for it.",
  },
  { ...waitField, condition: fetching },
  { ...rerouteField, condition: fetching },
  { ...intentsField, condition: { and: [fetching, { key: "reroute", value: true }] } },
];

export const receiveNode = createNodeDescriptor({
  type: RECEIVE,
  defaultLabel: "Receive fallback result",
  summary: "Takes the fallback router's result, checks its signature, and drops a repeat",
  appearance: { color: "#5b4bb7", textColor: "#ffffff" },
  tags: ["service", "nlu"],
  dependencies: { children: Object.values(RECEIVE_CHILDREN) },
  constraints: { placement: { children: { whitelist: Object.values(RECEIVE_CHILDREN) } } },
  fields,
  form: fields.map(({ key }) => ({ type: "field" as const, key })),
  function: receive,
});

async function receive(params: INodeFunctionBaseParams): Promise<void> {
  const { api, input, context } = params.cognigy;
  const config = params.config as ReceiveConfig;
  const injected = record(input["data"])?.[KEY];
  const session = readSession(context);
  try {
    if (injected !== undefined) return takeInjected(params, config, session, injected);
    if (session.pending === undefined || !isOn(config.fetch, false)) return none(params);
    await fetchPending(params, config, session, session.pending);
  } catch (thrown) {
    const fault = Fault.from(thrown);
    // What was injected and cannot be checked is not the router's word. What could not be fetched is still pending.
    const child = injected === undefined ? "pending" : "rejected";
    leave(params, RECEIVE_CHILDREN[child], failed(api, child, fault));
  }
}

/** Leaves the input as it is, so that the result of an earlier node of this turn stays readable. */
function none(params: INodeFunctionBaseParams): void {
  leave(params, RECEIVE_CHILDREN.none, { result: "none" });
}

function takeInjected(params: INodeFunctionBaseParams, config: ReceiveConfig, session: Session, injected: unknown): void {
  const { api, input } = params.cognigy;
  const verdict = checkInjected(readConnection(config.connection).callbackSecrets, input, injected, Date.now());
  if ("rejected" in verdict) {
    api.log?.("warn", `fallback router: a result was rejected: ${verdict.rejected}`);
    return leave(params, RECEIVE_CHILDREN.rejected, {
      result: "rejected",
      fault: { code: verdict.rejected, message: "this is not a result of the router" },
    });
  }
  const cIntent = verdict.text.startsWith("cIntent:") ? verdict.text : undefined;
  finish(params, config, session, verdict.outcome, cIntent);
}

async function fetchPending(
  params: INodeFunctionBaseParams,
  config: ReceiveConfig,
  session: Session,
  pending: Pending,
): Promise<void> {
  const { api, input } = params.cognigy;
  const age = Date.now() - pending.since;
  const body = await poll(readConnection(config.connection), pending, waitSeconds(config.waitSeconds));
  const outcome = body["status"] === "done" ? readOutcome(body["outcome"]) : undefined;
  if (outcome !== undefined) {
    const cIntent = isOn(config.reroute, false) ? rerouteText(outcome, names(config.intents), String(input["text"] ?? "")) : undefined;
    return finish(params, config, session, outcome, cIntent);
  }
  if (age < KEPT_MS) return leave(params, RECEIVE_CHILDREN.pending, { result: "pending", triggerId: pending.triggerId });
  keep(api, { seen: session.seen });
  none(params);
}

async function poll(connection: Connection, pending: Pending, waitS: number): Promise<Readonly<Record<string, unknown>>> {
  const path = `/v1/triggers/${encodeURIComponent(pending.profile)}/${encodeURIComponent(pending.triggerId)}`;
  const limitMs = waitS * 1000 + FETCH_MARGIN_MS;
  return (await ask(connection, { method: "GET", path, key: pending.triggerId, waitS, limitMs })).body;
}

function finish(
  params: INodeFunctionBaseParams,
  config: ReceiveConfig,
  session: Session,
  outcome: Outcome,
  cIntent: string | undefined,
): void {
  const { api } = params.cognigy;
  if (session.seen.includes(outcome.triggerId)) {
    return leave(params, RECEIVE_CHILDREN.ignored, { result: "ignored", triggerId: outcome.triggerId, status: outcome.status });
  }
  const way = wayOf(outcome, cIntent);
  const result: Result = { ...outcome, result: way, ...(cIntent === undefined ? {} : { cIntent }) };
  // Kept before anything is said: better a result that was not shown than one shown twice.
  keep(api, withSeen(session, outcome.triggerId));
  if ((way === "answered" || way === "handover") && isOn(config.sayAnswer, true)) say(api, outcome);
  leave(params, RECEIVE_CHILDREN[way], result);
}
