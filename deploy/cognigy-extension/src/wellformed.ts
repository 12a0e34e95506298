/** Text as the router takes it: well-formed Unicode, bounded in characters, no control characters where it is a name. */

/** The router's limit for every identifier. */
export const LONGEST_IDENTIFIER = 256;

/**
 * The first `most` characters (code points: the router counts so, and half an emoji is no character), with halves of
 * characters, which no JSON parser in Rust takes, replaced.
 */
export function bounded(value: string, most: number): string {
  // No string has more code points than units: counting is for the few that are near the limit.
  const short = value.length <= most ? value : Array.from(value).slice(0, most).join("");
  return short.replace(/\p{Surrogate}/gu, "\uFFFD");
}

/** A name that a system gave, or nothing if it is blank, too long or of another type. */
export function identifier(value: unknown): string | undefined {
  if (typeof value !== "string" && typeof value !== "number") return undefined;
  const name = bounded(String(value), LONGEST_IDENTIFIER + 1);
  if (name.trim() === "" || Array.from(name).length > LONGEST_IDENTIFIER || /\p{Cc}/u.test(name)) return undefined;
  return name;
}

/** What a field of the node was resolved to; a CognigyScript that found nothing may leave one of these words. */
export function resolved(value: unknown): string {
  const text = typeof value === "string" ? value.trim() : typeof value === "number" ? String(value) : "";
  return text === "undefined" || text === "null" ? "" : text;
}

/** An object, or nothing. */
export function record(value: unknown): Record<string, unknown> | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : undefined;
}
