/** SHA-256 of bytes in memory, by WebCrypto, which makes a copy of them while it works. @returns 64 hex digits */
export async function sha256Hex(bytes: BufferSource): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
