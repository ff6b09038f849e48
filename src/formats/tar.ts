/**
 * Uncompressed tar archives (POSIX ustar), composed as a blob of blobs: nothing is copied, and a file's bytes are read
 * when the archive's are. Format: https://pubs.opengroup.org/onlinepubs/9699919799/utilities/pax.html#tag_20_92_13_06
 */

const BLOCK = 512;
/** Of a file: eleven octal digits. */
const MAX_FILE_BYTES = 8 ** 11 - 1;
const MAX_NAME_BYTES = 100;
const MAX_PREFIX_BYTES = 155;

export interface TarFile {
  /**
   * Path within the archive, with `/` between folders. At most 100 bytes of UTF-8, and as many as 155 more before one of
   * the slashes.
   */
  path: string;
  contents: Blob;
}

/**
 * @param modifiedMs recorded for every file, in Unix milliseconds
 * @throws RangeError for a path or file that the format cannot hold
 */
export function createTar(files: readonly TarFile[], modifiedMs: number): Blob {
  const parts: BlobPart[] = [];
  for (const { path, contents } of files) {
    parts.push(createHeader(path, contents.size, modifiedMs), contents);
    const padding = (BLOCK - (contents.size % BLOCK)) % BLOCK;
    if (padding > 0) parts.push(new Uint8Array(padding));
  }
  // Two empty blocks end an archive.
  parts.push(new Uint8Array(2 * BLOCK));
  return new Blob(parts, { type: 'application/x-tar' });
}

/** Offset and length of a header's fields. */
const FIELDS = {
  name: [0, MAX_NAME_BYTES],
  mode: [100, 8],
  owner: [108, 8],
  group: [116, 8],
  size: [124, 12],
  modified: [136, 12],
  checksum: [148, 8],
  type: [156, 1],
  magic: [257, 6],
  version: [263, 2],
  prefix: [345, MAX_PREFIX_BYTES],
} as const;

/** The folders that do not fit into the name go to the prefix; the slash between the two is not written. */
function splitPath(path: string): [prefix: string, name: string] {
  const byteLengthOf = (text: string) => new TextEncoder().encode(text).byteLength;
  if (byteLengthOf(path) <= MAX_NAME_BYTES) return ['', path];
  for (let slash = path.indexOf('/'); slash >= 0; slash = path.indexOf('/', slash + 1)) {
    const [prefix, name] = [path.slice(0, slash), path.slice(slash + 1)];
    if (byteLengthOf(name) <= MAX_NAME_BYTES) return [prefix, name];
  }
  return ['', path];
}

function createHeader(path: string, byteLength: number, modifiedMs: number): Uint8Array<ArrayBuffer> {
  const header = new Uint8Array(BLOCK);
  const write = (field: keyof typeof FIELDS, text: string) => {
    const bytes = new TextEncoder().encode(text);
    const [offset, length] = FIELDS[field];
    if (bytes.byteLength > length)
      throw new RangeError(`"${text}" is too long for the ${field} field of a tar`);
    header.set(bytes, offset);
  };
  const writeNumber = (field: keyof typeof FIELDS, value: number) =>
    write(field, value.toString(8).padStart(FIELDS[field][1] - 1, '0'));
  if (byteLength > MAX_FILE_BYTES) {
    throw new RangeError(`"${path}" has ${byteLength} bytes, a tar holds files of at most ${MAX_FILE_BYTES}`);
  }
  const [prefix, name] = splitPath(path);
  write('prefix', prefix);
  write('name', name);
  writeNumber('mode', 0o644);
  writeNumber('owner', 0);
  writeNumber('group', 0);
  writeNumber('size', byteLength);
  writeNumber('modified', Math.floor(modifiedMs / 1000));
  write('type', '0');
  write('magic', 'ustar\0');
  write('version', '00');
  // The checksum is taken with its own field full of spaces.
  write('checksum', ' '.repeat(FIELDS.checksum[1]));
  const sum = header.reduce((total, byte) => total + byte, 0);
  write('checksum', `${sum.toString(8).padStart(6, '0')}\0 `);
  return header;
}
