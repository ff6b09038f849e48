/** The worker's side of the protocol: runs what it is asked on a model manager. */
import { unreachable } from '../base/assert.ts';
import type { ModelManager } from '../engine/api.ts';
import { type Call, type CallContext, CallServer } from './call-server.ts';
import type { CallAnswer, Endpoint, ManagerCalls, ManagerMessage } from './protocol.ts';

/** Serves `manager` to whoever is at the other end. */
export function serveManager(manager: ModelManager, endpoint: Endpoint<ManagerMessage, CallAnswer>): void {
  const send = (message: CallAnswer) => endpoint.postMessage(message);
  const calls = new CallServer<ManagerCalls>({
    send,
    run: (call, context) => dispatch(manager, call, context),
  });
  endpoint.addEventListener('message', ({ data }) => calls.receive(data));
  send({ kind: 'ready' });
}

async function dispatch(
  manager: ModelManager,
  call: Call<ManagerCalls>,
  context: CallContext,
): Promise<ManagerCalls[keyof ManagerCalls]['output']> {
  switch (call.name) {
    case 'getAdapter':
      return manager.getAdapter(context);
    case 'listBuilds':
      return manager.listBuilds(call.input, context);
    case 'inspectSource':
      return manager.inspectSource(call.input, context);
    case 'importModel':
      return manager.importModel(call.input.source, { ...call.input.options, ...context });
    case 'listStoredModels':
      return manager.listStoredModels();
    case 'listPendingModels':
      return manager.listPendingModels();
    case 'verifyModel':
      return manager.verifyModel(call.input, context);
    case 'exportModel':
      return manager.exportModel(call.input);
    case 'deleteModel':
      await manager.deleteModel(call.input);
      return null;
    case 'discardPendingModel':
      await manager.discardPendingModel(call.input);
      return null;
    case 'probeGpuMemory':
      return manager.probeGpuMemory(call.input, context);
    case 'dispose':
      await manager.dispose();
      return null;
    default:
      return unreachable(call);
  }
}
