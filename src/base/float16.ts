/** IEEE 754 binary16, as the bits in a Uint16Array: JavaScript engines without Float16Array are still in use. */

const scratch = new DataView(new ArrayBuffer(4));

/** The value of 16 bits of binary16, subnormals, infinities and NaN included. */
export function float16ToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction === 0 ? sign * Infinity : Number.NaN;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** The bits of the binary16 nearest to `value` (ties to even); beyond its range an infinity. */
export function numberToFloat16(value: number): number {
  scratch.setFloat32(0, value);
  const sign = (scratch.getUint32(0) >>> 16) & 0x8000;
  if (Number.isNaN(value)) return 0x7e00;
  const magnitude = Math.abs(value);
  if (magnitude >= 65520) return sign | 0x7c00;
  // One unit in the last place, 2^-24 for subnormals.
  const exponent = Math.max(-14, Math.floor(Math.log2(magnitude || 1)));
  const unit = 2 ** ((magnitude < 2 ** exponent ? exponent - 1 : exponent) - 10);
  const step = Math.max(unit, 2 ** -24);
  const quotient = magnitude / step;
  const floor = Math.floor(quotient);
  const rest = quotient - floor;
  const rounded = (rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor) * step;
  if (rounded < 2 ** -14) return sign | (rounded * 2 ** 24);
  let e = Math.floor(Math.log2(rounded));
  if (rounded < 2 ** e) e--;
  if (rounded >= 2 ** (e + 1)) e++;
  return sign | ((e + 15) << 10) | Math.round((rounded / 2 ** e - 1) * 1024);
}
