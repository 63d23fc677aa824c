/**
 * The page that lists a folder without an index, where that is wanted. Names only, no dotfiles, folders first.
 *
 * Limits: `MAX_NAMES` of a folder. Invariant: a name leads nowhere but to itself, whatever letters are in it.
 */
import { namesInside } from './open-inside.ts'

const MAX_NAMES = 10_000

/** @throws FileRefused with 404 for a folder that is not in the root; the system's errors as they are */
export async function folderPage(root: string, folder: string, isTop: boolean): Promise<string> {
  const found = await namesInside(root, folder, MAX_NAMES)
  const names = found.names.filter((name) => !name.startsWith('.')).sort(byKindAndName)
  const lines = [...(isTop ? [] : ['../']), ...names].map(
    (name) => `<li><a href="${name === '../' ? name : hrefOf(name)}">${escaped(name)}</a>`,
  )
  if (found.isCut) lines.push('<li>…')
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Files</title>
<style>body{font:1em/1.6 system-ui,sans-serif;margin:2em;color-scheme:light dark}ul{list-style:none;padding:0}</style>
<h1>Files</h1>
<ul>
${lines.join('\n')}
</ul>
</html>
`
}

/** @param name with a slash at its end for a folder; always taken as part of a path, for `:` is escaped as well */
function hrefOf(name: string): string {
  const isFolder = name.endsWith('/')
  return (
    encodeURIComponent((isFolder ? name.slice(0, -1) : name).toWellFormed()).replaceAll("'", '%27') +
    (isFolder ? '/' : '')
  )
}

function escaped(name: string): string {
  return name.replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`)
}

function byKindAndName(a: string, b: string): number {
  return Number(b.endsWith('/')) - Number(a.endsWith('/')) || (a < b ? -1 : 1)
}
