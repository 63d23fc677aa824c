/** Sites that hold requests, their bodies or their answers for ever. */
import type { Fault } from './fault.ts'
import { TROUBLE } from './fault.ts'

export const HOLDING_FAULTS: readonly Fault[] = [
  {
    name: 'crowd',
    what: '10,000 open slow requests on one site',
    code: "export default (request, response) => void setTimeout(() => response.end('at last'), 20_000)",
    visits: ['/'],
    crowd: 10_000,
    mayAnswer: [...TROUBLE, 'none', 'reset'],
  },
  {
    name: 'endless-answer',
    what: 'an answer that never ends',
    code: `export default (request, response) => {
      const timer = setInterval(() => { for (let n = 0; n < 16; n++) response.write('x'.repeat(65_536)) }, 10)
      response.on('close', () => clearInterval(timer))
    }`,
    visits: ['/'],
    // Their 200 MB/s are not to be read by the process of the neighbours' visitors.
    crowd: 2,
    mayAnswer: ['none', 200, ...TROUBLE],
  },
  {
    name: 'unread-body',
    what: 'a request body that is never read',
    code: 'export default () => {}',
    visits: ['/', '/'],
    bodyBytes: 8_000_000,
    mayAnswer: ['none', 'reset', ...TROUBLE],
  },
  {
    name: 'no-answer',
    what: 'a handler that never answers',
    code: 'export default () => {}',
    visits: ['/', '/'],
    mayAnswer: ['none', 504],
    mustAnswer: [504],
    lastsMs: 4_000,
  },
]
