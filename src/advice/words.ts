/**
 * Figures as they are said: two or three digits that mean something, with a unit.
 */

/** `71 %`, `0.4 %`. @param share 0 to 1 */
export function percent(share: number): string {
  const value = share * 100
  return `${value > 0 && value < 9.95 ? value.toFixed(1).replace(/\.0$/, '') : Math.round(value)} %`
}

/** `340 ms`, `2.3 s`, `4 min`. */
export function span(ms: number): string {
  if (ms < 9.95) return `${Number(ms.toFixed(1))} ms`
  if (ms < 999.5) return `${Math.round(ms)} ms`
  if (ms < 9950) return `${(ms / 1000).toFixed(1)} s`
  if (ms < 119_500) return `${Math.round(ms / 1000)} s`
  if (ms < 7_170_000) return `${Math.round(ms / 60_000)} min`
  return `${Number((ms / 3_600_000).toFixed(1))} h`
}

/** `84 MB`, `20.4 GB`; powers of 1024. */
export function memory(bytes: number): string {
  return bytes < 1000 * 1024 ** 2 ? `${Math.round(bytes / 1024 ** 2)} MB` : `${(bytes / 1024 ** 3).toFixed(1)} GB`
}

/** `84,210`, `23.4`, `0.02`. */
export function amount(value: number): string {
  const digits = value >= 99.95 ? 0 : value >= 9.95 ? 1 : 2
  return value.toLocaleString('en', { maximumFractionDigits: digits })
}

/** `1 thread`, `2 threads` */
export function counted(value: number, one: string, many = `${one}s`): string {
  return `${amount(value)} ${value === 1 ? one : many}`
}
