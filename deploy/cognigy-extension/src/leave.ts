/** Leaving a node: what the flow can read afterwards, what is said, and through which child it goes on. */

import type { INodeFunctionBaseParams } from "@cognigy/extension-tools";

import type { Api } from "./api";
import type { Fault } from "./fault";
import type { Outcome } from "./outcome";
import { KEY } from "./session";

/** Bytes of one argument of Cognigy's API, with a margin under its 62 kB. */
const LARGEST_ARGUMENT = 60_000;

/** What stands in `input.fallbackRouter` after a node. */
export interface Result extends Partial<Omit<Outcome, "triggerId">> {
  /** The child that was taken. */
  readonly result: string;
  readonly triggerId?: string;
  /** For a *Think* node: makes Cognigy run the intent. */
  readonly cIntent?: string;
  /** What went wrong, in words of ours. */
  readonly fault?: { readonly code: string; readonly message: string; readonly status?: number };
}

/** Stores the result and goes on with the child of this type. Two API calls. */
export function leave(params: INodeFunctionBaseParams, child: string, result: Result): void {
  const api: Api = params.cognigy.api;
  api.addToInput?.(KEY, fitting(result));
  const next = params.childConfigs.find(({ type }) => type === child);
  if (next === undefined) {
    api.log?.("error", `fallback router: the node has no child ${child}; delete it and put it in anew`);
    return;
  }
  api.setNextNode?.(next.id);
}

/** Says the answer, where there is one. One API call. */
export function say(api: Api, outcome: Outcome): void {
  if (outcome.answer !== "") api.say?.(outcome.answer);
}

/** The result of a failure, which is also logged: codes and sentences of ours, never anything that was said. */
export function failed(api: Api, result: string, fault: Fault): Result {
  api.log?.("error", `fallback router: ${fault.code}: ${fault.message}`);
  const status = fault.status === undefined ? {} : { status: fault.status };
  return { result, fault: { code: fault.code, message: fault.message, ...status } };
}

/** What was echoed or extracted gives way before Cognigy refuses all of it. */
function fitting(result: Result): Result {
  const { metadata, parameters, ...core } = result;
  const candidates: Result[] = [result, { ...core, ...(parameters === undefined ? {} : { parameters }) }, core];
  return candidates.find((one) => Buffer.byteLength(JSON.stringify(one)) <= LARGEST_ARGUMENT) ?? { result: result.result };
}
