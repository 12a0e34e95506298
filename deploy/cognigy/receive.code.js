// A Code node for flows without the Extension: reads what the router injected (or what an HTTP Request node got of it), and
// leaves in context.fallback which way to go on. It stands under an If node on input.data.fallbackRouter.
//
// A Code node has no crypto: it cannot check the signature. Put transformer.js on the Endpoint, or anyone who can send data
// into the conversation, the customer included, can make the bot say anything.

const injected = input.data && input.data.fallbackRouter;
const held = input.httprequest && input.httprequest.result;

function outcomeOf() {
  try {
    if (injected) return JSON.parse(injected.payload);
    // 200 of a held request is the outcome itself; the answer to a poll has it in a field.
    return held && held.status === "done" ? held.outcome : held;
  } catch (error) {
    return null;
  }
}

function wayOf(outcome, seen) {
  if (!outcome || !outcome.triggerId || outcome.status === "superseded") return "ignored";
  if (outcome.status === "accepted" || outcome.status === "running" || outcome.status === "unknown") return "pending";
  if (seen.includes(outcome.triggerId)) return "ignored";
  if (outcome.status !== "success" || (outcome.routing_decision || {}).requires_human_agent !== false) return "handover";
  return injected && String(input.text || "").startsWith("cIntent:") ? "rerouted" : "answered";
}

const earlier = context.fallback && Array.isArray(context.fallback.seen) ? context.fallback.seen : [];
const outcome = outcomeOf();
const way = wayOf(outcome, earlier);
const decision = (outcome && outcome.routing_decision) || {};
const shown = way === "ignored" || way === "pending" ? [] : [outcome.triggerId];

api.addToContext(
  "fallback",
  {
    way,
    triggerId: (outcome && outcome.triggerId) || "",
    answer: decision.suggested_response || (outcome && outcome.suggested_response) || "",
    intent: decision.classified_intent || "",
    parameters: decision.extracted_parameters || {},
    seen: [...earlier, ...shown].slice(-20),
  },
  "simple",
);
