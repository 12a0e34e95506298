/** Cognigy's API as the nodes use it. */

import type { INodeFunctionBaseParams } from "@cognigy/extension-tools";

/** What newer versions of Cognigy have and the typings of extension-tools 0.14 lack. */
interface Newer {
  addToInput?: (key: string, value: unknown) => void;
  getConversationTranscript?: (format: "json", options: { turnLimit: number }) => unknown;
}

/** Each function may be missing in one version or another. At most 10 calls for each run of a node; `log` is free. */
export type Api = INodeFunctionBaseParams["cognigy"]["api"] & Newer;
