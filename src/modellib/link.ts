/**
 * Places a library spec into the precompiled runtime: the result is a WebAssembly module that unmodified WebLLM takes
 * as its `model_lib`. What it writes is drawn in `runtime/payload-layout.ts`. Pure: runs in Node and in workers.
 */
import { TramontaneError } from '../base/errors.ts';
import type {
  BufferRef,
  DimExpr,
  KernelSource,
  LibrarySpec,
  ProgramVariant,
  Step,
  Variable,
} from './library-spec.ts';
import { PayloadWriter } from './payload-writer.ts';
import * as layout from './runtime/payload-layout.ts';
import { runtimeWasmBase64 } from './runtime/runtime.generated.ts';
import { addDataSegment, splitWasm, type WasmTemplate } from './wasm-sections.ts';

const variableIndices: Record<Variable, number> = {
  one: layout.VARIABLE_ONE,
  tokens: layout.VARIABLE_TOKENS,
  position: layout.VARIABLE_POSITION,
  length: layout.VARIABLE_LENGTH,
  count: layout.VARIABLE_COUNT,
  biased: layout.VARIABLE_BIASED,
};

/** No limit on a call's tokens. */
const ANY_TOKENS = 0xffffffff;
const MAX_BUFFER_BYTES = 2 ** 30;

let template: WasmTemplate | null = null;

function runtimeTemplate(): WasmTemplate {
  if (template === null) {
    const binary = atob(runtimeWasmBase64);
    const wasm = new Uint8Array(binary.length);
    for (let i = 0; i < binary.length; i++) wasm[i] = binary.charCodeAt(i);
    template = splitWasm(wasm);
  }
  return template;
}

function invalid(message: string, data: Record<string, string | number> = {}): TramontaneError {
  return new TramontaneError('library-invalid', message, { data });
}

/**
 * @returns the model library, a WebAssembly module.
 * @throws TramontaneError library-invalid if the spec contradicts itself, is not ASCII or does not fit.
 */
export function link(spec: LibrarySpec): Uint8Array<ArrayBuffer> {
  return addDataSegment(runtimeTemplate(), layout.PAYLOAD_ADDRESS, new Linker(spec).writePayload());
}

/** One linking: collects addresses while it writes the payload. */
class Linker {
  readonly #spec: LibrarySpec;
  readonly #writer = new PayloadWriter();
  readonly #kernels = new Map<string, { kernel: KernelSource; address: number }>();
  readonly #buffers = new Map<string, number>();
  readonly #records = new Map<string, number>();
  readonly #dims = new Map<string, number>();

  constructor(spec: LibrarySpec) {
    this.#spec = spec;
  }

  writePayload(): Uint8Array {
    const spec = this.#spec;
    const writer = this.#writer;
    const programs = this.#programs();
    const header = writer.reserve(layout.HEADER_BYTES);
    writer.setU32(header + layout.HEADER_MAGIC, layout.PAYLOAD_MAGIC);
    writer.setU32(header + layout.HEADER_VERSION, layout.PAYLOAD_VERSION);
    writer.setU32(header + layout.HEADER_HIDDEN_SIZE, count('hiddenSize', spec.hiddenSize));
    writer.setU32(header + layout.HEADER_VOCABULARY_SIZE, count('vocabularySize', spec.vocabularySize));
    writer.setU32(header + layout.HEADER_CONTEXT_LENGTH, count('contextLength', spec.contextLength));
    writer.setU32(
      header + layout.HEADER_PREFILL_CHUNK_LENGTH,
      count('prefillChunkLength', spec.prefillChunkLength),
    );
    const scoreChunkLength = spec.programs.score.length === 0 ? 0 : spec.scoreChunkLength;
    writer.setU32(header + layout.HEADER_SCORE_CHUNK_LENGTH, scoreChunkLength);
    writer.setSpan(header + layout.HEADER_METADATA, writer.addText(this.#metadata(), 'The metadata'));
    this.#writeKernels(header, programs);
    this.#writeBuffers(header);
    this.#writeRecords(header);
    this.#writeResults(header, scoreChunkLength);
    for (const [index, program] of programs.entries()) {
      const variants = this.#writeProgram(program);
      writer.setSpan(header + layout.HEADER_PROGRAMS + index * 8, {
        address: variants,
        length: program.variants.length,
      });
    }
    writer.setU32(header + layout.HEADER_BYTE_LENGTH, writer.byteLength);
    return writer.bytes();
  }

  /** All programs, by PROGRAM_*. */
  #programs(): Program[] {
    const { programs, prefillChunkLength, scoreChunkLength } = this.#spec;
    const single = (
      name: Program['name'],
      argumentCount: number,
      steps: readonly Step[],
      maxTokens: number,
    ): Program => ({
      name,
      argumentCount,
      variants: [{ maxTokens, steps }],
    });
    checkVariants('prefill', programs.prefill, prefillChunkLength);
    if (programs.score.length > 0) checkVariants('score', programs.score, scoreChunkLength);
    return [
      single('embed', 1, programs.embed, ANY_TOKENS),
      single('decode', 0, programs.decode, 1),
      { name: 'prefill', argumentCount: 0, variants: programs.prefill },
      { name: 'score', argumentCount: 0, variants: programs.score },
      single('applyBitmask', 3, programs.applyBitmask, ANY_TOKENS),
      single('applyLogitBias', 4, programs.applyLogitBias, ANY_TOKENS),
      single('applyPenalty', 6, programs.applyPenalty, ANY_TOKENS),
      single('softmax', 2, programs.softmax, ANY_TOKENS),
      single('sample', 4, programs.sample, ANY_TOKENS),
    ];
  }

  /** The metadata as JSON, checked against the records that WebLLM will be told to load. */
  #metadata(): string {
    const { metadata, records } = this.#spec;
    const params: unknown = metadata.params;
    const names = Array.isArray(params)
      ? params.map((param: { name?: unknown } | null) => param?.name)
      : null;
    if (names === null || names.length !== records.length || names.some((name, i) => name !== records[i])) {
      throw invalid(
        `metadata.params must name the ${records.length} weight records in their order; ` +
          `it has ${names === null ? 'no list' : `${names.length} names`}.`,
      );
    }
    if (metadata.prefill_chunk_size !== this.#spec.prefillChunkLength) {
      throw invalid(
        `metadata.prefill_chunk_size is ${String(metadata.prefill_chunk_size)}; ` +
          `the spec's prefillChunkLength is ${this.#spec.prefillChunkLength}.`,
      );
    }
    return JSON.stringify(metadata);
  }

  /** Writes every kernel once, and the function map that tells WebLLM of them. */
  #writeKernels(header: number, programs: readonly Program[]): void {
    const writer = this.#writer;
    for (const { variants } of programs) {
      for (const { steps } of variants) {
        for (const { kernel } of steps) {
          const present = this.#kernels.get(kernel.name);
          if (present === undefined) {
            checkKernel(kernel);
            this.#kernels.set(kernel.name, { kernel, address: 0 });
          } else if (!sameKernel(present.kernel, kernel)) {
            throw invalid(
              `Two kernels are named ${kernel.name} but differ in source, bindings or uniforms.`,
              {
                kernel: kernel.name,
              },
            );
          }
        }
      }
    }
    const table = writer.reserve(this.#kernels.size * layout.KERNEL_BYTES);
    const entries = [...this.#kernels.values()].map((entry) => fmapEntry(entry.kernel));
    const names = [...this.#kernels.keys()].map((name) => JSON.stringify(name));
    const fmap = writer.addText(`{${names.map((name, i) => `${name}:${entries[i]}`).join(',')}}`, 'The fmap');
    let entryAddress = fmap.address + 1;
    let address = table;
    for (const [i, entry] of [...this.#kernels.values()].entries()) {
      const { kernel } = entry;
      entryAddress += names[i]!.length + 1;
      writer.setSpan(address + layout.KERNEL_NAME, writer.addText(kernel.name, 'A kernel name'));
      writer.setSpan(address + layout.KERNEL_FMAP_ENTRY, {
        address: entryAddress,
        length: entries[i]!.length,
      });
      writer.setSpan(address + layout.KERNEL_WGSL, writer.addText(kernel.wgsl, `The WGSL of ${kernel.name}`));
      writer.setU16(address + layout.KERNEL_BINDING_COUNT, kernel.bindings.length);
      writer.setU16(address + layout.KERNEL_UNIFORM_COUNT, kernel.uniforms.length);
      entry.address = address;
      entryAddress += entries[i]!.length + 1;
      address += layout.KERNEL_BYTES;
    }
    writer.setSpan(header + layout.HEADER_KERNELS, { address: table, length: this.#kernels.size });
    writer.setSpan(header + layout.HEADER_FMAP, fmap);
  }

  #writeBuffers(header: number): void {
    const writer = this.#writer;
    const { buffers } = this.#spec;
    const table = writer.reserve(buffers.length * layout.BUFFER_BYTES);
    for (const [i, buffer] of buffers.entries()) {
      const { name, byteLength, initial } = buffer;
      const address = table + i * layout.BUFFER_BYTES;
      if (this.#buffers.has(name)) throw invalid(`Two planned buffers are named ${name}.`, { buffer: name });
      if (
        !Number.isInteger(byteLength) ||
        byteLength < 4 ||
        byteLength > MAX_BUFFER_BYTES ||
        byteLength % 4 !== 0
      ) {
        throw invalid(
          `The planned buffer ${name} has ${byteLength} bytes; it must be a multiple of 4 up to ${MAX_BUFFER_BYTES}.`,
          { buffer: name, byteLength },
        );
      }
      this.#buffers.set(name, address);
      writer.setSpan(address + layout.BUFFER_NAME, writer.addText(name, 'A buffer name'));
      writer.setU32(address + layout.BUFFER_BYTE_LENGTH, byteLength);
      if (initial === undefined) continue;
      if (initial.length > byteLength) {
        throw invalid(
          `The planned buffer ${name} of ${byteLength} bytes has ${initial.length} bytes of contents.`,
          { buffer: name },
        );
      }
      writer.setSpan(address + layout.BUFFER_INITIAL, writer.addBytes(initial));
    }
    writer.setSpan(header + layout.HEADER_BUFFERS, { address: table, length: buffers.length });
  }

  #writeRecords(header: number): void {
    const writer = this.#writer;
    const { records } = this.#spec;
    const table = writer.reserve(records.length * layout.RECORD_BYTES);
    for (const [i, name] of records.entries()) {
      const address = table + i * layout.RECORD_BYTES;
      if (this.#records.has(name)) throw invalid(`Two weight records are named ${name}.`, { record: name });
      this.#records.set(name, address);
      writer.setSpan(address + layout.RECORD_NAME, writer.addText(name, 'A record name'));
    }
    writer.setSpan(header + layout.HEADER_RECORDS, { address: table, length: records.length });
  }

  /** Finds the buffers whose views calls return, and checks that they are large enough. */
  #writeResults(header: number, scoreChunkLength: number): void {
    const { hiddenSize, vocabularySize, prefillChunkLength } = this.#spec;
    const results: [field: number, name: string, byteLength: number][] = [
      [layout.HEADER_X, 'x', Math.max(prefillChunkLength, scoreChunkLength) * hiddenSize * 4],
      [layout.HEADER_LOGITS, 'logits', vocabularySize * 4],
      [layout.HEADER_PROBS, 'probs', vocabularySize * 4],
      [layout.HEADER_SAMPLED, 'sampled', 4],
    ];
    if (scoreChunkLength > 0) {
      results.push([layout.HEADER_SCORE_LOGITS, 'score_logits', scoreChunkLength * vocabularySize * 4]);
    }
    for (const [field, name, byteLength] of results) {
      const buffer = this.#spec.buffers.find((candidate) => candidate.name === name);
      if (buffer === undefined || buffer.byteLength < byteLength) {
        throw invalid(
          `The planned buffer ${name} must have ${byteLength} bytes or more; it ${
            buffer === undefined ? 'is missing' : `has ${buffer.byteLength}`
          }.`,
          { buffer: name },
        );
      }
      this.#writer.setU32(header + field, this.#buffers.get(name)!);
    }
  }

  /** @returns the address of the program's variants. */
  #writeProgram(program: Program): number {
    const writer = this.#writer;
    const table = writer.reserve(program.variants.length * layout.VARIANT_BYTES);
    for (const [i, { maxTokens, steps }] of program.variants.entries()) {
      // Dims are written while the steps are being collected; the steps then lie one behind the other.
      const words: number[] = [];
      for (const [index, step] of steps.entries()) this.#addStep(step, program, index, words);
      let address = writer.reserve(words.length * 4);
      const variant = table + i * layout.VARIANT_BYTES;
      writer.setU32(variant + layout.VARIANT_MAX_TOKENS, maxTokens);
      writer.setSpan(variant + layout.VARIANT_STEPS, { address, length: steps.length });
      for (const word of words) {
        writer.setU32(address, word);
        address += 4;
      }
    }
    return table;
  }

  /** Appends a step to `words`, in the order of STEP_*. */
  #addStep(step: Step, program: Program, index: number, words: number[]): void {
    const { kernel, buffers, uniforms, grid } = step;
    const where = `Step ${index} of ${program.name}, ${kernel.name},`;
    if (buffers.length !== kernel.bindings.length || uniforms.length !== kernel.uniforms.length) {
      throw invalid(
        `${where} has ${buffers.length} buffers and ${uniforms.length} uniforms; ` +
          `the kernel has ${kernel.bindings.length} and ${kernel.uniforms.length}.`,
      );
    }
    const bindings = buffers.map((buffer) => this.#resolve(buffer, program, where));
    for (const [i, binding] of bindings.entries()) {
      const other = bindings.indexOf(binding);
      if (other !== i && (kernel.bindings[i] === 'read_write' || kernel.bindings[other] === 'read_write')) {
        throw invalid(`${where} binds one buffer as ${other} and ${i}, and writes it: WebGPU forbids that.`);
      }
    }
    words.push(this.#kernels.get(kernel.name)!.address, this.#dim(grid[0], where), this.#dim(grid[1], where));
    words.push(...bindings);
    for (const uniform of uniforms) words.push(this.#dim(uniform, where));
  }

  /** An argument's index, or the address of the slot that will hold the buffer's id. */
  #resolve(buffer: BufferRef, program: Program, where: string): number {
    switch (buffer.kind) {
      case 'planned': {
        const address = this.#buffers.get(buffer.name);
        if (address === undefined) throw invalid(`${where} uses ${buffer.name}, which is not planned.`);
        return address + layout.BUFFER_GPU_ID;
      }
      case 'weight': {
        const address = this.#records.get(buffer.record);
        if (address === undefined) {
          throw invalid(`${where} uses ${buffer.record}, which is not a weight record.`);
        }
        return address + layout.RECORD_GPU_ID;
      }
      case 'argument':
        if (!(buffer.index >= 0 && buffer.index < program.argumentCount)) {
          throw invalid(
            `${where} uses argument ${buffer.index}; the program has ${program.argumentCount} arguments.`,
          );
        }
        return buffer.index;
    }
  }

  /** The address of a dim; equal ones are stored once. */
  #dim(expr: DimExpr, where: string): number {
    const { variable, multiply, add, divide } = expr;
    const key = `${variable} ${multiply} ${add} ${divide}`;
    const present = this.#dims.get(key);
    if (present !== undefined) return present;
    const isInt32 = (value: number) => (value | 0) === value;
    const variableIndex = variableIndices[variable];
    if (
      variableIndex === undefined ||
      !isInt32(multiply) ||
      !isInt32(add) ||
      !isInt32(divide) ||
      divide < 1
    ) {
      throw invalid(
        `${where} has the dim ceil((${variable} * ${multiply} + ${add}) / ${divide}); ` +
          'the numbers must be 32-bit integers and the divisor at least 1.',
      );
    }
    const address = this.#writer.reserve(layout.DIM_BYTES);
    this.#writer.setU32(address + layout.DIM_VARIABLE, variableIndex);
    this.#writer.setI32(address + layout.DIM_MULTIPLY, multiply);
    this.#writer.setI32(address + layout.DIM_ADD, add);
    this.#writer.setI32(address + layout.DIM_DIVIDE, divide);
    this.#dims.set(key, address);
    return address;
  }
}

interface Program {
  name: keyof LibrarySpec['programs'];
  /** Tensor arguments that steps may refer to. */
  argumentCount: number;
  variants: readonly ProgramVariant[];
}

function count(name: string, value: number): number {
  if (!Number.isInteger(value) || value < 1 || value > 0x7fffffff) {
    throw invalid(`${name} is ${value}; it must be a positive 32-bit integer.`);
  }
  return value;
}

/** Variants must be in order of maxTokens, and the last must serve a whole chunk. */
function checkVariants(name: string, variants: readonly ProgramVariant[], chunkLength: number): void {
  let last = 0;
  for (const { maxTokens } of variants) {
    if (!Number.isInteger(maxTokens) || maxTokens <= last) {
      throw invalid(`The variants of ${name} must be in order of maxTokens; ${maxTokens} follows ${last}.`);
    }
    last = maxTokens;
  }
  if (last !== chunkLength) {
    throw invalid(`The last variant of ${name} serves ${last} tokens; its chunks have ${chunkLength}.`);
  }
}

function checkKernel({ name, bindings, uniforms }: KernelSource): void {
  if (!/^[A-Za-z][A-Za-z0-9_]*$/.test(name)) {
    throw invalid(`A kernel is named ${JSON.stringify(name)}; it must be a WGSL identifier.`);
  }
  if (bindings.length > layout.MAX_BINDINGS) {
    throw invalid(`${name} binds ${bindings.length} storage buffers; the limit is ${layout.MAX_BINDINGS}.`);
  }
  if (uniforms.length > layout.MAX_UNIFORMS) {
    throw invalid(`${name} has ${uniforms.length} uniforms; the limit is ${layout.MAX_UNIFORMS}.`);
  }
}

function sameKernel(a: KernelSource, b: KernelSource): boolean {
  if (a === b) return true;
  const sameList = (x: readonly string[], y: readonly string[]) =>
    x.length === y.length && x.every((item, i) => item === y[i]);
  return a.wgsl === b.wgsl && sameList(a.bindings, b.bindings) && sameList(a.uniforms, b.uniforms);
}

/** What WebLLM reads of a kernel: its arguments in call order, then the grid, then which buffers it writes. */
function fmapEntry({ name, bindings, uniforms }: KernelSource): string {
  const access = bindings.map((binding) => (binding === 'read_write' ? 1 : 0));
  return JSON.stringify({
    name,
    arg_types: [...bindings.map(() => 'handle'), ...uniforms.map(() => 'int32')],
    launch_param_tags: ['blockIdx.x', 'blockIdx.y', `paramWriteAccess:[${access}]`],
  });
}
