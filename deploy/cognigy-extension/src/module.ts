/** The Extension: two nodes, their ways on, and the connection. */

import { createExtension } from "@cognigy/extension-tools";

import { connectionSchema } from "./connection";
import { receiveChildren, routeChildren } from "./nodes/children";
import { receiveNode } from "./nodes/receive";
import { routeNode } from "./nodes/route";

export default createExtension({
  nodes: [routeNode, ...routeChildren, receiveNode, ...receiveChildren],
  connections: [connectionSchema],
  options: { label: "Fallback Router" },
});
