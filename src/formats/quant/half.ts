/** The names under which tests/conformance reads base/float16.ts. */
export { float16ToNumber as halfToFloat, numberToFloat16 as floatToHalf } from '../../base/float16.ts';
