/** The compiled runtime by itself: its tables, its pool and its answers to nonsense. No WebGPU. */
import { expect, test } from 'vitest';
import { RuntimeHost, type Value } from '../../../tests/tools/runtime-host.ts';
import { toyContextLength, toySpec } from '../../../tests/tools/toy-library.ts';
import { link } from '../link.ts';

/** mulberry32: the same numbers in every run. */
function createRandom(seed: number): (limit: number) => number {
  let state = seed;
  return (limit) => {
    state = (state + 0x6d2b79f5) | 0;
    let bits = Math.imul(state ^ (state >>> 15), 1 | state);
    bits = (bits + Math.imul(bits ^ (bits >>> 7), 61 | bits)) ^ bits;
    return Math.floor((((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32) * limit);
  };
}

const library = link(toySpec());
const createHost = () => RuntimeHost.create(library);

/** Fills the tensor cache and creates a KV cache. */
async function createReadyHost() {
  const host = await createHost();
  for (const record of toySpec().records) {
    const tensor = host.tensor([64], 'float32', 'webgpu');
    host.callGlobal('vm.builtin.tensor_cache.update', record, tensor, { integer: 0 });
    host.release(tensor.object);
  }
  const names = host.callGlobal('ffi.Array', ...toySpec().records) as { object: number };
  const parameters = host.callGlobal('vm.builtin.param_module_from_cache_by_name', names) as {
    object: number;
  };
  host.release(names.object);
  const kv = createKv(host);
  return { host, kv, parameters };
}

function createKv(host: RuntimeHost, contextLength = toyContextLength, sliding = 0): { object: number } {
  const shapes = [1, contextLength, 32, 16, sliding].map((value) => host.shape(value));
  try {
    return host.callMachine('create_tir_paged_kv_cache', ...shapes) as { object: number };
  } finally {
    for (const { object } of shapes) host.release(object);
  }
}

test('the GPU pool: live tensors share no buffer, idle buffers are used again, large ones are freed', async () => {
  const host = await createHost();
  const random = createRandom(1);
  const kindOf = (byteLength: number) =>
    byteLength > 1 << 20 ? null : Math.max(16, 2 ** Math.ceil(Math.log2(Math.max(1, byteLength))));
  const live: { tensor: { object: number }; buffer: number }[] = [];
  /** How many buffers of a size were ever in use at once: the pool must own no more. */
  const inUse = new Map<number, number>();
  const most = new Map<number, number>();
  const baseline = host.counters().objects;
  for (let i = 0; i < 4000; i++) {
    if (random(100) < 50 && live.length < 60) {
      const byteLength = random(10) === 0 ? (1 << 20) + random(1 << 20) : random(2 ** (1 + random(20)));
      const tensor = host.tensor([byteLength], 'uint8', 'webgpu');
      const buffer = host.bufferOf(tensor);
      expect(live.map((other) => other.buffer)).not.toContain(buffer);
      const capacity = kindOf(byteLength) ?? Math.ceil(byteLength / 4) * 4;
      expect(host.gpuBuffers.get(buffer)).toBe(capacity);
      live.push({ tensor, buffer });
      inUse.set(capacity, (inUse.get(capacity) ?? 0) + 1);
      most.set(capacity, Math.max(most.get(capacity) ?? 0, inUse.get(capacity)!));
    } else if (live.length > 0) {
      const { tensor, buffer } = live.splice(random(live.length), 1)[0]!;
      const capacity = host.gpuBuffers.get(buffer)!;
      inUse.set(capacity, inUse.get(capacity)! - 1);
      host.release(tensor.object);
      expect(host.gpuBuffers.has(buffer)).toBe(capacity <= 1 << 20);
    }
  }
  for (const { tensor } of live) host.release(tensor.object);
  const pooled = [...most].filter(([capacity]) => capacity <= 1 << 20);
  expect(host.gpuBuffers.size).toBe(pooled.reduce((sum, [, count]) => sum + count, 0));
  expect(host.counters()).toMatchObject({ objects: baseline, gpuBuffers: host.gpuBuffers.size });
});

test('a view keeps its buffer, and honours offsets', async () => {
  const host = await createHost();
  const tensor = host.tensor([64], 'float32', 'webgpu');
  const buffer = host.bufferOf(tensor);
  const shape = host.shape(2, 8);
  const view = host.callGlobal('runtime.TVMTensorCreateView', tensor, shape, 'float32', { integer: 128 });
  host.release(tensor.object);
  const other = host.tensor([64], 'float32', 'webgpu');
  expect(host.bufferOf(other)).not.toBe(buffer);
  const target = host.tensor([16], 'float32', 'webgpu');
  host.callGlobal('runtime.TVMTensorCopyFromTo', view, target);
  expect(host.gpuCalls.at(-1)).toEqual({
    name: 'deviceCopyWithinGPU',
    args: [buffer, 128, host.bufferOf(target), 0, 64],
  });
  expect(() =>
    host.callGlobal('runtime.TVMTensorCreateView', view, shape, 'float32', { integer: 4 }),
  ).toThrow('tramontane: a view of 64 bytes at offset 4 does not fit a tensor of 64 bytes');
  host.release((view as { object: number }).object);
  const again = host.tensor([64], 'float32', 'webgpu');
  expect(host.bufferOf(again)).toBe(buffer);
});

test('the tensor cache, against a Map', async () => {
  const host = await createHost();
  const random = createRandom(2);
  const expected = new Map<string, number>();
  const baseline = host.counters().objects;
  const name = () => `layer.${random(40)}.${'abcdefgh'.slice(0, random(9))}.${random(4)}`;
  for (let i = 0; i < 6000; i++) {
    const key = name();
    if (random(3) > 0) {
      const tensor = host.tensor([1], 'int32', 'cpu');
      const replace = random(2);
      const update = () =>
        host.callGlobal('vm.builtin.tensor_cache.update', key, tensor, { integer: replace });
      if (replace === 0 && expected.has(key)) expect(update).toThrow(`"${key}" is there already`);
      else {
        update();
        expected.set(key, tensor.object);
      }
      host.release(tensor.object);
    } else {
      host.callGlobal('vm.builtin.tensor_cache.remove', key);
      expected.delete(key);
    }
    const probe = name();
    const found = host.callGlobal('vm.builtin.tensor_cache.get', probe) as { object: number } | null;
    expect(found?.object).toBe(expected.get(probe));
    if (found !== null) host.release(found.object);
  }
  expect(host.counters().objects).toBe(baseline + expected.size);
  host.callGlobal('vm.builtin.tensor_cache.clear');
  expect(host.counters().objects).toBe(baseline);
});

test('globals: found, replaced only if asked, counted', async () => {
  const host = await createHost();
  expect(host.getGlobal('nothing.here')).toBeNull();
  host.setGlobal('test.f', (a) => (a as number) + 1);
  expect(host.callGlobal('test.f', 41)).toBe(42);
  expect(() => host.setGlobal('test.f', () => 0)).toThrow('registered already');
  const { objects } = host.counters();
  host.setGlobal('test.f', () => 7, true);
  expect(host.callGlobal('test.f')).toBe(7);
  expect(host.counters().objects).toBe(objects);
  host.setGlobal('test.fails', () => {
    throw new Error('a message of the page, with ü');
  });
  expect(() => host.callGlobal('test.fails')).toThrow('a message of the page, with ??');
});

test('types, texts and arrays', async () => {
  const host = await createHost();
  expect([host.typeIndex('ffi.Array'), host.typeIndex('ffi.Module')]).toEqual([71, 73]);
  expect(() => host.typeIndex('ffi.Nothing')).toThrow('tramontane: there is no type "ffi.Nothing"');
  expect([70, 69, 71, 128].map((index) => host.typeKey(index))).toEqual([
    'ffi.Tensor',
    'ffi.Shape',
    'ffi.Array',
    'ffi.Object',
  ]);
  const array = host.callGlobal('ffi.Array', 'one', { integer: -5 }, 2.5) as { object: number };
  const joined = host.callGlobal('tvmjs.runtime.ArrayConcat', array, array) as { object: number };
  host.release(array.object);
  expect(host.callGlobal('ffi.ArraySize', joined)).toBe(6);
  const items = Array.from({ length: 6 }, (_, i) =>
    host.callGlobal('ffi.ArrayGetItem', joined, { integer: i }),
  );
  expect(items).toEqual(['one', -5, 2.5, 'one', -5, 2.5]);
  expect(() => host.callGlobal('ffi.ArrayGetItem', joined, { integer: 6 })).toThrow(
    'item 6 of an array of length 6',
  );
});

test('CPU tensors: bytes in and out, bf16 widened', async () => {
  const host = await createHost();
  const tensor = host.tensor([4], 'float32', 'cpu');
  const floats = new Float32Array([1, -2.5, 0, 1e20]);
  host.callGlobal('tvmjs.runtime.TensorCopyFromBytes', tensor, new Uint8Array(floats.buffer));
  expect(host.callGlobal('tvmjs.runtime.TensorCopyToBytes', tensor)).toEqual(new Uint8Array(floats.buffer));
  const halves = Uint16Array.from(
    new Uint32Array(new Float32Array([3, 0.5, -8, 0]).buffer),
    (bits) => bits >>> 16,
  );
  const decode = (bytes: Uint8Array, format: string) =>
    host.callGlobal('tvmjs.array.decode_storage', tensor, bytes, format, 'float32');
  decode(new Uint8Array(halves.buffer), 'f32-to-bf16');
  const decoded = host.callGlobal('tvmjs.runtime.TensorCopyToBytes', tensor) as Uint8Array;
  expect([...new Float32Array(decoded.buffer)]).toEqual([3, 0.5, -8, 0]);
  expect(() => decode(new Uint8Array(7), 'raw')).toThrow(
    'tramontane: a weight record of 7 bytes; its shape and format need 16',
  );
});

test('a failed GPU allocation names the buffer and leaves nothing behind', async () => {
  const host = await createHost();
  const { objects } = host.counters();
  host.outOfMemory = true;
  expect(() => createKv(host)).toThrow('tramontane: cannot create the planned buffer x: no more GPU memory');
  expect(() => host.tensor([8], 'float32', 'webgpu')).toThrow('no more GPU memory');
  host.outOfMemory = false;
  const kv = createKv(host);
  expect(() => createKv(host)).toThrow('one KV cache, and it is in use');
  host.release(kv.object);
  const { gpuBuffers } = host.counters();
  host.release(createKv(host).object);
  expect(host.counters()).toMatchObject({ objects, gpuBuffers });
});

test('the KV cache is created only as it was linked', async () => {
  const host = await createHost();
  expect(() => createKv(host, toyContextLength + 1)).toThrow(
    'a context of 257 tokens; this library is linked for 256',
  );
  expect(() => createKv(host, toyContextLength, 1)).toThrow('sliding windows are not supported');
  host.release(createKv(host, 100).object);
});

test('dispatches get buffers, uniforms and grid in order; empty grids are skipped', async () => {
  const { host, kv } = await createReadyHost();
  host.callGlobal('vm.builtin.kv_state_add_sequence', kv, { integer: 0 });
  const forward = (name: string, count: number) => {
    const ids = host.tensor([count], 'int32', 'webgpu');
    const x = host.callMachine('embed', ids) as { object: number };
    const shapes = [host.shape(0), host.shape(count)];
    host.callGlobal('vm.builtin.kv_state_begin_forward', kv, ...shapes);
    const results = host.callMachine(name, x, kv, null) as { object: number };
    host.callGlobal('vm.builtin.kv_state_end_forward', kv);
    for (const { object } of [ids, x, ...shapes, results]) host.release(object);
  };
  forward('prefill', 7);
  host.gpuCalls.length = 0;
  forward('prefill', 3);
  const [embed, append, head] = host.gpuCalls.map(({ name, args }) => ({ name, args: args as number[] }));
  expect(embed).toMatchObject({ name: 'toy_embed' });
  expect(embed!.args.slice(3)).toEqual([3, 1]);
  // x, kv, position, grid
  expect(append!.args.slice(2)).toEqual([7, 3, 1]);
  expect(append!.args[0]).toBe(embed!.args[2]);
  // x, weights, bias, kv, logits, first row, position, grid
  expect(head!.args.slice(5)).toEqual([2, 7, 5, 1]);
  expect(head!.args[3]).toBe(append!.args[1]);
  expect(host.callGlobal('vm.builtin.attention_kv_cache_get_sequence_length', kv, { integer: 0 })).toBe(10);

  const logits = host.tensor([1, toySpec().vocabularySize], 'float32', 'webgpu');
  const none = host.tensor([0], 'int32', 'webgpu');
  const { dispatches } = host.counters();
  host.callMachine('apply_logit_bias_inplace', logits, none, none, none);
  expect(host.counters().dispatches).toBe(dispatches);
});

test('nonsense gets an error text, never a trap or a leak', async () => {
  const { host, kv, parameters } = await createReadyHost();
  // As WebLLM does; a kernel that were compiled at its first use would count as a new object.
  for (const name of Object.keys(JSON.parse(host.callMachine('webgpu.get_fmap') as string))) {
    const compiled = host.createFunction(() => null);
    host.callMachine('webgpu.update_prebuild', name, { object: compiled });
    host.release(compiled);
  }
  const random = createRandom(3);
  const globals = [
    'ffi.Shape',
    'ffi.Array',
    'ffi.ArrayGetItem',
    'ffi.ArraySize',
    'tvmjs.runtime.ArrayConcat',
    'runtime.TVMTensorAllocWithScope',
    'runtime.TVMTensorCreateView',
    'runtime.TVMTensorCopyFromTo',
    'tvmjs.runtime.TensorCopyFromBytes',
    'tvmjs.runtime.TensorCopyToBytes',
    'tvmjs.array.decode_storage',
    'tvmjs.runtime.ConcatEmbeddings',
    'ffi.ModuleGetFunction',
    'ffi.ModuleImportModule',
    'vm.builtin.tensor_cache.get',
    'vm.builtin.tensor_cache.remove',
    'vm.builtin.param_module_from_cache_by_name',
    'vm.builtin.kv_state_clear',
    'vm.builtin.kv_state_add_sequence',
    'vm.builtin.kv_state_remove_sequence',
    'vm.builtin.kv_state_popn',
    'vm.builtin.kv_state_begin_forward',
    'vm.builtin.kv_state_end_forward',
    'vm.builtin.attention_kv_cache_get_sequence_length',
  ];
  const machine = [
    '_metadata',
    'vm_initialization',
    'create_tir_paged_kv_cache',
    'embed',
    'prefill',
    'decode',
    'score',
    'apply_bitmask_inplace',
    'apply_logit_bias_inplace',
    'apply_penalty_inplace',
    'softmax_with_temperature',
    'argsort_probs',
    'sample_with_top_p',
    'webgpu.get_fmap',
    'webgpu.get_shader',
  ];
  const objects = [
    kv,
    parameters,
    host.shape(0),
    host.shape(1),
    host.shape(3, -1),
    host.shape(2 ** 31, 2 ** 31, 2 ** 31),
    host.shape(),
    host.tensor([3], 'int32', 'webgpu'),
    host.tensor([1, 3, 64], 'float32', 'webgpu'),
    host.tensor([1, toySpec().vocabularySize], 'float32', 'webgpu'),
    host.tensor([], 'float32', 'cpu'),
    host.tensor([2, 2], 'uint8', 'cpu'),
    host.callGlobal('ffi.Array', 'embed', 'x') as { object: number },
    host.callGlobal('ffi.Array', { integer: 1 }) as { object: number },
    host.callGlobal('ffi.SystemLib') as { object: number },
    { object: host.createFunction(() => null) },
  ];
  const values: Value[] = [
    null,
    0,
    -1.5,
    Number.NaN,
    { integer: 0 },
    { integer: 1 },
    { integer: -1 },
    { integer: 2 ** 40 },
    '',
    'embed',
    'float32',
    'bfloat16',
    'f32-to-bf16',
    'toy_head',
    new Uint8Array(5),
    { device: 'cpu' },
    { device: 'webgpu' },
    ...objects,
  ];
  const perform = (body: () => Value) => {
    try {
      const value = body();
      if (typeof value === 'object' && value !== null && 'object' in value) host.release(value.object);
      return true;
    } catch (error) {
      expect(error).not.toBeInstanceOf(WebAssembly.RuntimeError);
      expect((error as Error).message).toMatch(/^tramontane: /);
      return false;
    }
  };
  let succeeded = 0;
  const round = (count: number) => {
    for (let i = 0; i < count; i++) {
      const args = Array.from({ length: random(7) }, () => values[random(values.length)]!);
      const pick = random(globals.length + machine.length);
      const name = globals[pick] ?? machine[pick - globals.length]!;
      const call = () =>
        pick < globals.length ? host.callGlobal(name, ...args) : host.callMachine(name, ...args);
      if (perform(call)) succeeded++;
    }
    // What sampling keeps of the last softmax call is dropped by a sampling call.
    const scalar = host.tensor([1], 'float32', 'webgpu');
    perform(() => host.callMachine('sample_with_top_p', scalar, scalar, scalar, scalar, scalar));
    host.release(scalar.object);
  };
  round(4000);
  const before = host.counters();
  round(20_000);
  const after = host.counters();
  expect(succeeded).toBeGreaterThan(1000);
  expect(after.objects).toBe(before.objects);
});
