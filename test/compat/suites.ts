/**
 * The test suites that are run twice, on plain Node and inside a hosted site, and where they come from. Data only.
 *
 * None of their files are in this repository: `fetch-suites.ts` gets them from Debian's source packages, or they are in
 * the package that npm installs.
 */

/** A test of a suite that tells nothing about a hosted site, and why. */
export interface LeftOut {
  /** A file (`.js`), or a part of a test's full title. */
  test: string
  why: string
}

export interface Suite {
  name: string
  /** What is tested, with its version. */
  title: string
  /** Debian's source package, whose upstream tarball has the tests. */
  debian?: { source: string; version: string; release: 'bookworm' | 'trixie' }
  runner: 'mocha' | 'node:test'
  /** The npm package (as named in package.json) whose code is tested, or whose dependencies the tarball's code takes. */
  package: string
  /** Whether the code that is tested comes from the tarball, beside the tests, or from the npm package. */
  codeFrom: 'tarball' | 'package'
  /** Folders with tests, below the suite's own. */
  folders: string[]
  /** Which files of those folders are tests. */
  files: RegExp
  /** Files loaded before the tests. */
  setup: string[]
  leftOut: LeftOut[]
}

const ANSWERED_BY_FRONT = "what a connection says wrong, or takes too long to say, is answered by vhostel's front"
const CONNECTIONS = "connections are the front's: a site has its requests"

const EXPRESS = {
  debian: { source: 'node-express', version: '4.18.2', release: 'bookworm' as const },
  runner: 'mocha' as const,
  folders: ['test', 'test/acceptance'],
  files: /\.js$/,
  setup: ['test/support/env.js'],
  leftOut: [] as LeftOut[],
} satisfies Partial<Suite>

/** One of the small packages that Express and Connect are made of; code and tests from one tarball. */
function small(name: string, version: string, setup: string[] = [], leftOut: LeftOut[] = []): Suite {
  return {
    name,
    title: `${name} ${version}`,
    debian: { source: `node-${name}`, version, release: 'bookworm' },
    runner: 'mocha',
    package: name,
    codeFrom: 'tarball',
    folders: ['test'],
    files: /\.js$/,
    setup,
    leftOut,
  }
}

/** Middleware of Koa whose npm package has its tests; they run on the Koa named in package.json. */
function koaMiddleware(name: string, version: string, leftOut: LeftOut[] = []): Suite {
  return {
    name,
    title: `${name} ${version} on Koa 3.3.0`,
    runner: 'mocha',
    package: name,
    codeFrom: 'package',
    folders: ['test'],
    files: /^(test|simple)\.js$/,
    setup: [],
    leftOut,
  }
}

export const SUITES: Suite[] = [
  { ...EXPRESS, name: 'express4', title: 'Express 4.18.2', package: 'express4', codeFrom: 'package' },
  {
    ...EXPRESS,
    name: 'express5',
    title: 'Express 5.3.0, by the tests of 4.18.2',
    package: 'express5',
    codeFrom: 'package',
  },
  koaMiddleware('koa-jwt', '4.0.4'),
  koaMiddleware('koa-range', '0.3.0'),
  koaMiddleware('koa-websocket', '7.0.0', [{ test: 'supports wss protocol', why: "TLS ends at vhostel's front" }]),
  small(
    'connect',
    '3.7.0',
    ['test/support/env.js'],
    [{ test: 'FQDN', why: 'the front hands on a target in absolute form as a path, as proxies do' }],
  ),
  small('body-parser', '1.20.1', ['test/support/env.js']),
  small('compression', '1.7.4'),
  small('cookie-parser', '1.4.6'),
  small('finalhandler', '1.2.0'),
  {
    ...small('ws', '8.18.1'),
    debian: { source: 'node-ws', version: '8.18.1', release: 'trixie' },
    files: /\.test\.js$/,
    leftOut: [
      { test: 'WebSocket SSL', why: "TLS ends at vhostel's front" },
      { test: '`verifyClient` can accept client synchronously', why: "TLS ends at vhostel's front" },
      { test: 'binds the server on any IPv6 address', why: "the harness answers with the front's address" },
      { test: 'listening on IPC', why: 'no path is opened, as no port is' },
      { test: 'Cookie and Host headers (2/4)', why: 'no path is opened, as no port is' },
      { test: 'Cookie and Host headers (3/4)', why: 'no path is opened, as no port is' },
      { test: 'Cookie and Host headers (4/4)', why: 'no path is opened, as no port is' },
      { test: 'moving away from a secure context', why: 'needs a TCP server that is not HTTP' },
      {
        test: "emits the 'close' event after the server closes",
        why: "no 'connection' event: connections are the front's",
      },
      { test: 'can be called from an error listener while connecting', why: 'needs a TCP server that is not HTTP' },
      { test: 'if the HTTP method is not GET', why: 'upgrades by other methods than GET are ordinary requests' },
      { test: 'does not re-emit `net.Socket` errors', why: 'a connection that the site resets is closed, not reset' },
      { test: "the 'wsClientError' event", why: 'upgrades by other methods than GET are ordinary requests' },
    ],
  },
  {
    name: 'fastify',
    title: 'Fastify 5.12.8',
    runner: 'node:test',
    package: 'fastify',
    codeFrom: 'package',
    folders: ['test', 'test/http-methods', 'test/logger', 'test/internals'],
    files: /\.test\.js$/,
    setup: [],
    leftOut: [
      { test: 'test/client-timeout.test.js', why: ANSWERED_BY_FRONT },
      { test: 'test/header-overflow.test.js', why: ANSWERED_BY_FRONT },
      { test: 'test/request-header-host.test.js', why: ANSWERED_BY_FRONT },
      { test: 'Unknown method', why: ANSWERED_BY_FRONT },
      { test: 'on client error', why: ANSWERED_BY_FRONT },
      { test: 'client error handler', why: ANSWERED_BY_FRONT },
      { test: 'default clientError', why: ANSWERED_BY_FRONT },
      { test: 'non-numeric content-length', why: ANSWERED_BY_FRONT },
      { test: 'test/close-pipelining.test.js', why: CONNECTIONS },
      { test: 'test/skip-reply-send.test.js', why: 'writes responses as bytes to the socket of a request' },
      { test: 'test/max-requests-per-socket.test.js', why: CONNECTIONS },
      { test: 'Current opened connection should', why: CONNECTIONS },
      { test: 'rejected incoming connections', why: CONNECTIONS },
      { test: 'onTimeout on route', why: "server.setTimeout: the harness's server answers in its place" },
      { test: 'onTimeout should be triggered', why: "server.setTimeout: the harness's server answers in its place" },
      { test: 'aborts the response', why: 'a request without an answer is a 502, not a cut connection' },
      { test: 'customErrorHandler should not call handler', why: 'as above' },
      { test: 'same port conflict', why: 'needs a TCP server that is not HTTP' },
      { test: 'HTTP/2 payload', why: 'HTTP/2 ends at the front' },
      { test: 'early hints (http2)', why: 'HTTP/2 ends at the front' },
      { test: 'listeningOrigin property (IPv6)', why: "the harness answers with the front's address" },
      { test: 'non-localhost', why: "the harness answers with the front's address" },
      { test: 'Async/await listen with arguments', why: "the harness answers with the front's address" },
    ],
  },
]
