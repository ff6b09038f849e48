// Runs linked programs: lists of dispatches whose buffers, uniforms and grids depend on a few variables.

import { Address, DEVICE_WEBGPU, ObjectAddress, OK } from "./abi";
import { addBytes, addNumber, addText, endError, failWithLimit, startError } from "./errors";
import { dispatch, kernelFunction } from "./kernels";
import { ANY_BYTES, setInteger, setNone, setOpaque } from "./objects";
import { programSpan } from "./payload";
import {
  DIM_ADD,
  DIM_DIVIDE,
  DIM_MULTIPLY,
  DIM_VARIABLE,
  KERNEL_BINDING_COUNT,
  KERNEL_NAME,
  KERNEL_UNIFORM_COUNT,
  MAX_ARGUMENTS,
  STEP_BINDINGS,
  STEP_GRID_X,
  STEP_GRID_Y,
  STEP_KERNEL,
  VARIABLE_ONE,
  VARIANT_BYTES,
  VARIANT_MAX_TOKENS,
  VARIANT_STEPS,
} from "../payload-layout";
import { isTensorOn, tensorByteOffset, tensorGpuId } from "./tensors";

/** i64[VARIABLES] */
const variables = memory.data(48, 8);
/** GPU buffer ids of the present call's tensor arguments, u32[MAX_ARGUMENTS]; 0 where there is none. */
const argumentIds = memory.data(32, 4);
/** Any[MAX_BINDINGS + MAX_UNIFORMS + 2], for dispatches only. */
const dispatchArguments = memory.data(704, 16);
const dispatchResult = memory.data(16, 16);

const LARGEST_INTEGER: i64 = 0x7fffffff;
/** WebGPU's maxComputeWorkgroupsPerDimension; x may be larger, since WebLLM folds it into z. */
const MOST_WORKGROUPS: i64 = 65535;

export function setVariable(variable: u32, value: i64): void {
  store<i64>(variables + ((<usize>VARIABLE_ONE) << 3), 1);
  store<i64>(variables + ((<usize>variable) << 3), value);
}

export function variableValue(variable: u32): i64 {
  return load<i64>(variables + ((<usize>variable) << 3));
}

/** Forgets the arguments of the call before. */
export function clearArguments(): void {
  memory.fill(argumentIds, 0, <usize>MAX_ARGUMENTS << 2);
}

/**
 * Makes the tensor `any` argument `index` of the programs to run. Kernels bind whole buffers, so a view must start at
 * its buffer's beginning.
 */
export function setArgument(index: i32, any: Address): i32 {
  if (!isTensorOn(any, DEVICE_WEBGPU)) {
    startError("argument ");
    addNumber(index);
    addText(" must be a tensor on the GPU");
    return endError();
  }
  return setTensorArgument(index, <usize>load<u32>(any, 8));
}

export function setTensorArgument(index: i32, tensor: ObjectAddress): i32 {
  if (tensorByteOffset(tensor) != 0) {
    return failWithLimit("argument ", index, " is a view that begins at byte ", tensorByteOffset(tensor));
  }
  store<u32>(argumentIds + ((<usize>index) << 2), tensorGpuId(tensor));
  return OK;
}

/** ceil((variable * multiply + add) / divide) */
function evaluateDim(dim: Address): i64 {
  const value =
    load<i64>(variables + ((<usize>load<u32>(dim, DIM_VARIABLE)) << 3)) * <i64>load<i32>(dim, DIM_MULTIPLY) +
    <i64>load<i32>(dim, DIM_ADD);
  const divide = <i64>load<i32>(dim, DIM_DIVIDE);
  if (divide == 1) return value;
  // Division truncates, which for a negative value is its ceiling already.
  const quotient = value / divide;
  return quotient * divide < value ? quotient + 1 : quotient;
}

/** Runs the program's first variant that serves `tokens`. */
export function runProgram(program: u32, tokens: i64): i32 {
  const span = programSpan(program);
  let variant = <usize>load<u32>(span);
  for (let i = load<u32>(span, 4); i > 0; i--, variant += VARIANT_BYTES) {
    if (tokens <= <i64>load<u32>(variant, VARIANT_MAX_TOKENS)) {
      return runSteps(<usize>load<u32>(variant, VARIANT_STEPS), load<u32>(variant, VARIANT_STEPS + 4));
    }
  }
  return failWithLimit("no program serves ", tokens, " tokens; the longest call is of ", mostTokens(program));
}

/** The longest call that a program serves, in tokens. */
export function mostTokens(program: u32): i64 {
  const span = programSpan(program);
  const count = load<u32>(span, 4);
  if (count == 0) return 0;
  return <i64>load<u32>(<usize>load<u32>(span) + <usize>(count - 1) * VARIANT_BYTES, VARIANT_MAX_TOKENS);
}

function runSteps(start: Address, count: u32): i32 {
  let step = start;
  setNone(dispatchResult);
  for (let i: u32 = 0; i < count; i++) {
    const kernel = <usize>load<u32>(step, STEP_KERNEL);
    const bindingCount = <usize>load<u16>(kernel, KERNEL_BINDING_COUNT);
    const uniformCount = <usize>load<u16>(kernel, KERNEL_UNIFORM_COUNT);
    const gridX = evaluateDim(<usize>load<u32>(step, STEP_GRID_X));
    const gridY = evaluateDim(<usize>load<u32>(step, STEP_GRID_Y));
    const bindings = step + STEP_BINDINGS;
    const uniforms = bindings + (bindingCount << 2);
    step = uniforms + (uniformCount << 2);
    if (gridX <= 0 || gridY <= 0) continue;
    if (gridX > LARGEST_INTEGER || gridY > MOST_WORKGROUPS) return gridTooLarge(kernel, gridX, gridY);
    const compiled = kernelFunction(kernel);
    if (compiled == 0) return -1;

    let arg: Address = dispatchArguments;
    for (let binding = bindings; binding < uniforms; binding += 4, arg += ANY_BYTES) {
      const reference = <usize>load<u32>(binding);
      const id = load<u32>(reference < <usize>MAX_ARGUMENTS ? argumentIds + (reference << 2) : reference);
      if (id == 0) return stepFails(kernel, " has a buffer that does not exist yet");
      setOpaque(arg, id);
    }
    for (let uniform = uniforms; uniform < step; uniform += 4, arg += ANY_BYTES) {
      const value = evaluateDim(<usize>load<u32>(uniform));
      if (value != <i64>(<i32>value)) return stepFails(kernel, " has a uniform of more than 32 bits");
      setInteger(arg, value);
    }
    setInteger(arg, gridX);
    setInteger(arg + ANY_BYTES, gridY);
    if (dispatch(compiled, dispatchArguments, <i32>(bindingCount + uniformCount) + 2, dispatchResult) != OK) return -1;
  }
  return OK;
}

function stepFails(kernel: Address, why: string): i32 {
  startError("the kernel ");
  addBytes(<usize>load<u32>(kernel, KERNEL_NAME), <usize>load<u32>(kernel, KERNEL_NAME + 4));
  addText(why);
  return endError();
}

function gridTooLarge(kernel: Address, gridX: i64, gridY: i64): i32 {
  startError("the kernel ");
  addBytes(<usize>load<u32>(kernel, KERNEL_NAME), <usize>load<u32>(kernel, KERNEL_NAME + 4));
  addText(" has a grid of ");
  addNumber(gridX);
  addText(" x ");
  addNumber(gridY);
  addText(" workgroups; the limit in y is ");
  addNumber(MOST_WORKGROUPS);
  return endError();
}
