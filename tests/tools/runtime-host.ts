/**
 * The JS side of the FFI, as small as it can be: calls a linked library the way tvmjs does, with a GPU that is only a
 * table of byte lengths. For tests of the runtime that need no WebGPU; layouts as in the assembly's own drawings.
 */

/** An argument or result. Objects are addresses whose reference the test owns. */
export type Value =
  | null
  | number
  | string
  | Uint8Array
  | { integer: number }
  | { opaque: number }
  | { device: 'cpu' | 'webgpu' }
  | { object: number };

const FIRST_OBJECT_TYPE = 64;
const TYPE_TEXT = 65;
const TYPE_BYTES = 66;

type JsFunction = (...args: Value[]) => Value | undefined;

export class RuntimeHost {
  readonly #exports: Record<string, (...args: number[]) => number>;
  readonly #memory: WebAssembly.Memory;
  readonly #functions: (JsFunction | null)[] = [null];
  /** Byte lengths of the GPU buffers that exist, by id. */
  readonly gpuBuffers = new Map<number, number>();
  /** What `deviceCopyWithinGPU` and the kernels were called with. */
  readonly gpuCalls: { name: string; args: Value[] }[] = [];
  /** GPU allocations fail while this is set. */
  outOfMemory = false;
  #nextBuffer = 1;

  static async create(library: BufferSource): Promise<RuntimeHost> {
    let host: RuntimeHost | null = null;
    const { instance } = await WebAssembly.instantiate(library, {
      env: {
        TVMFFIWasmSafeCall: (index: number, args: number, count: number, result: number) =>
          host!.#callJs(index, args, count, result),
        TVMFFIWasmFunctionDeleter: (index: number) => {
          host!.#functions[index] = null;
        },
      },
    });
    host = new RuntimeHost(instance.exports as Record<string, unknown>);
    host.#exports._initialize!();
    host.#installGpu();
    return host;
  }

  private constructor(exports: Record<string, unknown>) {
    this.#exports = exports as Record<string, (...args: number[]) => number>;
    this.#memory = exports.memory as WebAssembly.Memory;
  }

  #installGpu(): void {
    const api: Record<string, JsFunction> = {
      deviceAllocDataSpace: (byteLength) => {
        if (this.outOfMemory) throw new Error('no more GPU memory');
        this.gpuBuffers.set(this.#nextBuffer, byteLength as number);
        return this.#nextBuffer++;
      },
      deviceFreeDataSpace: (id) => {
        if (!this.gpuBuffers.delete(id as number)) throw new Error(`buffer ${id} is freed twice`);
        return null;
      },
      deviceCopyToGPU: () => null,
      deviceCopyFromGPU: () => null,
      deviceCopyWithinGPU: (...args) => {
        this.gpuCalls.push({ name: 'deviceCopyWithinGPU', args });
        return null;
      },
    };
    const handles = new Map(Object.entries(api).map(([name, body]) => [name, this.createFunction(body)]));
    this.setGlobal('wasm.WebGPUDeviceAPI', (name) => ({ object: handles.get(name as string)! }));
    this.setGlobal('wasm.WebGPUCreateShader', (entry) => {
      const { name } = JSON.parse(entry as string) as { name: string };
      const handle = this.createFunction((...args) => {
        this.gpuCalls.push({ name, args });
        return null;
      });
      return { object: handle };
    });
  }

  get #view(): DataView {
    return new DataView(this.#memory.buffer);
  }

  #call(name: string, ...args: number[]): void {
    if (this.#exports[name]!(...args) !== 0) throw new Error(this.lastError());
  }

  lastError(): string {
    return this.#cText(this.#exports.TVMFFIWasmGetLastError!());
  }

  #cText(address: number): string {
    const bytes = new Uint8Array(this.#memory.buffer);
    return new TextDecoder('latin1').decode(bytes.subarray(address, bytes.indexOf(0, address)));
  }

  /** Runs `body` with memory that is freed afterwards. */
  #withMemory<T>(byteLength: number, body: (address: number) => T): T {
    const address = this.#exports.TVMWasmAllocSpace!(byteLength);
    try {
      return body(address);
    } finally {
      this.#exports.TVMWasmFreeSpace!(address);
    }
  }

  /** A span {address, length} of a name, for as long as `body` runs. */
  #withName<T>(name: string, body: (span: number) => T): T {
    return this.#withMemory(8 + name.length, (span) => {
      new Uint8Array(this.#memory.buffer).set(new TextEncoder().encode(name), span + 8);
      this.#view.setUint32(span, span + 8, true);
      this.#view.setUint32(span + 4, name.length, true);
      return body(span);
    });
  }

  createFunction(body: JsFunction): number {
    this.#functions.push(body);
    return this.#withMemory(4, (out) => {
      this.#call('TVMFFIWasmFunctionCreate', this.#functions.length - 1, out);
      return this.#view.getUint32(out, true);
    });
  }

  setGlobal(name: string, body: JsFunction, replace = false): void {
    const handle = this.createFunction(body);
    try {
      this.#withName(name, (span) => this.#call('TVMFFIFunctionSetGlobal', span, handle, replace ? 1 : 0));
    } finally {
      this.release(handle);
    }
  }

  /** A new reference, or null. */
  getGlobal(name: string): number | null {
    return this.#withName(name, (span) =>
      this.#withMemory(4, (out) => {
        this.#call('TVMFFIFunctionGetGlobal', span, out);
        return this.#view.getUint32(out, true) || null;
      }),
    );
  }

  release(object: number): void {
    this.#call('TVMFFIObjectDecRef', object);
  }

  /** Calls a global function. @throws Error with the runtime's message. */
  callGlobal(name: string, ...args: Value[]): Value {
    const handle = this.getGlobal(name);
    if (handle === null) throw new Error(`no global ${name}`);
    try {
      return this.call(handle, ...args);
    } finally {
      this.release(handle);
    }
  }

  call(handle: number, ...args: Value[]): Value {
    const texts: number[] = [];
    try {
      return this.#withMemory(16 * (args.length + 1), (result) => {
        for (const [i, arg] of args.entries()) this.#writeAny(result + 16 * (i + 1), arg, texts);
        this.#view.setBigUint64(result, 0n, true);
        this.#view.setBigUint64(result + 8, 0n, true);
        this.#call('TVMFFIFunctionCall', handle, result + 16, args.length, result);
        return this.#takeAny(result);
      });
    } finally {
      for (const address of texts) this.#exports.TVMWasmFreeSpace!(address);
    }
  }

  #writeAny(any: number, value: Value, texts: number[]): void {
    const set = (type: number, write: (view: DataView, at: number) => void) => {
      this.#view.setUint32(any, type, true);
      this.#view.setUint32(any + 4, 0, true);
      this.#view.setBigUint64(any + 8, 0n, true);
      write(this.#view, any + 8);
    };
    const bytesAt = (bytes: Uint8Array, before: number) => {
      const address = this.#exports.TVMWasmAllocSpace!(before + bytes.length + 1);
      texts.push(address);
      const memory = new Uint8Array(this.#memory.buffer);
      memory.set(bytes, address + before);
      memory[address + before + bytes.length] = 0;
      return address;
    };
    if (value === null) set(0, () => undefined);
    else if (typeof value === 'number') set(3, (view, at) => view.setFloat64(at, value, true));
    else if (typeof value === 'string') {
      const address = bytesAt(new TextEncoder().encode(value), 0);
      set(8, (view, at) => view.setUint32(at, address, true));
    } else if (value instanceof Uint8Array) {
      const span = bytesAt(value, 8);
      this.#view.setUint32(span, span + 8, true);
      this.#view.setUint32(span + 4, value.length, true);
      set(9, (view, at) => view.setUint32(at, span, true));
    } else if ('integer' in value) set(1, (view, at) => view.setBigInt64(at, BigInt(value.integer), true));
    else if ('opaque' in value) set(4, (view, at) => view.setUint32(at, value.opaque, true));
    else if ('device' in value)
      set(6, (view, at) => view.setUint32(at, value.device === 'cpu' ? 1 : 15, true));
    else
      set(this.#view.getInt32(value.object + 8, true), (view, at) => view.setUint32(at, value.object, true));
  }

  /** Reads an owned Any; texts and bytes are copied and released. */
  #takeAny(any: number): Value {
    const view = this.#view;
    const type = view.getInt32(any, true);
    if (type === 0) return null;
    if (type === 1 || type === 2) return Number(view.getBigInt64(any + 8, true));
    if (type === 3) return view.getFloat64(any + 8, true);
    if (type === 4) return { opaque: view.getUint32(any + 8, true) };
    if (type < FIRST_OBJECT_TYPE) throw new Error(`unexpected type ${type}`);
    const object = view.getUint32(any + 8, true);
    if (type !== TYPE_TEXT && type !== TYPE_BYTES) return { object };
    const address = view.getUint32(object + 24, true);
    const bytes = new Uint8Array(this.#memory.buffer).slice(
      address,
      address + view.getUint32(object + 28, true),
    );
    this.release(object);
    return type === TYPE_BYTES ? bytes : new TextDecoder('latin1').decode(bytes);
  }

  #callJs(index: number, args: number, count: number, result: number): number {
    const owned: number[] = [];
    try {
      const values = Array.from({ length: count }, (_, i) => {
        const any = args + 16 * i;
        if (this.#view.getInt32(any, true) >= 8) this.#call('TVMFFIAnyViewToOwnedAny', any, any);
        const value = this.#takeAny(any);
        if (value !== null && typeof value === 'object' && 'object' in value) owned.push(value.object);
        return typeof value === 'object' && value !== null && 'opaque' in value ? value.opaque : value;
      });
      const value = this.#functions[index]!(...values) ?? null;
      const texts: number[] = [];
      this.#withMemory(16, (any) => {
        this.#writeAny(any, value, texts);
        this.#call('TVMFFIAnyViewToOwnedAny', any, result);
      });
      return 0;
    } catch (error) {
      const message = new TextEncoder().encode(`${error instanceof Error ? error.message : error}\0`);
      this.#withMemory(message.length, (address) => {
        new Uint8Array(this.#memory.buffer).set(message, address);
        this.#exports.TVMFFIErrorSetRaisedFromCStr!(address, address);
      });
      return -1;
    } finally {
      for (const object of owned) this.release(object);
    }
  }

  /** Calls a function of the virtual machine. */
  callMachine(name: string, ...args: Value[]): Value {
    const library = this.callGlobal('ffi.SystemLib') as { object: number };
    const load = this.callGlobal('ffi.ModuleGetFunction', library, 'vm_load_executable', { integer: 1 });
    const machine = this.call((load as { object: number }).object) as { object: number };
    const body = this.callGlobal('ffi.ModuleGetFunction', machine, name, { integer: 1 });
    for (const { object } of [library, load as { object: number }, machine]) this.release(object);
    if (body === null) throw new Error(`no function ${name}`);
    try {
      return this.call((body as { object: number }).object, ...args);
    } finally {
      this.release((body as { object: number }).object);
    }
  }

  /** A shape object. */
  shape(...dimensions: number[]): { object: number } {
    return this.callGlobal('ffi.Shape', ...dimensions.map((integer) => ({ integer }))) as { object: number };
  }

  tensor(dimensions: number[], dtype: string, device: 'cpu' | 'webgpu'): { object: number } {
    const shape = this.shape(...dimensions);
    try {
      const args = [shape, dtype, { device }, null];
      return this.callGlobal('runtime.TVMTensorAllocWithScope', ...args) as { object: number };
    } finally {
      this.release(shape.object);
    }
  }

  /** The GPU buffer of a tensor. */
  bufferOf(tensor: { object: number }): number {
    return this.#view.getUint32(tensor.object + 24, true);
  }

  counters() {
    return {
      objects: this.#exports.tramontane_live_objects!(),
      gpuBuffers: this.#exports.tramontane_gpu_buffer_count!(),
      gpuAllocations: this.#exports.tramontane_gpu_allocation_total!(),
      dispatches: this.#exports.tramontane_dispatch_total!(),
    };
  }

  typeKey(typeIndex: number): string {
    const info = this.#exports.TVMFFIGetTypeInfo!(typeIndex);
    const address = this.#view.getUint32(info + 8, true);
    const bytes = new Uint8Array(this.#memory.buffer, address, this.#view.getUint32(info + 12, true));
    return new TextDecoder().decode(bytes);
  }

  typeIndex(key: string): number {
    return this.#withName(key, (span) =>
      this.#withMemory(4, (out) => {
        this.#call('TVMFFITypeKeyToIndex', span, out);
        return this.#view.getInt32(out, true);
      }),
    );
  }
}
