/** Reads what a binary COPY holds, apart from the code that writes it. */

const signature = Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1')
const headerBytes = 19

/**
 * Format: https://www.postgresql.org/docs/current/sql-copy.html (Binary Format).
 * @returns the rows, each as its bytes
 * @throws Error where the server would not take it
 */
export function rowsOf(copy: Buffer, columns: number): Buffer[] {
  if (!copy.subarray(0, signature.length).equals(signature)) throw new Error('the COPY has no signature')
  const rows: Buffer[] = []
  for (let at = headerBytes; ;) {
    const start = at
    const fields = copy.readInt16BE(at)
    at += 2
    if (fields === -1) {
      if (at !== copy.length) throw new Error(`${copy.length - at} bytes stand behind the end of the COPY`)
      return rows
    }
    if (fields !== columns) throw new Error(`a row has ${fields} fields, not ${columns}`)
    for (let field = 0; field < fields; field++) {
      const length = copy.readInt32BE(at)
      at += 4
      if (length < -1) throw new Error(`a field of ${length} bytes`)
      if (length > 0) at += length
    }
    if (at > copy.length) throw new Error('a field goes beyond the end of the COPY')
    rows.push(copy.subarray(start, at))
  }
}
