/**
 * Holds texts that sites write, or have a part in, to a length: a frame has a limit, and so has what a person reads. Pure.
 */

/** @returns the text, or its beginning and how long it is */
export function cutText(text: string, maxLength: number): string {
  return text.length > maxLength ? `${text.slice(0, maxLength)} [cut, ${text.length} characters]` : text
}
