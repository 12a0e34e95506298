/** The form of the node *Route fallback to LLM*. */

import type { INodeDescriptor } from "@cognigy/extension-tools";

import { connectionField, intentsField, profileField, rerouteField, sayField, waitField } from "./fields";

const waiting = { key: "mode", value: "wait" };

export const routeFields: NonNullable<INodeDescriptor["fields"]> = [
  connectionField,
  profileField,
  {
    key: "mode",
    label: "When the answer comes",
    type: "select",
    defaultValue: "later",
    description: "Later: the router injects it into the session. Wait: in this turn, for channels into which nothing can be injected.",
    params: {
      required: true,
      options: [
        { label: "Later, as an injected result", value: "later" },
        { label: "Wait for it in this turn", value: "wait" },
      ],
    },
  },
  { ...waitField, condition: waiting },
  { ...sayField, condition: waiting },
  { ...rerouteField, condition: waiting },
  { ...intentsField, condition: { and: [waiting, { key: "reroute", value: true }] } },
  {
    key: "message",
    label: "Message",
    type: "cognigyText",
    defaultValue: "{{input.text}}",
    description: "What the customer wrote.",
  },
  {
    key: "conversationId",
    label: "Conversation id",
    type: "cognigyText",
    defaultValue: "{{input.sessionId}}",
    description: "What the router's history provider looks the conversation up by.",
  },
  {
    key: "contactId",
    label: "CXone contact id",
    type: "cognigyText",
    defaultValue: "{{context.data.contactId}}",
    description: "Where CXone's Context Init node left it. The test chat's placeholder is not sent.",
  },
  {
    key: "caseId",
    label: "CXone digital case id",
    type: "cognigyText",
    defaultValue: "",
    description: "For the router's history of digital channels.",
  },
  {
    key: "transcriptTurns",
    label: "Turns of transcript to send",
    type: "slider",
    defaultValue: 10,
    description: "0: none, the router fetches the history itself.",
    params: { min: 0, max: 50, step: 1 },
  },
  {
    key: "sendCandidates",
    label: "Send the intents that the NLU considered",
    type: "toggle",
    defaultValue: true,
  },
  {
    key: "metadata",
    label: "Metadata",
    type: "json",
    defaultValue: "{}",
    description: "An object that the prompt may use and the outcome brings back. At most 32 KiB.",
  },
  {
    key: "deadlineSeconds",
    label: "Deadline in seconds",
    type: "cognigyText",
    defaultValue: "",
    description: "Then the safe answer leaves. Blank: the profile's, or the seconds to wait.",
  },
];

export const routeSections: NonNullable<INodeDescriptor["sections"]> = [
  {
    key: "content",
    label: "What is sent",
    defaultCollapsed: true,
    fields: ["message", "conversationId", "contactId", "caseId", "transcriptTurns", "sendCandidates", "metadata", "deadlineSeconds"],
  },
];

export const routeForm: NonNullable<INodeDescriptor["form"]> = [
  ...["connection", "profile", "mode", "waitSeconds", "sayAnswer", "reroute", "intents"].map((key) => ({
    type: "field" as const,
    key,
  })),
  { type: "section", key: "content" },
];
