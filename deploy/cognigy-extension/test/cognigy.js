// A Cognigy that runs one node: the API as far as the nodes use it, with Cognigy's own limits.
"use strict";

const { join } = require("node:path");

// The end-to-end test names an unpacked package here.
const root = process.env.EXTENSION ?? join(__dirname, "..");
const extension = require(join(root, "build/module.js")).default;

/** Cognigy's limits: calls of one run (the log is free), and bytes of one argument. */
const MOST_CALLS = 10;
const LARGEST_ARGUMENT = 62_000;

/** One conversation: its context outlasts the turns. */
class Conversation {
  constructor(connection, ids = {}) {
    this.connection = connection;
    this.ids = { userId: "user-42", sessionId: "session-7", URLToken: "t".repeat(64), ...ids };
    this.context = {};
    this.turns = 0;
  }

  /** Runs a node for an input; gives what was said, logged and stored, and the type of the child it went to. */
  async run(type, config, input, extra = {}) {
    const node = extension.nodes.find((one) => one.type === type);
    const childConfigs = node.dependencies.children.map((child) => ({ id: `id-of-${child}`, type: child, config: {} }));
    const turn = { said: [], logs: [], calls: 0, next: [], input: this.input(input) };
    await node.function({
      cognigy: { api: this.api(turn, extra), input: turn.input, context: this.context, profile: {} },
      config: { connection: this.connection, ...defaults(node), ...config },
      childConfigs: extra.childConfigs ?? childConfigs,
      nodeId: "node",
    });
    turn.child = turn.next.at(-1)?.replace("id-of-", "");
    turn.result = turn.input.fallbackRouter;
    return turn;
  }

  input(changes) {
    this.turns += 1;
    const nothing = { intent: null, intentScore: null, nlu: { intentMapperResults: { scores: [] } }, data: {} };
    return { ...nothing, ...this.ids, inputId: `input-${this.turns}`, channel: "webchat3", language: "en-US", ...changes };
  }

  api(turn, { transcript, newer = true }) {
    const counted = (call) => (...given) => {
      turn.calls += 1;
      if (turn.calls > MOST_CALLS) throw new Error("more than 10 API calls");
      if (Buffer.byteLength(JSON.stringify(given)) > LARGEST_ARGUMENT) throw new Error("an argument over 62 kB");
      return call(...given);
    };
    const api = {
      log: (level, text) => turn.logs.push(`${level} ${text}`),
      say: counted((text) => turn.said.push(text)),
      addToContext: counted((key, value, mode) => {
        if (mode !== "simple") throw new Error(`mode ${mode}`);
        this.context[key] = structuredClone(value);
      }),
      setNextNode: counted((id) => turn.next.push(id)),
    };
    if (!newer) return api;
    return {
      ...api,
      addToInput: counted((key, value) => (turn.input[key] = structuredClone(value))),
      getConversationTranscript: counted(transcript ?? (() => [])),
    };
  }
}

/** What the form would fill in; CognigyScript is resolved by Cognigy before a node runs, here by leaving it out. */
function defaults(node) {
  const given = node.fields.filter(({ defaultValue }) => defaultValue !== undefined && !String(defaultValue).includes("{{"));
  return Object.fromEntries(given.map(({ key, defaultValue }) => [key, defaultValue]));
}

const ROUTE = "fallbackRouterRoute";
const RECEIVE = "fallbackRouterReceive";

module.exports = { Conversation, extension, ROUTE, RECEIVE, root };
