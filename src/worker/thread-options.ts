/**
 * What a supervisor hands to a thread that it starts. Types only.
 */
export interface ThreadOptions {
  thread: number
  /** The secret that the thread says hello with. */
  token: string
  /** Path of the dispatcher's unix socket. */
  socket: string
  /** Folder for compiled code; undefined keeps none. */
  compileCache: string | undefined
}

/** From the supervisor to a thread: close your sites and leave, within so many ms. */
export interface StopMessage {
  type: 'stop'
  graceMs: number
}
