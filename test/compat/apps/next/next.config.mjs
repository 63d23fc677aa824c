// The smallest application that has a page, an asset, a route and a stream; built as Next's own documentation says.
export default { output: 'standalone', outputFileTracingRoot: new URL('../..', import.meta.url).pathname }
