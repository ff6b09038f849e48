// The three modules that WebLLM asks for functions: the library, the virtual machine, the parameters.
//
//   module object, 32 bytes
//   +24  u32  functions: a name table (name-table.ts) shared by all modules of a kind
//   +28  u32  parameters: an array, or 0

import { Address, ObjectAddress, OK, TYPE_MODULE } from "./abi";
import { fail } from "./errors";
import { createFunction, defineGlobal, defineIn } from "./functions";
import { createNameTable, findName } from "./name-table";
import { argumentAt, createObject, isObject, objectOf, release, retain, setObject } from "./objects";
import { checkPayload } from "./payload";
import { equalsLiteral, readAddress, readLength, readText } from "./strings";

const MODULE_FUNCTIONS: usize = 24;
const MODULE_PARAMETERS: usize = 28;
const MODULE_BYTES: usize = 32;

const libraryFunctions = createNameTable(8);
const noFunctions = createNameTable(2);
/** The functions of the virtual machine: see vm.ts. */
export const machineFunctions = createNameTable(64);

function createModule(functions: Address, parameters: ObjectAddress): ObjectAddress {
  const object = createObject(TYPE_MODULE, MODULE_BYTES, finalizeModule.index);
  store<u32>(object, <u32>functions, MODULE_FUNCTIONS);
  store<u32>(object, <u32>parameters, MODULE_PARAMETERS);
  return object;
}

function finalizeModule(object: ObjectAddress): void {
  const parameters = <usize>load<u32>(object, MODULE_PARAMETERS);
  if (parameters != 0) release(parameters);
}

/** A module whose `get_params` returns the array; takes over the caller's reference to it. */
export function createParameterModule(parameters: ObjectAddress): ObjectAddress {
  return createModule(noFunctions, parameters);
}

function systemLibrary(_self: ObjectAddress, _args: Address, _count: i32, result: Address): i32 {
  if (checkPayload() != OK) return -1;
  setObject(result, createModule(libraryFunctions, 0));
  return OK;
}

function loadExecutable(_self: ObjectAddress, _args: Address, _count: i32, result: Address): i32 {
  setObject(result, createModule(machineFunctions, 0));
  return OK;
}

/** `self` is the array. */
function getParameters(self: ObjectAddress, _args: Address, _count: i32, result: Address): i32 {
  setObject(result, retain(self));
  return OK;
}

/** (module, name, whether to look in imports) → function, or None where there is none. */
function getModuleFunction(_self: ObjectAddress, args: Address, _count: i32, result: Address): i32 {
  if (!isObject(args, TYPE_MODULE) || !readText(argumentAt(args, 1))) {
    return fail("ffi.ModuleGetFunction needs a module and a name");
  }
  const object = objectOf(args);
  const parameters = <usize>load<u32>(object, MODULE_PARAMETERS);
  if (parameters != 0 && equalsLiteral(readAddress, readLength, "get_params")) {
    setObject(result, createFunction(getParameters, 0, retain(parameters)));
    return OK;
  }
  const found = findName(<usize>load<u32>(object, MODULE_FUNCTIONS), readAddress, readLength);
  if (found != 0) setObject(result, retain(found));
  return OK;
}

export function registerModules(): void {
  defineIn(libraryFunctions, "vm_load_executable", 0, loadExecutable);
  defineGlobal("ffi.SystemLib", 0, systemLibrary);
  defineGlobal("ffi.ModuleGetFunction", 2, getModuleFunction);
}
