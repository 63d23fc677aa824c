/**
 * What `vhostel init` writes: the files by their path in the new folder. Keys that are commented out show their defaults;
 * test/cli/init.test.ts holds that they are.
 */

/** The site that a fresh configuration has. */
export const FRESH_SITE = 'hello'

const SERVER = `; The server as a whole. Every key: docs/configuration.md of the package; this file is checked by: vhostel check
[server]
; Where it listens: several addresses, separated by commas. [::1]:8080 and unix:run/web.sock work too.
listen = 127.0.0.1:8080
; sites = sites-enabled
; run = run
; Which site answers for hosts that no site names; without it they get 421.
; default_site =

[pool]
; From the cores and the memory, unless a number is set.
; processes = auto
; threads = auto

[defaults]
; Any key that a site may set, for all sites that do not set it themselves.
; timeout = 60s
`

const LOGGING = `; What vhostel itself and the sites write.
[log]
; debug, info, warn or error
; level = info
; text for people, json for programs; auto: text on a terminal, else json
; format = auto
; file = log/vhostel.log

; Every request, of all sites: combined, vhost_combined or json
[access]
file = log/access.log
; format = vhost_combined

; How large a log file may become before it is moved aside, and how many of those are kept
[files]
; rotate = 100MB
; keep = 5
`

const SITE = `; One site, one file: its name is the name of the site. Copy it for the next one, then: vhostel enable NAME
[site]
; Names that end in .localhost lead to your own machine in every browser.
domains = hello.localhost
; Relative paths start at the folder of this file.
root = ../sites/hello
module = site.js
; Take changes in the code over at once; leave it out where the site is in earnest use, and say: vhostel reload hello
watch = yes

[env]
; The environment of this site alone.
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
