/**
 * A native addon that crashes the process which loads it: a shared library whose initialiser writes to address 0. Made
 * here, byte by byte, so that no compiler is needed.
 *
 * Limits: Linux on x64 and arm64. A single segment, readable, writable and executable: a kernel that forbids such memory
 * refuses to load it (the site sees an exception then, and nothing crashes).
 *
 * @see elf(5), and the System V ABI for what a dynamic linker needs at the least
 */

const ADDRESS = 0n
const HEADER_BYTES = 64
const PROGRAM_HEADER_BYTES = 56
const CODE_AT = 0x100
const DYNAMIC_AT = 0x200
const TABLES_AT = 0x300
const FILE_BYTES = 0x400

/** ELF's number of the machine, and code that writes to address 0. */
const MACHINES: Partial<Record<NodeJS.Architecture, { machine: number; code: number[] }>> = {
  // xor eax, eax; mov dword [rax], eax
  x64: { machine: 62, code: [0x31, 0xc0, 0x89, 0x00] },
  // mov x0, #0; str x0, [x0]
  arm64: { machine: 183, code: [0x00, 0x00, 0x80, 0xd2, 0x00, 0x00, 0x00, 0xf9] },
}

const PT_LOAD = 1
const PT_DYNAMIC = 2
const READ_WRITE = 6
const ALL_RIGHTS = 7

/** DT_STRTAB, DT_SYMTAB, DT_STRSZ, DT_SYMENT, DT_INIT, and the end. */
const DYNAMIC = [
  [5n, BigInt(TABLES_AT)],
  [6n, BigInt(TABLES_AT)],
  [10n, 1n],
  [11n, 24n],
  [12n, BigInt(CODE_AT)],
  [0n, 0n],
] as const

/** @returns the file for `process.dlopen`; undefined where this machine is neither x64 nor arm64 Linux */
export function crashingAddon(): Buffer | undefined {
  const found = MACHINES[process.arch]
  if (found === undefined || process.platform !== 'linux') return undefined
  const file = Buffer.alloc(FILE_BYTES)
  writeHeader(file, found.machine)
  writeProgramHeader(file, HEADER_BYTES, { type: PT_LOAD, rights: ALL_RIGHTS, at: 0, bytes: FILE_BYTES })
  const dynamicBytes = DYNAMIC.length * 16
  const second = HEADER_BYTES + PROGRAM_HEADER_BYTES
  writeProgramHeader(file, second, { type: PT_DYNAMIC, rights: READ_WRITE, at: DYNAMIC_AT, bytes: dynamicBytes })
  file.set(found.code, CODE_AT)
  for (const [index, [tag, value]] of DYNAMIC.entries()) {
    file.writeBigUInt64LE(tag, DYNAMIC_AT + index * 16)
    file.writeBigUInt64LE(value, DYNAMIC_AT + index * 16 + 8)
  }
  return file
}

function writeHeader(file: Buffer, machine: number): void {
  // 64 bits, little endian, version 1; a shared object.
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1], 0)
  file.writeUInt16LE(3, 16)
  file.writeUInt16LE(machine, 18)
  file.writeUInt32LE(1, 20)
  file.writeBigUInt64LE(BigInt(HEADER_BYTES), 32)
  file.writeUInt16LE(HEADER_BYTES, 52)
  file.writeUInt16LE(PROGRAM_HEADER_BYTES, 54)
  file.writeUInt16LE(2, 56)
  file.writeUInt16LE(64, 58)
}

function writeProgramHeader(
  file: Buffer,
  offset: number,
  { type, rights, at, bytes }: { type: number; rights: number; at: number; bytes: number },
): void {
  file.writeUInt32LE(type, offset)
  file.writeUInt32LE(rights, offset + 4)
  file.writeBigUInt64LE(BigInt(at), offset + 8)
  file.writeBigUInt64LE(ADDRESS + BigInt(at), offset + 16)
  file.writeBigUInt64LE(ADDRESS + BigInt(at), offset + 24)
  file.writeBigUInt64LE(BigInt(bytes), offset + 32)
  file.writeBigUInt64LE(BigInt(bytes), offset + 40)
  file.writeBigUInt64LE(type === PT_LOAD ? 0x1000n : 8n, offset + 48)
}
