/** The node *Route fallback to LLM*: tells the router of a message that the bot did not understand. */

import { type INodeFunctionBaseParams, createNodeDescriptor } from "@cognigy/extension-tools";

import { type Connection, readConnection } from "../connection";
import { type Answer, ask, keyOf } from "../exchange";
import { Fault } from "../fault";
import { type Result, failed, leave, say } from "../leave";
import { type Outcome, readOutcome, rerouteText, wayOf } from "../outcome";
import { KEY, keep, readSession, withSeen } from "../session";
import { collectTurns, MOST_TURNS } from "../transcript";
import { candidatesOf, messageOf, triggerBody } from "../trigger";
import { identifier, record, resolved } from "../wellformed";
import { ROUTE, ROUTE_CHILDREN } from "./children";
import { isOn, names, profileName, waitSeconds } from "./fields";
import { routeFields, routeForm, routeSections } from "./route-form";

/** All of an asynchronous call, in milliseconds: the router says within 2 s whether it has the trigger. */
const SUBMIT_LIMIT_MS = 7_000;

/** All of a waiting call beyond its wait. With the longest wait it ends 2.5 s before Cognigy would end the node. */
const WAIT_MARGIN_MS = 2_500;

/** What the node's fields were resolved to. Which type a field has in the end is up to CognigyScript. */
interface RouteConfig {
  readonly connection?: unknown;
  readonly profile?: unknown;
  readonly mode?: unknown;
  readonly waitSeconds?: unknown;
  readonly sayAnswer?: unknown;
  readonly reroute?: unknown;
  readonly intents?: unknown;
  readonly sendCandidates?: unknown;
  readonly transcriptTurns?: unknown;
  readonly message?: unknown;
  readonly conversationId?: unknown;
  readonly contactId?: unknown;
  readonly caseId?: unknown;
  readonly metadata?: unknown;
  readonly deadlineSeconds?: unknown;
}

export const routeNode = createNodeDescriptor({
  type: ROUTE,
  defaultLabel: "Route fallback to LLM",
  summary: "Lets the fallback router decide about a message that was not understood",
  appearance: { color: "#5b4bb7", textColor: "#ffffff" },
  tags: ["service", "nlu"],
  dependencies: { children: Object.values(ROUTE_CHILDREN) },
  constraints: { placement: { children: { whitelist: Object.values(ROUTE_CHILDREN) } } },
  fields: routeFields,
  sections: routeSections,
  form: routeForm,
  function: route,
});

async function route(params: INodeFunctionBaseParams): Promise<void> {
  const { api } = params.cognigy;
  try {
    await decideWay(params, params.config as RouteConfig);
  } catch (thrown) {
    leave(params, ROUTE_CHILDREN.error, failed(api, "error", Fault.from(thrown)));
  }
}

async function decideWay(params: INodeFunctionBaseParams, config: RouteConfig): Promise<void> {
  const { input } = params.cognigy;
  // A flow without the other node at its top would ask about the router's own results, for ever and for money.
  if (record(input["data"])?.[KEY] !== undefined) {
    throw new Fault("would_loop", "this input is a result of the router: put Receive fallback result at the top of the flow");
  }
  const connection = readConnection(config.connection);
  const profile = profileName(config.profile);
  const answer = await submit(params, config, connection, profile);
  const outcome = answer.status === 200 ? readOutcome(answer.body) : undefined;
  if (outcome !== undefined) return finish(params, config, outcome);
  const triggerId = answer.body["triggerId"];
  if (answer.status === 200 || typeof triggerId !== "string") {
    throw new Fault("unexpected_answer", "the answer is not the router's", answer.status);
  }
  keep(params.cognigy.api, { ...readSession(params.cognigy.context), pending: { triggerId, profile, since: Date.now() } });
  leave(params, ROUTE_CHILDREN.queued, { result: "queued", triggerId });
}

async function submit(
  { cognigy: { api, input, context } }: INodeFunctionBaseParams,
  config: RouteConfig,
  connection: Connection,
  profile: string,
): Promise<Answer> {
  const waitS = config.mode === "wait" ? waitSeconds(config.waitSeconds) : 0;
  const turns = Number(resolved(config.transcriptTurns) || 10);
  const settings = { ...config, deadlineMs: deadlineMs(config.deadlineSeconds, waitS) };
  const message = messageOf(input, settings);
  const history = turns > 0 ? await collectTurns({ api, input, context }, message, Math.min(turns, MOST_TURNS)) : [];
  const candidates = isOn(config.sendCandidates, true) ? candidatesOf(input) : [];
  return ask(connection, {
    method: "POST",
    path: `/webhook/cognigy/fallback/${profile}`,
    body: triggerBody(input, settings, candidates, history),
    key: keyOf([profile, identifier(input["sessionId"]), identifier(input["inputId"])]),
    waitS,
    limitMs: waitS > 0 ? waitS * 1000 + WAIT_MARGIN_MS : SUBMIT_LIMIT_MS,
  });
}

/** Who waits wants the safe answer within that time rather than a better one after it. */
function deadlineMs(seconds: unknown, waitS: number): number | undefined {
  const wanted = Number(resolved(seconds));
  if (Number.isFinite(wanted) && wanted > 0) return Math.round(Math.min(Math.max(wanted, 1), 300) * 1000);
  return waitS > 0 ? waitS * 1000 : undefined;
}

/** The outcome is here. Should it be injected as well, the other node knows it as seen. */
function finish(params: INodeFunctionBaseParams, config: RouteConfig, outcome: Outcome): void {
  const { api, input, context } = params.cognigy;
  const intents = names(config.intents);
  const allowed = intents.length > 0 ? intents : candidatesOf(input).map(({ name }) => name);
  const cIntent = isOn(config.reroute, false) ? rerouteText(outcome, allowed, messageOf(input, config)) : undefined;
  const session = readSession(context);
  const repeated = session.seen.includes(outcome.triggerId);
  const way = wayOf(outcome, cIntent);
  const result: Result = { ...outcome, result: way, ...(cIntent === undefined ? {} : { cIntent }) };
  keep(api, withSeen(session, outcome.triggerId));
  if (way !== "rerouted" && way !== "ignored" && !repeated && isOn(config.sayAnswer, true)) say(api, outcome);
  // A newer message of the customer is on its way through the flow; for this one there is nothing left to do but wait.
  leave(params, way === "ignored" ? ROUTE_CHILDREN.queued : ROUTE_CHILDREN[way], result);
}
