/**
 * The short pages that the dispatcher answers with where no site does: a status and a sentence. Pure.
 *
 * Invariant: a page depends on nothing but the status and the code of the error; it says nothing of the request, of any site
 * or of what stands in the log, so it can be shown to anybody. The headers of the answer are send-error.ts's.
 */
import { STATUS_CODES } from '../core/node-http.ts'

export interface ErrorPage {
  /** The Content-Type. */
  type: string
  body: string
}

/** What a visitor is told; for any other status its name says all. */
const SENTENCES: Record<number, string> = {
  400: 'The server could not understand the request.',
  401: 'This page asks for a name and a password.',
  403: 'This page may not be read.',
  404: 'There is no such page here.',
  405: 'This page cannot be asked for in this way.',
  408: 'The request took too long to arrive.',
  412: 'The page has changed, or is not there, so the condition of the request does not hold.',
  413: 'The request is larger than is allowed here.',
  414: 'The address of the page is longer than is allowed here.',
  416: 'The file does not have the part that was asked for.',
  417: 'What the request expects of the server is not known here.',
  421: 'No site is served here under this name.',
  429: 'Too many requests came from this address. Please try again shortly.',
  431: 'The head of the request is larger than is allowed here.',
  500: 'Something went wrong while the page was being made.',
  501: 'The request is in a form that is not known here.',
  502: 'The site could not answer.',
  503: 'The site is too busy at the moment. Please try again shortly.',
  504: 'The site did not answer in time.',
  505: 'The request is in a version of HTTP that is not spoken here.',
  508: 'The site sends its visitors back to where they are.',
}

const FAULTY = 'The site has a fault at the moment. Please try again later.'

/** What is told in the place of that for some errors (core/errors.ts), by their code. */
const SENTENCES_BY_CODE: Record<string, string> = {
  VHOSTEL_SITE_UNAVAILABLE: FAULTY,
  VHOSTEL_SITE_THROTTLED: FAULTY,
  VHOSTEL_SITE_GONE: 'The site has just been taken away, or moved.',
}

/**
 * Makes the page for a status: HTML for a client that asks for it by name, as browsers do, else plain text.
 *
 * @param accept the request's Accept header
 * @param code of the error, where it has one
 */
export function errorPage(status: number, accept?: string, code = ''): ErrorPage {
  const title = `${status} ${STATUS_CODES[status] ?? 'Error'}`
  const sentence = SENTENCES_BY_CODE[code] ?? SENTENCES[status]
  if (wantsHtml(accept)) return { type: 'text/html; charset=utf-8', body: htmlPage(title, sentence) }
  return { type: 'text/plain; charset=utf-8', body: sentence === undefined ? `${title}\n` : `${title}\n${sentence}\n` }
}

/** Whether HTML is named, and not with a weight of 0; a bare wildcard, as curl sends it, gets text. */
function wantsHtml(accept: string | undefined): boolean {
  return accept !== undefined && /\btext\/html\b(?!\s*;\s*q=0(?:\.0*)?\s*(?:,|$))/i.test(accept)
}

function htmlPage(title: string, sentence: string | undefined): string {
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${title}</title>
<style>body{font:1.1em/1.5 system-ui,sans-serif;max-width:32em;margin:15vh auto;padding:0 1em;color-scheme:light dark}</style>
<h1>${title}</h1>
${sentence === undefined ? '' : `<p>${sentence}</p>\n`}</html>
`
}
