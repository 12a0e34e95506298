// Transformer for a Cognigy Endpoint: lets only results through that the fallback router has signed for this session,
// and stops everything else that comes to /inject and /notify, so that whoever learns the URL token can say nothing. What
// looks like a result in a customer's own message is taken out.
//
// Paste it under Endpoint > Transformer Functions; switch on the transformers for input, inject and notify there. This is
// for Webchat and Socket Endpoints. For a Webhook Endpoint write createWebhookTransformer in the last lines instead, for
// Voice Gateway and others the function that the editor suggests. Where the editor already holds a transformer, copy the
// handlers into it. `crypto` and `Buffer` are Cognigy's own here: nothing is imported.

// The router's callback.secrets, the current one first, and during a rotation the old one, too. Anyone who may edit this
// Endpoint can read them: give the callbacks a secret of their own, not that of the webhook.
const SECRETS = ["put the callback secret here"];

// How far the time of a result may be from now, in seconds.
const TOLERANCE_S = 300;

const isText = (value) => typeof value === "string";

// The signed bytes: one field in a line. Only the text may hold line breaks, or they could move between the fields.
function signedBytes({ userId, sessionId, text }, { ts, triggerId, payload }) {
  const oneLine = [triggerId, userId, sessionId, payload];
  if (!Number.isSafeInteger(ts) || ![...oneLine, text].every(isText)) return null;
  return oneLine.some((field) => field.includes("\n")) ? null : [ts, triggerId, userId, sessionId, text, payload].join("\n");
}

function isGenuine(body) {
  const result = body && body.data && body.data.fallbackRouter;
  if (!result || result.v !== 1 || !isText(result.sig) || !/^[0-9a-fA-F]{64}$/.test(result.sig)) return false;
  const bytes = signedBytes(body, result);
  if (bytes === null || !(Math.abs(Date.now() / 1000 - result.ts) <= TOLERANCE_S)) return false;
  const given = Buffer.from(result.sig, "hex");
  return SECRETS.some((secret) => {
    const own = crypto.createHmac("sha256", secret).update(bytes, "utf8").digest();
    return crypto.timingSafeEqual(own, given);
  });
}

// Returning null ends the request; what is refused is not logged, for it may be anything.
async function admit({ request, response }) {
  if (!isGenuine(request.body)) {
    response.status(401).send("not a result of the fallback router");
    return null;
  }
  const { userId, sessionId, text, data } = request.body;
  return { userId, sessionId, text, data };
}

// A customer's message: a socket hands it over as payload, a webhook as the request's body.
async function withoutResult({ payload, request }) {
  const { userId, sessionId, text, data } = payload || request.body;
  const { fallbackRouter, ...own } = data || {};
  return { userId, sessionId, text, data: own };
}

createSocketTransformer({
  handleInput: withoutResult,
  handleInject: admit,
  handleNotify: admit,
});
