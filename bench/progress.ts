/** One line on a terminal that says what is being measured; nothing where nobody watches. */

const WIDTH = 78

/** Shows `text` in place of what was shown before; an empty text clears the line. */
export function showProgress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r${text.slice(0, WIDTH).padEnd(WIDTH)}${text === '' ? '\r' : ''}`)
}
