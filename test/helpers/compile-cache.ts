/**
 * Keeps compiled code from one process of the tests to the next: to read the sources takes half of the time of a short command.
 * For `--import`. Invariant: it is for that process alone; what the server starts compiles its code as it does for everybody.
 */
import { enableCompileCache } from 'node:module'

enableCompileCache()
