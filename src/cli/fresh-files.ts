/**
 * What `vhostel init` writes: the files by their path in the new folder. Keys that are commented out show their defaults;
 * test/cli/init.test.ts holds that they are.
 */

/** The site that a fresh configuration has. */
export const FRESH_SITE = 'hello'

const SERVER = `; Settings of the server. docs/configuration.md in the package explains every key. After a change: vhostel check
[server]
; Addresses to listen on, separated by commas: 127.0.0.1:8080, [::1]:8080, 80 (all interfaces), unix:run/web.sock
listen = 127.0.0.1:8080
; sites = sites-enabled
; run = run
; Site that answers for hosts that no site has. Without it they get 421.
; default_site =

[pool]
; By cores and memory, unless you set numbers.
; processes = auto
; threads = auto

[defaults]
; Settings for all sites that do not set them themselves.
; timeout = 60s
`

const LOGGING = `; The server's log files. A change needs a restart.
[log]
; debug, info, warn or error
; level = info
; text for people, json for programs; auto: text on a terminal, otherwise json
; format = auto
; file = log/vhostel.log

; The access log of all sites: timed, vhost_timed, combined, vhost_combined or json
[access]
file = log/access.log
; format = vhost_timed

; Size at which a log file is rotated, and how many rotated files are kept
[files]
; rotate = 100MB
; keep = 5
`

const SITE = `; One file per site; the file name is the name of the site. Copy it for the next one, then: vhostel enable NAME
[site]
; Names that end in .localhost lead to your own machine in every browser.
domains = hello.localhost
; Relative paths start at the folder of this file.
root = ../sites/hello
module = site.js
; Load the site again when its code changes. In production, leave it out and use: vhostel reload hello
watch = yes

[env]
; The environment of this site only.
GREETING = Hello
`

const CODE = `/**
 * A site is a file that exports a fetch function (as here), a Fastify plugin, an Express, Koa or plain Node handler; or
 * any program that calls listen(): it needs no change, and its port is never opened.
 */
export default {
  fetch(request) {
    const { host, pathname } = new URL(request.url)
    const page = \`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Hello</title>
<style>body { font: 1.2rem/1.6 system-ui; max-width: 32rem; margin: 20vh auto; padding: 0 1rem }</style>
<h1>\${process.env.GREETING} from \${escape(host)}</h1>
<p>You asked for <code>\${escape(pathname)}</code>. Edit <code>sites/hello/site.js</code>, save it, and load this page again.
\`
    return new Response(page, { headers: { 'content-type': 'text/html; charset=utf-8' } })
  },
}

function escape(text) {
  return text.replace(/[&<>"]/g, (char) => \`&#\${char.charCodeAt(0)};\`)
}
`

/** Says that .js files below are ES modules. */
const PACKAGE = `{
  "name": "hello",
  "private": true,
  "type": "module"
}
`

export const FRESH_FILES: Readonly<Record<string, string>> = {
  'vhostel.ini': SERVER,
  'logging.ini': LOGGING,
  [`sites-available/${FRESH_SITE}.ini`]: SITE,
  [`sites/${FRESH_SITE}/package.json`]: PACKAGE,
  [`sites/${FRESH_SITE}/site.js`]: CODE,
}
