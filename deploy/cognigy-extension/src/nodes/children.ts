/** The small nodes under ours: the ways on. */

import { type INodeDescriptor, createNodeDescriptor } from "@cognigy/extension-tools";

/** What kind of way it is, by colour. */
const COLOURS = { good: "#d4f4dd", waiting: "#fdf1cc", human: "#dbe7fb", bad: "#fcd4d4", other: "#eceff1" } as const;

interface Child {
  readonly type: string;
  readonly label: string;
  readonly summary: string;
  readonly kind: keyof typeof COLOURS;
}

/** Types are unique in a whole Cognigy installation, so each says whose it is. */
export const ROUTE = "fallbackRouterRoute";
export const RECEIVE = "fallbackRouterReceive";

export const ROUTE_CHILDREN = {
  queued: "fallbackRouterOnQueued",
  answered: "fallbackRouterOnAnswered",
  rerouted: "fallbackRouterOnRerouted",
  handover: "fallbackRouterOnHandover",
  error: "fallbackRouterOnError",
} as const;

export const RECEIVE_CHILDREN = {
  answered: "fallbackRouterOnResultAnswered",
  rerouted: "fallbackRouterOnResultRerouted",
  handover: "fallbackRouterOnResultHandover",
  pending: "fallbackRouterOnResultPending",
  ignored: "fallbackRouterOnResultIgnored",
  rejected: "fallbackRouterOnResultRejected",
  none: "fallbackRouterOnNoResult",
} as const;

const ROUTE_WAYS: readonly Child[] = [
  { type: ROUTE_CHILDREN.queued, label: "On Queued", summary: "The router has it; the answer comes later", kind: "waiting" },
  { type: ROUTE_CHILDREN.answered, label: "On Answered", summary: "There is an answer to say", kind: "good" },
  { type: ROUTE_CHILDREN.rerouted, label: "On Rerouted", summary: "It is an intent of this bot", kind: "good" },
  { type: ROUTE_CHILDREN.handover, label: "On Handover", summary: "A human shall take over", kind: "human" },
  { type: ROUTE_CHILDREN.error, label: "On Error", summary: "The router does not have it", kind: "bad" },
];

const RECEIVE_WAYS: readonly Child[] = [
  { type: RECEIVE_CHILDREN.answered, label: "On Answered", summary: "There is an answer to say", kind: "good" },
  { type: RECEIVE_CHILDREN.rerouted, label: "On Rerouted", summary: "It is an intent of this bot", kind: "good" },
  { type: RECEIVE_CHILDREN.handover, label: "On Handover", summary: "A human shall take over", kind: "human" },
  { type: RECEIVE_CHILDREN.pending, label: "On Pending", summary: "The answer is not there yet", kind: "waiting" },
  { type: RECEIVE_CHILDREN.ignored, label: "On Ignored", summary: "Shown before, or no longer wanted", kind: "other" },
  { type: RECEIVE_CHILDREN.rejected, label: "On Rejected", summary: "Not from the router", kind: "bad" },
  { type: RECEIVE_CHILDREN.none, label: "On Customer Message", summary: "No result: an ordinary turn", kind: "other" },
];

function describe(parentType: string, { type, label, summary, kind }: Child): INodeDescriptor {
  return createNodeDescriptor({
    type,
    parentType,
    defaultLabel: label,
    summary,
    appearance: { color: COLOURS[kind], textColor: "#000000", variant: "mini" },
    constraints: {
      editable: false,
      deletable: false,
      creatable: false,
      movable: false,
      placement: { predecessor: { whitelist: [] } },
    },
  });
}

export const routeChildren = ROUTE_WAYS.map((child) => describe(ROUTE, child));
export const receiveChildren = RECEIVE_WAYS.map((child) => describe(RECEIVE, child));
