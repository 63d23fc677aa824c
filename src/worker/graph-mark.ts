/**
 * The mark in the URLs of modules that are loaded once more, for another site or generation over the same files
 * (file-trace.ts). Pure.
 */

const NAME = 'vhostel'
const ANY = new RegExp(`\\?${NAME}=\\d+`, 'g')

/** @param url without a query */
export function withMark(url: string, generation: number | string): string {
  return `${url}?${NAME}=${generation}`
}

/** The generation in the mark of a URL. */
export function markOf(url: string | undefined): string | undefined {
  return url === undefined ? undefined : /\?vhostel=(\d+)$/.exec(url)?.[1]
}

/** Takes marks out of a text, so that a person sees the paths of files. */
export function withoutMarks(text: string): string {
  return text.includes(`?${NAME}=`) ? text.replaceAll(ANY, '') : text
}
