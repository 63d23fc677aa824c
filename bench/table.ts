/** Tables as Markdown whose columns line up, so that what is printed can be pasted into docs/performance.md. */

/** @param rows cells as text; the first of a row is set left, all others right */
export function printTable(head: readonly string[], rows: readonly (readonly string[])[]): void {
  const all = [head, ...rows]
  const widths = head.map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0), 3))
  const line = (row: readonly string[]) => `| ${widths.map((width, at) => pad(row[at] ?? '', width, at)).join(' | ')} |`
  const rule = widths.map((width, at) => (at === 0 ? '-'.repeat(width + 2) : `${'-'.repeat(width + 1)}:`))
  console.log([line(head), `|${rule.join('|')}|`, ...rows.map(line)].join('\n'))
}

function pad(text: string, width: number, column: number): string {
  return column === 0 ? text.padEnd(width) : text.padStart(width)
}

/** 51234.5 → `51,235` */
export function whole(number: number): string {
  return Math.round(number).toLocaleString('en')
}

/** Bytes → `123 MB` (10^6 would flatter: 2^20). */
export function megabytes(bytes: number): string {
  const number = bytes / 1024 ** 2
  return `${number < 10 ? number.toFixed(1) : whole(number)} MB`
}

/** µs → `0.18 ms`. */
export function milliseconds(us: number): string {
  return `${(us / 1000).toFixed(us < 10_000 ? 2 : 1)} ms`
}

/** A ratio and whether it meets what is wanted, such as `0.74 (≥ 0.70 wanted: yes)`. */
export function verdict(ratio: number, wanted: { least: number } | { most: number }): string {
  const met = 'least' in wanted ? ratio >= wanted.least : ratio <= wanted.most
  const bound = 'least' in wanted ? `≥ ${wanted.least}` : `≤ ${wanted.most}`
  return `${ratio.toFixed(ratio < 1 ? 3 : 2)} (${bound} wanted: ${met ? 'yes' : 'NO'})`
}

/** The middle one; of an even number the upper of the two. */
export function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[numbers.length >> 1] ?? Number.NaN
}
