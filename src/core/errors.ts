/**
 * Every error that vhostel itself raises: one code, one message, one HTTP status, in one list.
 *
 * Callers test `error.code`, never the text. Each message says the place, the value and the cure, because the reader is
 * a person who edits INI files by hand. `docs/errors.md` explains each code; `test/style/documented-errors.test.ts` fails when
 * the two lists differ.
 */
import createError from '@fastify/error'

// ---- configuration ---------------------------------------------------------------------------------------------

/** A configuration file cannot be used. Arguments: the rendered problems, one a line, each `file:line: …`. */
export const ConfigInvalid = createError<[string]>('VHOSTEL_CONFIG_INVALID', '%s', 500)

/** No `vhostel.ini` was found. Arguments: the places looked at. */
export const ConfigNotFound = createError<[string]>(
  'VHOSTEL_CONFIG_NOT_FOUND',
  "no vhostel.ini found; looked at %s; name one with --config, or write a fresh one with 'vhostel init DIR'",
  500,
)

/** Two sites claim one domain. Arguments: file, line, domain, the file that has it. */
export const HostTaken = createError<[string, number, string, string]>(
  'VHOSTEL_HOST_TAKEN',
  "%s:%d: domain '%s' is already served by %s; remove it from one of the two",
  409,
)

// ---- protocol --------------------------------------------------------------------------------------------------

/** A peer announced a frame longer than allowed. Arguments: announced length, limit, both in bytes. */
export const FrameTooLarge = createError<[number, number]>(
  'VHOSTEL_FRAME_TOO_LARGE',
  'a frame of %d bytes was announced, the limit is %d; the connection is ended',
  500,
)

/** Bytes on a thread's socket are not a frame. Argument: what was wrong. */
export const FrameInvalid = createError<[string]>(
  'VHOSTEL_FRAME_INVALID',
  'bytes that are not a frame: %s; the connection is ended',
  500,
)

// ---- pool ------------------------------------------------------------------------------------------------------

/** The site's queue is full. Arguments: site, queue length. Answered as 503. */
export const QueueFull = createError<[string, number]>(
  'VHOSTEL_QUEUE_FULL',
  "site '%s' already has %d requests waiting; raise [limits] queue, or [pool] threads",
  503,
)

/** A request waited longer than the site's `queue_timeout`. Arguments: site, ms. Answered as 503. */
export const QueueTimeout = createError<[string, number]>(
  'VHOSTEL_QUEUE_TIMEOUT',
  "site '%s': no thread was free within %d ms; raise [limits] queue_timeout, or [pool] threads",
  503,
)

/** The site gave no answer within its `timeout`. Arguments: site, ms. Answered as 504. */
export const SiteTimeout = createError<[string, number]>(
  'VHOSTEL_SITE_TIMEOUT',
  "site '%s' did not begin its answer within %d ms; raise [limits] timeout if that is expected",
  504,
)

/** The thread or process that ran a request ended before it answered. Arguments: site, what ended. Answered as 502. */
export const ThreadLost = createError<[string, string]>(
  'VHOSTEL_THREAD_LOST',
  "site '%s': %s ended before the answer was complete",
  502,
)

/** A site's module could not be loaded. Arguments: site, place (file or file:line), reason. */
export const SiteLoadFailed = createError<[string, string, string]>(
  'VHOSTEL_SITE_LOAD_FAILED',
  "site '%s': %s: %s",
  502,
)

/** A site ended a request (destroyed its socket) without an answer. Arguments: site, reason. Answered as 502. */
export const SiteAborted = createError<[string, string]>(
  'VHOSTEL_SITE_ABORTED',
  "site '%s' ended the request without an answer: %s",
  502,
)

/** A site's code failed (threw, rejected, or was told to end) before it had answered. Argument: site. Answered as 500. */
export const SiteFailed = createError<[string]>(
  'VHOSTEL_SITE_FAILED',
  "site '%s' failed before it had answered; its own line in the log says why",
  500,
)

/** A site listens for something that is not HTTP. Arguments: site, port or path. Emitted as the server's 'error'. */
export const PortRefused = createError<[string, string]>(
  'VHOSTEL_PORT_REFUSED',
  "site '%s' wants to listen on %s with a server that is not HTTP; only HTTP servers can be reached through vhostel, so run this part of the site as a service of its own",
  500,
)

/** A site whose module could not be loaded shortly before is asked for again. Arguments: site, why. */
export const SiteUnavailable = createError<[string, string]>(
  'VHOSTEL_SITE_UNAVAILABLE',
  "site '%s' cannot be loaded: %s; it is tried again by itself, and at once when it is reloaded",
  503,
)

/** The site's own process ended again and again, and is started more and more slowly. Arguments: site, seconds. */
export const SiteThrottled = createError<[string, number]>(
  'VHOSTEL_SITE_THROTTLED',
  "site '%s' keeps ending its process; it is started again in %d s",
  503,
)

/** No upstream of a site of `kind = proxy`, or not its program, gave an answer. Arguments: site, upstream, what it did. */
export const UpstreamFailed = createError<[string, string, string]>('VHOSTEL_UPSTREAM_FAILED', "site '%s': %s %s", 502)

/** An upstream did not take the connection, or did not begin its answer, in time. Arguments: site, upstream, which. */
export const UpstreamTimeout = createError<[string, string, string]>(
  'VHOSTEL_UPSTREAM_TIMEOUT',
  "site '%s': %s did not %s in time; raise [limits] timeout or [proxy] connect_timeout if that is expected",
  504,
)

/** Every upstream of a site has as many requests as it may, and as many wait as may. Arguments: site, how many wait. */
export const UpstreamsBusy = createError<[string, number]>(
  'VHOSTEL_UPSTREAMS_BUSY',
  "site '%s' already has %d requests waiting for an upstream; raise [limits] queue, or [proxy] connections or tunnels",
  503,
)

/** A request waited too long for an upstream or for the start of the site's program. Arguments: site, ms. */
export const UpstreamWaitTimeout = createError<[string, number]>(
  'VHOSTEL_UPSTREAM_WAIT_TIMEOUT',
  "site '%s': no upstream was free within %d ms; raise [limits] queue_timeout, or [proxy] connections",
  503,
)

/** The program of a site of `kind = command` did not come up. Arguments: site, why. Answered as 502. */
export const CommandFailed = createError<[string, string]>(
  'VHOSTEL_COMMAND_FAILED',
  "site '%s': its command %s; what it printed stands in the log",
  502,
)

/** The site was taken away while a request waited for it. Argument: site. */
export const SiteGone = createError<[string]>('VHOSTEL_SITE_GONE', "site '%s' was disabled", 503)

/** The pool's threads did not all come up. Arguments: how many of how many. */
export const PoolNotStarted = createError<[number, number]>(
  'VHOSTEL_POOL_NOT_STARTED',
  'only %d of %d threads came up in time; see the log above, or lower [pool] processes and threads',
  500,
)

// ---- sockets ---------------------------------------------------------------------------------------------------

/** A unix socket's path is longer than the kernel takes. Arguments: path, its bytes, the limit in bytes. */
export const SocketPathTooLong = createError<[string, number, number]>(
  'VHOSTEL_SOCKET_PATH_TOO_LONG',
  "'%s' has %d bytes, a unix socket may have %d; set a shorter [server] run folder",
  500,
)

/** Processes of another user cannot reach the pool's socket. Arguments: the user's number, the folder that is in the way, it again. */
export const RunUnreachable = createError<[number, string, string]>(
  'VHOSTEL_RUN_UNREACHABLE',
  "user %d cannot pass through %s, in which the server's sockets are; chmod o+x %s, or set another [server] run folder",
  500,
)

/** Somebody listens there already. Argument: the address. */
export const AddressInUse = createError<[string]>(
  'VHOSTEL_ADDRESS_IN_USE',
  '%s is in use; end the program that listens there, or change [server] listen or run',
  500,
)

// ---- admin -----------------------------------------------------------------------------------------------------

/** No server answers on the admin socket. Argument: its run folder. */
export const NotRunning = createError<[string]>(
  'VHOSTEL_NOT_RUNNING',
  "no server is running (nobody answers in %s); start one with 'vhostel serve'",
  503,
)

/** The admin socket belongs to somebody else. Arguments: its path, whom it is open to, who asks. */
export const AdminDenied = createError<[string, string, string]>(
  'VHOSTEL_ADMIN_DENIED',
  '%s is open to %s only, and this is user %s; run the command by sudo',
  403,
)

/** A running server did not answer on its admin socket in time. Arguments: the request, ms. */
export const AdminTimeout = createError<[string, number]>(
  'VHOSTEL_ADMIN_TIMEOUT',
  'the running server did not answer %s within %d ms; it is busy or stands still, and its log may say why',
  504,
)

/** What came back on the admin socket is not an answer. Arguments: the request, what came. */
export const AdminAnswerInvalid = createError<[string, string]>(
  'VHOSTEL_ADMIN_ANSWER_INVALID',
  'the running server answered %s with something else than expected: %s; is it another version of vhostel?',
  502,
)

/** A request on the admin socket is none that this version knows. Argument: method and target. */
export const AdminQuestionUnknown = createError<[string]>(
  'VHOSTEL_ADMIN_QUESTION_UNKNOWN',
  'the running server does not know %s; restart it if it is older than the command',
  404,
)

/** A request on the admin socket lacks something, or has it wrong. Arguments: the request, what is wrong. */
export const AdminQuestionInvalid = createError<[string, string]>(
  'VHOSTEL_ADMIN_QUESTION_INVALID',
  'the running server cannot read what was sent with %s: %s',
  400,
)

/** No enabled site has this name. Arguments: the name, `; did you mean …?` or nothing. */
export const SiteUnknown = createError<[string, string]>(
  'VHOSTEL_SITE_UNKNOWN',
  "there is no site '%s' in the sites folder%s",
  404,
)

// ---- the run folder --------------------------------------------------------------------------------------------

/** The run folder cannot be made, or is not the server's. Arguments: its path, what the system says. */
export const RunFolderNotMade = createError<[string, string]>(
  'VHOSTEL_RUN_FOLDER_NOT_MADE',
  'the run folder %s cannot be made (%s); set another [server] run in vhostel.ini',
  500,
)

// ---- logs ------------------------------------------------------------------------------------------------------

/** The server's log cannot be opened. Arguments: its path, what the system says. */
export const LogNotOpened = createError<[string, string]>(
  'VHOSTEL_LOG_NOT_OPENED',
  "the server's log %s cannot be opened (%s); name another [log] file in logging.ini, or take the line away",
  500,
)
