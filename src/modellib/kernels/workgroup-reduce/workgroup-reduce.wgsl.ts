/** WGSL of a reduction over a whole workgroup, shared by kernels that need one. */

/**
 * Declares `<name>(x, lane…) -> f32`: the sum or maximum of x over a workgroup of `workgroupSize` invocations (a
 * multiple of 16), returned to each. To be called from uniform control flow, with {@link reduceArguments} after x.
 * With subgroups of any size that divides the workgroup, which hold consecutive invocations (as those of a
 * one-dimensional workgroup do on every driver known to us); the order of additions, so the result, is fixed on a device.
 */
export function workgroupReduceWgsl(
  name: string,
  operation: 'sum' | 'max',
  workgroupSize: number,
  subgroups: boolean,
): string {
  const combine = (a: string, b: string) => (operation === 'sum' ? `${a} + ${b}` : `max(${a}, ${b})`);
  if (subgroups) {
    const intrinsic = operation === 'sum' ? 'subgroupAdd' : 'subgroupMax';
    return `var<workgroup> ${name}_scratch: array<f32, ${workgroupSize / 4}>;   // one per subgroup, of 4 or more
fn ${name}(x: f32, lane: u32, subgroup_lane: u32, subgroup_size: u32) -> f32 {
  let own = ${intrinsic}(x);
  if (subgroup_lane == 0u) { ${name}_scratch[lane / subgroup_size] = own; }
  workgroupBarrier();
  var all = ${name}_scratch[0];
  for (var i = 1u; i < ${workgroupSize}u / subgroup_size; i++) { all = ${combine('all', `${name}_scratch[i]`)}; }
  workgroupBarrier();
  return all;
}`;
  }
  return `var<workgroup> ${name}_scratch: array<f32, ${workgroupSize}>;
var<workgroup> ${name}_sixteen: array<f32, 16>;
fn ${name}(x: f32, lane: u32) -> f32 {
  ${name}_scratch[lane] = x;
  workgroupBarrier();
  if (lane < 16u) {
    var own = ${name}_scratch[lane];
    for (var i = lane + 16u; i < ${workgroupSize}u; i += 16u) { own = ${combine('own', `${name}_scratch[i]`)}; }
    ${name}_sixteen[lane] = own;
  }
  workgroupBarrier();
  var all = ${name}_sixteen[0];
  for (var i = 1u; i < 16u; i++) { all = ${combine('all', `${name}_sixteen[i]`)}; }
  workgroupBarrier();
  return all;
}`;
}

/** The arguments after x, by the names that `createKernel` gives an entry point's built-ins. */
export function reduceArguments(subgroups: boolean): string {
  return subgroups ? 'lane, subgroup_lane, subgroup_size' : 'lane';
}
