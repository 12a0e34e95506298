/** Fields that both nodes have, and reading what they were set to. */

import type { INodeDescriptor } from "@cognigy/extension-tools";

import { Fault } from "../fault";
import { resolved } from "../wellformed";

type Field = NonNullable<INodeDescriptor["fields"]>[number];

export const connectionField: Field = {
  key: "connection",
  label: "Connection",
  type: "connection",
  description: "Where the router is, and the secrets that it shares with this bot.",
  params: { connectionType: "fallbackRouter", required: true },
};

export const profileField: Field = {
  key: "profile",
  label: "Profile",
  type: "cognigyText",
  defaultValue: "default",
  description: "The router's profile for this bot.",
};

export const sayField: Field = {
  key: "sayAnswer",
  label: "Say the answer",
  type: "toggle",
  defaultValue: true,
  description: "Says the suggested answer before the flow goes on. Not where the flow goes on with one of its own intents.",
};

export const rerouteField: Field = {
  key: "reroute",
  label: "Go on with an intent of this bot",
  type: "toggle",
  defaultValue: false,
  description: "Takes On Rerouted where the router decided for one of the intents below. A Think node there runs it.",
};

export const intentsField: Field = {
  key: "intents",
  label: "Intents it may go on with",
  type: "textArray",
  defaultValue: [],
  description: "Names as in Cognigy. None: those that the NLU had considered for this message.",
  condition: { key: "reroute", value: true },
};

/** The longest that a node waits, in seconds: Cognigy ends an Extension's node at 20. */
export const LONGEST_WAIT_S = 15;

export const waitField: Field = {
  key: "waitSeconds",
  label: "Seconds to wait",
  type: "slider",
  defaultValue: 12,
  description: "Cognigy ends this node after 20 seconds.",
  params: { min: 1, max: LONGEST_WAIT_S, step: 1 },
};

/** Seconds to wait, within what Cognigy leaves time for. */
export function waitSeconds(value: unknown): number {
  const seconds = Number(resolved(value) || 12);
  return Number.isFinite(seconds) ? Math.min(Math.max(Math.floor(seconds), 1), LONGEST_WAIT_S) : 12;
}

/** A profile's name as it stands in a path. */
export function profileName(value: unknown): string {
  const name = resolved(value) || "default";
  if (!/^[A-Za-z0-9_-]{1,64}$/.test(name)) {
    throw new Fault("settings", "the node's profile must consist of letters, digits, - and _");
  }
  return name;
}

/** The names of a list field. */
export function names(value: unknown): string[] {
  return (Array.isArray(value) ? value : []).map(resolved).filter((name) => name !== "");
}

/** A toggle, also one that CognigyScript made a word of. */
export function isOn(value: unknown, otherwise: boolean): boolean {
  return value === undefined || value === null || value === "" ? otherwise : value === true || value === "true";
}
