/**
 * Tells systemd when the server serves and when it begins to end, for a unit with `Type=notify` (sd_notify(3)). So
 * `systemctl start` and `restart` come back when requests are answered, and fail when they never will be.
 *
 * The message is a datagram to a unix socket, which Node cannot send: `systemd-notify`, which comes with systemd, does. The
 * unit needs `NotifyAccess=all` for that. Limit: one message has `NOTIFY_MS`.
 */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

const NOTIFY_MS = 5_000

/** Says something to who started the server. */
export type Notify = (...message: string[]) => Promise<void>

/**
 * @param env where `NOTIFY_SOCKET` is taken out of: no child of the server is to speak for it
 * @returns what says `READY=1` and the like; does nothing where nobody listens. Rejects with what `systemd-notify` says
 */
export function notifier(env: NodeJS.ProcessEnv): Notify {
  const { NOTIFY_SOCKET: socket } = env
  delete env.NOTIFY_SOCKET
  if (socket === undefined || socket === '') return async () => {}
  const options = { env: { PATH: env.PATH, NOTIFY_SOCKET: socket }, timeout: NOTIFY_MS }
  return async (...message) => void (await promisify(execFile)('systemd-notify', message, options))
}
