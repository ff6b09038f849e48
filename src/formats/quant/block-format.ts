import { WEIGHT_FORMATS, type WeightFormat } from '../../base/weight-formats.ts';
import { type GgmlType, ggmlByteLength } from '../gguf/ggml-types.ts';

/** How a GGUF type's groups are moved into the layout of base/weight-formats.ts and back. */
export interface Packing {
  /**
   * Moves whole groups; every bit of the source is kept. Any run of groups can be packed wherever it begins, and the
   * bytes may lie at any offset of their buffers. `quants` and `scales` have room for exactly the groups of `groups`.
   */
  repack(groups: Uint8Array, quants: Uint8Array, scales: Uint8Array): void;
  /** The inverse of {@link repack}: proves that it loses nothing. */
  unpack(quants: Uint8Array, scales: Uint8Array, groups: Uint8Array): void;
}

/** A GGUF type that the store holds bit for bit. */
export interface BlockFormat extends Packing {
  readonly name: WeightFormat;
  readonly ggmlType: GgmlType;
  readonly groupColumns: number;
  /** Bytes of a group: in the GGUF file, and as packed. */
  readonly sourceBytes: number;
  readonly quantBytes: number;
  /** 0 where the format has no scales. */
  readonly scaleBytes: number;
}

/** Formats that come from GGUF. */
type GgufFormat = {
  [Name in WeightFormat]: (typeof WEIGHT_FORMATS)[Name]['ggmlType'] extends null ? never : Name;
}[WeightFormat];

export function blockFormat(name: GgufFormat, packing: Packing): BlockFormat {
  const sizes = WEIGHT_FORMATS[name];
  return { name, ...sizes, sourceBytes: ggmlByteLength(sizes.ggmlType, sizes.groupColumns), ...packing };
}

/** Little-endian view of bytes at any alignment. */
export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Moves one group, of the file from byte `at`, of its quants from `quantAt`, of its scales from `scaleAt`. */
export type MoveGroup = (
  group: DataView,
  at: number,
  quants: DataView,
  quantAt: number,
  scales: DataView,
  scaleAt: number,
) => void;

/** A format by how one group is packed, and restored. */
export function groupFormat(name: GgufFormat, pack: MoveGroup, restore: MoveGroup): BlockFormat {
  const format = blockFormat(name, {
    repack: (groups, quants, scales) => move(pack, viewOf(groups), viewOf(quants), viewOf(scales)),
    unpack: (quants, scales, groups) => move(restore, viewOf(groups), viewOf(quants), viewOf(scales)),
  });
  const { sourceBytes, quantBytes, scaleBytes } = format;
  function move(moveGroup: MoveGroup, groups: DataView, quants: DataView, scales: DataView): void {
    for (let at = 0, quantAt = 0, scaleAt = 0; at < groups.byteLength; at += sourceBytes) {
      moveGroup(groups, at, quants, quantAt, scales, scaleAt);
      quantAt += quantBytes;
      scaleAt += scaleBytes;
    }
  }
  return format;
}
