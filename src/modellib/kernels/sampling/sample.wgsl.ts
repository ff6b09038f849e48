/** WGSL of the draw: greedy, or temperature, top_k, top_p and min_p over the whole vocabulary without a sort. */
import type { GpuCaps } from '../../gpu-caps.ts';
import type { KernelSource } from '../../library-spec.ts';
import { createKernel } from '../matrix/kernel-text.ts';
import { readLogitWgsl } from './softmax.wgsl.ts';

/**
 * Many bins mean few passes; but software clears workgroup memory word by word, compiles it so too, and is slow at
 * barriers: it gets fewer of all.
 */
function sampleShape({ isSoftware }: GpuCaps): { workgroup: number; bits: number } {
  return isSoftware === true ? { workgroup: 16, bits: 8 } : { workgroup: 256, bits: 11 };
}

export function sampleKernel(vocabularySize: number, caps: GpuCaps): KernelSource {
  const { isSoftware = false } = caps;
  const { workgroup, bits } = sampleShape(caps);
  const bins = 2 ** bits;
  // A bin for each row. Short rows: few invocations at a time add to the same one.
  const row = Math.max(64, 2 ** Math.ceil(Math.log2(vocabularySize / bins)));
  return createKernel({
    label: `sample_rows${row}${isSoftware ? '_software' : ''}`,
    header: [
      'sample: draws a token from exp((x - max) / T), restricted to the top_k most likely, then to the smallest set of',
      'those with mass >= top_p, then to those with weight >= min_p of the largest',
      'logits (V) f32, read as bits, V in a uniform so that one kernel serves every vocabulary;',
      ' temperature, uniform_number, top_p (1) f32; extras (8) f32: top_k in base 64, min_p;',
      'result (1) i32. extras count where `biased` is 1. One workgroup draws; workgroup i of several (tests do so) draws',
      'from the same logits with number i, into result i.',
      'Every sum is of integers (a weight is a 64-bit fixed point number, the largest 2^40), hence exact in any order:',
      'the same input always gives the same token, and a draw always falls on a kept one. A threshold is found by its',
      'bits, a few at a time, with a histogram over the logits that have the bits found so far; equals at a threshold',
      'stay in order of id. The draw inverts the cumulative sum in order of id: a row, then an invocation, then a token.',
      `params: ${bits} bits a pass, rows of ${row}. Shared: ${bins * 8 + workgroup * 8 + 160} bytes.`,
      'Needs: none. Tolerance vs reference: exact, but for thresholds within an f32 rounding of exp of a token.',
    ],
    bindings: [
      { name: 'logits', type: 'array<u32>', access: 'read' },
      { name: 'temperature', type: 'array<f32>', access: 'read' },
      { name: 'uniform_number', type: 'array<f32>', access: 'read' },
      { name: 'top_p', type: 'array<f32>', access: 'read' },
      { name: 'extras', type: 'array<f32>', access: 'read' },
      { name: 'result', type: 'array<i32>', access: 'read_write' },
    ],
    uniforms: ['vocabulary', 'biased'],
    workgroupSize: workgroup,
    declarations: [
      `const WORKGROUP = ${workgroup}u;
const LANES_EACH = WORKGROUP / 16u;     // invocations of one of sixteen sums
const BITS = ${bits}u;
const LEVELS = ${Math.ceil(32 / bits)}u;
const BINS = ${bins}u;
const ROW = ${row}u;
const BINS_EACH = BINS / WORKGROUP;
const IDS_EACH = (ROW + WORKGROUP - 1u) / WORKGROUP;
const GREEDY_TEMPERATURE = 1e-5;

// Stages of the draw.
const TOP_K = 0u;
const TOP_P = 1u;
const DRAW = 2u;`,
      readLogitWgsl,
      `
// The bound of a short loop.${isSoftware ? ' Hidden from the compiler, which would unroll it: with software that takes many seconds.' : ''}
fn short(count: u32) -> u32 { return ${isSoftware ? 'count * min(uniforms.packGridDimX, 1u)' : 'count'}; }

// 64-bit unsigned integers: x the low word, y the high one.
fn add(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
  let low = a.x + b.x;
  return vec2<u32>(low, a.y + b.y + select(0u, 1u, low < a.x));
}
fn subtract(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
  return vec2<u32>(a.x - b.x, a.y - b.y - select(0u, 1u, a.x < b.x));
}
fn less(a: vec2<u32>, b: vec2<u32>) -> bool { return a.y < b.y || (a.y == b.y && a.x < b.x); }
fn product(a: u32, b: u32) -> vec2<u32> {
  let a_low = a & 0xffffu;
  let a_high = a >> 16u;
  let b_low = b & 0xffffu;
  let b_high = b >> 16u;
  let middle = a_high * b_low + ((a_low * b_low) >> 16u);
  let other = a_low * b_high + (middle & 0xffffu);
  return vec2<u32>(a * b, a_high * b_high + (middle >> 16u) + (other >> 16u));
}
// a b / 2^32, rounded down; the remainder's low word decides whether anything was cut off.
fn scaled(a: vec2<u32>, fraction: u32, round_up: bool) -> vec2<u32> {
  let low = product(a.x, fraction);
  return add(product(a.y, fraction), vec2<u32>(low.y + select(0u, 1u, round_up && low.x != 0u), 0u));
}
// A number from 0 to below 1 in units of 2^-32.
fn fraction_of(x: f32) -> u32 { return u32(clamp(x, 0.0, 0.99999994) * 4294967296.0); }

// The order of the logits as integers: 0 for a masked one, more for a larger one.
fn key_of(x: f32) -> u32 {
  if (x <= MASKED) { return 0u; }
  let bits = bitcast<u32>(x);
  if (bits == 0x80000000u) { return bits; }   // -0 is 0
  return select(bits | 0x80000000u, ~bits, (bits >> 31u) == 1u);
}
fn logit_of(key: u32) -> f32 { return bitcast<f32>(select(~key, key & 0x7fffffffu, (key >> 31u) == 1u)); }

// What the request asks for; the same in every invocation.
var<private> largest: f32;
var<private> inverse_temperature: f32;
var<private> least_weight: f32;
// Tokens that are kept so far: keys above the threshold, and those that equal it below an id.
var<private> threshold: u32;
var<private> equals_end: u32;

fn kept(key: u32, id: u32) -> bool { return key > threshold || (key == threshold && id < equals_end); }
fn weight_of(x: f32) -> f32 {
  if (x >= largest) { return 1.0; }
  return exp(max((x - largest) * inverse_temperature, -100.0));
}
// A weight in units of 2^-40; the scalings are by powers of two, so nothing is rounded but bits below the last.
fn fixed_point(weight: f32) -> vec2<u32> {
  let high = floor(weight * 256.0);
  return vec2<u32>(u32((weight * 256.0 - high) * 4294967296.0), u32(high));
}
// What a token adds to a row: to the draw its weight, in the search for the last of the equals at \`key\` a 1.
fn row_amount(x: f32, id: u32, stage: u32, equals_key: u32) -> vec2<u32> {
  let key = key_of(x);
  if (key == 0u || !kept(key, id)) { return vec2<u32>(0u); }
  if (stage != DRAW) { return vec2<u32>(select(0u, 1u, key == equals_key), 0u); }
  let weight = weight_of(x);
  if (weight < least_weight) { return vec2<u32>(0u); }
  return fixed_point(weight);
}

var<workgroup> bin_low: array<atomic<u32>, BINS>;
var<workgroup> bin_high: array<atomic<u32>, BINS>;
var<workgroup> lane_sums: array<vec2<u32>, WORKGROUP>;
var<workgroup> sixteen_sums: array<vec2<u32>, 16>;
var<workgroup> best_key: atomic<u32>;
var<workgroup> best_id: atomic<u32>;
var<workgroup> found: u32;             // index of the bin, or of the invocation, that a search ended at
var<workgroup> found_rest: vec2<u32>;  // what is left of its target there
var<workgroup> equals_needed: u32;
var<workgroup> any_allowed: u32;

fn add_to_bin(bin: u32, amount: vec2<u32>) {
  let old = atomicAdd(&bin_low[bin], amount.x);
  let high = amount.y + select(0u, 1u, old + amount.x < old);
  if (high != 0u) { atomicAdd(&bin_high[bin], high); }
}
fn bin_value(bin: u32) -> vec2<u32> { return vec2<u32>(atomicLoad(&bin_low[bin]), atomicLoad(&bin_high[bin])); }

// From lane_sums, already written: their sums by sixteen, and the sum of all.
fn sum_lanes(lane: u32) -> vec2<u32> {
  workgroupBarrier();
  if (lane < 16u) {
    var sum = vec2<u32>(0u);
    for (var i = 0u; i < short(LANES_EACH); i++) { sum = add(sum, lane_sums[lane * LANES_EACH + i]); }
    sixteen_sums[lane] = sum;
  }
  workgroupBarrier();
  var total = vec2<u32>(0u);
  for (var i = 0u; i < short(16u); i++) { total = add(total, sixteen_sums[i]); }
  return total;
}
// The first lane with which the cumulative sum reaches \`target\` (x: the lane), and what is left of it there.
fn find_lane(goal: vec2<u32>) -> vec3<u32> {
  var rest = goal;
  var i = 0u;
  while (i < short(15u) && less(sixteen_sums[i], rest)) {
    rest = subtract(rest, sixteen_sums[i]);
    i++;
  }
  i *= LANES_EACH;
  let end = i + short(LANES_EACH) - 1u;
  while (i < end && less(lane_sums[i], rest)) {
    rest = subtract(rest, lane_sums[i]);
    i++;
  }
  return vec3<u32>(i, rest);
}
fn sum_bins(lane: u32) -> vec2<u32> {
  workgroupBarrier();
  var sum = vec2<u32>(0u);
  for (var i = 0u; i < short(BINS_EACH); i++) { sum = add(sum, bin_value(lane * BINS_EACH + i)); }
  lane_sums[lane] = sum;
  return sum_lanes(lane);
}
// By the first invocation alone: the first bin with which the cumulative sum reaches \`target\`.
fn find_bin(goal: vec2<u32>) {
  let start = find_lane(goal);
  var rest = start.yz;
  var bin = start.x * BINS_EACH;
  let end = bin + short(BINS_EACH) - 1u;
  while (bin < end && less(bin_value(bin), rest)) {
    rest = subtract(rest, bin_value(bin));
    bin++;
  }
  found = bin;
  found_rest = rest;
}
fn clear_bins(lane: u32) {
  workgroupBarrier();
  for (var i = lane; i < short(BINS); i += WORKGROUP) {
    atomicStore(&bin_low[i], 0u);
    atomicStore(&bin_high[i], 0u);
  }
  workgroupBarrier();
}`,
    ],
    body: `
  let vocabulary = u32(uniforms.vocabulary);

  // The largest logit, and its lowest id.
  var own_key = 0u;
  var own_id = 0u;
  for (var id = lane; id < vocabulary; id += WORKGROUP) {
    let key = key_of(read_logit(id));
    if (key > own_key) {
      own_key = key;
      own_id = id;
    }
  }
  if (lane == 0u) {
    atomicStore(&best_key, 0u);
    atomicStore(&best_id, vocabulary);
  }
  workgroupBarrier();
  atomicMax(&best_key, own_key);
  workgroupBarrier();
  let largest_key = atomicLoad(&best_key);
  if (own_key == largest_key) { atomicMin(&best_id, own_id); }
  if (lane == 0u) { any_allowed = largest_key; }
  workgroupBarrier();
  if (workgroupUniformLoad(&any_allowed) == 0u) {
    if (lane == 0u) { result[group] = 0; }
    return;
  }
  let likeliest = atomicLoad(&best_id);
  if (temperature[0] <= GREEDY_TEMPERATURE) {
    if (lane == 0u) { result[group] = i32(likeliest); }
    return;
  }

  largest = logit_of(largest_key);
  inverse_temperature = 1.0 / temperature[0];
  threshold = 0u;
  equals_end = 0u;
  let biased = uniforms.biased != 0;
  let top_k = select(0u, u32(extras[0]) + 64u * u32(extras[1]) + 4096u * u32(extras[2]) + 262144u * u32(extras[3]), biased);
  least_weight = select(0.0, min(extras[4], 1.0), biased);

  for (var stage = TOP_K; stage < short(DRAW + 1u); stage++) {
    if ((stage == TOP_K && top_k == 0u) || (stage == TOP_P && top_p[0] >= 1.0)) { continue; }
    var goal = vec2<u32>(max(top_k, 1u), 0u);
    var prefix = 0u;
    if (stage != DRAW) {
      // The threshold, from its highest bits to its lowest: of the keys with the bits so far, a count or a mass for
      // each value of the next bits, the largest in bin 0.
      for (var level = 0u; level < short(LEVELS); level++) {
        let width = min(BITS, 32u - level * BITS);
        let shift = 32u - level * BITS - width;
        let last_bin = (1u << width) - 1u;
        clear_bins(lane);
        for (var id = lane; id < vocabulary; id += WORKGROUP) {
          let x = read_logit(id);
          let key = key_of(x);
          if (key != 0u && kept(key, id) && (level == 0u || ((key >> shift) >> width) == prefix)) {
            var amount = vec2<u32>(1u, 0u);
            if (stage == TOP_P) { amount = fixed_point(weight_of(x)); }
            add_to_bin(last_bin - ((key >> shift) & last_bin), amount);
          }
        }
        let total = sum_bins(lane);
        if (level == 0u) {
          if (stage == TOP_P) { goal = max(vec2<u32>(0u), scaled(total, fraction_of(top_p[0]), true)); }
          if (goal.x == 0u && goal.y == 0u) { goal.x = 1u; }
          if (less(total, goal)) { goal = total; }
        }
        if (lane == 0u) { find_bin(goal); }
        workgroupBarrier();
        goal = found_rest;
        prefix = (prefix << width) | (last_bin - found);
      }
      // The last bin holds the equals at the threshold, and \`goal\` how much of it is needed.
      if (lane == 0u) {
        let all = bin_value(found);
        equals_needed = goal.x;
        if (stage == TOP_P) {
          let unit = fixed_point(weight_of(logit_of(prefix)));
          // The least number of equals whose mass reaches the goal.
          var low = 1u;
          var high = vocabulary;
          while (low < high) {
            let middle = (low + high) / 2u;
            let mass = add(product(unit.x, middle), vec2<u32>(0u, unit.y * middle));
            if (less(mass, goal)) { low = middle + 1u; } else { high = middle; }
          }
          equals_needed = low;
          if (!less(add(product(unit.x, low), vec2<u32>(0u, unit.y * low)), all)) { equals_needed = 0u; }
        } else if (all.x == goal.x) {
          equals_needed = 0u;
        }
      }
      workgroupBarrier();
      let needed = workgroupUniformLoad(&equals_needed);
      if (needed == 0u) {   // all of them
        if (prefix != threshold) { equals_end = vocabulary; }
        threshold = prefix;
        continue;
      }
      goal = vec2<u32>(needed, 0u);
    }

    // Row sums, then the row, the invocation and the token with which the cumulative sum reaches the goal.
    clear_bins(lane);
    for (var start = 4u * lane; start < vocabulary; start += 4u * WORKGROUP) {
      var sum = vec2<u32>(0u);
      for (var id = start; id < min(start + short(4u), vocabulary); id++) {
        sum = add(sum, row_amount(read_logit(id), id, stage, prefix));
      }
      if (sum.x != 0u || sum.y != 0u) { add_to_bin(start / ROW, sum); }
    }
    let total = sum_bins(lane);
    if (stage == DRAW) { goal = add(scaled(total, fraction_of(uniform_number[group]), false), vec2<u32>(1u, 0u)); }
    if (lane == 0u) { find_bin(goal); }
    workgroupBarrier();
    let first = found * ROW + min(lane * IDS_EACH, ROW);
    let row_end = min(found * ROW + ROW, vocabulary);
    goal = found_rest;
    var sum = vec2<u32>(0u);
    for (var id = first; id < min(first + IDS_EACH, row_end); id++) {
      sum = add(sum, row_amount(read_logit(id), id, stage, prefix));
    }
    lane_sums[lane] = sum;
    sum_lanes(lane);
    let place = find_lane(goal);
    goal = place.yz;
    let start = found * ROW + place.x * IDS_EACH;
    var chosen = likeliest;
    for (var id = start; id < min(start + IDS_EACH, row_end); id++) {
      let amount = row_amount(read_logit(id), id, stage, prefix);
      if (amount.x != 0u || amount.y != 0u) {
        chosen = id;
        if (!less(amount, goal)) { break; }
        goal = subtract(goal, amount);
      }
    }
    if (stage == DRAW) {
      if (lane == 0u) { result[group] = i32(chosen); }
    } else {
      threshold = prefix;
      equals_end = chosen + 1u;
    }
  }`,
    f16: false,
    subgroups: false,
  });
}
