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
  /** One Int32: the kernel's number of the thread, which only the thread itself can find out; 0 until it has. */
  kernelId: SharedArrayBuffer
}

/** From the supervisor to a thread: close your sites and leave, within so many ms. */
export interface StopMessage {
  type: 'stop'
  graceMs: number
}
