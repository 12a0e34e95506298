/** Everything that can go wrong, in a form that may be logged: a code and a sentence of ours, never what was said. */

/** Why a node could not do its work. */
export type FaultCode =
  /** The connection or a setting of the node is unusable. */
  | "connection"
  | "settings"
  /** The input is itself a result of the router: asking about it would go round in circles. */
  | "would_loop"
  /** The trigger is larger than the router takes, even without history. */
  | "too_large"
  /** The router did not answer, or not in time. It may have the trigger all the same. */
  | "unreachable"
  | "timeout"
  /** The router is over its rate or its queue is full (429, 503), several times. */
  | "busy"
  /** The router refused for good (other 4xx). */
  | "refused"
  /** The router failed, or something that is not the router answered. */
  | "unexpected_answer"
  /** A bug of this Extension. */
  | "internal";

/** A failure that is safe to show. */
export class Fault extends Error {
  constructor(
    readonly code: FaultCode,
    message: string,
    /** The status of the HTTP answer, where there was one. */
    readonly status?: number,
  ) {
    super(message);
    this.name = "Fault";
  }

  /** Anything thrown, as a fault. Of what is not ours only the class is told: its message may hold anything. */
  static from(thrown: unknown): Fault {
    if (thrown instanceof Fault) return thrown;
    const kind = thrown instanceof Error ? thrown.constructor.name : typeof thrown;
    return new Fault("internal", `an unexpected ${kind}`);
  }
}
