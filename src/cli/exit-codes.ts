/**
 * What the exit codes of the command mean: part of its interface, see docs/cli.md. `bin/vhostel.js` has 78 written out,
 * because it cannot import this.
 */
export const EXIT = {
  /** Done, and all is well. */
  ok: 0,
  /** Something is wrong: a file, a site, a server that does not run. What, is on standard error or in the output. */
  wrong: 1,
  /** The command was not understood. */
  usage: 2,
  /** `vhostel status`: no server is running; as `systemctl status` has it. */
  notRunning: 3,
  /** vhostel.ini is not there or cannot be used, or Node is too old (EX_CONFIG of sysexits.h). */
  config: 78,
} as const
